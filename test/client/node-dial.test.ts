import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo, Server, Socket } from "node:net";
import { createServer as createTcpServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import type { Clock } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { Millis, Timestamp } from "../../src/base/units.ts";
import { binaryEncoding } from "../../src/client/binary-encoding.ts";
import { jsonLinesEncoding } from "../../src/client/json-lines-encoding.ts";
import { connect } from "../../src/client/client.ts";
import type { Chat } from "../../src/client/client.ts";
import { decodeBinary, encodeBinary } from "../../src/protocol/binary-codec.ts";
import { limitsOfServerFrames } from "../../src/protocol/check-frame.ts";
import { FrameSplitter } from "../../src/protocol/frame-splitter.ts";
import { binaryGreeting, subprotocols } from "../../src/protocol/schema.ts";
import type { ClientFrame, Message, ServerFrame } from "../../src/protocol/schema.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { nodeDial } from "../../src/platform/node/node-dial.ts";

/** The clock of this process. */
const clock: Clock = {
  now: () => performance.now() as Millis,
  wall: () => Date.now() as Timestamp,
  after: (delay, task) => {
    const timer = setTimeout(task, delay);
    return { cancel: () => clearTimeout(timer) };
  },
  defer: (task) => void setImmediate(task),
};

/** The least that answers: one room, one line of frames in, frames out. */
class TinyServer {
  readonly #log: Message[] = [];
  readonly ends: (() => Promise<void>)[] = [];
  /** Breaks every link that there is. */
  readonly breaks = new Set<() => void>();
  subprotocol = "";
  path = "";

  answer(frame: ClientFrame, say: (frame: ServerFrame) => void): void {
    const common = { room: "lobby", line: "l1", node: "n1", epoch: 1 };
    const head = this.#log.length;
    if (frame.t === "hello") {
      const limits = {
        bodyBytesMax: 65_536,
        frameBytesMax: 458_752,
        histItemsMax: 500,
        subsMax: 9,
        roomsMax: 9,
        sendsInFlightMax: 1_024,
      };
      const server = {
        v: 1,
        session: "s",
        node: "n1",
        cluster: "c",
        topology: "solo",
        heartbeatMs: 25_000,
        servers: [],
        limits,
      };
      say({ t: "welcome", user: frame.user, ...server } as unknown as ServerFrame);
    } else if (frame.t === "send") {
      const found = this.#log.find(({ cid }) => cid === frame.cid);
      const seq = found?.seq ?? head + 1;
      const { cid, body } = frame;
      if (found === undefined)
        this.#log.push({ seq, from: "alice", cid, ts: 1, epoch: 1, kind: "text", body } as unknown as Message);
      say({
        t: "ok",
        of: "send",
        id: frame.id,
        ...common,
        cid,
        seq,
        ts: 1,
        leader: "n1",
        dup: found !== undefined,
      } as unknown as ServerFrame);
    } else if (frame.t === "sub") {
      say({ t: "ok", of: "sub", id: frame.id, ...common, first: 1, head } as unknown as ServerFrame);
      for (const message of this.#log.slice(frame.after as number))
        say({ t: "msg", room: "lobby", ...message } as unknown as ServerFrame);
    }
  }

  async listenWebSocket(): Promise<string> {
    const http = createServer();
    const sockets = new WebSocketServer({ server: http, handleProtocols: (offered) => [...offered][0] ?? false });
    sockets.on("connection", (socket, request) => {
      this.subprotocol = socket.protocol;
      this.path = request.url ?? "";
      this.breaks.add(() => socket.terminate());
      socket.on("message", (data: Buffer, isBinary) => {
        if (isBinary)
          readBinary(new FrameSplitter(1_000_000), data, (frame) =>
            this.answer(frame, (to) => socket.send(encodeBinary("server", to))),
          );
        else {
          const frames = [JSON.parse(data.toString()) as ClientFrame | ClientFrame[]].flat();
          for (const frame of frames) this.answer(frame, (to) => socket.send(JSON.stringify(to)));
        }
      });
    });
    return this.#listen(http, "ws", () => sockets.close());
  }

  async listenTcp(): Promise<string> {
    const tcp = createTcpServer((socket: Socket) => {
      this.breaks.add(() => socket.destroy());
      socket.on("error", () => socket.destroy());
      let text = "";
      let splitter: FrameSplitter | null = null;
      socket.on("data", (data: Buffer) => {
        let bytes = data;
        if (splitter === null && text === "" && data[0] === binaryGreeting) {
          splitter = new FrameSplitter(1_000_000);
          socket.write(Uint8Array.of(binaryGreeting));
          bytes = data.subarray(1);
        }
        if (splitter !== null) {
          readBinary(splitter, bytes, (frame) => this.answer(frame, (to) => socket.write(encodeBinary("server", to))));
          return;
        }
        text += bytes.toString();
        const lines = text.split("\n");
        text = lines.pop() ?? "";
        for (const line of lines)
          this.answer(JSON.parse(line) as ClientFrame, (to) => socket.write(`${JSON.stringify(to)}\n`));
      });
    });
    return this.#listen(tcp, "tcp", () => undefined);
  }

  async #listen(server: Server, scheme: string, also: () => void): Promise<string> {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.ends.push(async () => {
      for (const breakOff of this.breaks) breakOff();
      also();
      server.close();
      await once(server, "close");
    });
    return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
}

function readBinary(splitter: FrameSplitter, data: Uint8Array, each: (frame: ClientFrame) => void): void {
  splitter.add(data);
  while (splitter.next()) {
    const frame = decodeBinary(
      "client",
      splitter.bytes,
      splitter.start,
      splitter.end,
      limitsOfServerFrames(defaultLimits),
    );
    if (frame.t === "refused") throw frame.fault;
    each(frame);
  }
}

const server = new TinyServer();
const chats: Chat[] = [];
/** Two clients of one seed would make the same cids. */
let seed = 1;

afterEach(async () => {
  for (const chat of chats.splice(0)) await chat.close();
  for (const end of server.ends.splice(0)) await end();
});

function chat(url: string, binary: boolean): Chat {
  const client = connect(url, {
    user: "alice",
    clock,
    random: seededRandom(seed++),
    dial: nodeDial({ binary }),
    encodings: {
      "binary-stream": binaryEncoding("stream"),
      "binary-websocket": binaryEncoding("messages"),
      "json-lines": jsonLinesEncoding(),
    },
    timing: { retryMs: 5, retryMsMax: 20 },
  });
  chats.push(client);
  return client;
}

describe("[SDK60] over real sockets: stored, read back, and resumed after the link broke", () => {
  for (const binary of [false, true]) {
    for (const carrier of ["WebSocket", "TCP"] as const) {
      test(`${carrier}, ${binary ? "binary" : "JSON"}`, async () => {
        const url = carrier === "TCP" ? await server.listenTcp() : await server.listenWebSocket();
        const client = chat(url, binary);
        const room = client.room("lobby");
        const sent = [];
        for (let i = 0; i < 300; i++) sent.push(room.send(`${carrier} ${binary} ${i} ünï`));
        const first = await sent[0]!;
        for (const breakOff of server.breaks) breakOff();
        const seqs = (await Promise.all(sent)).map(({ seq }) => seq!);
        expect(seqs).toEqual(seqs.map((_, i) => first.seq! + i));
        const read: string[] = [];
        for await (const item of room.messages({ after: first.seq! - 1 })) {
          if (item.gap === undefined) read.push(item.body);
          if (read.length === 300) break;
        }
        expect(read).toEqual(sent.map(({ content }) => content.body));
        if (carrier === "WebSocket") {
          expect(server.subprotocol).toBe(binary ? subprotocols.binary : subprotocols.json);
          expect(server.path).toBe("/v1/ws");
        }
      });
    }
  }

  test("an address that is none, a scheme that is none, and a port where nobody listens are reasons to be offline", async () => {
    const free = createTcpServer().listen(0, "127.0.0.1");
    await once(free, "listening");
    const { port } = free.address() as AddressInfo;
    free.close();
    await once(free, "close");
    const reasons: string[] = [];
    for (const url of ["nonsense", "ftp://a", "tcp://127.0.0.1", `tcp://127.0.0.1:${port}`, `ws://127.0.0.1:${port}`]) {
      const client = chat(url, false);
      reasons.push(
        await new Promise<string>((resolve) => {
          client.on("state", (state) => {
            if (state.name === "offline") resolve(state.reason);
          });
        }),
      );
    }
    expect(reasons[0]).toContain("is not an address");
    expect(reasons[1]).toContain("ftp:");
    expect(reasons[2]).toContain("names no port");
    expect(reasons[3]).toContain("ECONNREFUSED");
    expect(reasons[4]).toContain("ECONNREFUSED");
  });

  test("a page as large as a raised limit lets it be comes through: 17 MiB in one message", async () => {
    const sockets = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    await once(sockets, "listening");
    sockets.on("connection", (socket) => socket.send("x".repeat(17 * 1024 * 1024)));
    const length = await new Promise((resolve) => {
      const link = nodeDial().connect(`ws://127.0.0.1:${(sockets.address() as AddressInfo).port}`, {
        opened: () => undefined,
        message: (data) => {
          link.close(1000, "");
          resolve(data.length);
        },
        closed: (_code, reason) => resolve(reason),
      });
    });
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
    expect(length).toBe(17 * 1024 * 1024);
  });
});
