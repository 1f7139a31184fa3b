import { assert } from "./assert.ts";
import { getU32, getU48, putU32, putU48 } from "./byte-order.ts";

const blockBytes = 64;
const headBytes = 38;

/**
 * SHA-256 (FIPS 180-4) that can be put aside half-way and gone on with after a restart, which the platform's own can't:
 * a room's digest goes on from messages that may have been removed since.
 *
 * What is put aside: u48 bytes taken in, the eight words of the state as u32, and the bytes behind the last whole block.
 */
export class Sha256 {
  readonly #state = new Int32Array(beginning);
  readonly #block = new Uint8Array(blockBytes);
  readonly #words = new Int32Array(64);
  #bytes = 0;

  /** Goes on from what `save` answered. */
  static resume(saved: Uint8Array): Sha256 {
    assert(isSaved(saved), "what was saved is no half-way hash");
    const hash = new Sha256();
    hash.#bytes = getU48(saved, 0);
    for (let i = 0; i < 8; i++) hash.#state[i] = getU32(saved, 6 + i * 4);
    hash.#block.set(saved.subarray(headBytes));
    return hash;
  }

  /** Takes in `length` bytes of `b` from `start` on. */
  add(b: Uint8Array, start: number, length: number): void {
    let filled = this.#bytes % blockBytes;
    this.#bytes += length;
    const block = this.#block;
    for (let i = 0; i < length; i++) {
      block[filled++] = b[start + i]!;
      if (filled < blockBytes) continue;
      this.#compress();
      filled = 0;
    }
  }

  /** The hash of all that was taken in. Nothing may be added after. */
  end(): Uint8Array {
    const bits = this.#bytes * 8;
    const padding = new Uint8Array(((119 - (this.#bytes % blockBytes)) % blockBytes) + 9);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    view.setUint32(padding.length - 8, Math.floor(bits / 0x1_0000_0000));
    view.setUint32(padding.length - 4, bits % 0x1_0000_0000);
    this.add(padding, 0, padding.length);
    const digest = new Uint8Array(32);
    const words = new DataView(digest.buffer);
    for (let i = 0; i < 8; i++) words.setInt32(i * 4, this.#state[i]!);
    return digest;
  }

  save(): Uint8Array {
    const rest = this.#bytes % blockBytes;
    const saved = new Uint8Array(headBytes + rest);
    putU48(saved, 0, this.#bytes);
    for (let i = 0; i < 8; i++) putU32(saved, 6 + i * 4, this.#state[i]!);
    saved.set(this.#block.subarray(0, rest), headBytes);
    return saved;
  }

  #compress(): void {
    const block = this.#block;
    const w = this.#words;
    for (let i = 0; i < 16; i++) {
      const at = i * 4;
      w[i] = (block[at]! << 24) | (block[at + 1]! << 16) | (block[at + 2]! << 8) | block[at + 3]!;
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15]!;
      const y = w[i - 2]!;
      const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = w[i - 16]! + low + w[i - 7]! + high;
    }
    const state = this.#state;
    let a = state[0]!;
    let b = state[1]!;
    let c = state[2]!;
    let d = state[3]!;
    let e = state[4]!;
    let f = state[5]!;
    let g = state[6]!;
    let h = state[7]!;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const one = (h + s1 + ((e & f) ^ (~e & g)) + constants[i]! + w[i]!) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + one) | 0;
      d = c;
      c = b;
      b = a;
      a = (one + two) | 0;
    }
    state[0] = state[0]! + a;
    state[1] = state[1]! + b;
    state[2] = state[2]! + c;
    state[3] = state[3]! + d;
    state[4] = state[4]! + e;
    state[5] = state[5]! + f;
    state[6] = state[6]! + g;
    state[7] = state[7]! + h;
  }
}

/** Whether these bytes have the form of what `save` answers. */
export const isSaved = (b: Uint8Array): boolean =>
  b.length >= headBytes && b.length === headBytes + (getU48(b, 0) % blockBytes);

const beginning = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
const constants = new Int32Array([
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
]);
