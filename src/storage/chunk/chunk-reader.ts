import { compareBytes, sameBytes } from "../../base/compare-bytes.ts";
import { getU32 } from "../../base/byte-order.ts";
import {
  isRecord,
  recordHeaderBytes,
  recordLength,
  recordSeq,
  roomText,
  textLength,
} from "../../rooms/message-record.ts";
import { type PieceKind, pieceHeaderBytes, pieceKinds } from "../piece.ts";
import { withSeqs } from "./block-seqs.ts";
import { ChunkDamage } from "./chunk-damage.ts";
import {
  type ChunkFooter,
  getRoomRow,
  idEntryBytes,
  type PieceRef,
  type RoomRow,
  roomRowLength,
} from "./chunk-layout.ts";
import { hashId, hashRecordId, type IdHash, type IdKey } from "./id-hash.ts";
import { slotOf } from "../../base/slot.ts";

/** Where pieces come from: checked, and perhaps kept from the last time. */
export interface PieceSource {
  readonly footer: ChunkFooter;
  piece(kind: PieceKind, number: number, ref: PieceRef): Promise<Uint8Array>;
  damage(offset: number, length: number, what: string): ChunkDamage;
}

/** Which messages of a room are wanted. `from` and `to` are the first and last seq, both included. */
export interface PageRange {
  readonly from: number;
  readonly to: number;
  /** "up" begins at `from` and goes to newer ones, "down" begins at `to` and goes to older ones. */
  readonly direction: "up" | "down";
  readonly itemsMax: number;
  /** Bytes of records. The first record of a page is given even if it alone is larger. */
  readonly bytesMax: number;
}

export interface ChunkPage {
  /** Whole records in the direction asked for. They are views into larger bytes that nobody changes: copy what is kept. */
  readonly records: Uint8Array[];
  /** There are more messages in the range, in this chunk: behind a bound, or in a block that is damaged. */
  readonly more: boolean;
}

/** The row of a room, or null if the chunk has no message of it. Reads one piece. */
export async function findRoom(source: PieceSource, room: Uint8Array): Promise<RoomRow | null> {
  const { roomPieces } = source.footer;
  const slot = slotOf(room);
  // The last piece whose first room is not behind the one wanted.
  let low = 0;
  let high = roomPieces.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const first = roomPieces[middle]!;
    if ((first.slot - slot || compareBytes(first.room, room)) <= 0) low = middle + 1;
    else high = middle;
  }
  if (low === 0) return null;
  for (const row of await roomRows(source, low - 1)) {
    const order = row.slot - slot || compareBytes(row.room, room);
    if (order === 0) return row;
    if (order > 0) return null;
  }
  return null;
}

/** All rows of one piece of the room index. */
export async function roomRows(source: PieceSource, number: number): Promise<RoomRow[]> {
  const ref = source.footer.roomPieces[number]!;
  const payload = await source.piece(pieceKinds.rooms, number, ref);
  const rows: RoomRow[] = [];
  for (let o = 0; o < payload.length; ) {
    const length = roomRowLength(payload, o, payload.length);
    if (length === null) throw source.damage(ref.offset, ref.length, "a piece of the room index ends inside a row");
    rows.push(getRoomRow(payload, o));
    o += length;
  }
  return rows;
}

/**
 * A page of one room. Seqs are checked to be dense, except in a room that a rewrite took messages out of. A damaged block
 * ends a page before it. A page that would begin in it is `ChunkDamage`, which says what the room has in this block.
 */
export async function readPage(source: PieceSource, row: RoomRow, range: PageRange): Promise<ChunkPage> {
  const from = Math.max(range.from, row.firstSeq);
  const to = Math.min(range.to, row.lastSeq);
  const records: Uint8Array[] = [];
  if (from > to) return { records, more: false };
  const up = range.direction === "up";
  const lastBlock = up ? blockOf(source, row, to) : blockOf(source, row, from);
  let bytes = 0;
  for (
    let block = blockOf(source, row, up ? from : to);
    up ? block <= lastBlock : block >= lastBlock;
    block += up ? 1 : -1
  ) {
    let inBlock: Uint8Array[];
    try {
      inBlock = await recordsOf(source, row, block, from, to);
    } catch (cause) {
      // What lies before is whole; whoever goes on from there meets the damage.
      if (cause instanceof ChunkDamage && records.length > 0) return { records, more: true };
      throw withSeqs(cause, source.footer, row, block);
    }
    if (!up) inBlock.reverse();
    for (const record of inBlock) {
      const full = records.length >= range.itemsMax || bytes + record.length > range.bytesMax;
      if (full && records.length > 0) return { records, more: true };
      records.push(record);
      bytes += record.length;
    }
  }
  return { records, more: false };
}

/** The block that holds `seq`, or would if a rewrite had left it. */
function blockOf(source: PieceSource, row: RoomRow, seq: number): number {
  const { blocks } = source.footer;
  // Every block but a room's first begins with a record of this room.
  let low = row.firstBlock + 1;
  let high = Math.min(row.lastBlock, blocks.length - 1) + 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (blocks[middle]!.firstSeq <= seq) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The records of one room in one block, from `from` to `to`, with every step of the way checked. */
async function recordsOf(
  source: PieceSource,
  row: RoomRow,
  number: number,
  from: number,
  to: number,
): Promise<Uint8Array[]> {
  const ref = source.footer.blocks[number];
  if (ref === undefined) throw source.damage(0, 0, `the room index names block ${number}, which there is not`);
  const payload = await source.piece(pieceKinds.records, number, ref);
  const wrong = (o: number, what: string): ChunkDamage =>
    source.damage(ref.offset + pieceHeaderBytes + o, payload.length - o, what);
  const dense = row.count === row.lastSeq - row.firstSeq + 1;
  const last = number === row.lastBlock ? row.lastSeq : null;
  const records: Uint8Array[] = [];
  let o = number === row.firstBlock ? row.offset : 0;
  let expected = number === row.firstBlock ? row.firstSeq : ref.firstSeq;
  for (let first = true; o < payload.length; first = false) {
    if (!isRecord(payload, o, payload.length)) throw wrong(o, "there is no record where one should be");
    const seq = recordSeq(payload, o);
    if (!sameRoom(payload, o, row.room)) throw wrong(o, "a record of another room is where one of this room should be");
    if (dense || first ? seq !== expected : seq < expected)
      throw wrong(o, `seq ${seq} is where seq ${expected} should be`);
    const length = recordLength(payload, o);
    if (seq > to) return records;
    if (seq >= from) records.push(payload.subarray(o, o + length));
    if (seq === last) return records;
    expected = seq + 1;
    o += length;
  }
  if (last !== null) throw wrong(payload.length, `the block ends before seq ${last}`);
  return records;
}

function sameRoom(payload: Uint8Array, o: number, room: Uint8Array): boolean {
  return (
    textLength(payload, o, roomText) === room.length && sameBytes(payload, o + recordHeaderBytes, room, 0, room.length)
  );
}

/** A message id: who sent it, where, under which id. */
export interface MessageId {
  readonly room: Uint8Array;
  readonly from: Uint8Array;
  readonly cid: Uint8Array;
}

/**
 * The record with this id, or null if the chunk holds none. The index only proposes: what it points to is looked at, and
 * an entry that points to something else is damage, never "not found". Of several with the same id (the first can have
 * been removed by retention before the next was sent) the newest.
 */
export async function findRecord(source: PieceSource, key: IdKey, id: MessageId): Promise<Uint8Array | null> {
  const { idPieces } = source.footer;
  const wanted: IdHash = { high: 0, low: 0 };
  hashId(key, id.room, id.from, id.cid, wanted);
  // The first piece that may hold the hash: equal ones may begin before the first entry of a piece.
  let low = 0;
  let high = idPieces.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareHash(idPieces[middle]!.high, idPieces[middle]!.low, wanted) < 0) low = middle + 1;
    else high = middle;
  }
  let newest: Uint8Array | null = null;
  for (let number = Math.max(0, low - 1); number < idPieces.length; number++) {
    const ref = idPieces[number]!;
    if (compareHash(ref.high, ref.low, wanted) > 0) break;
    const payload = await source.piece(pieceKinds.ids, number, ref);
    for (let o = firstEntry(payload, wanted); o + idEntryBytes <= payload.length; o += idEntryBytes) {
      if (compareHash(getU32(payload, o), getU32(payload, o + 4), wanted) !== 0) return newest;
      const record = await hitOf(source, key, wanted, id.room, getU32(payload, o + 8), getU32(payload, o + 12));
      if (hasId(record, id)) newest = record;
    }
  }
  return newest;
}

function compareHash(high: number, low: number, wanted: IdHash): number {
  return high - wanted.high || low - wanted.low;
}

/** The offset of the first entry that is not below the hash. */
function firstEntry(payload: Uint8Array, wanted: IdHash): number {
  let low = 0;
  let high = Math.floor(payload.length / idEntryBytes);
  while (low < high) {
    const middle = (low + high) >>> 1;
    const o = middle * idEntryBytes;
    if (compareHash(getU32(payload, o), getU32(payload, o + 4), wanted) < 0) low = middle + 1;
    else high = middle;
  }
  return low * idEntryBytes;
}

/**
 * The record an id entry points to, which must at least have the entry's hash. Where its block is damaged, what is thrown
 * says which messages of the room were in there: one of them has the id, as far as the index can tell.
 */
async function hitOf(
  source: PieceSource,
  key: IdKey,
  wanted: IdHash,
  room: Uint8Array,
  number: number,
  offset: number,
): Promise<Uint8Array> {
  const ref = source.footer.blocks[number];
  if (ref === undefined) throw source.damage(0, 0, `the id index names block ${number}, which there is not`);
  const payload = await source.piece(pieceKinds.records, number, ref).catch(async (cause: unknown) => {
    if (!(cause instanceof ChunkDamage)) throw cause;
    const row = await findRoom(source, room);
    throw row === null ? cause : withSeqs(cause, source.footer, row, number);
  });
  if (!isRecord(payload, offset, payload.length)) {
    throw source.damage(ref.offset, ref.length, `the id index points to offset ${offset}, where no record is`);
  }
  const found: IdHash = { high: 0, low: 0 };
  hashRecordId(key, payload, offset, found);
  if (found.high !== wanted.high || found.low !== wanted.low) {
    throw source.damage(ref.offset, ref.length, `the id index points to offset ${offset}, where another message is`);
  }
  return payload.subarray(offset, offset + recordLength(payload, offset));
}

function hasId(record: Uint8Array, id: MessageId): boolean {
  let o = recordHeaderBytes;
  for (const [which, text] of [id.room, id.from, id.cid].entries()) {
    if (textLength(record, 0, which) !== text.length || !sameBytes(record, o, text, 0, text.length)) return false;
    o += text.length;
  }
  return true;
}
