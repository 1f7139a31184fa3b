import { existsSync } from "node:fs";
import { measureLoss, measureReaders, measureReturn, measureSilences } from "./cluster-measure.ts";
import type { Harm, LossRow, ReturnRow, SilenceRow } from "./cluster-measure.ts";
import type { ClusterReport } from "./cluster-report.ts";
import type { ClusterSystem } from "./cluster.ts";
import { besideCeilings, failedRun, inTurns, saidRate, say } from "./contest.ts";
import { etcdCluster } from "./etcd-cluster.ts";
import { jetStreamCluster } from "./jet-stream-cluster.ts";
import { measurePublish, measurePublishCeiling } from "./measure.ts";
import type { Measuring, RunResult } from "./measure.ts";
import { rowOf } from "./report-row.ts";
import type { ReportRow } from "./report-row.ts";
import { synodCluster } from "./synod-cluster.ts";
import { programPath, synodCommand } from "./systems.ts";
import type { World } from "./systems.ts";

/** Parts of the clustered rows; `--only` may name one, or `cluster` for all of them. */
export const clusterParts = [
  "cluster-publish",
  "cluster-silence",
  "cluster-return",
  "cluster-loss",
  "cluster-growth",
] as const;
type ClusterPart = (typeof clusterParts)[number];

/** What is measured, and how often. */
export interface ClusterPlan extends Measuring {
  readonly runs: number;
  /** How often a leader is harmed in each way. */
  readonly harms: number;
  /** Of the body of a message. */
  readonly sizes: readonly number[];
  /** Missed by the server that comes back. */
  readonly missedMessages: number;
  /** Servers of one cluster. */
  readonly growth: readonly number[];
}

export const fullClusterPlan: ClusterPlan = {
  runs: 3,
  warmupMs: 700,
  measureMs: 2_000,
  harms: 20,
  sizes: [128, 1024],
  missedMessages: 200_000,
  growth: [3, 5, 7],
};

export const quickClusterPlan: ClusterPlan = {
  ...fullClusterPlan,
  runs: 1,
  warmupMs: 400,
  measureMs: 1_000,
  harms: 3,
  sizes: [128],
  growth: [3, 7],
};

/** What every cluster has done before it is measured, in a load of the same length. */
const warming = { clients: 64, window: 8 };
/** Everybody has the same window: so many readers get so many messages at most before the next. */
const readers = 1_000;
/** Due in a second while one server is away: a third of what one client at a time reaches with 64. */
const lossRatePerSecond = 5_000;

/** Systems that can run here, and what is missing. */
export function clusterSystems(root: string): { systems: ClusterSystem[]; missing: string[] } {
  const missing: string[] = [];
  const systems: ClusterSystem[] = [];
  if (existsSync(synodCommand(root))) {
    systems.push(synodCluster({ servers: 3, clients: "leader" }), synodCluster({ servers: 3, clients: "spread" }));
  }
  if (programPath("nats-server") !== null) systems.push(jetStreamCluster());
  if (programPath("etcd") !== null) systems.push(etcdCluster());
  else missing.push("etcd: not installed (`apt-get install etcd-server`)");
  return { systems, missing };
}

/** Runs the parts that `wants` names, by the systems that `chosen` leaves. */
export async function clusterReport(
  world: World,
  directory: string,
  plan: ClusterPlan,
  options: { readonly systems: readonly ClusterSystem[]; readonly wants: (part: ClusterPart) => boolean },
): Promise<ClusterReport> {
  const { systems, wants } = options;
  const bench = new ClusterBench(world, directory, plan);
  return {
    publish: wants("cluster-publish") ? await bench.publish(systems) : [],
    silences: wants("cluster-silence") ? await bench.silences(systems) : [],
    returns: wants("cluster-return") ? await bench.returns(systems) : [],
    losses: wants("cluster-loss") ? await bench.losses(systems) : [],
    growth: wants("cluster-growth") ? await bench.growth(systems) : [],
    readers: wants("cluster-growth") ? await bench.readers(systems) : [],
  };
}

const isSynod = (system: ClusterSystem): boolean => system.name.startsWith("Synod");
const isSpread = (system: ClusterSystem): boolean => system.name.endsWith("spread");

class ClusterBench {
  private readonly world: World;
  private readonly directory: string;
  private readonly plan: ClusterPlan;

  constructor(world: World, directory: string, plan: ClusterPlan) {
    this.world = world;
    this.directory = directory;
    this.plan = plan;
  }

  async publish(systems: readonly ClusterSystem[]): Promise<ReportRow[]> {
    const rows: ReportRow[] = [];
    for (const bodyBytes of this.plan.sizes) {
      const isSmall = bodyBytes === this.plan.sizes[0];
      rows.push(...(await this.publishRow(systems, { clients: 4, window: 1000 }, bodyBytes)));
      if (!isSmall) continue;
      rows.push(...(await this.publishRow(systems, { clients: 64, window: 1 }, bodyBytes)));
      rows.push(...(await this.publishRow(systems, { clients: 1, window: 1 }, bodyBytes)));
    }
    return rows;
  }

  private async publishRow(
    systems: readonly ClusterSystem[],
    shape: { readonly clients: number; readonly window: number },
    bodyBytes: number,
  ): Promise<ReportRow[]> {
    const { world, directory, plan } = this;
    const isMany = shape.window > 1;
    const shapeOf = (system: ClusterSystem | undefined): { clients: number; window: number; bodyBytes: number } => ({
      ...((isMany ? system?.manyAtOnce : null) ?? shape),
      bodyBytes,
    });
    return await besideCeilings(world, plan, {
      part: "cluster",
      work: `${shape.clients} × ${shape.window}`,
      bodyBytes,
      systems,
      nameOf: (system) => {
        const own = isMany ? system.manyAtOnce : null;
        return own === null ? system.name : `${system.name}, ${own.clients} × ${own.window}`;
      },
      wireOf: (system) => system.publishWire,
      measure: (system) => measurePublish(world, directory, system, shapeOf(system), { ...plan, before: warming }),
      measureCeiling: (wire) => {
        const system = systems.find(({ publishWire }) => publishWire === wire);
        return measurePublishCeiling(world, wire, shapeOf(system), plan);
      },
    });
  }

  /** Synod and etcd, in turns; a leader that is silent is measured of Synod alone. */
  async silences(systems: readonly ClusterSystem[]): Promise<SilenceRow[]> {
    const rows: SilenceRow[] = [];
    const harms: readonly Harm[] = ["killed", "frozen", "cut off"];
    for (const harm of harms) {
      for (const system of systems.filter((one) => !isSpread(one))) {
        if (!isSynod(system) && (harm !== "killed" || system.publishWire !== "etcd")) continue;
        const title = `leader ${harm}, ${system.name}`;
        const said = (silenceMs: number): void => say(`${title}: ${Math.round(silenceMs)} ms`);
        const { harms: times } = this.plan;
        const row = await measureSilences(this.world, this.directory, system, { harm, times, said });
        if (row.error !== null) say(`${title}: ${row.error}`);
        rows.push(row);
      }
    }
    return rows;
  }

  async returns(systems: readonly ClusterSystem[]): Promise<ReturnRow[]> {
    const messages = this.plan.missedMessages;
    const contestants = systems.filter((one) => !isSpread(one) && one.publishWire !== "etcd");
    const errors = new Map<string, string>();
    const results = await inTurns(
      `back after ${messages} missed messages`,
      contestants,
      this.plan.runs,
      async (system) => ({
        ms: await measureReturn(this.world, this.directory, system, { messages }).catch((cause: unknown) => {
          this.world.signal.throwIfAborted();
          errors.set(system.name, cause instanceof Error ? cause.message : String(cause));
          return null;
        }),
      }),
      {
        signal: this.world.signal,
        failed: () => ({ ms: null }),
        said: ({ ms }) => (ms === null ? "failed" : `${Math.round(ms)} ms`),
      },
    );
    return Array.from(results, ([{ name }, runs]) => ({
      system: name,
      messages,
      returnsMs: runs.flatMap(({ ms }) => (ms === null ? [] : [ms])),
      error: errors.get(name) ?? null,
    }));
  }

  async losses(systems: readonly ClusterSystem[]): Promise<LossRow[]> {
    const rows: LossRow[] = [];
    for (const system of systems.filter((one) => isSynod(one) && !isSpread(one))) {
      for (let run = 1; run <= this.plan.runs; run += 1) {
        const options = { ratePerSecond: lossRatePerSecond, measuring: this.plan };
        const row = await measureLoss(this.world, this.directory, system, options);
        say(`one follower lost  run ${run}  with all ${saidRate(row.whole)}  without ${saidRate(row.without)}`);
        rows.push(row);
      }
    }
    return rows;
  }

  /** The same load with more followers: processes of one machine, so that each costs the others. */
  async growth(systems: readonly ClusterSystem[]): Promise<ReportRow[]> {
    if (!systems.some(isSynod)) return [];
    const rows: ReportRow[] = [];
    const sizes = this.plan.growth.map((servers) => synodCluster({ servers, clients: "leader" }));
    rows.push(...(await this.publishRow(sizes, { clients: 4, window: 1000 }, 128)));
    rows.push(...(await this.publishRow(sizes, { clients: 64, window: 1 }, 128)));
    return rows;
  }

  async readers(systems: readonly ClusterSystem[]): Promise<ReportRow[]> {
    const contestants = systems.filter(isSynod);
    const told = { signal: this.world.signal, failed: failedRun, said: (run: RunResult) => saidRate(run) };
    const results = await inTurns(
      `1 → ${readers}`,
      contestants,
      this.plan.runs,
      (system) => {
        const options = { readers, isSpread: isSpread(system), measuring: this.plan };
        return measureReaders(this.world, this.directory, system, options);
      },
      told,
    );
    return Array.from(results, ([{ name: system }, runs]) =>
      rowOf({ system, work: `1 → ${readers}, 8 outstanding`, bodyBytes: 128, runs }, null),
    );
  }
}
