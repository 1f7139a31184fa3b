import { assert } from "../../base/assert.ts";
import { recordHeaderBytes, recordLength, recordSeq, textLength } from "../../rooms/message-record.ts";
import type { FileName } from "../disk.ts";
import { idBytes } from "../file-header.ts";
import { type ChunkMeta, type ChunkTotals, chunkFileFormat, encodeChunkHeader } from "./chunk-layout.ts";
import { chunkFileName } from "./chunk-name.ts";
import { type ChunkEnd, ChunkWriter } from "./chunk-writer.ts";
import { hashRoom, type IdHash, idKey } from "./id-hash.ts";
import { compareBytes, sameBytes, slotOfRoom } from "./room-order.ts";

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
const sliceRecords = 2_048;
const sliceBytes = 512 * 1024;
const sliceRooms = 256;

/**
 * Builds a chunk: a pure function of `meta` and `input`. Where the records stand in memory, and in how many pieces this
 * is driven, changes no bit of it. Pauses every millisecond or so of work; nothing happens between the pauses, so the
 * caller may leave any time. `input` must not change meanwhile.
 */
export function* buildChunk(meta: ChunkMeta, input: ChunkInput): Generator<void, ChunkImage> {
  assert(meta.format === chunkFileFormat, `chunk format ${meta.format} is not known`);
  assert(meta.from <= meta.to, "a chunk ends behind its beginning");
  const grouped = yield* groupByRoom(meta, input);
  const rooms = yield* sortRooms(grouped, input);
  const order = arrange(grouped, rooms, input.count);

  const blocks: Uint8Array[] = [];
  const writer = new ChunkWriter(meta, input.count, (block) => blocks.push(block));
  let at = 0;
  let records = 0;
  let bytes = 0;
  for (const room of rooms) {
    writer.beginRoom(room.slot, room.name);
    let previous = -1;
    for (let left = grouped.counts[room.number]!; left > 0; left--) {
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
  return imageOf(meta, blocks, yield* writer.finish());
}

/** Puts the parts of a chunk together. */
export function imageOf(meta: ChunkMeta, blocks: readonly Uint8Array[], end: ChunkEnd): ChunkImage {
  const parts = [encodeChunkHeader(meta), ...blocks, ...end.indexes, end.footerPiece, end.trailer];
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  return { meta, file: chunkFileName(meta), parts, bytes, root: end.footer.root, totals: end.footer.totals };
}

/** Records by room: which room each is of, how many a room has, and one record to read the room's name from. */
interface Grouped {
  readonly roomOf: Uint32Array;
  readonly counts: number[];
  readonly examples: number[];
}

interface SortedRoom {
  readonly number: number;
  readonly slot: number;
  readonly name: Uint8Array;
}

function* groupByRoom(meta: ChunkMeta, input: ChunkInput): Generator<void, Grouped> {
  const roomOf = new Uint32Array(input.count);
  const counts: number[] = [];
  const examples: number[] = [];
  const key = idKey(idBytes(meta.cluster));
  const hash: IdHash = { high: 0, low: 0 };
  // Open addressing: a room's number plus one, 0 = free. At most half full.
  let table = new Uint32Array(1024);
  let lastRoom = -1;
  for (let i = 0; i < input.count; i++) {
    if (i % sliceRecords === sliceRecords - 1) yield;
    const b = input.bytes(i);
    const o = input.offset(i);
    if (lastRoom >= 0 && sameRoom(input, examples[lastRoom]!, b, o)) {
      roomOf[i] = lastRoom;
      counts[lastRoom]!++;
      continue;
    }
    if (counts.length * 2 >= table.length) {
      const larger = new Uint32Array(table.length * 4);
      for (let room = 0; room < counts.length; room++) {
        const example = examples[room]!;
        larger[freePlace(larger, input.bytes(example), input.offset(example))] = room + 1;
      }
      table = larger;
    }
    hashRoom(key, b, o + recordHeaderBytes, textLength(b, o, 0), hash);
    let place = hash.low & (table.length - 1);
    while (table[place] !== 0 && !sameRoom(input, examples[table[place]! - 1]!, b, o)) {
      place = (place + 1) & (table.length - 1);
    }
    if (table[place] === 0) {
      counts.push(0);
      examples.push(i);
      table[place] = counts.length;
    }
    lastRoom = table[place]! - 1;
    roomOf[i] = lastRoom;
    counts[lastRoom]!++;
  }
  return { roomOf, counts, examples };

  function freePlace(into: Uint32Array, b: Uint8Array, o: number): number {
    hashRoom(key, b, o + recordHeaderBytes, textLength(b, o, 0), hash);
    let place = hash.low & (into.length - 1);
    while (into[place] !== 0) place = (place + 1) & (into.length - 1);
    return place;
  }
}

function sameRoom(input: ChunkInput, example: number, b: Uint8Array, o: number): boolean {
  const other = input.bytes(example);
  const at = input.offset(example);
  const length = textLength(b, o, 0);
  return (
    textLength(other, at, 0) === length && sameBytes(other, at + recordHeaderBytes, b, o + recordHeaderBytes, length)
  );
}

/** Rooms in the order of the chunk: first by slot, counted, then by name within a slot, where there are few. */
function* sortRooms(grouped: Grouped, input: ChunkInput): Generator<void, SortedRoom[]> {
  const bySlot = new Map<number, SortedRoom[]>();
  for (let number = 0; number < grouped.examples.length; number++) {
    if (number % sliceRooms === sliceRooms - 1) yield;
    const i = grouped.examples[number]!;
    const o = input.offset(i) + recordHeaderBytes;
    const name = input.bytes(i).subarray(o, o + textLength(input.bytes(i), input.offset(i), 0));
    const room = { number, slot: slotOfRoom(name), name };
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
function arrange(grouped: Grouped, rooms: readonly SortedRoom[], count: number): Uint32Array {
  const next = new Uint32Array(rooms.length);
  let start = 0;
  for (const room of rooms) {
    next[room.number] = start;
    start += grouped.counts[room.number]!;
  }
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[next[grouped.roomOf[i]!]!++] = i;
  return order;
}
