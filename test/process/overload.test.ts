import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Limits } from "../../src/base/limits.ts";
import { sdkClient } from "./support/chat-clients.ts";
import { Ledger } from "./support/ledger.ts";
import { type Frame, LineClient } from "./support/line-client.ts";
import { ServerProcess, until } from "./support/server-process.ts";
import { smallLimits } from "./support/small-limits.ts";

const MiB = 1024 * 1024;

const ends: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function serverWith(limits: Partial<Limits> = {}): Promise<ServerProcess> {
  const server = await ServerProcess.start({ limits });
  ends.push(() => server.dispose());
  return server;
}

async function clientOf(server: ServerProcess, user: string): Promise<LineClient> {
  const client = await LineClient.open(server.ports.tcpPort, user);
  ends.push(() => client.end());
  return client;
}

/** The most memory that the server had at any look, in bytes. */
function watchMemory(server: ServerProcess): () => number {
  let most = server.residentBytes();
  const timer = setInterval(() => {
    most = Math.max(most, server.residentBytes());
  }, 100);
  ends.push(() => clearInterval(timer));
  return () => {
    clearInterval(timer);
    return most;
  };
}

const inMiB = (bytes: number): string => `${(bytes / MiB).toFixed(1)} MiB`;

async function endsWell(server: ServerProcess): Promise<void> {
  expect(await server.stop()).toEqual({ code: 0, signal: null });
  expect(server.faults()).toEqual([]);
}

test("ten thousand idle connections, greeted and reading, cost little, and one who speaks is heard", async () => {
  const open = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 0);
  // The server needs some files of its own.
  const count = Math.min(10_000, open - 500);
  expect(count).toBeGreaterThanOrEqual(4_000);
  const server = await serverWith();
  const speaker = await clientOf(server, "speaker");
  for (const room of ["lobby", "north", "south"]) await speaker.ask({ t: "join", room });
  const before = server.residentBytes();

  const each = count / 2;
  const holders = [0, 1].map((place) => holder(server, each, place * each));
  await Promise.all(holders.map(({ ready }) => ready));
  const after = server.residentBytes();
  expect((await server.status()).clients.connections).toBe(count + 1);
  const kib = (after - before) / count / 1024;
  process.stdout.write(`idle: ${count} connections, ${inMiB(after)} resident, ${kib.toFixed(1)} KiB each\n`);
  expect(after).toBeLessThan(450 * MiB);

  // A word to everybody: one message, ten thousand deliveries.
  const answer = await speaker.ask({ t: "send", room: "north", cid: "word", body: "is anybody there?" });
  expect(answer).toMatchObject({ t: "ok", seq: 1 });
  const word = { t: "msg", room: "north", seq: 1, from: "speaker", cid: "word", body: "is anybody there?" };
  for (const { heard } of holders) expect(await heard).toMatchObject(word);
  const listener = await clientOf(server, "listener");
  expect(await listener.ask({ t: "hist", room: "north", limit: 1 })).toMatchObject({ t: "ok", head: 1 });
  expect(holders.map(({ lost }) => lost())).toEqual([0, 0]);
  for (const { end } of holders) await end();
  await until(async () => (await server.status()).clients.connections === 2);
  await endsWell(server);
});

interface Holder {
  readonly ready: Promise<void>;
  /** The one message that every connection was given, once, and nothing besides. */
  readonly heard: Promise<object>;
  readonly lost: () => number;
  readonly end: () => Promise<void>;
}

function holder(server: ServerProcess, count: number, first: number): Holder {
  const program = fileURLToPath(new URL("support/idle-clients.mjs", import.meta.url));
  const child: ChildProcess = fork(program, [`${server.ports.tcpPort}`, `${count}`, `${first}`]);
  let lost = 0;
  const gone = once(child, "exit");
  const end = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await gone;
  };
  ends.push(end);
  const heard = new Promise<object>((resolve) => {
    child.on("message", (said: { heard?: object }) => {
      if (said.heard !== undefined) resolve(said.heard);
    });
  });
  const ready = new Promise<void>((resolve, reject) => {
    child.on("message", (said: { open?: number; lost?: number }) => {
      if (said.lost !== undefined) lost++;
      if (said.open !== undefined) resolve();
    });
    child.on("exit", (code) => reject(new Error(`the holder of connections ended with ${code}`)));
  });
  return { ready, heard, lost: () => lost, end };
}

/** Reads a room from its first message on and notes whether it is dense. */
class RoomReader {
  position = 0;
  isDense = true;

  constructor(client: LineClient, room: string) {
    client.onFrame = (frame) => this.took(frame);
    client.write({ t: "sub", id: 1_000_000, room, after: 0 });
  }

  took(frame: Frame): void {
    if (frame.t !== "msg") return;
    if (frame["seq"] !== this.position + 1) this.isDense = false;
    this.position = frame["seq"] as number;
  }
}

test("five hundred readers that never read: bounded memory, others are served, nobody loses anything", async () => {
  const socketStalledMsMax = 4_000;
  const server = await serverWith({
    chunkBytes: 4 * MiB,
    segmentBytes: 8 * MiB,
    unsealedBytesMax: 16 * MiB,
    ringBytesMax: 8 * MiB,
    socketStalledMsMax,
  });
  const room = "flood";
  const writer = await clientOf(server, "writer");
  await writer.ask({ t: "join", room });
  const healthy = await Promise.all([0, 1, 2].map((n) => clientOf(server, `healthy${n}`)));
  const readers = healthy.map((client) => new RoomReader(client, room));

  const ledger = new Ledger(room);
  const body = 8_192;
  const every = 25;
  // 5 MB a second, in messages of 8 KiB.
  const flood = async (seconds: number): Promise<void> => {
    let sending: Promise<string>[] = [];
    for (let tick = 0; tick < (seconds * 1_000) / every; tick++) {
      const share = Math.round((5_000_000 / body) * (every / 1_000));
      for (let n = 0; n < share; n++) sending.push(ledger.send(writer, body));
      await pause(every);
      if (tick % 40 === 39) {
        await Promise.all(sending);
        sending = [];
      }
    }
    await Promise.all(sending);
  };
  // What the writing alone costs, with readers that read.
  const mostBefore = watchMemory(server);
  await flood(6);
  const floor = mostBefore();
  const start = ledger.acknowledged.size;

  const deafSockets: WebSocket[] = [];
  const closeCodes: number[] = [];
  const positions: number[] = [];
  for (let n = 0; n < 500; n++) {
    const socket = new WebSocket(`${server.webSocketUrl}/v1/ws`);
    ends.push(() => socket.terminate());
    await once(socket, "open");
    socket.send(JSON.stringify({ t: "hello", v: 1, user: `deaf${n}` }));
    socket.send(JSON.stringify({ t: "sub", id: 1, room, after: start }));
    await once(socket, "message");
    socket.on("error", () => socket.terminate());
    socket.on("close", (code) => closeCodes.push(code));
    positions.push(start);
    socket.on("message", (data: Buffer) => {
      const parsed = JSON.parse(data.toString()) as Frame | Frame[];
      for (const frame of Array.isArray(parsed) ? parsed : [parsed]) {
        if (frame.t !== "msg") continue;
        expect(frame["seq"]).toBe(positions[n]! + 1);
        positions[n] = frame["seq"] as number;
      }
    });
    socket.pause();
    deafSockets.push(socket);
  }

  // Who reads decides nothing about who writes. Some begin to read once the first are let go.
  const most = watchMemory(server);
  const some = deafSockets.filter((_, n) => n % 50 === 0);
  const resumed = until(async () => (await server.status()).clients.slowDropped > 0).then(() => {
    for (const socket of some) socket.resume();
  });
  await flood(10);
  const grown = most() - floor;
  expect([...ledger.refusals]).toEqual([]);
  const head = ledger.acknowledged.size;
  await until(() => readers.every(({ position }) => position === head));
  expect(readers.every(({ isDense }) => isDense)).toBe(true);

  // Those that never read take what had been queued for them; then they find themselves closed, or have it all.
  await resumed;
  const isThrough = (socket: WebSocket): boolean =>
    socket.readyState === WebSocket.CLOSED || positions[deafSockets.indexOf(socket)] === head;
  await until(() => some.every(isThrough));
  const { slowDropped } = (await server.status()).clients;
  process.stdout.write(
    `never reading: ${head} messages of ${body} bytes, memory +${inMiB(grown)}, ${slowDropped} dropped, close codes ${[...new Set(closeCodes)].join(" ")}\n`,
  );
  expect(grown).toBeLessThan(88 * MiB);
  // Whoever reads again learns why it was closed.
  expect(new Set(closeCodes)).toEqual(new Set([4429]));
  // Whoever was closed goes on behind the last message it got, and misses none.
  for (const [n, position] of positions.entries()) {
    if (n % 50 !== 0 || position === head) continue;
    const again = await clientOf(server, `deaf${n}`);
    let at = position;
    const whole = new Promise<void>((resolve) => {
      again.onFrame = (frame) => {
        if (frame.t !== "msg") return;
        expect(frame["seq"]).toBe(at + 1);
        at++;
        if (at === head) resolve();
      };
    });
    again.write({ t: "sub", id: 1, room, after: position });
    await whole;
  }
  await endsWell(server);
});

test("hundreds that ask for pages and read none: what is held is bounded in all, and a neighbour is served", async () => {
  const heldOutputBytesMax = 16 * MiB;
  const server = await serverWith({ heldOutputBytesMax });
  const neighbour = await clientOf(server, "neighbour");
  await neighbour.ask({ t: "join", room: "fat" });
  for (let n = 0; n < 20; n++) {
    const body = "z".repeat(65_000);
    expect((await neighbour.ask({ t: "send", room: "fat", cid: `fat${n}`, body })).t).toBe("ok");
  }
  const before = server.residentBytes();
  const most = watchMemory(server);
  let held = 0;
  const answered: string[] = [];
  for (let n = 0; n < 300; n++) {
    const isHttp = n % 3 === 2;
    const socket = connect(isHttp ? server.ports.port : server.ports.tcpPort, "127.0.0.1");
    ends.push(() => void socket.destroy());
    // Who holds too much for too long is ended.
    socket.on("error", () => socket.destroy());
    socket.pause();
    await once(socket, "connect");
    if (isHttp) {
      const page = "GET /v1/rooms/fat/messages?limit=500 HTTP/1.1\r\nHost: 127.0.0.1\r\nSynod-User: deaf\r\n\r\n";
      socket.write(page.repeat(10));
    } else {
      const frames: object[] = [{ t: "hello", v: 1, user: `deaf${n}` }];
      for (let id = 0; id < 8; id++) frames.push({ t: "hist", id, room: "fat", limit: 500 });
      socket.write(frames.map((frame) => `${JSON.stringify(frame)}\n`).join(""));
    }
    if (n % 10 !== 9) continue;
    held = Math.max(held, (await server.status()).clients.heldBytes);
    const said = await neighbour.ask({ t: "send", room: "fat", cid: `said${n}`, body: "I am still here" });
    answered.push(said.t);
  }
  // Room is made: who holds and takes nothing goes, and a page is there again for who reads.
  await until(async () => (await neighbour.ask({ t: "hist", room: "fat", limit: 500 })).t === "ok", 100);
  held = Math.max(held, (await server.status()).clients.heldBytes);
  const grown = most() - before;
  process.stdout.write(`asked and not read: held ${inMiB(held)}, memory +${inMiB(grown)}\n`);
  expect(answered).toEqual(answered.map(() => "ok"));
  expect(held).toBeGreaterThan(heldOutputBytesMax / 2);
  expect(held).toBeLessThan(heldOutputBytesMax + 8 * MiB);
  expect(grown).toBeLessThan(320 * MiB);
  await endsWell(server);
});

test("five times too much: refusals have a code, memory is bounded, and nothing acknowledged is lost", async () => {
  const server = await serverWith({
    uncommittedBytesMax: 2 * MiB,
    chunkBytes: 8 * MiB,
    segmentBytes: 8 * MiB,
    unsealedBytesMax: 16 * MiB,
  });
  const ledger = new Ledger();
  const clients = await Promise.all(Array.from({ length: 20 }, (_, n) => clientOf(server, `crowd${n}`)));
  await clients[0]!.ask({ t: "join", room: ledger.room });
  const before = server.residentBytes();
  const most = watchMemory(server);
  // Each client has twice as much on its way as it may, and all of them together many times what the server holds. Where its
  // chunks are written as fast as this comes, it comes again.
  for (let rounds = 0; rounds < 10 && ledger.refusals.size === 0; rounds++) {
    await Promise.all(
      clients.map((client) => Promise.all(Array.from({ length: 2_200 }, () => ledger.send(client, 1_024)))),
    );
  }
  const grown = most() - before;
  const refused = [...ledger.refusals].map(([code, count]) => `${code} ${count}`).join(", ");
  process.stdout.write(
    `overload: ${ledger.acknowledged.size} acknowledged, refused: ${refused}, memory +${inMiB(grown)}\n`,
  );
  expect([...ledger.refusals.keys()]).toEqual(["overloaded"]);
  expect(grown).toBeLessThan(192 * MiB);

  // The crowd has gone: as soon as the chunks of what it stored are written, every send is taken again.
  await until(async () => (await fetch(`${server.url}/readyz`)).ok);
  ledger.refusals.clear();
  for (let n = 0; n < 20; n++) await Promise.all(clients.map((client) => ledger.send(client)));
  expect([...ledger.refusals]).toEqual([]);
  await ledger.check(server);
  await server.kill();
  server.spawn();
  await server.listening();
  await ledger.check(server);
  await endsWell(server);
});

test("a burst of the SDK fits what the server takes at once, however little that is", async () => {
  const server = await serverWith(smallLimits());
  for (const way of ["WebSocket JSON", "WebSocket binary"] as const) {
    const chat = sdkClient(server, "burst", way);
    ends.push(() => chat.close());
    const lobby = chat.room("lobby");
    await lobby.join();
    const sent = Array.from({ length: 200 }, (_, n) => lobby.send(`${n} ${"\u0001".repeat(900)}`));
    const seqs = (await Promise.all(sent)).map(({ seq }) => seq!);
    expect(seqs).toEqual(seqs.map((_, at) => seqs[0]! + at));
  }
  await endsWell(server);
});
