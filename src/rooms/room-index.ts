import type { Room } from "./room.ts";

/**
 * All rooms of a group, found by the bytes of their name. A room has one place as long as it is here; the place of one
 * that was taken out is free, and the lowest free one is given to the next.
 *
 * Every message asks here for its room, and with ten thousand rooms none of this is in the processor's cache. So what a
 * search reads lies flat and together, and the room itself is touched only when it is the one (measured: asking the
 * rooms for their names took half of a message's time).
 */
export class RoomIndex {
  /** In the order of creation, which the log decides. */
  readonly #rooms: (Room | undefined)[] = [];
  /** Free places, as a heap with the lowest first. */
  readonly #free: number[] = [];
  /** Open addressing, four numbers a slot: place + 1 (0 = free), hash, where the name begins, its length. Half full at most. */
  #table = new Int32Array(64 * 4);
  #mask = 63;
  #names: Uint8Array = new Uint8Array(1024);
  #namesEnd = 0;
  /** Bytes of names of rooms that were taken out. */
  #namesGone = 0;
  /** The one found last: its place + 1, and where its name stands. */
  #last = 0;
  #lastName = 0;
  #lastLength = 0;

  get size(): number {
    return this.#rooms.length - this.#free.length;
  }

  /** Places, free ones included. */
  get places(): number {
    return this.#rooms.length;
  }

  /** The place that the next room will take. */
  get freePlace(): number {
    return this.#free[0] ?? this.#rooms.length;
  }

  /** The room whose name stands in `b` from `start` on, `length` bytes with this hash. */
  find(b: Uint8Array, start: number, length: number, hash: number): Room | undefined {
    const table = this.#table;
    const names = this.#names;
    for (let i = hash & this.#mask; ; i = (i + 1) & this.#mask) {
      const place = table[i * 4]!;
      if (place === 0) return undefined;
      if (table[i * 4 + 1] !== hash || table[i * 4 + 3] !== length) continue;
      const name = table[i * 4 + 2]!;
      let same = 0;
      while (same < length && names[name + same] === b[start + same]) same++;
      if (same < length) continue;
      this.#last = place;
      this.#lastName = name;
      this.#lastLength = length;
      return this.#rooms[place - 1];
    }
  }

  /**
   * The room found last, if it is the one of this name: messages come in runs for one room. It is not the room that is
   * asked for its name, because where they do not come in runs that was a wait for memory in vain, for every message.
   */
  findLast(b: Uint8Array, start: number, length: number): Room | undefined {
    if (this.#last === 0 || this.#lastLength !== length) return undefined;
    const names = this.#names;
    const name = this.#lastName;
    let same = 0;
    while (same < length && names[name + same] === b[start + same]) same++;
    return same === length ? this.#rooms[this.#last - 1] : undefined;
  }

  /** Adds a room whose name is not here. It has the lowest free place, or the one behind all others. */
  add(room: Room): void {
    const { nameBytes, nameHash, place } = room;
    if (this.#namesEnd + nameBytes.length > this.#names.length) this.#makeRoomForNames();
    this.#names.set(nameBytes, this.#namesEnd);
    if (place < this.#rooms.length) takeLowest(this.#free);
    this.#rooms[place] = room;
    if (this.#rooms.length * 2 > this.#mask) this.#grow();
    this.#enter(place + 1, nameHash, this.#namesEnd, nameBytes.length);
    this.#namesEnd += nameBytes.length;
  }

  /** Adds a free place behind all others: what a snapshot tells of one. */
  addFree(): void {
    putLowest(this.#free, this.#rooms.length);
    this.#rooms.push(undefined);
  }

  /** Takes out a room that is here. Nobody may name it by its place any more. */
  remove(room: Room): void {
    const table = this.#table;
    const mask = this.#mask;
    let hole = room.nameHash & mask;
    while (table[hole * 4] !== room.place + 1) hole = (hole + 1) & mask;
    // What stands behind moves up, so that every search still meets it before it meets a hole (Knuth 6.4, algorithm R).
    for (let i = (hole + 1) & mask; table[i * 4] !== 0; i = (i + 1) & mask) {
      const home = table[i * 4 + 1]! & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      table.copyWithin(hole * 4, i * 4, i * 4 + 4);
      hole = i;
    }
    table.fill(0, hole * 4, hole * 4 + 4);
    this.#rooms[room.place] = undefined;
    putLowest(this.#free, room.place);
    this.#namesGone += room.nameBytes.length;
    this.#last = 0;
  }

  /** The room at this place, from 0; undefined where the place is free. */
  at(place: number): Room | undefined {
    return this.#rooms[place];
  }

  /** All rooms, in the order of their places. */
  *[Symbol.iterator](): IterableIterator<Room> {
    for (const room of this.#rooms) if (room !== undefined) yield room;
  }

  /** More space for names; or the same anew without those that are gone, when they take half of it. */
  #makeRoomForNames(): void {
    const before = this.#names;
    const isMostlyGone = this.#namesGone * 2 > this.#namesEnd;
    this.#names = new Uint8Array(isMostlyGone ? before.length : before.length * 2);
    this.#namesEnd = 0;
    this.#namesGone = 0;
    this.#last = 0;
    const table = this.#table;
    for (let at = 0; at < table.length; at += 4) {
      if (table[at] === 0) continue;
      const name = table[at + 2]!;
      this.#names.set(before.subarray(name, name + table[at + 3]!), this.#namesEnd);
      table[at + 2] = this.#namesEnd;
      this.#namesEnd += table[at + 3]!;
    }
  }

  #enter(place: number, hash: number, name: number, length: number): void {
    let i = hash & this.#mask;
    while (this.#table[i * 4] !== 0) i = (i + 1) & this.#mask;
    this.#table[i * 4] = place;
    this.#table[i * 4 + 1] = hash;
    this.#table[i * 4 + 2] = name;
    this.#table[i * 4 + 3] = length;
  }

  #grow(): void {
    const before = this.#table;
    this.#mask = this.#mask * 2 + 1;
    this.#table = new Int32Array(before.length * 2);
    for (let at = 0; at < before.length; at += 4) {
      if (before[at] !== 0) this.#enter(before[at]!, before[at + 1]!, before[at + 2]!, before[at + 3]!);
    }
  }
}

/** Puts a number into a heap whose lowest comes first. */
function putLowest(heap: number[], value: number): void {
  let at = heap.length;
  heap.push(value);
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (heap[above]! <= value) break;
    heap[at] = heap[above]!;
    at = above;
  }
  heap[at] = value;
}

/** Takes the lowest number out of such a heap, which has one. */
function takeLowest(heap: number[]): void {
  const value = heap.pop()!;
  const { length } = heap;
  if (length === 0) return;
  let at = 0;
  for (;;) {
    let below = at * 2 + 1;
    if (below + 1 < length && heap[below + 1]! < heap[below]!) below++;
    if (below >= length || heap[below]! >= value) break;
    heap[at] = heap[below]!;
    at = below;
  }
  heap[at] = value;
}
