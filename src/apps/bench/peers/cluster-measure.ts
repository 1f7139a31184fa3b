import { setTimeout as sleep } from "node:timers/promises";
import { runJobs } from "../generator-processes.ts";
import type { FanOutResult, PublishResult } from "../job.ts";
import type { ClusterSystem, RunningCluster } from "./cluster.ts";
import { fanOutJob, fanOutRun, publishJob, publishRun, withSystem } from "./measure.ts";
import type { Measuring, RunResult } from "./measure.ts";
import { SilenceProbe } from "./silence-probe.ts";
import type { World } from "./systems.ts";

/** What is done to the leader. */
export type Harm = "killed" | "frozen" | "cut off";

/** The longest silences that one system's clients saw, one for each time, in the order in which they were. */
export interface SilenceRow {
  readonly system: string;
  readonly harm: Harm;
  readonly silencesMs: readonly number[];
  readonly error: string | null;
}

/**
 * Harms the leader `times` times, each time a whole cluster, and measures from the last acknowledgement before to the
 * first after it, by a client of another server. A killed server is started again, a frozen one goes on, a cut is healed.
 */
export async function measureSilences(
  world: World,
  directory: string,
  system: ClusterSystem,
  options: { readonly harm: Harm; readonly times: number; readonly said: (silenceMs: number) => void },
): Promise<SilenceRow> {
  const { harm, times, said } = options;
  const silencesMs: number[] = [];
  const start = (own: string): Promise<RunningCluster> => system.start(world, own, { isCuttable: harm === "cut off" });
  try {
    await withSystem(directory, start, async (cluster) => {
      for (let time = 0; time < times; time += 1) {
        const silence = await oneSilence(world, cluster, { system, harm, time });
        silencesMs.push(silence);
        said(silence);
      }
    });
    return { system: system.name, harm, silencesMs, error: null };
  } catch (cause) {
    world.signal.throwIfAborted();
    return { system: system.name, harm, silencesMs, error: cause instanceof Error ? cause.message : String(cause) };
  }
}

async function oneSilence(
  world: World,
  cluster: RunningCluster,
  { system, harm, time }: { readonly system: ClusterSystem; readonly harm: Harm; readonly time: number },
): Promise<number> {
  await cluster.whole();
  const leader = await cluster.leader();
  const other = cluster.servers.find((_, place) => place !== leader);
  if (other === undefined) throw new Error("there is no other server");
  const probe = await SilenceProbe.open({ wire: system.publishWire, port: other.port, client: time });
  try {
    await probe.steady(world.signal);
    // Not always at the same moment between two heartbeats.
    await sleep((time * 37) % 150);
    const { pid } = cluster.servers[leader]!;
    return await probe.longestSilenceMs(() => {
      if (harm === "killed") process.kill(pid, "SIGKILL");
      else if (harm === "frozen") process.kill(pid, "SIGSTOP");
      else cluster.setCut(leader, true);
    }, world.signal);
  } finally {
    probe.end();
    if (harm === "killed") {
      await cluster.end(leader, "SIGKILL");
      cluster.begin(leader);
    } else if (harm === "frozen") {
      process.kill(cluster.servers[leader]!.pid, "SIGCONT");
    } else {
      cluster.setCut(leader, false);
    }
  }
}

/** How long a server took that was away while messages came, from the start of its process until it lacked nothing. */
export interface ReturnRow {
  readonly system: string;
  readonly messages: number;
  readonly returnsMs: readonly number[];
  readonly error: string | null;
}

/** As many messages again are in the cluster before the server goes away. */
export async function measureReturn(
  world: World,
  directory: string,
  system: ClusterSystem,
  options: { readonly messages: number },
): Promise<number> {
  const { messages } = options;
  return await withSystem(
    directory,
    (own) => system.start(world, own),
    async (cluster) => {
      await publishSome(world, cluster, system, messages);
      await cluster.whole();
      const leader = await cluster.leader();
      const away = (leader + 1) % cluster.servers.length;
      await cluster.end(away, "SIGTERM");
      await publishSome(world, cluster, system, messages);
      const from = performance.now();
      cluster.begin(away);
      const giveUpAt = from + 120_000;
      while (!(await cluster.hasAll(away))) {
        world.signal.throwIfAborted();
        if (performance.now() > giveUpAt) throw new Error("the server did not catch up within 120 s");
        await sleep(20);
      }
      return performance.now() - from;
    },
  );
}

async function publishSome(
  world: World,
  cluster: RunningCluster,
  system: ClusterSystem,
  messages: number,
): Promise<void> {
  const port = cluster.servers[await cluster.leader()]!.port;
  const shape = system.manyAtOnce ?? { clients: 4, window: 1000 };
  const measuring = { warmupMs: 0, measureMs: 120_000 };
  const job = { ...publishJob(system.publishWire, port, { ...shape, bodyBytes: 128 }, measuring, []), messages };
  const [result] = await runJobs<PublishResult>([job], world.signal);
  if (result === undefined || result.ackedInAll < messages || result.errors > 0) {
    throw new Error(
      `${result?.ackedInAll ?? 0} of ${messages} messages were acknowledged; ${result?.firstError ?? ""}`,
    );
  }
}

/** The same load, due at fixed times, with all servers and after one that does not lead was killed. */
export interface LossRow {
  readonly system: string;
  readonly ratePerSecond: number;
  readonly whole: RunResult;
  readonly without: RunResult;
}

export async function measureLoss(
  world: World,
  directory: string,
  system: ClusterSystem,
  options: { readonly ratePerSecond: number; readonly measuring: Measuring },
): Promise<LossRow> {
  const { ratePerSecond, measuring } = options;
  return await withSystem(
    directory,
    (own) => system.start(world, own),
    async (cluster) => {
      const leader = await cluster.leader();
      const port = cluster.servers[leader]!.port;
      const load = async (pids: readonly number[]): Promise<RunResult> => {
        const shape = { clients: 64, window: 16, bodyBytes: 128 };
        const job = { ...publishJob(system.publishWire, port, shape, measuring, pids), ratePerSecond };
        return publishRun(await runJobs<PublishResult>([job], world.signal));
      };
      const whole = await load(cluster.pids);
      const lost = (leader + 1) % cluster.servers.length;
      await cluster.end(lost, "SIGKILL");
      const without = await load(cluster.pids.filter((pid) => pid !== 0));
      return { system: system.name, ratePerSecond, whole, without };
    },
  );
}

/** Readers of one room: all at the leader, or spread over all servers; the publisher is at the leader. */
export async function measureReaders(
  world: World,
  directory: string,
  system: ClusterSystem,
  options: { readonly readers: number; readonly isSpread: boolean; readonly measuring: Measuring },
): Promise<RunResult> {
  const { readers, isSpread, measuring } = options;
  return await withSystem(
    directory,
    (own) => system.start(world, own),
    async (cluster) => {
      const { port } = cluster.servers[await cluster.leader()]!;
      const wires = { readerWire: system.publishWire, publisherWire: system.publishWire } as const;
      const row = { readers, window: 8, bodyBytes: 128 };
      const job = fanOutJob(wires, { port, publisherPort: port }, row, measuring, cluster.pids);
      const ports = isSpread ? { ports: cluster.servers.map((server) => server.port) } : {};
      return fanOutRun(await runJobs<FanOutResult>([{ ...job, ...ports }], world.signal));
    },
  );
}
