import { assert } from "../base/assert.ts";
import { fraction, type Random } from "../base/random.ts";
import { type PowerLossMode, powerLossModes } from "./crash-modes.ts";
import { calmLink, type Chop, type LinkConditions } from "./link.ts";
import { exponential } from "./pipe.ts";

export type DiskOperation = "read" | "write" | "sync";

/**
 * One thing that goes wrong, as data. Whatever lasts carries its own duration, so that leaving one fault out of a
 * schedule leaves a schedule that still makes sense. `at` is in virtual milliseconds from the start of the schedule.
 */
export type Fault = { readonly at: number } & (
  | { readonly kind: "cut"; readonly one: string; readonly other: string }
  | { readonly kind: "clog"; readonly from: string; readonly to: string; readonly forMs: number }
  | { readonly kind: "block"; readonly from: string; readonly to: string; readonly forMs: number }
  | {
      readonly kind: "partition";
      readonly one: readonly string[];
      readonly other: readonly string[];
      readonly forMs: number;
    }
  | { readonly kind: "half-open"; readonly from: string; readonly to: string }
  /** kill -9: the process is gone, the machine and its page cache are not. */
  | { readonly kind: "kill"; readonly host: string; readonly downMs: number }
  | { readonly kind: "power-loss"; readonly host: string; readonly downMs: number; readonly mode: PowerLossMode }
  | { readonly kind: "pause"; readonly host: string; readonly forMs: number }
  | { readonly kind: "slow"; readonly host: string; readonly factor: number; readonly forMs: number }
  | { readonly kind: "clock-jump"; readonly host: string; readonly byMs: number }
  | { readonly kind: "clock-midnight"; readonly host: string; readonly beforeMs: number }
  | { readonly kind: "clock-freeze"; readonly host: string; readonly forMs: number }
  | {
      readonly kind: "clock-strobe";
      readonly host: string;
      readonly byMs: number;
      readonly periodMs: number;
      readonly forMs: number;
    }
  | { readonly kind: "clock-drift"; readonly host: string; readonly perMillion: number }
  /** The next such operation fails; `forMs` above 0: every one for so long. */
  | { readonly kind: "disk-error"; readonly host: string; readonly operation: DiskOperation; readonly forMs: number }
  | { readonly kind: "disk-slow"; readonly host: string; readonly byMs: number; readonly forMs: number }
  | { readonly kind: "disk-full"; readonly host: string; readonly forMs: number }
  /** Nothing that is asked of the disk ends before this is over. */
  | { readonly kind: "disk-stuck"; readonly host: string; readonly forMs: number }
  /** The program is asked to stop (SIGTERM), and starts again `downMs` after it has. */
  | { readonly kind: "stop"; readonly host: string; readonly downMs: number }
  /** Everything on the disk is gone for good, and the server begins anew. Left out where it may be more than others can make good. */
  | { readonly kind: "wipe"; readonly host: string; readonly downMs: number }
  /** A bit of what one server sends another is turned on its way. */
  | { readonly kind: "flip"; readonly from: string; readonly to: string }
);

/** In the place of a host's name: whoever leads when the fault happens. */
export const whoeverLeads = "leader";

export type FaultKind = Fault["kind"];
export type Schedule = readonly Fault[];

/** Every kind, in the order in which chance is asked about them. New kinds go to the end: old seeds keep their meaning. */
export const faultKinds = [
  "cut",
  "clog",
  "block",
  "partition",
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
  "disk-stuck",
  "stop",
  "wipe",
  "flip",
] as const satisfies readonly FaultKind[];

/** What one run is subjected to: which faults, how often, and what its links are like all the time. */
export interface Swarm {
  /** `calm`: no faults at all; `single`: one kind at an extreme rate; `mixed`: about half of the kinds. */
  readonly shape: "calm" | "single" | "mixed";
  /** Faults a virtual minute; a kind that is missing does not happen. */
  readonly perMinute: Readonly<Partial<Record<FaultKind, number>>>;
  readonly link: LinkConditions;
}

export interface FaultTargets {
  readonly servers: readonly string[];
  readonly clients: readonly string[];
}

/**
 * Draws which faults are on in this run (swarm testing: a run with everything on hides what a run with one thing on
 * finds). One run in ten is calm, two in ten have a single fault at an extreme rate. `allowed` leaves kinds out.
 */
export function drawSwarm(random: Random, allowed: readonly FaultKind[] = faultKinds): Swarm {
  const die = random.whole(10);
  const link = drawLink(random);
  if (die === 0 || allowed.length === 0) return { shape: "calm", perMinute: {}, link: calmLink };
  if (die <= 2) {
    const kind = allowed[random.whole(allowed.length)]!;
    return { shape: "single", perMinute: { [kind]: 20 + random.whole(100) }, link };
  }
  const perMinute: Partial<Record<FaultKind, number>> = {};
  for (const kind of allowed) {
    const on = random.whole(2) === 0;
    // Between one in two minutes and sixteen a minute, every power of two equally likely.
    const rate = 2 ** (random.whole(6) - 1);
    if (on) perMinute[kind] = rate;
  }
  return { shape: "mixed", perMinute, link };
}

function drawLink(random: Random): LinkConditions {
  const chops: readonly Chop[] = [
    { kind: "none" },
    { kind: "none" },
    { kind: "pieces", bytesMax: 1_500 },
    { kind: "pieces", bytesMax: 64 },
    { kind: "pieces", bytesMax: 7 },
    { kind: "pieces", bytesMax: 1 },
  ];
  return {
    ...calmLink,
    latencyMs: [0, 0.2, 2, 20][random.whole(4)]!,
    jitterMeanMs: [0, 0.1, 1, 10, 100][random.whole(5)]!,
    bytesPerSecond: random.whole(8) === 0 ? 20_000 + random.whole(200_000) : null,
    chop: chops[random.whole(chops.length)]!,
    socketBytes: [4 * 1024, 64 * 1024, 256 * 1024][random.whole(3)]!,
  };
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const yearMs = 365 * dayMs;
const faultsMax = 5_000;

/** Draws what goes wrong and when, sorted by time. Nothing that lasts outlasts `forMs`; at most 5,000 faults. */
export function drawSchedule(
  random: Random,
  options: { readonly swarm: Swarm; readonly targets: FaultTargets; readonly forMs: number },
): Schedule {
  const { swarm, targets, forMs } = options;
  assert(targets.servers.length > 0, "no server to harm");
  const schedule: Fault[] = [];
  for (const kind of faultKinds) {
    const rate = swarm.perMinute[kind];
    if (rate === undefined) continue;
    let at = exponential(random, 60_000 / rate);
    while (at < forMs && schedule.length < faultsMax) {
      schedule.push(drawFault(random, { kind, at, leftMs: forMs - at, targets }));
      at += 0.001 + exponential(random, 60_000 / rate);
    }
  }
  // Sorting is stable: faults of one instant stay in the order of their kinds.
  return schedule.sort((one, other) => one.at - other.at);
}

/**
 * The same schedule with some of what befalls a host befalling whoever leads then, and some of the partitions leaving that
 * one alone: a fault that is aimed finds more than one that is not.
 */
export function aimedAtLeaders(random: Random, schedule: Schedule): Schedule {
  // In half of the runs nothing is aimed.
  const oneIn = [0, 0, 2, 4][random.whole(4)]!;
  if (oneIn === 0) return schedule;
  return schedule.map((fault) => {
    if (random.whole(oneIn) > 0) return fault;
    if (fault.kind === "partition") return { ...fault, one: [whoeverLeads], other: [...fault.one, ...fault.other] };
    return "host" in fault ? { ...fault, host: whoeverLeads } : fault;
  });
}

function drawFault(
  random: Random,
  options: { readonly kind: FaultKind; readonly at: number; readonly leftMs: number; readonly targets: FaultTargets },
): Fault {
  const { kind, at, leftMs, targets } = options;
  const pick = <T>(list: readonly T[]): T => list[random.whole(list.length)]!;
  const lasting = (meanMs: number, mostMs: number): number =>
    Math.min(leftMs, mostMs, Math.max(1, Math.round(exponential(random, meanMs))));
  const host = pick(targets.servers);
  const everyone = [...targets.servers, ...targets.clients];
  const other = pick(everyone.filter((name) => name !== host));
  const outwards = random.whole(2) === 0;
  const way = outwards ? { from: host, to: other } : { from: other, to: host };
  switch (kind) {
    case "cut":
      return { at, kind, one: host, other };
    case "clog":
      return { at, kind, ...way, forMs: lasting(1_500, 5_000) };
    case "block":
      return { at, kind, ...way, forMs: lasting(4_000, 30_000) };
    case "partition": {
      const one = everyone.filter(() => random.whole(2) === 0);
      return { at, kind, one, other: everyone.filter((name) => !one.includes(name)), forMs: lasting(4_000, 30_000) };
    }
    case "half-open":
      return { at, kind, ...way };
    case "kill":
      return { at, kind, host, downMs: lasting(500, 10_000) };
    case "power-loss":
      return { at, kind, host, downMs: lasting(2_000, 20_000), mode: pick(powerLossModes) };
    case "pause":
      return { at, kind, host, forMs: lasting(2_000, 60_000) };
    case "slow":
      return { at, kind, host, factor: pick([2, 10, 100, 1_000]), forMs: lasting(3_000, 30_000) };
    case "clock-jump": {
      const byMs = pick([1_000, 3_000, 60_000, hourMs, dayMs, 10 * yearMs]);
      return { at, kind, host, byMs: random.whole(2) === 0 ? byMs : -byMs };
    }
    case "clock-midnight":
      return { at, kind, host, beforeMs: random.whole(4_000) - 1_000 };
    case "clock-freeze":
      return { at, kind, host, forMs: lasting(10_000, 90_000) };
    case "clock-strobe":
      return {
        at,
        kind,
        host,
        byMs: pick([-hourMs, -200, 200, hourMs]),
        periodMs: pick([10, 100, 1_000]),
        forMs: lasting(5_000, 30_000),
      };
    case "clock-drift":
      return { at, kind, host, perMillion: random.whole(2_000) - 1_000 };
    case "disk-error":
      return {
        at,
        kind,
        host,
        operation: pick(["read", "write", "sync"]),
        forMs: random.whole(3) === 0 ? lasting(3_000, 20_000) : 0,
      };
    case "disk-slow":
      return { at, kind, host, byMs: Math.round(10 * 2 ** (fraction(random) * 10)), forMs: lasting(3_000, 20_000) };
    case "disk-stuck":
      return { at, kind, host, forMs: lasting(3_000, 20_000) };
    case "stop":
      return { at, kind, host, downMs: lasting(500, 5_000) };
    case "wipe":
      return { at, kind, host, downMs: lasting(2_000, 20_000) };
    case "flip":
      return { at, kind, from: host, to: pick(targets.servers.filter((name) => name !== host)) };
    default:
      return { at, kind, host, forMs: lasting(4_000, 30_000) };
  }
}
