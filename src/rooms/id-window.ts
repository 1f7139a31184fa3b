import type { Room } from "./room.ts";

/**
 * The last ids of a group's messages, in the order they were accepted: what makes a repeated send find its first.
 *
 * 1. size <= capacity; the oldest go first
 * 2. an id that goes raises its room's `floor` to its seq: every message above the floor is here
 * 3. a key is the exact bytes of (room, from, cid); the hash only finds it
 *
 * All in flat arrays and one ring of key bytes: adding and finding make no object. The arrays start small and double;
 * that decides nothing.
 */
export class IdWindow {
  #capacity: number;
  /** Entries are counted from 0; entry n is at place n & mask of the arrays. */
  #oldest = 0;
  #next = 0;
  #mask = 0;
  #low!: Int32Array;
  #high!: Int32Array;
  /** Lengths of room, from and cid, a byte each. */
  #lengths!: Int32Array;
  #keyStart!: Float64Array;
  #seq!: Float64Array;
  #ts!: Float64Array;
  #epoch!: Float64Array;
  #digestLow!: Int32Array;
  #digestHigh!: Int32Array;
  #rooms!: (Room | undefined)[];
  /** Open addressing: place + 1 of an entry, 0 = free. At most half full. */
  #table!: Int32Array;
  #tableMask = 0;
  /** Key bytes. Positions are counted on and on; a key never wraps, and stands at position & (length - 1). */
  #keys: Uint8Array = new Uint8Array(4096);
  #keysEnd = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
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
      const place = table[i]! - 1;
      if (place < 0) return -1;
      if (this.#low[place] !== low || this.#high[place] !== high || this.#lengths[place] !== lengths) continue;
      const key = this.#keyStart[place]! & (this.#keys.length - 1);
      const shared = roomLength + fromLength;
      if (this.#same(key, b, start, shared) && this.#same(key + shared, b, cidStart, cidLength)) {
        return this.#oldest + ((place - this.#oldest) & this.#mask);
      }
    }
  }

  seq(entry: number): number {
    return this.#seq[entry & this.#mask]!;
  }
  ts(entry: number): number {
    return this.#ts[entry & this.#mask]!;
  }
  epoch(entry: number): number {
    return this.#epoch[entry & this.#mask]!;
  }
  digestLow(entry: number): number {
    return this.#digestLow[entry & this.#mask]!;
  }
  digestHigh(entry: number): number {
    return this.#digestHigh[entry & this.#mask]!;
  }
  room(entry: number): Room {
    return this.#rooms[entry & this.#mask]!;
  }
  /** A view of the sender's name in an entry's key; good until the next `add`. */
  from(entry: number): Uint8Array {
    const place = entry & this.#mask;
    const start = (this.#keyStart[place]! & (this.#keys.length - 1)) + (this.#lengths[place]! & 0xff);
    return this.#keys.subarray(start, start + ((this.#lengths[place]! >> 8) & 0xff));
  }
  /** A view of the cid in an entry's key; good until the next `add`. */
  cid(entry: number): Uint8Array {
    const place = entry & this.#mask;
    const lengths = this.#lengths[place]!;
    const start = (this.#keyStart[place]! & (this.#keys.length - 1)) + (lengths & 0xff) + ((lengths >> 8) & 0xff);
    return this.#keys.subarray(start, start + ((lengths >> 16) & 0xff));
  }

  /** Takes in an id that is not here; its key stands whole at `start`. The oldest goes when there are too many. */
  add(
    room: Room,
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
    const place = this.#next & this.#mask;
    this.#low[place] = low;
    this.#high[place] = high;
    this.#lengths[place] = roomLength | (fromLength << 8) | (cidLength << 16);
    this.#keyStart[place] = this.#putKey(b, start, roomLength + fromLength + cidLength);
    this.#seq[place] = seq;
    this.#ts[place] = ts;
    this.#epoch[place] = epoch;
    this.#digestLow[place] = digestLow;
    this.#digestHigh[place] = digestHigh;
    this.#rooms[place] = room;
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
    const room = this.#rooms[place]!;
    // Seqs of one room are accepted in ascending order, so the floor only rises.
    room.floor = this.#seq[place]!;
    this.#rooms[place] = undefined;
    this.#leave(place);
    this.#oldest++;
  }

  #enter(place: number, low: number): void {
    let i = low & this.#tableMask;
    while (this.#table[i] !== 0) i = (i + 1) & this.#tableMask;
    this.#table[i] = place + 1;
  }

  /** Takes a place out of the table; what stands behind moves up (Knuth 6.4, algorithm R). */
  #leave(place: number): void {
    const table = this.#table;
    const mask = this.#tableMask;
    let hole = this.#low[place]! & mask;
    while (table[hole] !== place + 1) hole = (hole + 1) & mask;
    for (let i = (hole + 1) & mask; table[i] !== 0; i = (i + 1) & mask) {
      const home = this.#low[table[i]! - 1]! & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      table[hole] = table[i]!;
      hole = i;
    }
    table[hole] = 0;
  }

  #same(key: number, b: Uint8Array, start: number, length: number): boolean {
    const keys = this.#keys;
    for (let i = 0; i < length; i++) if (keys[key + i] !== b[start + i]) return false;
    return true;
  }

  /** Copies a key into the ring of keys and answers its position. */
  #putKey(b: Uint8Array, start: number, length: number): number {
    for (;;) {
      const room = this.#keys.length;
      let position = this.#keysEnd;
      if ((position & (room - 1)) + length > room) position += room - (position & (room - 1));
      const oldest = this.size === 0 ? position : this.#keyStart[this.#oldest & this.#mask]!;
      if (position + length - oldest <= room) {
        const at = position & (room - 1);
        for (let i = 0; i < length; i++) this.#keys[at + i] = b[start + i]!;
        this.#keysEnd = position + length;
        return position;
      }
      this.#growKeys();
    }
  }

  #growKeys(): void {
    const before = this.#keys;
    this.#keys = new Uint8Array(before.length * 2);
    let end = 0;
    for (let entry = this.#oldest; entry < this.#next; entry++) {
      const place = entry & this.#mask;
      const lengths = this.#lengths[place]!;
      const length = (lengths & 0xff) + ((lengths >> 8) & 0xff) + ((lengths >> 16) & 0xff);
      const at = this.#keyStart[place]! & (before.length - 1);
      this.#keys.set(before.subarray(at, at + length), end);
      this.#keyStart[place] = end;
      end += length;
    }
    this.#keysEnd = end;
  }

  /** Makes arrays for `places` entries, a power of two, and moves what is here into them. */
  #layOut(places: number): void {
    const size = this.#low === undefined ? 0 : this.size;
    const from = this.#mask;
    const moved = <T extends Int32Array | Float64Array>(made: T, before: T | undefined): T => {
      if (before === undefined) return made;
      for (let n = 0; n < size; n++) made[(this.#oldest + n) & (places - 1)] = before[(this.#oldest + n) & from]!;
      return made;
    };
    this.#low = moved(new Int32Array(places), this.#low);
    this.#high = moved(new Int32Array(places), this.#high);
    this.#lengths = moved(new Int32Array(places), this.#lengths);
    this.#keyStart = moved(new Float64Array(places), this.#keyStart);
    this.#seq = moved(new Float64Array(places), this.#seq);
    this.#ts = moved(new Float64Array(places), this.#ts);
    this.#epoch = moved(new Float64Array(places), this.#epoch);
    this.#digestLow = moved(new Int32Array(places), this.#digestLow);
    this.#digestHigh = moved(new Int32Array(places), this.#digestHigh);
    const rooms = new Array<Room | undefined>(places).fill(undefined);
    for (let n = 0; n < size; n++) rooms[(this.#oldest + n) & (places - 1)] = this.#rooms[(this.#oldest + n) & from];
    this.#rooms = rooms;
    this.#mask = places - 1;
    this.#table = new Int32Array(places * 2);
    this.#tableMask = places * 2 - 1;
    for (let n = 0; n < size; n++) {
      const place = (this.#oldest + n) & this.#mask;
      this.#enter(place, this.#low[place]!);
    }
  }
}

function powerOfTwo(atLeast: number): number {
  let power = 8;
  while (power < atLeast) power *= 2;
  return power;
}
