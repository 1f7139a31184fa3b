import type { Millis } from "../base/units.ts";

/**
 * Bytes per second for all bulk lanes together: a bucket that fills with time and holds `burstBytes`.
 *
 * 1. in any span of t seconds no more than burstBytes + t * bytesPerSecond are granted
 */
export class BulkThrottle {
  #bytesPerSecond: number;
  readonly #burstBytes: number;
  #level: number;
  #filledAt: Millis | null = null;

  constructor(options: { readonly bytesPerSecond: number; readonly burstBytes: number }) {
    this.#bytesPerSecond = options.bytesPerSecond;
    this.#burstBytes = options.burstBytes;
    this.#level = options.burstBytes;
  }

  /** From now on. What was saved up stays. */
  setBytesPerSecond(now: Millis, bytesPerSecond: number): void {
    this.#fill(now);
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Takes the bytes, or nothing and false. */
  grant(now: Millis, bytes: number): boolean {
    this.#fill(now);
    if (this.#level < bytes) return false;
    this.#level -= bytes;
    return true;
  }

  #fill(now: Millis): void {
    const elapsedMs = this.#filledAt === null ? 0 : Math.max(0, now - this.#filledAt);
    this.#level = Math.min(this.#burstBytes, this.#level + (elapsedMs * this.#bytesPerSecond) / 1000);
    this.#filledAt = now;
  }
}
