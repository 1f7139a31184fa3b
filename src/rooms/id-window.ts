import { ByteView, copyShort, isSameShort } from "../base/byte-view.ts";
import { roomNumber, type RoomNumbers, roomNumbers } from "./room-numbers.ts";
import type { Cutting } from "./state-cut.ts";

/**
 * The last ids of a group's messages, in the order they were accepted: what makes a repeated send find its first.
 *
 * 1. size <= capacity; the oldest go first
 * 2. an id that goes raises its room's `floor` to its seq: every message above the floor is here
 * 3. a key is the exact bytes of (room, from, cid); the hash only finds it
 *
 * All in flat arrays and one ring of key bytes: adding and finding make no object. What one search reads of an entry lies
 * together, because with many senders every search is a walk into cold memory. The arrays start small and double; that
 * decides nothing.
 */
export class IdWindow {
  #capacity: number;
  readonly #cutting: Cutting;
  /** Entries are counted from 0; entry n is at place n & mask of the arrays. */
  #oldest = 0;
  #next = 0;
  #mask = 0;
  /** Of the rooms, by their place: an id that goes raises its room's floor there, and the room itself is left alone. */
  readonly #rooms: RoomNumbers;
  /** Eight numbers of each place, as named by `field`. */
  #numbers: Int32Array = new Int32Array(0);
  /** Three numbers of each place: seq, ts, epoch. */
  #placed: Float64Array = new Float64Array(0);
  /** Open addressing, two numbers a slot: place + 1 (0 = free) and the hash's first lane. At most half full. */
  #table: Int32Array = new Int32Array(0);
  #tableMask = 0;
  /** Key bytes. Positions are counted on and on; a key never wraps, and stands at position & (length - 1). */
  #keys: Uint8Array = new Uint8Array(4096);
  #keysEnd = 0;
  #keysView = new DataView(this.#keys.buffer);
  readonly #asked = new ByteView();

  constructor(capacity: number, cutting: Cutting, rooms: RoomNumbers) {
    this.#rooms = rooms;
    this.#capacity = capacity;
    this.#cutting = cutting;
    this.#layOut(Math.min(1024, powerOfTwo(capacity)));
  }

  get size(): number {
    return this.#next - this.#oldest;
  }
  /** The oldest and one past the newest entry, for walking in order of acceptance. */
  get oldest(): number {
    return this.#oldest;
  }
  get next(): number {
    return this.#next;
  }

  /**
   * The entry whose key is room and from, which stand at `start`, and the cid at `cidStart`; -1 when there is none.
   * The cid stands elsewhere when it is that of `prev`.
   */
  find(
    b: Uint8Array,
    start: number,
    roomLength: number,
    fromLength: number,
    cidStart: number,
    cidLength: number,
    low: number,
    high: number,
  ): number {
    const table = this.#table;
    const lengths = roomLength | (fromLength << 8) | (cidLength << 16);
    for (let i = low & this.#tableMask; ; i = (i + 1) & this.#tableMask) {
      const place = table[i * 2]! - 1;
      if (place < 0) return -1;
      if (table[i * 2 + 1] !== low) continue;
      const numbers = this.#numbers;
      const at = place * fields;
      if (numbers[at + field.high] !== high || numbers[at + field.lengths] !== lengths) continue;
      const key = numbers[at + field.key]!;
      const shared = roomLength + fromLength;
      if (this.#same(key, b, start, shared) && this.#same(key + shared, b, cidStart, cidLength)) {
        return this.#oldest + ((place - this.#oldest) & this.#mask);
      }
    }
  }

  /** Whether this entry, if it is still here, has the cid that stands at `start`. Its room and sender are not compared. */
  hasCid(entry: number, b: Uint8Array, start: number, length: number): boolean {
    if (entry < this.#oldest) return false;
    const at = (entry & this.#mask) * fields;
    const lengths = this.#numbers[at + field.lengths]!;
    if (lengths >>> 16 !== length) return false;
    return this.#same(this.#numbers[at + field.key]! + (lengths & 0xff) + ((lengths >> 8) & 0xff), b, start, length);
  }

  seq(entry: number): number {
    return this.#placed[(entry & this.#mask) * 3]!;
  }
  ts(entry: number): number {
    return this.#placed[(entry & this.#mask) * 3 + 1]!;
  }
  epoch(entry: number): number {
    return this.#placed[(entry & this.#mask) * 3 + 2]!;
  }
  digestLow(entry: number): number {
    return this.#numbers[(entry & this.#mask) * fields + field.digestLow]!;
  }
  digestHigh(entry: number): number {
    return this.#numbers[(entry & this.#mask) * fields + field.digestHigh]!;
  }
  /** The place of its room: as long as an id of it is here, a room is not taken out. */
  roomPlace(entry: number): number {
    return this.#numbers[(entry & this.#mask) * fields + field.room]!;
  }
  /** Gives `take` where the sender's name and the cid of an entry stand: bytes, start and length; good until the next `add`. */
  texts(entry: number, take: (bytes: Uint8Array, start: number, length: number) => void): void {
    const at = (entry & this.#mask) * fields;
    const lengths = this.#numbers[at + field.lengths]!;
    const from = this.#numbers[at + field.key]! + (lengths & 0xff);
    const fromLength = (lengths >> 8) & 0xff;
    take(this.#keys, from, fromLength);
    take(this.#keys, from + fromLength, (lengths >> 16) & 0xff);
  }

  /** Takes in an id that is not here, of the room at this place; its key stands whole at `start`. The oldest goes when there are too many. */
  add(
    room: number,
    b: Uint8Array,
    start: number,
    roomLength: number,
    fromLength: number,
    cidLength: number,
    low: number,
    high: number,
    digestLow: number,
    digestHigh: number,
    seq: number,
    ts: number,
    epoch: number,
  ): void {
    if (this.size === this.#capacity) this.#forgetOldest();
    if (this.size > this.#mask) this.#layOut((this.#mask + 1) * 2);
    const key = this.#putKey(b, start, roomLength + fromLength + cidLength);
    const place = this.#next & this.#mask;
    const numbers = this.#numbers;
    const at = place * fields;
    numbers[at + field.low] = low;
    numbers[at + field.high] = high;
    numbers[at + field.lengths] = roomLength | (fromLength << 8) | (cidLength << 16);
    numbers[at + field.key] = key;
    numbers[at + field.digestLow] = digestLow;
    numbers[at + field.digestHigh] = digestHigh;
    numbers[at + field.room] = room;
    const placed = this.#placed;
    placed[place * 3] = seq;
    placed[place * 3 + 1] = ts;
    placed[place * 3 + 2] = epoch;
    this.#next++;
    this.#enter(place, low);
  }

  /** Changes how many ids are kept; the oldest go when they are too many now. */
  resize(capacity: number): void {
    this.#capacity = capacity;
    while (this.size > capacity) this.#forgetOldest();
  }

  #forgetOldest(): void {
    const place = this.#oldest & this.#mask;
    const room = this.#numbers[place * fields + field.room]!;
    this.#cutting.cut?.idLeaves(this.#oldest, room);
    // Seqs of one room are accepted in ascending order, so the floor only rises.
    this.#rooms.rows[room * roomNumbers + roomNumber.floor] = this.#placed[place * 3]!;
    this.#leave(place, this.#numbers[place * fields + field.low]!);
    this.#oldest++;
  }

  #enter(place: number, low: number): void {
    let i = low & this.#tableMask;
    while (this.#table[i * 2] !== 0) i = (i + 1) & this.#tableMask;
    this.#table[i * 2] = place + 1;
    this.#table[i * 2 + 1] = low;
  }

  /** Takes a place out of the table; what stands behind moves up (Knuth 6.4, algorithm R). */
  #leave(place: number, low: number): void {
    const table = this.#table;
    const mask = this.#tableMask;
    let hole = low & mask;
    while (table[hole * 2] !== place + 1) hole = (hole + 1) & mask;
    for (let i = (hole + 1) & mask; table[i * 2] !== 0; i = (i + 1) & mask) {
      const home = table[i * 2 + 1]! & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      table[hole * 2] = table[i * 2]!;
      table[hole * 2 + 1] = table[i * 2 + 1]!;
      hole = i;
    }
    table[hole * 2] = 0;
  }

  #same(key: number, b: Uint8Array, start: number, length: number): boolean {
    return isSameShort(this.#keysView, key, this.#asked.of(b), start, length);
  }

  /** Copies a key into the ring of keys and answers where it stands. */
  #putKey(b: Uint8Array, start: number, length: number): number {
    for (;;) {
      const keys = this.#keys;
      const mask = keys.length - 1;
      let position = this.#keysEnd;
      const rest = keys.length - (position & mask);
      if (length > rest) position += rest;
      if (position + length - this.#oldestKeyPosition(position) <= keys.length) {
        const at = position & mask;
        copyShort(this.#keysView, at, this.#asked.of(b), start, length);
        this.#keysEnd = position + length;
        return at;
      }
      this.#growKeys();
    }
  }

  /** The position of the oldest key; `none` when there is no key. */
  #oldestKeyPosition(none: number): number {
    if (this.size === 0) return none;
    const key = this.#numbers[(this.#oldest & this.#mask) * fields + field.key]!;
    // It lies less than one turn behind the end, or exactly one when the ring is full.
    const behind = (this.#keysEnd - key) & (this.#keys.length - 1);
    return this.#keysEnd - (behind === 0 ? this.#keys.length : behind);
  }

  #growKeys(): void {
    const before = this.#keys;
    this.#keys = new Uint8Array(before.length * 2);
    this.#keysView = new DataView(this.#keys.buffer);
    let end = 0;
    for (let entry = this.#oldest; entry < this.#next; entry++) {
      const at = (entry & this.#mask) * fields;
      const lengths = this.#numbers[at + field.lengths]!;
      const length = (lengths & 0xff) + ((lengths >> 8) & 0xff) + ((lengths >> 16) & 0xff);
      const key = this.#numbers[at + field.key]!;
      this.#keys.set(before.subarray(key, key + length), end);
      this.#numbers[at + field.key] = end;
      end += length;
    }
    this.#keysEnd = end;
  }

  /** Makes arrays for `places` entries, a power of two, and moves what is here into them. */
  #layOut(places: number): void {
    const numbers = this.#numbers;
    const placed = this.#placed;
    const mask = this.#mask;
    this.#numbers = new Int32Array(places * fields);
    this.#placed = new Float64Array(places * 3);
    this.#table = new Int32Array(places * 4);
    this.#tableMask = places * 2 - 1;
    this.#mask = places - 1;
    for (let entry = this.#oldest; entry < this.#next; entry++) {
      const from = entry & mask;
      const to = entry & this.#mask;
      this.#numbers.set(numbers.subarray(from * fields, (from + 1) * fields), to * fields);
      this.#placed.set(placed.subarray(from * 3, (from + 1) * 3), to * 3);
      this.#enter(to, this.#numbers[to * fields + field.low]!);
    }
  }
}

/** What is where among a place's numbers. `lengths`: of room, from and cid, a byte each; `key`: where it stands; `room`: its place. */
const field = { low: 0, high: 1, lengths: 2, key: 3, digestLow: 4, digestHigh: 5, room: 6 } as const;
/** Seven are used; eight keep a place within one line of the cache. */
const fields = 8;

function powerOfTwo(atLeast: number): number {
  let power = 8;
  while (power < atLeast) power *= 2;
  return power;
}
