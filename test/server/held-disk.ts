import type { Clock, Timer } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { type Millis, millis, type Timestamp, timestamp } from "../../src/base/units.ts";
import type { CallName } from "../../src/sim/process-files.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";

/** A disk on which some calls do not come back until they are let go: what happens meanwhile can be looked at. */
export class HeldDisk {
  readonly fileSystem: SimFileSystem;
  #isHeld: (call: CallName, path: string) => boolean = () => false;
  #path = "";
  #held: (() => void)[] = [];

  constructor() {
    const clock: Clock = {
      now: (): Millis => millis(0),
      wall: (): Timestamp => timestamp(0),
      after: (_delay: Millis, task: () => void): Timer => {
        this.#held.push(task);
        return { cancel: () => undefined };
      },
      defer: (task) => {
        queueMicrotask(task);
      },
    };
    this.fileSystem = new SimFileSystem({
      random: seededRandom(7),
      clock,
      latency: (call) => millis(this.#isHeld(call, this.#path) ? 1 : 0),
    });
    this.fileSystem.onCall = ({ path }) => {
      this.#path = path;
    };
  }

  /** Calls of these names, on files whose path begins so, wait from now on. */
  hold(calls: readonly CallName[], path: string): void {
    this.#isHeld = (call, file) => calls.includes(call) && file.startsWith(path);
  }

  /** How many calls wait. */
  get waiting(): number {
    return this.#held.length;
  }

  /** Nothing waits any more. */
  letGo(): void {
    this.#isHeld = () => false;
    for (const task of this.#held.splice(0)) task();
  }
}

/** Until everything that can happen without what is held has happened. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
