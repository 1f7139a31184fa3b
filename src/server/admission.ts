import { Fault } from "../base/error-codes.ts";
import type { Limits } from "../base/limits.ts";
import type { Millis } from "../base/units.ts";
import { AddressRates } from "./address-rates.ts";

/**
 * Who is let in at all: how many connections there are, how many of them have not greeted, from where, and how fast
 * they and refused logins come.
 *
 * 1. what is refused is counted and costs nothing else
 * 2. sum of #greetingByAddress = #greeting <= greetingConnectionsMax
 */
export class Admission {
  readonly #limits: Limits;
  readonly #connectionRates: AddressRates;
  readonly #loginFailures: AddressRates;
  readonly #greetingByAddress = new Map<string, number>();
  #greeting = 0;
  /** Connections and logins refused, for status and metrics. */
  rejected = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#connectionRates = new AddressRates(limits.connectionsPerSecondPerAddressMax);
    this.#loginFailures = new AddressRates(limits.loginFailuresPerSecondPerAddressMax);
  }

  /** Counts a new connection as one that greets, or answers the Fault with which it is refused. */
  admit(connection: {
    readonly address: string;
    readonly connections: number;
    readonly isStopping: boolean;
    readonly now: Millis;
  }): Fault | null {
    const { address, connections, isStopping, now } = connection;
    const { connectionsMax, greetingConnectionsMax, greetingConnectionsPerAddressMax } = this.#limits;
    const fromHere = this.#greetingByAddress.get(address) ?? 0;
    const isTooMany =
      connections >= connectionsMax ||
      this.#greeting >= greetingConnectionsMax ||
      fromHere >= greetingConnectionsPerAddressMax;
    if (isStopping || isTooMany) {
      this.rejected++;
      return isStopping
        ? new Fault("unavailable", "this server is stopping", { retryAfterMs: 1_000 })
        : new Fault("overloaded", "too many connections", { retryAfterMs: 1_000 });
    }
    const waitMs = this.#connectionRates.take(address, now);
    if (waitMs > 0) {
      this.rejected++;
      return new Fault("rate_limited", "connections come too fast from this address", { retryAfterMs: waitMs });
    }
    this.#greeting++;
    this.#greetingByAddress.set(address, fromHere + 1);
    return null;
  }

  /** A connection that was let in has greeted, or ended before it did. */
  greeted(address: string): void {
    this.#greeting--;
    const left = (this.#greetingByAddress.get(address) ?? 1) - 1;
    if (left <= 0) this.#greetingByAddress.delete(address);
    else this.#greetingByAddress.set(address, left);
  }

  /** Asks who somebody is, unless too many who came from there were refused of late: then nothing is looked at. */
  async identify<T>(address: string, now: () => Millis, authenticate: () => Promise<T>): Promise<T> {
    const waitMs = this.#loginFailures.waitMs(address, now());
    if (waitMs > 0) {
      this.rejected++;
      throw new Fault("rate_limited", "too many refused logins from this address", { retryAfterMs: waitMs });
    }
    try {
      return await authenticate();
    } catch (cause) {
      if (cause instanceof Fault && cause.code === "unauthorized") this.#loginFailures.take(address, now());
      throw cause;
    }
  }
}
