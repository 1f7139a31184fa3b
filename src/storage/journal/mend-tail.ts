import type { Disk, FileName } from "../disk.ts";
import type { JournalPlace } from "./journal-end.ts";
import { sectorBytes } from "./layout.ts";
import { type Segment, type SegmentPool, segmentFile } from "./segments.ts";

/** How a sound journal ends, as its files stand. */
export interface FoundEnd extends JournalPlace {
  /** The last segment that may have a write behind its end, or an end that is in the page cache only. */
  readonly segment: Segment;
  /** No roll names it, so that its name must never be missing. */
  readonly isFirst: boolean;
  /** What its last batch names, if that has not been begun. */
  readonly next: Segment | null;
  /** Live segments that have not got their live names yet, in order; `segment` may be one of them. */
  readonly unnamed: readonly Segment[];
}

/** Bytes written at once. */
const pieceBytes = 1024 * 1024;

/**
 * Makes the end of the journal durable where there is no space to copy all that is alive: only the last segment is written
 * again, to one spare, which the old one then becomes; so it takes no space, and can be done any number of times.
 *
 * Only the end needs it. A batch is written when the one before it has settled, so after a kill at most the last one is in
 * the page cache alone. The copy is the same segment, byte for byte up to its last whole batch, then zeros: nothing is
 * left of a write that was cut, and what is appended stands behind zeros that are durable.
 *
 * Can be interrupted anywhere and repeated: as long as the old one has its live name the copy is a spare; in between the
 * roll before it names the copy, which is whole by then.
 */
export async function mendTail(options: { disk: Disk; pool: SegmentPool; end: FoundEnd }): Promise<JournalPlace> {
  const { disk, pool, end } = options;
  for (const segment of end.unnamed) await giveLiveName(disk, segment);
  const { segment, offset, lastNumber, lastChecksum, isFirst, next } = end;
  const blank = await pool.takeBlank(segment.number);
  await writeAnew(disk, { from: segment, through: offset, to: blank });
  if (!isFirst) await pool.retire(segment.file);
  await disk.rename(blank, segment.file);
  if (next === null) return { segment, offset, lastNumber, lastChecksum };
  await giveLiveName(disk, next);
  return { segment: next, offset: sectorBytes, lastNumber, lastChecksum };
}

async function giveLiveName(disk: Disk, segment: Segment): Promise<void> {
  const live = segmentFile(segment.number, "wal");
  await disk.rename(segment.file, live);
  segment.file = live;
}

async function writeAnew(
  disk: Disk,
  { from, through, to }: { from: Segment; through: number; to: FileName },
): Promise<void> {
  for (let at = 0; at < from.segmentBytes; at += pieceBytes) {
    const piece = new Uint8Array(Math.min(pieceBytes, from.segmentBytes - at));
    if (at < through) piece.set(await disk.read(from.file, at, Math.min(piece.length, through - at)));
    await disk.writeDurable(to, at, piece);
  }
}
