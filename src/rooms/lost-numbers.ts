import { type Entry, entryTypes } from "../base/entry.ts";
import type { Day } from "../base/units.ts";
import type { Chunks } from "./chunks.ts";
import { commandLength, commandType, commandTypes, isCommand } from "./commands.ts";
import { cidText, idOf, prevText, roomText, copyOfText } from "./message-record.ts";
import type { Room } from "./room.ts";
import { chunkFormat, sealReasons } from "./seal.ts";
import type { StateParts } from "./state-parts.ts";

/** Entries that are lost, and what is still there behind them. */
export interface LostEntries {
  /** The day of what comes behind, or of what was before. */
  readonly day: Day;
  /** How many messages of a room the bytes can hold that are lost with them; `nameBytes` is the length of its name. */
  messagesMax(nameBytes: number): number;
  /** All entries that are still to be applied. */
  readonly behind: readonly Entry[];
}

/** Seqs of a room that its lost messages had, and those behind them: no message gets one of them again. */
export interface LostSeqs {
  readonly first: number;
  readonly last: number;
  /** How many messages of the room are lost at most. */
  readonly messagesMax: number;
}

/**
 * The numbers of messages that are lost with entries of a log. Which of them a lost message had nobody can tell, nor what
 * those behind it had:
 *
 * 1. a room goes on behind all numbers that any of them can have had
 * 2. what lies between is a place that can't be read, in a chunk that is not there
 * 3. that chunk is there until `end`, though no room may have anything in it for a while
 */
export class LostNumbers {
  readonly #lost: LostEntries;
  readonly #chunks: Chunks;
  readonly #chunk: number;
  readonly #seqs = new Map<Room, LostSeqs>();
  /** Behind the lost entries: how many messages of each room there are, and how often each id is still to come. */
  readonly #posts = new Map<string, number>();
  readonly #idsAhead = new Map<string, number>();

  /** The state is as it was before the first lost entry, and nothing in it is open. */
  constructor(lost: LostEntries, { chunks, appliedIndex, lastDay, lastTs }: StateParts) {
    this.#lost = lost;
    this.#chunks = chunks;
    this.#chunk = chunks.last + 1;
    const seal = { format: chunkFormat, reason: sealReasons.full, sealedAt: lastTs };
    const nothing = { from: appliedIndex, to: appliedIndex, day: lastDay, messages: 0, bytes: 0, rooms: 1 };
    chunks.live.set(this.#chunk, { ...seal, ...nothing, chunk: this.#chunk, generation: 0 });
    chunks.last = this.#chunk;
    for (const { type, payload } of lost.behind) {
      if (type !== entryTypes.commands) continue;
      for (let o = 0; o < payload.length && isCommand(payload, o, payload.length); o += commandLength(payload, o)) {
        if (commandType(payload, o) !== commandTypes.post) continue;
        const room = latin1(copyOfText(payload, o, roomText));
        this.#posts.set(room, (this.#posts.get(room) ?? 0) + 1);
        const id = idOf(payload, o, cidText);
        this.#idsAhead.set(id, (this.#idsAhead.get(id) ?? 0) + 1);
      }
    }
  }

  /** The seqs of a room that were lost, or may have been; undefined: none. */
  of(room: Room): LostSeqs | undefined {
    return this.#seqs.get(room);
  }

  /** From here on the room's numbers are such as none of its messages had. */
  skip(room: Room): void {
    if (this.#seqs.has(room)) return;
    const messagesMax = this.#lost.messagesMax(room.nameBytes.length);
    if (messagesMax === 0) return;
    const first = Math.max(room.first, room.head + 1);
    const last = room.head + messagesMax + (this.#posts.get(latin1(room.nameBytes)) ?? 0);
    this.#seqs.set(room, { first, last, messagesMax });
    room.head = last;
    if (!room.exists) {
      room.first = last + 1;
      return;
    }
    room.runs.append(this.#chunk, first, last, 0, room.lastTs);
    this.#chunks.live.get(this.#chunk)!.rooms++;
  }

  /** The message at `o` is the next of those behind the lost ones. */
  reached(b: Uint8Array, o: number): void {
    const id = idOf(b, o, cidText);
    this.#idsAhead.set(id, this.#idsAhead.get(id)! - 1);
  }

  /**
   * Whether what the message at `o` follows may be among what is lost. Where both are still to come it was refused, and was
   * sent again in its order.
   */
  mayHoldPrev(room: Room, b: Uint8Array, o: number): boolean {
    return this.#seqs.has(room) && (!this.#isAhead(idOf(b, o, cidText)) || !this.#isAhead(idOf(b, o, prevText)));
  }

  #isAhead(id: string): boolean {
    return (this.#idsAhead.get(id) ?? 0) > 0;
  }

  /** A room that has nothing but lost numbers lets go of their place. False: it has more, or none of them. */
  takeBack(room: Room): boolean {
    const { runs } = room;
    if (runs.length !== 1 || runs.chunk(0) !== this.#chunk) return false;
    runs.dropFirst(1);
    this.#chunks.live.get(this.#chunk)!.rooms--;
    room.first = room.head + 1;
    return true;
  }

  /** Everything was applied. */
  end(): void {
    this.#chunks.live.get(this.#chunk)!.rooms--;
  }
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);
