import { _SHA256 } from "@noble/hashes/sha2.js";
import { assert } from "./assert.ts";
import { getU32, getU48, putU32, putU48 } from "./byte-order.ts";

const headBytes = 38;

/**
 * SHA-256 that can be put aside half-way and gone on with after a restart, which the platform's own can't: a room's
 * digest goes on from messages that may have been removed since.
 *
 * What is put aside: u48 bytes taken in, the eight words of the state as u32, and the bytes behind the last whole block.
 */
export class Sha256 extends _SHA256 {
  /** Goes on from what `save` answered. */
  static resume(saved: Uint8Array): Sha256 {
    assert(isSaved(saved), "what was saved is no half-way hash");
    const hash = new Sha256();
    hash.length = getU48(saved, 0);
    hash.pos = saved.length - headBytes;
    const word = (i: number): number => getU32(saved, 6 + i * 4);
    hash.set(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7));
    hash.buffer.set(saved.subarray(headBytes));
    return hash;
  }

  /** Takes in `length` bytes of `b` from `start` on. */
  add(b: Uint8Array, start: number, length: number): void {
    if (length >= this.blockLen - this.pos) {
      this.update(b.subarray(start, start + length));
      return;
    }
    // What fills no block goes there byte by byte: a message is a dozen short pieces, and a view of each takes longer.
    for (let i = 0; i < length; i++) this.buffer[this.pos + i] = b[start + i]!;
    this.pos += length;
    this.length += length;
  }

  save(): Uint8Array {
    const saved = new Uint8Array(headBytes + this.pos);
    putU48(saved, 0, this.length);
    for (const [i, word] of this.get().entries()) putU32(saved, 6 + i * 4, word);
    saved.set(this.buffer.subarray(0, this.pos), headBytes);
    return saved;
  }
}

/** Whether these bytes have the form of what `save` answers. */
export const isSaved = (b: Uint8Array): boolean =>
  b.length >= headBytes && b.length === headBytes + (getU48(b, 0) % 64);
