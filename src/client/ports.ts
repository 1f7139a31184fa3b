import type { Cid, ClusterId, Line, RoomName, Seq, UserName } from "../base/ids.ts";
import type { ClientFrame, ServerFrame } from "../protocol/schema.ts";

/**
 * What the SDK needs from the outside. A browser, Node and the simulator each give their own; nothing in this folder
 * knows which one it got.
 */

/** How frames are wrapped on a link. The names are those the server uses. */
export type WireFormat = "json-websocket" | "json-lines" | "binary-websocket" | "binary-stream";

/** What a link reports. After `closed` it reports nothing more. */
export interface LinkEvents {
  /** Once, before any message: `send` may be called from now on. */
  opened(): void;
  /** Text or bytes as they came, in order. A stream may cut them anywhere. The bytes belong to the receiver. */
  message(data: string | Uint8Array): void;
  /** Once, for whatever reason, also when it never opened; not after `close` was called. `code` where the carrier has one. */
  closed(code: number | null, reason: string): void;
}

/** One connection to one server. */
export interface Link {
  readonly format: WireFormat;
  /** Hands over data, in order. Never throws; a broken link says so by `closed`. */
  send(data: string | Uint8Array): void;
  /** Bytes handed over that have not left yet. */
  bufferedBytes(): number;
  /** Ends it, also while it is opening. No event follows. */
  close(code: number, reason: string): void;
}

export interface Dial {
  /** Starts to connect; never throws, `events.closed` says what went wrong. Events come in later turns. */
  connect(url: string, events: LinkEvents): Link;
}

/** Turns what arrives on one link into frames. Holds what is left of a frame that was cut. */
export interface Decoder {
  /** The frames that are whole now, in order. Throws `ProtocolViolation` for what no server may send. */
  push(data: string | Uint8Array): readonly ServerFrame[];
}

export type Unspeakable = (frame: ClientFrame, why: string) => void;

export interface Encoding {
  /** What goes out before the first frame, or null. */
  readonly opening: Uint8Array | null;
  /** In order, without those that have no form in this encoding: `unspeakable` is called for each, and none harms another. */
  encode(frames: readonly ClientFrame[], unspeakable: Unspeakable): string | Uint8Array;
  /** A new one for every link. */
  decoder(): Decoder;
}

/** What arrived is not what any server may send. The link is given up, and another one continues from the positions. */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation";
}

/** A message that was accepted by `send` and has no definite outcome yet, or ended without being stored. Plain data. */
export interface SavedSend {
  /** Rises with every send of one page or process; entries of one room are restored in this order. */
  readonly number: number;
  readonly room: RoomName;
  /** Set for a direct message. */
  readonly to: UserName | null;
  readonly cid: Cid;
  readonly kind: string | null;
  readonly ref: Seq | null;
  readonly body: string;
  /** A head of the room that was known when the cid was made, and the line it belongs to. */
  readonly since: Seq;
  /** The id came from elsewhere, and may stand anywhere in the room already. */
  readonly mayBeRepeat?: boolean | undefined;
  readonly line: Line | null;
  readonly prev: Cid | null;
  /** Its sender gave it up after an attempt: it is asked about and not sent again. */
  readonly isGivenUp?: boolean | undefined;
  /** It is not stored and will not be; kept for its sender to look at. */
  readonly refusal?: { readonly code: string; readonly message: string } | undefined;
  /** Nobody can tell whether it is stored; kept for its sender to look at, and never sent again. */
  readonly unknown?: { readonly message: string } | undefined;
}

/** How far direct messages of a room were handed out. */
export interface SavedPosition {
  readonly cluster: ClusterId;
  readonly room: RoomName;
  readonly line: Line;
  readonly seq: Seq;
}

export interface SavedState {
  readonly sends: readonly SavedSend[];
  readonly positions: readonly SavedPosition[];
}

/**
 * What outlives a reload: unanswered messages and positions. One store belongs to one user of one cluster; the store
 * that is shared by several pages gives a saved send to one of them only, where the platform has locks.
 */
export interface OutboxStore {
  /** Everything saved and not removed; called once. A rejection means the content is unknown: nothing is restored. */
  load(): Promise<SavedState>;
  /**
   * Settles when the send would survive a reload. A rejection means it would not, and the send is refused. Saved again
   * when more is known of it, in place of what was saved under its room and cid, whoever saved that.
   */
  save(send: SavedSend): Promise<void>;
  /** Settles when it will not come back. A rejection is harmless: the same cid is answered with the first `seq`. */
  remove(send: Pick<SavedSend, "room" | "cid">): Promise<void>;
  /** The last one saved for a room counts. A rejection is harmless: direct messages may be handed out again. */
  savePosition(position: SavedPosition): Promise<void>;
}

/** The machine's guess that a try is worth while now: back online, page visible again. */
export interface Hints {
  /** Calls `better` on every such guess, until the answer is called. */
  listen(better: () => void): () => void;
}
