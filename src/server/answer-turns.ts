import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import type { HeldOutput } from "./held-output.ts";

/** Answers that are built at the same time: reading history waits for the disk, so one alone would be slow. */
const buildingMax = 4;
/** Bytes of answers after which the rest of a turn is for others. */
const turnBytes = 256 * 1024;
/** Who has waited for so long is told to come again. */
const waitMs = 5_000;

interface Waiting {
  readonly since: number;
  readonly go: () => void;
  readonly refuse: (fault: Fault) => void;
}

/**
 * Whose answer is built next. Answers that may be large, as a page of history is, are built a few at a time for the whole
 * server, in the order in which they were asked for, and none while slow clients hold as much as they may. So a crowd that
 * asks costs its neighbours a part of a turn, and memory is bounded whoever reads or not.
 *
 * Every connection waits with one request at most; whoever asks sees to that.
 */
export class AnswerTurns {
  readonly #clock: Clock;
  readonly #held: HeldOutput;
  readonly #answerBytesMax: number;
  readonly #retryAfterMs: () => number;
  #waiting: Waiting[] = [];
  #building = 0;
  #bytesOfTurn = 0;
  /** Of the turn before: some of these may not be counted among what is held yet. */
  #bytesBefore = 0;
  #isDeferred = false;

  /** `answerBytesMax`: how large an answer may become, as a rule. */
  constructor(options: { clock: Clock; held: HeldOutput; answerBytesMax: number; retryAfterMs: () => number }) {
    this.#clock = options.clock;
    this.#held = options.held;
    this.#answerBytesMax = options.answerBytesMax;
    this.#retryAfterMs = options.retryAfterMs;
    this.#held.onTaken = () => {
      if (this.#waiting.length > 0) this.#later();
    };
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Settles when an answer may be built; call `done` when it is. Rejects with `overloaded` when that takes too long. */
  next(): Promise<void> {
    if (this.#waiting.length === 0 && this.#mayBuild()) {
      this.#building++;
      return Promise.resolve();
    }
    return new Promise((go, refuse) => {
      this.#waiting.push({ since: this.#clock.now(), go, refuse });
      this.#later();
    });
  }

  /** An answer is built, has so many bytes, and is with its client's link; or there is none. */
  done(bytes: number): void {
    this.#building--;
    this.#bytesOfTurn += bytes;
    // The count is of this turn: the next begins anew.
    this.#later();
    this.#letGo();
  }

  /** Looked at every second: those who can't be served are told, and whoever holds too much without taking it goes. */
  look(): number {
    const dropped = this.#held.look(this.#waiting.length > 0 ? this.#wanted() : 0);
    const latest = this.#clock.now() - waitMs;
    while (this.#waiting.length > 0 && this.#waiting[0]!.since <= latest) {
      const why = "slow clients hold as much as this server allows";
      this.#waiting.shift()!.refuse(new Fault("overloaded", why, { retryAfterMs: this.#retryAfterMs() }));
    }
    this.#letGo();
    return dropped;
  }

  #wanted(): number {
    return (this.#building + 1) * this.#answerBytesMax + this.#bytesOfTurn + this.#bytesBefore;
  }

  #mayBuild(): boolean {
    if (this.#building >= buildingMax || this.#bytesOfTurn >= turnBytes) return false;
    return this.#held.hasRoomFor(this.#wanted());
  }

  #letGo(): void {
    while (this.#waiting.length > 0 && this.#mayBuild()) {
      this.#building++;
      this.#waiting.shift()!.go();
    }
  }

  #later(): void {
    if (this.#isDeferred) return;
    this.#isDeferred = true;
    this.#clock.defer(() => {
      this.#isDeferred = false;
      this.#bytesBefore = this.#bytesOfTurn;
      this.#bytesOfTurn = 0;
      this.#letGo();
      if (this.#bytesBefore > 0) this.#later();
    });
  }
}
