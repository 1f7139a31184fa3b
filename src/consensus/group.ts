import { assert, unreachable } from "../base/assert.ts";
import type { GroupId, LogIndex } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { ConfigurationHistory } from "./configuration-history.ts";
import { type Configuration, isJoint, isVoter, membersOf } from "./configuration.ts";
import { Effects } from "./effects.ts";
import type { CampaignPolicy } from "./election/campaign-policy.ts";
import { Election } from "./election/election.ts";
import type { GroupEffect, GroupEvent, GroupStanding, Liveness, Memory, RefusalReason } from "./events.ts";
import { bestSuccessor, Handover, isFitToLead } from "./handover.ts";
import type { Message } from "./messages.ts";
import { Peers } from "./peers.ts";
import type { ReplicaId } from "./replica.ts";
import { Following } from "./replication/following.ts";
import { Leading } from "./replication/leading.ts";
import type { ReplicationOptions } from "./replication/replication-options.ts";
import { Log } from "./replication/log.ts";
import { Repair } from "./replication/repair.ts";
import { Reads, type ReadView } from "./reads.ts";
import { checkGroupSettings, type GroupSettings } from "./settings.ts";

export interface GroupOptions {
  readonly group: GroupId;
  readonly self: ReplicaId;
  readonly settings: GroupSettings;
  readonly policy: CampaignPolicy;
  readonly random: Random;
  readonly memory: Memory;
}

/**
 * One consensus group at one replica: election and replication joined, with reads, hand-over and repair. Pure: the same
 * events give the same effects. Effects are to be performed in their order.
 *
 * Election says who leads; replication obeys. After every event this class makes both agree: a leader by election gets
 * its side of replication, one that is deposed loses it, a configuration that entered or left the log is told to both.
 *
 * 1. replication leads exactly while election does, in the same term
 * 2. the configuration that counts is the last one in the log, for election, replication and reads alike
 * 3. a message for another replica, an earlier life of this server included, changes nothing
 */
export class Group {
  readonly #options: GroupOptions;
  readonly #effects = new Effects();
  readonly #peers: Peers;
  readonly #log: Log;
  readonly #history: ConfigurationHistory;
  readonly #election: Election;
  readonly #replication: ReplicationOptions;
  readonly #following: Following;
  readonly #repair: Repair;
  readonly #reads: Reads;
  #leading: Leading | null = null;
  #handover: Handover | null = null;
  #configuration: Configuration;
  #term = 0;
  #standing: GroupStanding;
  #now = 0;

  constructor(options: GroupOptions) {
    checkGroupSettings(options.settings);
    const { group, self, settings, policy, random, memory } = options;
    this.#options = options;
    this.#peers = new Peers(self);
    const [first, ...later] = memory.configurations;
    assert(first !== undefined, "a group begins with a configuration");
    this.#history = new ConfigurationHistory(first);
    for (const { index, configuration } of later) this.#history.appended(index, configuration);
    this.#configuration = this.#history.current;
    this.#log = new Log(memory, { entriesMax: settings.tailEntriesMax, bytesMax: settings.tailBytesMax });
    this.#boundTail();
    const common = { group, self, effects: this.#effects, peers: this.#peers };
    this.#replication = { ...common, log: this.#log, history: this.#history, settings };
    this.#following = new Following(this.#replication);
    this.#repair = new Repair(this.#replication, this.#following);
    this.#reads = new Reads({ ...common, settings, random });
    const { electionTimeoutMs, stepDownAfterMs } = settings;
    this.#election = new Election({ ...common, log: this.#log, policy, random, electionTimeoutMs, stepDownAfterMs });
    this.#term = memory.term;
    this.#standing = { role: "follower", term: memory.term, leader: null, authoritative: false, transferringTo: null };
  }

  get standing(): GroupStanding {
    return this.#standing;
  }

  get configuration(): Configuration {
    return this.#configuration;
  }

  get lastIndex(): LogIndex {
    return this.#log.lastIndex;
  }

  get committed(): LogIndex {
    return this.#log.commit;
  }

  /** Who belonged to the group at an entry that is in the log, or at its base: what a snapshot there must say. */
  configurationAt(index: LogIndex): { readonly index: LogIndex; readonly configuration: Configuration } {
    return this.#history.at(index);
  }

  /** Where each follower stands, as the leader sees it; nothing elsewhere. For people and tests. */
  get progress(): readonly { replica: ReplicaId; state: string; matched: LogIndex; next: LogIndex }[] {
    if (this.#leading === null) return [];
    return [...this.#leading.followers.all].map(({ replica, state, matched, next }) => ({
      replica,
      state,
      matched,
      next,
    }));
  }

  /** When `tick` is due at the latest; Infinity when nothing is. Not later than now: at the end of this turn. */
  get dueAt(): number {
    return Math.min(
      this.#election.dueAt(this.#now),
      this.#leading?.followers.dueAt ?? Infinity,
      this.#handover?.until ?? Infinity,
      this.#reads.dueAt,
      this.#repair.dueAt,
    );
  }

  step(event: GroupEvent): readonly GroupEffect[] {
    const { now } = event;
    assert(now >= this.#now, "time went back");
    this.#now = now;
    this.#react(event);
    this.#settle(now);
    return this.#effects.take();
  }

  #react(event: GroupEvent): void {
    const { now } = event;
    const leading = this.#leading;
    switch (event.type) {
      case "started": {
        const { term, votedFor } = this.#options.memory;
        const damaged = this.#log.damage.first < Infinity;
        this.#election.recover(now, { term, votedFor, configuration: this.#configuration, damaged });
        this.#repair.tick(now, this.#election.term);
        return;
      }
      case "tick":
        this.#election.tick(now);
        if (this.#election.leads) leading?.followers.tick(now);
        if (this.#handover !== null && now >= this.#handover.until) this.#handover = null;
        if (now >= this.#repair.dueAt) this.#repair.tick(now, this.#election.term);
        return;
      case "received":
        if (event.message.to === this.#options.self && event.message.group === this.#options.group) {
          this.#receive(now, event.message);
        }
        return;
      case "proposed": {
        const { kind, ts, day, payload } = event;
        const reason = this.#proposalRefusal(now) ?? leading?.propose(now, kind, ts, day, payload) ?? null;
        if (reason !== null) this.#effects.push({ type: "refused", reason });
        return;
      }
      case "change-proposed": {
        const reason =
          this.#proposalRefusal(now) ?? leading?.proposeChange(now, event.ts, event.day, event.changes) ?? null;
        if (reason !== null) this.#effects.push({ type: "refused", reason });
        return;
      }
      case "durable":
        this.#effects.flushed(event.ticket);
        this.#log.flushed(event.ticket);
        this.#election.flushed(now);
        if (this.#following.flushed(this.#election.termTicket)) this.#election.repaired(now);
        leading?.flushed(now);
        return;
      case "repair-failed":
        this.#following.repairFailed(event.ticket);
        return;
      case "read":
        this.#reads.asked(now, event.id, this.#readView(now));
        return;
      case "transfer":
        this.#transfer(now, event.to);
        return;
      case "campaign":
        this.#election.campaign(now, { handover: false });
        return;
      case "forget-leader":
        this.#election.forgetLeader(now);
        return;
      case "liveness":
        this.#heardOf(now, event);
        return;
      case "vouched":
        if (!this.#election.vouched(now, event)) this.#tellStale(event.leader);
        return;
      case "fetched":
        if (!this.#repair.fetched(event.context, event.entries))
          leading?.followers.fetched(now, event.context, event.entries);
        return;
      case "compacted":
        this.#log.compact(event.through);
        this.#history.settled(this.#log.baseIndex);
        return;
      case "snapshot-received":
        this.#following.received(event.snapshot, event.joins);
        if (this.#log.damage.first === Infinity) this.#election.repaired(now);
        return;
      case "snapshot-failed":
        this.#following.failed();
        return;
      default:
        unreachable(event);
    }
  }

  #receive(now: number, message: Message): void {
    const election = this.#election;
    switch (message.type) {
      case "pre-vote":
        election.preVoteAsked(now, message);
        return;
      case "pre-vote-answer":
        election.preVoteAnswered(now, message);
        return;
      case "vote":
        election.voteAsked(now, message);
        return;
      case "vote-answer":
        election.voteAnswered(now, message);
        this.#align(now);
        // A vote that comes after the election was won still shows that its voter hears this leader.
        if (message.granted) this.#leadsFor(now, message);
        return;
      case "append":
        if (this.#follows(now, message, message.authoritative)) this.#following.append(message, election.termTicket);
        return;
      case "commit":
        if (this.#follows(now, message, message.authoritative)) this.#following.committed(message, election.termTicket);
        return;
      case "snapshot-offer":
        if (this.#follows(now, message, message.authoritative)) this.#following.offered(message, election.termTicket);
        return;
      case "timeout-now":
        if (this.#follows(now, message, true)) election.campaign(now, { handover: true });
        return;
      case "confirm":
        if (this.#follows(now, message, message.authoritative)) this.#answerConfirm(message.from, message.context);
        return;
      case "stale":
        election.observe(now, message.term);
        return;
      case "append-ack":
        if (this.#leadsFor(now, message)) this.#leading?.followers.acknowledged(now, message);
        return;
      case "append-refused":
        if (this.#leadsFor(now, message)) this.#leading?.followers.refused(now, message);
        return;
      case "confirmed":
        if (this.#leadsFor(now, message)) this.#reads.confirmed(message, this.#readView(now));
        return;
      case "read-forward":
        if (election.leads) this.#reads.forwarded(now, message.from, message.context);
        return;
      case "read-answer":
        this.#reads.answered(message);
        return;
      case "repair-asked":
        this.#repair.asked(message, election.term, this.#reads.nextContext());
        return;
      case "repair-answer":
        this.#repair.answered(now, message);
        return;
      default:
        unreachable(message);
    }
  }

  /** A leader speaks: it is followed, unless its term is over, which it is told. */
  #follows(now: number, message: Message, authoritative: boolean): boolean {
    const follows = this.#election.heardLeader(now, message.from, message.term, authoritative);
    if (!follows) this.#tellStale(message.from);
    this.#align(now);
    return follows;
  }

  /** An answer to this leader, of this term: it shows too that who answers hears it. */
  #leadsFor(now: number, message: Message): boolean {
    if (!this.#election.observe(now, message.term) || !this.#election.leads) return false;
    const wasReachable = this.#peers.isReachable(message.from);
    this.#peers.answered(message.from, now + this.#options.settings.electionTimeoutMs);
    if (!wasReachable) this.#leading?.followers.reachable(now, message.from);
    return true;
  }

  #tellStale(to: ReplicaId): void {
    const { group, self } = this.#options;
    this.#effects.send({ type: "stale", group, from: self, to, term: this.#election.term });
  }

  #answerConfirm(to: ReplicaId, context: number): void {
    const { group, self } = this.#options;
    this.#effects.send({ type: "confirmed", group, from: self, to, term: this.#election.term, context });
  }

  #heardOf(now: number, event: Liveness): void {
    const wasReachable = this.#peers.isReachable(event.peer);
    this.#peers.heard(event);
    this.#election.heardOf(now, event);
    if (event.peer === this.#options.self) {
      // Without its disk it can't lead, and needs none to hand over.
      if (!event.diskOk && this.#leading !== null) this.#resign(now);
      return;
    }
    const isReachable = this.#peers.isReachable(event.peer);
    if (isReachable !== wasReachable) this.#leading?.followers.reachable(now, event.peer);
    if (!isReachable && this.#handover?.to === event.peer) this.#handover = null;
  }

  #transfer(now: number, to: ReplicaId): void {
    if (this.#leading === null) {
      this.#effects.push({ type: "refused", reason: "not-leader" });
      return;
    }
    if (to === this.#options.self || this.#handover?.to === to) return;
    if (!isFitToLead(to, this.#configuration, this.#peers)) {
      this.#effects.push({ type: "refused", reason: "unfit-to-lead" });
      return;
    }
    this.#handover = new Handover(to, now + this.#options.settings.transferWithinMs);
  }

  /** Stops leading now, and tells the fittest follower to take over. */
  #resign(now: number): void {
    assert(this.#leading !== null, "only a leader resigns");
    this.#leading.followers.tellEverybody(now);
    const successor = bestSuccessor(this.#leading, this.#configuration, this.#peers);
    if (successor !== null) this.#sendTimeoutNow(successor);
    this.#election.stepDown(now);
  }

  #sendTimeoutNow(to: ReplicaId): void {
    const { group, self } = this.#options;
    this.#effects.send({ type: "timeout-now", group, from: self, to, term: this.#election.term });
  }

  #proposalRefusal(now: number): RefusalReason | null {
    if (this.#leading === null) return "not-leader";
    if (!this.#election.isAuthoritative(now)) return "no-quorum";
    return this.#handover === null ? null : "transferring";
  }

  #readView(now: number): ReadView {
    const isAuthoritative = this.#election.isAuthoritative(now);
    return {
      term: this.#election.term,
      leader: this.#election.leader,
      configuration: this.#configuration,
      commit: this.#log.commit,
      mayAnswer: this.#leading !== null && this.#leading.isSettled && isAuthoritative && this.#handover === null,
      isAuthoritative,
    };
  }

  /** Replication leads exactly while election does. */
  #align(now: number): void {
    if (this.#election.term !== this.#term) {
      this.#term = this.#election.term;
      this.#following.termChanged();
    }
    const { leads } = this.#election;
    if (this.#leading !== null && (!leads || this.#leading.term !== this.#election.term)) {
      this.#leading = null;
      this.#handover = null;
    }
    if (leads && this.#leading === null) {
      this.#leading = new Leading(this.#replication, now, this.#election.term, () => this.#reads.nextContext());
    }
  }

  /** Makes the parts agree after an event, and tells what has become of it. */
  #settle(now: number): void {
    this.#align(now);
    while (this.#history.current !== this.#configuration) {
      this.#configuration = this.#history.current;
      this.#boundTail();
      this.#effects.push({ type: "configured", ...this.#history.newest });
      this.#election.configured(now, this.#configuration);
      this.#leading?.reconfigured(now);
    }
    const leading = this.#leading;
    if (leading !== null) {
      const { index, configuration } = this.#history.newest;
      const isOut = !isVoter(configuration, this.#options.self) && !isJoint(configuration);
      if (isOut && index <= this.#log.commit && leading.isSettled) {
        this.#resign(now);
        this.#align(now);
      } else if (this.#handover?.isReady(leading, this.#log.lastIndex) === true) {
        this.#sendTimeoutNow(this.#handover.to);
      }
    }
    const isAuthoritative = this.#election.isAuthoritative(now);
    if (this.#leading !== null) this.#leading.followers.isAuthoritative = isAuthoritative;
    if (!this.#reads.isIdle) this.#reads.advance(now, this.#readView(now));
    this.#tellStanding(isAuthoritative);
  }

  #tellStanding(authoritative: boolean): void {
    const { role, term, leader } = this.#election;
    const shown = role === "leader" && this.#leading?.isSettled !== true ? "elected" : role;
    const transferringTo = this.#handover?.to ?? null;
    const told = this.#standing;
    if (
      told.role === shown &&
      told.term === term &&
      told.leader === leader &&
      told.authoritative === authoritative &&
      told.transferringTo === transferringTo
    ) {
      return;
    }
    this.#standing = { role: shown, term, leader, authoritative, transferringTo };
    this.#effects.push({ type: "standing", standing: this.#standing });
  }

  /** Without followers nobody is sent anything, and the bytes of an entry may be reused after it was applied. */
  #boundTail(): void {
    const hasFollowers = membersOf(this.#configuration).some((member) => member !== this.#options.self);
    this.#log.tail.entriesMax = hasFollowers ? this.#options.settings.tailEntriesMax : 0;
  }
}
