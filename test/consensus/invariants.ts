import { type Entry, entryTypes } from "../../src/base/entry.ts";
import type { LogIndex } from "../../src/base/ids.ts";
import { type Configuration, decodeConfiguration, nobody } from "../../src/consensus/configuration.ts";
import type { GroupEffect } from "../../src/consensus/events.ts";
import type { Message } from "../../src/consensus/messages.ts";
import { tally } from "../../src/consensus/quorum.ts";
import type { ReplicaId } from "../../src/consensus/replica.ts";
import type { Image } from "./virtual-disk.ts";

/** What the checker may look at: everybody's disk, alive or not. */
export interface Observed {
  readonly replica: ReplicaId;
  /** What would survive now. */
  readonly durable: Image;
  /** What it goes by: durable and on its way. */
  readonly memory: Image;
  readonly committed: number;
  readonly configuration: Configuration;
}

interface Identity {
  readonly payload: string;
  readonly previousTerm: number;
}

/**
 * Holds every step of a cluster to what must be so (names from the Raft paper and etcd's specification). It looks at
 * disks and effects, and never at what a group thinks of itself.
 */
export class Invariants {
  readonly #everybody: () => Iterable<Observed>;
  readonly #leaders = new Map<number, ReplicaId>();
  readonly #entries = new Map<string, Identity>();
  readonly #votes = new Map<string, ReplicaId>();
  /** Decided entries, by index - 1. */
  readonly #decided: { term: number; payload: string; decidedIn: number }[] = [];

  constructor(everybody: () => Iterable<Observed>) {
    this.#everybody = everybody;
  }

  /** How far anybody knows the log to be decided. */
  get decided(): number {
    return this.#decided.length;
  }

  decidedPayload(index: number): string | undefined {
    return this.#decided[index - 1]?.payload;
  }

  /** Before an effect is performed. */
  check(who: Observed, effect: GroupEffect): void {
    switch (effect.type) {
      case "persist-vote": {
        // VoteOncePerTerm, MonotonicTerm
        const { term, votedFor } = effect;
        ensure(term >= who.memory.term, `${who.replica}: the term goes back from ${who.memory.term} to ${term}`);
        ensure(
          term > who.memory.term || who.memory.votedFor === null || who.memory.votedFor === votedFor,
          `${who.replica} votes twice in term ${term}`,
        );
        return;
      }
      case "append":
        this.#appended(who, effect.entries);
        return;
      case "committed":
        this.#committed(who, effect.through);
        return;
      case "send":
        this.#sent(who, effect.message);
        return;
      case "standing": {
        const { role, term } = effect.standing;
        if (role === "leader" || role === "elected") this.#leads(who, term);
        return;
      }
      case "install-snapshot":
        ensure(effect.snapshot.index > who.committed, `${who.replica} goes back to a snapshot`);
        return;
      default:
    }
  }

  /** StateMachineSafety: an applied entry is the same everywhere. */
  applied(replica: ReplicaId, index: number, entry: Entry): void {
    const decided = this.#decided[index - 1];
    ensure(decided !== undefined, `${replica} applies ${index}, which is not decided`);
    ensure(decided.term === entry.term && decided.payload === text(entry), `${replica} applies another entry ${index}`);
  }

  /** LogMatching: an entry of an index and a term is one entry, and stands behind the same one everywhere. */
  #appended(who: Observed, entries: readonly Entry[]): void {
    const { memory, replica } = who;
    const first = entries[0]!.index;
    ensure(first > who.committed, `${replica} truncates a committed entry at ${first}`);
    ensure(first <= memory.lastIndex + 1, `${replica}: a hole before ${first}`);
    let previousTerm = memory.termAt(first - 1) ?? -1;
    for (const entry of entries) {
      const key = `${entry.index}/${entry.term}`;
      const known = this.#entries.get(key);
      const identity = { payload: text(entry), previousTerm };
      if (known === undefined) this.#entries.set(key, identity);
      else {
        ensure(known.payload === identity.payload, `two entries ${key}`);
        ensure(known.previousTerm === previousTerm, `entry ${key} stands behind two others`);
      }
      ensure(entry.term <= memory.term, `${replica} takes an entry of term ${entry.term} in term ${memory.term}`);
      previousTerm = entry.term;
    }
    if (entries.some(({ type }) => type === entryTypes.configuration)) configurationsMeet(who, entries);
  }

  /** CommittedOnQuorum, of durable copies; CommittedImmutable. */
  #committed(who: Observed, through: LogIndex): void {
    ensure(through > who.committed, `${who.replica}: the commit goes back`);
    ensure(through <= who.memory.lastIndex, `${who.replica} commits beyond its log`);
    const byReplica = new Map([...this.#everybody()].map((observed) => [observed.replica, observed.durable]));
    for (let index = Math.max(who.committed, who.memory.baseIndex) + 1; index <= through; index++) {
      const entry = who.memory.entryAt(index)!;
      const decided = this.#decided[index - 1];
      if (decided !== undefined) {
        ensure(decided.term === entry.term, `entry ${index} is decided as of ${decided.term} and of ${entry.term}`);
        continue;
      }
      ensure(this.#decided.length === index - 1, `entry ${index} is decided before the one before`);
      this.#decided.push({ term: entry.term, payload: text(entry), decidedIn: who.memory.term });
    }
    // The last one counted for all: that it is on a quorum says so of those before it.
    const last = who.memory.entryAt(through);
    if (last === null || this.#leaders.get(last.term) !== who.replica || last.term !== who.memory.term) return;
    const holds = (replica: ReplicaId): boolean | null =>
      byReplica.get(replica)?.holds(through, last.term) === true ? true : null;
    ensure(
      tally(who.configuration, holds) === "won",
      `${who.replica} commits ${through} without a quorum of durable copies`,
    );
  }

  #sent(who: Observed, message: Message): void {
    const { durable } = who;
    switch (message.type) {
      case "vote-answer":
        if (!message.granted) return;
        ensure(
          durable.term === message.term && durable.votedFor === message.to,
          `${who.replica} answers a vote that is not durable`,
        );
        this.#voted(who.replica, message.term, message.to);
        return;
      case "vote":
        ensure(
          durable.term === message.term && durable.votedFor === who.replica,
          `${who.replica} asks for votes before its own is durable`,
        );
        ensure(
          durable.lastIndex === message.lastIndex && durable.termAt(message.lastIndex) === message.lastTerm,
          `${who.replica} asks for votes with a log that is not durable`,
        );
        this.#voted(who.replica, message.term, who.replica);
        return;
      case "append-ack":
        // No acknowledgement before its write was durable.
        ensure(durable.term >= message.term, `${who.replica} acknowledges in a term that is not durable`);
        ensure(
          durable.lastIndex >= message.matched &&
            durable.soundThrough >= message.matched &&
            (message.matched < who.memory.baseIndex ||
              durable.termAt(message.matched) === who.memory.termAt(message.matched)),
          `${who.replica} acknowledges ${message.matched}, durable is ${durable.lastIndex}`,
        );
        return;
      case "append":
      case "commit":
      case "confirm":
      case "snapshot-offer":
        this.#leads(who, message.term);
        return;
      default:
    }
  }

  #voted(replica: ReplicaId, term: number, votedFor: ReplicaId): void {
    const key = `${replica}/${term}`;
    const before = this.#votes.get(key);
    ensure(before === undefined || before === votedFor, `${replica} voted twice in term ${term}`);
    this.#votes.set(key, votedFor);
  }

  /** ElectionSafety and LeaderCompleteness. */
  #leads(who: Observed, term: number): void {
    const before = this.#leaders.get(term);
    if (before === who.replica) return;
    ensure(before === undefined, `${before ?? ""} and ${who.replica} lead in term ${term}`);
    this.#leaders.set(term, who.replica);
    for (let index = who.memory.baseIndex + 1; index <= this.#decided.length; index++) {
      const decided = this.#decided[index - 1]!;
      // Who finds out late that it was elected long ago need not know what later leaders have decided.
      if (decided.decidedIn >= term) continue;
      ensure(
        who.memory.termAt(index) === decided.term,
        `${who.replica} leads term ${term} without the decided entry ${index}`,
      );
    }
  }
}

/** Configurations that follow each other in a log have no two majorities without a voter in common. */
function configurationsMeet(who: Observed, entries: readonly Entry[]): void {
  const first = entries[0]!.index;
  // What came between may be what can't be read.
  if (who.memory.damaged.length > 0) return;
  let before = who.memory.configurations().findLast(({ index }) => index < first)?.configuration ?? nobody;
  for (const { type, payload } of entries) {
    if (type !== entryTypes.configuration) continue;
    const next = decodeConfiguration(payload)!;
    const isKnown = before.voters.length > 0;
    ensure(!isKnown || intersect(before, next), `${who.replica}: majorities apart: ${show(before)} and ${show(next)}`);
    before = next;
  }
}

export function ensure(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`invariant: ${what}`);
}

function text(entry: Entry): string {
  return `${entry.type}:${String.fromCharCode(...entry.payload)}`;
}

function show({ voters, outgoing }: Configuration): string {
  return `(${voters.join(" ")})(${outgoing.join(" ")})`;
}

/** Whether every quorum of one has a voter in every quorum of the other: no split of all voters wins on both sides. */
export function intersect(left: Configuration, right: Configuration): boolean {
  const all = [...new Set([...left.voters, ...left.outgoing, ...right.voters, ...right.outgoing])];
  for (let split = 0; split < 2 ** all.length; split++) {
    const isLeft = (voter: ReplicaId): boolean => ((split >> all.indexOf(voter)) & 1) === 1;
    if (tally(left, (voter) => isLeft(voter)) === "won" && tally(right, (voter) => !isLeft(voter)) === "won")
      return false;
  }
  return true;
}
