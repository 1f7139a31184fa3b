import { errorCodes, Fault } from "../base/error-codes.ts";
import { HistoryDamaged } from "../server/history-damaged.ts";

/** An error as HTTP tells it (RFC 9457), with the same words as an `err` frame. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly definite: boolean;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  /** The messages that can't be given, both included: who reads on asks for those after `to`, or before `from`. */
  readonly from?: number;
  readonly to?: number;
}

export const problemContentType = "application/problem+json";

export function problemOf(fault: Fault): Problem {
  const { meaning, status } = errorCodes[fault.code];
  return {
    type: `urn:synod:error:${fault.code}`,
    title: meaning,
    status,
    detail: fault.message,
    code: fault.code,
    definite: fault.definite,
    retryable: fault.retryable,
    ...(fault.retryAfterMs === null ? {} : { retryAfterMs: fault.retryAfterMs }),
    ...(fault instanceof HistoryDamaged ? { from: fault.from, to: fault.to } : {}),
  };
}

/** Headers that go with a problem, besides those of every answer. */
export function problemHeaders(fault: Fault): Record<string, string> {
  const headers: Record<string, string> = { "content-type": problemContentType };
  if (fault.retryAfterMs !== null) headers["retry-after"] = String(Math.ceil(fault.retryAfterMs / 1000));
  if (fault.code === "unauthorized") headers["www-authenticate"] = "Bearer";
  return headers;
}

/** What is told when something failed that has no code: the client learns no more than that the outcome is not known. */
export const unexpected = (): Fault => new Fault("unavailable", "the server could not answer this");
