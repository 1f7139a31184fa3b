/** Tokens refused in a row, each another one, after which a new one is not believed to be better. */
const refusedMax = 3;

/**
 * The token of the greeting: asked for each time, and never shown again once it was refused.
 *
 * The answer to a refusal is another token, if there is one: the caller asks for it with the next try. So a token that
 * has run out is renewed, and one that is wrong is not tried for ever.
 */
export class GreetingToken {
  readonly #source: (() => Promise<string>) | null;
  #shown: string | null = null;
  #refused: string | null = null;
  #refusals = 0;

  constructor(source: (() => Promise<string>) | null) {
    this.#source = source;
  }

  /** Whether there is anybody to ask for another one. */
  get canRenew(): boolean {
    return this.#source !== null;
  }

  /** Gives `use` the token to greet with, or null to greet without one; calls `fail` when it cannot be had. */
  ask(use: (token: string | null) => void, fail: (reason: string) => void): void {
    if (this.#source === null) {
      use(null);
      return;
    }
    this.#source().then(
      (token) => {
        this.#shown = token;
        use(token);
      },
      (error: unknown) => fail(error instanceof Error ? error.message : String(error)),
    );
  }

  /** Says whether the server has refused this one before. */
  isRefused(token: string | null): boolean {
    return token !== null && token === this.#refused;
  }

  /** The one that was shown last was refused. Answers whether asking for another one may help. */
  refused(): boolean {
    this.#refused = this.#shown;
    this.#refusals++;
    return this.#refusals < refusedMax;
  }

  /** It was accepted, or somebody says that things are different now. */
  forgive(): void {
    this.#refused = null;
    this.#refusals = 0;
  }
}
