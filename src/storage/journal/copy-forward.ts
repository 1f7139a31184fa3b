import { assert } from "../../base/assert.ts";
import type { GroupId, LogIndex, Mark } from "../../base/ids.ts";
import type { Disk } from "../disk.ts";
import { ChainLog } from "./chain-log.ts";
import { EntryPlaces } from "./entry-places.ts";
import type { JournalSettings } from "./journal.ts";
import type { JournalStart } from "./journal-writer.ts";
import type { LiveSegment } from "./live-segments.ts";
import { batchHeaderBytes, batchKinds, batchLength, sealBatch, sectorBytes } from "./layout.ts";
import { chainOfEntryAt, encodeBase, encodeRoll, encodeVote, entryOverheadBytes, putEntry } from "./records.ts";
import type { ReplayedGroup } from "./replay.ts";
import { segmentFile } from "./segments.ts";
import type { Segment, SegmentPool } from "./segments.ts";
import { Staging } from "./staging.ts";

export interface CopiedForward extends Omit<JournalStart, "groups"> {
  readonly chains: ReadonlyMap<GroupId, ChainLog>;
  readonly places: ReadonlyMap<GroupId, EntryPlaces>;
  /** Segments that hold each group's vote, and its newest entry or base: the copy may be longer than one segment. */
  readonly voteSegments: ReadonlyMap<GroupId, number>;
  readonly chainSegments: ReadonlyMap<GroupId, number>;
}

/** About so many bytes are written at once. */
const pieceBytes = 1024 * 1024;

/**
 * Writes everything alive to fresh segments from `number` on, and makes them the journal. They are written under names
 * that mean nothing, the first one with the base flag; a mark certifies the last batch; then the first gets its live
 * name. That one rename is the moment at which the copy counts and everything older does not; the others are named by
 * the rolls in it. Entries are in batches as they were.
 */
export async function copyForward(options: {
  disk: Disk;
  pool: SegmentPool;
  settings: JournalSettings;
  groups: ReadonlyMap<GroupId, ReplayedGroup>;
  number: number;
  flags: number;
  lastNumber: number;
}): Promise<CopiedForward> {
  const { disk, pool, settings, groups } = options;
  const written: Segment[] = [await pool.take(options.number, { flags: options.flags, wait: false })];
  const live: LiveSegment[] = [];
  const chains = new Map<GroupId, ChainLog>();
  const places = new Map<GroupId, EntryPlaces>();
  const voteSegments = new Map<GroupId, number>();
  const chainSegments = new Map<GroupId, number>();
  const staging = new Staging(settings.batchBytesMax);
  const small = new Uint8Array(sectorBytes);
  let offset = sectorBytes;
  let lastNumber = options.lastNumber;
  let lastChecksum = 0;
  addLive();

  function addLive(): void {
    const { number, segmentBytes } = written.at(-1)!;
    live.push({ number, bytes: segmentBytes, highest: new Map<GroupId, LogIndex>() });
  }

  /** Finishes a batch, which stands at `offset` from here on. */
  function certify(
    bytes: Uint8Array,
    batch: { start: number; kind: number; recordBytes: number; recordCount: number },
  ): void {
    const { generation } = written.at(-1)!;
    lastChecksum = sealBatch(bytes, batch.start, {
      ...batch,
      number: lastNumber + 1,
      generation,
      previousChecksum: lastChecksum,
    });
    offset += batchLength(batch.recordBytes);
    lastNumber++;
  }

  async function writeSmall(batch: { kind: number; recordBytes: number; recordCount: number }): Promise<void> {
    const at = offset;
    certify(small, { ...batch, start: 0 });
    await disk.writeDurable(written.at(-1)!.file, at, small);
  }

  const isRoom = (length: number): boolean => offset + length + sectorBytes <= settings.segmentBytes;

  async function roll(): Promise<void> {
    const next = await pool.take(written.at(-1)!.number + 1, { flags: 0, wait: false });
    const record = encodeRoll(next.number, next.generation);
    small.set(record, batchHeaderBytes);
    await writeSmall({ kind: batchKinds.roll, recordBytes: record.length, recordCount: 1 });
    written.push(next);
    offset = sectorBytes;
    addLive();
  }

  /** Writes what is staged: batches that stand together at once, for none of them counts before all do. */
  async function drain(): Promise<void> {
    let run = { start: 0, end: 0, offset };
    const writeRun = async (): Promise<void> => {
      if (run.end === run.start) return;
      await disk.writeDurable(written.at(-1)!.file, run.offset, staging.bytes.subarray(run.start, run.end));
    };
    for (const { start, recordBytes, recordCount, entries, ranges, votes } of staging.batches) {
      const length = batchLength(recordBytes);
      if (!isRoom(length)) {
        await writeRun();
        await roll();
        run = { start, end: start, offset };
      }
      const { highest, number } = live.at(-1)!;
      for (const [group, index] of entries) highest.set(group, index);
      for (const group of entries.keys()) chainSegments.set(group, number);
      for (const group of votes) voteSegments.set(group, number);
      const batch = { segment: number, offset, length };
      certify(staging.bytes, { start, kind: batchKinds.records, recordBytes, recordCount });
      for (const [group, { first, last }] of ranges) {
        places.get(group)!.add(first, last, { ...batch, checksum: lastChecksum });
      }
      run.end = start + length;
    }
    await writeRun();
    while (!staging.empty) staging.shift();
  }

  function stage(record: Uint8Array): void {
    const at = staging.reserve(record.length, 0 as Mark);
    staging.bytes.set(record, at);
  }

  for (const [id, group] of groups) {
    if (group.vote !== null) {
      stage(encodeVote(id, group.vote));
      staging.open.votes.add(id);
    }
    const before = (group.entries[0]?.index ?? group.last + 1) - 1;
    const chain = new ChainLog(before, group.chainBefore);
    chains.set(id, chain);
    places.set(id, new EntryPlaces(before as LogIndex));
    if (before > 0) {
      stage(encodeBase(id, before as LogIndex, chain.at(before)));
      staging.open.entries.set(id, before as LogIndex);
    }
    for (const [place, entry] of group.entries.entries()) {
      assert(entry.index === chain.last + 1, `the recovered log of group ${id} has a hole before ${entry.index}`);
      // What stood together stands together: one bad bit costs no more than it would have cost before.
      if (entry.payload.length > 0 && group.places.isFirstOfBatch(entry.index)) {
        staging.closeBatch();
        if (staging.usedBytes >= pieceBytes) await drain();
      }
      const at = staging.reserve(entryOverheadBytes + entry.payload.length, 0 as Mark);
      putEntry(staging.bytes, at, entry, chain.at(entry.index - 1), group.chains[place] ?? null);
      chain.push(entry.index, chainOfEntryAt(staging.bytes, at));
      staging.entryStaged(id, entry.index);
    }
  }
  await drain();
  if (!isRoom(sectorBytes)) await roll();
  await writeSmall({ kind: batchKinds.mark, recordBytes: 0, recordCount: 0 });
  for (const segment of written) {
    const file = segmentFile(segment.number, "wal");
    await disk.rename(segment.file, file);
    segment.file = file;
  }
  const segment = written.at(-1)!;
  return { segment, offset, lastNumber, lastChecksum, live, chains, places, voteSegments, chainSegments };
}
