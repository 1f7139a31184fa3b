import type { Millis } from "../base/units.ts";

/** Longest time between two tries of the same thing on one link. */
const waitMsMax = 5_000;

/** How long to wait after the `failures`-th failure in a row: what the server asks for, else twice as long each time. */
export function backoffMs(retryAfterMs: number | null, firstMs: number, failures: number): Millis {
  return (retryAfterMs ?? Math.min(firstMs * 2 ** Math.min(failures, 8), waitMsMax)) as Millis;
}
