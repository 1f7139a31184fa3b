import {
  isRecord,
  prevText,
  recordChecked,
  recordHeaderBytes,
  recordLength,
  recordPrevSeq,
  recordSeq,
  refFromText,
  refKindText,
  roomText,
  textLength,
} from "../../rooms/message-record.ts";
import { compareBytes, sameBytes } from "../../base/compare-bytes.ts";
import type { Damage } from "../damage.ts";
import { DiskFault } from "../disk.ts";
import { NewerFormat } from "../newer-format.ts";
import { type PieceKind, pieceHeaderBytes, pieceKinds } from "../piece.ts";
import { seqsInBlock } from "./block-seqs.ts";
import { ChunkDamage } from "./chunk-damage.ts";
import type { ChunkFile } from "./chunk-file.ts";
import { type ChunkFooter, getRoomRow, type PieceRef, roomRowLength } from "./chunk-layout.ts";
import { type ChunkEnd, ChunkWriter } from "./chunk-writer.ts";
import { slotOf } from "../../base/slot.ts";

/** What a whole check found. `footer` is null where it could not be read; nothing else could be checked then. */
export interface ChunkCheck {
  readonly damage: Damage[];
  readonly footer: ChunkFooter | null;
  /** A newer version wrote it, and this one can't tell whether it is sound; null: it did not. */
  readonly newer: NewerFormat | null;
}

/**
 * Checks a whole chunk, one piece a step: each turn of the generator reads at most one piece, so that the caller sets the
 * pace. Checksums first; then the records are written again into nothing, and whatever the indexes, the totals or the
 * Merkle root say must be what comes out: the check is as strict as building the chunk anew.
 */
export async function* checkChunk(chunk: ChunkFile): AsyncGenerator<void, ChunkCheck> {
  try {
    return { ...(yield* check(chunk)), newer: null };
  } catch (fault) {
    if (!(fault instanceof NewerFormat)) throw fault;
    return { damage: [], footer: null, newer: fault };
  }
}

async function* check(chunk: ChunkFile): AsyncGenerator<void, Omit<ChunkCheck, "newer">> {
  const damage: Damage[] = [];
  if ((await collect(damage, chunk, 0, 0, () => chunk.size())) === null) return { damage, footer: null };
  await collect(damage, chunk, 0, 0, () => chunk.checkHeader());
  yield;
  const read = await collect(damage, chunk, 0, 0, () => chunk.readFooter());
  if (read === null) return { damage, footer: null };
  yield;

  const { footer, tail, tailOffset } = read;
  const again = new Rewriter(footer);
  const bad: number[] = [];
  for (const [number, ref] of footer.blocks.entries()) {
    const payload = await pieceOf(damage, chunk, pieceKinds.records, number, ref);
    const fault = payload === null || !again.sound ? null : again.feed(payload);
    if (fault !== null) damage.push({ file: chunk.file, offset: ref.offset, length: ref.length, what: fault });
    if (payload === null || fault !== null) {
      // Without these records nothing can be written again; the other pieces are checked by their checksums.
      again.sound = false;
      bad.push(number);
    }
    yield;
  }
  const end = again.sound ? yield* again.finish() : null;
  let place = 0;
  const indexes = [
    ...footer.roomPieces.map((ref, number) => ({ kind: pieceKinds.rooms, number, ref })),
    ...footer.idPieces.map((ref, number) => ({ kind: pieceKinds.ids, number, ref })),
  ];
  const rows: Uint8Array[] = [];
  for (const { kind, number, ref } of indexes) {
    const payload = await pieceOf(damage, chunk, kind, number, ref);
    if (payload !== null && kind === pieceKinds.rooms) rows.push(payload);
    const wanted = end?.indexes[place++];
    if (payload !== null && end !== null && !samePayload(payload, wanted)) {
      damage.push({
        file: chunk.file,
        offset: ref.offset,
        length: ref.length,
        what: "an index does not say what the records say",
      });
    }
    yield;
  }
  if (end !== null && !sameTail(tail, end)) {
    const what = "the footer or its Merkle root does not say what the records say";
    damage.push({ file: chunk.file, offset: tailOffset, length: tail.length, what });
  }
  return { damage: damage.flatMap((found) => withRooms(found, footer, bad, rows)), footer };
}

/** Runs a read; damage is added to the list, and so is a range the device cannot read. */
async function collect<T>(
  damage: Damage[],
  chunk: ChunkFile,
  offset: number,
  length: number,
  read: () => Promise<T>,
): Promise<T | null> {
  try {
    return await read();
  } catch (fault) {
    if (fault instanceof ChunkDamage) damage.push(fault.damage);
    else if (fault instanceof DiskFault && fault.kind === "failed") {
      damage.push({ file: chunk.file, offset, length, what: `it can't be read: ${fault.message}` });
    } else throw fault;
    return null;
  }
}

function pieceOf(
  damage: Damage[],
  chunk: ChunkFile,
  kind: PieceKind,
  number: number,
  ref: PieceRef,
): Promise<Uint8Array | null> {
  return collect(damage, chunk, ref.offset, ref.length, () => chunk.readPiece(kind, number, ref));
}

/** Writes the records of a chunk again, block after block as they are read, into nothing: what counts is the end. */
class Rewriter {
  sound = true;
  readonly #footer: ChunkFooter;
  readonly #writer: ChunkWriter;
  #left: number;
  #slot = -1;
  #room: Uint8Array = new Uint8Array(0);
  #seq = 0;

  constructor(footer: ChunkFooter) {
    this.#footer = footer;
    this.#left = footer.totals.messages;
    this.#writer = new ChunkWriter(footer.meta, footer.totals.messages, () => undefined);
  }

  /** Takes the records of the next block. Answers why it can't; it must not be fed again then. */
  feed(payload: Uint8Array): string | null {
    for (let o = 0; o < payload.length; o += recordLength(payload, o)) {
      const fault = this.#feedRecord(payload, o);
      if (fault !== null) return fault;
    }
    return null;
  }

  #feedRecord(b: Uint8Array, o: number): string | null {
    if (!isRecord(b, o, b.length)) return "there is no record where one should be";
    if (!isNormal(b, o)) return "a record holds what only an attempt to send has";
    if (this.#left === 0) return "there are more messages than the footer counts";
    this.#left--;
    const seq = recordSeq(b, o);
    const length = textLength(b, o, roomText);
    if (this.#slot < 0 || length !== this.#room.length || !sameBytes(b, o + recordHeaderBytes, this.#room, 0, length)) {
      const room = b.slice(o + recordHeaderBytes, o + recordHeaderBytes + length);
      const slot = slotOf(room);
      if (this.#slot >= 0 && (slot - this.#slot || compareBytes(room, this.#room)) <= 0)
        return "the rooms are not in order";
      this.#writer.beginRoom(slot, room);
      this.#slot = slot;
      this.#room = room;
      this.#seq = this.#footer.meta.generation === 0 ? seq - 1 : 0;
    }
    // As sealed, a room has no hole; a rewrite may have taken messages out.
    if (seq <= this.#seq || (this.#footer.meta.generation === 0 && seq !== this.#seq + 1))
      return `seq ${seq} follows ${this.#seq}`;
    this.#seq = seq;
    this.#writer.add(b, o);
    return null;
  }

  async *finish(): AsyncGenerator<void, ChunkEnd> {
    const steps = this.#writer.finish();
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      yield;
    }
  }
}

/** A record as `normalise` leaves it. */
function isNormal(b: Uint8Array, o: number): boolean {
  const dropped =
    textLength(b, o, prevText) + textLength(b, o, refFromText) + textLength(b, o, refKindText) + b[o + 49]!;
  return dropped === 0 && recordChecked(b, o) === 0 && recordPrevSeq(b, o) === 0;
}

function samePayload(payload: Uint8Array, piece: Uint8Array | undefined): boolean {
  if (piece === undefined || piece.length !== payload.length + pieceHeaderBytes) return false;
  return sameBytes(payload, 0, piece, pieceHeaderBytes, payload.length);
}

function sameTail(tail: Uint8Array, end: ChunkEnd): boolean {
  const { footerPiece, trailer } = end;
  return (
    tail.length === footerPiece.length + trailer.length &&
    sameBytes(tail, 0, footerPiece, 0, footerPiece.length) &&
    sameBytes(tail, footerPiece.length, trailer, 0, trailer.length)
  );
}

/** Says of a damaged block which messages of which rooms were in it, as far as the room index can still tell. */
function withRooms(
  found: Damage,
  footer: ChunkFooter,
  bad: readonly number[],
  pieces: readonly Uint8Array[],
): Damage[] {
  const number = bad.find((block) => footer.blocks[block]!.offset === found.offset);
  if (number === undefined) return [found];
  const named: Damage[] = [];
  const text = new TextDecoder();
  for (const piece of pieces) {
    for (let o = 0; o < piece.length; ) {
      const length = roomRowLength(piece, o, piece.length);
      if (length === null) break;
      const row = getRoomRow(piece, o);
      o += length;
      const seqs = seqsInBlock(footer, row, number);
      if (seqs !== null) named.push({ ...found, room: text.decode(row.room), seqs });
    }
  }
  return named.length === 0 ? [found] : named;
}
