/**
 * `npm run campaign -- sim [--seeds=N | --minutes-of-cpu=M] [--first=SEED] [--servers=1|3|5|3,5] [--long]
 *   [--workers=N]`
 *
 * Runs seeds of the simulator on all cores, each in two virtual minutes of faults, five where there are several servers,
 * or thirty with `--long`, until the
 * count or the processor time is used up, or Ctrl+C asks for the end: what is under way is finished and counted. What a
 * seed found is printed at once, with the line that repeats it.
 */
import { fork } from "node:child_process";
import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { say } from "../progress.mjs";
import { root } from "../repository.mjs";

/** @typedef {import("../../src/apps/cli/attributed-run.ts").AttributedRun} AttributedRun */
/** @typedef {import("../../src/sim/coverage.ts").CoverageCounts} CoverageCounts */
/** @typedef {Pick<AttributedRun, "seed" | "servers" | "virtualSeconds" | "cpuSeconds" | "events" | "faults" | "violations" | "seen" | "marks" | "coverage" | "seals" | "starts">} Line */

const self = fileURLToPath(import.meta.url);
const workerWord = "sim-campaign-worker";
/** Every how many seeds a line of progress is printed. */
const tellEvery = 100;

export const flags = ["seeds", "minutes-of-cpu", "first", "servers", "long", "workers"];

/**
 * @param {Record<string, string>} args
 * @returns {Promise<{ counts: Record<string, number | string> }>}
 */
export async function run(args) {
  const minutesOfCpu = Number(args["minutes-of-cpu"] ?? 0);
  const seedsMax = args["seeds"] === undefined ? (minutesOfCpu > 0 ? Infinity : 200) : Number(args["seeds"]);
  const first = args["first"] === undefined ? randomInt(2 ** 26) : Number(args["first"]);
  const servers = serversOf(args["servers"] ?? "1");
  const isLong = args["long"] !== undefined;
  const workers = args["workers"] === undefined ? availableParallelism() : Number(args["workers"]);
  const totals = new Totals();
  let next = first;
  let isStopped = false;
  process.once("SIGINT", () => {
    isStopped = true;
  });
  /** @returns {number | null} the next seed, null when there is none */
  const take = () => {
    const isOver =
      isStopped || next - first >= seedsMax || (minutesOfCpu > 0 && totals.cpuSeconds >= minutesOfCpu * 60);
    return isOver ? null : next++;
  };
  await Promise.all(Array.from({ length: workers }, () => work(take, { servers, isLong }, totals)));
  say("sim", totals.progress());
  for (const [name, count] of totals.marks) say("mark", `${String(count).padStart(9)} ${name}`);
  for (const [kind, count] of totals.faults) say("fault", `${String(count).padStart(9)} ${kind}`);
  for (const line of await tableOf(totals.coverage)) say("met", line);
  return { counts: totals.counts(first) };
}

/**
 * Which operations met which faults, as text.
 *
 * @param {CoverageCounts[]} runs
 * @returns {Promise<string[]>}
 */
async function tableOf(runs) {
  const built = (/** @type {string} */ file) => pathToFileURL(join(root, "dist/sim", file)).href;
  const coverage = /** @type {typeof import("../../src/sim/coverage.ts")} */ (await import(built("coverage.js")));
  const { faultKinds } = /** @type {typeof import("../../src/sim/faults.ts")} */ (await import(built("faults.js")));
  return coverage.coverageTable(coverage.addedUp(runs), faultKinds).split("\n");
}

/**
 * One process after the other, each for as long as it lives: one that dies is a finding of the seed it was running.
 *
 * @param {() => number | null} take
 * @param {{ servers: (1 | 3 | 5)[], isLong: boolean }} world
 * @param {Totals} totals
 * @returns {Promise<void>}
 */
function work(take, world, totals) {
  return new Promise((resolve) => {
    const begin = () => {
      const child = fork(self, [workerWord]);
      /** @type {number | null} */
      let seed = null;
      const give = () => {
        seed = take();
        if (seed === null) child.disconnect();
        else child.send({ seed, servers: serversOfSeed(world.servers, seed), isLong: world.isLong });
      };
      child.on("message", (line) => {
        totals.add(/** @type {Line} */ (line));
        give();
      });
      child.on("exit", (code, signal) => {
        if (seed === null) {
          resolve();
          return;
        }
        totals.died(seed, serversOfSeed(world.servers, seed), signal ?? `code ${code}`);
        begin();
      });
      give();
    };
    begin();
  });
}

/**
 * @param {string} text
 * @returns {(1 | 3 | 5)[]}
 */
function serversOf(text) {
  return text.split(",").map((part) => {
    const count = Number(part);
    if (count !== 1 && count !== 3 && count !== 5) throw new Error(`--servers=${text}: 1, 3, 5 or several of them`);
    return count;
  });
}

/**
 * @param {(1 | 3 | 5)[]} servers those that take turns
 * @param {number} seed
 * @returns {1 | 3 | 5}
 */
function serversOfSeed(servers, seed) {
  return servers[seed % servers.length] ?? 1;
}

class Totals {
  seeds = 0;
  /** Of runs with several servers; counted once for each run, however many servers there are. */
  clusterSeconds = 0;
  failed = 0;
  violations = 0;
  virtualSeconds = 0;
  cpuSeconds = 0;
  events = 0;
  stored = 0;
  read = 0;
  seals = 0;
  starts = 0;
  /** @type {Map<string, number>} */
  faults = new Map();
  /** @type {Map<string, number>} */
  marks = new Map();
  /** @type {CoverageCounts[]} */
  coverage = [];

  /** @param {Line} line */
  add(line) {
    this.seeds++;
    this.virtualSeconds += line.virtualSeconds;
    if (line.servers > 1) this.clusterSeconds += line.virtualSeconds;
    this.cpuSeconds += line.cpuSeconds;
    this.events += line.events;
    this.stored += line.seen.acknowledged;
    this.read += line.seen.observed;
    this.seals += line.seals;
    this.starts += line.starts;
    for (const [kind, count] of Object.entries(line.faults))
      this.faults.set(kind, (this.faults.get(kind) ?? 0) + count);
    for (const [name, count] of Object.entries(line.marks)) this.marks.set(name, (this.marks.get(name) ?? 0) + count);
    this.coverage.push(line.coverage);
    if (line.violations.length > 0) this.#fail(line.seed, line.servers, line.violations);
    if (this.seeds % tellEvery === 0) say("sim", this.progress());
  }

  /**
   * @param {number} seed
   * @param {number} servers
   * @param {string} how
   */
  died(seed, servers, how) {
    this.seeds++;
    this.#fail(seed, servers, [`the process ended: ${how}`]);
  }

  /**
   * @param {number} seed
   * @param {number} servers
   * @param {readonly string[]} violations
   */
  #fail(seed, servers, violations) {
    this.failed++;
    this.violations += violations.length;
    const topology = servers === 1 ? "" : `--topology leader --servers ${servers} `;
    say("FAILED", `seed ${seed}: node dist/apps/cli/synod.cjs sim ${topology}--seed ${seed} --shrink`);
    for (const violation of violations.slice(0, 5)) say("", violation.slice(0, 600));
  }

  /** @returns {string} */
  progress() {
    const { seeds, failed, virtualSeconds, cpuSeconds } = this;
    return `${seeds} seeds, ${failed} failed, ${(virtualSeconds / 3600).toFixed(1)} virtual hours, ${(virtualSeconds / 60 / cpuSeconds).toFixed(2)} a core minute`;
  }

  /**
   * @param {number} first
   * @returns {Record<string, number | string>}
   */
  counts(first) {
    const {
      seeds,
      failed,
      violations,
      virtualSeconds,
      clusterSeconds,
      cpuSeconds,
      events,
      stored,
      read,
      seals,
      starts,
    } = this;
    const faults = [...this.faults.values()].reduce((sum, count) => sum + count, 0);
    return {
      first,
      seeds,
      virtualHours: (virtualSeconds / 3600).toFixed(1),
      clusterHours: (clusterSeconds / 3600).toFixed(1),
      cpuMinutes: (cpuSeconds / 60).toFixed(1),
      events,
      faults,
      starts,
      seals,
      stored,
      read,
      violations,
      failed,
    };
  }
}

/** @returns {Promise<void>} */
async function beWorker() {
  // Ctrl+C reaches the whole group of processes; the parent says when it is over.
  process.on("SIGINT", () => undefined);
  // What a client library throws and catches by the thousand needs no stack here; who repeats a seed gets it.
  Error.stackTraceLimit = 0;
  const file = pathToFileURL(join(root, "dist/apps/cli/attributed-run.js")).href;
  const { runAttributed } = /** @type {typeof import("../../src/apps/cli/attributed-run.ts")} */ (await import(file));
  process.on("message", (message) => {
    const { seed, servers, isLong } = /** @type {{ seed: number, servers: 1 | 3 | 5, isLong: boolean }} */ (message);
    const forMs = (isLong ? 30 : servers === 1 ? 2 : 5) * 60_000;
    // A rejection here ends the process, which the parent counts as a finding of this seed.
    void runAttributed({ seed, servers, forMs }).then(({ schedule: _schedule, traceHash: _traceHash, ...line }) => {
      process.send?.(line);
    });
  });
}

if (process.argv[2] === workerWord) await beWorker();
