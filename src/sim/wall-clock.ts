import type { Timestamp } from "../base/units.ts";
import { timestamp } from "../base/units.ts";

/** 2026-11-23T08:00:00Z, where a simulated world's wall clocks stand at its start unless told otherwise. */
export const worldStart = timestamp(Date.UTC(2026, 10, 23, 8));
const dayMs = 86_400_000;

/**
 * The wall clock of one simulated host: a function of virtual time and of what was done to it. It may drift, jump,
 * stand still and swing; it never influences virtual time. Readings are whole milliseconds, never below 0.
 */
export class WallClock {
  readonly #virtualMs: () => number;
  /** What the clock showed at `#setAtMs`, before swinging. */
  #base: number;
  #setAtMs: number;
  #driftPerMillion = 0;
  #frozen = false;
  #swing: { readonly byMs: number; readonly periodMs: number } | null = null;

  constructor(virtualMs: () => number, start: Timestamp) {
    this.#virtualMs = virtualMs;
    this.#base = start;
    this.#setAtMs = virtualMs();
  }

  read(): Timestamp {
    let shown = this.#straight();
    if (this.#swing !== null) {
      const half = Math.floor((this.#virtualMs() / this.#swing.periodMs) * 2);
      if (half % 2 === 1) shown += this.#swing.byMs;
    }
    return timestamp(Math.max(0, Math.floor(shown)));
  }

  /** Moves the clock by `byMs`, either way. */
  jump(byMs: number): void {
    this.#rebase();
    this.#base = Math.max(0, this.#base + byMs);
  }

  /** Moves the clock to `beforeMs` before the next midnight UTC; negative: after it. */
  jumpToMidnight(beforeMs: number): void {
    this.#rebase();
    this.#base = (Math.floor(this.#base / dayMs) + 1) * dayMs - beforeMs;
  }

  /** From now on gains (or loses) so many microseconds a second. */
  drift(perMillion: number): void {
    this.#rebase();
    this.#driftPerMillion = perMillion;
  }

  freeze(): void {
    this.#rebase();
    this.#frozen = true;
  }

  /** Shows `byMs` more in the second half of every period: the strobe of the field's test tools. */
  strobe(swing: { readonly byMs: number; readonly periodMs: number }): void {
    this.#swing = swing;
  }

  /** Runs evenly again from what it shows; with `reset` from what an undisturbed clock would show. */
  heal(reset: Timestamp | null = null): void {
    this.#rebase();
    this.#frozen = false;
    this.#swing = null;
    this.#driftPerMillion = 0;
    if (reset !== null) this.#base = reset;
  }

  #straight(): number {
    if (this.#frozen) return this.#base;
    return this.#base + (this.#virtualMs() - this.#setAtMs) * (1 + this.#driftPerMillion / 1_000_000);
  }

  #rebase(): void {
    this.#base = this.#straight();
    this.#setAtMs = this.#virtualMs();
  }
}
