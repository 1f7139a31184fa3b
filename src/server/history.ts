import { assert } from "../base/assert.ts";
import { Fault } from "../base/error-codes.ts";
import { cidText, fromText, recordLength, recordSeq, textLength, textStart } from "../rooms/message-record.ts";
import type { Room } from "../rooms/room.ts";
import type { ChunkStore } from "../storage/chunk/chunk-store.ts";
import type { Damage } from "../storage/damage.ts";
import { fileName } from "../storage/disk.ts";
import { ChunkDamage } from "../storage/chunk/chunk-damage.ts";
import type { ChunkNumber } from "../storage/chunk/chunk-layout.ts";
import type { DamagedReads } from "./damaged-reads.ts";
import { HistoryDamaged, type SeqRange } from "./history-damaged.ts";
import type { LiveRoom } from "./live-room.ts";
import type { MemoryLog } from "./memory-log.ts";
import { nowhere } from "./tail.ts";

/**
 * A message's record: it stands at `offset` of `bytes`, which are never changed: a copy of memory, or a view into a piece
 * of a chunk.
 */
export interface RecordRef {
  readonly seq: number;
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/** Which messages are wanted: `from` … `to`, both included; "down" begins at `to`. */
export interface PageWanted {
  readonly from: number;
  readonly to: number;
  readonly direction: "up" | "down";
  readonly itemsMax: number;
  readonly bytesMax: number;
}

/** Chunks that other servers have. */
export interface OtherCopies {
  /** Whether others are to give this chunk: it is not here, or not sound. */
  isLacking(chunk: number): boolean;
  /** It is here and was found to be damaged: it is lacking from now on. */
  damaged(chunk: number): void;
  /** Waits, not for long, for a chunk that is lacking; answers whether it came. */
  fetch(chunk: number): Promise<boolean>;
}

/** Until somebody is worth asking again who waited for a chunk in vain. */
const lackingRetryMs = 2_000;

/**
 * Messages by their place: from memory where they are there, else from the day chunks. Answers only what the room still
 * keeps, in order and without holes; for what is damaged it rejects with `HistoryDamaged`.
 */
export class History {
  readonly #memory: MemoryLog;
  readonly #chunks: ChunkStore;
  readonly #damagedReads: DamagedReads;
  readonly #others: OtherCopies | null;
  /** Pages read from chunks, and ids looked for in chunks, for metrics. */
  readonly counts = { chunkPages: 0, chunkFinds: 0 };

  constructor(options: {
    memory: MemoryLog;
    chunks: ChunkStore;
    damagedReads: DamagedReads;
    others: OtherCopies | null;
  }) {
    this.#memory = options.memory;
    this.#chunks = options.chunks;
    this.#damagedReads = options.damagedReads;
    this.#others = options.others;
  }

  /**
   * A page, in the direction asked for. Shorter than asked for only at a bound, before what is damaged, or at the end of
   * the range.
   */
  async page(room: Room, wanted: PageWanted): Promise<RecordRef[]> {
    const from = Math.max(wanted.from, room.first);
    const to = Math.min(wanted.to, room.head);
    const found: RecordRef[] = [];
    let bytes = 0;
    /** How many of them are ours; the others stand in memory that the next turn may use for something else. */
    let owned = 0;
    const place = nowhere();
    const add = (seq: number, source: Uint8Array, offset: number): boolean => {
      const length = recordLength(source, offset);
      if (found.length >= wanted.itemsMax || (found.length > 0 && bytes + length > wanted.bytesMax)) return false;
      bytes += length;
      found.push({ seq, bytes: source, offset });
      return true;
    };
    const own = (): RecordRef[] => {
      copyRecords(found, owned);
      owned = found.length;
      return found;
    };
    let next = wanted.direction === "up" ? from : to;
    const step = wanted.direction === "up" ? 1 : -1;
    while (next >= from && next <= to && found.length < wanted.itemsMax) {
      // Asked anew each time: while a chunk was read, others may have been sealed.
      const live = this.#memory.live(room);
      if (live.find(next, place)) {
        if (!add(next, place.bytes, place.offset)) break;
        next += step;
        continue;
      }
      const chunk = room.runs.chunkOf(next);
      // Removed while we read: retention raised `first` over it.
      if (chunk === 0) break;
      this.counts.chunkPages++;
      own();
      const range = wanted.direction === "up" ? { from: next, to } : { from, to: next };
      const left = { itemsMax: wanted.itemsMax - found.length, bytesMax: wanted.bytesMax - bytes };
      let records: Uint8Array[];
      try {
        records = await this.#readChunk(chunk as ChunkNumber, room, { ...wanted, ...range, ...left });
      } catch (cause) {
        if (!(cause instanceof ChunkDamage)) throw cause;
        const damaged = pageDamaged(live, next, wanted.direction, cause);
        this.#damagedReads.met(room, chunk, damaged);
        // What was found before the damage is whole; the damage is met again by who goes on from there.
        if (found.length > 0) break;
        throw damaged;
      }
      if (records.length === 0) break;
      const before = next;
      for (const record of records) {
        // While the chunk was read, retention may have taken what lay before: a page has no hole, so it ends here, or
        // begins with what is still kept.
        const seq = recordSeq(record, 0);
        if (seq !== next && found.length > 0) return found;
        next = seq;
        if (!add(next, record, 0)) break;
        next += step;
      }
      owned = found.length;
      if (next === before || found.length >= wanted.itemsMax || next !== recordSeq(records.at(-1)!, 0) + step) break;
    }
    return own();
  }

  async #readChunk(chunk: ChunkNumber, room: Room, range: PageWanted): Promise<Uint8Array[]> {
    await this.#lacked(chunk);
    if (!this.#chunks.has(chunk)) throw new ChunkDamage(missingChunk(chunk));
    return this.#sound(chunk, async () => (await this.#chunks.read(chunk, room.nameBytes, range)).records);
  }

  /** A chunk that others have and this server has not yet is waited for. Rejects with `unavailable` when that takes too long. */
  async #lacked(chunk: ChunkNumber): Promise<void> {
    if (this.#others?.isLacking(chunk) !== true || this.#chunks.has(chunk)) return;
    if ((await this.#others.fetch(chunk)) || !this.#others.isLacking(chunk)) return;
    throw new Fault("unavailable", "these messages are still being fetched from another server; ask again", {
      retryAfterMs: lackingRetryMs,
    });
  }

  /** What is damaged here may be sound elsewhere: then it is read once more. */
  async #sound<T>(chunk: ChunkNumber, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (cause) {
      if (!(cause instanceof ChunkDamage) || this.#others === null) throw cause;
      this.#others.damaged(chunk);
      if (!(await this.#others.fetch(chunk))) throw cause;
      return read();
    }
  }

  /** One message, or null when the room does not keep it. */
  async message(room: Room, seq: number): Promise<RecordRef | null> {
    const page = await this.page(room, { from: seq, to: seq, direction: "up", itemsMax: 1, bytesMax: 1 });
    return page[0] ?? null;
  }

  /** The message of `from` with this id among the seqs `first` … `last` that the room keeps, or null when there is none. */
  async find(room: Room, from: Uint8Array, cid: Uint8Array, first: number, last: number): Promise<RecordRef | null> {
    const lowest = Math.max(first, room.first);
    const live = this.#memory.live(room);
    const inMemory = this.#findInMemory(live, from, cid);
    if (inMemory !== null) return inMemory.seq >= lowest && inMemory.seq <= last ? inMemory : null;
    // Newest first: a repeat comes soon after its first, as a rule. What is in memory may not be in its chunk yet.
    const { runs } = room;
    const highest = Math.min(last, live.memoryFirst - 1);
    for (let i = runs.length - 1; i >= 0; i--) {
      if (runs.firstSeq(i) > highest) continue;
      if (runs.lastSeq(i) < lowest) break;
      await this.#lacked(runs.chunk(i) as ChunkNumber);
      // Its loss was accepted, and its ids went with it: clients were told by another line.
      if (!this.#chunks.has(runs.chunk(i) as ChunkNumber)) continue;
      this.counts.chunkFinds++;
      const record = await this.#findInChunk(room, i, from, cid);
      if (record === null) continue;
      const ref = { seq: recordSeq(record, 0), bytes: record, offset: 0 };
      return ref.seq >= lowest && ref.seq <= last ? ref : null;
    }
    return null;
  }

  async #findInChunk(room: Room, run: number, from: Uint8Array, cid: Uint8Array): Promise<Uint8Array | null> {
    const chunk = room.runs.chunk(run);
    const whole = { from: Math.max(room.first, room.runs.firstSeq(run)), to: room.runs.lastSeq(run) };
    try {
      const id = { room: room.nameBytes, from, cid };
      return await this.#sound(chunk as ChunkNumber, () => this.#chunks.find(chunk as ChunkNumber, id));
    } catch (cause) {
      if (!(cause instanceof ChunkDamage)) throw cause;
      const range = damagedPart(whole, this.#memory.live(room), cause);
      const consequence = "whether this id is among them can't be told";
      const damaged = new HistoryDamaged(range.from <= range.to ? range : whole, consequence, cause);
      this.#damagedReads.met(room, chunk, damaged);
      throw damaged;
    }
  }

  #findInMemory(live: LiveRoom, from: Uint8Array, cid: Uint8Array): RecordRef | null {
    const seq = live.ids.find(live, from, cid);
    const place = nowhere();
    return seq !== null && live.find(seq, place) ? copyRecords([{ seq, ...place }], 0)[0]! : null;
  }
}

/** Copies the records from the one at `begin` on, in place: together, for a page is let go of as a whole. */
function copyRecords(records: RecordRef[], begin: number): RecordRef[] {
  let length = 0;
  for (let i = begin; i < records.length; i++) length += recordLength(records[i]!.bytes, records[i]!.offset);
  if (length === 0) return records;
  const copy = new Uint8Array(length);
  let at = 0;
  for (let i = begin; i < records.length; i++) {
    const { seq, bytes, offset } = records[i]!;
    const end = offset + recordLength(bytes, offset);
    copy.set(bytes.subarray(offset, end), at);
    records[i] = { seq, bytes: copy, offset: at };
    at += end - offset;
  }
  return records;
}

/** From the place where it was met to the end of what is damaged. The place is part of it, whatever the chunk says. */
function pageDamaged(live: LiveRoom, place: number, direction: "up" | "down", cause: ChunkDamage): HistoryDamaged {
  const { first, runs } = live.room;
  const run = runs.find(place);
  const whole =
    run < runs.length
      ? { from: Math.max(first, runs.firstSeq(run)), to: runs.lastSeq(run) }
      : { from: place, to: place };
  const part = damagedPart(whole, live, cause);
  const range =
    direction === "up"
      ? { from: place, to: Math.max(place, part.to) }
      : { from: Math.min(place, part.from), to: place };
  return new HistoryDamaged(range, `ask for those after ${range.to} or before ${range.from}`, cause);
}

/**
 * What can't be given of the messages that the room keeps in a chunk: those of one block where the damage names them; all,
 * where the chunk can't tell any more what is where. What is in memory as well is given from there.
 */
function damagedPart(whole: SeqRange, live: LiveRoom, { damage }: ChunkDamage): SeqRange {
  const [first, last] = damage.seqs ?? [whole.from, whole.to];
  return { from: Math.max(whole.from, first), to: Math.min(whole.to, last, live.memoryFirst - 1) };
}

/** A chunk that is gone, with the loss accepted: nothing more can be said of it than its number. */
const missingChunk = (chunk: number): Damage => ({
  file: fileName("history"),
  offset: 0,
  length: 0,
  what: `chunk ${chunk} is missing`,
});

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/**
 * The ids of a room's messages in memory. It is only filled for rooms where somebody asks, as far as memory goes at that
 * moment, and costs nothing until then. A message that left memory is found in its chunk.
 *
 * 1. of the messages from `#first` to `#through`, all ids are here
 * 2. memory also grows at its old end, when rings are filled after a start: then all of it is looked through again, for
 *    what memory holds is not looked for in chunks, and an id that is not found is stored
 */
export class MemoryIds {
  readonly #seqs = new Map<string, number>();
  #first = 1;
  #through = 0;

  find(live: LiveRoom, from: Uint8Array, cid: Uint8Array): number | null {
    const first = live.memoryFirst;
    if (first < this.#first || first > this.#through + 1) {
      this.#seqs.clear();
      this.#first = first;
      this.#through = first - 1;
    }
    const place = nowhere();
    for (let seq = this.#through + 1; seq <= live.ring.savePoint; seq++) {
      assert(live.find(seq, place), "a hole in what memory holds of a room");
      const { bytes, offset } = place;
      const fromStart = textStart(bytes, offset, fromText);
      const end = fromStart + textLength(bytes, offset, fromText) + textLength(bytes, offset, cidText);
      const key = `${textLength(bytes, offset, fromText)} ${latin1(bytes.subarray(fromStart, end))}`;
      this.#seqs.set(key, seq);
      this.#through = seq;
    }
    const seq = this.#seqs.get(`${from.length} ${latin1(from)}${latin1(cid)}`);
    return seq === undefined || seq < first ? null : seq;
  }
}
