import { type LogIndex, logIndex } from "../../base/ids.ts";
import type { DamagedRange } from "../events.ts";

/**
 * Which entries of a log can't be read. They keep their place: they may have been acknowledged, so nobody may act as if
 * they were not there (Protocol-Aware Recovery, FAST'18).
 *
 * 1. ranges are in order and do not touch
 */
export class Damage {
  #ranges: { first: number; last: number }[];

  constructor(ranges: readonly DamagedRange[]) {
    this.#ranges = ranges.map(({ first, last }) => ({ first, last }));
  }

  /** The first damaged entry; Infinity when all are sound. */
  get first(): number {
    return this.#ranges[0]?.first ?? Infinity;
  }

  /** The first range; null when all are sound. */
  get firstRange(): DamagedRange | null {
    const range = this.#ranges[0];
    return range === undefined ? null : { first: logIndex(range.first), last: logIndex(range.last) };
  }

  holds(index: number): boolean {
    for (const { first, last } of this.#ranges) if (index >= first && index <= last) return true;
    return false;
  }

  /** The last entry of the damaged range that holds `index`. */
  endOf(index: number): LogIndex {
    return logIndex(this.#ranges.find(({ first, last }) => index >= first && index <= last)?.last ?? index);
  }

  repaired(index: LogIndex): void {
    this.#ranges = this.#ranges.flatMap(({ first, last }) => {
      if (index < first || index > last) return [{ first, last }];
      const parts: { first: number; last: number }[] = [];
      if (index > first) parts.push({ first, last: index - 1 });
      if (index < last) parts.push({ first: index + 1, last });
      return parts;
    });
  }

  /** What is in a snapshot is not missed. */
  released(through: LogIndex): void {
    this.#ranges = this.#ranges
      .filter(({ last }) => last > through)
      .map(({ first, last }) => ({ first: Math.max(first, through + 1), last }));
  }

  truncated(from: LogIndex): void {
    this.#ranges = this.#ranges
      .filter(({ first }) => first < from)
      .map(({ first, last }) => ({ first, last: Math.min(last, from - 1) }));
  }
}
