import type { RoomName } from "../base/ids.ts";
import { seededRandom } from "../base/random.ts";
import { millis } from "../base/units.ts";
import type { Log } from "../server/log.ts";
import { FaultInjector, safetyThenLiveness } from "./fault-injector.ts";
import { drawSchedule, drawSwarm, type FaultKind, type Schedule } from "./faults.ts";
import type { SimHost } from "./host.ts";
import { Network } from "./network.ts";
import { Oracle } from "./oracle.ts";
import { Scheduler } from "./scheduler.ts";
import { SdkClient } from "./sdk-client.ts";
import { SimDisk } from "./sim-disk.ts";
import { restartAfter, SimServer, serverPort } from "./sim-server.ts";
import { drawTinyLimits } from "./tiny-limits.ts";
import { drawWorkload } from "./workload.ts";
import { WorkloadPlayer } from "./workload-player.ts";

export interface RunOptions {
  readonly seed: number;
  /** How long faults go on, in virtual milliseconds. @defaultValue 120000 */
  readonly forMs?: number;
  /** Instead of what the seed draws: to repeat a shrunken run. */
  readonly schedule?: Schedule;
  readonly log?: Log;
}

/** What became of one seed. */
export interface RunResult {
  readonly seed: number;
  readonly virtualSeconds: number;
  readonly events: number;
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly schedule: Schedule;
  readonly traceHash: string;
  /** Empty, or the run has found something. */
  readonly violations: readonly string[];
  readonly acknowledged: number;
  readonly seals: number;
  readonly starts: number;
}

/** What can happen to one server alone. */
const soloFaults: readonly FaultKind[] = [
  "cut",
  "clog",
  "block",
  "half-open",
  "kill",
  "power-loss",
  "pause",
  "slow",
  "clock-jump",
  "clock-midnight",
  "clock-freeze",
  "clock-strobe",
  "clock-drift",
  "disk-error",
  "disk-slow",
  "disk-full",
];

const silent: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };
const livenessMs = 60_000;

/**
 * Runs the shipped server and the shipped SDK in the world that a seed draws: first with faults, when nothing wrong may
 * happen, then without, when everything must get done. The same seed gives the same run.
 */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const { seed } = options;
  const forMs = options.forMs ?? 120_000;
  const log = options.log ?? silent;
  const of = (part: number): ReturnType<typeof seededRandom> => seededRandom(seed * 16 + part);
  const violations: string[] = [];
  const scheduler = new Scheduler({ random: of(0) });
  const network = new Network({ scheduler, random: of(1) });
  const random = of(2);
  const host = scheduler.host("n1");
  const disk = new SimDisk(host, of(3));
  const limits = drawTinyLimits(random);
  const pick = <T>(...values: readonly T[]): T => values[random.whole(values.length)]!;
  const settings = {
    timeZone: pick("UTC", "Asia/Shanghai", "America/St_Johns"),
    retentionDays: 0,
    push: pick({ afterMs: 0, afterCount: 0 }, { afterMs: 0, afterCount: 0 }, { afterMs: 20, afterCount: 5 }),
    flush: pick({ afterMs: 0, afterBytes: 0 }, { afterMs: 0, afterBytes: 0 }, { afterMs: 10, afterBytes: 2_048 }),
  };
  const serverRandom = of(4);
  let starts = 0;
  let seals = 0;
  let current: SimServer | null = null;
  const boot = (booted: SimHost): void => {
    if (booted !== host) return;
    starts++;
    current = new SimServer({
      host,
      network,
      disk,
      random: serverRandom,
      limits,
      settings,
      log,
      onDamaged: (damage) => violations.push(`damaged without damage: ${damage.message}`),
      onExit: () => {
        host.crash("killed");
        disk.killed();
        scheduler.after(restartAfter, "restart", () => {
          if (host.alive) return;
          host.start();
          boot(host);
        });
      },
    });
  };
  boot(host);

  const workload = drawWorkload({ random: of(5), clients: 5, rooms: 4, forMs, bodyBytesMax: limits.bodyBytesMax });
  const clientRandom = of(6);
  const sentBy = new Map(workload.users.map((user) => [user, new Set<string>()]));
  const makeClient = (user: string, clientHost: SimHost): SdkClient =>
    new SdkClient({
      user,
      host: clientHost,
      network,
      servers: [{ host: "n1", port: serverPort }],
      random: clientRandom,
      sent: sentBy.get(user) ?? new Set(),
      isBinary: clientRandom.whole(2) === 0,
    });
  const clients = workload.users.map((user, index) => {
    const clientHost = scheduler.host(`client${index}`);
    return { host: clientHost, client: makeClient(user, clientHost) };
  });
  // Rooms are made before anybody talks in them.
  for (const room of workload.rooms as readonly RoomName[]) {
    if (!room.startsWith("@")) clients[0]!.client.join(room).catch(() => undefined);
  }

  const swarm = drawSwarm(random, soloFaults);
  network.shape(swarm.link);
  const injector = new FaultInjector({
    scheduler,
    network,
    boot,
    disk: (one) => (one === host ? disk : null),
  });
  const targets = { servers: ["n1"], clients: clients.map((one) => one.host.name) };
  const schedule = options.schedule ?? drawSchedule(random, { swarm, targets, forMs });
  injector.inject(schedule);
  // The outbox tries for as long as it takes; a request that meets a server that is down ends by its own time-out.
  const oracle = new Oracle({ sendWithinMs: null, requestWithinMs: null });
  const player = new WorkloadPlayer({ scheduler, oracle, workload, client: (index) => clients[index]! });
  player.play();
  if (random.whole(2) === 0) {
    scheduler.after(millis(forMs / 2), "client crash", () => {
      const { host: clientHost, client } = clients[1]!;
      clientHost.crash("killed");
      player.clientCrashed(1);
      clientHost.start();
      clients[1] = { host: clientHost, client: makeClient(client.user, clientHost) };
    });
  }
  const tookMs = await safetyThenLiveness({
    scheduler,
    injector,
    safetyMs: millis(forMs),
    livenessMs: millis(livenessMs),
    afterHealing: () => {
      for (const { client } of clients) client.reconnect();
      for (const index of clients.keys()) player.beginCatchUp(index);
    },
    done: () => player.isCaughtUp,
    eventsMax: 20_000_000,
  });
  if (tookMs === null)
    violations.push(
      `no progress ${livenessMs / 1_000} s after everything was healed: ${player.unfinished().join("; ")}`,
    );
  seals = (current as SimServer | null)?.server?.state.lastChunk ?? 0;
  player.endCatchUp();
  const verdict = oracle.finish({ at: scheduler.now() });
  for (const anomaly of verdict.anomalies) violations.push(JSON.stringify(anomaly));
  return {
    seed,
    virtualSeconds: Math.round(scheduler.now() / 1_000),
    events: scheduler.events,
    faults: injector.counts(),
    schedule,
    traceHash: scheduler.traceHash(),
    violations,
    acknowledged: verdict.seen.acknowledged,
    seals,
    starts,
  };
}
