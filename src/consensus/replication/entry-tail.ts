import type { Entry } from "../../base/entry.ts";

/**
 * The newest entries, kept at hand so that followers can be sent what they lack without a look at the disk.
 *
 * 1. entries follow each other without a hole, and the last is the log's last, or there are none
 * 2. bytes <= bytesMax and length <= entriesMax, except for one entry that is larger alone
 */
export class EntryTail {
  #entries: Entry[] = [];
  /** Where the first that counts stands in the array: what is before is let go in bulk. */
  #head = 0;
  #bytes = 0;
  #entriesMax: number;
  readonly #bytesMax: number;

  constructor(limits: { entriesMax: number; bytesMax: number }) {
    this.#entriesMax = limits.entriesMax;
    this.#bytesMax = limits.bytesMax;
  }

  /** 0 keeps nothing, for a group without followers: the bytes of its entries belong to somebody else after a step. */
  set entriesMax(count: number) {
    this.#entriesMax = count;
    this.#shrink();
  }

  append(entry: Entry): void {
    if (this.#entriesMax === 0) return;
    this.#entries.push(entry);
    this.#bytes += entry.payload.length;
    this.#shrink();
  }

  /** The entry at `index`; null when it is not at hand. */
  at(index: number): Entry | null {
    const first = this.#entries[this.#head];
    if (first === undefined || index < first.index) return null;
    return this.#entries[this.#head + index - first.index] ?? null;
  }

  /** Entries from `from` to `through`, at most `bytesMax` of payload but at least one; null when not at hand. */
  slice(from: number, through: number, bytesMax: number): Entry[] | null {
    if (this.at(from) === null) return null;
    const found: Entry[] = [];
    let bytes = 0;
    for (let index = from; index <= through; index++) {
      const entry = this.at(index);
      if (entry === null) break;
      bytes += entry.payload.length;
      if (found.length > 0 && bytes > bytesMax) break;
      found.push(entry);
    }
    return found;
  }

  truncated(from: number): void {
    while (this.#entries.length > this.#head && this.#entries.at(-1)!.index >= from) {
      this.#bytes -= this.#entries.pop()!.payload.length;
    }
    if (this.#entries.length === this.#head) this.clear();
  }

  /** Entries up to `through` are not asked for any more. */
  released(through: number): void {
    while (this.#head < this.#entries.length && this.#entries[this.#head]!.index <= through) this.#dropFirst();
    this.#compact();
  }

  clear(): void {
    this.#entries = [];
    this.#head = 0;
    this.#bytes = 0;
  }

  #shrink(): void {
    while (
      this.#entries.length - this.#head > this.#entriesMax ||
      (this.#bytes > this.#bytesMax && this.#entries.length - this.#head > 1)
    ) {
      this.#dropFirst();
    }
    this.#compact();
  }

  #dropFirst(): void {
    this.#bytes -= this.#entries[this.#head]!.payload.length;
    this.#head++;
  }

  #compact(): void {
    if (this.#head < 64 || this.#head * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }
}
