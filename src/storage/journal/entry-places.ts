import { broken } from "../../base/assert.ts";
import type { LogIndex } from "../../base/ids.ts";

/** A durable batch, and which of a group's entries count in it. */
export interface EntryPlace {
  readonly first: number;
  /** Falls when an entry in a later batch replaces some of these. */
  last: number;
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  /** Of the whole batch: what stands there now is it, or is not. */
  readonly checksum: number;
}

/**
 * Where one group's durable entries stand, so that they can be read again without a look at all of the journal.
 *
 * 1. places are in the order of their indexes and of their segments, and hold every index behind `base` once
 */
export class EntryPlaces {
  #places: EntryPlace[] = [];
  #base: LogIndex;

  constructor(base: LogIndex) {
    this.#base = base;
  }

  /** Entries behind it can be read. */
  get base(): LogIndex {
    return this.#base;
  }

  /** Entries from `first` to `last` stand in this batch and replace what was there and behind. */
  add(first: number, last: number, batch: Pick<EntryPlace, "segment" | "offset" | "length" | "checksum">): void {
    // Of a log that was given up for a snapshot behind it.
    if (last <= this.#base) return;
    while (this.#places.length > 0 && this.#places.at(-1)!.first >= first) this.#places.pop();
    const before = this.#places.at(-1);
    if (before !== undefined && before.last >= first) before.last = first - 1;
    if ((before?.last ?? this.#base) < first - 1) broken(`entry ${first} leaves a hole on the disk`);
    const { segment, offset, length, checksum } = batch;
    this.#places.push({ first, last, segment, offset, length, checksum });
  }

  /** Entries up to `base` are given up, and those behind stand nowhere yet. */
  restart(base: LogIndex): void {
    this.#places = [];
    this.#base = base;
  }

  /** Segments below this number are given back. */
  dropBelow(segment: number): void {
    let dropped = 0;
    while (dropped < this.#places.length && this.#places[dropped]!.segment < segment) dropped++;
    if (dropped === 0) return;
    this.#base = Math.max(this.#base, this.#places[dropped - 1]!.last) as LogIndex;
    this.#places.splice(0, dropped);
  }

  /** Whether the entries of this place still stand there. */
  has(place: EntryPlace): boolean {
    return this.#places[this.#indexOf(place.first)] === place;
  }

  /** Whether a batch begins with this entry; of one that stands nowhere nobody can tell, and it may begin one. */
  isFirstOfBatch(index: number): boolean {
    const place = this.#places[this.#indexOf(index)];
    return place === undefined || place.first === index || place.last < index;
  }

  /** The place of `from` and those behind it in the same segment: one at least, no more than `bytesMax` from start to end. */
  run(from: number, bytesMax: number): EntryPlace[] {
    const at = this.#indexOf(from);
    const first = this.#places[at];
    if (first === undefined || from <= this.#base || from > first.last) return [];
    let end = at + 1;
    for (; end < this.#places.length; end++) {
      const { segment, offset, length } = this.#places[end]!;
      if (segment !== first.segment || offset + length - first.offset > bytesMax) break;
    }
    return this.#places.slice(at, end);
  }

  /** Where the last place that begins at or before `index` stands; -1 when there is none. */
  #indexOf(index: number): number {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#places[middle]!.first <= index) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
