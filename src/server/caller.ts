import { type ErrorCode, errorCodes, Fault } from "../base/error-codes.ts";
import { seq, type UserName } from "../base/ids.ts";
import type { RequestId, ServerFrame } from "../protocol/schema.ts";
import { HistoryDamaged, type SeqRange } from "./history-damaged.ts";

/** Who asks for something and is answered: a session, or one HTTP request. */
export interface Caller {
  readonly user: UserName;
  readonly userBytes: Uint8Array;
  answer(frame: ServerFrame): void;
}

/** The `err` frame for a request. `definite` and `retryable` follow the code's meaning unless told otherwise. */
export function refusal(
  id: RequestId | undefined,
  code: ErrorCode,
  message: string,
  more: {
    definite?: boolean;
    retryable?: boolean;
    retryAfterMs?: number | null;
    hint?: string;
    damaged?: SeqRange | undefined;
  } = {},
): ServerFrame {
  const meaning = errorCodes[code];
  return {
    t: "err",
    ...(id === undefined ? {} : { id }),
    code,
    message,
    definite: more.definite ?? meaning.definite,
    retryable: more.retryable ?? meaning.retryable,
    ...(more.retryAfterMs === undefined || more.retryAfterMs === null ? {} : { retryAfterMs: more.retryAfterMs }),
    ...(more.hint === undefined ? {} : { hint: more.hint }),
    ...(more.damaged === undefined ? {} : { from: seq(more.damaged.from), to: seq(more.damaged.to) }),
  };
}

/** The `err` frame for something that was thrown: a Fault says what it is, anything else is ours to look into. */
export function refusalOf(id: RequestId | undefined, cause: unknown): ServerFrame {
  if (!(cause instanceof Fault)) throw cause;
  const { code, message, definite, retryable, retryAfterMs } = cause;
  const damaged = cause instanceof HistoryDamaged ? cause : undefined;
  return refusal(id, code, message, { definite, retryable, retryAfterMs, damaged });
}
