import { assert } from "../../base/assert.ts";
import { type Millis, millis } from "../../base/units.ts";

/** When a server counts as silent. All in milliseconds. */
export interface LivenessTiming {
  /** Between two looks at the clock. */
  readonly tickMs: Millis;
  /** Between two heartbeats to the same server. */
  readonly beatMs: Millis;
  /** Silence after which a server is suspected, by a server that is well itself. */
  readonly suspectAfterMs: Millis;
  /** How much longer a server waits at most whose own event loop lags. */
  readonly ownLagMsMax: Millis;
  /** Silence on a link after which the link is given up, though its stream stands. */
  readonly silentLinkMs: Millis;
  /** A write that waits for longer than this to be durable means a disk that hangs. */
  readonly diskStuckMs: Millis;
}

/**
 * 600 ms ride out five lost heartbeats, a long garbage collection and a processor taken away for two quanta; a process
 * that died is known sooner, because its machine refuses the next dial.
 */
export const defaultLivenessTiming: LivenessTiming = {
  tickMs: millis(20),
  beatMs: millis(100),
  suspectAfterMs: millis(600),
  ownLagMsMax: millis(1_800),
  silentLinkMs: millis(2_000),
  diskStuckMs: millis(1_000),
};

/** Asserts the times against each other. */
export function checkLivenessTiming(timing: LivenessTiming): void {
  assert(timing.tickMs * 2 <= timing.beatMs, "a beat is at least two ticks");
  assert(timing.beatMs * 3 <= timing.suspectAfterMs, "a server is not suspected for two lost heartbeats");
  assert(timing.suspectAfterMs <= timing.silentLinkMs, "a link is not given up before its server is suspected");
}
