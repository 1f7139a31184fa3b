import { hash } from "node:crypto";
import { equalBytes } from "../../base/compare-bytes.ts";
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../../base/byte-order.ts";
import type { Entry, EntryType } from "../../base/entry.ts";
import type { GroupId, LogIndex, Term } from "../../base/ids.ts";
import type { Day, Timestamp } from "../../base/units.ts";

/**
 * What stands in a batch, one after the other. Each record starts with `u32 length, u8 type, u8 0`.
 *
 *   entry  6 chain (8)  14 u16 group  16 chain of the entry before (8)  24 u48 index  30 u48 term  36 u8 entry type
 *          37 u8 0  38 u48 ts  44 u32 day  48 payload
 *   vote   6 u16 group  8 u48 term  14 voted for (UTF-8)
 *   base   6 u16 group  8 u48 index  14 chain (8): up to here the group's entries are durable elsewhere
 *   roll   6 u48 segment number  12 generation (8)
 *   floor  6 u48 segment number: nothing below it is needed
 */
export const recordTypes = {
  entry: 1,
  vote: 2,
  base: 3,
  roll: 4,
  floor: 5,
  /** Reserved: where the configuration of a group stands. */
  configurationCursor: 6,
  /** Reserved: a range known to be damaged and not yet fetched from a peer. */
  damageMark: 7,
} as const;

export const entryOverheadBytes = 48;
export const chainBytes = 8;
const chainAt = 6;
const hashedFrom = 14;
const previousChainAt = 16;

/** The chain before the first entry of every group. */
export const noChain = new Uint8Array(chainBytes);

/** Who a group's server voted for, and in which term; `votedFor` "" is nobody. */
export interface GroupVote {
  readonly term: Term;
  readonly votedFor: string;
}

export interface EntryRecord {
  readonly type: "entry";
  readonly entry: Entry;
  readonly chain: Uint8Array;
  readonly previousChain: Uint8Array;
}

export type JournalRecord =
  | EntryRecord
  | { type: "vote"; group: GroupId; vote: GroupVote }
  | { type: "base"; group: GroupId; index: LogIndex; chain: Uint8Array }
  | { type: "roll"; segment: number; generation: Uint8Array }
  | { type: "floor"; segment: number }
  /** Written by a later version; nothing may be concluded from a journal that holds it. */
  | { type: "unknown"; number: number };

/**
 * Writes an entry with `previousChain` as the chain of the entry before it. The chain of an entry is the first 8 bytes of
 * SHA-256 over group, previous chain, index, term, type, ts, day and payload: equal chains mean equal logs up to here.
 * It is left in `bytes` at `at + 6`. Who copies an entry unchanged gives the chain it had as `knownChain`.
 */
export function putEntry(
  bytes: Uint8Array,
  at: number,
  entry: Entry,
  previousChain: Uint8Array,
  knownChain: Uint8Array | null = null,
): void {
  const length = entryOverheadBytes + entry.payload.length;
  putU32(bytes, at, length);
  bytes[at + 4] = recordTypes.entry;
  bytes[at + 5] = 0;
  putU16(bytes, at + hashedFrom, entry.group);
  bytes.set(previousChain, at + previousChainAt);
  putU48(bytes, at + 24, entry.index);
  putU48(bytes, at + 30, entry.term);
  bytes[at + 36] = entry.type;
  bytes[at + 37] = 0;
  putU48(bytes, at + 38, entry.ts);
  putU32(bytes, at + 44, entry.day);
  bytes.set(entry.payload, at + entryOverheadBytes);
  const digest = knownChain ?? hash("sha256", bytes.subarray(at + hashedFrom, at + length), "buffer");
  for (let i = 0; i < chainBytes; i++) bytes[at + chainAt + i] = digest[i]!;
}

/** The chain that `putEntry` left. A view. */
export function chainOfEntryAt(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.subarray(at + chainAt, at + chainAt + chainBytes);
}

const voteHeadBytes = 14;
const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder("utf-8", { fatal: true });

export function encodeVote(group: GroupId, vote: GroupVote): Uint8Array {
  const name = utf8.encode(vote.votedFor);
  const bytes = start(recordTypes.vote, voteHeadBytes + name.length);
  putU16(bytes, 6, group);
  putU48(bytes, 8, vote.term);
  bytes.set(name, voteHeadBytes);
  return bytes;
}

export function encodeBase(group: GroupId, index: LogIndex, chain: Uint8Array): Uint8Array {
  const bytes = start(recordTypes.base, 22);
  putU16(bytes, 6, group);
  putU48(bytes, 8, index);
  bytes.set(chain, 14);
  return bytes;
}

export function encodeRoll(segment: number, generation: Uint8Array): Uint8Array {
  const bytes = start(recordTypes.roll, 20);
  putU48(bytes, 6, segment);
  bytes.set(generation, 12);
  return bytes;
}

export function encodeFloor(segment: number): Uint8Array {
  const bytes = start(recordTypes.floor, 12);
  putU48(bytes, 6, segment);
  return bytes;
}

function start(type: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  putU32(bytes, 0, length);
  bytes[4] = type;
  return bytes;
}

/**
 * The records of one batch, with payloads copied out of `image`. Null when they are not well formed: the checksum holds,
 * so the bytes are as they were written, by a program that was wrong.
 */
export function decodeRecords(image: Uint8Array, from: number, byteCount: number): JournalRecord[] | null {
  const records: JournalRecord[] = [];
  const end = from + byteCount;
  for (let at = from; at < end; ) {
    if (at + 6 > end) return null;
    const length = getU32(image, at);
    if (length < 6 || at + length > end) return null;
    const record = decodeRecord(image.subarray(at, at + length));
    if (record === null) return null;
    records.push(record);
    at += length;
  }
  return records;
}

function decodeRecord(bytes: Uint8Array): JournalRecord | null {
  switch (bytes[4]) {
    case recordTypes.entry:
      return decodeEntry(bytes);
    case recordTypes.vote:
      if (bytes.length < voteHeadBytes) return null;
      return {
        type: "vote",
        group: getU16(bytes, 6) as GroupId,
        vote: { term: getU48(bytes, 8) as Term, votedFor: fromUtf8.decode(bytes.subarray(voteHeadBytes)) },
      };
    case recordTypes.base:
      if (bytes.length !== 22) return null;
      return {
        type: "base",
        group: getU16(bytes, 6) as GroupId,
        index: getU48(bytes, 8) as LogIndex,
        chain: bytes.slice(14, 22),
      };
    case recordTypes.roll:
      if (bytes.length !== 20) return null;
      return { type: "roll", segment: getU48(bytes, 6), generation: bytes.slice(12, 20) };
    case recordTypes.floor:
      if (bytes.length !== 12) return null;
      return { type: "floor", segment: getU48(bytes, 6) };
    default:
      return { type: "unknown", number: bytes[4]! };
  }
}

/** One record, if it is an entry, and what its chain is the hash of. The payload is copied. */
export function decodeEntry(bytes: Uint8Array): EntryRecord | null {
  if (bytes[4] !== recordTypes.entry || bytes.length < entryOverheadBytes) return null;
  const chain = bytes.slice(chainAt, chainAt + chainBytes);
  const digest = hash("sha256", bytes.subarray(hashedFrom), "buffer");
  if (!equalBytes(chain, digest.subarray(0, chainBytes))) return null;
  return {
    type: "entry",
    chain,
    previousChain: bytes.slice(previousChainAt, previousChainAt + chainBytes),
    entry: {
      group: getU16(bytes, hashedFrom) as GroupId,
      index: getU48(bytes, 24) as LogIndex,
      term: getU48(bytes, 30) as Term,
      // Also one that this version does not know: whoever applies entries has to stop at it.
      type: bytes[36] as EntryType,
      ts: getU48(bytes, 38) as Timestamp,
      day: getU32(bytes, 44) as Day,
      payload: bytes.slice(entryOverheadBytes),
    },
  };
}
