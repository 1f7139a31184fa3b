import { Fault } from "../base/error-codes.ts";

/**
 * Cuts a byte stream into lines, whatever the pieces it comes in.
 *
 * 1. The lines that come out are those of the whole stream, at every way of cutting it into chunks.
 * 2. A line longer than `lineBytesMax` (without its end) is refused before more than that is held.
 * 3. A chunk may be reused by its owner once `next` has answered false; before, `rest` says what of it is still needed.
 *
 * ```ts
 * splitter.add(chunk);
 * while (splitter.next()) read(splitter.bytes, splitter.start, splitter.end);
 * ```
 * Lines end with LF; a CR before it belongs to the end. Empty lines are skipped.
 */
export class LineSplitter {
  /** The current line lies in `bytes`, from `start` up to `end`, until `next` is called again. */
  bytes: Uint8Array = nothing;
  start = 0;
  end = 0;

  #lineBytesMax: number;
  #chunk: Uint8Array = nothing;
  #at = 0;
  #held: Uint8Array = nothing;
  #heldBytes = 0;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /** Bytes of a line whose end has not come. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Sets the bound for what comes next: before the greeting it is smaller. */
  allow(lineBytesMax: number): void {
    this.#lineBytesMax = lineBytesMax;
  }

  /** Hands over the next piece of the stream. Everything before it must have been taken with `next`. */
  add(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** What of the chunk was not looked at yet. Whoever needs the chunk's memory hands over a copy of it with `add`. */
  get rest(): Uint8Array {
    return this.#chunk.subarray(this.#at);
  }

  /** Goes to the next line; false when more bytes are needed. Throws `too_large`; the stream cannot be used after that. */
  next(): boolean {
    while (this.#at < this.#chunk.length) {
      const chunk = this.#chunk;
      const from = this.#at;
      const feed = chunk.indexOf(0x0a, from);
      const stop = feed === -1 ? chunk.length : feed;
      // One more than the bound: a CR before the LF does not count, and may come before its LF does.
      if (this.#heldBytes + stop - from > this.#lineBytesMax + 1) throw this.#tooLong();
      this.#at = stop + 1;
      if (feed === -1) {
        this.#hold(chunk, from, stop);
        break;
      }
      if (this.#heldBytes === 0) {
        this.#give(chunk, from, stop);
      } else {
        this.#hold(chunk, from, stop);
        const held = this.#held;
        const length = this.#heldBytes;
        this.#heldBytes = 0;
        if (held.length > heldKeptBytes) this.#held = nothing;
        this.#give(held, 0, length);
      }
      if (this.end > this.start) return true;
    }
    this.#chunk = nothing;
    this.#at = 0;
    return false;
  }

  #give(bytes: Uint8Array, start: number, stop: number): void {
    const end = stop > start && bytes[stop - 1] === 0x0d ? stop - 1 : stop;
    if (end - start > this.#lineBytesMax) throw this.#tooLong();
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  #hold(from: Uint8Array, start: number, stop: number): void {
    this.#held = withRoom(this.#held, this.#heldBytes, stop - start, this.#lineBytesMax + 1);
    this.#held.set(from.subarray(start, stop), this.#heldBytes);
    this.#heldBytes += stop - start;
  }

  #tooLong(): Fault {
    return new Fault("too_large", `a line takes at most ${this.#lineBytesMax} bytes`);
  }
}

const nothing = new Uint8Array(0);

/** What a connection keeps for the next piece; anything larger is let go as soon as it has been given out. */
export const heldKeptBytes = 4096;

/**
 * A buffer that begins with the first `used` bytes of `held` and has room for `more`. Grows by what really came, doubled
 * at most, and never beyond `most`, so that a peer cannot make it larger than what it has sent.
 */
export function withRoom(held: Uint8Array, used: number, more: number, most: number): Uint8Array {
  const needed = used + more;
  if (needed <= held.length) return held;
  const grown = new Uint8Array(Math.max(needed, Math.min(needed * 2, most)));
  grown.set(held.subarray(0, used));
  return grown;
}
