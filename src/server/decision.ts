import { Fault } from "../base/error-codes.ts";
import { type OutcomeCode, outcomeFault } from "../rooms/outcome.ts";
import { type Origin, type UndecidedCode, undecidedMessages } from "./batch.ts";

/** What became of one command. */
export interface Decided {
  readonly code: OutcomeCode;
  readonly seq: number;
  readonly ts: number;
  readonly epoch: number;
}

/** What `apply` refused: that is in the log, and no server will ever know better. */
export class RefusedInLog extends Fault {}

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
    if (error !== null) this.#reject(new RefusedInLog(error.code, error.message));
    else this.#resolve({ code, seq, ts, epoch });
  }

  undecided(_request: unknown, code: UndecidedCode): void {
    this.#reject(new Fault(code, undecidedMessages[code]));
  }
}
