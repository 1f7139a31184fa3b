import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { Fault } from "../../src/base/error-codes.ts";
import type { UserName } from "../../src/base/ids.ts";
import { defaultHttpTimes, HttpListener } from "../../src/doors/http-listener.ts";
import { WebSocketDoor } from "../../src/doors/websocket-door.ts";
import { decodeBinary, encodeBinary } from "../../src/protocol/binary-codec.ts";
import { encodeJson } from "../../src/protocol/json-codec.ts";
import type { ClientFrame } from "../../src/protocol/schema.ts";
import { concat, FakeServer, headed, realClock, RememberingLog, smallLimits, until } from "./fake-server.ts";
import { maskedFrame, RawWebSocket } from "./raw-websocket.ts";

const hello: ClientFrame = { t: "hello", v: 1, user: "alice" as UserName };
const helloText = encodeJson("client", hello);
const ping = (id: number): ClientFrame => ({ t: "ping", id });
const binary = { "Sec-WebSocket-Protocol": "synod.v1.bin" };

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function listening(trust = { origins: ["https://friend.example"], hosts: null as readonly string[] | null }) {
  const server = new FakeServer();
  const log = new RememberingLog();
  const door = new WebSocketDoor({ server, limits: smallLimits, log, trust });
  const listener = new HttpListener({
    handle: (_request, response) => void response.end("page"),
    upgrade: (request, socket, head) => door.upgrade(request, socket, head),
    connectionsMax: 100,
    held: null,
    times: defaultHttpTimes,
    clock: realClock,
  });
  const port = await listener.listen({ host: "127.0.0.1", port: 0 });
  closers.push(() => {
    door.destroyAll();
    return listener.close();
  });
  const dial = (options: ConstructorParameters<typeof RawWebSocket>[1] = {}): RawWebSocket => {
    const client = new RawWebSocket(port, options);
    closers.unshift(() => void client.socket.destroy());
    return client;
  };
  const open = async (options: ConstructorParameters<typeof RawWebSocket>[1] = {}): Promise<RawWebSocket> => {
    const client = dial(options);
    await until(() => client.answer !== "");
    expect(client.status).toBe(101);
    return client;
  };
  return { server, log, door, port, dial, open };
}

test("[WS1] without a subprotocol it is JSON; with several, the client's first that is spoken here", async () => {
  const { server, open } = await listening();
  const plain = await open();
  expect(plain.answer.toLowerCase()).not.toContain("sec-websocket-protocol");
  expect(server.sessions.at(-1)!.link.format).toBe("json-websocket");
  const chosen = await open({ headers: { "Sec-WebSocket-Protocol": "graphql-ws, synod.v1.bin, synod.v1.json" } });
  expect(chosen.answer.toLowerCase()).toContain("sec-websocket-protocol: synod.v1.bin");
  expect(server.sessions.at(-1)!.link.format).toBe("binary-websocket");
  expect(server.sessions.at(-1)!.link.address).toBe("127.0.0.1");
});

test("[WS1] who offers only what is not spoken here is refused, and has no session", async () => {
  const { server, dial } = await listening();
  const client = dial({ headers: { "Sec-WebSocket-Protocol": "synod.v2.json" } });
  await until(() => client.isClosed);
  expect(client.status).toBe(400);
  expect(client.answer).toContain('"unsupported"');
  expect(server.sessions).toEqual([]);
});

test.each([
  ["another path", { path: "/v1/ws/more" }, 404],
  ["a foreign origin", { headers: { Origin: "https://evil.example" } }, 403],
  ["an origin that is null", { headers: { Origin: "null" } }, 403],
  ["cookies without an origin", { headers: { Cookie: "a=b" } }, 403],
  ["a method that is no upgrade", { headers: { Upgrade: "h2c" } }, 400],
  ["a key that is none", { headers: { "Sec-WebSocket-Key": "short" } }, 400],
  ["a version that is none", { headers: { "Sec-WebSocket-Version": "7" } }, 400],
])(
  "[WS2] an upgrade is refused for %s, and the session, if there was one, is closed",
  async (_name, options, status) => {
    const { server, dial, door } = await listening();
    const client = dial(options);
    await until(() => client.isClosed);
    expect(client.status).toBe(status);
    for (const session of server.sessions) expect(session.closedCount).toBe(1);
    expect(door.connectionCount).toBe(0);
  },
);

test("[WS2] pages of the same host and of listed origins may", async () => {
  const { open, port } = await listening();
  await open({ headers: { Origin: `http://127.0.0.1:${port}` } });
  await open({ headers: { Origin: "https://friend.example", Cookie: "a=b" } });
});

test("[DOOR6] a refused connection is told why before the handshake", async () => {
  const { server, dial } = await listening();
  server.refusal = new Fault("overloaded", "too many connections", { retryAfterMs: 1_500 });
  const client = dial();
  await until(() => client.isClosed);
  expect(client.status).toBe(503);
  expect(client.answer.toLowerCase()).toContain("retry-after: 2");
  expect(client.answer).toContain('"retryAfterMs":1500');
});

test("[DOOR1] messages come whole at every place where the stream can be cut", async () => {
  const { server, open } = await listening();
  const stream = concat([
    maskedFrame(helloText),
    maskedFrame(encodeJson("client", ping(1))),
    maskedFrame("[", { isFinal: false }),
    maskedFrame(new Uint8Array(0), { opcode: 9 }),
    maskedFrame(`${encodeJson("client", ping(2))}]`, { opcode: 0 }),
  ]);
  const whole = [helloText, encodeJson("client", ping(1)), `[${encodeJson("client", ping(2))}]`];
  // In one turn the pieces may still arrive together; every second cut is waited for.
  for (let cut = 1; cut < stream.length; cut += 3) {
    const client = await open();
    const session = server.sessions.at(-1)!;
    client.socket.write(stream.slice(0, cut));
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    client.socket.write(stream.slice(cut));
    await until(() => session.texts.length === 3);
    expect(session.texts).toEqual(whole);
    client.socket.destroy();
  }
});

test("[DOOR1] bytes that follow the upgrade in the same packet are not lost", async () => {
  const { server, port } = await listening();
  const socket = connect(port, "127.0.0.1");
  closers.unshift(() => void socket.destroy());
  const head = `GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
  socket.write(concat([new TextEncoder().encode(head), maskedFrame(helloText)]));
  await until(() => server.sessions.length === 1 && server.only.texts.length === 1);
  expect(server.only.texts).toEqual([helloText]);
});

test("[DOOR2] before the first message is taken a longer one is refused by its declared length; after it, up to frameBytesMax", async () => {
  const { server, open } = await listening();
  const early = await open();
  early.send("", { declared: smallLimits.helloBytesMax + 1 });
  await until(() => early.isClosed);
  expect(early.closeCode).toBe(1009);
  expect(server.sessions[0]!.closedCount).toBe(1);

  const late = await open();
  const session = server.sessions[1]!;
  late.send(helloText);
  await until(() => session.texts.length === 1);
  late.send("x".repeat(smallLimits.frameBytesMax));
  await until(() => session.texts.length === 2);
  expect(session.received_[1]).toHaveLength(smallLimits.frameBytesMax);
  late.send("", { declared: smallLimits.frameBytesMax + 1 });
  await until(() => late.isClosed);
  expect(late.closeCode).toBe(1009);
});

test("[DOOR2] a bound holds for a message in fragments too", async () => {
  const { server, open } = await listening();
  const client = await open();
  client.send("x".repeat(smallLimits.helloBytesMax), { isFinal: false });
  client.send("x", { opcode: 0, isFinal: false });
  await until(() => client.isClosed);
  expect(client.closeCode).toBe(1009);
  expect(server.only.received_).toEqual([]);
});

test("[WS3] 130,000 fragments of one byte end the connection long before they are a message", async () => {
  const { server, open } = await listening();
  const client = await open();
  client.send(helloText);
  const one = maskedFrame("x", { opcode: 0, isFinal: false });
  const many = concat(Array.from({ length: 1_000 }, () => one));
  client.send("x", { isFinal: false });
  for (let sent = 0; sent < 130 && !client.isClosed; sent++) {
    client.socket.write(many);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  await until(() => client.isClosed || client.closeCode !== null);
  expect(client.closeCode ?? 1008).toBe(1008);
  expect(server.only.texts).toEqual([helloText]);
});

test.each([
  ["a frame without a mask", Uint8Array.of(0x81, 0x01, 0x61)],
  ["reserved bits", Uint8Array.of(0xf1, 0x80, 0, 0, 0, 0)],
  ["an unknown opcode", Uint8Array.of(0x83, 0x80, 0, 0, 0, 0)],
  ["a ping in fragments", Uint8Array.of(0x09, 0x80, 0, 0, 0, 0)],
  ["a ping of 126 bytes", Uint8Array.of(0x89, 0xfe, 0, 126, 0, 0, 0, 0)],
  ["a continuation of nothing", Uint8Array.of(0x80, 0x80, 0, 0, 0, 0)],
  ["a compressed message that was not negotiated", Uint8Array.of(0xc1, 0x80, 0, 0, 0, 0)],
])("[DOOR9] %s ends that connection with 1002, and no other", async (_name, bytes) => {
  const { server, open, log } = await listening();
  const client = await open();
  const other = await open();
  client.socket.write(bytes);
  await until(() => client.closeCode !== null);
  expect(client.closeCode).toBe(1002);
  expect(server.sessions[0]!.closedCount).toBe(1);
  other.send(helloText);
  await until(() => server.sessions[1]!.texts.length === 1);
  expect(log.events).toEqual([]);
});

test("[WS4] bytes that are no UTF-8 are the codec's to refuse: they reach the session as they are", async () => {
  const { server, open } = await listening();
  const client = await open();
  client.send(Uint8Array.of(0x22, 0xff, 0x22));
  await until(() => server.only.received_.length === 1);
  expect([...server.only.received_[0]!]).toEqual([0x22, 0xff, 0x22]);
});

test("[WS5] a binary message must hold whole frames; what does not is told and ended", async () => {
  const { server, open } = await listening();
  const greeting = encodeBinary("client", hello);
  const client = await open({ headers: binary });
  const session = server.sessions.at(-1)!;
  client.send(greeting, { opcode: 2 });
  client.send(concat([encodeBinary("client", ping(1)), encodeBinary("client", ping(2))]), { opcode: 2 });
  await until(() => session.received_.length === 2);
  for (const broken of [greeting.slice(0, 3), greeting.slice(0, -1), concat([greeting, Uint8Array.of(0)])]) {
    const worse = await open({ headers: binary });
    worse.send(broken, { opcode: 2 });
    await until(() => worse.isClosed || worse.closeCode !== null);
    const [said] = worse.frames;
    expect(said!.opcode).toBe(2);
    expect(decodeBinary("server", said!.payload, 0, said!.payload.length, smallLimits)).toMatchObject({
      code: "bad_request",
    });
    expect(worse.closeCode).toBe(1008);
    expect(server.sessions.at(-1)!.received_).toEqual([]);
  }
});

test("[DOOR5] what is handed over is on the wire as it is, in order", async () => {
  const { server, open } = await listening();
  const client = await open();
  const frames = ["one", "two", "three"].map((text) => headed(0x81, new TextEncoder().encode(text)));
  server.only.link.write(frames);
  await until(() => client.texts.length === 3);
  expect(client.texts).toEqual(["one", "two", "three"]);
});

test("[DOOR3][DOOR4] a reader that never reads stops being read; once it reads, everything goes on", async () => {
  const { server, open } = await listening();
  server.onSession = (session) =>
    (session.onReceived = () => session.link.write([headed(0x81, new Uint8Array(60_000).fill(0x61))]));
  const client = await open();
  client.socket.pause();
  const flood = concat(Array.from({ length: 50 }, () => maskedFrame(encodeJson("client", ping(1)))));
  let isFull = 0;
  const more = (): void => {
    if (isFull > 20) return;
    if (!client.socket.write(flood)) isFull++;
    setTimeout(more, 1);
  };
  more();
  await until(() => isFull > 20 && server.only.link.queuedBytes() > 0);
  const before = server.only.received_.length;
  client.socket.resume();
  await until(() => server.only.received_.length > before && server.only.drainedCount > 0);
});

test("[DOOR3] while the session says pause the socket is not read", async () => {
  const { server, open } = await listening();
  const client = await open();
  const session = server.only;
  session.onReceived = () => session.link.pause();
  client.send(helloText);
  await until(() => session.texts.length === 1);
  client.send(encodeJson("client", ping(1)));
  await new Promise((resolve) => {
    setTimeout(resolve, 20);
  });
  expect(session.texts).toHaveLength(1);
  session.onReceived = null;
  session.link.resume();
  await until(() => session.texts.length === 2);
});

test("[WS6] the server's close code reaches the client after everything that was written, and the client's answer ends it", async () => {
  const { server, port, door } = await listening();
  const client = new WebSocket(`ws://127.0.0.1:${port}/v1/ws`);
  closers.unshift(() => client.terminate());
  const heard: string[] = [];
  client.on("message", (data: Buffer) => heard.push(data.toString()));
  client.on("close", (code, reason) => heard.push(`${code} ${reason.toString()}`));
  await until(() => server.sessions.length === 1 && client.readyState === WebSocket.OPEN);
  server.only.say({ t: "pong", id: 1 });
  server.only.link.close(1012, "restarting");
  server.only.say({ t: "pong", id: 2 });
  await until(() => heard.length === 2);
  expect(heard).toEqual(['{"t":"pong","id":1}', "1012 restarting"]);
  await until(() => door.connectionCount === 0);
  expect(server.only.closedCount).toBe(1);
});

test("[WS6] a paused connection can still be closed by the server", async () => {
  const { server, port } = await listening();
  const client = new WebSocket(`ws://127.0.0.1:${port}/v1/ws`);
  closers.unshift(() => client.terminate());
  let code = 0;
  client.on("close", (given) => (code = given));
  await until(() => server.sessions.length === 1 && client.readyState === WebSocket.OPEN);
  server.only.link.pause();
  server.only.link.close(4401, "no hello in time");
  await until(() => code !== 0);
  expect(code).toBe(4401);
});

test("[DOOR9] an error in one session ends that connection with 1011, is logged, and leaves the others", async () => {
  const { server, open, log } = await listening();
  const client = await open();
  server.only.onReceived = () => {
    throw new TypeError("poison");
  };
  client.send(helloText);
  await until(() => client.closeCode !== null);
  expect(client.closeCode).toBe(1011);
  expect(log.events).toEqual(["door.failed"]);
});

test("[DOOR7] a reset is the end of that connection, told once", async () => {
  const { server, open, door } = await listening();
  const client = await open();
  client.socket.resetAndDestroy();
  await until(() => door.connectionCount === 0);
  expect(server.only.closedCount).toBe(1);
  server.only.link.write([Uint8Array.of(1)]);
  server.only.link.close(1001, "");
  expect(server.only.closedCount).toBe(1);
});

test("[WS7] pings are answered, also in the middle of a message", async () => {
  const { open } = await listening();
  const client = await open();
  client.send("[", { isFinal: false });
  client.send("are you there", { opcode: 9 });
  await until(() => client.frames.length === 1);
  expect(client.frames[0]!.opcode).toBe(10);
  expect(new TextDecoder().decode(client.frames[0]!.payload)).toBe("are you there");
});
