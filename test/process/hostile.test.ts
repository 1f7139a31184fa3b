import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { endlessFragments, silentSockets } from "../../scripts/hostile/attackers.mjs";
import { maskedFrame, RawWebSocket } from "../doors/raw-websocket.ts";
import { type Frame, LineClient } from "./support/line-client.ts";
import { ServerProcess, until } from "./support/server-process.ts";

const MiB = 1024 * 1024;
const helloWithinMs = 1_500;

let server: ServerProcess;
let neighbour: LineClient;
let heartbeat: NodeJS.Timeout | undefined;
let before = 0;
let said = 0;

beforeAll(async () => {
  server = await ServerProcess.start({ limits: { helloWithinMs } });
  neighbour = await LineClient.open(server.ports.tcpPort, "neighbour");
  expect((await neighbour.ask({ t: "join", room: "lobby" })).t).toBe("ok");
  before = server.residentBytes();
  // Whoever is silent for long is closed, and some tests take long.
  heartbeat = setInterval(() => neighbour.write({ t: "ping", id: "beat" }), 5_000);
});

const sockets: Socket[] = [];
beforeEach(() => {
  said = 0;
});

// Whatever was done to the server: it lives, and others are answered.
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  expect(
    await neighbour.ask({ t: "send", room: "lobby", cid: `after-${Date.now()}-${said++}`, body: "still here" }),
  ).toMatchObject({
    t: "ok",
  });
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  expect(server.isRunning).toBe(true);
  expect(server.faults()).toEqual([]);
  expect(server.residentBytes() - before).toBeLessThan(128 * MiB);
});

afterAll(async () => {
  clearInterval(heartbeat);
  neighbour?.end();
  if (server === undefined) return;
  expect(await server.stop()).toEqual({ code: 0, signal: null });
  expect(server.faults()).toEqual([]);
  expect(server.log()).not.toMatch(/unhandled-rejection|uncaught-exception|door\.failed/);
  await server.dispose();
});

/** Everything that a connection was answered until it ended. */
interface Answered {
  readonly socket: Socket;
  text: string;
  isClosed: boolean;
}

function dial(port: number): Answered {
  const socket = connect(port, "127.0.0.1");
  const answered: Answered = { socket, text: "", isClosed: false };
  sockets.push(socket);
  socket.on("data", (bytes) => {
    if (answered.text.length < 65_536) answered.text += bytes.toString("latin1");
  });
  // A reset is one way to be told no; `close` follows.
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    answered.isClosed = true;
  });
  return answered;
}

const everyPort = (): number[] => [server.ports.port, server.ports.tcpPort, server.ports.adminPort];

test("five thousand connections that say nothing, or one byte and no more, are closed", async () => {
  // More at once than may be there without a greeting: those beyond are refused, the others run out of time.
  const { closed, told } = await silentSockets({ ...server.ports, silent: 2_500, oneByte: 2_500 });
  process.stdout.write(`silent: ${closed} connections closed, ${told} of them with a word\n`);
  expect(closed).toBe(5_000);
  expect(told).toBeGreaterThan(0);
});

test("WebSockets that never greet, and greetings that come a byte at a time, are closed at the deadline", async () => {
  const silent = Array.from({ length: 200 }, () => new RawWebSocket(server.ports.port));
  const slow = Array.from({ length: 50 }, () => dial(server.ports.tcpPort));
  const hello = JSON.stringify({ t: "hello", v: 1, user: "slow" });
  let at = 0;
  const trickle = setInterval(() => {
    for (const { socket } of slow) if (!socket.destroyed) socket.write(hello[at % hello.length]!);
    at++;
  }, 200);
  try {
    await until(() => silent.every(({ isClosed }) => isClosed) && slow.every(({ isClosed }) => isClosed), 50);
  } finally {
    clearInterval(trickle);
    for (const { socket } of silent) socket.destroy();
  }
  expect([...new Set(silent.map(({ closeCode }) => closeCode))]).toEqual([4401]);
  expect(slow.filter(({ text }) => text.includes("welcome"))).toEqual([]);
});

/** Bytes that are nothing anybody should send. */
function garbage(): Uint8Array[] {
  const noise = (length: number, factor: number): Uint8Array =>
    Uint8Array.from({ length }, (_, i) => (Math.imul(i + 1, factor) >>> 13) & 0xff);
  const text = (words: string): Uint8Array => new TextEncoder().encode(words);
  const binary = (...lengths: number[]): Uint8Array => {
    const bytes = new Uint8Array(1 + 4 * lengths.length);
    bytes[0] = 0xb1;
    for (const [i, length] of lengths.entries()) new DataView(bytes.buffer).setUint32(1 + 4 * i, length, true);
    return bytes;
  };
  return [
    new Uint8Array(1),
    new Uint8Array(100_000),
    new Uint8Array(100_000).fill(0xff),
    noise(100_000, 0x9e37_79b1),
    noise(3_000, 0x85eb_ca6b),
    text("\n".repeat(100_000)),
    text(`${"[".repeat(100_000)}\n`),
    text(`${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}\n`),
    text(`{"t":"hello","v":1,"user":"${"x".repeat(1_000_000)}"}\n`),
    Uint8Array.from([...text('{"t":"hello","v":1,"user":"'), 0xc3, 0x28, 0xed, 0xa0, 0x80, ...text('"}\n')]),
    text('{"t":"hello","v":1,"user":"\\ud800"}\n'),
    text('{"t":"hello","v":1e999,"user":"a"}\n{"t":"hello","v":-1}\nnull\n[]\n[[]]\n"x"\n7\n'),
    text('{"__proto__":{"t":"hello"},"constructor":1}\n'),
    binary(0),
    binary(1, 0, 0),
    binary(0x7fff_ffff),
    binary(0x8000_0000),
    binary(0xffff_ffff),
    binary(10, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff),
    text("GET / HTTP/1.1\r\n\r\n"),
    text("GET / HTTP/9.9\r\nHost: x\r\n\r\n"),
    text(`GET /${"a".repeat(200_000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`),
    text("POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n"),
    text("POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    text("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nffffffffff\r\n"),
    text("GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    // The greeting of TLS.
    Uint8Array.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03),
  ];
}

test("garbage on every port ends its own connection and no other", async () => {
  const all: Answered[] = [];
  for (const port of everyPort()) {
    for (const bytes of garbage()) {
      // Whole, and cut into pieces as a slow link would.
      const whole = dial(port);
      whole.socket.write(bytes);
      const cut = dial(port);
      for (let at = 0; at < Math.min(bytes.length, 300); at += 7) cut.socket.write(bytes.subarray(at, at + 7));
      if (bytes.length > 300) cut.socket.write(bytes.subarray(301));
      cut.socket.end();
      all.push(whole, cut);
    }
  }
  // HTTP leaves a connection whose request is not finished until its own deadline.
  await pause(helloWithinMs + 500);
  const greeted = all.filter(({ text }) => text.includes('"welcome"'));
  expect(greeted.length).toBe(0);
  expect(all.filter(({ isClosed }) => isClosed).length).toBeGreaterThan(all.length / 2);
  expect(all.filter(({ text }) => text !== "").length).toBeGreaterThan(20);
});

async function guest(): Promise<LineClient> {
  const client = await LineClient.open(server.ports.tcpPort, "guest");
  sockets.push(client.socket);
  return client;
}

test("frames that are too long, too deep or too many end in a code, also after the greeting", async () => {
  const cases: [string, string[]][] = [
    [`{"t":"ping","id":1,"x":"${"y".repeat(500 * 1024)}"}\n`, ["too_large"]],
    [`{"t":"ping","id":1,"x":${"[".repeat(50_000)}${"]".repeat(50_000)}}\n`, ["bad_request", "too_large"]],
    [`[${"{},".repeat(5_000)}{}]\n`, ["bad_request", "too_large"]],
    [
      `{"t":"ping","id":1,"x":{${Array.from({ length: 40_000 }, (_, n) => `"k${n}":0`).join(",")}}}\n`,
      ["bad_request", "too_large"],
    ],
    ['{"t":"send","id":1,"room":"lobby","cid":"a","body":"\\ud800"}\n', ["bad_request"]],
    ['{"t":"no such thing","id":1}\n', ["unsupported"]],
    ["not JSON at all\n", ["bad_request"]],
  ];
  for (const [text, codes] of cases) {
    const client = await guest();
    const answers: Frame[] = [];
    client.onFrame = (frame) => answers.push(frame);
    client.socket.write(text);
    await until(() => answers.some(({ t }) => t === "err") || client.isClosed);
    expect(codes).toContain(answers.find(({ t }) => t === "err")?.["code"]);
  }
});

test("names that are paths, commands or not what they look like are refused; odd but honest ones are just names", async () => {
  const client = await guest();
  const bad = [
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "a/b",
    "a\\b",
    "..\\..",
    "C:\\",
    "%2e%2e%2f",
    "a%00b",
    "\u0000",
    "a\u0000b",
    "a\nb",
    "a\r\nSet-Cookie: x",
    "\u202eevil",
    "a\u200bb",
    "\u2066x\u2069",
    "\ufeffx",
    "a b",
    "\u00a0",
    "",
    "<script>",
    "a&b",
    "a?b",
    "#a",
    "@a",
    "@a,b,c",
    "*",
    "x".repeat(129),
    "e\u0301",
    "\ud800",
  ];
  for (const room of bad) {
    for (const frame of [
      { t: "join", room },
      { t: "send", room, cid: "c", body: "b" },
      { t: "sub", room, after: 0 },
      { t: "hist", room },
      { t: "lookup", room, cid: "c" },
      { t: "read", room, seq: 1 },
    ]) {
      const answer = await client.ask(frame);
      expect({ frame, t: answer.t, definite: answer["definite"] }).toEqual({ frame, t: "err", definite: true });
    }
  }
  for (const room of [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "NaN",
    "null",
    "..a",
    "con",
    "مرحبا",
    "🚪",
  ]) {
    expect((await client.ask({ t: "hist", room })).t).toBe("err");
    expect((await client.ask({ t: "join", room })).t).toBe("ok");
    expect(await client.ask({ t: "send", room, cid: "__proto__", body: "b" })).toMatchObject({ t: "ok", seq: 1 });
    expect(await client.ask({ t: "hist", room })).toMatchObject({
      head: 1,
      items: [{ cid: "__proto__", body: "b" }],
    });
  }
  // Text is text, whatever a terminal or a page would make of it.
  const body = "\u001b[2J\u202e<img src=x onerror=alert(1)>\u0000";
  const sent = await client.ask({ t: "send", room: "__proto__", cid: "odd", body });
  expect(sent).toMatchObject({ t: "ok", seq: 2 });
  expect(await client.ask({ t: "hist", room: "__proto__", limit: 1 })).toMatchObject({ items: [{ body }] });
});

async function http(head: string, body: Uint8Array | string = ""): Promise<number> {
  const answered = dial(server.ports.port);
  answered.socket.write(head);
  if (body.length > 0) answered.socket.write(body);
  await until(() => answered.isClosed || /^HTTP\/1\.1 \d+/.test(answered.text));
  return Number(answered.text.split(" ")[1] ?? 0);
}

test("HTTP: headers, bodies, paths and origins beyond what is sensible are refused", async () => {
  const host = "Host: 127.0.0.1\r\nConnection: close\r\n";
  const post = (length: number, extra = ""): string =>
    `POST /v1/rooms/lobby/messages HTTP/1.1\r\n${host}Synod-User: eve\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n${extra}\r\n`;
  expect(await http(`GET / HTTP/1.1\r\n${host}X: ${"x".repeat(64 * 1024)}\r\n\r\n`)).toBe(431);
  const many = Array.from({ length: 2_000 }, (_, n) => `a${n}: 1\r\n`).join("");
  expect([200, 400, 404, 431]).toContain(await http(`GET /livez HTTP/1.1\r\n${host}${many}\r\n`));
  expect(await http(`GET /livez HTTP/1.1\r\n${host}${"a: 1\r\n".repeat(2_000)}\r\n`)).toBeGreaterThan(0);
  const deep = "[".repeat(60_000) + "]".repeat(60_000);
  expect([400, 413]).toContain(await http(post(deep.length), deep));
  const broken = Uint8Array.from([...new TextEncoder().encode('{"body":"'), 0xff, 0xfe, 0x22, 0x7d]);
  expect(await http(post(broken.length), broken)).toBe(400);
  expect(await http(post(50_000_000), "x")).toBe(413);
  const pollution = '{"__proto__":{"body":"x"},"constructor":{"prototype":{"body":"x"}}}';
  expect(await http(post(pollution.length), pollution)).toBe(400);
  for (const path of [
    "/v1/rooms/..%2f..%2fetc%2fpasswd/messages",
    "/v1/rooms/%2e%2e/messages",
    "/v1/rooms/a%00b/messages",
    "/v1/rooms/%E2%80%AEx/messages",
    "/v1/rooms/%ff%fe/messages",
    "/../../../../etc/passwd",
    "/assets/..%2f..%2f..%2fpackage.json",
    "/assets/%2e%2e/%2e%2e/package.json",
    "//etc/passwd",
    "/%",
  ]) {
    const status = await http(`GET ${path} HTTP/1.1\r\n${host}Synod-User: eve\r\n\r\n`);
    expect({ path, isRefused: status >= 400 && status < 500 }).toEqual({ path, isRefused: true });
  }
  expect(
    await http("GET /v1/rooms HTTP/1.1\r\nHost: evil.example\r\nSynod-User: eve\r\nConnection: close\r\n\r\n"),
  ).toBe(403);
  for (const origin of ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"]) {
    const refused = new RawWebSocket(server.ports.port, { headers: { Origin: origin } });
    await once(refused.socket, "close");
    expect({ origin, status: refused.status }).toEqual({ origin, status: 403 });
  }
});

test("WebSocket: endless fragments, broken frames and floods of pings end their connection and cost no memory", async () => {
  const start = server.residentBytes();
  const hello = maskedFrame(JSON.stringify({ t: "hello", v: 1, user: "eve" }));
  const endless = await endlessFragments({ port: server.ports.port, connections: 20, fragments: 130_000 });
  expect(endless).toEqual({ ended: 20, codes: "1008" });
  const first = maskedFrame("x", { isFinal: false });
  const fragments = Buffer.concat(
    Array.from({ length: 10_000 }, () => maskedFrame("x", { opcode: 0, isFinal: false })),
  );
  const attacks: Uint8Array[][] = [
    // Before the greeting.
    [first, fragments],
    [hello, maskedFrame("x", { declared: 2 ** 40 })],
    [hello, maskedFrame("x", { declared: 500_000 })],
    [maskedFrame("x", { declared: 100_000 })],
    [hello, maskedFrame("x".repeat(200), { opcode: 9 })],
    [hello, maskedFrame("x", { opcode: 3 })],
    [hello, maskedFrame("x", { opcode: 0 })],
    [hello, Uint8Array.of(0xf1, 0x80, 0, 0, 0, 0)],
    [hello, Uint8Array.of(0x81, 0x01, 0x78)],
    [hello, maskedFrame(Uint8Array.of(0xff, 0xfe, 0xfd))],
    [hello, maskedFrame(Uint8Array.of(3), { opcode: 8 })],
  ];
  const codes: string[] = [];
  for (const parts of attacks) {
    const all = Array.from({ length: 2 }, () => new RawWebSocket(server.ports.port));
    for (const attacker of all) sockets.push(attacker.socket);
    await until(() => all.every(({ isOpen }) => isOpen));
    for (const attacker of all) for (const part of parts) attacker.socket.write(part);
    // What is answered with an error may stay open; what breaks the framing may not.
    const isEnded = (attacker: RawWebSocket): boolean =>
      attacker.isClosed || attacker.closeCode !== null || attacker.texts.some((text) => text.includes('"err"'));
    await until(() => all.every(isEnded));
    codes.push(`${all[0]!.closeCode ?? (all[0]!.isClosed ? "reset" : "err")}`);
  }
  // Whoever offers to compress is not taken up on it: nothing is ever inflated.
  const offering = new RawWebSocket(server.ports.port, {
    headers: { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" },
  });
  sockets.push(offering.socket);
  await until(() => offering.isOpen);
  expect(offering.answer).not.toMatch(/sec-websocket-extensions/i);
  const pings = maskedFrame("x", { opcode: 9 });
  const flood = new RawWebSocket(server.ports.port);
  sockets.push(flood.socket);
  await until(() => flood.isOpen);
  flood.socket.write(hello);
  flood.socket.pause();
  for (let n = 0; n < 20_000; n++) flood.socket.write(pings);
  await pause(200);
  const grown = server.residentBytes() - start;
  process.stdout.write(`WebSocket attacks: answered ${codes.join(" ")}, memory +${(grown / MiB).toFixed(1)} MiB\n`);
  expect(grown).toBeLessThan(96 * MiB);
});

test("requests without end or number are bounded: subscriptions, joins and pages", async () => {
  const client = await guest();
  const answers = await Promise.all(
    Array.from({ length: 5_000 }, (_, n) => client.ask({ t: n % 2 === 0 ? "hist" : "sub", room: "lobby", after: 0 })),
  );
  expect(answers.filter(({ t }) => t === "closed")).toEqual([]);
  const codes = new Set(answers.filter(({ t }) => t === "err").map((answer) => answer["code"]));
  expect([...codes].filter((code) => code !== "overloaded")).toEqual([]);
  // Rooms one is a member of: a room and its people are apart, so it shows in the list and not in the answer.
  for (let n = 0; n < 1_200; n += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, place) => client.ask({ t: "join", room: `many${n + place}` })));
  }
  const roomsOf = async (): Promise<number> => ((await client.ask({ t: "rooms" }))["rooms"] as unknown[]).length;
  await until(async () => (await roomsOf()) >= 1_000);
  expect(await roomsOf()).toBe(1_000);
});
