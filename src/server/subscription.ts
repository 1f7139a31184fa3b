import type { LiveRoom } from "./live-room.ts";
import type { Session } from "./session.ts";

/**
 * One client's reading of one room. It hands over from history to live without a gap or a repeat, because both happen in
 * one turn: history is given up to `announced`, and from then on whatever is announced.
 *
 * ```
 *            all history given            queue too long
 * catchingUp ------------------> live ---------------------> paused
 *     ^                                                        |
 *     +--------------------------------------------------------+  the client has taken what was queued
 * ```
 * 1. the client has been given exactly the messages (start, next), or a gap instead of some
 * 2. live: next = live.announced + 1, or more where the client asked for what comes behind a place that is not reached
 */
export interface Subscription {
  readonly session: Session;
  readonly live: LiveRoom;
  /** The next seq to give. */
  next: number;
  state: "catchingUp" | "live" | "paused" | "ended";
  /** A page of history is being read from disk. */
  reading: boolean;
  /** Whether `caught-up` was said since the client asked. */
  saidCaughtUp: boolean;
}
