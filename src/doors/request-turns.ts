import type { Clock } from "../base/clock.ts";

/** So many requests begin in one turn: about half a millisecond of one core. */
export const requestsPerTurn = 8;

/**
 * The requests of all connections to a port, a few of them in each turn, in the order in which they came: what a thousand
 * connections ask in one go does not keep those waiting who come by another door.
 */
export class RequestTurns {
  readonly #clock: Clock;
  #begun = 0;
  #isTurnOpen = false;
  #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins it in this turn, or in a later one behind those that wait. */
  take(begin: () => void): void {
    if (this.#begun < requestsPerTurn && this.#waiting.length === 0) this.#begin(begin);
    else this.#waiting.push(begin);
  }

  #begin(begin: () => void): void {
    this.#begun++;
    if (!this.#isTurnOpen) {
      this.#isTurnOpen = true;
      this.#clock.defer(() => this.#endTurn());
    }
    begin();
  }

  #endTurn(): void {
    this.#isTurnOpen = false;
    this.#begun = 0;
    for (const begin of this.#waiting.splice(0, requestsPerTurn)) this.#begin(begin);
  }
}
