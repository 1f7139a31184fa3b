import { assert, unreachable } from "../../base/assert.ts";
import { type Entry, type EntryType, entryTypes } from "../../base/entry.ts";
import { type GroupId, type LogIndex, logIndex, type Term } from "../../base/ids.ts";
import type { Day, Timestamp } from "../../base/units.ts";
import { type Change, changed, leftJoint } from "../configuration-change.ts";
import type { ConfigurationHistory } from "../configuration-history.ts";
import { encodeConfiguration, isJoint, membersOf } from "../configuration.ts";
import type { Effects } from "../effects.ts";
import type { RefusalReason } from "../events.ts";
import type { AppendAck, AppendRefused } from "../messages.ts";
import type { Peers } from "../peers.ts";
import { reached } from "../quorum.ts";
import type { ReplicaId } from "../replica.ts";
import type { GroupSettings } from "../settings.ts";
import { InFlight } from "./in-flight.ts";
import type { Log } from "./log.ts";
import { Progress } from "./progress.ts";

export interface ReplicationOptions {
  readonly group: GroupId;
  readonly self: ReplicaId;
  readonly log: Log;
  readonly history: ConfigurationHistory;
  readonly peers: Peers;
  readonly effects: Effects;
  readonly settings: GroupSettings;
}

/**
 * The leader's side of replication, in one term: puts entries behind the log, sends them, and counts who has flushed
 * them.
 *
 * 1. an entry is committed when a majority of both halves of the configuration that counts has flushed it, this replica
 *    only being one of them, and only by counting an entry of this term (Raft thesis 3.6.2)
 * 2. entries are sent while the own disk still writes them
 * 3. a configuration is proposed only when the last one is committed, and an entry of this term
 * 4. what is on its way to one follower is bounded, in messages and bytes; so is what is not committed
 * 5. who owes nothing is sent nothing
 */
export class Leading {
  readonly term: Term;
  /** The first entry of this term: nothing is committed before it. */
  readonly firstIndex: LogIndex;
  readonly #options: ReplicationOptions;
  #progress = new Map<ReplicaId, Progress>();
  /** A leader that has lost its quorum says so in what it sends. */
  isAuthoritative = true;
  #uncommitted: { last: LogIndex; bytes: number }[] = [];
  #uncommittedBytes = 0;
  readonly #nextContext: () => number;
  /** The commit is to be told to who does not know it, at the end of the turn. */
  #noticeAt = Infinity;
  /** Reused by every count. */
  readonly #matchedOf: (replica: ReplicaId) => number;

  /**
   * Begins to lead. `nextContext` gives a number that no question had before, so that nothing asked in a former term is
   * taken for an answer. The first entry is its own and empty, and with it older ones can be counted.
   */
  constructor(options: ReplicationOptions, now: number, term: Term, nextContext: () => number) {
    this.#options = options;
    this.term = term;
    this.#nextContext = nextContext;
    this.#matchedOf = (replica) => {
      if (replica === options.self) return options.log.durable;
      return this.#progress.get(replica)?.matched ?? 0;
    };
    this.firstIndex = logIndex(options.log.lastIndex + 1);
    this.#membersChanged();
    const { ts, day } = options.log.stamp;
    this.#append(now, [this.#entry(entryTypes.noop, ts, day, new Uint8Array(0))]);
  }

  /** Something of this term is committed. */
  get isSettled(): boolean {
    return this.#options.log.commit >= this.firstIndex;
  }

  get dueAt(): number {
    let due = this.#noticeAt;
    for (const progress of this.#progress.values()) if (progress.resendAt < due) due = progress.resendAt;
    return due;
  }

  progressOf(replica: ReplicaId): Progress | null {
    return this.#progress.get(replica) ?? null;
  }

  get followers(): Iterable<Progress> {
    return this.#progress.values();
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
    const progress = this.#progress.get(learner);
    if (progress?.state !== "replicate") return false;
    return this.#options.log.lastIndex - progress.matched <= this.#options.settings.inFlightMessagesMax;
  }

  /** The newest configuration is another one than before: members come and go, the quorum may be smaller now. */
  reconfigured(now: number): void {
    this.#membersChanged();
    this.#advanceCommit(now);
    for (const progress of this.#progress.values()) this.#send(now, progress);
  }

  flushed(now: number): void {
    this.#advanceCommit(now);
  }

  tick(now: number): void {
    if (now >= this.#noticeAt) {
      this.#noticeAt = Infinity;
      for (const progress of this.#progress.values()) this.#tellCommit(now, progress, false);
    }
    for (const progress of this.#progress.values()) if (now >= progress.resendAt) this.#ask(now, progress);
  }

  /** Its server is heard again, or not any more. */
  reachable(now: number, replica: ReplicaId): void {
    const progress = this.#progress.get(replica);
    if (progress === undefined) return;
    if (!this.#options.peers.isReachable(replica)) {
      // What is on its way may be lost, and nothing is sent into the dark.
      if (progress.state === "replicate") progress.becomeProbe(logIndex(progress.matched + 1));
      progress.resendAt = Infinity;
      // It may come back as a process that remembers less of what was decided.
      progress.knownCommit = logIndex(0);
      progress.toldCommit = logIndex(0);
      return;
    }
    if (progress.state === "probe") progress.isProbing = false;
    this.#ask(now, progress);
  }

  acknowledged(now: number, message: AppendAck): void {
    const progress = this.#progress.get(message.from);
    // Of an earlier membership, or more than there is: nothing that this leader can have asked.
    if (progress === undefined || message.session !== progress.session) return;
    if (message.matched > this.#options.log.lastIndex) return;
    if (message.commit > progress.knownCommit) progress.knownCommit = message.commit;
    const isNews = progress.matchedThrough(message.matched);
    switch (progress.state) {
      case "probe":
        progress.becomeReplicate();
        break;
      case "snapshot":
        // Whatever the offer was: what it has reaches into the log, so the log can go on from there.
        if (progress.matched >= this.#options.log.baseIndex) progress.becomeReplicate();
        break;
      case "replicate":
        break;
      default:
        unreachable(progress.state);
    }
    this.#waitFor(now, progress);
    if (isNews) this.#advanceCommit(now);
    this.#send(now, progress);
  }

  refused(now: number, message: AppendRefused): void {
    const progress = this.#progress.get(message.from);
    if (progress === undefined || message.session !== progress.session) return;
    const { log } = this.#options;
    // An answer that was overtaken: it is known to agree there.
    if (message.previousIndex <= progress.matched) return;
    if (progress.state === "probe" && message.previousIndex !== progress.next - 1) return;
    if (progress.state === "snapshot") return;
    const agreed = log.mayAgreeAt(message.hintIndex, message.hintTerm);
    progress.becomeProbe(logIndex(Math.min(agreed + 1, message.previousIndex)));
    this.#send(now, progress);
  }

  /** What a follower lacks was read from storage; null when it is not there any more. */
  fetched(now: number, context: number, entries: readonly Entry[] | null): void {
    for (const progress of this.#progress.values()) {
      if (progress.fetching !== context) continue;
      progress.fetching = 0;
      const first = entries?.[0];
      if (first === undefined || entries === null) {
        // Compacted meanwhile, which is known by now, or not readable here: the snapshot helps.
        this.#offer(now, progress);
        return;
      }
      if (first.index !== progress.next) {
        this.#send(now, progress);
        return;
      }
      for (let at = 0; at < entries.length; at++) {
        const { index, term } = entries[at]!;
        assert(index === first.index + at && this.#options.log.termAt(index) === term, "storage gave another entry");
      }
      this.#sendEntries(now, progress, entries);
      this.#send(now, progress);
      return;
    }
  }

  /** The commit, again, for who answers nothing by itself: the last word of a leader that goes. */
  tellEverybody(now: number): void {
    for (const progress of this.#progress.values()) this.#tellCommit(now, progress, false);
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
    for (const progress of this.#progress.values()) this.#send(now, progress);
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
    if (this.#progress.size > 0) this.#noticeAt = now;
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

  #membersChanged(): void {
    const { history, log, self, settings } = this.#options;
    const { index } = history.newest;
    const present = new Map<ReplicaId, Progress>();
    for (const replica of membersOf(history.current)) {
      if (replica === self) continue;
      const inFlight = new InFlight({ messagesMax: settings.inFlightMessagesMax, bytesMax: settings.inFlightBytesMax });
      const next = logIndex(log.lastIndex + 1);
      present.set(replica, this.#progress.get(replica) ?? new Progress({ replica, session: index, next, inFlight }));
    }
    this.#progress = present;
  }

  /** Sends what it lacks, as far as it may be sent. */
  #send(now: number, progress: Progress): void {
    const { log, settings, peers, effects } = this.#options;
    if (!peers.isReachable(progress.replica)) return;
    while (!progress.isPaused) {
      const { next } = progress;
      if (progress.state === "replicate" && next > log.lastIndex) return;
      if (next <= log.baseIndex) {
        this.#offer(now, progress);
        return;
      }
      if (next > log.lastIndex) {
        this.#sendEntries(now, progress, []);
        return;
      }
      const bytesMax = progress.state === "probe" ? settings.probeBytesMax : settings.appendBytesMax;
      const entries = log.tail.slice(next, log.lastIndex, bytesMax);
      if (entries === null) {
        progress.fetching = this.#nextContext();
        effects.push({ type: "fetch", context: progress.fetching, first: next, last: log.lastIndex, bytesMax });
        return;
      }
      this.#sendEntries(now, progress, entries);
    }
  }

  #appendTo(
    progress: Progress,
    place: { readonly previousIndex: LogIndex; readonly previousTerm: Term; readonly entries: readonly Entry[] },
  ): void {
    const { log, effects, group, self } = this.#options;
    effects.send({
      type: "append",
      group,
      from: self,
      to: progress.replica,
      term: this.term,
      ...place,
      commit: log.commit,
      authoritative: this.isAuthoritative,
      session: progress.session,
    });
  }

  #sendEntries(now: number, progress: Progress, entries: readonly Entry[]): void {
    const { log } = this.#options;
    const previousIndex = logIndex(progress.next - 1);
    const previousTerm = log.termAt(previousIndex);
    if (previousTerm === null) {
      this.#offer(now, progress);
      return;
    }
    this.#appendTo(progress, { previousIndex, previousTerm, entries });
    let bytes = 0;
    for (const { payload } of entries) bytes += payload.length;
    if (entries.length > 0) progress.sent(entries.at(-1)!.index, bytes);
    else if (progress.state === "probe") progress.isProbing = true;
    progress.toldCommit = logIndex(Math.max(progress.toldCommit, Math.min(log.commit, previousIndex + entries.length)));
    this.#waitFor(now, progress);
  }

  #offer(now: number, progress: Progress): void {
    const { log, history, effects, group, self } = this.#options;
    progress.becomeSnapshot();
    const placed = history.at(log.baseIndex);
    effects.send({
      type: "snapshot-offer",
      group,
      from: self,
      to: progress.replica,
      term: this.term,
      snapshot: {
        index: log.baseIndex,
        term: log.baseTerm,
        configuration: placed.configuration,
        configurationIndex: placed.index,
      },
      authoritative: this.isAuthoritative,
      session: progress.session,
    });
    this.#waitFor(now, progress);
  }

  /** Asks again for what may have been lost: small, and without going back, for it may only be slow. */
  #ask(now: number, progress: Progress): void {
    const { log } = this.#options;
    if (!this.#owes(progress) || !this.#options.peers.isReachable(progress.replica)) {
      progress.resendAt = Infinity;
      return;
    }
    progress.resendAt = now + this.#options.settings.resendAfterMs;
    if (progress.state === "snapshot") {
      this.#offer(now, progress);
      return;
    }
    if (progress.fetching !== 0) return;
    if (progress.state === "replicate" && progress.matched === log.lastIndex) {
      this.#tellCommit(now, progress, true);
      return;
    }
    if (progress.state === "probe") {
      progress.isProbing = false;
      this.#send(now, progress);
      return;
    }
    const previousIndex = logIndex(progress.next - 1);
    const previousTerm = log.termAt(previousIndex);
    if (previousTerm === null || progress.matched < log.baseIndex) {
      // The log was let go beyond what it has confirmed: only a snapshot helps if what was on its way is lost.
      progress.becomeProbe(logIndex(progress.matched + 1));
      this.#send(now, progress);
      return;
    }
    this.#appendTo(progress, { previousIndex, previousTerm, entries: [] });
  }

  #tellCommit(now: number, progress: Progress, answer: boolean): void {
    const { log, effects, group, self, peers } = this.#options;
    if (progress.state !== "replicate" || !peers.isReachable(progress.replica)) return;
    // Never more than it is known to hold: what stands there behind may be of another leader.
    const commit = log.commit < progress.matched ? log.commit : progress.matched;
    if (!answer && progress.toldCommit >= commit) return;
    progress.toldCommit = commit;
    effects.send({
      type: "commit",
      group,
      from: self,
      to: progress.replica,
      term: this.term,
      commit,
      authoritative: this.isAuthoritative,
      answer,
      session: progress.session,
    });
    this.#waitFor(now, progress);
  }

  /** It does not know all that this leader knows: an answer must come. */
  #owes(progress: Progress): boolean {
    const { log } = this.#options;
    return progress.state !== "replicate" || progress.matched < log.lastIndex || progress.knownCommit < log.commit;
  }

  #waitFor(now: number, progress: Progress): void {
    progress.resendAt = this.#owes(progress) ? now + this.#options.settings.resendAfterMs : Infinity;
  }
}
