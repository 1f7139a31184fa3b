import { equalBytes } from "../../base/compare-bytes.ts";
import type { Entry } from "../../base/entry.ts";
import type { GroupId } from "../../base/ids.ts";
import type { Damage } from "../damage.ts";
import type { Disk } from "../disk.ts";
import type { ChainLog } from "./chain-log.ts";
import type { EntryPlace, EntryPlaces } from "./entry-places.ts";
import { batchHeaderBytes, batchRecordBytes } from "./layout.ts";
import { decodeRecords } from "./records.ts";
import { segmentFile } from "./segments.ts";
import type { Staging } from "./staging.ts";

/** An entry that should be readable stands there no more as it was written. */
export class JournalDamaged extends Error {
  override readonly name = "JournalDamaged";
  readonly damage: Damage;

  constructor(damage: Damage) {
    super(`${damage.file} bytes ${damage.offset}…${damage.offset + damage.length}: ${damage.what}`);
    this.damage = damage;
  }
}

/** One group's log, as its journal keeps it. All of it may change while the disk is being read. */
export interface ReadableLog {
  readonly group: GroupId;
  readonly disk: Disk;
  readonly places: EntryPlaces;
  readonly chains: ChainLog;
  /** Batches that are not durable yet, the newest first. */
  staged(): readonly Staging[];
}

/** An entry and its chain, as it was read. */
interface Read {
  readonly entry: Entry;
  readonly chain: Uint8Array;
}

/**
 * Entries from `first` to `last`, at most `bytesMax` of payload but at least one, as the log has them at the end of the
 * reading: each is proven by its chain. Null when `first` is not in the log, or not any more. Rejects with
 * `JournalDamaged` when it is, and can't be read.
 */
export async function readEntries(
  log: ReadableLog,
  { first, last, bytesMax }: { first: number; last: number; bytesMax: number },
): Promise<readonly Entry[] | null> {
  const found: Read[] = [];
  let bytes = 0;
  for (;;) {
    const next = first + found.length;
    if (next > Math.min(last, log.chains.last) || next <= log.places.base) break;
    let more = fromStaging(log, next);
    if (more === null) {
      const run = log.places.run(next, bytesMax - bytes + overheadBytes);
      // The disk has failed, and what was to be written never will be.
      if (run.length === 0) break;
      more = await fromDisk(log, next, run);
    }
    if (more === null) continue;
    let isFull = false;
    for (const read of more) {
      bytes += read.entry.payload.length;
      isFull = read.entry.index > last || (found.length > 0 && bytes > bytesMax);
      if (isFull) break;
      found.push(read);
    }
    if (isFull) break;
  }
  // What was read first may have been replaced while what follows it was read.
  const stale = found.findIndex((read) => !isProven(log, read));
  if (stale >= 0) found.length = stale;
  return found.length === 0 ? null : found.map(({ entry }) => entry);
}

/** What stands around the payloads in what is read from the disk at once. */
const overheadBytes = 16 * 1024;

function fromStaging(log: ReadableLog, index: number): Read[] | null {
  for (const staging of log.staged()) {
    for (let at = staging.batches.length - 1; at >= 0; at--) {
      const { start, recordBytes, ranges } = staging.batches[at]!;
      const range = ranges.get(log.group);
      if (range === undefined || index < range.first || index > range.last) continue;
      return readsIn(log.group, staging.bytes, start + batchHeaderBytes, recordBytes, {
        first: index,
        last: range.last,
      });
    }
  }
  return null;
}

/** Entries from `index` on; null when the log has changed meanwhile, and whoever asks should look again. */
async function fromDisk(log: ReadableLog, index: number, run: readonly EntryPlace[]): Promise<Read[] | null> {
  const begin = run[0]!;
  const end = run.at(-1)!;
  const file = segmentFile(begin.segment, "wal");
  let image: Uint8Array;
  try {
    image = await log.disk.read(file, begin.offset, end.offset + end.length - begin.offset);
  } catch (fault) {
    // Given back meanwhile, so it may have another name.
    if (!log.places.has(begin)) return null;
    throw fault;
  }
  const found: Read[] = [];
  for (const place of run) {
    const from = index + found.length;
    // Fewer than there were in the batch before: what follows them is another log's by now.
    if (place !== begin && place.first !== from) break;
    const reads = readsAt(log, image, place, { begin, from });
    if (reads === null) break;
    found.push(...reads);
  }
  return found.length === 0 ? null : found;
}

/** What counts in one batch of those that were read; null when it has changed meanwhile. Throws when it has not. */
function readsAt(
  log: ReadableLog,
  image: Uint8Array,
  place: EntryPlace,
  { begin, from }: { begin: EntryPlace; from: number },
): Read[] | null {
  if (!log.places.has(place)) return null;
  const at = place.offset - begin.offset;
  const recordBytes = batchRecordBytes(image, at, place);
  const range = { first: from, last: place.last };
  const reads = recordBytes === null ? null : readsIn(log.group, image, at + batchHeaderBytes, recordBytes, range);
  const first = reads?.[0];
  if (reads !== null && first !== undefined && first.entry.index === from) {
    // An entry that is not durable yet may have replaced some of these.
    const proven = reads.findIndex((read) => !isProven(log, read));
    const kept = proven < 0 ? reads : reads.slice(0, proven);
    if (kept.length > 0 || fromStaging(log, from) !== null) return kept.length === 0 ? null : kept;
  }
  const { offset, length, segment } = place;
  throw new JournalDamaged({
    file: segmentFile(segment, "wal"),
    offset,
    length,
    what: `the batch with entry ${from} of group ${log.group} is not what was written`,
  });
}

/** The entries of one group in a batch that count, from `first` to `last`. */
function readsIn(
  group: GroupId,
  image: Uint8Array,
  from: number,
  recordBytes: number,
  { first, last }: { first: number; last: number },
): Read[] | null {
  const records = decodeRecords(image, from, recordBytes);
  if (records === null) return null;
  const reads: Read[] = [];
  for (const record of records) {
    if (record.type !== "entry" || record.entry.group !== group) continue;
    const { entry, chain } = record;
    while (reads.length > 0 && reads.at(-1)!.entry.index >= entry.index) reads.pop();
    if (entry.index >= first && entry.index <= last) reads.push({ entry, chain });
  }
  return reads;
}

function isProven({ chains }: ReadableLog, { entry, chain }: Read): boolean {
  return chains.has(entry.index) && equalBytes(chains.at(entry.index), chain);
}
