import type { Log } from "../server/log.ts";
import type { CoverageCounts } from "./coverage.ts";
import type { FaultKind, Schedule } from "./faults.ts";
import type { Verdict } from "./oracle.ts";
import { Run } from "./run.ts";
import type { MarkName } from "./run-marks.ts";

export interface RunOptions {
  readonly seed: number;
  /** How many servers order messages together, one of them elected. @defaultValue 1: it is alone */
  readonly servers?: 1 | 3 | 5;
  /** How long faults go on, in virtual milliseconds. @defaultValue 120000 for a server alone, 300000 for several */
  readonly forMs?: number;
  /** Instead of what the seed draws: to repeat a shrunken run. */
  readonly schedule?: Schedule;
  readonly log?: Log;
}

/** What became of one seed. */
export interface RunResult {
  readonly seed: number;
  readonly servers: number;
  readonly virtualSeconds: number;
  readonly events: number;
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly schedule: Schedule;
  readonly traceHash: string;
  /** Empty, or the run has found something. */
  readonly violations: readonly string[];
  readonly seen: Verdict["seen"];
  readonly marks: Readonly<Partial<Record<MarkName, number>>>;
  readonly coverage: CoverageCounts;
  readonly seals: number;
  readonly starts: number;
}

const silent: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Runs the shipped server, or several of one cluster, and the shipped SDK in the world that a seed draws: first with
 * faults, when nothing wrong may happen, then without, when everything must get done; in the end every server is stopped
 * in good order and started again, and must have kept everything. The same seed gives the same run.
 */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const { servers = 1, log = silent } = options;
  const { forMs = servers === 1 ? 120_000 : 300_000 } = options;
  return new Run({ ...options, servers, forMs, log }).run();
}
