import type { Clock } from "../base/clock.ts";

/** Frames that one connection is taken in a turn, while it has more. */
const framesOfTurn = 128;

/** Whose frames wait for a later turn. */
export interface SharedInput {
  goOnSharing(): void;
}

/**
 * How turns are shared out: of each connection a few frames are taken, and then it is the others'. What somebody sends in
 * one go, up to megabytes, so comes into many turns and many flushes; what another says once is in the next of them,
 * behind one share of each who floods and not behind all that they sent.
 */
export class InputShares {
  readonly #clock: Clock;
  #turn = 0;
  #isTurnOpen = false;
  #waiting: SharedInput[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The number of this turn. */
  get turn(): number {
    if (!this.#isTurnOpen) {
      this.#isTurnOpen = true;
      this.#clock.defer(() => this.#endTurn());
    }
    return this.#turn;
  }

  /** Whether one of whom so many frames were taken in this turn has had its share. */
  isTaken(frames: number): boolean {
    return frames >= framesOfTurn;
  }

  /** Is told to go on in a later turn, behind what comes until then. */
  wait(input: SharedInput): void {
    this.#waiting.push(input);
  }

  // What was gathered in this turn is written at its end, and the sockets are read before the next ends: who waits goes on
  // behind both.
  #endTurn(): void {
    this.#isTurnOpen = false;
    this.#turn++;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#clock.defer(() => {
      for (const input of waiting) input.goOnSharing();
    });
  }
}
