import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { parseArgs } from "node:util";
import { interruptible } from "../interruptible.ts";
import type { WireName } from "../wires/wire.ts";
import { measureFanOut, measureFanOutCeiling, measureIdle, measurePublish, measurePublishCeiling } from "./measure.ts";
import type { IdleRun, RunResult } from "./measure.ts";
import { fullPlan, quickPlan } from "./plan.ts";
import type { Contestants, Plan } from "./plan.ts";
import { markdownOf, median, ratiosOf, rowOf } from "./report.ts";
import type { IdleReportRow, PeersReport, ReportRow } from "./report.ts";
import {
  jetStream,
  natsCore,
  natsSyncsAlways,
  programPath,
  redisPubSub,
  redisStreams,
  socketIo,
  synod,
  synodCommand,
} from "./systems.ts";
import type { System, World } from "./systems.ts";

const usage = `npm run bench:peers -- [--quick] [--only WORDS] [--runs N] [--seconds S] [--json FILE] [-o json] [--data DIR]

  --quick        a subset in about two minutes
  --only WORDS   only systems or parts (publish, fan-out, idle) with one of these words in their name, comma-separated
  --runs N       runs of each row, the median counts
  --seconds S    how long each run is measured
  --json FILE    also writes the whole report there
  -o json        prints JSON instead of Markdown
  --data DIR     where the servers keep their files; not in memory
`;

/**
 * `npm run bench:peers`. Answers with the exit code.
 */
export async function benchPeers(root: string, words: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", default: "" },
      runs: { type: "string" },
      seconds: { type: "string" },
      json: { type: "string" },
      output: { type: "string", short: "o", default: "markdown" },
      data: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  return await interruptible({ root, data: values.data }, async (world, directory) => {
    const only = values.only.split(",").filter((word) => word !== "");
    const { contestants, missing } = whoIsHere(root, directory, only);
    const planned = values.quick ? quickPlan(contestants) : fullPlan(contestants);
    const plan: Plan = {
      ...planned,
      runs: values.runs === undefined ? planned.runs : Number(values.runs),
      measureMs: values.seconds === undefined ? planned.measureMs : Number(values.seconds) * 1000,
    };
    const report = await runPlan(world, directory, plan, only, missing);
    const ratios = ratiosOf([...report.publish, ...report.fanOut]);
    const json = `${JSON.stringify({ ...report, ratios }, null, 2)}\n`;
    if (values.json !== undefined) writeFileSync(values.json, json);
    process.stdout.write(values.output === "json" ? json : markdownOf(report));
  });
}

/** Which systems can run here, and what is missing. */
function whoIsHere(
  root: string,
  directory: string,
  only: readonly string[],
): { contestants: Contestants; missing: string[] } {
  const missing: string[] = [];
  const publish: System[] = [];
  const fanOut: System[] = [];
  const idle: System[] = [];
  if (existsSync(synodCommand(root))) {
    publish.push(synod("binary"), synod("json"));
    fanOut.push(synod("binary"));
    idle.push(synod("binary"));
  } else {
    missing.push("Synod: not built (`npm run build`)");
  }
  if (programPath("redis-server") === null) {
    missing.push("Redis: redis-server is not installed (`apt-get install redis-server`)");
  } else {
    publish.push(redisStreams("always"), redisStreams("everysec"), redisStreams("no"));
    fanOut.push(redisPubSub());
  }
  if (programPath("nats-server") === null) {
    missing.push("NATS: nats-server is not installed (`apt-get install nats-server`)");
  } else {
    publish.push(jetStream("default"));
    if (natsSyncsAlways(directory)) publish.push(jetStream("always"));
    else missing.push(`JetStream with sync_interval always: not in this version (${natsVersion()})`);
    fanOut.push(natsCore());
  }
  fanOut.push(socketIo({ bare: false }));
  idle.push(socketIo({ bare: true }));
  // Words that name a part choose parts, the others choose systems.
  const names = only.filter((word) => !parts.includes(word)).map((word) => word.toLowerCase());
  const chosen = (system: System): boolean =>
    names.length === 0 || names.some((word) => system.name.toLowerCase().includes(word));
  return {
    contestants: { publish: publish.filter(chosen), fanOut: fanOut.filter(chosen), idle: idle.filter(chosen) },
    missing,
  };
}

const parts: readonly string[] = ["publish", "fan-out", "idle"];

const natsVersion = (): string =>
  /v([\d.]+)/.exec(execFileSync("nats-server", ["--version"], { encoding: "utf8" }))?.[1] ?? "unknown";

function versions(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  if (programPath("redis-server") !== null) {
    const said = execFileSync("redis-server", ["--version"], { encoding: "utf8" });
    found["Redis"] = /v=([\d.]+)/.exec(said)?.[1] ?? "unknown";
  }
  if (programPath("nats-server") !== null) found["nats-server"] = natsVersion();
  const socketIoPackage = JSON.parse(
    execFileSync(process.execPath, ["-p", "JSON.stringify(require('socket.io/package.json').version)"], {
      cwd: root,
      encoding: "utf8",
    }),
  ) as string;
  found["Socket.IO"] = socketIoPackage;
  return found;
}

async function runPlan(
  world: World,
  directory: string,
  plan: Plan,
  only: readonly string[],
  missing: readonly string[],
): Promise<PeersReport> {
  const wanted = (part: string): boolean => !only.some((word) => parts.includes(word)) || only.includes(part);
  const startedAt = new Date().toISOString();
  const publish = wanted("publish") ? await publishRows(world, directory, plan) : [];
  const fanOut = wanted("fan-out") ? await fanOutRows(world, directory, plan) : [];
  const idle = wanted("idle") ? await idleRows(world, directory, plan) : [];
  return {
    startedAt,
    machine: { cpus: cpus().length, cpuModel: cpus()[0]?.model ?? "?", node: process.versions.node, kernel: release() },
    versions: versions(world.root),
    runs: plan.runs,
    missing,
    publish,
    fanOut,
    idle,
  };
}

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/** Every system once, then every system again: what the machine does in one minute then hits all of them. */
async function inTurns<S extends { readonly name: string }, R>(
  work: string,
  systems: readonly S[],
  runs: number,
  measure: (system: S) => Promise<R>,
  kind: { readonly signal: AbortSignal; readonly failed: (why: string) => R; readonly said: (result: R) => string },
): Promise<Map<S, R[]>> {
  const results = new Map<S, R[]>(systems.map((system) => [system, []]));
  for (let run = 1; run <= runs; run += 1) {
    for (const system of systems) {
      // One that cannot do it is a row with an error; the others go on.
      const result = await measure(system).catch((cause: unknown) => {
        kind.signal.throwIfAborted();
        return kind.failed(cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause));
      });
      results.get(system)?.push(result);
      say(`${work}  run ${run}/${runs}  ${system.name.padEnd(46)} ${kind.said(result)}`);
    }
  }
  return results;
}

const failedRun = (firstError: string): RunResult => ({
  ratePerSecond: 0,
  p50Ms: null,
  p99Ms: null,
  serverCpuSecondsPerMillion: null,
  clientCpuSecondsPerMillion: null,
  errors: 1,
  firstError,
});

const failedIdle = (firstError: string): IdleRun => ({
  bytesPerConnection: null,
  connectsPerSecond: 0,
  errors: 1,
  firstError,
});

const saidRate = (run: RunResult): string =>
  `${Math.round(run.ratePerSecond).toLocaleString("en-US").padStart(10)}/s  p50 ${run.p50Ms ?? "-"} ms  p99 ${run.p99Ms ?? "-"} ms` +
  (run.errors === 0 ? "" : `  ${run.errors} errors: ${run.firstError ?? ""}`);

const nullServerName = (wire: WireName): string => `null server, ${wire}`;

async function publishRows(world: World, directory: string, plan: Plan): Promise<ReportRow[]> {
  const rows: ReportRow[] = [];
  for (const row of plan.publish) {
    const measured = await besideCeilings(world, plan, {
      part: "publish",
      work: `${row.clients} × ${row.window}`,
      bodyBytes: row.bodyBytes,
      systems: row.systems,
      wireOf: (system) => system.publishWire,
      measure: (system) => measurePublish(world, directory, system, row, plan),
      measureCeiling: (wire) => measurePublishCeiling(world, wire, row, plan),
    });
    rows.push(...measured);
  }
  return rows;
}

async function fanOutRows(world: World, directory: string, plan: Plan): Promise<ReportRow[]> {
  const rows: ReportRow[] = [];
  for (const row of plan.fanOut) {
    const measured = await besideCeilings(world, plan, {
      part: "fan-out",
      work: `1 → ${row.readers}, ${row.window} outstanding`,
      bodyBytes: row.bodyBytes,
      systems: row.systems,
      wireOf: (system) => system.fanOut?.readerWire ?? null,
      measure: (system) => measureFanOut(world, directory, system, row, plan),
      measureCeiling: (wire) => measureFanOutCeiling(world, wire, row, plan),
    });
    rows.push(...measured);
  }
  return rows;
}

/** One row of a part's plan: systems that do the same work, each by a wire of its own. */
interface Contest {
  readonly part: string;
  readonly work: string;
  readonly bodyBytes: number;
  readonly systems: readonly System[];
  readonly wireOf: (system: System) => WireName | null;
  readonly measure: (system: System) => Promise<RunResult>;
  /** Against the null server of this wire. */
  readonly measureCeiling: (wire: WireName) => Promise<RunResult>;
}

/** Measures the systems in turns, and what the generator itself can do on each of their wires. */
async function besideCeilings(world: World, plan: Plan, contest: Contest): Promise<ReportRow[]> {
  const { part, work, bodyBytes, systems, wireOf } = contest;
  const title = `${part} ${work}, ${bodyBytes} B`;
  const told = { signal: world.signal, failed: failedRun, said: saidRate };
  const wires = wiresOf(systems.map(wireOf));
  const ceilings = await inTurns(title, wires, plan.runs, ({ wire }) => contest.measureCeiling(wire), told);
  const results = await inTurns(title, systems, plan.runs, contest.measure, told);
  return Array.from(results, ([system, runs]) =>
    rowOf({ system: system.name, work, bodyBytes, runs }, ceilingOf(ceilings, wireOf(system))),
  );
}

const wiresOf = (wires: readonly (WireName | null)[]): { name: string; wire: WireName }[] =>
  [...new Set(wires)].flatMap((wire) => (wire === null ? [] : [{ name: nullServerName(wire), wire }]));

/** The median of the runs against the null server of this wire. */
function ceilingOf(
  ceilings: ReadonlyMap<{ wire: WireName }, readonly RunResult[]>,
  wire: WireName | null,
): number | null {
  for (const [each, runs] of ceilings) {
    if (each.wire === wire) return median(runs.map((run) => run.ratePerSecond));
  }
  return null;
}

async function idleRows(world: World, directory: string, plan: Plan): Promise<IdleReportRow[]> {
  const rows: IdleReportRow[] = [];
  const said = (run: IdleRun): string =>
    `${((run.bytesPerConnection ?? 0) / 1024).toFixed(1)} KiB each` +
    (run.errors === 0 ? "" : `  ${run.errors} errors: ${run.firstError ?? ""}`);
  for (const row of plan.idle) {
    const title = `idle, ${row.connections} connections`;
    const results = await inTurns(
      title,
      row.systems,
      plan.runs,
      (system) => measureIdle(world, directory, system, row),
      { signal: world.signal, failed: failedIdle, said },
    );
    for (const [system, runs] of results) {
      rows.push({
        system: system.name,
        connections: row.connections,
        roomsPerConnection: system.idle?.roomsPerConnection ?? 0,
        bytesPerConnection: median(runs.map((run) => run.bytesPerConnection)),
        connectsPerSecond: median(runs.map((run) => run.connectsPerSecond)) ?? 0,
        runs,
      });
    }
  }
  return rows;
}
