import type { ErrorCode } from "../base/error-codes.ts";
import type { Cid, Line, NodeName, RoomName, Seq, Term } from "../base/ids.ts";
import type { Timestamp } from "../base/units.ts";

/** The message is flushed on a quorum, at this place, for good. */
export interface Stored {
  readonly room: RoomName;
  readonly cid: Cid;
  /** Its place; `null` only in a mesh that has not settled it yet. */
  readonly seq: Seq | null;
  /** When it was put in order; `null` when a lookup found it, which tells the place only. */
  readonly ts: Timestamp | null;
  /** An earlier attempt had stored it. */
  readonly dup: boolean;
  readonly epoch: Term | null;
  readonly line: Line | null;
  readonly leader: NodeName | null;
  readonly node: NodeName | null;
}

/** `aborted`: given up by the caller before any attempt. */
export type RefusalCode = ErrorCode | "aborted";

/** The message is not stored and will not be: every attempt ended definite. Sending it again takes a new cid. */
export class SendRefused extends Error {
  override readonly name = "SendRefused";
  readonly code: RefusalCode;
  readonly cid: Cid;

  constructor(cid: Cid, code: RefusalCode, message: string) {
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

/** What an `err` frame says, with a code that this version knows. */
export interface AttemptError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly definite: boolean;
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;
}
