/** So many of something a second, and `tokensMax` at once. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #tokensMax: number;
  #tokens: number;
  /** When it was last filled up, in monotonic milliseconds. */
  #at: number;

  /** A full one. */
  constructor(perSecond: number, tokensMax: number, now: number) {
    this.#perSecond = perSecond;
    this.#tokensMax = tokensMax;
    this.#tokens = tokensMax;
    this.#at = now;
  }

  /** When it was last asked. */
  get at(): number {
    return this.#at;
  }

  /** In how many milliseconds there is one to take; 0 = now. */
  waitMs(now: number): number {
    const seconds = Math.max(0, now - this.#at) / 1_000;
    this.#at = Math.max(this.#at, now);
    this.#tokens = Math.min(this.#tokensMax, this.#tokens + seconds * this.#perSecond);
    return this.#tokens >= 1 ? 0 : Math.ceil(((1 - this.#tokens) / this.#perSecond) * 1_000);
  }

  /** Takes one that is there: after `waitMs` said 0. */
  take(): void {
    this.#tokens -= 1;
  }

  /** What was taken comes to nothing. */
  giveBack(): void {
    this.#tokens += 1;
  }
}
