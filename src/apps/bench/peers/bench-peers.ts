import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { parseArgs } from "node:util";
import { interruptible } from "../interruptible.ts";
import { clusterParts, clusterReport, clusterSystems, fullClusterPlan, quickClusterPlan } from "./bench-cluster.ts";
import type { ClusterPlan } from "./bench-cluster.ts";
import { clusterMarkdown, clusterRatios } from "./cluster-report.ts";
import type { ClusterReport } from "./cluster-report.ts";
import type { ClusterSystem } from "./cluster.ts";
import { besideCeilings, inTurns } from "./contest.ts";
import { measureFanOut, measureFanOutCeiling, measureIdle, measurePublish, measurePublishCeiling } from "./measure.ts";
import type { IdleRun } from "./measure.ts";
import { fullPlan, quickPlan } from "./plan.ts";
import type { Contestants, Plan } from "./plan.ts";
import { median } from "./report-row.ts";
import type { Measured, ReportRow } from "./report-row.ts";
import { markdownOf, ratiosOf } from "./report.ts";
import type { IdleReportRow, PeersReport } from "./report.ts";
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

const usage = `npm run bench:peers -- [--quick] [--only WORDS] [--runs N] [--harms N] [--seconds S] [--json FILE] [-o json] [--data DIR]

  --quick        a subset in about two minutes
  --only WORDS   only systems with one of these words in their name, or these parts, comma-separated: publish, fan-out,
                 idle; cluster, or of it: ${clusterParts.join(", ")}
  --runs N       runs of each row, the median counts
  --harms N      how often the leader of a cluster is killed, frozen and cut off
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
      harms: { type: "string" },
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
    const { contestants, clusters, missing } = whoIsHere(root, directory, only);
    const planned = values.quick ? quickPlan(contestants) : fullPlan(contestants);
    const plan: Plan = {
      ...planned,
      runs: values.runs === undefined ? planned.runs : Number(values.runs),
      measureMs: values.seconds === undefined ? planned.measureMs : Number(values.seconds) * 1000,
    };
    const clusterPlan: ClusterPlan = {
      ...(values.quick ? quickClusterPlan : fullClusterPlan),
      ...(values.runs === undefined ? {} : { runs: plan.runs }),
      ...(values.seconds === undefined ? {} : { measureMs: plan.measureMs }),
      ...(values.harms === undefined ? {} : { harms: Number(values.harms) }),
    };
    const report = await runPlan(world, directory, { plan, clusterPlan, clusters, only, missing });
    const ratios = { peers: ratiosOf([...report.publish, ...report.fanOut]), cluster: clusterRatios(report.cluster) };
    const json = `${JSON.stringify({ ...report, ratios }, null, 2)}\n`;
    if (values.json !== undefined) writeFileSync(values.json, json);
    const markdown = [markdownOf(report), ...clusterMarkdown(report.cluster)].join("\n");
    process.stdout.write(values.output === "json" ? json : markdown);
  });
}

/** Which systems can run here, and what is missing. */
function whoIsHere(
  root: string,
  directory: string,
  only: readonly string[],
): { contestants: Contestants; clusters: ClusterSystem[]; missing: string[] } {
  const { systems: clusters, missing } = clusterSystems(root);
  const publish: System[] = [];
  const fanOut: System[] = [];
  const idle: System[] = [];
  if (existsSync(synodCommand(root))) {
    publish.push(synod("binary"), synod("json"), synod("sdk"));
    fanOut.push(synod("binary"), synod("sdk"));
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
    clusters: clusters.filter(chosen),
    missing,
  };
}

const parts: readonly string[] = ["publish", "fan-out", "idle", "cluster", ...clusterParts];

const natsVersion = (): string =>
  /v([\d.]+)/.exec(execFileSync("nats-server", ["--version"], { encoding: "utf8" }))?.[1] ?? "unknown";

function versions(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  if (programPath("redis-server") !== null) {
    const said = execFileSync("redis-server", ["--version"], { encoding: "utf8" });
    found["Redis"] = /v=([\d.]+)/.exec(said)?.[1] ?? "unknown";
  }
  if (programPath("nats-server") !== null) found["nats-server"] = natsVersion();
  if (programPath("etcd") !== null) {
    const said = execFileSync("etcd", ["--version"], { encoding: "utf8" });
    found["etcd"] = /etcd Version: ([\d.]+)/.exec(said)?.[1] ?? "unknown";
  }
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
  what: {
    readonly plan: Plan;
    readonly clusterPlan: ClusterPlan;
    readonly clusters: readonly ClusterSystem[];
    readonly only: readonly string[];
    readonly missing: readonly string[];
  },
): Promise<PeersReport & { readonly cluster: ClusterReport }> {
  const { plan, clusterPlan, clusters: systems, only, missing } = what;
  const wanted = (part: string): boolean => !only.some((word) => parts.includes(word)) || only.includes(part);
  const startedAt = new Date().toISOString();
  const publish = wanted("publish") ? await publishRows(world, directory, plan) : [];
  const fanOut = wanted("fan-out") ? await fanOutRows(world, directory, plan) : [];
  const idle = wanted("idle") ? await idleRows(world, directory, plan) : [];
  const wants = (part: string): boolean => wanted("cluster") || wanted(part);
  const cluster = await clusterReport(world, directory, clusterPlan, { systems, wants });
  return {
    startedAt,
    machine: { cpus: cpus().length, cpuModel: cpus()[0]?.model ?? "?", node: process.versions.node, kernel: release() },
    versions: versions(world.root),
    runs: plan.runs,
    missing,
    publish,
    fanOut,
    idle,
    cluster,
  };
}

const measuresOf = ({ client }: System): Measured => (client === "sdk" ? "server and SDK" : "server");

const failedIdle = (firstError: string): IdleRun => ({
  bytesPerConnection: null,
  connectsPerSecond: 0,
  errors: 1,
  firstError,
});

async function publishRows(world: World, directory: string, plan: Plan): Promise<ReportRow[]> {
  const rows: ReportRow[] = [];
  for (const row of plan.publish) {
    const measured = await besideCeilings(world, plan, {
      part: "publish",
      work: `${row.clients} × ${row.window}`,
      bodyBytes: row.bodyBytes,
      systems: row.systems,
      wireOf: (system) => system.publishWire,
      measuresOf,
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
      measuresOf,
      measure: (system) => measureFanOut(world, directory, system, row, plan),
      measureCeiling: (wire) => measureFanOutCeiling(world, wire, row, plan),
    });
    rows.push(...measured);
  }
  return rows;
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
