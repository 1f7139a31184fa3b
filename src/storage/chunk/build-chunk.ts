import { compareBytes, sameBytes } from "../../base/compare-bytes.ts";
import { assert } from "../../base/assert.ts";
import { recordHeaderBytes, recordLength, recordSeq, roomText, textLength } from "../../rooms/message-record.ts";
import type { FileName } from "../disk.ts";
import { idBytes } from "../file-header.ts";
import { type ChunkMeta, type ChunkTotals, chunkFileFormat, encodeChunkHeader } from "./chunk-layout.ts";
import { chunkFileName } from "./chunk-name.ts";
import { type ChunkEnd, ChunkWriter } from "./chunk-writer.ts";
import { type ImageMemory, newMemory } from "./image-memory.ts";
import { hashRoom, type IdHash, type IdKey, idKey } from "./id-hash.ts";
import { slotOf } from "../../base/slot.ts";

/**
 * The messages that `apply` accepted in the entries of a chunk, in log order, as post records with seq, ts and epoch
 * filled in. Records stand where they stand; there is no object for each.
 */
export interface ChunkInput {
  readonly count: number;
  /** The bytes the i-th record is in. */
  bytes(i: number): Uint8Array;
  /** Where in them it begins. */
  offset(i: number): number;
}

/** A chunk, ready to be published: the file's name and its bytes in parts. */
export interface ChunkImage {
  readonly meta: ChunkMeta;
  readonly file: FileName;
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
  /** 32 bytes; equal on all servers that built the same chunk. */
  readonly root: Uint8Array;
  readonly totals: ChunkTotals;
}

/** Work between two pauses: about a millisecond. */
const sliceRecords = 1_024;
const sliceBytes = 256 * 1024;
const sliceRooms = 256;
const sliceNumbers = 32_768;
/** Records read ahead at once: as many as fit the nearest cache, with what is done to them. */
const fetchedAtOnce = 16;

/**
 * Builds a chunk: a pure function of `meta` and `input`. Where the records stand in memory, and in how many pieces this
 * is driven, changes no bit of it. Pauses every millisecond or so of work; nothing happens between the pauses, so the
 * caller may leave any time. `input` must not change meanwhile. The image's blocks lie in `memory`.
 */
export function* buildChunk(
  meta: ChunkMeta,
  input: ChunkInput,
  memory: ImageMemory = newMemory,
): Generator<void, ChunkImage> {
  assert(meta.format === chunkFileFormat, `chunk format ${meta.format} is not known`);
  assert(meta.from <= meta.to, "a chunk ends behind its beginning");
  const grouped = yield* groupByRoom(meta, input);
  const rooms = yield* sortRooms(grouped);
  const order = yield* arrange(grouped, rooms, input.count);

  const blocks: Uint8Array[] = [];
  const writer = new ChunkWriter(meta, input.count, (block) => blocks.push(block), memory);
  let at = 0;
  let fetched = 0;
  let sum = 0;
  let records = 0;
  let bytes = 0;
  for (const room of rooms) {
    writer.beginRoom(room.slot, room.name);
    let previous = -1;
    for (let left = grouped.counts[room.number]!; left > 0; left--) {
      if (at === fetched) {
        fetched = Math.min(at + fetchedAtOnce, order.length);
        sum ^= fetch(input, order, at, fetched);
      }
      const i = order[at++]!;
      const b = input.bytes(i);
      const o = input.offset(i);
      const seq = recordSeq(b, o);
      // Apply numbers a room without holes, so a hole here is a message about to be lost.
      assert(previous < 0 || seq === previous + 1, "a room has a hole between two messages of one chunk");
      previous = seq;
      writer.add(b, o);
      bytes += recordLength(b, o);
      if (++records >= sliceRecords || bytes >= sliceBytes) {
        records = 0;
        bytes = 0;
        yield;
      }
    }
  }
  assert(sum >= 0, "bytes are not negative");
  return imageOf(meta, blocks, yield* writer.finish());
}

/**
 * Reads a little of some records that are wanted soon. With many rooms each stands somewhere else in memory that no cache
 * holds: asked for together, the waits for them lie beside each other, not one behind the other. Answers something made
 * of what was read, so that the reading is not left out as useless.
 */
function fetch(input: ChunkInput, order: Uint32Array, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at < to; at++) {
    const i = order[at]!;
    const b = input.bytes(i);
    const o = input.offset(i);
    const last = b.length - 1;
    sum ^= b[o]! ^ b[Math.min(o + 64, last)]! ^ b[Math.min(o + 128, last)]! ^ b[Math.min(o + 192, last)]!;
  }
  return sum;
}

/** Puts the parts of a chunk together. */
export function imageOf(meta: ChunkMeta, blocks: readonly Uint8Array[], end: ChunkEnd): ChunkImage {
  const parts = [encodeChunkHeader(meta), ...blocks, ...end.indexes, end.footerPiece, end.trailer];
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  return { meta, file: chunkFileName(meta), parts, bytes, root: end.footer.root, totals: end.footer.totals };
}

/** Records by room: which room each is of, how many a room has, and the names of the rooms. */
interface Grouped {
  readonly roomOf: Uint32Array;
  readonly counts: number[];
  readonly names: RoomNames;
}

interface SortedRoom {
  readonly number: number;
  readonly slot: number;
  readonly name: Uint8Array;
}

function* groupByRoom(meta: ChunkMeta, input: ChunkInput): Generator<void, Grouped> {
  const roomOf = new Uint32Array(input.count);
  const counts: number[] = [];
  const names = new RoomNames(idKey(idBytes(meta.cluster)));
  for (let start = 0; start < input.count; start += sliceRecords) {
    group(input, start, Math.min(input.count, start + sliceRecords), names, roomOf, counts);
    yield;
  }
  return { roomOf, counts, names };
}

function group(
  input: ChunkInput,
  start: number,
  end: number,
  names: RoomNames,
  roomOf: Uint32Array,
  counts: number[],
): void {
  for (let i = start; i < end; i++) {
    const b = input.bytes(i);
    const o = input.offset(i);
    const room = names.numberOf(b, o + recordHeaderBytes, textLength(b, o, roomText));
    roomOf[i] = room;
    if (room === counts.length) counts.push(1);
    else counts[room]!++;
  }
}

/**
 * Numbers the rooms 0, 1, 2 … as they come. Names are kept close together, so that comparing one touches no record: with
 * many rooms those are spread over memory that no cache holds.
 */
class RoomNames {
  readonly #key: IdKey;
  readonly #hash: IdHash = { high: 0, low: 0 };
  #bytes = new Uint8Array(4_096);
  #fill = 0;
  /** Where the name of each room begins; one more at the end. */
  readonly #starts: number[] = [0];
  /** Open addressing: a room's number plus one, 0 = free. At most half full. */
  #table = new Uint32Array(1_024);
  #last = -1;

  constructor(key: IdKey) {
    this.#key = key;
  }

  get count(): number {
    return this.#starts.length - 1;
  }

  nameOf(room: number): Uint8Array {
    return this.#bytes.subarray(this.#starts[room], this.#starts[room + 1]);
  }

  numberOf(b: Uint8Array, start: number, length: number): number {
    if (this.#last >= 0 && this.#is(this.#last, b, start, length)) return this.#last;
    const table = this.#table;
    hashRoom(this.#key, b, start, length, this.#hash);
    let place = this.#hash.low & (table.length - 1);
    while (table[place] !== 0) {
      const room = table[place]! - 1;
      if (this.#is(room, b, start, length)) {
        this.#last = room;
        return room;
      }
      place = (place + 1) & (table.length - 1);
    }
    this.#last = this.#append(b, start, length);
    table[place] = this.#last + 1;
    if (this.count * 2 > table.length) this.#enlarge();
    return this.#last;
  }

  #is(room: number, b: Uint8Array, start: number, length: number): boolean {
    const at = this.#starts[room]!;
    return this.#starts[room + 1]! - at === length && sameBytes(this.#bytes, at, b, start, length);
  }

  #append(b: Uint8Array, start: number, length: number): number {
    if (this.#fill + length > this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(b.subarray(start, start + length), this.#fill);
    this.#fill += length;
    this.#starts.push(this.#fill);
    return this.count - 1;
  }

  #enlarge(): void {
    const table = new Uint32Array(this.#table.length * 4);
    for (let room = 0; room < this.count; room++) {
      const at = this.#starts[room]!;
      hashRoom(this.#key, this.#bytes, at, this.#starts[room + 1]! - at, this.#hash);
      let place = this.#hash.low & (table.length - 1);
      while (table[place] !== 0) place = (place + 1) & (table.length - 1);
      table[place] = room + 1;
    }
    this.#table = table;
  }
}

/** Rooms in the order of the chunk: first by slot, counted, then by name within a slot, where there are few. */
function* sortRooms({ names }: Grouped): Generator<void, SortedRoom[]> {
  const bySlot = new Map<number, SortedRoom[]>();
  for (let number = 0; number < names.count; number++) {
    if (number % sliceRooms === sliceRooms - 1) yield;
    const name = names.nameOf(number);
    const room = { number, slot: slotOf(name), name };
    const others = bySlot.get(room.slot);
    if (others === undefined) bySlot.set(room.slot, [room]);
    else others.push(room);
  }
  const sorted: SortedRoom[] = [];
  for (const slot of [...bySlot.keys()].sort((a, b) => a - b)) {
    const rooms = bySlot.get(slot)!.sort((a, b) => compareBytes(a.name, b.name));
    for (const room of rooms) sorted.push(room);
    if (sorted.length % sliceRooms < rooms.length) yield;
  }
  return sorted;
}

/** The records' numbers, room after room, within a room in log order. */
function* arrange(grouped: Grouped, rooms: readonly SortedRoom[], count: number): Generator<void, Uint32Array> {
  const next = new Uint32Array(rooms.length);
  let start = 0;
  for (const room of rooms) {
    next[room.number] = start;
    start += grouped.counts[room.number]!;
  }
  const order = new Uint32Array(count);
  for (let first = 0; first < count; first += sliceNumbers) {
    placeRecords(grouped.roomOf, next, order, first, Math.min(count, first + sliceNumbers));
    yield;
  }
  return order;
}

function placeRecords(roomOf: Uint32Array, next: Uint32Array, order: Uint32Array, first: number, end: number): void {
  for (let i = first; i < end; i++) order[next[roomOf[i]!]!++] = i;
}
