import type { Room } from "./room.ts";

/**
 * All rooms of a group, found by the bytes of their name. Rooms are added and never taken out: a deleted one keeps its
 * numbering.
 *
 * Every message asks here for its room, and with ten thousand rooms none of this is in the processor's cache. So what a
 * search reads lies flat and together, and the room itself is touched only when it is the one (measured: asking the
 * rooms for their names took half of a message's time).
 */
export class RoomIndex {
  /** In the order of creation, which the log decides. */
  readonly #rooms: Room[] = [];
  /** Open addressing, four numbers a slot: place + 1 (0 = free), hash, where the name begins, its length. Half full at most. */
  #table = new Int32Array(64 * 4);
  #mask = 63;
  #names: Uint8Array = new Uint8Array(1024);
  #namesEnd = 0;
  /** The one found last: its place + 1, and where its name stands. */
  #last = 0;
  #lastName = 0;
  #lastLength = 0;

  get size(): number {
    return this.#rooms.length;
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

  /** Adds a room whose name is not here. */
  add(room: Room): void {
    const { nameBytes, nameHash } = room;
    if (this.#namesEnd + nameBytes.length > this.#names.length) {
      const larger = new Uint8Array(this.#names.length * 2);
      larger.set(this.#names);
      this.#names = larger;
    }
    this.#names.set(nameBytes, this.#namesEnd);
    this.#rooms.push(room);
    if (this.#rooms.length * 2 > this.#mask) this.#grow();
    this.#enter(this.#rooms.length, nameHash, this.#namesEnd, nameBytes.length);
    this.#namesEnd += nameBytes.length;
  }

  /** The room at this place, from 0. */
  at(place: number): Room {
    return this.#rooms[place]!;
  }

  /** All rooms, in the order of creation. */
  [Symbol.iterator](): IterableIterator<Room> {
    return this.#rooms.values();
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
