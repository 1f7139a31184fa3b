import type { Millis, Timestamp } from "./units.ts";

/** A task that was asked for and may still be called off. */
export interface Timer {
  /** Calls it off. Does nothing once the task has run. */
  cancel(): void;
}

/**
 * Time, as the outside gives it. In production the machine's clocks, in the simulator virtual ones.
 * A timer only says "at least this late": decisions are made from `now()`, never from the fact that a timer fired.
 */
export interface Clock {
  /** Monotonic milliseconds since some start. Never goes back, does not follow the wall clock. */
  now(): Millis;
  /** The wall clock. May jump, either way, by any amount. */
  wall(): Timestamp;
  /** Runs `task` once, at least `delay` later, in a turn of its own. */
  after(delay: Millis, task: () => void): Timer;
  /**
   * Runs `task` at the end of this turn, after the input that is already there has been handled. Tasks run in the
   * order they were given. This is where everything gathered in a turn is written at once.
   */
  defer(task: () => void): void;
}
