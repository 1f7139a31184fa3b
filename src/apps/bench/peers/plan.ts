import type { System } from "./systems.ts";

/** What is measured, and how long. */
export interface Plan {
  /** Runs of each row, in turns; the median counts. */
  readonly runs: number;
  readonly warmupMs: number;
  readonly measureMs: number;
  readonly publish: readonly PublishRow[];
  readonly fanOut: readonly FanOutRow[];
  readonly idle: readonly IdleRow[];
}

export interface PublishRow {
  readonly clients: number;
  readonly window: number;
  readonly bodyBytes: number;
  readonly systems: readonly System[];
}

export interface FanOutRow {
  readonly readers: number;
  readonly window: number;
  readonly bodyBytes: number;
  readonly systems: readonly System[];
}

export interface IdleRow {
  readonly connections: number;
  readonly systems: readonly System[];
}

/** Systems by the work they can do, those that are here only. */
export interface Contestants {
  readonly publish: readonly System[];
  readonly fanOut: readonly System[];
  readonly idle: readonly System[];
}

/** Everything the tables in docs/benchmarks.md show: at most 25 minutes. */
export function fullPlan(contestants: Contestants): Plan {
  const sizes = [128, 1024];
  return {
    runs: 3,
    warmupMs: 700,
    measureMs: 2_000,
    publish: sizes.flatMap((bodyBytes) =>
      [
        { clients: 4, window: 1000 },
        { clients: 64, window: 1 },
        { clients: 1, window: 1 },
      ].map((shape) => ({ ...shape, bodyBytes, systems: contestants.publish })),
    ),
    fanOut: sizes.flatMap((bodyBytes) =>
      [1000, 5000].map((readers) => ({ readers, window: 8, bodyBytes, systems: contestants.fanOut })),
    ),
    idle: [{ connections: 10_000, systems: contestants.idle }],
  };
}

/** A look in about two minutes: 128 B, 1,000 readers, short and single runs. Good for trends, not for the tables. */
export function quickPlan(contestants: Contestants): Plan {
  const full = fullPlan(contestants);
  return {
    runs: 1,
    warmupMs: 400,
    measureMs: 1_000,
    publish: full.publish.filter((row) => row.bodyBytes === 128),
    fanOut: full.fanOut.filter((row) => row.bodyBytes === 128 && row.readers === 1000),
    idle: full.idle.map((row) => ({ ...row, connections: 2_000 })),
  };
}
