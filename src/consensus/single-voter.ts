import { AssertionFailure, assert, unreachable } from "../base/assert.ts";
import { type Entry, entryTypes } from "../base/entry.ts";
import { type GroupId, type LogIndex, logIndex, type NodeName, type Term, term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";

/**
 * A consensus group whose only voter is this server. Raft with a quorum of one: a vote for itself, durable before it
 * leads; an entry of its own term before anything counts as committed; commit as soon as the own flush has it.
 *
 * 1. the term grows with every start, so an entry's term tells which life of the server ordered it
 * 2. committed <= durable <= last
 * 3. nothing is committed before an entry of this term is durable (Raft thesis 3.6.2)
 */
export class SingleVoter {
  readonly #group: GroupId;
  readonly #node: NodeName;
  #state: State = { role: "follower" };
  #term: Term = term(0);
  #lastIndex: LogIndex = logIndex(0);
  #committed: LogIndex = logIndex(0);
  #ticket = 0;
  #stamp: Stamp | null = null;

  constructor(group: GroupId, node: NodeName) {
    this.#group = group;
    this.#node = node;
  }

  get term(): Term {
    return this.#term;
  }

  get committed(): LogIndex {
    return this.#committed;
  }

  get role(): State["role"] {
    return this.#state.role;
  }

  /**
   * Votes for itself in a new term. What the journal held is durable, but is not committed before the new term's first
   * entry, which is stamped with `stamp`.
   */
  recover(remembered: { term: Term; lastIndex: LogIndex; committed: LogIndex; stamp: Stamp }): VoteEffect {
    assert(this.#state.role === "follower", "a group recovers once");
    assert(remembered.committed <= remembered.lastIndex, "the log ends before what was committed");
    this.#term = term(remembered.term + 1);
    this.#lastIndex = remembered.lastIndex;
    this.#committed = remembered.committed;
    this.#stamp = remembered.stamp;
    this.#state = { role: "candidate", vote: ++this.#ticket };
    return { type: "persist-vote", term: this.#term, votedFor: this.#node, ticket: this.#ticket };
  }

  /** Puts an entry behind all others. Only the leader may. */
  propose(kind: Entry["type"], ts: Timestamp, day: Day, payload: Uint8Array): AppendEffect {
    assert(this.#state.role === "elected" || this.#state.role === "leader", "only a leader proposes");
    return this.#append(kind, ts, day, payload);
  }

  /** Tells that a ticket and all before it are durable. Answers how far the log is committed now. */
  durable(ticket: number): AppendEffect | CommitEffect | null {
    const state = this.#state;
    switch (state.role) {
      case "follower":
        throw new AssertionFailure("nothing was asked to be written");
      case "candidate": {
        if (ticket < state.vote) return null;
        assert(this.#stamp !== null, "a candidate has recovered");
        const noop = this.#append(entryTypes.noop, this.#stamp.ts, this.#stamp.day, new Uint8Array(0));
        this.#state = { role: "elected", noop: noop.ticket, noopIndex: noop.entry.index };
        return noop;
      }
      case "elected": {
        if (ticket < state.noop) return null;
        this.#state = { role: "leader", firstTicket: state.noop, firstIndex: state.noopIndex };
        return this.#commit(ticket);
      }
      case "leader":
        return this.#commit(ticket);
      default:
        return unreachable(state);
    }
  }

  #append(kind: Entry["type"], ts: Timestamp, day: Day, payload: Uint8Array): AppendEffect {
    this.#lastIndex = logIndex(this.#lastIndex + 1);
    this.#ticket++;
    const entry: Entry = { group: this.#group, index: this.#lastIndex, term: this.#term, type: kind, ts, day, payload };
    return { type: "append", entry, ticket: this.#ticket };
  }

  // Since the vote every ticket is one entry, so a ticket's distance to the no-op's is its entry's distance.
  #commit(ticket: number): CommitEffect | null {
    assert(this.#state.role === "leader", "only a leader commits");
    const through = logIndex(this.#state.firstIndex + (ticket - this.#state.firstTicket));
    assert(through <= this.#lastIndex, "durable beyond what was appended");
    if (through <= this.#committed) return null;
    this.#committed = through;
    return { type: "committed", through };
  }
}

export interface Stamp {
  ts: Timestamp;
  day: Day;
}

type State =
  | { role: "follower" }
  | { role: "candidate"; vote: number }
  | { role: "elected"; noop: number; noopIndex: LogIndex }
  | { role: "leader"; firstTicket: number; firstIndex: LogIndex };

export type VoteEffect = { type: "persist-vote"; term: Term; votedFor: NodeName; ticket: number };
export type AppendEffect = { type: "append"; entry: Entry; ticket: number };
export type CommitEffect = { type: "committed"; through: LogIndex };
