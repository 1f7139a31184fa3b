import type { Clock } from "../base/clock.ts";
import { millis } from "../base/units.ts";

/**
 * Listeners by the name of what they hear. A listener that throws harms nobody but itself: the others hear it too, and
 * the error comes up in a turn of its own, where the platform reports errors that nobody caught.
 */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `listener` on every event of this name, until the answer is called. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    // Its own function, so that the same listener may be given twice and is taken away once.
    const own = (event: Events[Name]): void => listener(event);
    let listeners = this.#listeners.get(name);
    if (listeners === undefined) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(own);
    return () => {
      listeners.delete(own);
    };
  }

  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    const listeners = this.#listeners.get(name);
    if (listeners === undefined) return;
    for (const listener of Array.from(listeners)) {
      try {
        (listener as (event: Events[Name]) => void)(event);
      } catch (error) {
        this.#clock.after(millis(0), () => {
          throw error;
        });
      }
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}
