import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { AssertionFailure } from "../../src/base/assert.ts";
import { lingerMs, TcpDoor } from "../../src/doors/tcp-door.ts";
import { TcpListener } from "../../src/doors/tcp-listener.ts";
import { decodeBinary, encodeBinary } from "../../src/protocol/binary-codec.ts";
import { decodeJson, encodeJson } from "../../src/protocol/json-codec.ts";
import { binaryGreeting, type ClientFrame } from "../../src/protocol/schema.ts";
import type { UserName } from "../../src/base/ids.ts";
import { concat, FakeServer, ManualClock, realClock, RememberingLog, smallLimits, until } from "./fake-server.ts";
import { MemoryStream } from "./memory-stream.ts";

const hello: ClientFrame = { t: "hello", v: 1, user: "alice" as UserName };
const ping = (id: number): ClientFrame => ({ t: "ping", id });
const line = (frame: ClientFrame): string => `${encodeJson("client", frame)}\n`;

function door() {
  const server = new FakeServer();
  const clock = new ManualClock();
  const log = new RememberingLog();
  return { server, clock, log, door: new TcpDoor({ server, clock, limits: smallLimits, log }) };
}

/** A door with one client. */
function met() {
  const made = door();
  const stream = new MemoryStream();
  made.door.accept(stream);
  return { ...made, stream, session: made.server.only };
}

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

test("[DOOR1] lines come whole at every place where a stream can be cut in two", () => {
  const bytes = new TextEncoder().encode(
    `${line(hello)}${line(ping(1))}\r\n[${encodeJson("client", ping(2))}]\r\n${line(ping(3))}`,
  );
  const whole = [hello, ping(1), "", ping(3)].map((f) =>
    f === "" ? `[${encodeJson("client", ping(2))}]` : encodeJson("client", f as ClientFrame),
  );
  for (let cut = 0; cut <= bytes.length; cut++) {
    const { stream, session } = met();
    stream.arrive(bytes.slice(0, cut));
    stream.arrive(bytes.slice(cut));
    expect(session.texts).toEqual(whole);
  }
});

test("[DOOR1][TCP1] binary frames come whole at every place where a stream can be cut in three, the greeting included", () => {
  const frames = [encodeBinary("client", hello), encodeBinary("client", ping(1)), encodeBinary("client", ping(2))];
  const bytes = concat([Uint8Array.of(binaryGreeting), ...frames]);
  const whole = concat(frames);
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second++) {
      const { stream, session } = met();
      stream.arrive(bytes.slice(0, first));
      stream.arrive(bytes.slice(first, second));
      stream.arrive(bytes.slice(second));
      expect(session.link.format).toBe("binary-stream");
      expect(session.bytes).toEqual(whole);
      expect([...stream.written]).toEqual([binaryGreeting]);
      // Every piece holds whole frames, or the session would read beyond it.
      for (const piece of session.received_) {
        let at = 0;
        while (at < piece.length) at += 4 + new DataView(piece.buffer, piece.byteOffset).getUint32(at, true);
        expect(at).toBe(piece.length);
      }
    }
  }
});

test("[DOOR5] binary frames that came together are handed over together, and what is written leaves as one write", () => {
  const { stream, session } = met();
  stream.arrive(concat([Uint8Array.of(binaryGreeting), encodeBinary("client", hello)]));
  stream.arrive(
    concat([encodeBinary("client", ping(1)), encodeBinary("client", ping(2)), encodeBinary("client", ping(3))]),
  );
  expect(session.received_).toHaveLength(2);
  const pieces = [Uint8Array.of(1), Uint8Array.of(2)];
  session.link.write(pieces);
  expect(stream.writes).toEqual([[Uint8Array.of(binaryGreeting)], pieces]);
});

test("[DOOR1] 130,000 pieces of one byte are one line, and cost no more than the line", () => {
  const { stream, session } = met();
  stream.arrive(line(hello));
  const lines = Math.ceil(130_000 / line(ping(7)).length);
  const bytes = new TextEncoder().encode(line(ping(7)).repeat(lines));
  for (let at = 0; at < 130_000; at++) stream.arrive(bytes.subarray(at, at + 1));
  expect(session.texts.length).toBe(1 + Math.floor(130_000 / line(ping(7)).length));
  expect(new Set(session.texts.slice(1)).size).toBe(1);
});

test("[DOOR2] a first frame above the bound ends the connection with too_large, without waiting for its end", () => {
  const { stream, session, clock } = met();
  stream.arrive(`{"t":"hello","v":1,"user":"${"a".repeat(smallLimits.helloBytesMax)}`);
  clock.endTurn();
  expect(JSON.parse(stream.text)).toMatchObject({ t: "err", code: "too_large", definite: true, retryable: false });
  expect(stream.state).toBe("ended");
  expect(session.received_).toEqual([]);
  expect(session.closedCount).toBe(1);
});

test("[DOOR2] after the first frame a frame may be as long as frameBytesMax, and one byte more ends the connection", () => {
  const { stream, session, clock } = met();
  stream.arrive(line(hello));
  stream.arrive(`${"x".repeat(smallLimits.frameBytesMax)}\n`);
  expect(session.received_.at(-1)).toHaveLength(smallLimits.frameBytesMax);
  stream.arrive(`${"x".repeat(smallLimits.frameBytesMax + 1)}\n`);
  clock.endTurn();
  expect(stream.text).toContain('"too_large"');
  expect(stream.state).toBe("ended");
});

test("[DOOR2] a declared length decides, not what comes: too long, or too short to be a frame", () => {
  for (const declared of [0, 1, 0xffff_ffff, smallLimits.frameBytesMax]) {
    const { stream, clock, session } = met();
    stream.arrive(concat([Uint8Array.of(binaryGreeting), encodeBinary("client", hello)]));
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, declared, true);
    stream.arrive(length);
    clock.endTurn();
    // The server's own greeting byte comes first.
    const answer = decodeBinary("server", stream.written.slice(1), 0, stream.written.length - 1, smallLimits);
    expect(answer).toMatchObject({ t: "err", code: declared < 9 ? "bad_request" : "too_large" });
    expect(session.closedCount).toBe(1);
    expect(stream.state).toBe("ended");
  }
});

test("[DOOR10] frames before a broken one are handed over, and their answers are written first", () => {
  const { stream, session, clock } = met();
  session.onReceived = (bytes) =>
    clock.defer(() => session.link.write([new TextEncoder().encode(`answer ${bytes.length}\n`)]));
  stream.arrive(`${line(hello)}${line(ping(1))}${"x".repeat(smallLimits.frameBytesMax + 2)}`);
  clock.endTurn();
  const said = stream.text.trimEnd().split("\n");
  expect(said.slice(0, 2)).toEqual([`answer ${line(hello).length - 1}`, `answer ${line(ping(1)).length - 1}`]);
  expect(said[2]).toContain("too_large");
});

test("[DOOR3] while the session says pause nothing is handed over, and afterwards everything in order", () => {
  const { stream, session } = met();
  session.onReceived = () => session.link.pause();
  stream.arrive([1, 2, 3].map((id) => line(ping(id))).join("") + line(ping(4)).slice(0, 5));
  expect(session.texts).toHaveLength(1);
  expect(stream.isPaused).toBe(true);
  stream.arrive(line(ping(4)).slice(5));
  // Each resume lets one more through, because the session pauses again.
  for (let id = 2; id <= 4; id++) {
    session.link.resume();
    expect(session.texts).toHaveLength(id);
  }
  expect(session.texts.map((text) => (JSON.parse(text) as { id: number }).id)).toEqual([1, 2, 3, 4]);
  session.link.resume();
  expect(stream.isPaused).toBe(false);
});

test("[DOOR4] a client that does not read its answers is not read, until it has taken them", () => {
  const { stream, session } = met();
  stream.isStuck = true;
  session.onReceived = () => session.link.write([new Uint8Array(3_000)]);
  stream.arrive([1, 2, 3, 4].map((id) => line(ping(id))).join(""));
  // Two answers pass the bound of 4,096 bytes: the third question waits.
  expect(session.texts).toHaveLength(2);
  expect(session.link.queuedBytes()).toBe(6_000);
  expect(stream.isPaused).toBe(true);
  stream.takeAll();
  expect(session.drainedCount).toBe(1);
  expect(session.texts).toHaveLength(4);
  expect(stream.isPaused).toBe(false);
});

test("[DOOR4] neither reason to stop reading lifts the other", () => {
  const { stream, session } = met();
  stream.arrive(line(hello));
  stream.isStuck = true;
  session.link.write([new Uint8Array(5_000)]);
  session.link.pause();
  session.link.resume();
  expect(stream.isPaused).toBe(true);
  session.link.pause();
  stream.takeAll();
  expect(stream.isPaused).toBe(true);
  session.link.resume();
  expect(stream.isPaused).toBe(false);
});

test("[DOOR6] a refused connection is told why and never has a session", () => {
  const { door: entrance, server, clock } = door();
  server.refusal = new Fault("overloaded", "too many connections", { retryAfterMs: 1_000 });
  const stream = new MemoryStream();
  entrance.accept(stream);
  expect(JSON.parse(stream.text)).toMatchObject({ t: "err", code: "overloaded", retryable: true, retryAfterMs: 1_000 });
  expect(stream.state).toBe("ended");
  stream.arrive(line(hello));
  expect(server.sessions).toEqual([]);
  clock.advance(lingerMs);
  expect(entrance.connectionCount).toBe(0);
});

test("[DOOR7] closed is told once, and nothing is written after it", () => {
  const { stream, session, door: entrance } = met();
  stream.arrive(line(hello));
  stream.state = "destroyed";
  stream.receiver!.closed();
  session.link.write([Uint8Array.of(1)]);
  session.link.close(1001, "");
  expect(session.closedCount).toBe(1);
  expect(stream.writes).toEqual([]);
  expect(entrance.connectionCount).toBe(0);
});

test("[DOOR8] a client that never answers the end is cut off, and what it still sends is dropped", () => {
  const { stream, session, clock, door: entrance } = met();
  session.link.pause();
  session.link.close(1012, "restarting");
  expect(stream.state).toBe("ended");
  expect(stream.isPaused).toBe(false);
  stream.arrive(line(hello));
  expect(session.received_).toEqual([]);
  clock.advance(lingerMs - 1);
  expect(stream.state).toBe("ended");
  clock.advance(1);
  expect(stream.state).toBe("destroyed");
  expect(entrance.connectionCount).toBe(0);
});

test("[DOOR9] an error in one session ends that connection alone; a broken assertion is not survived", () => {
  const { stream, session, door: entrance, log, server } = met();
  const other = new MemoryStream();
  entrance.accept(other);
  session.onReceived = () => {
    throw new TypeError("poison");
  };
  stream.arrive(line(hello));
  expect(stream.state).toBe("ended");
  expect(log.events).toEqual(["door.failed"]);
  other.arrive(line(hello));
  expect(server.sessions[1]!.texts).toHaveLength(1);
  server.sessions[1]!.onReceived = () => {
    throw new AssertionFailure("two heads");
  };
  expect(() => other.arrive(line(hello))).toThrow("two heads");
});

test("[DOOR11] what waits stays as it was sent, though the memory of the stream has served for something else since", () => {
  const { stream, session, door: entrance } = met();
  stream.arrive(line(hello));
  session.onReceived = () => session.link.pause();
  const lines = Array.from({ length: 50 }, (_, n) => line(ping(n)));
  stream.arrive(lines.join(""));
  expect(session.texts).toHaveLength(2);
  // Nothing of it is the door's: it holds a copy of what the session has not been given.
  expect(entrance.memory.spareBytes).toBe(0);
  while (stream.isPaused) session.link.resume();
  expect(session.texts).toEqual([hello, ...lines.map((_, n) => ping(n))].map((frame) => line(frame).trimEnd()));
  expect(entrance.memory.spareBytes).toBeGreaterThan(0);
  // The same memory serves the next time.
  const { spareBytes } = entrance.memory;
  stream.arrive(lines.join(""));
  expect(entrance.memory.spareBytes).toBe(0);
  while (stream.isPaused) session.link.resume();
  expect(entrance.memory.spareBytes).toBe(spareBytes);
});

test("[DOOR11] frames that came whole are all the session's to hold, also when it says pause at the first of them", () => {
  const { stream, session, door: entrance } = met();
  const frames = Array.from({ length: 50 }, (_, n) => encodeBinary("client", ping(n + 1)));
  const [first, ...others] = frames;
  stream.arrive(concat([Uint8Array.of(binaryGreeting), encodeBinary("client", hello), first!.subarray(0, 9)]));
  session.onReceived = () => session.link.pause();
  stream.arrive(concat([first!.subarray(9), ...others]));
  expect(session.bytes).toEqual(concat([encodeBinary("client", hello), ...frames]));
  expect(entrance.memory.spareBytes).toBe(0);
});

async function listening() {
  const server = new FakeServer();
  const log = new RememberingLog();
  const entrance = new TcpDoor({ server, clock: realClock, limits: smallLimits, log });
  const listener = new TcpListener(entrance);
  const port = await listener.listen({ host: "127.0.0.1", port: 0 });
  closers.push(() => listener.close());
  const dial = (): Socket => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => socket.destroy());
    closers.unshift(async () => void socket.destroy());
    return socket;
  };
  return { server, log, entrance, listener, dial, port };
}

test("[DOOR1][DOOR5] over a real socket: a client asks and is answered", async () => {
  const { server, dial } = await listening();
  server.onSession = (session) => (session.onReceived = () => session.say({ t: "pong", id: session.texts.length }));
  const socket = dial();
  socket.write(line(hello) + line(ping(1)));
  let text = "";
  socket.on("data", (bytes) => (text += bytes.toString()));
  await until(() => text.split("\n").length === 3);
  const frames: unknown[] = [];
  for (const said of text.trimEnd().split("\n")) decodeJson("server", said, smallLimits, frames as never);
  expect(frames).toEqual([
    { t: "pong", id: 1 },
    { t: "pong", id: 2 },
  ]);
  expect(server.only.link.address).toBe("127.0.0.1");
});

test("[DOOR11] over a real socket: a read gives its memory back when it was looked at", async () => {
  const { server, dial } = await listening();
  const lent: Uint8Array[] = [];
  server.onSession = (session) => (session.onReceived = (bytes) => void lent.push(bytes));
  const socket = dial();
  const frame = encodeBinary("client", ping(7));
  const greeting = concat([Uint8Array.of(binaryGreeting), encodeBinary("client", hello)]);
  socket.write(concat([greeting, ...Array.from({ length: 20_000 }, () => frame)]));
  await until(
    () => server.sessions.length === 1 && server.only.bytes.length === 20_000 * frame.length + greeting.length - 1,
  );
  // Pieces of long reads have no memory any more; what was taken from them in time is what was sent.
  expect(lent.filter((bytes) => bytes.buffer.byteLength === 0).length).toBeGreaterThan(3);
  expect(server.only.bytes.subarray(-frame.length)).toEqual(frame);
});

test("[DOOR4] over a real socket: a reader that never reads stops being read, and costs a bounded queue", async () => {
  const { server, dial } = await listening();
  server.onSession = (session) => (session.onReceived = () => session.link.write([new Uint8Array(100_000)]));
  const socket = dial();
  socket.pause();
  const flood = line(ping(1)).repeat(100);
  let refusedAt = 0;
  const more = (): void => {
    // The client's own socket fills up once the door reads no more.
    if (refusedAt > 20) return;
    if (!socket.write(flood)) refusedAt++;
    setTimeout(more, 1);
  };
  more();
  await until(() => server.sessions.length === 1 && server.only.link.queuedBytes() > 0 && refusedAt > 20);
  expect(server.only.link.queuedBytes()).toBeLessThan(smallLimits.socketQueueBytesMax + 100_001);
  const readBefore = server.only.received_.length;
  socket.resume();
  await until(() => server.only.received_.length > readBefore);
});

test("[DOOR7] over a real socket: a reset is the end of that connection only", async () => {
  const { server, dial } = await listening();
  const one = dial();
  const other = dial();
  await until(() => server.sessions.length === 2);
  one.write("{");
  one.resetAndDestroy();
  await until(() => server.sessions.some((session) => session.closedCount === 1));
  other.write(line(hello));
  await until(() => server.sessions.some((session) => session.texts.length === 1));
});

test("[TCP2] a closed door has ended everybody and freed its port", async () => {
  const { server, dial, listener, port, entrance } = await listening();
  const socket = dial();
  await until(() => server.sessions.length === 1);
  await listener.close();
  expect(server.only.closedCount).toBe(1);
  expect(entrance.connectionCount).toBe(0);
  await once(socket, "close");
  const late = connect(port, "127.0.0.1");
  const [error] = (await once(late, "error")) as [NodeJS.ErrnoException];
  expect(error.code).toBe("ECONNREFUSED");
});
