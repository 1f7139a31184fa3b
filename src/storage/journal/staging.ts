import { assert } from "../../base/assert.ts";
import type { GroupId, LogIndex, Mark } from "../../base/ids.ts";
import type { Millis } from "../../base/units.ts";
import { raise } from "./journal-group.ts";
import { batchHeaderBytes, batchLength } from "./layout.ts";

/** A batch under construction, or ready to be written. */
export interface StagedBatch {
  /** Where it starts in the buffer, header included. */
  readonly start: number;
  recordBytes: number;
  recordCount: number;
  /** The highest mark among its records. */
  mark: Mark;
  /** The highest index of each group's entries and bases in it. */
  readonly entries: Map<GroupId, LogIndex>;
  /** Which entries of each group count in it; `last` is below `first` when none does. */
  readonly ranges: Map<GroupId, { first: number; last: number }>;
  /** Groups whose vote is in it. */
  readonly votes: Set<GroupId>;
}

/** What a buffer may keep allocated between bursts. */
const keptBytesMax = 8 * 1024 * 1024;

/**
 * A growing buffer of batches under construction. Records are copied in once, and written from here. Nothing but the
 * buffer holds them: one is filled while the other is written.
 */
export class Staging {
  bytes = new Uint8Array(64 * 1024);
  readonly batches: StagedBatch[] = [];
  /** Bytes of records that wait. */
  recordBytes = 0;
  /** When the oldest record that waits was staged, as the owner says. */
  since = 0 as Millis;
  readonly #recordBytesMax: number;
  #end = 0;
  #isClosed = false;

  /** A batch takes no further record once it holds `recordBytesMax` bytes; a larger record gets a batch of its own. */
  constructor(recordBytesMax: number) {
    this.#recordBytesMax = recordBytesMax;
  }

  get empty(): boolean {
    return this.batches.length === 0;
  }

  /** Room for one record of `length` bytes. Gives its place in `bytes`; the record must be filled in at once. */
  reserve(length: number, mark: Mark): number {
    let batch = this.batches.at(-1);
    if (batch === undefined || this.#isClosed || batch.recordBytes + length > this.#recordBytesMax) {
      this.#isClosed = false;
      batch = {
        start: this.#end,
        recordBytes: 0,
        recordCount: 0,
        mark,
        entries: new Map<GroupId, LogIndex>(),
        ranges: new Map<GroupId, { first: number; last: number }>(),
        votes: new Set<GroupId>(),
      };
      this.batches.push(batch);
    }
    const at = batch.start + batchHeaderBytes + batch.recordBytes;
    batch.recordBytes += length;
    batch.recordCount++;
    batch.mark = mark;
    this.recordBytes += length;
    this.#end = batch.start + batchLength(batch.recordBytes);
    if (this.#end > this.bytes.length) this.#grow(this.#end);
    return at;
  }

  /** The next record begins a batch. */
  closeBatch(): void {
    this.#isClosed = true;
  }

  /** Bytes of the buffer that are in use. */
  get usedBytes(): number {
    return this.#end;
  }

  /** The batch that took the last record. */
  get open(): StagedBatch {
    const batch = this.batches.at(-1);
    assert(batch !== undefined, "no batch is open");
    return batch;
  }

  /** The last record was this entry; it replaces what was at its index and behind. */
  entryStaged(group: GroupId, index: LogIndex): void {
    const { entries, ranges } = this.open;
    raise(entries, group, index);
    const range = ranges.get(group);
    if (range === undefined) {
      ranges.set(group, { first: index, last: index });
      return;
    }
    if (index < range.first) range.first = index;
    range.last = index;
  }

  /** The last record was the group's base: its chain at this index. */
  baseStaged(group: GroupId, index: LogIndex): void {
    raise(this.open.entries, group, index);
  }

  /** The last record says that the group's log goes on behind `index`, whatever stands before it. */
  restartStaged(group: GroupId, index: LogIndex): void {
    this.open.ranges.set(group, { first: index + 1, last: index });
  }

  /** The oldest batch; it has been written. */
  shift(): void {
    const batch = this.batches.shift();
    assert(batch !== undefined, "no batch was staged");
    this.recordBytes -= batch.recordBytes;
    if (this.batches.length > 0) return;
    this.#end = 0;
    if (this.bytes.length > keptBytesMax) this.bytes = new Uint8Array(64 * 1024);
  }

  #grow(needed: number): void {
    const larger = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes);
    this.bytes = larger;
  }
}
