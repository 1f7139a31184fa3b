import type { Entry } from "../base/entry.ts";
import type { GroupId, LogIndex, Term } from "../base/ids.ts";
import type { Configuration } from "./configuration.ts";
import type { ReplicaId } from "./replica.ts";

/**
 * What replicas of one group say to each other. Every message may be lost, doubled, late or overtaken. It is addressed
 * to one life of a server: who is not `to` drops it, so nobody answers for an incarnation that is gone.
 *
 * `term` is the sender's, except where said otherwise.
 */
export type Message =
  | PreVote
  | PreVoteAnswer
  | Vote
  | VoteAnswer
  | Append
  | AppendAck
  | AppendRefused
  | CommitNotice
  | SnapshotOffer
  | TimeoutNow
  | Stale
  | Confirm
  | Confirmed
  | ReadForward
  | ReadAnswer
  | RepairAsked
  | RepairAnswer;

export interface Envelope {
  readonly group: GroupId;
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly term: Term;
}

/** Would you vote for me in `term`, which is the one after mine? Changes nothing at either side. */
export interface PreVote extends Envelope {
  readonly type: "pre-vote";
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}

/** `asked` is the term of the question, `term` the one of who answers: behind a higher one nobody can win. */
export interface PreVoteAnswer extends Envelope {
  readonly type: "pre-vote-answer";
  readonly asked: Term;
  readonly granted: boolean;
}

export interface Vote extends Envelope {
  readonly type: "vote";
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** The leader itself wants to be replaced by the sender: that a leader is known is no reason to refuse. */
  readonly handover: boolean;
}

/** Sent after the vote is durable. */
export interface VoteAnswer extends Envelope {
  readonly type: "vote-answer";
  readonly granted: boolean;
}

/** Entries that stand behind `previousIndex`; none at all asks whether the log reaches so far. */
export interface Append extends Envelope {
  readonly type: "append";
  readonly previousIndex: LogIndex;
  readonly previousTerm: Term;
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
  /** The sender knows a quorum behind it. If not, its word is no reason to refuse a vote to another. */
  readonly authoritative: boolean;
  /** Which membership of the receiver this belongs to; comes back in the answer. */
  readonly session: LogIndex;
}

/** The sender's log is the leader's up to `matched`, and durable that far. */
export interface AppendAck extends Envelope {
  readonly type: "append-ack";
  readonly matched: LogIndex;
  readonly commit: LogIndex;
  readonly session: LogIndex;
}

/** The sender has no entry `previousIndex` of the term asked for; the logs may agree up to the hint, not further. */
export interface AppendRefused extends Envelope {
  readonly type: "append-refused";
  readonly previousIndex: LogIndex;
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
  readonly session: LogIndex;
}

/** `commit` is committed and the receiver is known to hold it. */
export interface CommitNotice extends Envelope {
  readonly type: "commit";
  readonly commit: LogIndex;
  readonly authoritative: boolean;
  /** The leader wants to know that it arrived. */
  readonly answer: boolean;
  readonly session: LogIndex;
}

/** The log the receiver needs next is not kept any more: it must begin with a snapshot. Its bytes come by another way. */
export interface SnapshotOffer extends Envelope {
  readonly type: "snapshot-offer";
  readonly snapshot: Snapshot;
  readonly authoritative: boolean;
  readonly session: LogIndex;
}

/** The state behind entry `index`, and who belonged to the group there. */
export interface Snapshot {
  readonly index: LogIndex;
  readonly term: Term;
  readonly configuration: Configuration;
  /** The entry that brought the configuration, 0 when founded with it. */
  readonly configurationIndex: LogIndex;
}

/** The leader hands over: campaign at once, without asking before. */
export interface TimeoutNow extends Envelope {
  readonly type: "timeout-now";
}

/** What came was of a term that is over; `term` is the present one. */
export interface Stale extends Envelope {
  readonly type: "stale";
}

/** Do you still take me for the leader? `context` is of one attempt and never used again. */
export interface Confirm extends Envelope {
  readonly type: "confirm";
  readonly context: number;
  readonly authoritative: boolean;
}

export interface Confirmed extends Envelope {
  readonly type: "confirmed";
  readonly context: number;
}

/** A follower wants to read: up to where must it have applied? `context` is of one attempt. */
export interface ReadForward extends Envelope {
  readonly type: "read-forward";
  readonly context: number;
}

export interface ReadAnswer extends Envelope {
  readonly type: "read-answer";
  readonly context: number;
  readonly index: LogIndex;
}

/** The sender's copy of these entries is damaged. */
export interface RepairAsked extends Envelope {
  readonly type: "repair-asked";
  readonly first: LogIndex;
  readonly last: LogIndex;
}

/**
 * What of it the sender has; whether they are the same entries the receiver's storage proves by their chain. What it has
 * let go is in its snapshot.
 */
export interface RepairAnswer extends Envelope {
  readonly type: "repair-answer";
  readonly entries: readonly Entry[];
  readonly snapshot: Snapshot | null;
}
