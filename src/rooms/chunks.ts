import type { Day, Timestamp } from "../base/units.ts";
import type { ApplySink, Sealed } from "./apply-sink.ts";
import type { Room } from "./room.ts";
import type { Cutting } from "./state-cut.ts";
import { chunkFormat, type Rewrite, type Seal, type SealReason, sealReasons } from "./seal.ts";

/** A sealed chunk that some room still keeps something of. */
export interface LiveChunk extends Omit<Sealed, "messages" | "bytes"> {
  /** What its present generation holds. */
  messages: number;
  bytes: number;
  /** How often it was written again, as the log says. */
  generation: number;
  /** Rooms that keep something of it. */
  rooms: number;
}

/**
 * Which chunk holds what: the open one, which grows, and the sealed ones that are still needed.
 *
 * 1. every message since the last seal is counted in the open chunk, and its room is in `touched`
 * 2. all of them carry one day: an entry with a later day seals first
 * 3. a live chunk's `rooms` is the number of rooms with a run of it, and is above 0
 */
export class Chunks {
  /** The open chunk holds what was accepted in entries after this one. */
  openFrom = 0;
  openMessages = 0;
  openBytes = 0;
  /** Number of the last sealed chunk. */
  last = 0;
  /** Rooms with messages in the open chunk. In no order: what a seal does to one room says nothing of another. */
  readonly touched: Room[] = [];
  readonly live = new Map<number, LiveChunk>();
  readonly #cutting: Cutting;

  constructor(cutting: Cutting) {
    this.#cutting = cutting;
  }

  /** Counts an accepted message into the open chunk. */
  count(room: Room, seq: number, bytes: number): void {
    if (room.openFirst === 0) {
      room.openFirst = seq;
      this.touched.push(room);
    }
    room.openBytes += bytes;
    this.openBytes += bytes;
    this.openMessages++;
  }

  /** An entry of a later day is about to be applied: what is open belongs to the day before. */
  sealDay(to: number, day: Day, ts: Timestamp, sink: ApplySink): void {
    if (this.openMessages === 0) return;
    this.#seal(to, day, chunkFormat, sealReasons.day, ts, sink);
  }

  /**
   * A seal from the log. One that does not name the next chunk and exactly its range was overtaken (by a change of day,
   * or by a seal of a former leader) and changes nothing.
   */
  seal(seal: Seal, to: number, day: Day, ts: Timestamp, sink: ApplySink): void {
    if (seal.chunk !== this.last + 1 || seal.from !== this.openFrom || (seal.to !== 0 && seal.to !== to)) return;
    this.#seal(to, day, seal.format, seal.reason, ts, sink);
  }

  #seal(to: number, day: Day, format: number, reason: SealReason, ts: Timestamp, sink: ApplySink): void {
    const chunk = this.last + 1;
    const sealed: Sealed = {
      chunk,
      from: this.openFrom,
      to,
      day,
      format,
      reason,
      messages: this.openMessages,
      bytes: this.openBytes,
      sealedAt: ts,
    };
    let rooms = 0;
    for (const room of this.touched) {
      this.#cutting.cut?.roomChanges(room);
      if (room.head >= room.first) {
        room.runs.append(chunk, room.openFirst, room.head, room.openBytes, room.lastTs);
        rooms++;
      }
      room.openFirst = 0;
      room.openBytes = 0;
    }
    this.touched.length = 0;
    this.last = chunk;
    this.openFrom = to;
    this.openMessages = 0;
    this.openBytes = 0;
    if (rooms > 0) this.live.set(chunk, { ...sealed, generation: 0, rooms });
    sink.changed({ type: "sealed", sealed });
    if (rooms === 0) sink.changed({ type: "chunkEmpty", chunk });
  }

  /** The room's `first` was raised: runs wholly below it go, and chunks that nobody needs any more. */
  dropRuns(room: Room, sink: ApplySink): void {
    const gone = room.runs.find(room.first);
    for (let i = 0; i < gone; i++) {
      const chunk = this.live.get(room.runs.chunk(i))!;
      chunk.rooms--;
      if (chunk.rooms > 0) continue;
      this.live.delete(chunk.chunk);
      sink.changed({ type: "chunkEmpty", chunk: chunk.chunk });
    }
    room.runs.dropFirst(gone);
  }

  /** A sealed chunk is written again with what is at or above each room's `first` now. */
  rewrite(rewrite: Rewrite, rooms: Iterable<Room>, sink: ApplySink): void {
    const chunk = this.live.get(rewrite.chunk);
    if (chunk === undefined || rewrite.generation <= chunk.generation) return;
    chunk.generation = rewrite.generation;
    chunk.messages = 0;
    chunk.bytes = 0;
    for (const room of rooms) {
      const { runs } = room;
      const run = runs.ofChunk(rewrite.chunk);
      if (run < 0) continue;
      // Only a room's first run can begin below its `first`.
      if (runs.firstSeq(run) < room.first) {
        this.#cutting.cut?.roomChanges(room);
        runs.shorten(run, room.first, runs.keptBytes(run, room.first));
      }
      chunk.messages += runs.lastSeq(run) - runs.firstSeq(run) + 1;
      chunk.bytes += runs.bytes(run);
    }
    sink.changed({ type: "rewrite", chunk: rewrite.chunk, generation: rewrite.generation });
  }
}
