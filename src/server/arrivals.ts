import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import { millis } from "../base/units.ts";

/** How long a server that is behind waits for itself to catch up before it says so. */
const waitMs = 2_000;
const lookEveryMs = 20;
const retryAfterMs = 100;

interface Waiting {
  readonly hasArrived: () => boolean;
  readonly words: () => string;
  readonly deadline: number;
  readonly resolve: () => void;
  readonly reject: (fault: Fault) => void;
}

/**
 * Those who wait for something of the log that others are known to have. However many they are, one timer looks after them
 * all: a crowd that asks for what is not there yet costs a comparison each, fifty times a second.
 *
 * 1. every wait ends: when it has arrived, or after 2 s with `behind`
 */
export class Arrivals {
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Settles once `hasArrived`, which is cheap, says so; rejects with `behind`, in these words, when that takes too long. */
  until(hasArrived: () => boolean, words: () => string): Promise<void> {
    if (hasArrived()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.add({ hasArrived, words, deadline: this.#clock.now() + waitMs, resolve, reject });
      if (this.#waiting.size === 1) this.#lookLater();
    });
  }

  #lookLater(): void {
    this.#clock.after(millis(lookEveryMs), () => this.#look());
  }

  #look(): void {
    const now = this.#clock.now();
    for (const one of this.#waiting) {
      const has = one.hasArrived();
      if (!has && now < one.deadline) continue;
      this.#waiting.delete(one);
      if (has) one.resolve();
      else one.reject(new Fault("behind", one.words(), { retryAfterMs }));
    }
    if (this.#waiting.size > 0) this.#lookLater();
  }
}
