/** Addresses remembered at most: those whose bucket is full again are forgotten first, then the oldest. */
const addressesMax = 10_000;
/** A bucket holds what comes in this time, so that a crowd that comes back at once is let in. */
const burstSeconds = 5;

interface Bucket {
  tokens: number;
  /** When it was last filled up, in monotonic milliseconds. */
  at: number;
}

/**
 * Token buckets, one for each address: so many of something a second, and five seconds' worth at once. It is the address
 * of the socket that counts: what a request says of whom it was forwarded for is not believed.
 */
export class AddressRates {
  readonly #perSecond: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** How many addresses are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one. Answers 0, or in how many milliseconds there is one again, and then nothing was taken. */
  take(address: string, now: number): number {
    const waitMs = this.waitMs(address, now);
    if (waitMs > 0) return waitMs;
    const bucket = this.#buckets.get(address);
    if (bucket !== undefined) {
      bucket.tokens -= 1;
      return 0;
    }
    if (this.#buckets.size >= addressesMax) this.#forget(now);
    this.#buckets.set(address, { tokens: this.#perSecond * burstSeconds - 1, at: now });
    return 0;
  }

  /** In how many milliseconds there is one to take; 0 = now. */
  waitMs(address: string, now: number): number {
    const bucket = this.#buckets.get(address);
    if (bucket === undefined) return 0;
    const seconds = Math.max(0, now - bucket.at) / 1_000;
    bucket.at = Math.max(bucket.at, now);
    bucket.tokens = Math.min(this.#perSecond * burstSeconds, bucket.tokens + seconds * this.#perSecond);
    return bucket.tokens >= 1 ? 0 : Math.ceil(((1 - bucket.tokens) / this.#perSecond) * 1_000);
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
