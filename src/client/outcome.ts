import type { Cid, Line, NodeName, RoomName, Seq, Term } from "../base/ids.ts";
import type { Timestamp } from "../base/units.ts";
import type { ServerFrameOf } from "../protocol/schema.ts";

/** The message is flushed on a quorum, at this place, for good. */
export interface Stored {
  readonly room: RoomName;
  readonly cid: Cid;
  /** Its place; `null` only in a mesh that has not settled it yet. */
  readonly seq: Seq | null;
  /** When it was put in order. */
  readonly ts: Timestamp | null;
  /** An earlier attempt had stored it. */
  readonly dup: boolean;
  readonly epoch: Term | null;
  readonly line: Line | null;
  readonly leader: NodeName | null;
  readonly node: NodeName | null;
}

/**
 * A request, a room or the client itself failed. `code` is one of the protocol's (docs/reference/errors.md), or one
 * that only a newer server knows; the table of all codes is not part of the SDK, what it says comes with the error.
 */
export class ChatError extends Error {
  override readonly name = "ChatError";
  readonly code: string;
  /** The same may succeed later, here or on another server. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;
  /** Messages, both included, that are damaged on the server and were needed: reading goes on behind or before them. */
  readonly damaged: { readonly from: Seq; readonly to: Seq } | null;

  constructor(
    code: string,
    message: string,
    retryable = false,
    retryAfterMs: number | null = null,
    damaged: { readonly from: Seq; readonly to: Seq } | null = null,
  ) {
    super(message);
    this.code = code;
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
    this.damaged = damaged;
  }
}

/** What an `err` frame says. */
export const chatErrorOf = (frame: ServerFrameOf<"err">): ChatError =>
  new ChatError(frame.code, frame.message, frame.retryable, frame.retryAfterMs ?? null, damagedOf(frame));

const damagedOf = ({ from, to }: ServerFrameOf<"err">): ChatError["damaged"] =>
  from === undefined || to === undefined ? null : { from, to };

/** The message is not stored and will not be: every attempt ended definite. Sending it again takes a new cid. */
export class SendRefused extends Error {
  override readonly name = "SendRefused";
  /** One of the protocol's, or `aborted`: given up by the caller before any attempt. */
  readonly code: string;
  readonly cid: Cid;

  constructor(cid: Cid, code: string, message: string) {
    super(message);
    this.cid = cid;
    this.code = code;
  }
}

/** Nobody waits for the outcome any more, and the message may have been stored, or may yet be. */
export class SendUnknown extends Error {
  override readonly name = "SendUnknown";
  readonly cid: Cid;

  constructor(cid: Cid, message: string) {
    super(message);
    this.cid = cid;
  }
}

export type Outcome =
  | { readonly state: "stored"; readonly stored: Stored }
  | { readonly state: "refused"; readonly error: SendRefused }
  | { readonly state: "unknown"; readonly error: SendUnknown };

/** Why a message is not stored yet though a server answers: what that said, and when the message is tried next. */
export interface SendWait<Time = Timestamp> {
  /** One of the protocol's, or of a newer server: `storage_full`, `no_quorum`, `rate_limited`, `overloaded`, … */
  readonly code: string;
  /** In the server's words. */
  readonly message: string;
  /** Another server that may do better, where one was named. */
  readonly hint: string | null;
  /** Since when its room has been told this code, and has stored nothing. */
  readonly since: Time;
  /** Not sooner than this; past while an attempt is out. */
  readonly retryAt: Time;
}

/** What an `err` frame says of an attempt. */
export interface AttemptError {
  readonly code: string;
  readonly message: string;
  readonly definite: boolean;
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;
  readonly hint?: string | undefined;
}
