import { assert } from "../../base/assert.ts";
import { type LogIndex, logIndex } from "../../base/ids.ts";

/**
 * How far the log is durable. A write is remembered with what it made the end of the log; when an end is truncated while
 * its write is on its way, that write's flush must not count for what was put in its place (append-ABA).
 *
 * 1. all entries of the present log up to `durable` would survive power loss
 * 2. tickets on their way increase
 */
export class FlushLine {
  readonly #tickets: number[] = [];
  readonly #ends: LogIndex[] = [];
  #durable: LogIndex;

  constructor(durable: LogIndex) {
    this.#durable = durable;
  }

  get durable(): LogIndex {
    return this.#durable;
  }

  /** A write with this ticket makes `end` the end of the log. */
  wrote(ticket: number, end: LogIndex): void {
    assert(ticket > (this.#tickets.at(-1) ?? 0), "tickets go back");
    this.#tickets.push(ticket);
    this.#ends.push(end);
  }

  truncated(from: LogIndex): void {
    const end = logIndex(from - 1);
    for (let at = 0; at < this.#ends.length; at++) if (this.#ends[at]! > end) this.#ends[at] = end;
    if (this.#durable > end) this.#durable = end;
  }

  flushed(ticket: number): void {
    let count = 0;
    while (count < this.#tickets.length && this.#tickets[count]! <= ticket) {
      const end = this.#ends[count]!;
      if (end > this.#durable) this.#durable = end;
      count++;
    }
    if (count === this.#tickets.length) {
      this.#tickets.length = 0;
      this.#ends.length = 0;
    } else if (count > 0) {
      this.#tickets.splice(0, count);
      this.#ends.splice(0, count);
    }
  }

  /** The log is a snapshot's from here on; nothing on its way counts any more but by `wrote`. */
  restored(durable: LogIndex): void {
    this.#tickets.length = 0;
    this.#ends.length = 0;
    this.#durable = durable;
  }
}
