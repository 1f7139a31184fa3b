import { assert } from "../base/assert.ts";
import type { GroupId, LogIndex } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { Configuration } from "./configuration.ts";
import type { Effects } from "./effects.ts";
import type { RefusalReason } from "./events.ts";
import type { Confirmed, Envelope, ReadAnswer } from "./messages.ts";
import type { Peers } from "./peers.ts";
import { tally } from "./quorum.ts";
import type { ReplicaId } from "./replica.ts";
import type { GroupSettings } from "./settings.ts";

export interface ReadsOptions {
  readonly group: GroupId;
  readonly self: ReplicaId;
  readonly peers: Peers;
  readonly effects: Effects;
  readonly settings: GroupSettings;
  readonly random: Random;
}

/** What the group knows at the moment of a read. */
export interface ReadView {
  readonly term: Envelope["term"];
  readonly leader: ReplicaId | null;
  readonly configuration: Configuration;
  readonly commit: LogIndex;
  /** This replica leads, has committed something of its term, knows a quorum, and is not about to hand over. */
  readonly mayAnswer: boolean;
  readonly isAuthoritative: boolean;
}

interface Waiting {
  /** The own caller's id, or the context under which another replica asks. */
  readonly id: number;
  readonly asking: ReplicaId | null;
  readonly until: number;
}

type Attempt =
  | { as: "leader"; context: number; index: LogIndex; confirmed: Set<ReplicaId>; reads: Waiting[]; retryAt: number }
  | { as: "follower"; context: number; leader: ReplicaId; reads: Waiting[]; retryAt: number };

/**
 * Linearizable reads without a write (Raft thesis 6.4): a leader that a quorum still takes for the leader, after the
 * read was asked, knows every entry committed before; a reader only has to have applied as far.
 *
 * 1. a read is answered by an attempt that began after it was asked
 * 2. each attempt has a context of its own, and answers to another one count for nothing (etcd #20418)
 * 3. no attempt begins before something of the leader's own term is committed
 * 4. every read ends: ready or refused
 */
export class Reads {
  readonly #options: ReadsOptions;
  #waiting: Waiting[] = [];
  #attempt: Attempt | null = null;
  #contexts: number;

  constructor(options: ReadsOptions) {
    this.#options = options;
    // A restarted replica must not take an answer to its former life for one to this. Messages give it six bytes.
    this.#contexts = options.random.whole(2 ** 23) * 2 ** 24;
  }

  /** A number that no other question of this replica has. */
  nextContext(): number {
    return ++this.#contexts;
  }

  /** Nobody waits: there is nothing to advance. */
  get isIdle(): boolean {
    return this.#attempt === null && this.#waiting.length === 0;
  }

  get dueAt(): number {
    return Math.min(this.#attempt?.retryAt ?? Infinity, this.#waiting[0]?.until ?? Infinity);
  }

  asked(now: number, id: number, view: ReadView): void {
    if (this.#isFull()) this.#refuse([id], "too-many-reads");
    else if (view.leader === this.#options.self && !view.isAuthoritative) this.#refuse([id], "no-quorum");
    else this.#waiting.push({ id, asking: null, until: now + this.#options.settings.readWithinMs });
  }

  /** Another replica asks. Who is not answered asks again, so nothing is refused. */
  forwarded(now: number, asking: ReplicaId, context: number): void {
    if (this.#isFull()) return;
    this.#waiting.push({ id: context, asking, until: now + this.#options.settings.readWithinMs });
  }

  confirmed(message: Confirmed, view: ReadView): void {
    const attempt = this.#attempt;
    if (attempt?.as !== "leader" || attempt.context !== message.context) return;
    attempt.confirmed.add(message.from);
    this.#count(attempt, view);
  }

  answered(message: ReadAnswer): void {
    const attempt = this.#attempt;
    if (attempt?.as !== "follower" || attempt.context !== message.context) return;
    this.#attempt = null;
    this.#ready(attempt.reads, message.index);
  }

  /** Does what is due, and begins the next attempt when there is one to begin. After every event. */
  advance(now: number, view: ReadView): void {
    this.#expire(now);
    const attempt = this.#attempt;
    if (attempt !== null && (now >= attempt.retryAt || !this.#stands(attempt, view))) {
      this.#attempt = null;
      this.#waiting = [...attempt.reads, ...this.#waiting];
      this.#expire(now);
    }
    if (this.#attempt === null && this.#waiting.length > 0) this.#begin(now, view);
  }

  #stands(attempt: Attempt, view: ReadView): boolean {
    return attempt.as === "leader" ? view.mayAnswer : view.leader === attempt.leader;
  }

  #begin(now: number, view: ReadView): void {
    const { self, settings } = this.#options;
    const retryAt = now + settings.readRetryAfterMs;
    if (view.leader === self) {
      if (!view.mayAnswer) return;
      const attempt: Attempt = {
        as: "leader",
        context: this.nextContext(),
        index: view.commit,
        confirmed: new Set([self]),
        reads: this.#waiting,
        retryAt,
      };
      this.#waiting = [];
      this.#attempt = attempt;
      this.#confirm(attempt.context, view);
      this.#count(attempt, view);
      return;
    }
    // Who asked this replica when it led asks the next leader by itself.
    this.#waiting = this.#waiting.filter(({ asking }) => asking === null);
    if (view.leader === null || this.#waiting.length === 0) return;
    const context = this.nextContext();
    this.#attempt = { as: "follower", context, leader: view.leader, reads: this.#waiting, retryAt };
    this.#waiting = [];
    this.#options.effects.send({ ...this.#envelope(view.leader, view), type: "read-forward", context });
  }

  #confirm(context: number, view: ReadView): void {
    const { voters, outgoing } = view.configuration;
    for (const to of new Set([...voters, ...outgoing])) {
      if (to === this.#options.self || !this.#options.peers.isReachable(to)) continue;
      const authoritative = view.isAuthoritative;
      this.#options.effects.send({ ...this.#envelope(to, view), type: "confirm", context, authoritative });
    }
  }

  #count(attempt: Attempt & { as: "leader" }, view: ReadView): void {
    if (tally(view.configuration, (voter) => (attempt.confirmed.has(voter) ? true : null)) !== "won") return;
    this.#attempt = null;
    this.#ready(attempt.reads, attempt.index);
    for (const { id, asking } of attempt.reads) {
      if (asking === null) continue;
      const answer: ReadAnswer = {
        ...this.#envelope(asking, view),
        type: "read-answer",
        context: id,
        index: attempt.index,
      };
      this.#options.effects.send(answer);
    }
  }

  #ready(reads: readonly Waiting[], index: LogIndex): void {
    const ids = reads.filter(({ asking }) => asking === null).map(({ id }) => id);
    if (ids.length > 0) this.#options.effects.push({ type: "read-ready", ids, index });
  }

  #expire(now: number): void {
    let count = 0;
    while (count < this.#waiting.length && this.#waiting[count]!.until <= now) count++;
    if (count === 0) return;
    const late = this.#waiting.splice(0, count);
    const ids = late.filter(({ asking }) => asking === null).map(({ id }) => id);
    if (ids.length > 0) this.#refuse(ids, "timed-out");
  }

  #refuse(ids: readonly number[], reason: RefusalReason): void {
    assert(ids.length > 0, "nobody is refused");
    this.#options.effects.push({ type: "read-refused", ids, reason });
  }

  #isFull(): boolean {
    return this.#waiting.length + (this.#attempt?.reads.length ?? 0) >= this.#options.settings.readsMax;
  }

  #envelope(to: ReplicaId, view: ReadView): Envelope {
    return { group: this.#options.group, from: this.#options.self, to, term: view.term };
  }
}
