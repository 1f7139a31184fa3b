import { type ErrorCode, errorCodes } from "../base/error-codes.ts";

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
  /** As many rooms as the group takes. */
  groupFull: 12,
  /** As many rooms as one user may have made. */
  makerFull: 13,
  /** As many members as a room takes. */
  roomFull: 14,
  /** As many read marks of visitors as a room takes. */
  marksFull: 15,
  /** An edit, or a deletion, of what is no message of a person. */
  notAMessage: 16,
  /** An edit, deletion or reaction that does not say of what. */
  refNeeded: 17,
} as const;

export type OutcomeCode = (typeof outcomes)[keyof typeof outcomes];

/** The code for an outcome; null where there is no error to tell. Indexed by outcome code. */
const outcomeErrors: readonly (ErrorCode | null)[] = [
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
  "too_large",
  "too_large",
  "too_large",
  "too_large",
  "bad_request",
  "bad_request",
];

/** What more than the code's meaning can be said of an outcome. Indexed by outcome code. */
const outcomeMessages: Readonly<Partial<Record<OutcomeCode, string>>> = {
  [outcomes.groupFull]: "there are as many rooms here as this server takes (limits.groupRoomsMax)",
  [outcomes.makerFull]: "you have made as many rooms as one user may (limits.madeRoomsMax)",
  [outcomes.roomFull]: "the room has as many members as a room takes (limits.roomMembersMax)",
  [outcomes.marksFull]: "the room keeps as many read marks of visitors as it takes (limits.visitorMarksMax); join it",
  [outcomes.notAMessage]:
    "only messages of people can be edited or deleted: ref names an edit, a deletion or a reaction",
  [outcomes.refNeeded]: "an edit, deletion or reaction needs the ref of its message",
};

/** The error a client is told for an outcome, and in which words; null where there is no error to tell. */
export function outcomeFault(code: OutcomeCode): { readonly code: ErrorCode; readonly message: string } | null {
  const error = outcomeErrors[code] ?? null;
  return error === null ? null : { code: error, message: outcomeMessages[code] ?? errorCodes[error].meaning };
}
