// The arithmetic of a bucket, for whoever keeps its numbers elsewhere.

/** What a bucket holds `sinceMs` after it held `tokens`. */
export function refilled(tokens: number, sinceMs: number, perMs: number, tokensMax: number): number {
  const filled = tokens + sinceMs * perMs;
  return filled < tokensMax ? filled : tokensMax;
}

/** In how many whole milliseconds a bucket that holds `tokens` has so many; 0 = now. */
export const msUntil = (tokens: number, needed: number, perMs: number): number =>
  tokens >= needed ? 0 : Math.ceil((needed - tokens) / perMs);

/** So many of something a second, and `tokensMax` at once. Nothing is allocated by asking it: it is asked for each message. */
export class TokenBucket {
  // Numbers from the beginning: a field that was once anything else holds each fraction as an object of its own.
  #perMs = 0;
  #tokensMax = 0;
  #tokens = 0;
  /** When it was last filled up, in monotonic milliseconds. */
  #at = 0;

  /** A full one. */
  constructor(perSecond: number, tokensMax: number, now: number) {
    this.#perMs = perSecond / 1_000;
    this.#tokensMax = tokensMax;
    this.#tokens = tokensMax;
    this.#at = now;
  }

  /** When it was last asked. */
  get at(): number {
    return this.#at;
  }

  /** In how many milliseconds there are so many to take; 0 = now. For more than it holds it need only be full. */
  waitMs(now: number, count = 1): number {
    if (now > this.#at) {
      this.#tokens = refilled(this.#tokens, now - this.#at, this.#perMs, this.#tokensMax);
      this.#at = now;
    }
    const needed = count < this.#tokensMax ? count : this.#tokensMax;
    return msUntil(this.#tokens, needed, this.#perMs);
  }

  /** Takes so many that are there: after `waitMs` said 0. What a full one does not hold is owed. */
  take(count = 1): void {
    this.#tokens -= count;
  }

  /** What was taken comes to nothing. */
  giveBack(count = 1): void {
    this.#tokens += count;
  }
}
