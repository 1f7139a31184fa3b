import type { Clock } from "../base/clock.ts";

/**
 * A few of something in each turn, in the order in which they came: what a thousand connections bring in one go does not keep
 * those waiting who come by another door.
 */
export class TurnQueue {
  readonly #clock: Clock;
  readonly #perTurn: number;
  #begun = 0;
  #isTurnOpen = false;
  #waiting: (() => void)[] = [];

  constructor(options: { clock: Clock; perTurn: number }) {
    this.#clock = options.clock;
    this.#perTurn = options.perTurn;
  }

  /** Begins it in this turn, and answers true; or in a later one, behind those that wait. */
  take(begin: () => void): boolean {
    if (this.#begun >= this.#perTurn || this.#waiting.length > 0) {
      this.#waiting.push(begin);
      return false;
    }
    this.#begin(begin);
    return true;
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
    for (const begin of this.#waiting.splice(0, this.#perTurn)) this.#begin(begin);
  }
}
