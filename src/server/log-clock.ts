import type { Clock } from "../base/clock.ts";
import { type Timestamp, timestamp } from "../base/units.ts";

/** A wall clock that moved more than this against monotonic time was set, it did not drift. */
const stepMs = 2_000;
/** A step is believed after it stood this long. */
const standsMs = 60_000;
/** At start there is no monotonic time to compare with; a clock this far past the last stamp has to stand first. */
const leapMs = 86_400_000;

/**
 * The time that the orderer writes into entries. It follows the wall clock, and distrusts it when it steps: time is
 * then told from the last trusted reading and the monotonic clock, until the new wall time has stood for a minute. What
 * it tells may go back when a step is adopted; the log's `ts` may not, so `stamp` never does.
 *
 * 1. stamps never decrease
 * 2. a step that is taken back within a minute leaves no trace in the log
 */
export class LogClock {
  readonly #clock: Clock;
  #last: Timestamp;
  #trusted: { wall: number; at: number };
  #doubt: { wall: number; at: number } | null = null;

  /** `last` is the newest stamp of the log, 0 for an empty one. */
  constructor(clock: Clock, last: Timestamp) {
    this.#clock = clock;
    this.#last = last;
    const wall = clock.wall();
    const at = clock.now();
    this.#trusted = { wall, at };
    if (last > 0 && wall > last + leapMs) {
      this.#trusted = { wall: last, at };
      this.#doubt = { wall, at };
    }
  }

  /** The time to write into the next entry. */
  stamp(): Timestamp {
    const now = this.read();
    if (now > this.#last) this.#last = now;
    return this.#last;
  }

  /** Entries written by others count too. */
  observe(ts: Timestamp): void {
    if (ts > this.#last) this.#last = ts;
  }

  /** What this clock holds to be the time, which may lie before the last stamp. */
  read(): Timestamp {
    const wall = this.#clock.wall();
    const at = this.#clock.now();
    const told = this.#trusted.wall + (at - this.#trusted.at);
    if (Math.abs(wall - told) <= stepMs) {
      this.#trusted = { wall, at };
      this.#doubt = null;
      return wall;
    }
    const doubt = this.#doubt;
    if (doubt === null || Math.abs(wall - (doubt.wall + (at - doubt.at))) > stepMs) {
      this.#doubt = { wall, at };
    } else if (at - doubt.at >= standsMs) {
      this.#trusted = { wall, at };
      this.#doubt = null;
      return wall;
    }
    return timestamp(Math.max(0, Math.floor(told)));
  }

  /** How far the log's time is ahead of the clock, in milliseconds; 0 when it is not. Status shows it. */
  aheadMs(): number {
    return Math.max(0, this.#last - this.read());
  }

  /** How far the wall clock is from what is believed, while a step is in doubt; else 0. Status shows it. */
  doubtedMs(): number {
    const told = this.read();
    return this.#doubt === null ? 0 : this.#clock.wall() - told;
  }
}
