import type { Entry } from "../base/entry.ts";
import type { LogIndex, NodeName, Term } from "../base/ids.ts";
import type { Day, Millis, Timestamp } from "../base/units.ts";
import type { DamagedRange, LogEffect, LogEvent } from "../consensus/events.ts";
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

export type EngineEvent =
  | LogEvent
  /** The first event. */
  | { type: "recovered"; now: Millis; log: RememberedLog }
  /** What another server's engine said; opaque to everybody but engines. May be lost, doubled, late or overtaken. */
  | { type: "received"; now: Millis; from: NodeName; bytes: Uint8Array }
  /** Another server is to lead; null: whoever is fittest. */
  | { type: "transfer"; now: Millis; to: NodeName | null }
  | PeerHealth
  | Vouched;

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

/** What is to be done, in this order. */
export type EngineEffect =
  | LogEffect
  /** To the engine of another server: `rest` stands behind `bytes`, and must not change. `lane`: what is urgent, or what is large. */
  | { type: "send"; to: NodeName; lane: "control" | "append"; bytes: Uint8Array; rest: Uint8Array }
  | { type: "standing"; standing: Standing }
  /** Others belong to the group than before, committed or not. */
  | { type: "configured"; members: readonly Member[] }
  /** State is needed at `snapshot` or later; it may be had from any replica. */
  | { type: "snapshot-wanted"; snapshot: Snapshot; from: NodeName };
