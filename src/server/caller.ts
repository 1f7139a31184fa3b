import { type ErrorCode, errorCodes, Fault } from "../base/error-codes.ts";
import type { UserName } from "../base/ids.ts";
import type { RequestId, ServerFrame } from "../protocol/schema.ts";
import { ChunkDamage } from "../storage/chunk/chunk-damage.ts";

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
  more: { definite?: boolean; retryable?: boolean; retryAfterMs?: number | null; hint?: string } = {},
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
  };
}

/** The `err` frame for something that was thrown: a Fault says what it is, anything else is ours to look into. */
export function refusalOf(id: RequestId | undefined, cause: unknown): ServerFrame {
  // What is damaged on the disk can't be given; the log says where, and the operator mends it.
  if (cause instanceof ChunkDamage) return refusal(id, "unavailable", "the history that this needs is damaged here");
  if (!(cause instanceof Fault)) throw cause;
  const { code, message, definite, retryable, retryAfterMs } = cause;
  return refusal(id, code, message, { definite, retryable, retryAfterMs });
}
