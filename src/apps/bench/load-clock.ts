import { putDigits, sentAtDigits } from "./message-body.ts";

/**
 * The machine's monotonic clock in milliseconds with fractions. Unlike `performance.now` it counts from the same moment
 * in every process of a machine, so that one process can read what another wrote into a message.
 */
export function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** Writes a time as the digits that stand in a message's body. */
export function putSentAt(into: Uint8Array, sentAtMs: number): void {
  putDigits(into, 0, sentAtDigits, Math.round(sentAtMs * 1000));
}
