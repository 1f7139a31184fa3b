import { get, type IncomingMessage, request } from "node:http";
import { afterEach, expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { Cid, RoomName, Seq, UserName } from "../../src/base/ids.ts";
import { PublicDoor } from "../../src/doors/public-door.ts";
import type { ServerFrame } from "../../src/protocol/schema.ts";
import { encodeMessage } from "./message-pieces.ts";
import { FrameWriter } from "../../src/server/frame-writer.ts";
import { FakeRequests, place } from "./fake-requests.ts";
import { type FakeSession, ManualClock, realClock, RememberingLog, smallLimits, until } from "./fake-server.ts";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const room = "lobby" as RoomName;
const okSub: ServerFrame = {
  t: "ok",
  of: "sub",
  id: 0,
  room,
  line: place.line,
  first: 1 as Seq,
  head: 9 as Seq,
  epoch: place.epoch,
  node: place.node,
};

const writer = new FrameWriter();

/** The bytes of frames, as the server's writer makes them for an event stream. */
function bytesOf(...frames: ServerFrame[]): Uint8Array {
  const parts = frames.map((frame) => {
    const { slab, at } = writer;
    writer.frame("event-stream", frame);
    return writer.slab.slice(writer.slab === slab ? at : 0, writer.at);
  });
  return Buffer.concat(parts);
}

const msg = (n: number, body = `m${n}`): Uint8Array =>
  encodeMessage(writer, { room, from: "bob" as UserName, cid: `c${n}` as Cid, seq: n, body });

async function listening(clock: Clock = realClock) {
  const server = new FakeRequests();
  const log = new RememberingLog();
  const door = new PublicDoor({
    server,
    clock,
    random: seededRandom(1),
    limits: smallLimits,
    log,
    trust: { origins: [], hosts: null },
    page: null,
    documents: new Map(),
  });
  const port = await door.listen({ host: "127.0.0.1", port: 0 });
  closers.push(() => door.close());
  const read = async (path: string, headers: Record<string, string> = {}) => {
    const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = get(
        { port, host: "127.0.0.1", path, headers: { "synod-user": "alice", ...headers }, agent: false },
        resolve,
      );
      outgoing.on("error", reject);
      closers.unshift(() => void outgoing.destroy());
    });
    const reader = { incoming, text: "", isEnded: false };
    incoming.on("data", (bytes: Buffer) => (reader.text += bytes.toString()));
    incoming.on("end", () => (reader.isEnded = true));
    incoming.on("error", () => (reader.isEnded = true));
    return reader;
  };
  return { server, log, door, port, read };
}

/** Answers `sub` at once, with these pieces in the same write. */
const answering =
  (...pieces: Uint8Array[]) =>
  (session: FakeSession): void => {
    session.onReceived = (_bytes, { texts, link }) => {
      if (texts.length === 2) link.write([bytesOf(okSub), ...pieces]);
    };
  };

test("[SSE1] the door says hello and sub in the reader's name, and the stream begins with what follows the answer", async () => {
  const { server, read } = await listening();
  server.onSession = answering(msg(4), msg(5), bytesOf({ t: "caught-up", room, seq: 5 as Seq }));
  const reader = await read("/v1/rooms/lobby/stream?after=3&line=l1&atLeast=2");
  expect(reader.incoming.statusCode).toBe(200);
  expect(reader.incoming.headers).toMatchObject({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "synod-line": "l1",
    "synod-head": "9",
    "synod-node": "n1",
  });
  expect(server.only.texts.map((text) => JSON.parse(text) as object)).toEqual([
    { t: "hello", v: 1, user: "alice" },
    { t: "sub", id: 0, room: "lobby", after: 3, line: "l1", atLeast: 2 },
  ]);
  expect(server.only.link).toMatchObject({ door: "http", format: "event-stream", address: "127.0.0.1" });
  await until(() => reader.text.includes("caught-up"));
  const events = reader.text.trimEnd().split("\n\n");
  expect(events[0]).toMatch(/^retry: \d+$/);
  expect(events.slice(1).map((event) => event.split("\n")[0])).toEqual(["id: 4", "id: 5", "event: caught-up"]);
  const data = JSON.parse(events[1]!.split("\n")[1]!.replace("data: ", "")) as object;
  expect(data).toMatchObject({ t: "msg", room: "lobby", seq: 4, from: "bob", cid: "c4", body: "m4" });
});

test("[SSE2] Last-Event-ID wins over after; without both the stream begins with what is new", async () => {
  const { server, read } = await listening();
  server.onSession = answering();
  const afterOf = (at: number): unknown => (JSON.parse(server.sessions[at]!.texts[1]!) as { after: unknown }).after;
  await read("/v1/rooms/lobby/stream?after=3", { "last-event-id": "7" });
  expect(afterOf(0)).toBe(7);
  await read("/v1/rooms/lobby/stream");
  expect(afterOf(1)).toBe("latest");
  await read("/v1/rooms/lobby/stream?after=latest", { "last-event-id": "" });
  expect(afterOf(2)).toBe("latest");
  const wrong = await read("/v1/rooms/lobby/stream", { "last-event-id": "seven" });
  expect(wrong.incoming.statusCode).toBe(400);
});

test("[SSE3] the status is the outcome of the subscription, whether hello or sub was refused", async () => {
  const { server, read, door } = await listening();
  const refusal: ServerFrame = {
    t: "err",
    id: 0,
    code: "behind",
    message: "only up to 2",
    definite: true,
    retryable: true,
    retryAfterMs: 100,
  };
  server.onSession = (session) => (session.onReceived = () => session.link.write([bytesOf(refusal)]));
  const reader = await read("/v1/rooms/lobby/stream?after=3");
  expect(reader.incoming.statusCode).toBe(503);
  await until(() => reader.isEnded);
  expect(JSON.parse(reader.text)).toMatchObject({
    code: "behind",
    retryable: true,
    retryAfterMs: 100,
    detail: "only up to 2",
  });
  expect(server.only.closedCount).toBe(1);
  expect(door.connectionCount).toBe(0);
  const unknown = await read("/v1/rooms/lobby/stream", { authorization: "Bearer bad" });
  expect(unknown.incoming.statusCode).toBe(401);
  expect(server.sessions).toHaveLength(1);
  server.onSession = (session) => (session.onReceived = () => session.link.close(4401, "no hello in time"));
  expect((await read("/v1/rooms/lobby/stream")).incoming.statusCode).toBe(401);
  server.refusal = new Fault("overloaded", "too many connections", { retryAfterMs: 1_000 });
  expect((await read("/v1/rooms/lobby/stream")).incoming.statusCode).toBe(503);
});

test("[SSE3] HEAD opens no stream", async () => {
  const { server, port } = await listening();
  const status = await new Promise((resolve, reject) => {
    const headers = { "synod-user": "alice" };
    const outgoing = request({
      port,
      host: "127.0.0.1",
      method: "HEAD",
      path: "/v1/rooms/lobby/stream",
      headers,
      agent: false,
    });
    outgoing.on("response", (incoming) => resolve(incoming.statusCode));
    outgoing.on("error", reject);
    outgoing.end();
  });
  expect(status).toBe(400);
  expect(server.sessions).toEqual([]);
});

test("[SSE1] the answer may come in one piece with what follows or in several, in one write or in two", async () => {
  const answer = bytesOf(okSub);
  for (let cut = 0; cut <= answer.length; cut += 9) {
    const { server, read } = await listening();
    server.onSession = (session) =>
      (session.onReceived = (_bytes, { texts, link }) => {
        if (texts.length !== 2) return;
        link.write([answer.subarray(0, cut)]);
        link.write([Buffer.concat([answer.subarray(cut), msg(1)]), msg(2)]);
      });
    const reader = await read("/v1/rooms/lobby/stream?after=0");
    await until(() => reader.text.includes('"m2"'));
    expect(reader.text.match(/^id: \d+$/gm)).toEqual(["id: 1", "id: 2"]);
    expect(reader.text).not.toContain("event: ok");
  }
});

test("[SSE4] what is not for a reader is not shown; a pong is a comment", async () => {
  const { server, read } = await listening();
  server.onSession = answering();
  const reader = await read("/v1/rooms/lobby/stream");
  const hidden: ServerFrame[] = [
    { t: "typing", room, user: "bob" as UserName },
    { t: "read", room, user: "bob" as UserName, seq: 3 as Seq },
    { t: "presence", room, count: 3 },
    { t: "room", room: "@alice,bob" as RoomName, line: place.line, first: 1 as Seq, head: 1 as Seq, read: 0 as Seq },
  ];
  for (const frame of hidden) expect(bytesOf(frame)).toHaveLength(0);
  server.only.link.write([bytesOf({ t: "pong", id: 0 }), bytesOf({ t: "drain", withinMs: 5 })]);
  await until(() => reader.text.includes("drain"));
  expect(reader.text.split("\n\n").slice(1)).toEqual([":", 'event: drain\ndata: {"t":"drain","withinMs":5}', ""]);
});

test("[SSE5] behind a gap for good the id goes on, behind one that may heal the reader asks again from where it was", async () => {
  const { server, read } = await listening();
  const gap = (reason: string): ServerFrame => ({ t: "gap", room, from: 3 as Seq, to: 6 as Seq, reason });
  const head = (reason: string): string =>
    Buffer.from(bytesOf(gap(reason)))
      .toString()
      .split("\n")[0]!;
  expect([head("retention"), head("deleted"), head("reset"), head("unavailable")]).toEqual([
    "id: 6",
    "id: 6",
    "id: 0",
    "event: gap",
  ]);
  for (const [reason, ends] of [
    ["retention", false],
    ["reset", false],
    ["deleted", true],
    ["unavailable", true],
  ] as const) {
    server.onSession = answering();
    const reader = await read("/v1/rooms/lobby/stream");
    const session = server.sessions.at(-1)!;
    // A body that looks like a gap is a body.
    session.link.write([
      msg(1, '\nevent: gap\ndata: {"reason":"deleted"}'),
      bytesOf(gap(reason), { t: "caught-up", room, seq: 6 as Seq }),
    ]);
    await until(() => reader.text.includes("caught-up"));
    if (ends) await until(() => reader.isEnded);
    expect([reason, session.closedCount]).toEqual([reason, ends ? 1 : 0]);
  }
});

test("[SSE6] the door speaks for a quiet reader, for all with one timer, and not into a session that waits", async () => {
  const clock = new ManualClock();
  const { server, read, door } = await listening(clock);
  server.onSession = answering();
  await read("/v1/rooms/lobby/stream");
  clock.endTurn();
  await read("/v1/rooms/lobby/stream");
  expect(clock.timerCount).toBe(1);
  clock.advance(smallLimits.heartbeatMs);
  for (const session of server.sessions) expect(session.texts.at(-1)).toBe('{"t":"ping","id":0}');
  server.sessions[0]!.link.pause();
  clock.advance(smallLimits.heartbeatMs);
  expect(server.sessions.map(({ texts }) => texts.length)).toEqual([3, 4]);
  await door.close();
  expect(clock.timerCount).toBe(0);
});

test("[DOOR7] a reader that goes is the end of its session, also before the stream began", async () => {
  const { server, read, door } = await listening();
  server.onSession = answering();
  const reader = await read("/v1/rooms/lobby/stream");
  reader.incoming.destroy();
  await until(() => server.only.closedCount === 1);
  server.onSession = null;
  void read("/v1/rooms/lobby/stream").catch((cause: unknown) => cause);
  await until(() => server.sessions.length === 2);
  await closers.shift()?.();
  await until(() => server.sessions[1]!.closedCount === 1);
  expect(door.connectionCount).toBe(0);
});

test("[DOOR4] what a reader does not take is counted, and drained is told once it has", async () => {
  const { server, read } = await listening();
  server.onSession = answering();
  const reader = await read("/v1/rooms/lobby/stream");
  reader.incoming.pause();
  const { link } = server.only;
  let n = 0;
  await until(() => {
    for (let i = 0; i < 50; i++) link.write([msg(++n, "x".repeat(20_000))]);
    return link.queuedBytes() > 1_000_000;
  });
  reader.incoming.resume();
  await until(() => server.only.drainedCount > 0 && link.queuedBytes() === 0);
  await until(() => reader.text.includes(`id: ${n}\n`));
  expect(reader.text.match(/^id: \d+$/gm)).toEqual(Array.from({ length: n }, (_, i) => `id: ${i + 1}`));
});
