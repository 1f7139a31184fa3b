/**
 * The attacks of the hostile campaign: how many of what, the pass condition, and what a client that behaves felt meanwhile.
 */
import { setTimeout as pause } from "node:timers/promises";
import {
  dial,
  endlessFragments,
  Guest,
  pathologicalStrings,
  pingFlood,
  silentSockets,
  slowHttp,
  until,
  webSocket,
  webSocketFrame,
} from "./attackers.mjs";

/** @typedef {import("./neighbour.mjs").Felt} Felt */
/** @typedef {import("./neighbour.mjs").Neighbour} Neighbour */
/** @typedef {import("./served.mjs").Served} Served */
/** @typedef {{ server: Served, neighbour: Neighbour, before: Felt, scale: number }} Ground */
/** @typedef {{ measured: string, pass: boolean }} Verdict */
/** @typedef {{ control: string, attack: string, condition: string, run(ground: Ground): Promise<Verdict> }} Attack */

const MiB = 1024 * 1024;
const helloDeadlineMs = 5_000;
/** Headers have ten seconds, and Node looks every second or so whether they are over. */
const headersDeadlineMs = 12_000;

const one = (/** @type {number} */ value) => value.toFixed(1);

/**
 * What the neighbour felt, as a ratio to calm times, and how much memory the server took at most beyond what it had.
 *
 * @param {Ground} ground
 * @param {() => Promise<string>} attack answers what it has to tell
 * @param {{ growsMiBMax?: number, ratioMax?: number, pingMsMax?: number, holds?: () => boolean }} bounds
 * @returns {Promise<Verdict>}
 */
async function withNeighbour({ server, neighbour, before }, attack, bounds) {
  const { growsMiBMax = Infinity, ratioMax = Infinity, pingMsMax = Infinity, holds = () => true } = bounds;
  const start = server.residentMiB();
  server.peakMiB();
  await neighbour.felt();
  const told = await attack();
  const felt = await neighbour.felt();
  const grownMiB = server.peakMiB() - start;
  const ratio = felt.p99Ms / before.p99Ms;
  const isServed = server.isRunning && felt.failed === 0 && felt.sends > 0;
  const pass = isServed && holds() && grownMiB <= growsMiBMax && ratio <= ratioMax && felt.worstPingMs <= pingMsMax;
  const parts = [
    told,
    `neighbour p99 ${one(felt.p99Ms)} ms, ${ratio.toFixed(2)} of calm; worst ping ${one(felt.worstPingMs)} ms`,
    `memory ${grownMiB >= 0 ? "+" : ""}${one(grownMiB)} MiB`,
    ...(felt.failed > 0 ? [`${felt.failed} of its requests failed`] : []),
  ];
  return { measured: parts.join("; "), pass };
}

/** @type {Attack[]} */
export const attacks = [
  {
    control: "E3",
    attack: "5,000 silent sockets, 5,000 with one byte, 2,000 a second",
    condition: "all closed within 5 s, HTTP within 12 s; neighbour p99 <= 2x; +32 MiB at most",
    run: (ground) => {
      let isInTime = false;
      const { port, tcpPort } = ground.server.ports;
      return withNeighbour(
        ground,
        async () => {
          const count = Math.round(5_000 * ground.scale);
          const told = await silentSockets({ port, tcpPort, silent: count, oneByte: count, perSecond: 2_000 });
          const { closed, longestMs, longestHttpMs } = told;
          isInTime = closed === 2 * count && longestMs <= helloDeadlineMs && longestHttpMs <= headersDeadlineMs;
          const last = `${one(longestMs / 1_000)} s, by HTTP after ${one(longestHttpMs / 1_000)} s`;
          return `${closed} of ${2 * count} closed, the last after ${last}`;
        },
        { growsMiBMax: 32, ratioMax: 2, holds: () => isInTime },
      );
    },
  },
  {
    control: "E7",
    attack: "130,000 one-byte fragments without end, 50 connections",
    // It is over after some thirty sends of the neighbour: too few for a percentile, so that its worst wait is bounded.
    condition: "all ended; +32 MiB at most; no ping of the neighbour above 50 ms",
    run: (ground) => {
      let isEnded = false;
      return withNeighbour(
        ground,
        async () => {
          const connections = 50;
          const fragments = Math.round(130_000 * ground.scale);
          const { ended, codes } = await endlessFragments({ port: ground.server.ports.port, connections, fragments });
          isEnded = ended === connections;
          return `${ended} of ${connections} ended, with ${codes}`;
        },
        { growsMiBMax: 32, pingMsMax: 50, holds: () => isEnded },
      );
    },
  },
  {
    control: "E7",
    attack: "2,000 headers, reserved bits and opcodes, unmasked frames, 200,000 pings to one who does not read",
    condition: "headers answered, broken frames ended; +32 MiB at most",
    run: (ground) => {
      let isEnded = false;
      const { port } = ground.server.ports;
      return withNeighbour(
        ground,
        async () => {
          const many = Array.from({ length: 2_000 }, (_, n) => `a${n}: 1\r\n`).join("");
          const headers = await webSocket(port, many);
          const bad = [
            Uint8Array.of(0xf1, 0x80, 0, 0, 0, 0),
            Uint8Array.of(0x81, 0x01, 0x78),
            webSocketFrame("x", { opcode: 3 }),
            webSocketFrame("x", { opcode: 0 }),
            webSocketFrame("x".repeat(200), { opcode: 9 }),
            webSocketFrame("x", { declared: 2 ** 40 }),
            webSocketFrame(Uint8Array.of(0xff, 0xfe, 0xfd)),
          ];
          const opened = await Promise.all(bad.map(() => webSocket(port)));
          opened.forEach(({ socket }, n) => socket.write(bad[n] ?? ""));
          const isOver = await until(() => opened.every(({ isClosed }) => isClosed), 10_000);
          const end = await pingFlood({ port, pings: Math.round(200_000 * ground.scale) });
          end();
          headers.socket.destroy();
          isEnded = isOver && headers.text !== "";
          const closed = opened.filter(({ isClosed }) => isClosed).length;
          return `2,000 headers: ${headers.text.slice(9, 12) || "closed"}; ${closed} of ${bad.length} broken frames ended`;
        },
        { growsMiBMax: 32, holds: () => isEnded },
      );
    },
  },
  {
    control: "E10",
    attack: "100,000 subscriptions, joins of 100,000 rooms, 100,000 look-ups of ids, by one client",
    condition: "each answered, refusals with a code; +64 MiB at most",
    run: (ground) => {
      let isAnswered = false;
      return withNeighbour(
        ground,
        async () => {
          const { tcpPort } = ground.server.ports;
          const count = Math.round(100_000 * ground.scale);
          const told = [];
          isAnswered = true;
          /** @type {[string, (n: number) => object][]} */
          const floods = [
            ["sub", (n) => ({ t: "sub", room: n % 2 === 0 ? "lobby" : `none${n}`, after: 0 })],
            ["join", (n) => ({ t: "join", room: `flood${n}` })],
            ["lookup", (n) => ({ t: "lookup", room: "lobby", cid: `id${n}` })],
          ];
          for (const [name, frame] of floods) {
            const guest = await Guest.open(tcpPort, "mallory");
            await guest.sendMany(count, frame);
            const answers = [...guest.answers].map(([code, times]) => `${code} ${times}`);
            isAnswered &&= guest.count >= count;
            told.push(`${name}: ${answers.join(", ")}${guest.isClosed ? ", closed" : ""}`);
            guest.end();
          }
          return told.join("; ");
        },
        { growsMiBMax: 64, holds: () => isAnswered },
      );
    },
  },
  {
    control: "E11",
    attack: "500 readers that never read, 5 MB/s in their room for 10 s",
    condition: "+64 MiB at most",
    run: async (ground) => {
      const { tcpPort } = ground.server.ports;
      /** @type {Guest[]} */
      const readers = [];
      for (let n = 0; n < Math.round(500 * ground.scale); n++) {
        const reader = await Guest.open(tcpPort, `reader${n % 20}`);
        reader.write({ t: "join", room: "loud", id: 0 });
        reader.write({ t: "sub", room: "loud", after: 0, id: 1 });
        readers.push(reader);
      }
      await until(() => readers.every(({ count }) => count > 1), 20_000);
      for (const { socket } of readers) socket.pause();
      const sender = await Guest.open(tcpPort, "sender");
      const body = "x".repeat(10_000);
      const verdict = await withNeighbour(
        ground,
        async () => {
          let sent = 0;
          for (const end = performance.now() + 10_000 * ground.scale; performance.now() < end; await pause(20)) {
            for (let n = 0; n < 10; n++, sent++)
              sender.write({ t: "send", room: "loud", cid: `${sent}`, body, id: sent });
          }
          await until(() => sender.count >= sent, 30_000);
          return `${readers.length} readers, ${sent} messages of 10 kB, ${sender.answers.get("ok") ?? 0} stored`;
        },
        { growsMiBMax: 64, holds: () => (sender.answers.get("ok") ?? 0) > 0 },
      );
      for (const { socket } of readers) socket.destroy();
      sender.end();
      return verdict;
    },
  },
  .../** @type {const} */ (["headers", "body", "read"]).map((mode) => ({
    control: "E12",
    // The rate of slowhttptest's own examples.
    attack: `slow ${mode}, 1,000 connections, 200 a second`,
    condition: mode === "read" ? "neighbour p99 <= 2x; +64 MiB at most" : "all closed within 20 s; neighbour p99 <= 2x",
    run: (/** @type {Ground} */ ground) => {
      let isClosed = true;
      return withNeighbour(
        ground,
        async () => {
          const { port } = ground.server.ports;
          const connections = Math.round(1_000 * ground.scale);
          const withinMs = mode === "read" ? 10_000 : 25_000;
          const { closed, longestMs } = await slowHttp({ port, connections, perSecond: 200, mode, withinMs });
          isClosed = mode === "read" || (closed === connections && longestMs <= 20_000);
          return `${closed} of ${connections} closed, the last after ${one(longestMs / 1_000)} s`;
        },
        { ratioMax: 2, growsMiBMax: mode === "read" ? 64 : Infinity, holds: () => isClosed },
      );
    },
  })),
  {
    control: "E20",
    attack: "strings of 1 MB that send a bad scanner the long way round, by every door, before and after the greeting",
    condition: "no ping of the neighbour above 50 ms",
    run: (ground) =>
      withNeighbour(
        ground,
        async () => {
          const { port, tcpPort, adminPort } = ground.server.ports;
          const strings = Object.values(pathologicalStrings(MiB * ground.scale));
          for (const text of strings) {
            const greeted = await Guest.open(tcpPort, "eve");
            greeted.socket.write(`${text}\n`);
            const asRoom = JSON.stringify({ t: "sub", room: text.slice(0, 200_000), id: 1 });
            const asBody = JSON.stringify({ t: "send", room: "lobby", cid: "p", body: text.slice(0, 60_000), id: 2 });
            const others = [port, tcpPort, adminPort].map((at) => dial(at));
            for (const { socket } of others)
              socket.write(`GET /${text} HTTP/1.1\r\nHost: ${text.slice(0, 4_000)}\r\n\r\n`);
            const socket = await webSocket(port);
            socket.socket.write(webSocketFrame(text));
            const post = dial(port);
            const head = `Host: 127.0.0.1\r\nSynod-User: eve\r\nContent-Type: application/json\r\nContent-Length: ${text.length}`;
            post.socket.write(`POST /v1/rooms/lobby/messages HTTP/1.1\r\n${head}\r\n\r\n${text}`);
            const second = await Guest.open(tcpPort, "eve");
            second.socket.write(`${asRoom}\n${asBody}\n`);
            await pause(100);
            for (const { socket: each } of [...others, socket, post]) each.destroy();
            greeted.end();
            second.end();
          }
          return `${strings.length} strings, 7 ways each`;
        },
        { pingMsMax: 50 },
      ),
  },
  {
    control: "E21",
    attack: "500 clients page through a room of 20,000 messages from its beginning, all at once",
    condition: "each gets every page, or a refusal with a code; +96 MiB at most",
    run: async (ground) => {
      const { tcpPort } = ground.server.ports;
      const writer = await Guest.open(tcpPort, "writer");
      writer.write({ t: "join", room: "deep", id: 0 });
      const count = Math.round(20_000 * ground.scale);
      await writer.sendMany(
        count,
        (n) => ({ t: "send", room: "deep", cid: `d${n}`, body: `${n} ${"y".repeat(100)}` }),
        {
          atOnce: 500,
        },
      );
      writer.end();
      const clients = await Promise.all(
        Array.from({ length: Math.round(500 * ground.scale) }, (_, n) => Guest.open(tcpPort, `diver${n % 50}`)),
      );
      let whole = 0;
      let refused = 0;
      const verdict = await withNeighbour(
        ground,
        async () => {
          await Promise.all(
            clients.map(async (client) => {
              const { seqs, refusals } = await pages(client, "deep", count);
              refused += refusals;
              if (seqs === count) whole++;
            }),
          );
          return `${whole} of ${clients.length} read all ${count}; ${refused} refusals on the way, tried again`;
        },
        { growsMiBMax: 96, holds: () => whole === clients.length },
      );
      for (const client of clients) client.end();
      return verdict;
    },
  },
];

/**
 * Reads a room from its beginning to its end, asking again where it is told to come later.
 *
 * @param {Guest} client
 * @param {string} room
 * @param {number} last
 * @returns {Promise<{ seqs: number, refusals: number }>} messages that came in their order
 */
async function pages(client, room, last) {
  let after = 0;
  let refusals = 0;
  while (after < last && !client.isClosed) {
    /** @type {Record<string, unknown>} */
    const answer = await new Promise((resolve) => {
      client.onFrame = resolve;
      client.socket.once("close", () => resolve({ t: "closed" }));
      client.write({ t: "hist", room, after, limit: 500, id: after });
    });
    client.socket.removeAllListeners("close");
    if (answer["t"] !== "ok") {
      refusals++;
      if (answer["t"] !== "err" || refusals > 1_000) break;
      await pause(Number(answer["retryAfterMs"] ?? 100));
      continue;
    }
    const items = /** @type {{ seq: number }[]} */ (answer["items"]);
    // Fewer are there than were sent: asking again would bring no more.
    if (items.length === 0) break;
    for (const { seq } of items) {
      if (seq !== after + 1) return { seqs: after, refusals };
      after = seq;
    }
  }
  return { seqs: after, refusals };
}
