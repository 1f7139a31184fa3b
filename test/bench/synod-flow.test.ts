import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import type { WebSocket } from "ws";
import { WebSocketServer } from "ws";
import { Connection } from "../../src/apps/bench/connection.ts";
import { FanOutLoad } from "../../src/apps/bench/fan-out-load.ts";
import { IdleLoad } from "../../src/apps/bench/idle-load.ts";
import type { PublishJob } from "../../src/apps/bench/job.ts";
import { PublishLoad } from "../../src/apps/bench/publish-load.ts";
import { synodGreeting, synodHead, synodNewest } from "../../src/apps/bench/wires/synod-greeting.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { decodeBinary, encodeBinary } from "../../src/protocol/binary-codec.ts";
import { decodeJson } from "../../src/protocol/json-codec.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/schema.ts";

/**
 * What of a Synod server the generator relies on, in memory: rooms that count, answers in order, messages to subscribers,
 * and the rule that a message must come after the one it names. Frames go through the protocol's own codecs.
 */
class Town {
  private readonly rooms = new Map<string, { cids: string[]; readers: Set<(frame: ServerFrame) => void> }>();
  readonly refusals: string[] = [];

  private room(name: string): { cids: string[]; readers: Set<(frame: ServerFrame) => void> } {
    const room = this.rooms.get(name) ?? { cids: [], readers: new Set() };
    this.rooms.set(name, room);
    return room;
  }

  /** Answers one frame; `say` goes back to its client. */
  hear(frame: ClientFrame, say: (frame: ServerFrame) => void): void {
    const line = "line-1";
    const rest = { ts: 1_700_000_000_000, epoch: 1 };
    const answer = (value: object): void => say(value as unknown as ServerFrame);
    switch (frame.t) {
      case "hello": {
        const limits = {
          bodyBytesMax: 1,
          frameBytesMax: 1,
          histItemsMax: 1,
          subsMax: 1,
          roomsMax: 1,
          sendsInFlightMax: 1,
        };
        const server = {
          session: "s",
          node: "n1",
          cluster: "c",
          topology: "solo",
          heartbeatMs: 25_000,
          servers: ["ws://a"],
        };
        answer({ t: "welcome", v: 1, user: frame.user, ...server, limits });
        break;
      }
      case "join":
        answer({
          t: "ok",
          of: "join",
          id: frame.id,
          room: frame.room,
          line,
          head: this.room(frame.room).cids.length,
          epoch: 1,
        });
        // As to whoever becomes a member of anything.
        answer({ t: "room", room: frame.room, line, first: 1, head: this.room(frame.room).cids.length, read: 0 });
        break;
      case "sub": {
        const room = this.room(frame.room);
        room.readers.add(say);
        const head = room.cids.length;
        answer({ t: "ok", of: "sub", id: frame.id, room: frame.room, line, first: 1, head, epoch: 1, node: "n1" });
        answer({ t: "caught-up", room: frame.room, seq: head });
        break;
      }
      case "send": {
        const room = this.room(frame.room ?? "");
        const wrong =
          room.cids.includes(frame.cid) || (frame.prev !== undefined && !room.cids.includes(frame.prev))
            ? `${frame.cid} after ${frame.prev ?? "nothing"}`
            : (frame.since ?? 0) > room.cids.length
              ? `since ${frame.since ?? 0}`
              : null;
        if (wrong !== null) {
          this.refusals.push(wrong);
          answer({ t: "err", id: frame.id, code: "order", message: wrong, definite: true, retryable: true });
          return;
        }
        room.cids.push(frame.cid);
        const place = { room: frame.room, cid: frame.cid, seq: room.cids.length, ...rest };
        answer({ t: "ok", of: "send", id: frame.id, ...place, line, leader: "n1", node: "n1", dup: false });
        const message = { t: "msg", ...place, from: "someone", kind: "text", body: frame.body };
        for (const reader of room.readers) reader(message as unknown as ServerFrame);
        break;
      }
      case "hist": {
        const page = {
          room: frame.room,
          line,
          first: 1,
          head: this.room(frame.room).cids.length,
          node: "n1",
          more: false,
        };
        answer({ t: "ok", of: "hist", id: frame.id, ...page, items: [] });
        break;
      }
      default:
        answer({ t: "pong", id: 1 });
    }
  }
}

const endings: (() => void)[] = [];
afterEach(() => {
  for (const end of endings.splice(0)) end();
});

function checked(frame: ClientFrame | { t: "refused"; fault: Error }): ClientFrame {
  if (frame.t === "refused") throw frame.fault;
  return frame;
}

/** The TCP door: JSON lines, or binary after the greeting byte, which `greets` says back. */
async function tcpDoor(town: Town, options: { greets: boolean }): Promise<number> {
  const server = createServer((socket: Socket) => {
    let waiting = Buffer.alloc(0);
    let binary: boolean | null = null;
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => {
      waiting = Buffer.concat([waiting, bytes]);
      if (binary === null) {
        binary = waiting[0] === 0xb1;
        if (binary) waiting = waiting.subarray(1);
        if (binary && options.greets) socket.write(Uint8Array.of(0xb1));
      }
      if (binary) {
        while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32LE(0)) {
          const length = 4 + waiting.readUInt32LE(0);
          const frame = checked(decodeBinary("client", waiting, 0, length, defaultLimits));
          waiting = waiting.subarray(length);
          town.hear(frame, (answer) => socket.write(encodeBinary("server", answer)));
        }
      }
      if (binary) return;
      for (let stop = waiting.indexOf(10); stop !== -1; stop = waiting.indexOf(10)) {
        const frames: Parameters<typeof decodeJson<"client">>[3] = [];
        decodeJson("client", waiting.subarray(0, stop), defaultLimits, frames);
        waiting = waiting.subarray(stop + 1);
        for (const frame of frames) town.hear(checked(frame), (answer) => socket.write(`${JSON.stringify(answer)}\n`));
      }
    });
  });
  endings.push(() => server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function webSocketDoor(town: Town): Promise<number> {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, path: "/v1/ws", perMessageDeflate: false });
  endings.push(() => server.close());
  server.on("connection", (socket: WebSocket) => {
    expect(socket.protocol).toBe("synod.v1.bin");
    socket.on("message", (bytes: Buffer) => {
      const frame = checked(decodeBinary("client", bytes, 0, bytes.length, defaultLimits));
      town.hear(frame, (answer) => socket.send(encodeBinary("server", answer)));
    });
  });
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const base = { host: "127.0.0.1", rooms: ["bench"], proof: null, serverPids: [], nullServer: false } as const;
const publishJob = (port: number, changed: Partial<PublishJob>): PublishJob => ({
  kind: "publish",
  wire: "synod-binary",
  ...base,
  port,
  clients: 2,
  firstClient: 0,
  clientsInAll: 2,
  window: 10,
  bodyBytes: 64,
  ratePerSecond: null,
  reader: true,
  warmupMs: 10,
  measureMs: 60,
  ...changed,
});

test.each([
  ["synod-binary", true],
  ["synod-binary", false],
  ["synod-json", false],
] as const)(
  "%s: hello, join, and sends that each name the one before (greeting said back: %s)",
  async (wire, greets) => {
    const town = new Town();
    const load = new PublishLoad(publishJob(await tcpDoor(town, { greets }), { wire }));
    await load.prepare();
    const result = await load.run();
    expect(town.refusals).toEqual([]);
    expect(result).toMatchObject({ errors: 0, firstError: null, topology: "solo", nodes: 1 });
    expect(result.acked).toBeGreaterThan(0);
    // The subscriber measured delivery.
    expect(result.deliver.counts.length).toBeGreaterThan(0);
  },
);

test("more rooms than clients: every room gets messages, each after the one before it in that room", async () => {
  const town = new Town();
  const rooms = Array.from({ length: 80 }, (_, place) => `room-${10 + place}`);
  const job = publishJob(await tcpDoor(town, { greets: true }), { rooms, reader: false });
  const load = new PublishLoad(job);
  await load.prepare();
  const result = await load.run();
  expect(town.refusals).toEqual([]);
  expect(result).toMatchObject({ errors: 0, firstError: null });
});

test("WebSocket readers get what is published over TCP, all of it and in order", async () => {
  const town = new Town();
  const load = new FanOutLoad({
    kind: "fan-out",
    wire: "synod-websocket",
    ...base,
    port: await webSocketDoor(town),
    publisherWire: "synod-binary",
    publisherPort: await tcpDoor(town, { greets: true }),
    readers: 7,
    window: 8,
    bodyBytes: 64,
    warmupMs: 10,
    measureMs: 60,
  });
  await load.prepare();
  const result = await load.run();
  expect(town.refusals).toEqual([]);
  expect(result).toMatchObject({ errors: 0, firstError: null });
  expect(result.deliveries).toBeGreaterThan(0);
  expect(result.lastReader.counts.length).toBeGreaterThan(0);
});

test("idle connections greet, enter their rooms and stay", async () => {
  const rooms = ["one", "two", "three"];
  const idle = { kind: "idle", wire: "synod-websocket", ...base, rooms, connections: 12 } as const;
  const load = new IdleLoad({ ...idle, port: await webSocketDoor(new Town()), roomsPerConnection: 2, settleMs: 10 });
  await load.prepare();
  expect(await load.run()).toMatchObject({ connections: 12, errors: 0, firstError: null });
});

test("head and newest messages are asked for as the growth script does", async () => {
  const port = await tcpDoor(new Town(), { greets: true });
  const connection = await Connection.open({ host: "127.0.0.1", port, readInto: Buffer.alloc(4096) });
  endings.push(() => connection.end());
  expect((await synodGreeting(connection, { user: "growth", token: null })).topology).toBe("solo");
  expect(await synodHead(connection, "bench")).toBe(0);
  expect(await synodNewest(connection, "bench", 50)).toBe(0);
});
