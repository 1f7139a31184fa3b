import { assert } from "../../base/assert.ts";
import { type Entry, type EntryType, entryTypes } from "../../base/entry.ts";
import { type LogIndex, logIndex, type Term } from "../../base/ids.ts";
import type { Day, Timestamp } from "../../base/units.ts";
import { type Change, changed, leftJoint } from "../configuration-change.ts";
import { encodeConfiguration, isJoint } from "../configuration.ts";
import type { RefusalReason } from "../events.ts";
import { reached } from "../quorum.ts";
import type { ReplicaId } from "../replica.ts";
import { Followers } from "./followers.ts";
import type { ReplicationOptions } from "./replication-options.ts";

/**
 * The leader's side of replication, in one term: puts entries behind the log and counts who has flushed them; what it
 * tells its followers is said by `Followers`.
 *
 * 1. an entry is committed when a majority of both halves of the configuration that counts has flushed it, this replica
 *    only being one of them, and only by counting an entry of this term (Raft thesis 3.6.2)
 * 2. entries are sent while the own disk still writes them
 * 3. a configuration is proposed only when the last one is committed, and an entry of this term
 * 4. what is not committed is bounded
 */
export class Leading {
  readonly term: Term;
  /** The first entry of this term: nothing is committed before it. */
  readonly firstIndex: LogIndex;
  readonly followers: Followers;
  readonly #options: ReplicationOptions;
  #uncommitted: { last: LogIndex; bytes: number }[] = [];
  #uncommittedBytes = 0;
  /** Reused by every count. */
  readonly #matchedOf: (replica: ReplicaId) => number;

  /**
   * Begins to lead. `nextContext` gives a number that no question had before, so that nothing asked in a former term is
   * taken for an answer. The first entry is its own and empty, and with it older ones can be counted.
   */
  constructor(options: ReplicationOptions, now: number, term: Term, nextContext: () => number) {
    this.#options = options;
    this.term = term;
    this.followers = new Followers(options, { term, nextContext, matched: (at) => this.#advanceCommit(at) });
    this.#matchedOf = (replica) => {
      if (replica === options.self) return options.log.durable;
      return this.followers.progressOf(replica)?.matched ?? 0;
    };
    this.firstIndex = logIndex(options.log.lastIndex + 1);
    const { ts, day } = options.log.stamp;
    this.#append(now, [this.#entry(entryTypes.noop, ts, day, new Uint8Array(0))]);
  }

  /** Something of this term is committed. */
  get isSettled(): boolean {
    return this.#options.log.commit >= this.firstIndex;
  }

  /** Takes an entry, or says why not; then nothing has changed. */
  propose(now: number, kind: EntryType, ts: Timestamp, day: Day, payload: Uint8Array): RefusalReason | null {
    const { uncommittedBytesMax } = this.#options.settings;
    const isTooMuch = this.#uncommittedBytes > 0 && this.#uncommittedBytes + payload.length > uncommittedBytesMax;
    if (isTooMuch && payload.length > 0) return "too-much-uncommitted";
    this.#append(now, [this.#entry(kind, ts, day, payload)]);
    return null;
  }

  proposeChange(now: number, ts: Timestamp, day: Day, changes: readonly Change[]): RefusalReason | null {
    const { history, log } = this.#options;
    if (!this.isSettled || history.newest.index > log.commit) return "change-under-way";
    const next = changed(history.current, changes);
    if (!next.ok) return next.refusal;
    for (const voter of next.configuration.voters) {
      if (voter === this.#options.self || history.current.voters.includes(voter)) continue;
      if (!this.#hasCaughtUp(voter)) return "learner-behind";
    }
    const payload = encodeConfiguration(next.configuration);
    this.#append(now, [this.#entry(entryTypes.configuration, ts, day, payload)]);
    return null;
  }

  /** It would not hold up a commit for longer than what is on its way takes. */
  #hasCaughtUp(learner: ReplicaId): boolean {
    const progress = this.followers.progressOf(learner);
    if (progress?.state !== "replicate") return false;
    return this.#options.log.lastIndex - progress.matched <= this.#options.settings.inFlightMessagesMax;
  }

  /** The newest configuration is another one than before: members come and go, the quorum may be smaller now. */
  reconfigured(now: number): void {
    this.followers.reconfigured();
    this.#advanceCommit(now);
    this.followers.send(now);
  }

  flushed(now: number): void {
    this.#advanceCommit(now);
  }

  #entry(type: EntryType, ts: Timestamp, day: Day, payload: Uint8Array): Entry {
    const { group, log } = this.#options;
    return { group, index: logIndex(log.lastIndex + 1), term: this.term, type, ts, day, payload };
  }

  #append(now: number, entries: readonly Entry[]): void {
    const { log, history, effects } = this.#options;
    const ticket = effects.nextTicket();
    log.append(entries, ticket);
    history.noteAll(entries);
    for (const { index, payload } of entries) {
      this.#uncommittedBytes += payload.length;
      this.#uncommitted.push({ last: index, bytes: payload.length });
    }
    effects.push({ type: "append", entries, ticket });
    this.followers.send(now);
  }

  #advanceCommit(now: number): void {
    const { log, history, effects } = this.#options;
    const index = Math.min(reached(history.current, this.#matchedOf), log.lastIndex);
    // Entries of former terms are committed only along with one of this term: on a majority they can still be
    // overwritten by who was elected without them (Raft paper, figure 8).
    if (index <= log.commit || log.termAt(logIndex(index)) !== this.term) return;
    log.commitThrough(logIndex(index));
    while (this.#uncommitted.length > 0 && this.#uncommitted[0]!.last <= index) {
      this.#uncommittedBytes -= this.#uncommitted.shift()!.bytes;
    }
    effects.push({ type: "committed", through: log.commit });
    this.followers.commitAdvanced(now);
    this.#leaveJoint(now);
  }

  /** The voters of before are left as soon as the joint configuration is committed. */
  #leaveJoint(now: number): void {
    const { history, log } = this.#options;
    const { index, configuration } = history.newest;
    if (!isJoint(configuration) || !configuration.autoLeave || index > log.commit || !this.isSettled) return;
    const next = leftJoint(configuration);
    assert(next.ok, "a joint configuration can be left");
    const { ts, day } = log.stamp;
    const payload = encodeConfiguration(next.configuration);
    this.#append(now, [this.#entry(entryTypes.configuration, ts, day, payload)]);
  }
}
