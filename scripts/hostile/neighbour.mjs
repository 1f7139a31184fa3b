/**
 * A client that behaves, in a thread of its own, so that what attackers do to their own event loop is not taken for what they
 * do to the server's. It sends a message and a ping every 10 ms and measures how long each takes.
 */
import { once } from "node:events";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";

/** @typedef {{ sends: number, p50Ms: number, p99Ms: number, worstPingMs: number, failed: number, unanswered: number }} Felt */

export class Neighbour {
  /** @param {Worker} worker */
  constructor(worker) {
    this.worker = worker;
  }

  /**
   * @param {number} tcpPort
   * @returns {Promise<Neighbour>}
   */
  static async move(tcpPort) {
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { tcpPort } });
    await once(worker, "message");
    return new Neighbour(worker);
  }

  /** What it felt since this was asked last. @returns {Promise<Felt>} */
  async felt() {
    this.worker.postMessage("felt");
    const [felt] = /** @type {[Felt]} */ (await once(this.worker, "message"));
    return felt;
  }

  async leave() {
    await this.worker.terminate();
  }
}

/** @param {number} tcpPort */
function live(tcpPort) {
  const socket = connect(tcpPort, "127.0.0.1");
  socket.setNoDelay(true).setEncoding("utf8");
  /** @type {Map<number, { at: number, isPing: boolean }>} */
  const waiting = new Map();
  /** @type {number[]} */
  let sends = [];
  let worstPingMs = 0;
  let failed = 0;
  let number = 0;
  let rest = "";
  const ask = (/** @type {boolean} */ isPing) => {
    const id = ++number;
    waiting.set(id, { at: performance.now(), isPing });
    const frame = isPing ? { t: "ping", id } : { t: "send", room: "lobby", cid: `${process.pid}-${id}`, body: "x", id };
    socket.write(`${JSON.stringify(frame)}\n`);
  };
  socket.on("data", (text) => {
    const lines = (rest + String(text)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const parsed = /** @type {unknown} */ (JSON.parse(line));
      for (const one of Array.isArray(parsed) ? parsed : [parsed]) {
        const frame = /** @type {{ t: string, id?: number }} */ (one);
        if (frame.t === "welcome") {
          parentPort?.postMessage("here");
          setInterval(() => {
            ask(false);
            ask(true);
          }, 10);
        }
        const asked = frame.id === undefined ? undefined : waiting.get(frame.id);
        if (asked === undefined) continue;
        waiting.delete(Number(frame.id));
        const tookMs = performance.now() - asked.at;
        if (asked.isPing) worstPingMs = Math.max(worstPingMs, tookMs);
        else sends.push(tookMs);
        if (frame.t === "err") failed++;
      }
    }
  });
  socket.on("error", () => socket.destroy());
  socket.on("close", () => failed++);
  socket.write(`${JSON.stringify({ t: "hello", v: 1, user: "neighbour" })}\n`);
  parentPort?.on("message", () => {
    const sorted = sends.sort((a, b) => a - b);
    const at = (/** @type {number} */ part) =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    const oldest = Math.min(performance.now(), ...[...waiting.values()].map((one) => one.at));
    const pendingMs = performance.now() - oldest;
    const felt = {
      sends: sorted.length,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      worstPingMs: Math.max(worstPingMs, pendingMs),
      failed,
    };
    parentPort?.postMessage({ ...felt, unanswered: waiting.size });
    sends = [];
    worstPingMs = 0;
    failed = 0;
  });
}

if (!isMainThread) live(/** @type {{ tcpPort: number }} */ (workerData).tcpPort);
