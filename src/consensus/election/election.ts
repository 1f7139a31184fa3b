import { assert, unreachable } from "../../base/assert.ts";
import type { GroupId, LogIndex, Term } from "../../base/ids.ts";
import { term as termOf } from "../../base/ids.ts";
import type { Random } from "../../base/random.ts";
import { type Configuration, isVoter, nobody } from "../configuration.ts";
import type { Effects } from "../effects.ts";
import type { Liveness, Vouched } from "../events.ts";
import type { PreVote, PreVoteAnswer, Vote, VoteAnswer } from "../messages.ts";
import type { Peers } from "../peers.ts";
import { reached, tally } from "../quorum.ts";
import type { ReplicaId } from "../replica.ts";
import type { CampaignPolicy, Situation } from "./campaign-policy.ts";
import { FollowedLeader } from "./followed-leader.ts";
import { HardState } from "./hard-state.ts";

/** Where this replica's log ends: all that an election has to know of it. */
export interface LogEnd {
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}

export interface ElectionOptions {
  readonly group: GroupId;
  readonly self: ReplicaId;
  readonly log: LogEnd;
  readonly peers: Peers;
  readonly effects: Effects;
  readonly policy: CampaignPolicy;
  readonly random: Random;
  readonly electionTimeoutMs: number;
  readonly stepDownAfterMs: number;
}

/**
 * Who leads. Terms, votes, and when to ask for them.
 *
 * 1. the term never goes back; within a term a vote is given once, also over restarts
 * 2. a vote is answered, and the own one counted, when it is durable
 * 3. a candidate's log is durable as far as it claims when it asks for votes
 * 4. at most one replica leads in a term, and it was elected by a majority of both halves of its configuration
 * 5. while a leader is heard and has a quorum, nobody's question raises the term
 */
export class Election {
  readonly #options: ElectionOptions;
  readonly #hardState: HardState;
  #role: Role = { role: "follower", leader: null, campaignAt: Infinity };
  #configuration: Configuration = nobody;
  #attempt = 0;
  #lastLeader: ReplicaId | null = null;
  /** What a server's heartbeats go on vouching for, while it is heard: said once, it stands. */
  #voucher: Vouched | null = null;
  /** The log holds damaged entries: others may be helped to lead, but this replica may not. */
  #damaged = false;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#hardState = new HardState(options.effects);
  }

  get term(): Term {
    return this.#hardState.term;
  }

  get role(): Role["role"] {
    return this.#role.role;
  }

  get leads(): boolean {
    return this.#role.role === "leader";
  }

  /** Who leads in this term, as far as is known and believed. */
  get leader(): ReplicaId | null {
    switch (this.#role.role) {
      case "leader":
        return this.#options.self;
      case "follower":
        return this.#role.leader?.replica ?? null;
      default:
        return null;
    }
  }

  /** Nothing may be acknowledged in this term before this ticket is durable. */
  get termTicket(): number {
    return this.#hardState.ticket;
  }

  /** Whether a leader knows a quorum behind it now. */
  isAuthoritative(now: number): boolean {
    return this.leads && now < this.#supportedUntil() && this.#options.peers.isDiskOk(this.#options.self);
  }

  /** When `tick` has something to do; Infinity for never. */
  dueAt(now: number): number {
    const role = this.#role;
    switch (role.role) {
      case "follower":
        return role.leader === null ? role.campaignAt : role.leader.until;
      case "pre-candidate":
      case "candidate":
        return role.until;
      case "leader": {
        const until = this.#supportedUntil();
        return now < until ? until : until + this.#options.stepDownAfterMs;
      }
      default:
        return unreachable(role);
    }
  }

  recover(
    now: number,
    memory: { term: Term; votedFor: ReplicaId | null; configuration: Configuration; damaged: boolean },
  ): void {
    this.#hardState.recover(memory.term, memory.votedFor);
    this.#configuration = memory.configuration;
    this.#damaged = memory.damaged;
    this.#leaderless(now, "started");
    if (this.#isAlone()) this.campaign(now, { handover: false });
  }

  /** Another configuration counts from here on. */
  configured(now: number, configuration: Configuration): void {
    this.#configuration = configuration;
    this.#reconsider(now);
  }

  repaired(now: number): void {
    this.#damaged = false;
    this.#reconsider(now);
  }

  tick(now: number): void {
    const role = this.#role;
    switch (role.role) {
      case "follower":
        if (role.leader !== null) {
          if (now >= role.leader.until) this.#leaderless(now, "silence");
        } else if (now >= role.campaignAt) {
          this.campaign(now, { handover: false });
        }
        return;
      case "pre-candidate":
      case "candidate":
        if (now >= role.until) this.#failed(now);
        return;
      case "leader":
        if (now >= this.#supportedUntil() + this.#options.stepDownAfterMs) this.stepDown(now);
        return;
      default:
        unreachable(role);
    }
  }

  /** Something was flushed: a vote may be answered now, or the own one asked for. */
  flushed(now: number): void {
    const { effects, self } = this.#options;
    this.#tellVote();
    const role = this.#role;
    if (role.role !== "candidate" || role.hasAsked || !this.#hardState.isDurable) return;
    // Only now: had the question overtaken the own flush, a crash could leave this replica with a shorter log than the
    // one that it asked for votes with, in the same term.
    role.hasAsked = true;
    if (isVoter(this.#configuration, self)) role.ballot.set(self, true);
    for (const to of this.#voters()) if (to !== self) effects.send(this.#question("vote", to, role.handover));
    this.#count(now);
  }

  /**
   * Asks for votes now, if it may. `handover`: the leader itself wants it, so that nobody has to be asked before and
   * that a leader is known is no reason to refuse.
   */
  campaign(now: number, { handover }: { handover: boolean }): void {
    if (this.leads || !this.#mayCampaign()) {
      if (this.#role.role === "follower" && this.#role.leader === null) this.#role.campaignAt = Infinity;
      return;
    }
    this.#attempt++;
    if (handover) {
      this.#standAsCandidate(now, true);
      return;
    }
    const ballot: Ballot = new Map([[this.#options.self, true]]);
    this.#role = { role: "pre-candidate", ballot, until: now + this.#options.electionTimeoutMs };
    for (const to of this.#voters()) {
      if (to !== this.#options.self) this.#options.effects.send(this.#question("pre-vote", to, false));
    }
    this.#count(now);
  }

  /** Gives up leading, of its own will. The term and the vote given in it stay. */
  stepDown(now: number): void {
    assert(this.leads, "only a leader steps down");
    this.#leaderless(now, "failed");
  }

  /** The leader is not believed any more; votes may go to another. */
  forgetLeader(now: number): void {
    if (this.#role.role === "follower" && this.#role.leader !== null) this.#leaderless(now, "silence");
  }

  /**
   * Somebody speaks as the leader of `term`. Answers false when that term is over; the sender should be told. From
   * here on it is followed.
   */
  heardLeader(now: number, leader: ReplicaId, term: Term, authoritative: boolean): boolean {
    if (term < this.term) return false;
    if (term > this.term) this.#adopt(term, null);
    assert(!this.leads, "two leaders in one term");
    const freshUntil = now + this.#options.electionTimeoutMs;
    const known = this.#followed(leader);
    if (known !== null) {
      known.heard(now, freshUntil, authoritative);
      return true;
    }
    const followed = new FollowedLeader(leader, now, freshUntil, authoritative);
    this.#attempt = 0;
    this.#lastLeader = leader;
    this.#role = { role: "follower", leader: followed };
    const voucher = this.#voucher;
    if (voucher?.leader === leader && voucher.term === term) this.#trust(now, followed, voucher);
    return true;
  }

  /** What a server's heartbeat vouches for. Answers false when that term is over; the sender should be told. */
  vouched(now: number, event: Vouched): boolean {
    if (event.leader === this.#options.self) return true;
    if (event.term === 0) {
      this.#forgetVoucherOf(event.leader);
      this.#followed(event.leader)?.notVouchedFor(now + this.#options.electionTimeoutMs);
      return true;
    }
    if (!this.heardLeader(now, event.leader, event.term, event.authoritative)) return false;
    const followed = this.#followed(event.leader);
    assert(followed !== null, "who is vouched for is followed");
    this.#voucher = event;
    this.#trust(now, followed, event);
    return true;
  }

  /** What is known of a peer's server has changed; `Peers` knows it already. */
  heardOf(now: number, event: Liveness): void {
    if (event.peer === this.#options.self) {
      if (!event.diskOk && (this.#role.role === "candidate" || this.#role.role === "pre-candidate")) this.#failed(now);
      else this.#reconsider(now);
      return;
    }
    const until = this.#options.peers.heardUntil(event.peer);
    if (event.crashed || until <= now) this.#forgetVoucherOf(event.peer);
    const followed = this.#followed(event.peer);
    if (followed === null) return;
    if (event.crashed) this.#leaderless(now, "crash");
    else if (until <= now) this.#leaderless(now, "silence");
    else followed.serverHeard(now, until);
  }

  /** Somebody's term, from an answer. A higher one is taken over. Answers whether it is the present one. */
  observe(now: number, term: Term): boolean {
    if (term > this.term) {
      this.#adopt(term, null);
      this.#failed(now);
    }
    return term === this.term;
  }

  preVoteAsked(now: number, message: PreVote): void {
    const { effects, group, self } = this.#options;
    const granted = message.term > this.term && this.#isUpToDate(message) && !this.#hasLeaderBeside(message.from, now);
    effects.send({
      type: "pre-vote-answer",
      group,
      from: self,
      to: message.from,
      term: this.term,
      asked: message.term,
      granted,
    });
  }

  preVoteAnswered(now: number, message: PreVoteAnswer): void {
    if (!message.granted && message.term > this.term) {
      this.observe(now, message.term);
      return;
    }
    if (this.#role.role !== "pre-candidate" || message.asked !== this.term + 1) return;
    this.#role.ballot.set(message.from, message.granted);
    this.#count(now);
  }

  voteAsked(now: number, message: Vote): void {
    if (message.term < this.term) {
      this.#answerVote(message.from, false);
      return;
    }
    if (message.term > this.term) {
      if (!message.handover && this.#hasLeaderBeside(message.from, now)) return;
      if (!this.#isUpToDate(message)) {
        this.#adopt(message.term, null);
        this.#leaderless(now, "failed");
        this.#answerVote(message.from, false);
        return;
      }
      this.#adopt(message.term, message.from);
      this.#giveVote(now, message.from);
      return;
    }
    const isFree = this.#hardState.votedFor === null && this.leader === null && this.#role.role === "follower";
    if (this.#hardState.votedFor === message.from || (isFree && this.#isUpToDate(message))) {
      if (this.#hardState.votedFor === null) this.#adopt(message.term, message.from);
      this.#giveVote(now, message.from);
      return;
    }
    this.#answerVote(message.from, false);
  }

  voteAnswered(now: number, message: VoteAnswer): void {
    if (!this.observe(now, message.term)) return;
    if (this.#role.role !== "candidate") return;
    if (!this.#role.ballot.has(message.from)) this.#role.ballot.set(message.from, message.granted);
    if (message.granted) this.#options.peers.answered(message.from, now + this.#options.electionTimeoutMs);
    this.#count(now);
  }

  #giveVote(now: number, to: ReplicaId): void {
    // Whoever has just voted leaves the other the time to win, and no more: it may be gone.
    this.#leaderless(now, "failed");
    if (this.#role.role === "follower" && this.#role.leader === null) {
      this.#role.campaignAt += this.#options.electionTimeoutMs;
    }
    this.#hardState.owe(to);
    this.#tellVote();
  }

  #tellVote(): void {
    const to = this.#hardState.takeOwed();
    if (to !== null) this.#answerVote(to, true);
  }

  #answerVote(to: ReplicaId, granted: boolean): void {
    const { effects, group, self } = this.#options;
    effects.send({ type: "vote-answer", group, from: self, to, term: this.term, granted });
  }

  /** Who led in a term that is over, or was to, does not in the next. */
  #adopt(term: Term, votedFor: ReplicaId | null): void {
    const isNew = term > this.term;
    this.#hardState.adopt(term, votedFor);
    if (isNew && (this.#role.role !== "follower" || this.#role.leader !== null)) {
      this.#role = { role: "follower", leader: null, campaignAt: Infinity };
    }
  }

  #standAsCandidate(now: number, handover: boolean): void {
    const { self, electionTimeoutMs } = this.#options;
    this.#adopt(termOf(this.term + 1), self);
    this.#role = {
      role: "candidate",
      ballot: new Map(),
      hasAsked: false,
      handover,
      until: now + electionTimeoutMs,
    };
  }

  /** Counts the votes of present voters only: who is no voter here may answer, and is not heard. */
  #count(now: number): void {
    const role = this.#role;
    if (role.role !== "pre-candidate" && role.role !== "candidate") return;
    const { ballot } = role;
    const result = tally(this.#configuration, (voter) => ballot.get(voter) ?? null);
    switch (result) {
      case "pending":
        return;
      case "lost":
        this.#failed(now);
        return;
      case "won":
        if (role.role === "pre-candidate") this.#standAsCandidate(now, false);
        else this.#role = { role: "leader", since: now };
        if (this.leads) this.#attempt = 0;
        return;
      default:
        unreachable(result);
    }
  }

  /** An attempt is over. Was it in vain because there is a leader all along, that one is followed again. */
  #failed(now: number): void {
    const voucher = this.#voucher;
    this.#leaderless(now, "failed");
    if (voucher === null) return;
    if (voucher.term === this.term) this.vouched(now, voucher);
    else this.#tellTerm(voucher.leader);
  }

  /** A leader of a term that is over has to know: it would go on refusing this replica, which can't follow it any more. */
  #tellTerm(leader: ReplicaId): void {
    const { effects, group, self } = this.#options;
    effects.send({ type: "stale", group, from: self, to: leader, term: this.term });
  }

  #forgetVoucherOf(leader: ReplicaId): void {
    if (this.#voucher?.leader === leader) this.#voucher = null;
  }

  #trust(now: number, followed: FollowedLeader, voucher: Vouched): void {
    followed.vouchedFor(now, this.#options.peers.heardUntil(voucher.leader), voucher.authoritative);
  }

  /** This leader, if it is the one that is followed. */
  #followed(leader: ReplicaId): FollowedLeader | null {
    if (this.#role.role !== "follower" || this.#role.leader?.replica !== leader) return null;
    return this.#role.leader;
  }

  #leaderless(now: number, cause: Situation["cause"]): void {
    const { policy, random, electionTimeoutMs } = this.#options;
    if (!this.#mayCampaign()) {
      this.#role = { role: "follower", leader: null, campaignAt: Infinity };
      return;
    }
    const delayMs = policy.delayMs({ cause, attempt: this.#attempt, rank: this.#rank(), electionTimeoutMs }, random);
    assert(delayMs >= 0 && delayMs < Infinity, "a policy says how long to wait");
    this.#role = { role: "follower", leader: null, campaignAt: now + delayMs };
  }

  /** What kept this replica from campaigning may be over. */
  #reconsider(now: number): void {
    const role = this.#role;
    if (role.role === "follower" && role.leader === null && role.campaignAt === Infinity)
      this.#leaderless(now, "failed");
  }

  #mayCampaign(): boolean {
    const { self, peers } = this.#options;
    return isVoter(this.#configuration, self) && !this.#damaged && peers.isDiskOk(self);
  }

  #isAlone(): boolean {
    const { voters, outgoing } = this.#configuration;
    return voters.length === 1 && outgoing.length === 0 && voters[0] === this.#options.self;
  }

  /** Not further than the own log, which counts as far as it was taken, flushed or not (Raft paper 5.4.1). */
  #isUpToDate(asked: { lastIndex: LogIndex; lastTerm: Term }): boolean {
    const { lastIndex, lastTerm } = this.#options.log;
    return asked.lastTerm > lastTerm || (asked.lastTerm === lastTerm && asked.lastIndex >= lastIndex);
  }

  /** A leader other than who asks is heard and has a quorum: there is no reason to elect. */
  #hasLeaderBeside(asking: ReplicaId, now: number): boolean {
    if (this.leads) return this.isAuthoritative(now);
    return this.#role.role === "follower" && this.#role.leader?.stopsFrom(asking, now) === true;
  }

  #supportedUntil(): number {
    assert(this.#role.role === "leader", "only a leader needs support");
    return Math.max(reached(this.#configuration, this.#options.peers.supportedUntil), this.#role.since);
  }

  #voters(): ReplicaId[] {
    return [...new Set([...this.#configuration.voters, ...this.#configuration.outgoing])];
  }

  /** Among the voters without who led last. */
  #rank(): number {
    return Math.max(
      0,
      this.#configuration.voters.filter((voter) => voter !== this.#lastLeader).indexOf(this.#options.self),
    );
  }

  #question(type: "pre-vote" | "vote", to: ReplicaId, handover: boolean): PreVote | Vote {
    const { group, self, log } = this.#options;
    const { lastIndex, lastTerm } = log;
    return type === "vote"
      ? { type, group, from: self, to, term: this.term, lastIndex, lastTerm, handover }
      : { type, group, from: self, to, term: termOf(this.term + 1), lastIndex, lastTerm };
  }
}

type Ballot = Map<ReplicaId, boolean>;

type Role =
  | { role: "follower"; leader: FollowedLeader }
  | { role: "follower"; leader: null; campaignAt: number }
  | { role: "pre-candidate"; ballot: Ballot; until: number }
  | { role: "candidate"; ballot: Ballot; hasAsked: boolean; handover: boolean; until: number }
  /** `since`: elected then, which is proof of a quorum at that time. */
  | { role: "leader"; since: number };
