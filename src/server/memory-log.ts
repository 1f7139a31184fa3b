import { AssertionFailure, assert } from "../base/assert.ts";
import { type Entry, entryTypes } from "../base/entry.ts";
import type { LogIndex } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import type { Room } from "../rooms/room.ts";
import { Arenas } from "./arenas.ts";
import { LiveRoom } from "./live-room.ts";
import { type Place, TailPart } from "./tail.ts";

/** Rooms whose messages leave the tail in one step. */
const roomsInStep = 32;

/** What one part of the tail may take of the bytes of all rings. */
const partShare = 1 / 4;

/** Rooms that are named to operators. */
const ringsNamedMax = 20;

/** An entry's payload in memory. */
export interface Held {
  readonly part: TailPart;
  readonly address: number;
}

/** A finished part of the tail: the entries (from, to], and the rooms that have messages in it. */
interface Span {
  readonly part: TailPart;
  /** The last entry of the part; null while it still grows. */
  to: LogIndex | null;
  /** Bytes of the seal it begins with; 0 when it begins otherwise. */
  sealBytes: number;
  readonly rooms: LiveRoom[];
}

/** Added up over rooms. `head` less `savePoint` is what is in order and not saved yet. */
export interface RingTotals {
  readonly rooms: number;
  readonly head: number;
  readonly savePoint: number;
  /** Messages kept beyond the unsealed tail. */
  readonly kept: number;
  /** Rooms with messages that are in order and not saved, at most twenty. */
  readonly unsaved: readonly RingStanding[];
}

/** One room's ring. */
interface RingStanding {
  readonly room: string;
  /** Newest message that is in order, saved or not. */
  readonly head: number;
  /** Newest message that is saved: nothing beyond it is shown to anybody. */
  readonly savePoint: number;
}

/**
 * Everything of the log that this server holds in memory: the unsealed tail, and the recent rings. A part of the tail
 * goes when its chunk is durable; the rings then keep copies of the newest messages, within one budget of bytes.
 *
 * 1. every message above the last durable chunk is here
 * 2. bytes of rings beyond the tail <= limits.ringBytesMax
 */
export class MemoryLog {
  readonly #limits: Limits;
  readonly #arenas: Arenas;
  readonly #spans: Span[] = [];
  /** By the room's place. A list is looked into without asking the room for its hash: every message does it twice. */
  readonly #live: (LiveRoom | undefined)[] = [];
  #lastRoom: Room | null = null;
  #lastLive: LiveRoom | null = null;
  #ringBytes = 0;
  #turn = 0;

  /** `isShared`: chunks are built on another thread, which reads the tail where it lies. */
  constructor(options: { limits: Limits; from: LogIndex; isShared: boolean }) {
    const { limits, from, isShared } = options;
    this.#limits = limits;
    this.#arenas = new Arenas({ isShared, chunkBytes: limits.chunkBytes });
    this.begin(from);
  }

  /** Begins a new part: what follows goes into another chunk. `from` is the last entry of the part before. */
  begin(from: LogIndex): void {
    const last = this.#spans.at(-1);
    if (last !== undefined) last.to = from;
    this.#spans.push({ part: new TailPart(from, this.#arenas), to: null, sealBytes: 0, rooms: [] });
  }

  /**
   * Bytes of the part that still grows, without the seal it begins with: 0 says that there is nothing to seal. With it a
   * seal would call for the next one.
   */
  get openBytes(): number {
    const { part, sealBytes } = this.#spans.at(-1)!;
    return part.bytes - sealBytes;
  }

  /** Bytes of all parts. */
  get unsealedBytes(): number {
    let sum = 0;
    for (const span of this.#spans) sum += span.part.bytes;
    return sum;
  }

  /** Takes an entry's payload in; entries come in order. */
  take(entry: Entry): Held {
    const span = this.#spans.at(-1)!;
    const { part } = span;
    if (entry.type === entryTypes.seal) span.sealBytes = entry.payload.length;
    return { part, address: part.take(entry.payload) };
  }

  /** Notes an accepted message of a room that is kept here; its record stands at `address` of `part`. */
  note(live: LiveRoom, seq: number, part: TailPart, address: number): void {
    live.ring.save(seq);
    if (live.tail.note(part, seq, address)) {
      this.#spanOf(part).rooms.push(live);
      live.usedAt = this.#turn;
    }
  }

  /** What this server keeps about a room. Made on first use, when the room's newest message here is `head`. */
  live(room: Room, head: number = room.head): LiveRoom {
    if (room === this.#lastRoom) return this.#lastLive!;
    let live = this.known(room);
    if (live === undefined) {
      live = new LiveRoom(room, this.#limits.ringSlots, head);
      while (this.#live.length < room.place) this.#live.push(undefined);
      this.#live[room.place] = live;
    }
    this.#lastRoom = room;
    this.#lastLive = live;
    return live;
  }

  /** The same, or undefined when nothing is kept. */
  known(room: Room): LiveRoom | undefined {
    const live = this.#live[room.place];
    return live?.room === room ? live : undefined;
  }

  /** The parts that hold the entries up to `to`, oldest first. They must be finished. */
  partsThrough(to: number): TailPart[] {
    const parts: TailPart[] = [];
    for (const span of this.#spans) {
      if (span.part.from >= to) break;
      assert(span.to !== null && span.to <= to, "a chunk ends in the middle of a part of the tail");
      parts.push(span.part);
    }
    return parts;
  }

  /** All parts of the tail; whoever goes through them step by step may meet one that was let go meanwhile. */
  partsNewestFirst(): TailPart[] {
    return this.#spans.map(({ part }) => part).reverse();
  }

  /** Lets go of the parts up to `to`: their chunk is durable. Rings take copies of what is newest of them. In small steps. */
  *release(to: number): Generator<void, void> {
    while (this.#spans.length > 1 && this.#spans[0]!.to !== null && this.#spans[0]!.to <= to) {
      const { part, rooms } = this.#spans[0]!;
      const countMax = this.#keptOfEach(part, rooms.length);
      for (let i = 0; i < rooms.length; i++) {
        this.#keep(rooms[i]!, part, countMax);
        if (i % roomsInStep === roomsInStep - 1) yield;
      }
      this.#spans.shift();
      part.letGo();
      this.#turn++;
    }
    this.#evict();
  }

  // As many of each room as find a place for long: of what many rooms leave at once most would be copied to be let go of.
  #keptOfEach(part: TailPart, rooms: number): number {
    const records = (this.#limits.ringBytesMax * partShare * part.count) / Math.max(1, part.bytes);
    return Math.min(this.#limits.ringSlots, Math.max(1, Math.floor(records / Math.max(1, rooms))));
  }

  #keep(live: LiveRoom, part: TailPart, countMax: number): void {
    const { ring } = live;
    const left = live.tail.drop(part, countMax);
    live.forgetIds();
    if (left === null) return;
    const { firstSeq, addresses } = left;
    this.#ringBytes -= ring.ownBytes;
    ring.keep(firstSeq, addresses.length, (index, place) => {
      place.bytes = part.bytesAt(addresses[index]!);
      place.offset = part.offsetOf(addresses[index]!);
    });
    this.#ringBytes += ring.ownBytes;
  }

  /** Copies messages of a room that were read from history, newest first, the first of them `lastSeq`, and makes room elsewhere if needed. */
  adopt(live: LiveRoom, lastSeq: number, records: readonly Place[]): void {
    this.#ringBytes -= live.ring.ownBytes;
    live.ring.keepBefore(lastSeq, records);
    this.#ringBytes += live.ring.ownBytes;
    this.#evict();
  }

  /** Called now and then: memory that nothing was written to since the last time goes back to the system. */
  trim(): void {
    this.#arenas.trim();
  }

  /** Bytes of rings beyond the tail. */
  get ringBytes(): number {
    return this.#ringBytes;
  }

  /** Where the rings stand, added up over all rooms that have one. Goes through all of them. */
  rings(): RingTotals {
    const totals = { rooms: 0, head: 0, savePoint: 0, kept: 0 };
    const unsaved: RingStanding[] = [];
    for (const live of this.#live) {
      if (live === undefined) continue;
      const { head, savePoint, kept } = live.ring;
      totals.rooms++;
      totals.head += head;
      totals.savePoint += savePoint;
      totals.kept += kept;
      if (head > savePoint && unsaved.length < ringsNamedMax) unsaved.push({ room: live.room.name, head, savePoint });
    }
    return { ...totals, unsaved };
  }

  // Quiet rooms first, then the others: a room whose ring goes is read from its chunks.
  #evict(): void {
    if (this.#ringBytes <= this.#limits.ringBytesMax) return;
    const filled = this.#live.filter((live): live is LiveRoom => live !== undefined && live.ring.kept > 0);
    filled.sort((a, b) => a.usedAt - b.usedAt);
    for (const live of filled) {
      if (this.#ringBytes <= this.#limits.ringBytesMax * 0.75) break;
      this.#ringBytes -= live.ring.ownBytes;
      live.ring.empty();
      const isQuiet = live.tail.first === null && live.ring.head === live.ring.savePoint;
      if (isQuiet && live.subscriptions.length === 0 && live.waiting === null) {
        this.#live[live.room.place] = undefined;
        if (this.#lastRoom === live.room) this.#lastRoom = null;
      }
    }
  }

  #spanOf(part: TailPart): Span {
    for (let i = this.#spans.length - 1; i >= 0; i--) {
      const span = this.#spans[i]!;
      if (span.part === part) return span;
    }
    throw new AssertionFailure("a part of the tail that was let go");
  }
}
