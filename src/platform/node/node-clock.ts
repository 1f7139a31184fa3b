import type { Clock, Timer } from "../../base/clock.ts";
import type { Millis, Timestamp } from "../../base/units.ts";

/** The machine's clocks. Timers do not keep the process alive. */
export function nodeClock(): Clock {
  return {
    now: () => performance.now() as Millis,
    wall: () => Date.now() as Timestamp,
    after: (delay, task): Timer => {
      const timer = setTimeout(task, delay).unref();
      return { cancel: () => clearTimeout(timer) };
    },
    defer: (task) => void setImmediate(task),
  };
}
