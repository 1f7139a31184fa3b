import { Fault } from "../base/error-codes.ts";
import type { LogIndex } from "../base/ids.ts";
import type { Standing } from "../topology/engine.ts";

interface Waiting {
  readonly done: () => void;
  readonly failed: (cause: Fault) => void;
}

/**
 * Who waits for a change of the members, or for a transfer of the leadership, that the engine took.
 *
 * 1. one of each at most: the next one overtakes it
 * 2. each ends: it came about, or whoever waits is told why not
 */
export class AskedMoves {
  #change: (Waiting & { readonly index: LogIndex }) | null = null;
  #transfer: Waiting | null = null;

  /** The change is in the log at `index`, and decided once that is committed. */
  changeAppended(index: LogIndex, waiting: Waiting): void {
    this.#change?.failed(new Fault("unavailable", "the change was overtaken by another one"));
    this.#change = { ...waiting, index };
  }

  /** An entry takes this place in the log, and whatever stood there or behind is not in it any more. */
  entryAppended(index: LogIndex): void {
    if (this.#change === null || index > this.#change.index) return;
    this.#change.failed(new Fault("unavailable", "the leader changed before the change was decided"));
    this.#change = null;
  }

  committed(through: LogIndex): void {
    if (this.#change === null || this.#change.index > through) return;
    this.#change.done();
    this.#change = null;
  }

  /** The engine is about to be asked for a transfer. */
  transferAsked(waiting: Waiting): void {
    this.#transfer?.failed(new Fault("unavailable", "the transfer was overtaken by another one"));
    this.#transfer = waiting;
  }

  transferRefused(waiting: Waiting, why: Fault): void {
    if (this.#transfer === waiting) this.#transfer = null;
    waiting.failed(why);
  }

  standingChanged({ role, transfersTo, leader }: Standing): void {
    const transfer = this.#transfer;
    if (transfer === null || transfersTo !== null) return;
    if (role === "follower" && leader !== null) {
      this.#transfer = null;
      transfer.done();
    } else if (role === "leader" || role === "elected") {
      this.transferRefused(
        transfer,
        new Fault("no_quorum", "the other server did not take over in time", { definite: true }),
      );
    }
  }

  /** Nothing comes about any more. */
  end(): void {
    const why = new Fault("unavailable", "this server is stopping");
    this.#change?.failed(why);
    this.#change = null;
    this.#transfer?.failed(why);
    this.#transfer = null;
  }
}
