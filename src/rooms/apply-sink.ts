import type { UserName } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import type { Role } from "./commands.ts";
import type { OutcomeCode } from "./outcome.ts";
import type { Notice, Room } from "./room.ts";
import type { SealReason } from "./seal.ts";
import type { Setting } from "./setting.ts";
import type { User } from "./user.ts";

/**
 * Who hears what `apply` did, during `apply` and in order. It must not call back into the state, and must not throw.
 * Rooms and users are live: they show the state at this point of the log, and go on changing.
 */
export interface ApplySink {
  /**
   * What became of one command of an entry of type 1. `position` counts the commands of the entry from 0. For `stored`,
   * `repeat` and `conflict` seq, ts and epoch are the stored message's; for all others 0. Comes after `stored` and
   * after every `changed` of the same command.
   */
  outcome(position: number, code: OutcomeCode, seq: number, ts: number, epoch: number): void;
  /** A message took its place in order: its record stands at `memory[offset]`, with seq, ts and epoch filled in. */
  stored(room: Room, seq: number, memory: Uint8Array, offset: number): void;
  /**
   * The room that this server found for the post at `position` when it proposed it; undefined: another server did, or none
   * was there. It need not be in the state any more, but is the one of the post's name if it is: a search is saved by it,
   * nothing is decided.
   */
  proposedIn?(position: number): Room | undefined;
  /** Anything else changed. */
  changed(event: RoomEvent): void;
}

/** A sealed chunk: it holds exactly the messages accepted in entries (from, to]. */
export interface Sealed {
  readonly chunk: number;
  readonly from: number;
  readonly to: number;
  /** The day its entries carry. */
  readonly day: Day;
  readonly format: number;
  readonly reason: SealReason;
  readonly messages: number;
  /** Bytes of its records as they stand in the chunk, uncompressed. */
  readonly bytes: number;
  /** `ts` of the entry that sealed it. */
  readonly sealedAt: Timestamp;
}

export type RoomEvent =
  /** By its first member, or by a post or join of one of two people; null: by the cluster. */
  | { type: "created"; room: Room; user: UserName | null }
  /** Messages from … to, if any, became a gap. Members are gone; each gets a notice. */
  | { type: "deleted"; room: Room; from: number; to: number }
  | { type: "trimmed"; room: Room; from: number; to: number }
  | { type: "joined"; room: Room; user: UserName; role: Role }
  | { type: "left"; room: Room; user: UserName; by: UserName | null }
  | { type: "role"; room: Room; user: UserName; role: Role }
  | { type: "read"; room: Room; user: UserName; seq: number }
  | { type: "retention"; room: Room }
  /** The orderer proposes it to the user's aggregate, and again until it is acknowledged (`GroupState.outboxes`). */
  | { type: "notice"; room: Room; notice: Notice }
  /** The user's aggregate took in a notice: the user is in, or out of, or newly in a direct, `room`. */
  | { type: "told"; user: User; room: string; kind: Notice["kind"]; number: number }
  | { type: "sealed"; sealed: Sealed }
  /** No room keeps anything of this chunk any more: its file may go. */
  | { type: "chunkEmpty"; chunk: number }
  | { type: "rewrite"; chunk: number; generation: number }
  | { type: "setting"; setting: Setting };
