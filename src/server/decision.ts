import { Fault } from "../base/error-codes.ts";
import { type OutcomeCode, outcomeFault } from "../rooms/outcome.ts";
import type { Origin } from "./batch.ts";

/** What became of one command. */
export interface Decided {
  readonly code: OutcomeCode;
  readonly seq: number;
  readonly ts: number;
  readonly epoch: number;
}

/** One command whose asker waits for it: settles once it is decided. */
export class Decision implements Origin {
  readonly done: Promise<Decided>;
  #resolve!: (decided: Decided) => void;
  #reject!: (cause: unknown) => void;

  constructor() {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  decided(_request: unknown, code: OutcomeCode, seq: number, ts: number, epoch: number): void {
    const error = outcomeFault(code);
    if (error !== null) this.#reject(new Fault(error.code, error.message));
    else this.#resolve({ code, seq, ts, epoch });
  }

  undecided(): void {
    this.#reject(new Fault("unavailable", "the server stopped before this was decided", { definite: false }));
  }
}
