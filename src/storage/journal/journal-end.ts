import type { Disk } from "../disk.ts";
import { batchHeaderBytes, batchKinds, batchLength, sealBatch, sectorBytes } from "./layout.ts";
import { encodeRoll } from "./records.ts";
import { type Segment, type SegmentPool, segmentFile } from "./segments.ts";

/** Where a journal ends. */
export interface JournalPlace {
  readonly segment: Segment;
  /** Where the next batch goes in it. */
  readonly offset: number;
  /** Number and checksum of the last batch. */
  readonly lastNumber: number;
  readonly lastChecksum: number;
}

/**
 * The end of the journal on the disk: one batch is written behind the other, and names the one before it. One at a time:
 * whoever writes waits until that has settled.
 *
 * 1. behind each batch there is space for the roll that names the next segment
 */
export class JournalEnd {
  readonly #disk: Disk;
  readonly #pool: SegmentPool;
  #segment: Segment;
  #offset: number;
  #lastNumber: number;
  #lastChecksum: number;
  /** A batch of one sector: a roll, or a mark. */
  readonly #small = new Uint8Array(sectorBytes);
  // Counts since the start.
  batches = 0;
  bytesWritten = 0;
  rolls = 0;

  constructor({ disk, pool }: { disk: Disk; pool: SegmentPool }, place: JournalPlace) {
    this.#disk = disk;
    this.#pool = pool;
    this.#segment = place.segment;
    this.#offset = place.offset;
    this.#lastNumber = place.lastNumber;
    this.#lastChecksum = place.lastChecksum;
    pool.prepareSoon(this.#segment.number + 1);
  }

  /** Number of the segment that is written. */
  get segment(): number {
    return this.#segment.number;
  }

  /** Where the next batch goes in it. */
  get offset(): number {
    return this.#offset;
  }

  /** Of the last batch. */
  get checksum(): number {
    return this.#lastChecksum;
  }

  /** Whether a batch fits with a roll after it. */
  fits(length: number): boolean {
    return this.#offset + length + sectorBytes <= this.#segment.segmentBytes;
  }

  /**
   * Goes on to the next segment. Its header is synced already; the roll that names it is synced before it gets its name,
   * and the name before its first batch. So a crash in between leaves a next segment that is empty for certain, and a
   * segment with a live name was named by a roll for certain.
   */
  async roll(): Promise<Segment> {
    const next = await this.#pool.take(this.#segment.number + 1, { flags: 0, wait: true });
    const record = encodeRoll(next.number, next.generation);
    this.#small.set(record, batchHeaderBytes);
    await this.write(this.#small, { start: 0, kind: batchKinds.roll, recordBytes: record.length, recordCount: 1 });
    const live = segmentFile(next.number, "wal");
    await this.#disk.rename(next.file, live);
    next.file = live;
    this.#segment = next;
    this.#offset = sectorBytes;
    this.rolls++;
    this.#pool.prepareSoon(next.number + 1);
    return next;
  }

  /** Writes a batch without records. */
  writeMark(kind: number): Promise<void> {
    return this.write(this.#small, { start: 0, kind, recordBytes: 0, recordCount: 0 });
  }

  /**
   * Seals the batch that stands at `start`, with room for its header before its records, and writes it. Settles when it is
   * durable; a rejection is final: nobody may write behind it.
   */
  async write(
    bytes: Uint8Array,
    batch: { start: number; kind: number; recordBytes: number; recordCount: number },
  ): Promise<void> {
    const length = batchLength(batch.recordBytes);
    const checksum = sealBatch(bytes, batch.start, {
      ...batch,
      number: this.#lastNumber + 1,
      generation: this.#segment.generation,
      previousChecksum: this.#lastChecksum,
    });
    const whole = bytes.subarray(batch.start, batch.start + length);
    await this.#disk.writeDurable(this.#segment.file, this.#offset, whole);
    this.#offset += length;
    this.#lastNumber++;
    this.#lastChecksum = checksum;
    this.batches++;
    this.bytesWritten += length;
  }
}
