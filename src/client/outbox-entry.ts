import type { Cid, RoomName } from "../base/ids.ts";
import type { Millis } from "../base/units.ts";
import { SendRefused } from "./outcome.ts";
import type { Outcome, SendWait } from "./outcome.ts";
import type { SavedSend } from "./ports.ts";

/** The messages of one room. */
export interface Lane {
  readonly room: RoomName;
  readonly entries: OutboxEntry[];
  /** entries[0 .. next) are out, unless the lane is rewinding. */
  next: number;
  inFlight: number;
  rewinding: boolean;
  blockedUntil: number;
  /** What a server said that made it wait, until something is stored. */
  wait: SendWait<Millis> | null;
  /** In a row, counted once for all that was out together. */
  failures: number;
  hasFailed: boolean;
  /** How many of its first entries are of an earlier life. Means nothing after the start. */
  restored: number;
  /** What the next new message follows. */
  last: Cid | null;
}

/** One message in the outbox, and how far it is. */
export interface OutboxEntry {
  /** Who is told of the outcome; the outbox itself tells nobody. */
  waiter: Waiter | null;
  /** It has left the outbox. */
  gone: boolean;
  /** As it was given to `add` or `restore`; replaced by what was saved of it. */
  send: SavedSend;
  readonly bytes: number;
  readonly lane: Lane;
  prev: Cid | null;
  /** The store has not confirmed it yet: not sent, and nothing behind it is. */
  saving: boolean;
  /** What the next attempt, or the one that is out, is. */
  step: "send" | "lookup";
  /** Id of the attempt that is out, or 0. */
  request: number;
  /** When the newest attempt went out, or null: there was none. */
  sentAt: Millis | null;
  /** `prev` of the attempt that is out. */
  sentPrev: Cid | null;
  /** An attempt ended without a definite answer. */
  uncertain: boolean;
  /** Nobody waits for it any more; it only keeps its place until it is known whether it was stored. */
  abandoned: boolean;
  /** What the last attempt was answered, or the client itself says, should the lookup find nothing. */
  refusal: { readonly code: string; readonly message: string } | null;
  /** Times that `order` was answered though everything before is resolved. */
  orders: number;
  outcome: Outcome | null;
}

export interface Waiter {
  settled(outcome: Outcome): void;
}

/** One that was never attempted. */
export function newEntry(send: SavedSend, prev: Cid | null, bytes: number, lane: Lane): OutboxEntry {
  return {
    waiter: null,
    gone: false,
    send,
    bytes,
    lane,
    prev,
    saving: false,
    step: "send",
    request: 0,
    sentAt: null,
    sentPrev: null,
    uncertain: false,
    abandoned: false,
    refusal: null,
    orders: 0,
    outcome: null,
  };
}

/**
 * What a lookup finds decides what comes next. And what follows a repeat must not go by its `prev`: that is stored
 * already, and says nothing of the messages sent before the repeat. So both are alone on their way.
 */
export const goesAlone = (entry: OutboxEntry): boolean => entry.step === "lookup" || entry.send.mayBeRepeat === true;

/** What becomes of one that gets no other attempt, and of which every attempt ended definite: the last word, if there was any. */
export const notStored = ({ send, sentAt, lane: { wait } }: OutboxEntry, why: string): SendRefused =>
  sentAt === null || wait === null
    ? new SendRefused(send.cid, "aborted", `${why} before it was sent`)
    : new SendRefused(send.cid, wait.code, wait.message);
