import type { Random } from "../base/random.ts";
import { fraction } from "../base/random.ts";
import { millis, type Millis } from "../base/units.ts";
import type { LinkLimits } from "./link-limits.ts";

/** Why the next dial waits: a link that stood is dialled again at once. */
export type RedialReason = "link-lost" | "not-reached" | "refused-for-good";

/**
 * How long to wait before dialling again: a random time below a bound that doubles with each failure (full jitter), so
 * that servers that lost each other together do not come back together.
 */
export class RedialBackoff {
  readonly #limits: LinkLimits;
  readonly #random: Random;
  #failures = 0;

  constructor(limits: LinkLimits, random: Random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** A link stands: what failed before is forgotten. */
  succeeded(): void {
    this.#failures = 0;
  }

  next(reason: RedialReason): Millis {
    if (reason === "link-lost" && this.#failures === 0) {
      // Should it break again and again without standing for a while, `succeeded` was not called in between.
      this.#failures = 1;
      return millis(0);
    }
    const { redialMsMin, redialMsMax, redialRefusedMsMax } = this.#limits;
    const highest = reason === "refused-for-good" ? redialRefusedMsMax : redialMsMax;
    const bound = Math.min(highest, redialMsMin * 2 ** Math.min(this.#failures, 20));
    this.#failures++;
    return millis(bound * fraction(this.#random));
  }
}
