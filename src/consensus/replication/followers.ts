import { assert, unreachable } from "../../base/assert.ts";
import type { Entry } from "../../base/entry.ts";
import { type LogIndex, logIndex, type Term } from "../../base/ids.ts";
import { membersOf } from "../configuration.ts";
import type { AppendAck, AppendRefused } from "../messages.ts";
import type { ReplicaId } from "../replica.ts";
import { InFlight } from "./in-flight.ts";
import { Progress } from "./progress.ts";
import type { ReplicationOptions } from "./replication-options.ts";

/** What followers need of who leads them. */
interface Leader {
  readonly term: Term;
  /** A number that no question had before. */
  readonly nextContext: () => number;
  /** Somebody has flushed more than was known. */
  readonly matched: (now: number) => void;
}

/**
 * The followers of one leader: what each has, what it is sent, and when it is asked again.
 *
 * 1. what is on its way to one follower is bounded, in messages and bytes
 * 2. who owes nothing is sent nothing, and who is not reachable neither
 * 3. a commit that is told without entries is never beyond what its follower is known to hold
 */
export class Followers {
  readonly #options: ReplicationOptions;
  readonly #leader: Leader;
  #progress = new Map<ReplicaId, Progress>();
  /** A leader that has lost its quorum says so in what it sends. */
  isAuthoritative = true;
  /** The commit is to be told to who does not know it, at the end of the turn. */
  #noticeAt = Infinity;

  constructor(options: ReplicationOptions, leader: Leader) {
    this.#options = options;
    this.#leader = leader;
    this.reconfigured();
  }

  get dueAt(): number {
    let due = this.#noticeAt;
    for (const progress of this.#progress.values()) if (progress.resendAt < due) due = progress.resendAt;
    return due;
  }

  progressOf(replica: ReplicaId): Progress | null {
    return this.#progress.get(replica) ?? null;
  }

  get all(): Iterable<Progress> {
    return this.#progress.values();
  }

  /** The newest configuration is another one than before: members come and go. */
  reconfigured(): void {
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

  /** Sends everybody what they lack, as far as it may be sent. */
  send(now: number): void {
    for (const progress of this.#progress.values()) this.#send(now, progress);
  }

  /** More is committed: who does not know it is told at the end of the turn. */
  commitAdvanced(now: number): void {
    if (this.#progress.size > 0) this.#noticeAt = now;
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
    if (isNews) this.#leader.matched(now);
    // The slowest hears of what others have decided as soon as it holds it, and not when it is asked again.
    if (progress.toldCommit < Math.min(this.#options.log.commit, progress.matched)) this.#noticeAt = now;
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
        progress.fetching = this.#leader.nextContext();
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
      term: this.#leader.term,
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
      term: this.#leader.term,
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
      term: this.#leader.term,
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
