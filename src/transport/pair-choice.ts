import type { Claim, Verdict } from "./greeting-machine.ts";
import type { ConnectionId } from "./link-events.ts";
import type { RunId } from "./remote-server.ts";

/**
 * Which of the connections between two servers is their link. Both may dial at once, so one of them decides: the one
 * with the lower name is the arbiter, and numbers what it chooses; the other follows the highest number.
 *
 * 1. the arbiter has at most one connection chosen, linked or reserved, for each run of the other
 * 2. it gives that up only when it is gone, or when the other insists that it is
 * 3. the other never goes back to a connection that was chosen earlier
 */
export class PairChoice {
  readonly isArbiter: boolean;
  /** The connection that the arbiter has confirmed and the other not yet answered. */
  reserved: ConnectionId | null = null;
  /** The arbiter said that a link stands where this server knows of none: the next time it insists. */
  wasDuplicate = false;
  readonly #nextChoice: () => number;
  #run: RunId | null = null;
  #choiceSeen = 0;

  /** `nextChoice` counts for all pairs together, so that a number stays new when a pair was forgotten in between. */
  constructor(options: { readonly isArbiter: boolean; readonly nextChoice: () => number }) {
    this.isArbiter = options.isArbiter;
    this.#nextChoice = options.nextChoice;
  }

  /** The other side is in this run. Answers whether that is news: then what was agreed with the former run is void. */
  meet(run: RunId): boolean {
    if (this.#run === run) return false;
    this.#run = run;
    this.#choiceSeen = 0;
    this.wasDuplicate = false;
    return true;
  }

  /** A connection has become the link. */
  linked(): void {
    this.reserved = null;
    this.wasDuplicate = false;
  }

  /** Whether a connection is to be the link; `linked` is the one that stands with the same run. */
  judge(connection: ConnectionId, claim: Claim, linked: ConnectionId | null): Verdict {
    return this.isArbiter ? this.#choose(connection, claim, linked) : this.#follow(connection, claim, linked);
  }

  #choose(connection: ConnectionId, { insists }: Claim, linked: ConnectionId | null): Verdict {
    const standing = linked ?? this.reserved;
    if (standing !== null && standing !== connection && !insists) return { verdict: "refuse", code: "duplicate" };
    return { verdict: "keep", choice: this.#nextChoice(), insists: false };
  }

  #follow(connection: ConnectionId, { choice }: Claim, linked: ConnectionId | null): Verdict {
    if (choice === 0) {
      // The arbiter's welcome: it has not chosen yet. With a link that stands there is nothing to ask for.
      if (linked !== null && linked !== connection) return { verdict: "refuse", code: "duplicate" };
      return { verdict: "keep", choice: 0, insists: this.wasDuplicate };
    }
    if (choice <= this.#choiceSeen) return { verdict: "refuse", code: "replaced" };
    this.#choiceSeen = choice;
    return { verdict: "keep", choice, insists: false };
  }
}
