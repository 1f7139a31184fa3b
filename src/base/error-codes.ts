/**
 * Every code a client can meet, what it means for the attempt, and whether trying again helps. The codes are part of
 * the protocol (docs/reference/errors.md); the table is the only place that knows them.
 */
export interface ErrorMeaning {
  /** This attempt was not and will not be put in order. */
  readonly definite: boolean;
  /** The same request may succeed later, here or on another server. */
  readonly retryable: boolean;
  /** HTTP status for the same error. */
  readonly status: number;
  readonly meaning: string;
}

export const errorCodes = {
  bad_request: { definite: true, retryable: false, status: 400, meaning: "the request is malformed" },
  unsupported: {
    definite: true,
    retryable: false,
    status: 400,
    meaning: "this server does not know this kind of request",
  },
  unauthorized: { definite: true, retryable: false, status: 401, meaning: "the token or name was not accepted" },
  forbidden: { definite: true, retryable: false, status: 403, meaning: "this user may not do this here" },
  not_found: {
    definite: true,
    retryable: false,
    status: 404,
    meaning: "there is no such room, user or message, or not for this user",
  },
  id_conflict: {
    definite: true,
    retryable: false,
    status: 409,
    meaning: "the same cid was used before with another body",
  },
  order: {
    definite: true,
    retryable: true,
    status: 409,
    meaning: "the message named by prev is not stored; send that one first",
  },
  too_large: {
    definite: true,
    retryable: false,
    status: 413,
    meaning: "the body, frame or list is larger than the limit",
  },
  rate_limited: {
    definite: true,
    retryable: true,
    status: 429,
    meaning: "this user or address sends, or this room is sent to, faster than allowed",
  },
  overloaded: {
    definite: true,
    retryable: true,
    status: 503,
    meaning: "the server has as much in flight as it allows",
  },
  no_quorum: {
    definite: false,
    retryable: true,
    status: 503,
    meaning: "not enough servers answer to make this durable",
  },
  behind: {
    definite: true,
    retryable: true,
    status: 503,
    meaning: "this server has not yet reached the position asked for",
  },
  copies: { definite: false, retryable: true, status: 503, meaning: "stored on fewer servers than wanted" },
  storage_full: { definite: true, retryable: true, status: 507, meaning: "the disk is full; nothing was stored" },
  gone: { definite: true, retryable: false, status: 410, meaning: "removed by retention or erasure" },
  unavailable: {
    definite: false,
    retryable: true,
    status: 503,
    meaning: "the server cannot tell right now, or is stopping",
  },
  unordered: {
    definite: true,
    retryable: false,
    status: 409,
    meaning: "this topology has no immediate total order for this",
  },
} as const satisfies Record<string, ErrorMeaning>;

export type ErrorCode = keyof typeof errorCodes;

/** The world is unkind: something that may happen in a correct program, with a code for whoever has to act on it. */
export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: ErrorCode;
  /** Overrides the table where a place knows better: after an append nothing is definite. */
  readonly definite: boolean;
  /** The same: what is damaged does not become whole by waiting. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; definite?: boolean; retryable?: boolean; retryAfterMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.definite = options.definite ?? errorCodes[code].definite;
    this.retryable = options.retryable ?? errorCodes[code].retryable;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }
}
