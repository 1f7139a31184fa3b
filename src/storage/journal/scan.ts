import { getU32, getU48 } from "../../base/byte-order.ts";
import { batchChecksumAt, batchHeaderAt, batchKinds, batchMagic, sameGeneration, sectorBytes } from "./layout.ts";

/** A batch that is whole and in its place. */
export interface BatchPlace {
  readonly offset: number;
  readonly length: number;
  readonly number: number;
  readonly kind: number;
  readonly recordBytes: number;
  readonly checksum: number;
}

/** Bytes that were a settled batch, or several, and are not any more: something later was written after them. */
export interface Gap {
  readonly offset: number;
  readonly length: number;
  /** How many batches are missing, as far as the numbers tell. */
  readonly batchCount: number | null;
}

export interface SegmentScan {
  /** Batches and gaps in the order in which they stand. */
  readonly parts: readonly ({ batch: BatchPlace } | { gap: Gap })[];
  /** Behind the last valid batch. Nothing may be appended there unless that batch is a mark of a clean stop. */
  readonly end: number;
  /** Traces of a batch at `end` that did not get whole. Without traces there may have been one all the same. */
  readonly torn: { offset: number; length: number } | null;
  readonly lastNumber: number | null;
  readonly lastChecksum: number | null;
}

/**
 * Reads the image of one segment: which batches are whole, and what the invalid places mean.
 *
 * One write is in flight at a time, so any trace of a later batch proves that the one before it had settled: what is
 * invalid and has a later batch behind it is a gap, that is damage. What is invalid with nothing behind it is at most
 * the one batch that was in flight, and was never reported. `previous` is the batch before the first of this segment, or
 * null when it is not known.
 */
export function scanSegment(
  image: Uint8Array,
  segment: { generation: Uint8Array; previous: { number: number; checksum: number } | null },
): SegmentScan {
  const { generation } = segment;
  const parts: ({ batch: BatchPlace } | { gap: Gap })[] = [];
  let previous = segment.previous;
  let at = sectorBytes;
  for (;;) {
    const batch = batchAt(image, at, generation, previous);
    if (batch !== null) {
      parts.push({ batch });
      previous = { number: batch.number, checksum: batch.checksum };
      at += batch.length;
      if (batch.kind === batchKinds.roll) break;
      continue;
    }
    const later = laterBatchAt(image, at, generation, previous?.number ?? 0);
    if (later === null) break;
    const batchCount = previous === null ? null : later.number - previous.number - 1;
    parts.push({ gap: { offset: at, length: later.offset - at, batchCount } });
    // The batch in between is lost, and with it the checksum that the later one carries on.
    previous = null;
    at = later.offset;
    // A later batch that is itself not whole may be the one in flight; then nothing follows it.
    if (batchAt(image, at, generation, null) !== null) continue;
    const evenLater = laterBatchAt(image, at, generation, later.number);
    if (evenLater === null) break;
  }
  const last = previous ?? lastOf(parts);
  return {
    parts,
    end: at,
    torn: tracesAt(image, at, generation, last === null ? null : last.number + 1),
    lastNumber: last === null ? null : last.number,
    lastChecksum: last === null ? null : last.checksum,
  };
}

function lastOf(parts: readonly ({ batch: BatchPlace } | { gap: Gap })[]): { number: number; checksum: number } | null {
  for (let at = parts.length - 1; at >= 0; at--) {
    const part = parts[at]!;
    if ("batch" in part) return part.batch;
  }
  return null;
}

/** The batch at `at`, if it is whole and the very next one. */
function batchAt(
  image: Uint8Array,
  at: number,
  generation: Uint8Array,
  previous: { number: number; checksum: number } | null,
): BatchPlace | null {
  const header = batchHeaderAt(image, at, generation);
  if (header === null) return null;
  if (previous !== null) {
    if (header.number !== previous.number + 1 || header.previousChecksum !== previous.checksum) return null;
  }
  const checksum = batchChecksumAt(image, at, header);
  if (checksum === null) return null;
  const { length, number, kind, recordBytes } = header;
  return { offset: at, length, number, kind, recordBytes, checksum };
}

/**
 * The next place behind `at` with the header of a batch later than the one expected there. The header is enough: it
 * could only be written after the batch at `at` had settled.
 */
function laterBatchAt(
  image: Uint8Array,
  at: number,
  generation: Uint8Array,
  lastNumber: number,
): { offset: number; number: number } | null {
  for (let offset = at + sectorBytes; offset + sectorBytes <= image.length; offset += sectorBytes) {
    const header = batchHeaderAt(image, offset, generation);
    if (header !== null && header.number > lastNumber + 1) return { offset, number: header.number };
  }
  return null;
}

function tracesAt(
  image: Uint8Array,
  at: number,
  generation: Uint8Array,
  number: number | null,
): { offset: number; length: number } | null {
  if (at + sectorBytes > image.length) return null;
  const ours = sameGeneration(image, at, generation);
  if (!ours && !(getU32(image, at) === batchMagic && getU48(image, at + 8) === number)) return null;
  const length = batchHeaderAt(image, at, generation)?.length ?? sectorBytes;
  return { offset: at, length: Math.min(length, image.length - at) };
}
