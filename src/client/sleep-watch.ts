import type { Millis, Timestamp } from "../base/units.ts";

/** The wall clock may be set by this much without anybody having slept. */
const sleptMsMin = 5_000;

/**
 * Notices that the machine slept where its monotonic clock stood still meanwhile, as on Linux and macOS: the wall clock
 * is further ahead of it than at the last look. A wall clock that was set looks the same, and costs a ping.
 */
export class SleepWatch {
  #aheadMs: number | null = null;

  /** Says whether it slept since the last look. */
  look(now: Millis, wall: Timestamp): boolean {
    const before = this.#aheadMs;
    this.#aheadMs = wall - now;
    return before !== null && this.#aheadMs - before > sleptMsMin;
  }
}
