/**
 * Clients that mean no good, over plain sockets: what the hostile campaign and the tests of test/process/hostile.test.ts send
 * to a server. Nothing here judges; each answers what became of it. Every socket that was opened is destroyed in the end.
 */
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/** @typedef {{ socket: import("node:net").Socket, text: string, bytes: number, isClosed: boolean, openedAt: number, closedAt: number }} Dialled */

/**
 * A connection that keeps what it was answered, up to a little, and when it ended.
 *
 * @param {number} port
 * @returns {Dialled}
 */
export function dial(port) {
  const socket = connect(port, "127.0.0.1");
  const dialled = { socket, text: "", bytes: 0, isClosed: false, openedAt: performance.now(), closedAt: 0 };
  socket.on("connect", () => {
    dialled.openedAt = performance.now();
  });
  socket.on("data", (bytes) => {
    dialled.bytes += bytes.length;
    if (dialled.text.length < 65_536) dialled.text += bytes.toString("latin1");
  });
  // A reset is one way to be told no; `close` follows.
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    dialled.isClosed = true;
    dialled.closedAt = performance.now();
  });
  return dialled;
}

/**
 * @param {() => boolean} holds
 * @param {number} withinMs
 * @returns {Promise<boolean>} whether it held in time
 */
export async function until(holds, withinMs = 60_000) {
  const end = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > end) return false;
    await pause(10);
  }
  return true;
}

/**
 * Connections that say nothing, or one byte and no more, on two ports in turns; settles when all are closed.
 *
 * @param {{ port: number, tcpPort: number, silent: number, oneByte: number, perSecond?: number, withinMs?: number }} options
 *   `perSecond`: how many are opened in a second; left out: as many as can be
 * @returns {Promise<{ closed: number, told: number, longestMs: number, longestHttpMs: number }>} longest: from connected to
 *   closed, where frames are greeted and where a request is awaited
 */
export async function silentSockets({ port, tcpPort, silent, oneByte, perSecond = Infinity, withinMs = 60_000 }) {
  /** @type {Dialled[]} */
  const all = [];
  const total = silent + oneByte;
  await evenly({ total, perSecond, withinMs, into: all }, (place) => {
    const isHttp = place % 5 === 4;
    const dialled = dial(isHttp ? port : tcpPort);
    // One byte now; the next would come after ten seconds, and the deadline is before that.
    if (place % total < oneByte) dialled.socket.write(isHttp ? "G" : "{");
    return dialled;
  });
  await until(() => all.every(({ isClosed }) => isClosed), withinMs);
  const closed = all.filter(({ isClosed }) => isClosed);
  const longest = (/** @type {boolean} */ isHttp) =>
    Math.max(
      0,
      ...closed.filter((one) => (all.indexOf(one) % 5 === 4) === isHttp).map((one) => one.closedAt - one.openedAt),
    );
  for (const { socket } of all) socket.destroy();
  const told = all.filter(({ text }) => text !== "").length;
  return { closed: closed.length, told, longestMs: longest(false), longestHttpMs: longest(true) };
}

/**
 * The bytes of one WebSocket frame, masked as a client must.
 *
 * @param {string | Uint8Array} payload
 * @param {{ opcode?: number, isFinal?: boolean, declared?: number }} [options]
 * @returns {Buffer}
 */
export function webSocketFrame(payload, { opcode = 1, isFinal = true, declared } = {}) {
  const bytes = Buffer.from(payload);
  const length = declared ?? bytes.length;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = (isFinal ? 0x80 : 0) | opcode;
  head[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  const mask = [0x12, 0x34, 0x56, 0x78];
  return Buffer.concat([head, Buffer.from(mask), bytes.map((byte, i) => byte ^ (mask[i & 3] ?? 0))]);
}

/**
 * @param {number} port
 * @param {string} [more] further header lines, each with its end
 * @returns {Promise<Dialled>} once the upgrade was answered, or refused
 */
export async function webSocket(port, more = "") {
  const dialled = dial(port);
  dialled.socket.write(
    `GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`,
  );
  await until(() => dialled.text.includes("\r\n\r\n") || dialled.isClosed);
  return dialled;
}

const hello = (/** @type {string} */ user) => JSON.stringify({ t: "hello", v: 1, user });

/**
 * WebSockets that greet, begin a message and never end it: one-byte fragments without FIN. Settles when all are ended.
 *
 * @param {{ port: number, connections: number, fragments: number, withinMs?: number }} options
 * @returns {Promise<{ ended: number, codes: string }>}
 */
export async function endlessFragments({ port, connections, fragments, withinMs = 60_000 }) {
  const one = webSocketFrame("x", { opcode: 0, isFinal: false });
  const all = Buffer.alloc(one.length * fragments);
  for (let at = 0; at < all.length; at += one.length) one.copy(all, at);
  const attackers = await Promise.all(Array.from({ length: connections }, () => webSocket(port)));
  for (const { socket } of attackers) {
    socket.write(webSocketFrame(hello("eve")));
    socket.write(webSocketFrame("x", { isFinal: false }));
    socket.write(all);
  }
  await until(() => attackers.every(({ isClosed, text }) => isClosed || closeCode(text) !== null), withinMs);
  const ended = attackers.filter(({ isClosed, text }) => isClosed || closeCode(text) !== null);
  const codes = new Set(ended.map(({ text }) => closeCode(text) ?? "reset"));
  for (const { socket } of attackers) socket.destroy();
  return { ended: ended.length, codes: [...codes].map(String).sort().join(" ") };
}

/**
 * @param {string} text everything that came, as Latin-1
 * @returns {number | null} the code of the close frame that ends it
 */
function closeCode(text) {
  let at = text.indexOf("\r\n\r\n") + 4;
  while (at >= 4 && at + 2 <= text.length) {
    const short = text.charCodeAt(at + 1) & 0x7f;
    const start = at + (short === 126 ? 4 : 2);
    const length = short === 126 ? (text.charCodeAt(at + 2) << 8) | text.charCodeAt(at + 3) : short;
    if (short === 127) return null;
    if ((text.charCodeAt(at) & 0x0f) === 8) return (text.charCodeAt(start) << 8) | text.charCodeAt(start + 1);
    at = start + length;
  }
  return null;
}

/**
 * A flood of pings to somebody who does not read their pongs.
 *
 * @param {{ port: number, pings: number }} options
 * @returns {Promise<() => void>} how to end it
 */
export async function pingFlood({ port, pings }) {
  const flood = await webSocket(port);
  flood.socket.write(webSocketFrame(hello("eve")));
  flood.socket.pause();
  const one = webSocketFrame("x", { opcode: 9 });
  for (let n = 0; n < pings; n += 1_000) flood.socket.write(Buffer.concat(Array.from({ length: 1_000 }, () => one)));
  await pause(500);
  return () => void flood.socket.destroy();
}

/** Each connection sends in one of so many turns of a second. */
const turnsPerSecond = 50;

/**
 * Dials so many in a second, spread over it, or as many as can be. No more at a time than the kernel holds for a busy server
 * to accept: beyond, it lets a caller wait for minutes.
 *
 * @param {{ total: number, perSecond: number, withinMs: number, into: Dialled[] }} options
 * @param {(place: number) => Dialled} open
 */
async function evenly({ total, perSecond, withinMs, into }, open) {
  const begun = performance.now();
  const atOnce = Math.min(100, Math.ceil(perSecond / 200));
  while (into.length < total) {
    const count = Math.min(atOnce, total - into.length);
    const batch = Array.from({ length: count }, (_, n) => open(into.length + n));
    into.push(...batch);
    await until(() => batch.every(({ socket, isClosed }) => !socket.connecting || isClosed), withinMs);
    await pause(Math.max(0, begun + (into.length / perSecond) * 1_000 - performance.now()));
  }
}

/**
 * slowhttptest's three modes, each with this many connections: headers that never end, bodies that never end, and answers
 * that nobody takes. Each sends a little every second, at a time of its own. Settles when all were closed, or time is up.
 *
 * @param {{ port: number, connections: number, perSecond?: number, mode: "headers" | "body" | "read", withinMs: number, path?: string }} options
 *   `perSecond`: as for silent sockets
 * @returns {Promise<{ closed: number, longestMs: number }>} longest: from connected to closed
 */
export async function slowHttp({ port, connections, perSecond = Infinity, mode, withinMs, path = "/" }) {
  const head = `Host: 127.0.0.1:${port}\r\nSynod-User: slow\r\n`;
  const starts = {
    headers: `GET / HTTP/1.1\r\n${head}`,
    body: `POST /v1/rooms/lobby/messages HTTP/1.1\r\n${head}Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n{`,
    // Asked for many times on one connection: more than the kernel keeps for a reader that does not read.
    read: `GET ${path} HTTP/1.1\r\n${head}\r\n`.repeat(200),
  };
  /** @type {Dialled[]} */
  const all = [];
  let turn = 0;
  const trickle = setInterval(() => {
    if (mode === "read") return;
    turn++;
    for (let n = turn % turnsPerSecond; n < all.length; n += turnsPerSecond) {
      const dialled = all[n];
      if (dialled !== undefined && !dialled.isClosed) dialled.socket.write(mode === "headers" ? "X-a: b\r\n" : " ");
    }
  }, 1_000 / turnsPerSecond);
  await evenly({ total: connections, perSecond, withinMs, into: all }, () => {
    const dialled = dial(port);
    if (mode === "read") dialled.socket.pause();
    dialled.socket.write(starts[mode]);
    return dialled;
  });
  if (mode === "read") {
    // A paused socket hears of its end only when it reads on.
    await pause(withinMs);
    for (const { socket } of all) socket.resume();
    await until(() => all.every(({ isClosed }) => isClosed), 5_000);
  } else await until(() => all.every(({ isClosed }) => isClosed), withinMs);
  clearInterval(trickle);
  const closed = all.filter(({ isClosed }) => isClosed);
  for (const { socket } of all) socket.destroy();
  return { closed: closed.length, longestMs: Math.max(0, ...closed.map((one) => one.closedAt - one.openedAt)) };
}

/** A greeted client over TCP in JSON that sends what it is told and counts what it is answered. */
export class Guest {
  /** @type {Map<string, number>} answers, by `t`, or by their code */
  answers = new Map();
  count = 0;
  isClosed = false;
  /** @type {(frame: Record<string, unknown>) => void} */
  onFrame = () => undefined;
  #rest = "";

  /** @param {number} tcpPort */
  constructor(tcpPort) {
    this.socket = connect(tcpPort, "127.0.0.1");
    this.socket.setNoDelay(true).setEncoding("utf8");
    this.socket.on("error", () => this.socket.destroy());
    this.socket.on("close", () => {
      this.isClosed = true;
    });
    this.socket.on("data", (text) => this.#took(String(text)));
  }

  /**
   * @param {number} tcpPort
   * @param {string} user
   * @returns {Promise<Guest>}
   */
  static async open(tcpPort, user) {
    const guest = new Guest(tcpPort);
    guest.write({ t: "hello", v: 1, user });
    if (!(await until(() => guest.count > 0 || guest.isClosed)) || guest.answers.get("welcome") !== 1) {
      throw new Error(`the greeting of ${user} was answered ${JSON.stringify([...guest.answers])}`);
    }
    guest.answers.clear();
    guest.count = 0;
    return guest;
  }

  /** @param {object} frame */
  write(frame) {
    this.socket.write(`${JSON.stringify(frame)}\n`);
  }

  /**
   * Sends so many frames, some at a time, and settles when each has its answer, or the connection is at its end.
   *
   * @param {number} count
   * @param {(n: number) => object} frame
   * @param {{ atOnce?: number, withinMs?: number }} [options]
   */
  async sendMany(count, frame, { atOnce = 2_000, withinMs = 120_000 } = {}) {
    const before = this.count;
    for (let n = 0; n < count && !this.isClosed; ) {
      const lines = [];
      for (const end = Math.min(count, n + 500); n < end; n++) lines.push(JSON.stringify({ ...frame(n), id: n }), "\n");
      this.socket.write(lines.join(""));
      await until(() => this.count - before >= n - atOnce || this.isClosed, withinMs);
    }
    await until(() => this.count - before >= count || this.isClosed, withinMs);
  }

  end() {
    this.socket.destroy();
  }

  /** @param {string} text */
  #took(text) {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const parsed = /** @type {unknown} */ (JSON.parse(line));
      for (const one of Array.isArray(parsed) ? parsed : [parsed]) {
        const frame = /** @type {Record<string, unknown>} */ (one);
        this.onFrame(frame);
        if (frame["t"] === "msg" || frame["t"] === "caught-up") continue;
        const name = String(frame["t"] === "err" ? frame["code"] : frame["t"]);
        this.answers.set(name, (this.answers.get(name) ?? 0) + 1);
        this.count++;
      }
    }
  }
}

/** Strings that send a bad scanner the long way round, each of about this many bytes. @param {number} length */
export function pathologicalStrings(length) {
  /** @type {(unit: string) => string} */
  const many = (unit) => unit.repeat(Math.ceil(length / unit.length)).slice(0, length);
  return {
    "one letter": many("a"),
    spaces: many(" "),
    "quotes and backslashes": many('\\"'),
    "open brackets": many("["),
    "open objects": many('{"a":'),
    commas: `[${many(",")}`,
    "numbers without end": `[${many("1")}`,
    escapes: `"${many("\\u0000")}`,
    "line ends but for one": many("\r"),
    "combining marks": many("e\u0301"),
    "header-like": many("a: b,"),
    cookies: many("a=b; "),
    slashes: many("/../"),
    percent: many("%25"),
    "at and commas": many("@a,"),
  };
}
