import { crc32 } from "node:zlib";
import { assert } from "../../base/assert.ts";
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../../base/byte-order.ts";
import type { ClusterId, Incarnation } from "../../base/ids.ts";

/**
 * The bytes of a segment: a header of one sector, then batches. Everything starts on a sector, so that writing one
 * batch never writes over a sector of another, and a batch can be looked for without reading what lies between.
 * Little-endian. docs/data-directory.md describes the same for people.
 */
export const sectorBytes = 512;

/*
 * Segment header
 *   0 u32 magic   4 u16 format   6 u16 codec (0)   8 cluster id   24 incarnation   40 u32 key id (0)
 *  44 u48 segment number   50 u8 flags   51 u8 0   52 generation (8)   60 u32 segment bytes   64 zeros   508 u32 crc
 */
export const segmentMagic = 0x4a_4e_59_53; // "SYNJ"
export const segmentFormat = 1;
export const generationBytes = 8;

/** This segment starts with a copy of everything alive: what has a lower number is not needed any more. */
export const baseFlag = 1;
/** What has a lower number was found damaged: it is moved to quarantine, never reused. */
export const quarantineFlag = 2;

export interface SegmentHeader {
  readonly cluster: ClusterId;
  readonly incarnation: Incarnation;
  readonly number: number;
  readonly flags: number;
  readonly generation: Uint8Array;
  readonly segmentBytes: number;
}

export type HeaderVerdict =
  | { state: "valid"; header: SegmentHeader }
  | { state: "unreadable" }
  /** Whole, but not for this program: `what` names both values. */
  | { state: "foreign"; what: string };

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const into = new Uint8Array(sectorBytes);
  putU32(into, 0, segmentMagic);
  putU16(into, 4, segmentFormat);
  into.set(idBytes(header.cluster), 8);
  into.set(idBytes(header.incarnation), 24);
  putU48(into, 44, header.number);
  into[50] = header.flags;
  into.set(header.generation, 52);
  putU32(into, 60, header.segmentBytes);
  putU32(into, 508, crc32(into.subarray(0, 508)));
  return into;
}

/** Reads the header of a segment that should belong to this cluster and incarnation. */
export function decodeSegmentHeader(
  sector: Uint8Array,
  expected: { cluster: ClusterId; incarnation: Incarnation },
): HeaderVerdict {
  if (sector.length < sectorBytes || getU32(sector, 0) !== segmentMagic) return { state: "unreadable" };
  if (getU32(sector, 508) !== crc32(sector.subarray(0, 508))) return { state: "unreadable" };
  const format = getU16(sector, 4);
  if (format !== segmentFormat) return foreign("format", String(format), String(segmentFormat));
  const codec = getU16(sector, 6);
  if (codec !== 0) return foreign("codec", String(codec), "0");
  const key = getU32(sector, 40);
  if (key !== 0) return foreign("key id", String(key), "0");
  const cluster = idOf(sector, 8) as ClusterId;
  if (cluster !== expected.cluster) return foreign("cluster", cluster, expected.cluster);
  const incarnation = idOf(sector, 24) as Incarnation;
  if (incarnation !== expected.incarnation) return foreign("incarnation", incarnation, expected.incarnation);
  return {
    state: "valid",
    header: {
      cluster,
      incarnation,
      number: getU48(sector, 44),
      flags: sector[50]!,
      generation: sector.slice(52, 52 + generationBytes),
      segmentBytes: getU32(sector, 60),
    },
  };
}

function foreign(what: string, found: string, expected: string): HeaderVerdict {
  return { state: "foreign", what: `its ${what} is ${found}, this server's is ${expected}` };
}

function idBytes(id: string): Uint8Array {
  assert(/^[0-9a-f]{32}$/.test(id), `not an id of 32 hex digits: ${id}`);
  return Uint8Array.from({ length: 16 }, (_, at) => Number.parseInt(id.slice(at * 2, at * 2 + 2), 16));
}

function idOf(from: Uint8Array, at: number): string {
  let text = "";
  for (let i = at; i < at + 16; i++) text += from[i]!.toString(16).padStart(2, "0");
  return text;
}

/*
 * Batch
 *   0 u32 magic   4 u32 length (whole, a multiple of 512)   8 u48 number   14 u8 kind   15 u8 0   16 generation (8)
 *  24 u32 checksum of the batch before   28 u32 count of records   32 u32 bytes of records   36 u32 header crc
 *  40 records, zeros   length-4 u32 crc of all before it
 */
export const batchMagic = 0x42_4e_59_53; // "SYNB"
export const batchHeaderBytes = 40;
const batchTrailerBytes = 4;

export const batchKinds = {
  /** Entries, votes and whatever else is kept. */
  records: 0,
  /** Nothing: certifies that the batch before it was settled. */
  mark: 1,
  /** A mark written by a stop in good order: no write followed it. */
  cleanMark: 2,
  /** Names the next segment; the last batch of this one. */
  roll: 3,
} as const;

export interface BatchHeader {
  readonly length: number;
  readonly number: number;
  readonly kind: number;
  readonly previousChecksum: number;
  readonly recordCount: number;
  readonly recordBytes: number;
}

/** Bytes that a batch takes on disk. */
export function batchLength(recordBytes: number): number {
  return Math.ceil((batchHeaderBytes + recordBytes + batchTrailerBytes) / sectorBytes) * sectorBytes;
}

/** The largest batch a segment can take: its header comes before, a roll must still fit after. */
export function batchLengthMax(segmentBytes: number): number {
  return segmentBytes - 2 * sectorBytes;
}

/**
 * Finishes a batch whose records stand in `bytes` at `start + 40`. Fills in header, padding and checksum; gives the
 * checksum back, which the next batch carries.
 */
export function sealBatch(
  bytes: Uint8Array,
  start: number,
  batch: {
    number: number;
    kind: number;
    generation: Uint8Array;
    previousChecksum: number;
    recordCount: number;
    recordBytes: number;
  },
): number {
  const length = batchLength(batch.recordBytes);
  putU32(bytes, start, batchMagic);
  putU32(bytes, start + 4, length);
  putU48(bytes, start + 8, batch.number);
  bytes[start + 14] = batch.kind;
  bytes[start + 15] = 0;
  bytes.set(batch.generation, start + 16);
  putU32(bytes, start + 24, batch.previousChecksum);
  putU32(bytes, start + 28, batch.recordCount);
  putU32(bytes, start + 32, batch.recordBytes);
  putU32(bytes, start + 36, crc32(bytes.subarray(start, start + 36)));
  // The buffer is used again and again: what an earlier batch left must not be written.
  bytes.fill(0, start + batchHeaderBytes + batch.recordBytes, start + length - batchTrailerBytes);
  const checksum = crc32(bytes.subarray(start, start + length - batchTrailerBytes));
  putU32(bytes, start + length - batchTrailerBytes, checksum);
  return checksum;
}

/**
 * The header of a batch of this generation at `at`, if it is whole. The generation is random and known to no client, so
 * neither stale bytes of a recycled segment nor a message that imitates a batch can pass.
 */
export function batchHeaderAt(image: Uint8Array, at: number, generation: Uint8Array): BatchHeader | null {
  if (at + sectorBytes > image.length || getU32(image, at) !== batchMagic) return null;
  if (!sameGeneration(image, at, generation)) return null;
  if (getU32(image, at + 36) !== crc32(image.subarray(at, at + 36))) return null;
  const header = {
    length: getU32(image, at + 4),
    number: getU48(image, at + 8),
    kind: image[at + 14]!,
    previousChecksum: getU32(image, at + 24),
    recordCount: getU32(image, at + 28),
    recordBytes: getU32(image, at + 32),
  };
  return header.length === batchLength(header.recordBytes) ? header : null;
}

/** The checksum of a batch, or null when its bytes are not what they were. */
export function batchChecksumAt(image: Uint8Array, at: number, header: BatchHeader): number | null {
  const end = at + header.length - batchTrailerBytes;
  if (end + batchTrailerBytes > image.length) return null;
  const checksum = crc32(image.subarray(at, end));
  return checksum === getU32(image, end) ? checksum : null;
}

/** Bytes of records of the batch at `at`, when it is the one that was written there; null when it is not. */
export function batchRecordBytes(
  image: Uint8Array,
  at: number,
  batch: { readonly length: number; readonly checksum: number },
): number | null {
  const end = at + batch.length - batchTrailerBytes;
  if (end + batchTrailerBytes > image.length) return null;
  const isWhole = getU32(image, end) === batch.checksum && crc32(image.subarray(at, end)) === batch.checksum;
  return isWhole ? getU32(image, at + 32) : null;
}

export function sameGeneration(image: Uint8Array, batchAt: number, generation: Uint8Array): boolean {
  for (let i = 0; i < generationBytes; i++) if (image[batchAt + 16 + i] !== generation[i]) return false;
  return true;
}
