import type { ErrorCode } from "../base/error-codes.ts";

/**
 * What became of one command. Small numbers, so that `apply` hands out an outcome without making anything.
 * `stored`, `repeat` and `done` are good; `recheck` is between servers only; the rest refuse, and are definite.
 */
export const outcomes = {
  /** Applied. Commands other than posts; also when nothing changed, because it was so already. */
  done: 0,
  /** A message took its place: seq, ts and epoch are its own. */
  stored: 1,
  /** The same id with the same content was stored before: seq, ts and epoch of that first time. */
  repeat: 2,
  /** The same id with other content was stored before: seq, ts and epoch of that first time. */
  conflict: 3,
  /**
   * Not stored, and not refused: whether the id (or the message `prev` or `ref` names) is stored can't be told from
   * state alone. The orderer looks it up (`lookupNeeded`), and proposes again or answers by itself.
   */
  recheck: 4,
  /** `prev` is not stored. */
  order: 5,
  forbidden: 6,
  notFound: 7,
  badRequest: 8,
  /** A list has reached its bound: members, rooms, marks. */
  tooLarge: 9,
  /** Too much is waiting in this room or group; later it may succeed. */
  overloaded: 10,
  /** What `ref` names has been removed. */
  gone: 11,
} as const;

export type OutcomeCode = (typeof outcomes)[keyof typeof outcomes];

/** What a client is told for an outcome; null where there is no error to tell. Indexed by outcome code. */
export const outcomeErrors: readonly (ErrorCode | null)[] = [
  null,
  null,
  null,
  "id_conflict",
  // Never told: the orderer goes on with it. Whoever cannot go on can't tell either.
  "unavailable",
  "order",
  "forbidden",
  "not_found",
  "bad_request",
  "too_large",
  "overloaded",
  "gone",
];
