import type { Entry, EntryType } from "../base/entry.ts";
import type { LogIndex, Term } from "../base/ids.ts";
import type { Day, Millis, Timestamp } from "../base/units.ts";
import type { Change, ChangeRefusal } from "./configuration-change.ts";
import type { Configuration } from "./configuration.ts";
import type { Message, Snapshot } from "./messages.ts";
import type { ReplicaId } from "./replica.ts";

/**
 * What is told to whoever keeps a log in order, whoever that is; the engine port passes it on as it is. `now` is
 * monotonic and never decreases from one event to the next.
 */
export type LogEvent =
  /** Time has passed. Due when `dueAt` has come; harmless at any other time. */
  | { type: "tick"; now: Millis }
  /**
   * A batch of commands or another entry to be put in order. The payload is kept and sent as it is: it must not change
   * any more. In a group without followers it may be used for something else once the entry is durable.
   */
  | { type: "proposed"; now: Millis; kind: EntryType; ts: Timestamp; day: Day; payload: Uint8Array }
  | { type: "change-proposed"; now: Millis; ts: Timestamp; day: Day; changes: readonly Change[] }
  /** What effects up to `ticket` asked to be written would survive power loss. */
  | { type: "durable"; now: Millis; ticket: number }
  /** Entries that a peer sent for a repair don't fit the chain of what stands around them; nothing was written. */
  | { type: "repair-failed"; now: Millis; ticket: number }
  /** Somebody wants to read what is committed now. `id` is the caller's and comes back. */
  | { type: "read"; now: Millis; id: number }
  /** The leader is not believed any more, as after a crash that the outside is sure of; votes may go to another. */
  | { type: "forget-leader"; now: Millis }
  /** The answer to a `fetch`; null when the log does not reach back so far any more. */
  | { type: "fetched"; now: Millis; context: number; entries: readonly Entry[] | null }
  /** A snapshot at `through` is durable, and the entries up to it are kept no longer. */
  | { type: "compacted"; now: Millis; through: LogIndex }
  /**
   * The state of a snapshot is here and durable. `joins`: whether the entry that this log has behind the snapshot's
   * place stands behind the same entry, by the chain; null when there is none or it can't be read.
   */
  | { type: "snapshot-received"; now: Millis; snapshot: Snapshot; joins: boolean | null }
  /** A snapshot that was wanted can't be had for now; it is wanted again when the leader offers it again. */
  | { type: "snapshot-failed"; now: Millis };

/** What happens to a group. */
export type GroupEvent =
  | LogEvent
  /** The first event. What the disk remembers was given when the group was made. */
  | { type: "started"; now: Millis }
  | { type: "received"; now: Millis; message: Message }
  /** Another voter is to lead. */
  | { type: "transfer"; now: Millis; to: ReplicaId }
  /** Ask for votes now, whatever the policy says. The safety rules stand. */
  | { type: "campaign"; now: Millis }
  | Liveness
  | Vouched;

/**
 * What the servers' own heartbeats say about a peer, for all groups at once. Said when it changes: a time of Infinity
 * means until further notice. A peer that comes back as another process was lost in between, however short it was, and
 * that is to be said. `peer` may be this replica itself, to say how its own disk is.
 */
export interface Liveness {
  readonly type: "liveness";
  readonly now: Millis;
  readonly peer: ReplicaId;
  /** So long its words count as fresh here. */
  readonly heardUntil: number;
  /** So long it is known to hear us. */
  readonly supportedUntil: number;
  /** Its disk answers. One that does not can't lead, and its support is worth nothing. */
  readonly diskOk: boolean;
  /** Its process is known to have ended: nothing has to be waited for. */
  readonly crashed: boolean;
}

/**
 * The heartbeat of a server vouches that its replica leads this group in `term`; `authoritative` is whether it knows a
 * quorum behind it. Said when it changes, and again with `term` 0 when it does not vouch any more. It stands until then,
 * or until the leader is lost.
 */
export interface Vouched {
  readonly type: "vouched";
  readonly now: Millis;
  readonly leader: ReplicaId;
  readonly term: Term;
  readonly authoritative: boolean;
}

/** What a replica's disk remembers of a group. */
export interface Memory {
  readonly term: Term;
  readonly votedFor: ReplicaId | null;
  /** The entry the log begins behind: the snapshot's. 0 and 0 when it begins at the beginning. */
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  /** First index of each run of entries of one term behind the base, in order. */
  readonly runs: readonly { readonly first: LogIndex; readonly term: Term }[];
  readonly lastIndex: LogIndex;
  /** What is known to be committed; at least the base. */
  readonly committed: LogIndex;
  /** `ts` and `day` of the last entry, or of the present when there is none. */
  readonly ts: Timestamp;
  readonly day: Day;
  /** Configurations in the order of their index: the one at the base first, then one for each entry of that type. */
  readonly configurations: readonly { readonly index: LogIndex; readonly configuration: Configuration }[];
  /** Entries that can't be read, above the base. Neither the last one's term nor the vote is among what is lost. */
  readonly damaged: readonly DamagedRange[];
}

/** From `first` to `last`, both included. */
export interface DamagedRange {
  readonly first: LogIndex;
  readonly last: LogIndex;
}

/**
 * What whoever keeps a log asks for; the engine port passes it on as it is. Effects with a `ticket` are writes: they go to
 * the journal in the order of their tickets, and `durable` is said when one and all before it would survive power loss.
 */
export type LogEffect =
  /** Write this vote; nothing is answered on its strength before it is durable. */
  | { type: "persist-vote"; term: Term; votedFor: ReplicaId | null; ticket: number }
  /** Write these behind the entry before the first; what stood there and behind is replaced. */
  | { type: "append"; entries: readonly Entry[]; ticket: number }
  /**
   * The log begins behind `snapshot`. `keepsLog`: the entries behind it stay; otherwise there are none any more. The
   * state machine goes on from the snapshot.
   */
  | { type: "install-snapshot"; snapshot: Snapshot; keepsLog: boolean; ticket: number }
  /** Write these in the place of damaged ones, if the chain proves that they are the same. Nothing else is touched. */
  | { type: "repair"; entries: readonly Entry[]; ticket: number }
  /** Everything up to `through` is decided for good: apply it, in order. It may not be durable here yet. */
  | { type: "committed"; through: LogIndex }
  /** Whoever has applied `index` may answer these reads. */
  | { type: "read-ready"; ids: readonly number[]; index: LogIndex }
  | { type: "read-refused"; ids: readonly number[]; reason: RefusalReason }
  /** What was proposed or asked with this event was not taken, and nothing of it is in the log. */
  | { type: "refused"; reason: RefusalReason }
  /** Read entries from `first` on, at most to `last` or `bytesMax` (one always), and say `fetched` with the context. */
  | { type: "fetch"; context: number; first: LogIndex; last: LogIndex; bytesMax: number };

/**
 * What is to be done, in this order. Nothing that is sent has to wait for a write, because what must wait is not sent
 * before.
 */
export type GroupEffect =
  | LogEffect
  | { type: "send"; message: Message }
  | { type: "standing"; standing: GroupStanding }
  /** Another configuration counts, committed or not. */
  | { type: "configured"; index: LogIndex; configuration: Configuration }
  /** State is needed at `snapshot` or later; it may be had from any replica. */
  | { type: "snapshot-wanted"; snapshot: Snapshot; from: ReplicaId };

/** Why something is refused. Trying again can help with each of them, elsewhere or later. */
export type RefusalReason =
  | "not-leader"
  /** The leader does not know a quorum behind it. */
  | "no-quorum"
  | "transferring"
  /** Too much is not committed yet. */
  | "too-much-uncommitted"
  /** A change of the configuration is not committed yet, or nothing of the own term is. */
  | "change-under-way"
  /** Who is to vote has not caught up. */
  | "learner-behind"
  | "too-many-reads"
  /** Who is to lead has no vote, or is not there, or its disk does not answer. */
  | "unfit-to-lead"
  | "timed-out"
  | ChangeRefusal;

/** Where this replica stands. A new object with every change. */
export interface GroupStanding {
  /** `elected` is a leader of whose term nothing is committed yet. */
  readonly role: "follower" | "pre-candidate" | "candidate" | "elected" | "leader";
  readonly term: Term;
  readonly leader: ReplicaId | null;
  /** A leader knows a quorum behind it: it takes proposals, and its heartbeats vouch with authority. */
  readonly authoritative: boolean;
  readonly transferringTo: ReplicaId | null;
}
