import type { Clock, Timer } from "../../src/base/clock.ts";
import type { Millis, Timestamp } from "../../src/base/units.ts";

/** Time that stands still until it is moved. Everything asked for runs in the order it is due. */
export class VirtualClock implements Clock {
  #now = 1_000;
  #wallAhead = 0;
  #order = 0;
  #tasks: { at: number; order: number; task: () => void }[] = [];
  #deferred: (() => void)[] = [];

  now(): Millis {
    return this.#now as Millis;
  }

  wall(): Timestamp {
    return (1_795_000_000_000 + this.#wallAhead + Math.floor(this.#now)) as Timestamp;
  }

  after(delay: Millis, task: () => void): Timer {
    const entry = { at: this.#now + delay, order: this.#order++, task };
    this.#tasks.push(entry);
    return {
      cancel: () => {
        this.#tasks = this.#tasks.filter((other) => other !== entry);
      },
    };
  }

  defer(task: () => void): void {
    this.#deferred.push(task);
  }

  /** The machine sleeps: nothing runs, and afterwards timers that are due run late. */
  sleep(ms: number, monotonic: "runs on" | "stands still"): void {
    if (monotonic === "runs on") this.#now += ms;
    else this.#wallAhead += ms;
  }

  /** Timers that were asked for and have neither run nor been called off. */
  get timers(): number {
    return this.#tasks.length;
  }

  /** Lets promises settle and runs what was deferred, until nothing moves any more. */
  async settle(): Promise<void> {
    for (;;) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      if (this.#deferred.length === 0) return;
      for (const task of this.#deferred.splice(0)) task();
    }
  }

  /** Moves time, stopping at every timer on the way. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (;;) {
      const due = this.#tasks.filter((task) => task.at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0];
      if (due === undefined) break;
      this.#now = Math.max(this.#now, due.at);
      // Everything due at this moment is one turn.
      const turn = this.#tasks.filter((task) => task.at <= this.#now).sort((a, b) => a.at - b.at || a.order - b.order);
      for (const task of turn) {
        if (!this.#tasks.includes(task)) continue;
        this.#tasks = this.#tasks.filter((other) => other !== task);
        task.task();
      }
      await this.settle();
    }
    this.#now = end;
  }
}
