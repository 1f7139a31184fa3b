import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import { millis, timestamp } from "../../base/units.ts";
import type { Hints } from "../../client/ports.ts";

/** The clocks of a page or a worker. A timer of a page in the background may come late, by a minute and more. */
export function browserClock(): Clock {
  return {
    now: () => millis(performance.now()),
    wall: () => timestamp(Date.now()),
    after: (delay, task) => {
      const timer = setTimeout(task, Math.ceil(delay));
      return { cancel: () => clearTimeout(timer) };
    },
    defer: (task) => queueMicrotask(task),
  };
}

/** Chance from the browser's generator, fit for ids that nobody can guess. */
export function browserRandom(): Random {
  const word = new Uint32Array(1);
  return {
    whole: (below) => {
      crypto.getRandomValues(word);
      return Math.floor((word[0]! / 0x1_0000_0000) * below);
    },
    bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  };
}

/** Back online, or looked at again: a try is worth while now. */
export function browserHints(): Hints {
  return {
    listen: (better) => {
      const shown = (): void => {
        if (document.visibilityState === "visible") better();
      };
      addEventListener("online", better);
      if (typeof document !== "undefined") document.addEventListener("visibilitychange", shown);
      return () => {
        removeEventListener("online", better);
        if (typeof document !== "undefined") document.removeEventListener("visibilitychange", shown);
      };
    },
  };
}
