import { Fault } from "../base/error-codes.ts";
import { ChunkDamage } from "../storage/chunk/chunk-damage.ts";

/** Which messages of a room a damaged or missing chunk can't give, as seen from the place where reading met it. */
export class DamagedRun extends ChunkDamage {
  readonly from: number;
  readonly to: number;

  constructor({ from, to }: { from: number; to: number }, { damage }: ChunkDamage) {
    super(damage);
    this.from = from;
    this.to = to;
  }
}

/**
 * What who asked is told of it. `gone` would say that somebody removed these messages; they may come back with a backup,
 * and not by waiting.
 */
export class HistoryDamaged extends Fault {
  readonly from: number;
  readonly to: number;

  constructor(run: DamagedRun) {
    const { from, to } = run;
    const message = `messages ${from} to ${to} of this room are damaged here; ask for those after ${to} or before ${from}`;
    super("unavailable", message, { cause: run, retryable: false });
    this.from = from;
    this.to = to;
  }
}
