import { Fault } from "../base/error-codes.ts";
import type { ChunkDamage } from "../storage/chunk/chunk-damage.ts";

/** Messages of a room, by their seqs, both included. */
export interface SeqRange {
  readonly from: number;
  readonly to: number;
}

/**
 * A damaged or missing chunk holds messages that are needed. `gone` would say that somebody removed them; they may come
 * back with a backup, and not by waiting. Whatever needed them was not done, so it is definite.
 */
export class HistoryDamaged extends Fault {
  /** The first message that can't be given, as seen from the place where reading met the damage. */
  readonly from: number;
  /** The last of them. */
  readonly to: number;
  /** Where in the chunk's file the damage is. */
  readonly offset: number;

  constructor({ from, to }: SeqRange, consequence: string, cause: ChunkDamage) {
    const message = `messages ${from} to ${to} of this room are damaged here; ${consequence}`;
    super("unavailable", message, { cause, definite: true, retryable: false });
    this.from = from;
    this.to = to;
    this.offset = cause.damage.offset;
  }
}
