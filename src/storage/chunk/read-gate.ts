import { Fault } from "../../base/error-codes.ts";

/**
 * Lets a bounded number of reads run, in the order they were asked for. Every read takes a thread of the pool while it
 * lasts; without a bound here, readers of history would leave none for the journal.
 */
export class ReadGate {
  readonly #inFlightMax: number;
  readonly #waitingMax: number;
  #inFlight = 0;
  #waiting: (() => void)[] = [];

  constructor(bounds: { inFlightMax: number; waitingMax: number }) {
    this.#inFlightMax = bounds.inFlightMax;
    this.#waitingMax = bounds.waitingMax;
  }

  /** Runs `read` when a place is free. Refuses with `overloaded` when too many wait already. */
  async run<T>(read: () => Promise<T>): Promise<T> {
    if (this.#inFlight >= this.#inFlightMax) {
      if (this.#waiting.length >= this.#waitingMax) {
        throw new Fault("overloaded", "too many reads of history wait for the disk; ask again later", {
          retryAfterMs: 100,
        });
      }
      // Whoever ends hands its place over, so nobody who comes now can overtake.
      await new Promise<void>((enter) => {
        this.#waiting.push(enter);
      });
    } else {
      this.#inFlight++;
    }
    try {
      return await read();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#inFlight--;
      else next();
    }
  }
}
