import type { Entry, EntryType } from "../base/entry.ts";
import type { LogIndex, NodeName, Term } from "../base/ids.ts";
import type { Day, Millis, Timestamp } from "../base/units.ts";
import type { Change } from "../consensus/configuration-change.ts";
import type { DamagedRange, RefusalReason } from "../consensus/events.ts";
import type { Snapshot } from "../consensus/messages.ts";
import type { ReplicaId } from "../consensus/replica.ts";

/**
 * The server-side port of everything that can put entries in order: what a server says to an engine, and what the
 * engine asks the server to do. `solo`, `leader` and `equal` stand behind it with consensus groups, `mesh` with its
 * own engine. An engine is pure: same events in, same effects out; the server performs the effects in their order.
 */
export interface Engine {
  step(event: EngineEvent): readonly EngineEffect[];
  readonly standing: Standing;
  /** When `tick` is due at the latest, as `now` tells time; Infinity when nothing is. Not later than now: at the end of this turn. */
  readonly dueAt: number;
  /**
   * Payloads are kept after their entry is durable, to be sent to others: one that is proposed must not change any more.
   * Otherwise it may, once its entry is applied.
   */
  readonly keepsPayloads: boolean;
  /** Who belongs to the group, and how far each is known to have the log. */
  readonly members: readonly Member[];
}

/** Where this server stands in the group, for whoever must answer clients or show it. A new object with every change. */
export interface Standing {
  /** `elected` is a leader of whose term nothing is committed yet: reads wait. */
  readonly role: "follower" | "candidate" | "elected" | "leader";
  readonly term: Term;
  /** Null: nobody is known to order. */
  readonly leader: NodeName | null;
  /** A leader knows a quorum behind it, and takes proposals. */
  readonly isAuthoritative: boolean;
  /** A leader is handing over, and takes no proposals meanwhile. */
  readonly transfersTo: NodeName | null;
}

/** One life of one server's data in the group. */
export interface Member {
  readonly replica: ReplicaId;
  readonly role: "voter" | "learner";
  /** Up to here it is known to have the log, durable; null when this server does not lead, and can't know. */
  readonly matched: LogIndex | null;
}

/** What the disk remembers of a group. */
export interface RememberedLog {
  readonly term: Term;
  readonly votedFor: ReplicaId | null;
  /** The entry the log begins behind: a snapshot's, or an older one whose term is still known. 0 and 0 at the beginning. */
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  /** All entries behind it, in order, durable. */
  readonly entries: readonly Entry[];
  /** The state is applied up to here, so this much is committed. */
  readonly committed: LogIndex;
  /** Who belonged to the group at the base, by the entry `index` that said so; null when none did up to there. */
  readonly configuration: { readonly index: LogIndex; readonly bytes: Uint8Array } | null;
  /** The directory was made to take part in a group that another server founded: an empty log belongs to nobody yet. */
  readonly isJoiner: boolean;
  /** `ts` and `day` of the last entry, or of the present when there is none. */
  readonly ts: Timestamp;
  readonly day: Day;
  readonly damaged: readonly DamagedRange[];
}

/** `now` is monotonic and never decreases from one event to the next. */
export type EngineEvent =
  /** The first event. */
  | { type: "recovered"; now: Millis; log: RememberedLog }
  | { type: "tick"; now: Millis }
  /** What another server's engine said; opaque to everybody but engines. May be lost, doubled, late or overtaken. */
  | { type: "received"; now: Millis; from: NodeName; bytes: Uint8Array }
  /** A batch of commands, or another entry, to be put in order. */
  | { type: "proposed"; now: Millis; kind: EntryType; ts: Timestamp; day: Day; payload: Uint8Array }
  | { type: "change-proposed"; now: Millis; ts: Timestamp; day: Day; changes: readonly Change[] }
  /** What effects up to `ticket` asked to be written is durable. */
  | { type: "durable"; now: Millis; ticket: number }
  /** Entries for a repair don't fit the chain of what stands around them; nothing was written. */
  | { type: "repair-failed"; now: Millis; ticket: number }
  /** Somebody wants to read what is committed now. `id` is the caller's and comes back. */
  | { type: "read"; now: Millis; id: number }
  /** Another server is to lead; null: whoever is fittest. */
  | { type: "transfer"; now: Millis; to: NodeName | null }
  /** The leader is not believed any more. */
  | { type: "forget-leader"; now: Millis }
  | PeerHealth
  | Vouched
  /** The answer to a `fetch`; null when the log does not reach back so far any more. */
  | { type: "fetched"; now: Millis; context: number; entries: readonly Entry[] | null }
  /** A snapshot at `through` is durable, and the entries up to it are kept no longer. */
  | { type: "compacted"; now: Millis; through: LogIndex }
  /** A snapshot that was wanted is here and durable; `joins` as consensus wants to know it. */
  | { type: "snapshot-received"; now: Millis; snapshot: Snapshot; joins: boolean | null }
  | { type: "snapshot-failed"; now: Millis };

/** What heartbeats say of a server's replica; said when it changes. `replica` may be this one, to say how its own disk is. */
export interface PeerHealth {
  readonly type: "liveness";
  readonly now: Millis;
  readonly replica: ReplicaId;
  /** Its words count as fresh here, until further notice. */
  readonly isHeard: boolean;
  /** It is known to hear this server, until further notice. */
  readonly hearsUs: boolean;
  readonly isDiskOk: boolean;
  /** Its process is known to have ended: nothing has to be waited for. */
  readonly hasCrashed: boolean;
}

/** A server's heartbeat says that its replica leads; said when it changes, with term 0 when it does not any more. */
export interface Vouched {
  readonly type: "vouched";
  readonly now: Millis;
  readonly replica: ReplicaId;
  readonly term: Term;
  readonly isAuthoritative: boolean;
}

/** Effects with a `ticket` are writes: they go to the journal in the order of their tickets. */
export type EngineEffect =
  /** Write this vote; nothing may be answered on its strength before it is durable. */
  | { type: "persist-vote"; term: Term; votedFor: ReplicaId | null; ticket: number }
  /** Write these behind the entry before the first; what stood there and behind is replaced. */
  | { type: "append"; entries: readonly Entry[]; ticket: number }
  /** Write these in the place of damaged ones, if the chain proves that they are the same. */
  | { type: "repair"; entries: readonly Entry[]; ticket: number }
  /** The state goes on from this snapshot; `keepsLog`: with the entries behind it. */
  | { type: "install-snapshot"; snapshot: Snapshot; keepsLog: boolean; ticket: number }
  /** To the engine of another server. `lane`: what is urgent, or what is large. */
  | { type: "send"; to: NodeName; lane: "control" | "append"; bytes: Uint8Array }
  /** Everything up to `through` is decided for good: apply it, in order. It may not be durable here yet. */
  | { type: "committed"; through: LogIndex }
  /** Whoever has applied `index` may answer these reads. */
  | { type: "read-ready"; ids: readonly number[]; index: LogIndex }
  | { type: "read-refused"; ids: readonly number[]; reason: RefusalReason }
  /** What was proposed or asked with this event was not taken, and nothing of it is in the log. */
  | { type: "refused"; reason: RefusalReason }
  | { type: "standing"; standing: Standing }
  /** Others belong to the group than before, committed or not. */
  | { type: "configured"; members: readonly Member[] }
  /** State is needed at `snapshot` or later; it may be had from any replica. */
  | { type: "snapshot-wanted"; snapshot: Snapshot; from: NodeName }
  /** Read entries from `first` on, at most to `last` or `bytesMax` (one always), and say `fetched` with the context. */
  | { type: "fetch"; context: number; first: LogIndex; last: LogIndex; bytesMax: number };
