import { assert } from "../../base/assert.ts";
import { type Term, term as termOf } from "../../base/ids.ts";
import type { Effects } from "../effects.ts";
import type { ReplicaId } from "../replica.ts";

/**
 * The term and the vote given in it: what of elections outlasts a restart (Raft paper, figure 2).
 *
 * 1. the term never goes back; within a term a vote is given once
 * 2. a vote is told when it is durable, and never once its term is over
 */
export class HardState {
  readonly #effects: Effects;
  #term: Term = termOf(0);
  #votedFor: ReplicaId | null = null;
  #ticket = 0;
  /** To whom the vote is still to be told. */
  #owedTo: ReplicaId | null = null;

  constructor(effects: Effects) {
    this.#effects = effects;
  }

  get term(): Term {
    return this.#term;
  }

  get votedFor(): ReplicaId | null {
    return this.#votedFor;
  }

  /** The ticket of the newest term and vote: nothing may be acknowledged in this term before it is durable. */
  get ticket(): number {
    return this.#ticket;
  }

  get isDurable(): boolean {
    return this.#ticket <= this.#effects.durable;
  }

  recover(term: Term, votedFor: ReplicaId | null): void {
    this.#term = term;
    this.#votedFor = votedFor;
  }

  /** Takes over a term, and gives the vote in it. Written before anything of that term can be. */
  adopt(term: Term, votedFor: ReplicaId | null): void {
    assert(term > this.#term || (term === this.#term && this.#votedFor === null), "a vote is given once in a term");
    this.#term = term;
    this.#votedFor = votedFor;
    this.#owedTo = null;
    this.#ticket = this.#effects.nextTicket();
    this.#effects.push({ type: "persist-vote", term, votedFor, ticket: this.#ticket });
  }

  /** This replica is to be told that it has the vote. */
  owe(to: ReplicaId): void {
    assert(to === this.#votedFor, "only who has the vote is told so");
    this.#owedTo = to;
  }

  /** Who may now be told that it has the vote; answers so once. */
  takeOwed(): ReplicaId | null {
    if (!this.isDurable) return null;
    const to = this.#owedTo;
    this.#owedTo = null;
    return to;
  }
}
