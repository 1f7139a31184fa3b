import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex } from "../../base/ids.ts";
import type { ReplicaId } from "../replica.ts";
import type { InFlight } from "./in-flight.ts";

/**
 * Where one follower stands, seen from the leader.
 *
 * - `probe`: it is not known where its log agrees; one message at a time looks for the place
 * - `replicate`: it agrees up to `next` as far as anybody knows; messages follow each other without waiting
 * - `snapshot`: what it needs next is not in the log any more; nothing is sent but the offer
 *
 * 1. matched < next
 * 2. matched never decreases: a follower that has acknowledged does not forget, or it is another replica
 * 3. inFlight is empty except in `replicate`
 */
export class Progress {
  readonly replica: ReplicaId;
  /** The entry whose configuration made it a member; an answer to an earlier membership counts for nothing. */
  readonly session: LogIndex;
  readonly inFlight: InFlight;
  #state: "probe" | "replicate" | "snapshot" = "probe";
  #matched = logIndex(0);
  #next: LogIndex;
  /** A probe is on its way, or a fetch for it. */
  isProbing = false;
  /** What was asked of storage for it; 0 for nothing. */
  fetching = 0;
  /** How far it is known to know the commit. */
  knownCommit = logIndex(0);
  /** How far it was told. */
  toldCommit = logIndex(0);
  /** When what may have been lost is asked for again; Infinity when it owes nothing. */
  resendAt = Infinity;

  constructor(options: { replica: ReplicaId; session: LogIndex; next: LogIndex; inFlight: InFlight }) {
    this.replica = options.replica;
    this.session = options.session;
    this.inFlight = options.inFlight;
    this.#next = options.next;
  }

  get state(): "probe" | "replicate" | "snapshot" {
    return this.#state;
  }

  get matched(): LogIndex {
    return this.#matched;
  }

  /** The next entry to be sent. */
  get next(): LogIndex {
    return this.#next;
  }

  /** It waits for an answer before anything more is sent. */
  get isPaused(): boolean {
    if (this.fetching !== 0) return true;
    if (this.#state === "probe") return this.isProbing;
    return this.#state === "snapshot" || this.inFlight.isFull;
  }

  /** Its log agrees, durably, up to `index`. Answers whether that is news. */
  matchedThrough(index: LogIndex): boolean {
    this.inFlight.arrived(index);
    const isNews = index > this.#matched;
    if (isNews) this.#matched = index;
    if (this.#next <= this.#matched) this.#next = logIndex(this.#matched + 1);
    return isNews;
  }

  /** Entries up to `last` are on their way. */
  sent(last: LogIndex, bytes: number): void {
    assert(last >= this.#next, "what was sent is sent again");
    if (this.#state === "replicate") {
      this.inFlight.add(last, bytes);
      this.#next = logIndex(last + 1);
    } else {
      this.isProbing = true;
    }
  }

  becomeProbe(next: LogIndex): void {
    this.#state = "probe";
    this.#next = logIndex(Math.max(next, this.#matched + 1));
    this.isProbing = false;
    this.fetching = 0;
    this.inFlight.clear();
  }

  becomeReplicate(): void {
    this.#state = "replicate";
    this.#next = logIndex(this.#matched + 1);
    this.isProbing = false;
    this.fetching = 0;
    this.inFlight.clear();
  }

  becomeSnapshot(): void {
    this.#state = "snapshot";
    this.isProbing = false;
    this.fetching = 0;
    this.inFlight.clear();
  }
}
