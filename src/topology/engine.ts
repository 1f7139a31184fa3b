import type { Entry, EntryType } from "../base/entry.ts";
import type { LogIndex, NodeName, Term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";

/**
 * The server-side port of everything that can put entries in order: what a server says to an engine, and what the
 * engine asks the server to do. `solo`, `leader` and `equal` stand behind it with consensus groups, `mesh` with its
 * own engine. An engine is pure: same events in, same effects out; the server performs the effects in order.
 */
export interface Engine {
  step(event: EngineEvent): readonly EngineEffect[];
  readonly standing: Standing;
}

/** Where this server stands in the group, for whoever must answer clients or show it. */
export type Standing =
  /** Nobody is known to order; sends are refused. */
  | { role: "follower" | "candidate"; term: Term; leader: NodeName | null }
  /** Elected, but no entry of its own term is committed yet: reads and sends wait. */
  | { role: "elected"; term: Term; leader: NodeName }
  /** Orders writes and may serve linearizable reads. */
  | { role: "leader"; term: Term; leader: NodeName };

export type EngineEvent =
  /**
   * The first event: what the journal remembers of the group. Entries up to `lastIndex` are durable here; `ts` and
   * `day` are those of the last one.
   */
  | { type: "recovered"; term: Term; lastIndex: LogIndex; committed: LogIndex; ts: Timestamp; day: Day }
  /** A batch of commands, or another entry, to be put in order. Only while this server is the leader. */
  | { type: "proposed"; kind: EntryType; ts: Timestamp; day: Day; payload: Uint8Array }
  /** What an earlier effect asked to be written is durable, and all that was asked before it. */
  | { type: "durable"; ticket: number };

export type EngineEffect =
  /** Write this vote; say `durable` with the ticket. Nothing may be answered on its strength before. */
  | { type: "persist-vote"; term: Term; votedFor: NodeName; ticket: number }
  /** Write this entry behind all others; say `durable` with the ticket. */
  | { type: "append"; entry: Entry; ticket: number }
  /** Everything up to `through` is decided for good: apply it, in order. */
  | { type: "committed"; through: LogIndex };
