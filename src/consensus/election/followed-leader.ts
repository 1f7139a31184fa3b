import type { ReplicaId } from "../replica.ts";

/**
 * A leader that is followed, and for how long. What it says itself counts for one timeout; when its server's heartbeats
 * vouch for it, as long as these say.
 *
 * 1. who is not followed any more is no reason to refuse another: refuseUntil <= until
 * 2. a leader without a quorum is followed, but is no reason to refuse somebody who has one
 */
export class FollowedLeader {
  readonly replica: ReplicaId;
  #until: number;
  #refuseUntil: number;
  #isVouched = false;

  constructor(replica: ReplicaId, now: number, freshUntil: number, authoritative: boolean) {
    this.replica = replica;
    this.#until = freshUntil;
    this.#refuseUntil = authoritative ? freshUntil : now;
  }

  /** Then it is not followed any more, unless it is heard of before. */
  get until(): number {
    return this.#until;
  }

  /** Whether, for its sake, another is not helped to lead. Whoever leads may itself ask for help. */
  stopsFrom(helping: ReplicaId, now: number): boolean {
    return this.replica !== helping && now < this.#refuseUntil;
  }

  /** It has spoken. */
  heard(now: number, freshUntil: number, authoritative: boolean): void {
    this.#until = Math.max(this.#until, freshUntil);
    this.#refuseUntil = authoritative ? Math.max(this.#refuseUntil, freshUntil) : now;
  }

  /** Its server vouches for it, and is heard until `heardUntil`. */
  vouchedFor(now: number, heardUntil: number, authoritative: boolean): void {
    this.#isVouched = true;
    this.#until = Math.max(this.#until, heardUntil);
    this.#refuseUntil = authoritative ? this.#until : now;
  }

  /** Its server is well and does not vouch for it any more. */
  notVouchedFor(freshUntil: number): void {
    if (!this.#isVouched) return;
    this.#isVouched = false;
    this.#until = freshUntil;
    this.#refuseUntil = Math.min(this.#refuseUntil, freshUntil);
  }

  /** So long its server is heard now. */
  serverHeard(now: number, heardUntil: number): void {
    if (!this.#isVouched) return;
    this.#until = heardUntil;
    if (this.#refuseUntil > now) this.#refuseUntil = heardUntil;
  }
}
