import { TokenBucket } from "./token-bucket.ts";

/** Addresses remembered at most: those whose bucket is full again are forgotten first, then the oldest. */
const addressesMax = 10_000;
/** A bucket holds what comes in this time, so that a crowd that comes back at once is let in. */
const burstSeconds = 5;

/**
 * Token buckets, one for each address: so many of something a second, and five seconds' worth at once. It is the address
 * of the socket that counts: what a request says of whom it was forwarded for is not believed.
 */
export class AddressRates {
  readonly #perSecond: number;
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** How many addresses are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one. Answers 0, or in how many milliseconds there is one again, and then nothing was taken. */
  take(address: string, now: number): number {
    let bucket = this.#buckets.get(address);
    if (bucket === undefined) {
      if (this.#buckets.size >= addressesMax) this.#forget(now);
      bucket = new TokenBucket(this.#perSecond, this.#perSecond * burstSeconds, now);
      this.#buckets.set(address, bucket);
    }
    const waitMs = bucket.waitMs(now);
    if (waitMs === 0) bucket.take();
    return waitMs;
  }

  /** In how many milliseconds there is one to take; 0 = now. */
  waitMs(address: string, now: number): number {
    return this.#buckets.get(address)?.waitMs(now) ?? 0;
  }

  #forget(now: number): void {
    for (const [address, bucket] of this.#buckets) {
      // Full again by then, and no different from a new one.
      if (now - bucket.at >= burstSeconds * 1_000) this.#buckets.delete(address);
    }
    if (this.#buckets.size < addressesMax) return;
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}
