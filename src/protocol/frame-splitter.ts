import { getU32 } from "../base/byte-order.ts";
import { Fault } from "../base/error-codes.ts";
import { headAt, lengthBytes } from "./layout.ts";
import { heldKeptBytes, withRoom } from "./line-splitter.ts";

/**
 * Cuts a byte stream into binary frames, whatever the pieces it comes in.
 *
 * 1. The frames that come out are those of the whole stream, at every way of cutting it into chunks.
 * 2. A declared length is checked as soon as its four bytes are there: below the fixed header or above
 *    `frameBytesMax` (the length field included) the stream is refused, and nothing is held for it.
 * 3. Only bytes that have come are held; a declared length allocates nothing.
 * 4. A chunk may be reused by its owner once `next` has answered false; before, `rest` says what of it is still needed.
 *
 * ```ts
 * splitter.add(chunk);
 * while (splitter.next()) read(splitter.bytes, splitter.start, splitter.end);
 * ```
 */
export class FrameSplitter {
  /** The current frame lies in `bytes`, from `start` up to `end`, until `next` is called again. */
  bytes: Uint8Array = nothing;
  start = 0;
  end = 0;

  #frameBytesMax: number;
  #chunk: Uint8Array = nothing;
  #at = 0;
  #held: Uint8Array = nothing;
  #heldBytes = 0;

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax;
  }

  /** Bytes of a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Sets the bound for what comes next: before the greeting it is smaller. */
  allow(frameBytesMax: number): void {
    this.#frameBytesMax = frameBytesMax;
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

  /** Goes to the next frame; false when more bytes are needed. Throws a `Fault`; the stream cannot be used after that. */
  next(): boolean {
    if (this.#heldBytes > 0) return this.#nextFromHeld();
    const chunk = this.#chunk;
    const at = this.#at;
    const left = chunk.length - at;
    if (left >= lengthBytes) {
      const size = frameSize(chunk, at, this.#frameBytesMax);
      if (size <= left) {
        this.bytes = chunk;
        this.start = at;
        this.end = at + size;
        this.#at = at + size;
        return true;
      }
    }
    this.#take(left, this.#frameBytesMax);
    return false;
  }

  /** Completes the held frame from the chunk, first its length and then the rest. */
  #nextFromHeld(): boolean {
    if (this.#heldBytes < lengthBytes) this.#take(lengthBytes - this.#heldBytes, lengthBytes);
    if (this.#heldBytes < lengthBytes) return false;
    const size = frameSize(this.#held, 0, this.#frameBytesMax);
    this.#take(size - this.#heldBytes, size);
    if (this.#heldBytes < size) return false;
    this.bytes = this.#held;
    this.start = 0;
    this.end = size;
    this.#heldBytes = 0;
    if (this.#held.length > heldKeptBytes) this.#held = nothing;
    return true;
  }

  /** Moves up to `count` bytes of the chunk into what is held, which never grows beyond `most`. */
  #take(count: number, most: number): void {
    const taken = Math.min(count, this.#chunk.length - this.#at);
    if (taken > 0) {
      this.#held = withRoom(this.#held, this.#heldBytes, taken, most);
      this.#held.set(this.#chunk.subarray(this.#at, this.#at + taken), this.#heldBytes);
      this.#heldBytes += taken;
      this.#at += taken;
    }
    if (this.#at === this.#chunk.length) {
      this.#chunk = nothing;
      this.#at = 0;
    }
  }
}

const nothing = new Uint8Array(0);

/** Size of the frame at `at`, its length field included. Throws when the declared length is out of bounds. */
export function frameSize(b: Uint8Array, at: number, frameBytesMax: number): number {
  const size = getU32(b, at) + lengthBytes;
  if (size < headAt.fields) throw new Fault("bad_request", "a frame cannot be shorter than its header");
  if (size > frameBytesMax) throw new Fault("too_large", `a frame takes at most ${frameBytesMax} bytes`);
  return size;
}
