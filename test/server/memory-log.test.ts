import { expect, test } from "vitest";

import { type Entry, entryTypes } from "../../src/base/entry.ts";
import type { ClusterId, LogIndex } from "../../src/base/ids.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { Aggregates } from "../../src/rooms/aggregates.ts";
import {
  bodyStart,
  putRecord,
  type RecordParts,
  recordBodyLength,
  recordBytes,
  recordSeq,
} from "../../src/rooms/message-record.ts";
import type { Room } from "../../src/rooms/room.ts";
import { boundsOf } from "../../src/rooms/setting.ts";
import { Arenas } from "../../src/server/arenas.ts";
import type { LiveRoom } from "../../src/server/live-room.ts";
import { MemoryLog } from "../../src/server/memory-log.ts";
import { nowhere, RoomTail, TailPart } from "../../src/server/tail.ts";
import { arenaBytes } from "../../src/storage/chunk/record-parts.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const none = new Uint8Array(0);
const index = (value: number): LogIndex => value as LogIndex;

function record(room: string, seq: number, body: string): Uint8Array {
  const texts = { room: text(room), from: text("alice"), cid: text(`c${seq}`), kind: none, prev: none };
  const rest = { refFrom: none, refKind: none, body: text(body), ref: 0, checked: 0, prevSeq: 0, ts: 1, epoch: 1 };
  const parts: RecordParts = { ...texts, ...rest, seq };
  const bytes = new Uint8Array(recordBytes(parts));
  putRecord(bytes, 0, parts);
  return bytes;
}

/** Rooms, and a memory log that is given their messages. */
class Town {
  readonly memory: MemoryLog;
  readonly rooms: Room[];
  #next = 1;

  constructor(rooms: number, limits: Partial<typeof defaultLimits>) {
    const all = new Aggregates("00112233445566778899aabbccddeeff" as ClusterId, boundsOf(defaultLimits), 7);
    this.rooms = Array.from({ length: rooms }, (_, i) => all.addRoom(text(`room-${i}`)));
    this.memory = new MemoryLog({ limits: { ...defaultLimits, ...limits }, from: index(0), isShared: false });
  }

  post(room: Room, body = "x".repeat(100)): void {
    room.head++;
    const payload = record(room.name, room.head, body);
    const entry = { index: index(this.#next++), type: entryTypes.commands, payload } as unknown as Entry;
    const { part, address } = this.memory.take(entry);
    this.memory.note(this.memory.live(room, room.head - 1), room.head, part, address);
  }

  /** A chunk is sealed and durable. Answers in how many steps memory let go of it. */
  seal(): number {
    const to = index(this.#next - 1);
    this.memory.begin(to);
    return [...this.memory.release(to)].length;
  }
}

function inMemory(live: LiveRoom): number[] {
  const place = nowhere();
  const seqs: number[] = [];
  for (let seq = live.memoryFirst; seq <= live.ring.savePoint; seq++) {
    expect(live.find(seq, place)).toBe(true);
    seqs.push(recordSeq(place.bytes, place.offset));
  }
  return seqs;
}

function bodyOf(live: LiveRoom, seq: number): string {
  const place = nowhere();
  expect(live.find(seq, place)).toBe(true);
  const start = bodyStart(place.bytes, place.offset);
  return new TextDecoder().decode(place.bytes.slice(start, start + recordBodyLength(place.bytes, place.offset)));
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test("messages are found in the tail and, once they left it, in the ring, without a hole in between", () => {
  const town = new Town(3, { ringSlots: 8 });
  const [one, two] = [town.rooms[0]!, town.rooms[1]!];
  for (let part = 0; part < 4; part++) {
    for (let i = 0; i < 5; i++) town.post(one);
    town.post(two);
    if (part < 3) town.seal();
  }
  // Five are in the tail; of those before, whole parts are kept as long as the newest eight need them.
  expect(inMemory(town.memory.live(one))).toEqual(range(6, 20));
  expect(inMemory(town.memory.live(two))).toEqual(range(1, 4));
  expect(town.memory.known(town.rooms[2]!)).toBeUndefined();
});

test("rings stay within their bytes also when every room is talked in all the time", () => {
  const town = new Town(200, { ringBytesMax: 64 * 1024 });
  for (let part = 0; part < 10; part++) {
    for (let i = 0; i < 4; i++) for (const room of town.rooms) town.post(room);
    // Every room has unsealed messages while the part before is let go.
    town.memory.begin(index((part + 1) * 800));
    for (const room of town.rooms) expect(town.memory.live(room).ring.savePoint).toBe(room.head);
    if (part > 0) expect([...town.memory.release(index(part * 800))]).toHaveLength(6);
    expect(town.memory.ringBytes).toBeLessThanOrEqual(64 * 1024);
  }
  let bytes = 0;
  for (const room of town.rooms) bytes += town.memory.live(room).ring.ownBytes;
  expect(town.memory.ringBytes).toBe(bytes);
  for (const room of town.rooms) expect(inMemory(town.memory.live(room)).at(-1)).toBe(room.head);
});

test("of a part with many rooms each leaves its newest, as many as find a place for long; of one with few, all", () => {
  const many = new Town(100, { ringBytesMax: 256 * 1024 });
  for (let i = 0; i < 20; i++) for (const room of many.rooms) many.post(room);
  many.seal();
  // A quarter of the bytes: three or four messages of 160 to 170 bytes each.
  for (const room of many.rooms) expect(inMemory(many.memory.live(room))).toEqual(range(18, 20));
  for (const room of many.rooms) many.post(room);
  many.seal();
  for (const room of many.rooms) expect(inMemory(many.memory.live(room))).toEqual(range(18, 21));
  const few = new Town(2, { ringBytesMax: 256 * 1024 });
  for (let i = 0; i < 20; i++) for (const room of few.rooms) few.post(room);
  few.seal();
  for (const room of few.rooms) expect(inMemory(few.memory.live(room))).toEqual(range(1, 20));
});

test("a part of many rooms is let go in many steps", () => {
  const town = new Town(320, {});
  for (const room of town.rooms) town.post(room);
  expect(town.seal()).toBe(10);
});

test("where a message stands is looked up once, and not before somebody asks", () => {
  class CountingPart extends TailPart {
    asked = 0;
    override previousOf(number: number): number {
      this.asked++;
      return super.previousOf(number);
    }
  }
  const part = new CountingPart(index(0), new Arenas({ isShared: false, chunkBytes: 1 }));
  const tails = [new RoomTail(), new RoomTail()];
  const place = nowhere();
  for (let seq = 1; seq <= 1_000; seq++) {
    for (const [i, tail] of tails.entries()) tail.note(part, seq, part.take(record(`room-${i}`, seq, "x")));
  }
  expect(part.asked).toBe(0);
  for (let round = 0; round < 3; round++) {
    for (let seq = 1; seq <= 1_000; seq++) {
      expect(tails[0]!.find(seq, place)).toBe(true);
      expect(recordSeq(place.bytes, place.offset)).toBe(seq);
    }
  }
  expect(part.asked).toBe(1_000);
  tails[0]!.note(part, 1_001, part.take(record("room-0", 1_001, "x")));
  expect(tails[0]!.find(1_001, place)).toBe(true);
  expect(part.asked).toBe(1_001);
  // What a ring takes over is the newest only, and no more is walked through.
  expect(tails[1]!.drop(part, 10)?.firstSeq).toBe(991);
  expect(part.asked).toBe(1_011);
});

test("memory that a part of the tail leaves is used by the next, and what is kept is not touched by that", () => {
  const town = new Town(1, { chunkBytes: 4_096, ringSlots: 16 });
  const [room] = town.rooms;
  for (let i = 0; i < 40; i++) town.post(room!, `before ${i}`);
  const place = nowhere();
  const live = town.memory.live(room!);
  expect(live.find(40, place)).toBe(true);
  const first = place.bytes;
  town.seal();
  town.seal();
  for (let i = 0; i < 40; i++) town.post(room!, `behind ${i}`);
  expect(live.find(80, place)).toBe(true);
  expect(place.bytes).toBe(first);
  const bodies = inMemory(live).map((seq) => bodyOf(live, seq));
  expect(bodies.slice(0, 16)).toEqual(Array.from({ length: 16 }, (_, i) => `before ${24 + i}`));
  expect(bodies.slice(16)).toEqual(Array.from({ length: 40 }, (_, i) => `behind ${i}`));
});

test("of memory that no part uses, as much is held as a chunk takes, and none that was not needed for long", () => {
  const chunkBytes = 3 * arenaBytes;
  const arenas = new Arenas({ isShared: false, chunkBytes });
  const taken = Array.from({ length: 12 }, (_, i) => arenas.take(i, 1_000));
  expect(taken.map(({ length }) => length / 65_536)).toEqual([1, 2, 4, 8, 16, 32, 64, 64, 64, 64, 64, 64]);
  arenas.giveBack(taken);
  expect(arenas.freeBytes).toBeLessThanOrEqual(chunkBytes);
  expect(arenas.freeBytes).toBeGreaterThan(chunkBytes - arenaBytes);
  // The smallest that is large enough.
  expect(arenas.take(1, 100_000)).toBe(taken[1]);
  expect(arenas.take(0, 300_000).length).toBe(8 * 65_536);
  const free = arenas.freeBytes;
  arenas.trim();
  expect(arenas.freeBytes).toBe(free);
  const wanted = arenas.take(6, 1_000);
  arenas.giveBack([wanted]);
  arenas.trim();
  expect(arenas.freeBytes).toBe(wanted.length);
  arenas.trim();
  expect(arenas.freeBytes).toBe(0);
});

test("an entry without bytes behind a full arena has a place like any other", () => {
  const part = new TailPart(index(0), new Arenas({ isShared: false, chunkBytes: 1 }));
  const full = part.take(new Uint8Array(65_536));
  const empty = part.take(none);
  const next = part.take(Uint8Array.of(7));
  expect(part.bytesAt(full).length).toBe(65_536);
  expect(part.offsetOf(empty)).toBeLessThan(part.bytesAt(empty).length);
  expect(part.bytesAt(next)[part.offsetOf(next)]).toBe(7);
});

test("an entry that is larger than an arena as it comes gets one of its size", () => {
  const arenas = new Arenas({ isShared: true, chunkBytes: 1 });
  const arena = arenas.take(0, 70_000);
  expect(arena.length).toBe(70_000);
  expect(arena.buffer).toBeInstanceOf(SharedArrayBuffer);
});
