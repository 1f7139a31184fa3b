import type { Line, RoomName, Seq, UserName } from "../base/ids.ts";
import type { Timestamp } from "../base/units.ts";
import type { RoomMessage } from "./reader.ts";
import type { SentMessage } from "./sent-message.ts";

/** What the client is doing. Every change has a reason; `closed` is final. */
export type ChatState =
  /** Reading what an earlier life left in the outbox store. */
  | { readonly name: "idle" }
  | { readonly name: "connecting"; readonly url: string }
  | { readonly name: "online"; readonly url: string; readonly node: string; readonly session: string }
  /** Tries again by itself at `retryAt`, a time of the wall clock; sooner when something is asked for or sent. */
  | { readonly name: "offline"; readonly reason: string; readonly retryAt: Timestamp }
  /** The token was refused, and asking for another gave none that is accepted. Waits for `refreshToken` or `reconnect`. */
  | { readonly name: "unauthorized"; readonly reason: string }
  | { readonly name: "closed"; readonly reason: string };

export interface RoomNews {
  readonly room: RoomName;
  readonly line: Line;
  readonly first: Seq;
  readonly head: Seq;
  readonly read: Seq;
}

export interface ChatEvents {
  state: ChatState;
  /**
   * The state of a message changed: it went out, waits again because the link broke or the server asked for patience,
   * was stored, refused, or given up. Also for each message that an earlier life left, once it has been read.
   */
  send: SentMessage;
  /** A direct room has news, or is new; or one is a member of this room from now on, let in by somebody or joined. */
  room: RoomNews;
  /** A direct message, of whatever room, once and in order within its room. */
  direct: RoomMessage;
  /** Somebody's read mark moved. */
  read: { readonly room: RoomName; readonly user: UserName; readonly seq: Seq };
  typing: { readonly room: RoomName; readonly user: UserName };
  presence: Presence;
  /** A room has another history than before, and everything known about it is void; `null` for all rooms at once. */
  reset: { readonly room: RoomName | null };
  /** A server said something went wrong that belongs to no request. For logs. */
  error: { readonly code: string; readonly message: string };
}

export interface Presence {
  readonly room: RoomName;
  /** In small rooms, who; in large ones, how many. */
  readonly users?: readonly UserName[] | undefined;
  readonly count?: number | undefined;
}
