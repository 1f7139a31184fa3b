import type { Entry } from "../../base/entry.ts";
import { membersOf } from "../configuration.ts";
import type { RepairAsked } from "../messages.ts";
import type { Following } from "./following.ts";
import type { ReplicationOptions } from "./leading.ts";
import type { ReplicaId } from "../replica.ts";

/**
 * Fetches damaged entries from other replicas, with or without a leader: an entry is what it is by its index, its term
 * and the chain that storage checks, whoever has it.
 *
 * 1. while something is damaged somebody is asked, again and again
 * 2. whoever is asked answers with what it has, and promises nothing by it
 */
export class Repair {
  readonly #options: ReplicationOptions;
  readonly #following: Following;
  #askAt = Infinity;
  /** Who is waiting for what was asked of storage, by context. */
  readonly #asking = new Map<number, ReplicaId>();

  constructor(options: ReplicationOptions, following: Following) {
    this.#options = options;
    this.#following = following;
  }

  get dueAt(): number {
    return this.#askAt;
  }

  /** After recovery, and whenever `dueAt` has come. */
  tick(now: number): void {
    const { log, history, effects, group, self, peers, settings } = this.#options;
    const range = log.damage.firstRange;
    if (range === null) {
      this.#askAt = Infinity;
      return;
    }
    this.#askAt = now + settings.resendAfterMs;
    for (const to of membersOf(history.current)) {
      if (to === self || !peers.isReachable(to)) continue;
      // The term says nothing here and binds nobody.
      effects.send({ type: "repair-asked", group, from: self, to, term: log.baseTerm, ...range });
    }
  }

  asked(message: RepairAsked, context: number): void {
    const { log, effects, settings } = this.#options;
    const last = message.last < log.lastIndex ? message.last : log.lastIndex;
    if (message.first <= log.baseIndex || message.first > last || log.damage.first <= last) return;
    const entries = log.tail.slice(message.first, last, settings.appendBytesMax);
    if (entries !== null) {
      this.#answer(message.from, entries);
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
    if (entries !== null) this.#answer(to, entries);
    return true;
  }

  answered(entries: readonly Entry[]): void {
    this.#following.repair(entries);
  }

  #answer(to: ReplicaId, entries: readonly Entry[]): void {
    const { effects, group, self, log } = this.#options;
    effects.send({ type: "repair-answer", group, from: self, to, term: log.baseTerm, entries });
  }
}

/** Reads of storage for others at the same time. */
const asksMax = 8;
