import { assert } from "../base/assert.ts";
import type { LogIndex } from "../base/ids.ts";
import { arenaBits, arenaBytes, type RecordPart } from "../storage/chunk/record-parts.ts";
import type { Arenas } from "./arenas.ts";

/**
 * The part of the log that one day chunk will hold, in memory: the payloads of its entries, and where in them the
 * accepted messages stand, in log order. The chunk is built from it; until the chunk is durable, history is read from
 * it. Until then bytes never move and are never changed once an entry is applied. Then the part is let go, and its memory
 * holds other messages: whoever wants to keep one for longer than a turn copies it.
 *
 * An address is a whole number below 2^32: the arena's number times 4 MiB, plus the offset in it.
 */
export class TailPart {
  /** The part holds entries behind this index. */
  readonly from: LogIndex;
  readonly #memory: Arenas;
  #arenas: Uint8Array[] = [];
  #used = 0;
  #bytes = 0;
  #addresses = new Uint32Array(64);
  /** For each accepted message, the number of its room's one before it in this part; `none` when there is none. */
  #previous = new Int32Array(64);
  #count = 0;

  constructor(from: LogIndex, memory: Arenas) {
    this.from = from;
    this.#memory = memory;
  }

  /** Bytes of all payloads taken in. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Accepted messages; none once it is let go. */
  get count(): number {
    return this.#count;
  }

  /** Copies an entry's payload in and answers its address. */
  take(payload: Uint8Array): number {
    assert(payload.length <= arenaBytes, "an entry does not fit an arena");
    let arena = this.#arenas.at(-1);
    // Nothing begins at an arena's end, an empty payload neither: its address would be in the next one.
    if (arena === undefined || this.#used >= arena.length || this.#used + payload.length > arena.length) {
      arena = this.#memory.take(this.#arenas.length, payload.length);
      this.#arenas.push(arena);
      assert(this.#arenas.length <= 1024, "a chunk's part of the log outgrew its addresses");
      this.#used = 0;
    }
    const address = (this.#arenas.length - 1) * arenaBytes + this.#used;
    arena.set(payload, this.#used);
    // Into shared memory bytes are copied eight at a time only when both ends lie on eights.
    this.#used = (this.#used + payload.length + 7) & ~7;
    this.#bytes += payload.length;
    return address;
  }

  /** The bytes that an address lies in; `offsetOf` says where in them. */
  bytesAt(address: number): Uint8Array {
    return this.#arenas[address >>> arenaBits]!;
  }

  offsetOf(address: number): number {
    return address & (arenaBytes - 1);
  }

  /**
   * Notes an accepted message, and answers its number in this part, from 0 on. `previous` is that of its room's one before
   * it here; `none` when it is the first. Called in log order.
   */
  note(address: number, previous: number): number {
    const number = this.#count++;
    if (number === this.#addresses.length) {
      const addresses = new Uint32Array(number * 2);
      addresses.set(this.#addresses);
      this.#addresses = addresses;
      const before = new Int32Array(number * 2);
      before.set(this.#previous);
      this.#previous = before;
    }
    this.#addresses[number] = address;
    this.#previous[number] = previous;
    return number;
  }

  /** The address of the message of this number. */
  addressOf(number: number): number {
    return this.#addresses[number]!;
  }

  /** The number of its room's message before it in this part; `none` when there is none. */
  previousOf(number: number): number {
    return this.#previous[number]!;
  }

  /** Where the accepted messages stand, in log order. The arenas are shared, the addresses copied. */
  records(): RecordPart {
    return { arenas: this.#arenas, addresses: this.#addresses.slice(0, this.#count) };
  }

  /** Its memory goes to other parts: nothing is read here any more, on no thread. */
  letGo(): void {
    this.#memory.giveBack(this.#arenas);
    this.#arenas = [];
    this.#count = 0;
  }
}

/** Where a message's record stands: at `offset` of `bytes`. Filled in by whoever looks it up; used again and again. */
export interface Place {
  bytes: Uint8Array;
  offset: number;
}

export const nowhere = (): Place => ({ bytes: new Uint8Array(0), offset: 0 });

/** Instead of a message's number: there is none. */
const none = -1;

/**
 * One room's messages in one part of the tail. The part links each message to the room's one before it, which is all
 * that is written when a message comes: with ten thousand rooms every message is another room's, and whatever a room
 * keeps is far from the processor. Where the messages stand is looked up when somebody asks, once for each of them.
 */
class RoomRun {
  readonly part: TailPart;
  readonly firstSeq: number;
  count = 0;
  #last = none;
  #looked = 0;
  #addresses: Uint32Array = noAddresses;

  constructor(part: TailPart, firstSeq: number) {
    this.part = part;
    this.firstSeq = firstSeq;
  }

  note(address: number): void {
    this.#last = this.part.note(address, this.#last);
    this.count++;
  }

  /** The address of the run's message at `place`, from 0 on. */
  addressAt(place: number): number {
    if (place >= this.#looked) this.#look();
    return this.#addresses[place]!;
  }

  /** The addresses of the newest messages, at most so many, oldest first. */
  newest(countMax: number): Uint32Array {
    const addresses = new Uint32Array(Math.min(this.count, countMax));
    this.#walk(addresses, 0, addresses.length);
    return addresses;
  }

  #look(): void {
    if (this.#addresses.length < this.count) {
      const addresses = new Uint32Array(Math.max(4, this.count, this.#addresses.length * 2));
      addresses.set(this.#addresses.subarray(0, this.#looked));
      this.#addresses = addresses;
    }
    this.#walk(this.#addresses, this.#looked, this.count);
    this.#looked = this.count;
  }

  // From the newest back: the messages that come before `end` go to `begin` … `end` - 1.
  #walk(into: Uint32Array, begin: number, end: number): void {
    let number = this.#last;
    for (let at = end - 1; at >= begin; at--) {
      into[at] = this.part.addressOf(number);
      number = this.part.previousOf(number);
    }
  }
}

/** Where the unsealed messages of one room stand: a run for each part of the tail that holds some. */
export class RoomTail {
  #newest: RoomRun | null = null;
  /** The runs before it, oldest first; null: none. */
  #older: RoomRun[] | null = null;

  /** Notes the room's next message. Seqs come one after another. Answers true for the room's first in this part. */
  note(part: TailPart, seq: number, address: number): boolean {
    const run = this.#newest;
    if (run !== null && run.part === part) {
      assert(seq === run.firstSeq + run.count, "a hole in a room's tail");
      run.note(address);
      return false;
    }
    if (run !== null) (this.#older ??= []).push(run);
    const next = new RoomRun(part, seq);
    next.note(address);
    this.#newest = next;
    return true;
  }

  /** Lowest seq found here, or null when the room has no unsealed message. */
  get first(): number | null {
    return (this.#older?.[0] ?? this.#newest)?.firstSeq ?? null;
  }

  /** Points `place` at one message; answers false when it is not here. */
  find(seq: number, place: Place): boolean {
    let run = this.#newest;
    for (let older = (this.#older?.length ?? 0) - 1; run !== null && seq < run.firstSeq; older--) {
      run = older < 0 ? null : this.#older![older]!;
    }
    if (run === null || seq >= run.firstSeq + run.count) return false;
    const address = run.addressAt(seq - run.firstSeq);
    place.bytes = run.part.bytesAt(address);
    place.offset = run.part.offsetOf(address);
    return true;
  }

  /**
   * Forgets the messages of a part whose chunk is durable; it is the oldest that is left. Answers the newest of them, at
   * most so many, oldest first, by their addresses; null when there were none.
   */
  drop(part: TailPart, countMax: number): { readonly firstSeq: number; readonly addresses: Uint32Array } | null {
    const run = this.#older?.[0] ?? this.#newest;
    if (run === null || run.part !== part) return null;
    if (this.#older === null) this.#newest = null;
    else {
      this.#older.shift();
      if (this.#older.length === 0) this.#older = null;
    }
    const addresses = run.newest(countMax);
    return { firstSeq: run.firstSeq + run.count - addresses.length, addresses };
  }
}

const noAddresses = new Uint32Array(0);
