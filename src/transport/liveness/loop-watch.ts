import { type Millis, millis } from "../../base/units.ts";

/**
 * How well this server's own event loop keeps up, and how much time others may be charged for.
 *
 * 1. credited time never runs faster than the clock, and one tick adds at most `creditMsMax`: what a stall of this
 *    server swallowed is nobody's silence
 * 2. the lag is that of the latest late tick, falling by half a millisecond with each millisecond since
 */
export class LoopWatch {
  readonly #tickMs: Millis;
  readonly #creditMsMax: Millis;
  #tickedAt: Millis | null = null;
  #credited: Millis = millis(0);
  #lagMs: Millis = millis(0);

  constructor(options: { readonly tickMs: Millis; readonly creditMsMax: Millis }) {
    this.#tickMs = options.tickMs;
    this.#creditMsMax = options.creditMsMax;
  }

  /** Time that counts as silence, since the start. */
  get credited(): Millis {
    return this.#credited;
  }

  get lagMs(): Millis {
    return this.#lagMs;
  }

  /** Answers for how long the loop stood still, if for longer than is credited; else 0. */
  tick(now: Millis): Millis {
    const elapsed = this.#tickedAt === null ? 0 : Math.max(0, now - this.#tickedAt);
    this.#tickedAt = now;
    this.#credited = millis(this.#credited + Math.min(elapsed, this.#creditMsMax));
    const late = Math.max(0, elapsed - this.#tickMs);
    this.#lagMs = millis(Math.max(late, this.#lagMs - elapsed / 2, 0));
    return elapsed > this.#creditMsMax ? millis(elapsed) : millis(0);
  }
}
