import { getU32 } from "../base/byte-order.ts";
import { Fault } from "../base/error-codes.ts";
import { headAt, lengthBytes } from "./layout.ts";
import { StreamSplitter } from "./stream-splitter.ts";

/**
 * Cuts a byte stream into binary frames.
 *
 * 1. A declared length is checked as soon as its four bytes are there: below the fixed header or above the bound (the
 *    length field included) the stream is refused, and nothing is held for it.
 * 2. A declared length allocates nothing.
 */
export class FrameSplitter extends StreamSplitter {
  override next(): boolean {
    if (this.heldBytes > 0) return this.#nextFromHeld();
    const { chunk, at } = this;
    const left = chunk.length - at;
    if (left >= lengthBytes) {
      const size = frameSize(chunk, at, this.bytesMax);
      if (size <= left) {
        this.bytes = chunk;
        this.start = at;
        this.end = at + size;
        this.at = at + size;
        return true;
      }
    }
    this.#take(left, this.bytesMax);
    return false;
  }

  /** Completes the held frame from the chunk, first its length and then the rest. */
  #nextFromHeld(): boolean {
    if (this.heldBytes < lengthBytes) this.#take(lengthBytes - this.heldBytes, lengthBytes);
    if (this.heldBytes < lengthBytes) return false;
    const size = frameSize(this.held, 0, this.bytesMax);
    this.#take(size - this.heldBytes, size);
    if (this.heldBytes < size) return false;
    this.bytes = this.giveHeld();
    this.start = 0;
    this.end = size;
    return true;
  }

  /** Holds up to `count` more bytes of the chunk. */
  #take(count: number, most: number): void {
    this.hold(Math.min(this.at + count, this.chunk.length), most);
    if (this.at === this.chunk.length) this.letGo();
  }
}

/** Size of the frame at `at`, its length field included. Throws when the declared length is out of bounds. */
export function frameSize(b: Uint8Array, at: number, frameBytesMax: number): number {
  const size = getU32(b, at) + lengthBytes;
  if (size < headAt.fields) throw new Fault("bad_request", "a frame cannot be shorter than its header");
  if (size > frameBytesMax) throw new Fault("too_large", `a frame takes at most ${frameBytesMax} bytes`);
  return size;
}
