/**
 * A 64-bit hash of a few bytes, in two 32-bit lanes, after MurmurHash3 (Austin Appleby, public domain): four bytes a
 * step. It finds, it never decides: whatever it finds is compared byte for byte. The seed is this server's own, so
 * that nobody can choose names that collide; no state depends on it.
 */
export class ByteHash {
  /** The second lane of the last hash. */
  high = 0;
  readonly #seed: number;
  // Reading four bytes at once takes a view, and one entry's memory is asked about hundreds of times in a row.
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(this.#bytes.buffer);

  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  /** The first lane of the hash of `length` bytes from `start`; the second is in `high`. */
  of(b: Uint8Array, start: number, length: number): number {
    return this.more(this.#seed, ~this.#seed, b, start, length);
  }

  /** Goes on from two lanes with more bytes: a key of several parts. */
  more(low: number, high: number, b: Uint8Array, start: number, length: number): number {
    if (b !== this.#bytes) {
      this.#bytes = b;
      this.#view = new DataView(b.buffer, b.byteOffset, b.byteLength);
    }
    const view = this.#view;
    let one = low | 0;
    let two = high | 0;
    let at = start;
    const end = start + length;
    for (const last = end - 4; at <= last; at += 4) {
      const word = view.getInt32(at, true);
      one = Math.imul(one ^ Math.imul(word, 0xcc9e2d51), 0x1b873593);
      one ^= one >>> 15;
      two = Math.imul(two ^ Math.imul(word, 0x85ebca6b), 0xc2b2ae35);
      two ^= two >>> 13;
    }
    // The rest, and the length, so that parts do not run into each other.
    let rest = length << 24;
    if (at < end) rest ^= b[at]!;
    if (at + 1 < end) rest ^= b[at + 1]! << 8;
    if (at + 2 < end) rest ^= b[at + 2]! << 16;
    one = Math.imul(one ^ Math.imul(rest, 0xcc9e2d51), 0x1b873593);
    two = Math.imul(two ^ Math.imul(rest, 0x85ebca6b), 0xc2b2ae35);
    one = Math.imul(one ^ (one >>> 16) ^ two, 0x85ebca6b);
    two = Math.imul(two ^ (two >>> 16) ^ one, 0xc2b2ae35);
    this.high = two ^ (two >>> 15);
    return one ^ (one >>> 13);
  }
}

/** Whether `name` is what stands in `b` from `start` on, `length` bytes. */
export function sameBytes(name: Uint8Array, b: Uint8Array, start: number, length: number): boolean {
  if (name.length !== length) return false;
  for (let i = 0; i < length; i++) if (name[i] !== b[start + i]) return false;
  return true;
}
