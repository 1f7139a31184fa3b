import { type Entry, entryTypes } from "../base/entry.ts";
import type { Configuration } from "../consensus/configuration.ts";
import type { GroupEffect } from "../consensus/events.ts";
import type { Message } from "../consensus/messages.ts";
import { tally } from "../consensus/quorum.ts";
import type { ReplicaId } from "../consensus/replica.ts";
import { decodedConfiguration, entryHash } from "./log-image.ts";

/** What a log says at some moment. */
export interface LogView {
  readonly term: number;
  readonly votedFor: ReplicaId | null;
  readonly baseIndex: number;
  readonly lastIndex: number;
  /** Null: it is not there, or its term is not known any more. */
  termAt(index: number): number | null;
  /** Null: it is not there. */
  hashAt(index: number): number | null;
  /** The last entry before the first that can't be read. */
  readonly soundThrough: number;
  /** Whether it has the entry, or a snapshot that has it. */
  holds(index: number, term: number): boolean;
  /** Who belongs to the group, by the log up to this entry. */
  configurationAt(index: number): Configuration;
}

/** One life of one server's data, before it does what is checked. */
export interface Observed {
  readonly id: ReplicaId;
  /** What it goes by: durable and on its way. */
  readonly memory: LogView;
  /** What would survive now. */
  readonly durable: LogView;
  readonly committed: number;
}

/** What a replica says and asks for, by its group or through an engine. */
export type Checked =
  | Exclude<GroupEffect, { type: "standing" }>
  | { readonly type: "standing"; readonly standing: { readonly role: string; readonly term: number } };

interface Identity {
  readonly hash: number;
  readonly previousTerm: number;
}

interface Decided {
  readonly term: number;
  readonly hash: number | null;
  /** In which term that was found out. */
  readonly inTerm: number;
}

/**
 * Holds what the replicas of one group ask for to what must be so (names from the Raft paper and etcd's specification).
 * It looks at logs and effects, and never at what a group thinks of itself.
 *
 * - ElectionSafety: at most one leader in a term; LeaderCompleteness: it has everything decided before
 * - VoteOncePerTerm and MonotonicTerm, over restarts; no vote is given, and nothing acknowledged, before it is durable
 * - LogMatching: an index and a term name one entry, which stands behind one other
 * - CommittedOnQuorum: of durable copies; CommittedImmutable: nothing decided is replaced, and nobody decides otherwise
 * - StateMachineSafety: what is applied is what was decided
 */
export class ConsensusInvariants {
  readonly #durable: (id: ReplicaId) => LogView | undefined;
  readonly #violated: (what: string) => void;
  readonly #leaders = new Map<number, ReplicaId>();
  readonly #votes = new Map<string, ReplicaId>();
  readonly #entries = new Map<string, Identity>();
  /** By index - 1. */
  readonly #decided: Decided[] = [];

  /** `durable`: what would survive of this replica now, also while it is down; undefined when nobody knows it. */
  constructor(durable: (id: ReplicaId) => LogView | undefined, violated: (what: string) => void) {
    this.#durable = durable;
    this.#violated = violated;
  }

  /** How many terms had a leader. */
  get leaders(): number {
    return this.#leaders.size;
  }

  /** How far anybody knows the log to be decided. */
  get decided(): number {
    return this.#decided.length;
  }

  /** Whether this entry, of whatever term, is decided in this place. */
  isDecided(index: number, entry: Pick<Entry, "type" | "payload">): boolean {
    return this.#decided[index - 1]?.hash === entryHash(entry);
  }

  /** Before an effect is performed. */
  check(who: Observed, effect: Checked): void {
    switch (effect.type) {
      case "persist-vote": {
        const { term, votedFor } = effect;
        const { memory, id } = who;
        if (term < memory.term) this.#violated(`${id}: the term goes back from ${memory.term} to ${term}`);
        if (term === memory.term && memory.votedFor !== null && memory.votedFor !== votedFor) {
          this.#violated(`${id} votes twice in term ${term}`);
        }
        return;
      }
      case "append":
        this.#appended(who, effect.entries);
        return;
      case "install-snapshot": {
        const { index } = effect.snapshot;
        if (index <= who.committed) this.#violated(`${who.id} goes back to a snapshot at ${index}`);
        return;
      }
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
      default:
    }
  }

  /** What a start found on a disk. */
  found(id: ReplicaId, log: LogView): void {
    for (let index = log.baseIndex + 1; index <= log.lastIndex; index++) {
      const term = log.termAt(index);
      const previousTerm = log.termAt(index - 1);
      const hash = log.hashAt(index);
      if (term !== null && previousTerm !== null && hash !== null) this.#known(id, index, term, { hash, previousTerm });
    }
  }

  /** The state machine takes this entry. */
  applied(id: ReplicaId, index: number, entry: Entry): void {
    const decided = this.#decided[index - 1];
    if (decided === undefined) this.#violated(`${id} applies ${index}, which is not decided`);
    else if (decided.term !== entry.term || decided.hash !== entryHash(entry)) {
      this.#violated(`${id} applies another entry ${index}`);
    }
  }

  #known(id: ReplicaId, index: number, term: number, { hash, previousTerm }: Identity): void {
    const key = `${index}/${term}`;
    const known = this.#entries.get(key);
    if (known === undefined) this.#entries.set(key, { hash, previousTerm });
    else if (known.hash !== hash) this.#violated(`${id}: there are two entries ${key}`);
    else if (known.previousTerm !== previousTerm) this.#violated(`${id}: entry ${key} stands behind two others`);
  }

  #appended({ id, memory, committed }: Observed, entries: readonly Entry[]): void {
    const first = entries[0]!.index;
    if (first <= committed) this.#violated(`${id} replaces the committed entry ${first}`);
    if (first > memory.lastIndex + 1) this.#violated(`${id}: a hole before ${first}`);
    let previousTerm = memory.termAt(first - 1);
    // What can't be read may have said who belongs to the group.
    const isSound = memory.soundThrough === memory.lastIndex;
    let before: Configuration | null = null;
    for (const entry of entries) {
      const { index, term, type } = entry;
      if (term > memory.term) this.#violated(`${id} takes an entry of term ${term} in term ${memory.term}`);
      if (previousTerm !== null) this.#known(id, index, term, { hash: entryHash(entry), previousTerm });
      previousTerm = term;
      if (type !== entryTypes.configuration || !isSound) continue;
      const next = decodedConfiguration(entry);
      before ??= memory.configurationAt(first - 1);
      if (before.voters.length > 0 && !meet(before, next)) {
        this.#violated(`${id}: majorities of the members at ${index} and of those before have nobody in common`);
      }
      before = next;
    }
  }

  #committed({ id, memory, committed }: Observed, through: number): void {
    if (through <= committed) this.#violated(`${id}: the commit goes back from ${committed} to ${through}`);
    if (through > memory.lastIndex) {
      this.#violated(`${id} commits ${through}, beyond its log`);
      return;
    }
    for (let index = Math.max(committed, memory.baseIndex) + 1; index <= through; index++) {
      const term = memory.termAt(index)!;
      const decided = this.#decided[index - 1];
      if (decided === undefined) {
        if (this.#decided.length !== index - 1) this.#violated(`${id}: ${index} is decided before the one before`);
        this.#decided[index - 1] = { term, hash: memory.hashAt(index), inTerm: memory.term };
      } else if (decided.term !== term) {
        this.#violated(`${id}: entry ${index} is decided as of term ${decided.term} and of term ${term}`);
      }
    }
    // The last one speaks for those before it; a follower goes by what its leader says.
    const term = memory.termAt(through)!;
    if (this.#leaders.get(term) !== id || term !== memory.term) return;
    const holds = (replica: ReplicaId): boolean | null =>
      this.#durable(replica)?.holds(through, term) === true ? true : null;
    if (tally(memory.configurationAt(memory.lastIndex), holds) !== "won") {
      this.#violated(`${id} commits ${through} without a quorum of durable copies`);
    }
  }

  #sent(who: Observed, message: Message): void {
    const { id, durable, memory } = who;
    switch (message.type) {
      case "vote-answer":
        if (!message.granted) return;
        if (durable.term !== message.term || durable.votedFor !== message.to) {
          this.#violated(`${id} answers a vote of term ${message.term} that is not durable`);
        }
        this.#voted(id, message.term, message.to);
        return;
      case "vote":
        if (durable.term !== message.term || durable.votedFor !== id) {
          this.#violated(`${id} asks for votes in term ${message.term} before its own is durable`);
        }
        if (durable.lastIndex !== message.lastIndex || durable.termAt(message.lastIndex) !== message.lastTerm) {
          this.#violated(`${id} asks for votes with a log that is not durable`);
        }
        this.#voted(id, message.term, id);
        return;
      case "append-ack": {
        const { term, matched } = message;
        const isSame = matched < memory.baseIndex || durable.termAt(matched) === memory.termAt(matched);
        const isHeld = matched <= durable.baseIndex || (durable.soundThrough >= matched && isSame);
        if (durable.term < term || !isHeld) {
          this.#violated(`${id} acknowledges ${matched}; durable is ${durable.lastIndex}`);
        }
        return;
      }
      case "append":
      case "commit":
      case "confirm":
      case "snapshot-offer":
        this.#leads(who, message.term);
        return;
      default:
    }
  }

  #voted(id: ReplicaId, term: number, votedFor: ReplicaId): void {
    const key = `${id}/${term}`;
    const before = this.#votes.get(key);
    if (before !== undefined && before !== votedFor) this.#violated(`${id} voted twice in term ${term}`);
    this.#votes.set(key, votedFor);
  }

  #leads({ id, memory }: Observed, term: number): void {
    const before = this.#leaders.get(term);
    if (before === id) return;
    if (before !== undefined) {
      this.#violated(`${before} and ${id} lead in term ${term}`);
      return;
    }
    this.#leaders.set(term, id);
    for (let index = memory.baseIndex + 1; index <= this.#decided.length; index++) {
      const decided = this.#decided[index - 1];
      // Who finds out late that it was elected long ago need not know what later leaders have decided.
      if (decided === undefined || decided.inTerm >= term || memory.termAt(index) === decided.term) continue;
      this.#violated(`${id} leads term ${term} without the decided entry ${index}`);
      return;
    }
  }
}

/** Whether every majority of one has a voter in every majority of the other: no split of all voters wins on both sides. */
export function meet(one: Configuration, other: Configuration): boolean {
  const all = [...new Set([...one.voters, ...one.outgoing, ...other.voters, ...other.outgoing])];
  for (let split = 0; split < 2 ** all.length; split++) {
    const isInside = (voter: ReplicaId): boolean => ((split >> all.indexOf(voter)) & 1) === 1;
    if (tally(one, isInside) === "won" && tally(other, (voter) => !isInside(voter)) === "won") return false;
  }
  return true;
}
