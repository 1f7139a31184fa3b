import { equalBytes } from "../../base/compare-bytes.ts";
import { getU32 } from "../../base/byte-order.ts";
import type { GroupId, LogIndex } from "../../base/ids.ts";
import { batchHeaderAt, batchHeaderBytes, batchKinds, sectorBytes } from "./layout.ts";
import { decodeEntry, type EntryRecord } from "./records.ts";
import type { Gap } from "./scan.ts";

/** How a group's log goes on at a place: the index of an entry, and the chain of the log there. */
export interface ChainPlace {
  readonly index: LogIndex;
  readonly chain: Uint8Array;
}

/** An entry of a damaged batch, and where that batch stands. */
export interface ProvenEntry {
  readonly record: EntryRecord;
  readonly offset: number;
  readonly length: number;
}

interface Candidate extends ProvenEntry {
  /** Everything before it in its batch is as it was written, so that an entry was written here. */
  readonly isPlaced: boolean;
}

/**
 * Entries in batches that are not whole which are nevertheless proven to be what was written, for one bad bit seldom
 * touches more than one of them. An entry's chain is a hash over its content and over the chain of the entry before, so:
 *
 * 1. `ahead`: an entry that stands where one was written, and goes on from the log as it is known up to there
 * 2. `behind`: an entry whose chain a sound entry behind the damage goes on from, or one that is proven so
 *
 * What stands alone between two that are damaged goes on from nothing that is known and is not taken: its hash alone would
 * also hold for what a client had put into a message. Nor is a vote, which carries no proof.
 */
export function provenEntries(
  image: Uint8Array,
  damage: {
    readonly generation: Uint8Array;
    /** Next to each other, in order. */
    readonly gaps: readonly Gap[];
    /** Up to where a group's log is known in front of them. */
    readonly placeBefore: (group: GroupId) => ChainPlace;
    /** The first sound entry of a group behind them; null: none is. */
    readonly firstBehind: (group: GroupId) => EntryRecord | null;
  },
): { readonly ahead: readonly ProvenEntry[]; readonly behind: readonly ProvenEntry[] } {
  const { generation, gaps, placeBefore, firstBehind } = damage;
  const candidates = gaps.flatMap((gap) => candidatesIn(image, gap, generation));
  const known = new Map<GroupId, ChainPlace>();
  const ahead: ProvenEntry[] = [];
  const left: Candidate[] = [];
  for (const candidate of candidates) {
    const { entry, chain, previousChain } = candidate.record;
    const place = known.get(entry.group) ?? placeBefore(entry.group);
    const goesOn = entry.index === place.index + 1 && equalBytes(previousChain, place.chain);
    known.set(entry.group, candidate.isPlaced && goesOn ? { index: entry.index, chain } : place);
    (candidate.isPlaced && goesOn ? ahead : left).push(candidate);
  }
  const needed = new Map<GroupId, EntryRecord | null>();
  const behind: ProvenEntry[] = [];
  for (const candidate of left.toReversed()) {
    const { entry, chain } = candidate.record;
    const { group, index } = entry;
    let next = needed.get(group);
    if (next === undefined) needed.set(group, (next = firstBehind(group)));
    if (next === null || index + 1 !== next.entry.index || !equalBytes(chain, next.previousChain)) continue;
    // One in the place of an entry that is known would say that more was replaced than can be seen.
    if (index <= known.get(group)!.index) continue;
    needed.set(group, candidate.record);
    behind.push(candidate);
  }
  return { ahead, behind: behind.reverse() };
}

/** Every entry in a gap whose hash holds, found by going from record to record. */
function candidatesIn(image: Uint8Array, gap: Gap, generation: Uint8Array): Candidate[] {
  const found: Candidate[] = [];
  const gapEnd = gap.offset + gap.length;
  for (let offset = gap.offset; offset < gapEnd; ) {
    const header = batchHeaderAt(image, offset, generation);
    const end = header === null ? nextHeader(image, offset, { gapEnd, generation }) : offset + header.length;
    const batch = { offset, length: end - offset };
    const recordsAt = offset + batchHeaderBytes;
    const recordsEnd = Math.min(gapEnd, header === null ? end : recordsAt + header.recordBytes);
    offset = end;
    if (header !== null && header.kind !== batchKinds.records) continue;
    let isPlaced = true;
    for (let at = recordsAt; at + 6 <= recordsEnd; ) {
      const length = getU32(image, at);
      if (length < 6 || at + length > recordsEnd) break;
      const record = decodeEntry(image.subarray(at, at + length));
      if (record === null) isPlaced = false;
      else found.push({ record, ...batch, isPlaced });
      at += length;
    }
  }
  return found;
}

function nextHeader(
  image: Uint8Array,
  offset: number,
  { gapEnd, generation }: { gapEnd: number; generation: Uint8Array },
): number {
  let at = offset + sectorBytes;
  while (at < gapEnd && batchHeaderAt(image, at, generation) === null) at += sectorBytes;
  return Math.min(at, gapEnd);
}
