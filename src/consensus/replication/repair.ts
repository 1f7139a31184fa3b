import type { Entry } from "../../base/entry.ts";
import { logIndex, type Term } from "../../base/ids.ts";
import { membersOf } from "../configuration.ts";
import type { RepairAnswer, RepairAsked, Snapshot } from "../messages.ts";
import type { Following } from "./following.ts";
import type { ReplicationOptions } from "./replication-options.ts";
import type { ReplicaId } from "../replica.ts";

/**
 * Fetches damaged entries from other replicas, with or without a leader: an entry is what it is by its index, its term
 * and the chain that storage checks, whoever has it.
 *
 * 1. while something is damaged somebody is asked, one after the other, again and again
 * 2. a damaged range is repaired whole, from one source: only then can the chain prove anything
 * 3. whoever is asked answers with what it has, and promises nothing by it
 */
export class Repair {
  readonly #options: ReplicationOptions;
  readonly #following: Following;
  #askAt = Infinity;
  #term: Term;
  /** Who is asked at present, by its place among the members, and what of the first damaged range it has sent. */
  #turn = 0;
  #source: ReplicaId | null = null;
  #gathered: Entry[] = [];
  /** The term of who sent it then. */
  #gatheredIn: Term | null = null;
  /** Who is waiting for what was asked of storage, by context. */
  readonly #asking = new Map<number, ReplicaId>();

  constructor(options: ReplicationOptions, following: Following) {
    this.#options = options;
    this.#following = following;
    this.#term = options.log.lastTerm;
  }

  get dueAt(): number {
    return this.#askAt;
  }

  /** After recovery, and whenever `dueAt` has come: who has not answered is not asked again before the others. */
  tick(now: number, term: Term): void {
    this.#term = term;
    const { log, history, peers, self, settings } = this.#options;
    this.#gathered = [];
    if (log.damage.firstRange === null) {
      this.#askAt = Infinity;
      return;
    }
    this.#askAt = now + settings.resendAfterMs;
    const others = membersOf(history.current).filter((member) => member !== self && peers.isReachable(member));
    this.#source = others.length === 0 ? null : others[this.#turn++ % others.length]!;
    this.#ask();
  }

  #ask(): void {
    const { log, effects, group, self } = this.#options;
    const range = log.damage.firstRange;
    if (range === null || this.#source === null) return;
    const first = logIndex(range.first + this.#gathered.length);
    effects.send({
      type: "repair-asked",
      group,
      from: self,
      to: this.#source,
      term: this.#term,
      first,
      last: range.last,
    });
  }

  asked(message: RepairAsked, term: Term, context: number): void {
    this.#term = term;
    const { log, history, effects, settings } = this.#options;
    if (message.first <= log.baseIndex) {
      const { index, configuration } = history.at(log.baseIndex);
      const snapshot = { index: log.baseIndex, term: log.baseTerm, configuration, configurationIndex: index };
      this.#answer(message.from, [], snapshot);
      return;
    }
    const last = message.last < log.lastIndex ? message.last : log.lastIndex;
    if (message.first > last || log.damage.first <= last) return;
    const entries = log.tail.slice(message.first, last, settings.appendBytesMax);
    if (entries !== null) {
      this.#answer(message.from, entries, null);
      return;
    }
    if (this.#asking.size >= asksMax) return;
    this.#asking.set(context, message.from);
    effects.push({ type: "fetch", context, first: message.first, last, bytesMax: settings.appendBytesMax });
  }

  /** Answers whether the context was one of these. */
  fetched(context: number, entries: readonly Entry[] | null): boolean {
    const to = this.#asking.get(context);
    if (to === undefined) return false;
    this.#asking.delete(context);
    if (entries !== null) this.#answer(to, entries, null);
    return true;
  }

  answered(now: number, message: RepairAnswer): void {
    const { log, settings } = this.#options;
    const range = log.damage.firstRange;
    if (range === null || message.from !== this.#source) return;
    if (message.snapshot !== null) {
      this.#following.wants(message.snapshot, message.from);
      return;
    }
    // Its log may have become another in a later term: what does not go together is begun anew.
    if (message.term !== this.#gatheredIn) this.#gathered = [];
    this.#gatheredIn = message.term;
    for (const entry of message.entries) {
      if (entry.index === range.first + this.#gathered.length && entry.index <= range.last) this.#gathered.push(entry);
    }
    this.#askAt = now + settings.resendAfterMs;
    if (this.#gathered.length === 0) return;
    if (this.#following.replaceLost(message.from, message.term, this.#gathered)) {
      this.#gathered = [];
      return;
    }
    const newest = this.#gathered.at(-1)!;
    if (newest.term > log.termAtMost(range.last)) {
      // Another branch: what stood here can't have been of so late a term.
      this.#gathered = [];
      return;
    }
    if (newest.index !== range.last) {
      this.#ask();
      return;
    }
    this.#following.repair(this.#gathered);
    this.#gathered = [];
  }

  #answer(to: ReplicaId, entries: readonly Entry[], snapshot: Snapshot | null): void {
    const { effects, group, self } = this.#options;
    effects.send({ type: "repair-answer", group, from: self, to, term: this.#term, entries, snapshot });
  }
}

/** Reads of storage for others at the same time. */
const asksMax = 8;
