import { arenaBytes } from "../storage/chunk/record-parts.ts";

/** A quiet server should not hold 4 MiB for a few messages: the first arenas of a part are small. */
const firstArenaBytes = 65_536;
/** Until an arena is as large as it gets, each is twice as large as the one before. */
const doublings = Math.log2(arenaBytes / firstArenaBytes);

/**
 * The memory that parts of the tail lie in, used again when a part is let go: the system gives out new memory page by
 * page, and that was a tenth of what a message cost.
 *
 * 1. an arena has one owner: a part of the tail, or this
 * 2. free bytes <= what one chunk takes
 */
export class Arenas {
  readonly #isShared: boolean;
  readonly #freeBytesMax: number;
  #free: Uint8Array[] = [];
  #freeBytes = 0;
  /** Fewest free arenas since the last `trim`. */
  #unused = 0;

  /** `isShared`: another thread will read what lies here. */
  constructor(options: { isShared: boolean; chunkBytes: number }) {
    this.#isShared = options.isShared;
    this.#freeBytesMax = Math.max(arenaBytes, options.chunkBytes);
  }

  /** Bytes that no part uses. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** An arena with room for `bytes`, as the part's `number`th, from 0 on. What stands in it is of no meaning. */
  take(number: number, bytes: number): Uint8Array {
    const size = Math.max(firstArenaBytes << Math.min(number, doublings), bytes);
    let best = -1;
    for (const [i, { length }] of this.#free.entries()) {
      if (length >= size && (best < 0 || length < this.#free[best]!.length)) best = i;
    }
    if (best < 0) return this.#isShared ? new Uint8Array(new SharedArrayBuffer(size)) : new Uint8Array(size);
    const [arena] = this.#free.splice(best, 1);
    this.#freeBytes -= arena!.length;
    this.#unused = Math.min(this.#unused, this.#free.length);
    return arena!;
  }

  /** The owner of these looks at them no more. */
  giveBack(arenas: readonly Uint8Array[]): void {
    for (const arena of arenas) {
      if (this.#freeBytes + arena.length > this.#freeBytesMax) continue;
      this.#free.push(arena);
      this.#freeBytes += arena.length;
    }
  }

  /** Called now and then: lets go of as many as nobody has needed since the last time, longest unused first. */
  trim(): void {
    for (const arena of this.#free.splice(0, this.#unused)) this.#freeBytes -= arena.length;
    this.#unused = this.#free.length;
  }
}
