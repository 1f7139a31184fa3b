import type { Entry } from "../base/entry.ts";
import type { ClusterId, GroupId, Line, LogIndex, Term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import type { ApplySink, Sealed } from "./apply-sink.ts";
import type { Room } from "./room.ts";
import type { Bounds } from "./setting.ts";
import type { User } from "./user.ts";

/** What is not sealed yet: the messages accepted in entries after `from`. */
export interface OpenChunk {
  readonly from: LogIndex;
  readonly day: Day;
  readonly messages: number;
  readonly bytes: number;
}

/** A sealed chunk that some room still keeps something of. */
export interface LiveChunk extends Sealed {
  readonly generation: number;
  /** Rooms that keep something of it. */
  readonly rooms: number;
}

/** What must be looked up beyond the id window before a post is proposed. Both null: nothing, the usual case. */
export interface LookupNeeded {
  /** Look for the id (from, room, cid) among seqs from … to; when absent, write `to` into `checked`. */
  readonly id: { readonly from: number; readonly to: number } | null;
  /** Look for (from, room, prev) among seqs from … to; when found, write its seq into `prevSeq`. */
  readonly prev: { readonly from: number; readonly to: number } | null;
}

/** What one group's rooms and users are at one point of its log. */
export declare class GroupState {
  private constructor();
  /** The state before the first entry. `hashSeed`: this server's own, never part of the state. */
  static empty(options: { group: GroupId; cluster: ClusterId; bounds: Bounds; hashSeed: number }): GroupState;
  /** The state that `snapshot` wrote. Throws a Fault for bytes that are no snapshot. */
  static restore(snapshot: Uint8Array, options: { hashSeed: number }): GroupState;

  readonly group: GroupId;
  readonly cluster: ClusterId;
  readonly bounds: Bounds;
  readonly appliedIndex: LogIndex;
  readonly appliedTerm: Term;
  readonly lastTs: Timestamp;
  readonly lastDay: Day;
  readonly line: Line;
  readonly timeZone: string;
  readonly retentionDays: number;
  readonly openChunk: OpenChunk;
  /** Number of the last sealed chunk; 0 before the first. */
  readonly lastChunk: number;

  /**
   * Applies the next entry. `memory` holds the entry's payload in memory the caller keeps; seq, ts and epoch of accepted
   * posts are written into it. Asserts that the entry is the next one and well-formed.
   */
  apply(entry: Entry, memory: Uint8Array, sink: ApplySink): void;

  room(name: string | Uint8Array): Room | undefined;
  user(name: string | Uint8Array): User | undefined;
  /** All rooms that exist, in no order. */
  rooms(): IterableIterator<Room>;
  users(): IterableIterator<User>;
  /** Rooms with notices that are not acknowledged: a new orderer proposes these again. */
  outboxes(): IterableIterator<Room>;
  chunk(chunk: number): LiveChunk | undefined;
  chunks(): IterableIterator<LiveChunk>;

  /** What the orderer must look up before it proposes the record at `offset`, with `checked` as it stands there. */
  lookupNeeded(memory: Uint8Array, offset: number): LookupNeeded | null;
  /** The seq under which a message with this id is in the window; 0 when it is not there. */
  seqInWindow(room: Uint8Array, from: Uint8Array, cid: Uint8Array): number;

  /** Everything, in one canonical form: equal states give equal bytes. */
  snapshot(): Uint8Array;
  /** SHA-256 of `snapshot()`, hex. */
  hash(): string;
}
