import { crc32 } from "node:zlib";

import { assert } from "../../base/assert.ts";
import type { Brand } from "../../base/brand.ts";
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../../base/byte-order.ts";
import type { ClusterId, GroupId, LogIndex } from "../../base/ids.ts";
import type { Day } from "../../base/units.ts";
import { encodeFileHeader, type FileHeader, fileHeaderBytes, idBytes, idText } from "../file-header.ts";
import { pieceHeaderBytes } from "../piece.ts";
import { rootBytes } from "./merkle.ts";

/**
 * The bytes of a day chunk.
 *
 * ```
 * header       64 bytes (file-header.ts), magic SYNODCHK, without an incarnation: the file is the same on all servers
 * blocks       pieces of kind 1: message records, sorted by slot, room, seq; a record never crosses a block
 * room index   pieces of kind 2: rows, sorted as the records are
 * id index     pieces of kind 3: {u32 high, u32 low, u32 block, u32 offset in its payload}, sorted by hash, block, offset
 * footer       one piece of kind 4: descriptor, Merkle root, and length, crc32 and first key of every piece before it
 * trailer      40 bytes, where the footer is
 * ```
 * There is no byte between these, so every byte of the file is under a checksum. The crc32 of each piece stands in its
 * own header and in the footer: a piece of another chunk, valid in itself, is not taken for this one's.
 */
export const chunkMagic = "SYNODCHK";
export const chunkFileFormat = 1;

/** Payload of a block before the next one is begun. A single record may be longer; its block then holds it alone. */
export const blockPayloadBytes = 64 * 1024;
/** Payload of a piece of an index: small, because a lookup reads one. */
export const indexPayloadBytes = 16 * 1024;

/** Number of a chunk in its group: 1, 2, 3 … without holes. */
export type ChunkNumber = Brand<number, "ChunkNumber">;

export function chunkNumber(value: number): ChunkNumber {
  assert(Number.isSafeInteger(value) && value > 0 && value < 2 ** 48, `not a chunk number: ${value}`);
  return value as ChunkNumber;
}

/** What the seal in the log says about a chunk. */
export interface ChunkMeta {
  readonly cluster: ClusterId;
  readonly group: GroupId;
  readonly chunk: ChunkNumber;
  /** The chunk holds what was accepted in the entries (from, to]. */
  readonly from: LogIndex;
  readonly to: LogIndex;
  readonly day: Day;
  readonly format: number;
  /** 0 as sealed; each committed rewrite makes the next. */
  readonly generation: number;
}

export const idEntryBytes = 16;
export const idEntriesPerPiece = indexPayloadBytes / idEntryBytes;

// ── the room index ─────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What a chunk knows of one room.
 *
 * ```
 *  0 u16 slot   2 u8 room length   3 u8 0
 *  4 u48 first seq   10 u48 last seq   16 u32 count   20 u48 bytes of records   26 u48 last ts
 * 32 u32 first block   36 u32 offset of its first record in that block's payload   40 u32 last block
 * 44 room
 * ```
 */
export interface RoomRow {
  readonly slot: number;
  readonly room: Uint8Array;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Less than lastSeq − firstSeq + 1 only where a rewrite took messages out. */
  readonly count: number;
  /** Bytes of its records. */
  readonly bytes: number;
  readonly lastTs: number;
  readonly firstBlock: number;
  readonly offset: number;
  readonly lastBlock: number;
}

export const roomRowHeadBytes = 44;

export function putRoomRow(b: Uint8Array, o: number, row: RoomRow): void {
  putU16(b, o, row.slot);
  b[o + 2] = row.room.length;
  b[o + 3] = 0;
  putU48(b, o + 4, row.firstSeq);
  putU48(b, o + 10, row.lastSeq);
  putU32(b, o + 16, row.count);
  putU48(b, o + 20, row.bytes);
  putU48(b, o + 26, row.lastTs);
  putU32(b, o + 32, row.firstBlock);
  putU32(b, o + 36, row.offset);
  putU32(b, o + 40, row.lastBlock);
  b.set(row.room, o + roomRowHeadBytes);
}

/** Bytes of the row at `o`, or null if no whole row stands there before `end`. */
export function roomRowLength(b: Uint8Array, o: number, end: number): number | null {
  if (end - o < roomRowHeadBytes) return null;
  const length = roomRowHeadBytes + b[o + 2]!;
  return o + length <= end ? length : null;
}

export function getRoomRow(b: Uint8Array, o: number): RoomRow {
  return {
    slot: getU16(b, o),
    room: b.subarray(o + roomRowHeadBytes, o + roomRowHeadBytes + b[o + 2]!),
    firstSeq: getU48(b, o + 4),
    lastSeq: getU48(b, o + 10),
    count: getU32(b, o + 16),
    bytes: getU48(b, o + 20),
    lastTs: getU48(b, o + 26),
    firstBlock: getU32(b, o + 32),
    offset: getU32(b, o + 36),
    lastBlock: getU32(b, o + 40),
  };
}

// ── the footer ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** A piece as the footer names it. `offset` and `length` are those of the whole piece in the file. */
export interface PieceRef {
  readonly offset: number;
  readonly length: number;
  readonly crc: number;
}

/** A block, and the seq of its first record, so that a page is found without reading what comes before it. */
export interface BlockRef extends PieceRef {
  readonly firstSeq: number;
}

/** A piece of the room index, and the first room in it. */
export interface RoomPieceRef extends PieceRef {
  readonly slot: number;
  readonly room: Uint8Array;
}

/** A piece of the id index, and the first hash in it. */
export interface IdPieceRef extends PieceRef {
  readonly high: number;
  readonly low: number;
}

/** What a chunk holds, counted. */
export interface ChunkTotals {
  readonly messages: number;
  readonly rooms: number;
  /** Bytes of all records, as they stand in the blocks. */
  readonly recordBytes: number;
  /** The earliest and latest `ts`; 0 in a chunk without messages. */
  readonly firstTs: number;
  readonly lastTs: number;
}

export interface ChunkFooter {
  readonly meta: ChunkMeta;
  readonly totals: ChunkTotals;
  readonly root: Uint8Array;
  readonly blocks: readonly BlockRef[];
  readonly roomPieces: readonly RoomPieceRef[];
  readonly idPieces: readonly IdPieceRef[];
}

const descriptorBytes = 80;
const footerHeadBytes = descriptorBytes + rootBytes + 12;
const blockRefBytes = 14;
const roomPieceRefHeadBytes = 11;
const idPieceRefBytes = 16;

/**
 * What the root is bound to: the seal and the totals.
 *
 * ```
 *  0 16 bytes cluster   16 u16 group   18 u48 chunk   24 u32 generation   28 u48 from   34 u48 to   40 u32 day
 * 44 u16 format   46 u8 codec   47 u8 key id   48 u48 messages   54 u32 rooms   58 u48 record bytes
 * 64 u48 first ts   70 u48 last ts   76 u32 0
 * ```
 */
export function encodeDescriptor(meta: ChunkMeta, totals: ChunkTotals): Uint8Array {
  const b = new Uint8Array(descriptorBytes);
  b.set(idBytes(meta.cluster));
  putU16(b, 16, meta.group);
  putU48(b, 18, meta.chunk);
  putU32(b, 24, meta.generation);
  putU48(b, 28, meta.from);
  putU48(b, 34, meta.to);
  putU32(b, 40, meta.day);
  putU16(b, 44, meta.format);
  putU48(b, 48, totals.messages);
  putU32(b, 54, totals.rooms);
  putU48(b, 58, totals.recordBytes);
  putU48(b, 64, totals.firstTs);
  putU48(b, 70, totals.lastTs);
  return b;
}

/** A footer as a piece whose header is still to be filled: 32 bytes of room, then the payload. */
export function encodeFooter(footer: ChunkFooter): Uint8Array {
  let length = pieceHeaderBytes + footerHeadBytes + footer.blocks.length * blockRefBytes;
  for (const piece of footer.roomPieces) length += roomPieceRefHeadBytes + piece.room.length;
  length += footer.idPieces.length * idPieceRefBytes;
  const b = new Uint8Array(length);
  let o = pieceHeaderBytes;
  b.set(encodeDescriptor(footer.meta, footer.totals), o);
  b.set(footer.root, o + descriptorBytes);
  putU32(b, o + descriptorBytes + rootBytes, footer.blocks.length);
  putU32(b, o + descriptorBytes + rootBytes + 4, footer.roomPieces.length);
  putU32(b, o + descriptorBytes + rootBytes + 8, footer.idPieces.length);
  o += footerHeadBytes;
  for (const block of footer.blocks) {
    putU32(b, o, block.length);
    putU32(b, o + 4, block.crc);
    putU48(b, o + 8, block.firstSeq);
    o += blockRefBytes;
  }
  for (const piece of footer.roomPieces) {
    putU32(b, o, piece.length);
    putU32(b, o + 4, piece.crc);
    putU16(b, o + 8, piece.slot);
    b[o + 10] = piece.room.length;
    b.set(piece.room, o + roomPieceRefHeadBytes);
    o += roomPieceRefHeadBytes + piece.room.length;
  }
  for (const piece of footer.idPieces) {
    putU32(b, o, piece.length);
    putU32(b, o + 4, piece.crc);
    putU32(b, o + 8, piece.high);
    putU32(b, o + 12, piece.low);
    o += idPieceRefBytes;
  }
  assert(o === length, "a footer fills its bytes");
  return b;
}

/** Reads the payload of a footer piece, or says why it is none. `footerOffset` is where the piece stands in the file. */
export function decodeFooter(b: Uint8Array, footerOffset: number): ChunkFooter | string {
  if (b.length < footerHeadBytes) return "the footer is too short";
  const blockCount = getU32(b, descriptorBytes + rootBytes);
  const roomPieceCount = getU32(b, descriptorBytes + rootBytes + 4);
  const idPieceCount = getU32(b, descriptorBytes + rootBytes + 8);
  const least = blockCount * blockRefBytes + roomPieceCount * roomPieceRefHeadBytes + idPieceCount * idPieceRefBytes;
  if (b.length < footerHeadBytes + least) return "the footer does not hold the tables it names";
  if (b[46] !== 0 || b[47] !== 0) return "the footer names a codec or key this version does not know";
  let o = footerHeadBytes;
  let offset = fileHeaderBytes;
  const piece = (): PieceRef => {
    const ref = { offset, length: getU32(b, o), crc: getU32(b, o + 4) };
    offset += ref.length;
    return ref;
  };
  const blocks: BlockRef[] = [];
  for (let i = 0; i < blockCount; i++) {
    blocks.push({ ...piece(), firstSeq: getU48(b, o + 8) });
    o += blockRefBytes;
  }
  const roomPieces: RoomPieceRef[] = [];
  for (let i = 0; i < roomPieceCount; i++) {
    const end = o + roomPieceRefHeadBytes + (b[o + 10] ?? 0);
    if (end > b.length) return "the footer ends inside its table of rooms";
    roomPieces.push({ ...piece(), slot: getU16(b, o + 8), room: b.subarray(o + roomPieceRefHeadBytes, end) });
    o = end;
  }
  if (o + idPieceCount * idPieceRefBytes !== b.length) return "the footer does not end where its tables do";
  const idPieces: IdPieceRef[] = [];
  for (let i = 0; i < idPieceCount; i++) {
    idPieces.push({ ...piece(), high: getU32(b, o + 8), low: getU32(b, o + 12) });
    o += idPieceRefBytes;
  }
  if (offset !== footerOffset) return "the pieces named by the footer do not end where it begins";
  return {
    // What is not a day or a number of a chunk cannot agree with the file's name, which is compared next.
    meta: {
      cluster: idText(b, 0) as ClusterId,
      group: getU16(b, 16) as GroupId,
      chunk: getU48(b, 18) as ChunkNumber,
      generation: getU32(b, 24),
      from: getU48(b, 28) as LogIndex,
      to: getU48(b, 34) as LogIndex,
      day: getU32(b, 40) as Day,
      format: getU16(b, 44),
    },
    totals: {
      messages: getU48(b, 48),
      rooms: getU32(b, 54),
      recordBytes: getU48(b, 58),
      firstTs: getU48(b, 64),
      lastTs: getU48(b, 70),
    },
    root: b.slice(descriptorBytes, descriptorBytes + rootBytes),
    blocks,
    roomPieces,
    idPieces,
  };
}

// ── header and trailer ─────────────────────────────────────────────────────────────────────────────────────────────

export function chunkHeader(meta: ChunkMeta): FileHeader {
  return {
    magic: chunkMagic,
    format: meta.format,
    cluster: meta.cluster,
    incarnation: null,
    group: meta.group,
    number: meta.chunk,
    generation: meta.generation,
  };
}

export const encodeChunkHeader = (meta: ChunkMeta): Uint8Array => encodeFileHeader(chunkHeader(meta));

/**
 * The last bytes of a chunk.
 *
 * ```
 *  0 8 bytes magic SYNODEND   8 u48 offset of the footer   14 u32 its bytes   18 u48 bytes of the file
 * 24 u32 crc32 of the footer piece   28 u48 chunk   34 u16 generation, low half   36 u32 crc32 of the 36 bytes before
 * ```
 */
export const trailerBytes = 40;
const trailerMagic = "SYNODEND";

export interface Trailer {
  readonly footerOffset: number;
  readonly footerLength: number;
  readonly fileBytes: number;
  readonly footerCrc: number;
}

export function encodeTrailer(meta: ChunkMeta, trailer: Trailer): Uint8Array {
  const b = new Uint8Array(trailerBytes);
  for (let i = 0; i < 8; i++) b[i] = trailerMagic.charCodeAt(i);
  putU48(b, 8, trailer.footerOffset);
  putU32(b, 14, trailer.footerLength);
  putU48(b, 18, trailer.fileBytes);
  putU32(b, 24, trailer.footerCrc);
  putU48(b, 28, meta.chunk);
  putU16(b, 34, meta.generation & 0xffff);
  putU32(b, 36, crc32(b.subarray(0, 36)));
  return b;
}

/** Reads the trailer of a file of `fileBytes`, or says why it is none. */
export function decodeTrailer(
  b: Uint8Array,
  fileBytes: number,
  chunk: ChunkNumber,
  generation: number,
): Trailer | string {
  if (b.length !== trailerBytes) return "the file is too short for a chunk";
  for (let i = 0; i < 8; i++) {
    if (b[i] !== trailerMagic.charCodeAt(i))
      return "the file does not end as a chunk does: it was cut short or changed";
  }
  if (getU32(b, 36) !== crc32(b.subarray(0, 36))) return "the checksum of the trailer does not match";
  if (getU48(b, 18) !== fileBytes) return `the file has ${fileBytes} bytes and was written with ${getU48(b, 18)}`;
  if (getU48(b, 28) !== chunk || getU16(b, 34) !== (generation & 0xffff)) return "the trailer belongs to another chunk";
  const trailer = { footerOffset: getU48(b, 8), footerLength: getU32(b, 14), fileBytes, footerCrc: getU32(b, 24) };
  if (trailer.footerOffset + trailer.footerLength + trailerBytes !== fileBytes)
    return "the footer does not end at the trailer";
  if (trailer.footerLength < pieceHeaderBytes || trailer.footerOffset < fileHeaderBytes)
    return "the footer overlaps the header";
  return trailer;
}
