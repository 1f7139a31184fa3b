import { fraction, type Random } from "../base/random.ts";

/** Spreads what is told to many at once, so that they do not all come back at once. */
export class Jitter {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A whole number of milliseconds from `ms` to half as much again: nobody is told to come before it helps. */
  after(ms: number): number {
    return Math.ceil(ms * (1 + fraction(this.#random) / 2));
  }
}
