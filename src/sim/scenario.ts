import { checkLimits, type Limits } from "../base/limits.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { millis } from "../base/units.ts";
import { defaultLivenessTiming, type LivenessTiming } from "../transport/liveness/liveness-timing.ts";
import { aimedAtLeaders, drawSchedule, drawSwarm, type FaultKind, faultKinds, type Schedule } from "./faults.ts";
import type { LinkConditions } from "./link.ts";
import { drawMemberIntents } from "./member-intents.ts";
import { drawOperatorPlan, drawRemovals, type OperatorPlan } from "./sim-operator.ts";
import type { SimServerOptions } from "./sim-server.ts";
import { drawTinyLimits } from "./tiny-limits.ts";
import { drawWorkload, type Workload } from "./workload.ts";

/** What is to happen in the world of one seed, all of it known before anything does. */
export interface Scenario {
  /** Names of the servers. */
  readonly servers: readonly string[];
  /**
   * All begin with empty directories and a list of all, and find out among themselves who founds. Otherwise the first one
   * founds before the others begin.
   */
  readonly foundsByList: boolean;
  /** Before everything is healed, a majority alone is, and has to go on. */
  readonly healsMajorityFirst: boolean;
  readonly limits: Limits;
  readonly settings: SimServerOptions["settings"];
  /** How several servers watch each other. */
  readonly timing: LivenessTiming;
  readonly workload: Workload;
  readonly operatorPlan: OperatorPlan;
  readonly link: LinkConditions;
  readonly schedule: Schedule;
  /** Whether the process of one client is killed half-way, and started again. */
  readonly crashesClient: boolean;
  /** Chance of each part while the world runs. */
  readonly random: Readonly<Record<"scheduler" | "network" | "disk" | "server" | "clients" | "faults", Random>>;
}

/** What can happen to one server alone. */
const soloFaults: readonly FaultKind[] = faultKinds.filter(
  (kind) => !["partition", "disk-stuck", "stop", "wipe", "flip"].includes(kind),
);
const clientCount = 5;
/** Several servers cost as much more for every message; faults matter more there than messages. */
const clusterSendsPerSecond = 5;

/** The scenario of a seed, with faults for `forMs` virtual milliseconds. */
export function drawScenario(seed: number, options: { readonly forMs: number; readonly servers: number }): Scenario {
  const { forMs } = options;
  const servers = Array.from({ length: options.servers }, (_, index) => `n${index + 1}`);
  const isAlone = servers.length === 1;
  // Each part of the world has chance of its own, so that a change to one leaves the others as they were.
  const of = (part: number): Random => seededRandom(seed * 16 + part);
  const random = of(2);
  const tiny = drawTinyLimits(random);
  const shape = of(15);
  const limits = isAlone ? tiny : drawClusterLimits({ shape, kept: of(9) }, tiny);
  const settings = drawSettings(random);
  const { bodyBytesMax } = limits;
  const sendsPerSecond = isAlone ? 20 : clusterSendsPerSecond;
  const workload = drawWorkload({ random: of(5), clients: clientCount, rooms: 4, forMs, bodyBytesMax, sendsPerSecond });
  const { rooms, users } = workload;
  const removals = drawRemovals(of(12), { servers, forMs });
  const operatorPlan = { ...drawOperatorPlan(of(7), { rooms, users, servers, forMs }), removals };
  const comings = drawMemberIntents(of(8), { rooms: operatorPlan.privateRooms, users, forMs });
  const intents = [...workload.intents, ...comings].sort((a, b) => a.at - b.at);
  const swarm = drawSwarm(random, isAlone ? soloFaults : faultKinds);
  const targets = { servers, clients: users.map((_, index) => `client${index}`) };
  const drawn = drawSchedule(random, { swarm, targets, forMs });
  return {
    servers,
    limits,
    settings,
    timing: { ...defaultLivenessTiming, tickMs: millis(shape.whole(4) === 0 ? 20 : 50) },
    workload: { ...workload, intents },
    operatorPlan,
    link: swarm.link,
    schedule: isAlone ? drawn : aimedAtLeaders(of(10), drawn),
    foundsByList: !isAlone && of(11).whole(2) === 0,
    healsMajorityFirst: !isAlone && of(13).whole(2) === 0,
    crashesClient: random.whole(2) === 0,
    random: { scheduler: of(0), network: of(1), disk: of(3), server: of(4), clients: of(6), faults: of(14) },
  };
}

/**
 * Some keep next to nothing for those who lag behind, so that these need a snapshot. Of the smallest segments three
 * batches fill one: in most runs there is more in them, or most of what happens would be that files are opened.
 */
function drawClusterLimits({ shape, kept }: { readonly shape: Random; readonly kept: Random }, tiny: Limits): Limits {
  const segmentBytes = tiny.segmentBytes * [1, 2, 4, 4][shape.whole(4)]!;
  const journalKeptBytes = [segmentBytes, segmentBytes * 8, tiny.journalKeptBytes][kept.whole(3)]!;
  const diskReserveBytes = segmentBytes + tiny.chunkBytes;
  const limits = { ...tiny, segmentBytes, journalKeptBytes, diskReserveBytes };
  checkLimits(limits);
  return limits;
}

function drawSettings(random: Random): SimServerOptions["settings"] {
  const pick = <T>(...values: readonly T[]): T => values[random.whole(values.length)]!;
  return {
    timeZone: pick("UTC", "Asia/Shanghai", "America/St_Johns"),
    retentionDays: 0,
    push: pick({ afterMs: 0, afterCount: 0 }, { afterMs: 0, afterCount: 0 }, { afterMs: 20, afterCount: 5 }),
    flush: pick({ afterMs: 0, afterBytes: 0 }, { afterMs: 0, afterBytes: 0 }, { afterMs: 10, afterBytes: 2_048 }),
  };
}
