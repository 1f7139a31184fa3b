import { compareBytes, sameBytes } from "../../base/compare-bytes.ts";
import { assert } from "../../base/assert.ts";
import { putU32 } from "../../base/byte-order.ts";
import {
  normalise,
  normalisedLength,
  recordHeaderBytes,
  recordLength,
  recordSeq,
  recordTs,
  roomText,
  setRecordChecked,
  setRecordPrevSeq,
  textLength,
} from "../../rooms/message-record.ts";
import { fileHeaderBytes, idBytes } from "../file-header.ts";
import { type PieceKind, type PieceOwner, pieceHeaderBytes, pieceKinds, sealPiece } from "../piece.ts";
import {
  type BlockRef,
  blockPayloadBytes,
  type ChunkFooter,
  type ChunkMeta,
  encodeDescriptor,
  encodeFooter,
  encodeTrailer,
  idEntriesPerPiece,
  idEntryBytes,
  type IdPieceRef,
  indexPayloadBytes,
  putRoomRow,
  type RoomPieceRef,
  roomRowHeadBytes,
  type RoomRow,
  trailerBytes,
} from "./chunk-layout.ts";
import { type ImageMemory, newMemory } from "./image-memory.ts";
import { hashRecordId, type IdHash, type IdKey, idKey } from "./id-hash.ts";
import { sortIds } from "./id-sort.ts";
import { leafHash, merkleRoot } from "./merkle.ts";

/** Memory that blocks are laid into: small for small chunks, and as large as a write may be for large ones. */
const slabBytesMin = 128 * 1024;
const slabBytesMax = 2 * 1024 * 1024;

/** What a finished chunk has behind its blocks. */
export interface ChunkEnd {
  readonly footer: ChunkFooter;
  /** The pieces of the room index, then those of the id index, in the order they stand in the file. */
  readonly indexes: readonly Uint8Array[];
  readonly footerPiece: Uint8Array;
  readonly trailer: Uint8Array;
}

/**
 * Writes the records of one chunk, handed over in their final order, and indexes them. Building, rewriting and
 * verifying all go through it: what verify accepts is what build would have written, to the bit.
 *
 * 1. records are ordered by (slot, room bytes, seq), strictly
 * 2. a record never crosses a block
 * 3. rows and id entries name the places of records that were added, and all of them
 */
export class ChunkWriter {
  readonly #meta: ChunkMeta;
  readonly #owner: PieceOwner;
  readonly #emit: (block: Uint8Array) => void;
  readonly #key: IdKey;
  readonly #hash: IdHash = { high: 0, low: 0 };

  #offset = fileHeaderBytes;
  readonly #blocks: BlockRef[] = [];
  readonly #leaves: Uint8Array[] = [];
  readonly #memory: ImageMemory;
  #slab: Uint8Array<ArrayBufferLike> = new Uint8Array(0);
  #slabFill = 0;
  #block: Uint8Array<ArrayBufferLike> = new Uint8Array(0);
  #fill = 0;
  #blockFirstSeq = 0;

  #count = 0;
  #recordBytes = 0;
  #firstTs = 0;
  #lastTs = 0;
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  readonly #idBlock: Uint32Array;
  readonly #idOffset: Uint32Array;

  #slot = -1;
  #room = new Uint8Array(0);
  #roomFirstSeq = 0;
  #roomLastSeq = 0;
  #roomCount = 0;
  #roomBytes = 0;
  #roomLastTs = 0;
  #roomFirstBlock = 0;
  #roomOffset = 0;
  #rooms = 0;
  readonly #roomPayloads: { bytes: Uint8Array; slot: number; room: Uint8Array }[] = [];
  #rows = new Uint8Array(indexPayloadBytes + 512);
  #rowsFill = 0;
  #rowsFirst: { slot: number; room: Uint8Array } | null = null;

  /** `capacity` is the most messages that will be added; `emit` is handed each block, sealed, in order, to keep. */
  constructor(meta: ChunkMeta, capacity: number, emit: (block: Uint8Array) => void, memory = newMemory) {
    this.#memory = memory;
    this.#meta = meta;
    this.#owner = { group: meta.group, number: meta.chunk, generation: meta.generation };
    this.#emit = emit;
    this.#key = idKey(idBytes(meta.cluster));
    this.#high = new Uint32Array(capacity);
    this.#low = new Uint32Array(capacity);
    this.#idBlock = new Uint32Array(capacity);
    this.#idOffset = new Uint32Array(capacity);
  }

  /** Begins the next room. Its name is copied. */
  beginRoom(slot: number, room: Uint8Array): void {
    const order = slot - this.#slot || compareBytes(room, this.#room);
    assert(this.#slot < 0 || order > 0, "rooms of a chunk are ordered by slot and name");
    this.#endRoom();
    this.#slot = slot;
    this.#room = room.slice();
    this.#roomCount = 0;
    this.#roomBytes = 0;
    this.#roomLastTs = 0;
  }

  /** Adds the next message of the room that was begun. The record at `o` is copied, normalised. */
  add(b: Uint8Array, o: number): void {
    const room = this.#room;
    assert(
      textLength(b, o, roomText) === room.length && sameBytes(b, o + recordHeaderBytes, room, 0, room.length),
      "a record is added to its own room",
    );
    const seq = recordSeq(b, o);
    const ts = recordTs(b, o);
    assert(seq > (this.#roomCount === 0 ? 0 : this.#roomLastSeq), "seqs of a room ascend from 1");
    const length = normalisedLength(b, o);
    if (this.#fill > 0 && this.#fill + length > pieceHeaderBytes + blockPayloadBytes) this.#endBlock();
    if (this.#fill === 0) {
      this.#block = this.#newBlock(pieceHeaderBytes + Math.max(blockPayloadBytes, length));
      this.#fill = pieceHeaderBytes;
      this.#blockFirstSeq = seq;
    }
    const offset = this.#fill - pieceHeaderBytes;
    if (this.#roomCount === 0) {
      this.#roomFirstSeq = seq;
      this.#roomFirstBlock = this.#blocks.length;
      this.#roomOffset = offset;
    }
    this.#fill = copyNormal(b, o, length, this.#block, this.#fill);

    const at = this.#count++;
    hashRecordId(this.#key, b, o, this.#hash);
    this.#high[at] = this.#hash.high;
    this.#low[at] = this.#hash.low;
    this.#idBlock[at] = this.#blocks.length;
    this.#idOffset[at] = offset;

    this.#recordBytes += length;
    if (at === 0 || ts < this.#firstTs) this.#firstTs = ts;
    if (ts > this.#lastTs) this.#lastTs = ts;
    this.#roomLastSeq = seq;
    this.#roomCount++;
    this.#roomBytes += length;
    if (ts > this.#roomLastTs) this.#roomLastTs = ts;
  }

  /**
   * Ends the chunk: the last block, the indexes, the footer. Pauses every few thousand ids, so that whoever drives it
   * can let others run.
   */
  *finish(): Generator<void, ChunkEnd> {
    this.#endRoom();
    if (this.#fill > 0) this.#endBlock();
    this.#endRows();
    const indexes: Uint8Array[] = [];
    const roomPieces: RoomPieceRef[] = [];
    for (const [number, payload] of this.#roomPayloads.entries()) {
      const ref = this.#piece(payload.bytes, pieceKinds.rooms, number);
      roomPieces.push({ ...ref, slot: payload.slot, room: payload.room });
      indexes.push(payload.bytes);
    }
    const order = yield* sortIds(this.#high, this.#low, this.#count);
    const idPieces: IdPieceRef[] = [];
    for (let start = 0; start < this.#count; start += idEntriesPerPiece) {
      const end = Math.min(this.#count, start + idEntriesPerPiece);
      const bytes = this.#idPiece(order, start, end);
      const first = order[start]!;
      const ref = this.#piece(bytes, pieceKinds.ids, idPieces.length);
      idPieces.push({ ...ref, high: this.#high[first]!, low: this.#low[first]! });
      indexes.push(bytes);
      if (idPieces.length % 4 === 0) yield;
    }
    const totals = {
      messages: this.#count,
      rooms: this.#rooms,
      recordBytes: this.#recordBytes,
      firstTs: this.#firstTs,
      lastTs: this.#lastTs,
    };
    const root = merkleRoot(encodeDescriptor(this.#meta, totals), this.#leaves);
    const footer: ChunkFooter = { meta: this.#meta, totals, root, blocks: this.#blocks, roomPieces, idPieces };
    const footerPiece = encodeFooter(footer);
    const footerRef = this.#piece(footerPiece, pieceKinds.footer, 0);
    const trailer = encodeTrailer(this.#meta, {
      footerOffset: footerRef.offset,
      footerLength: footerRef.length,
      fileBytes: footerRef.offset + footerRef.length + trailerBytes,
      footerCrc: footerRef.crc,
    });
    return { footer, indexes, footerPiece, trailer };
  }

  #piece(piece: Uint8Array, kind: PieceKind, number: number): { offset: number; length: number; crc: number } {
    const offset = this.#offset;
    const crc = sealPiece(piece, this.#owner, { kind, number, offset });
    this.#offset += piece.length;
    return { offset, length: piece.length, crc };
  }

  /** Room behind the block before, so that blocks lie one behind the other in few pieces of memory. */
  #newBlock(bytes: number): Uint8Array<ArrayBufferLike> {
    if (this.#slabFill + bytes > this.#slab.length) {
      const wanted = Math.min(slabBytesMax, Math.max(slabBytesMin, this.#slab.length * 2));
      this.#slab = this.#memory.take(Math.max(wanted, bytes));
      this.#slabFill = 0;
    }
    return this.#slab.subarray(this.#slabFill, this.#slabFill + bytes);
  }

  #endBlock(): void {
    const block = this.#block.subarray(0, this.#fill);
    const ref = this.#piece(block, pieceKinds.records, this.#blocks.length);
    this.#blocks.push({ ...ref, firstSeq: this.#blockFirstSeq });
    this.#leaves.push(leafHash(block.subarray(pieceHeaderBytes)));
    this.#slabFill += this.#fill;
    this.#fill = 0;
    this.#emit(block);
  }

  #endRoom(): void {
    if (this.#roomCount === 0) return;
    this.#rooms++;
    const length = roomRowHeadBytes + this.#room.length;
    if (this.#rowsFill + length > pieceHeaderBytes + indexPayloadBytes) this.#endRows();
    if (this.#rowsFirst === null) {
      this.#rowsFirst = { slot: this.#slot, room: this.#room };
      this.#rowsFill = pieceHeaderBytes;
    }
    const row: RoomRow = {
      slot: this.#slot,
      room: this.#room,
      firstSeq: this.#roomFirstSeq,
      lastSeq: this.#roomLastSeq,
      count: this.#roomCount,
      bytes: this.#roomBytes,
      lastTs: this.#roomLastTs,
      firstBlock: this.#roomFirstBlock,
      offset: this.#roomOffset,
      // A block is ended by the record behind it, so the last record is in the one being filled.
      lastBlock: this.#blocks.length,
    };
    putRoomRow(this.#rows, this.#rowsFill, row);
    this.#rowsFill += length;
  }

  #endRows(): void {
    if (this.#rowsFirst === null) return;
    this.#roomPayloads.push({ bytes: this.#rows.slice(0, this.#rowsFill), ...this.#rowsFirst });
    this.#rowsFirst = null;
    this.#rowsFill = 0;
  }

  #idPiece(order: Uint32Array, start: number, end: number): Uint8Array {
    const b = new Uint8Array(pieceHeaderBytes + (end - start) * idEntryBytes);
    let o = pieceHeaderBytes;
    for (let i = start; i < end; i++) {
      const at = order[i]!;
      putU32(b, o, this.#high[at]!);
      putU32(b, o + 4, this.#low[at]!);
      putU32(b, o + 8, this.#idBlock[at]!);
      putU32(b, o + 12, this.#idOffset[at]!);
      o += idEntryBytes;
    }
    return b;
  }
}

/** `normalise`, with one copy instead of two where nothing is to be taken out: half of the time goes into copying. */
function copyNormal(b: Uint8Array, o: number, length: number, into: Uint8Array, to: number): number {
  if (recordLength(b, o) !== length) return normalise(b, o, into, to);
  into.set(b.subarray(o, o + length), to);
  setRecordChecked(into, to, 0);
  setRecordPrevSeq(into, to, 0);
  return to + length;
}
