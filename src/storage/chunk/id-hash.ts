import { getU32 } from "../../base/byte-order.ts";
import { cidText, fromText, recordHeaderBytes, roomText, textLength } from "../../rooms/message-record.ts";

/**
 * The 64-bit hash a message id is indexed by: HalfSipHash-1-3 (Aumasson, Bernstein) with 64 bits of output, over
 *
 * ```
 * u8 room length, u8 from length, u8 cid length, u8 0, room bytes, from bytes, cid bytes
 * ```
 * The key is the first eight bytes of the cluster id, as two little-endian u32: the same on all servers, and unknown to
 * whoever sends messages, so that nobody can choose ids that all fall on one hash. Lengths are hashed, so that "ab"+"c"
 * is not "a"+"bc".
 */
export interface IdKey {
  readonly k0: number;
  readonly k1: number;
}

export function idKey(cluster: Uint8Array): IdKey {
  return { k0: getU32(cluster, 0), k1: getU32(cluster, 4) };
}

/** Where `hashId` and `hashRecordId` leave their answer, so that no object is made for each message. */
export interface IdHash {
  high: number;
  low: number;
}

/** Hashes the id of the record at `o`: room, from and cid stand there one behind the other. */
export function hashRecordId(key: IdKey, b: Uint8Array, o: number, into: IdHash): void {
  const room = textLength(b, o, roomText);
  const from = textLength(b, o, fromText);
  const cid = textLength(b, o, cidText);
  halfSip(key, room | (from << 8) | (cid << 16), b, o + recordHeaderBytes, room + from + cid, into);
}

/** Hashes the same id given in parts. */
export function hashId(key: IdKey, room: Uint8Array, from: Uint8Array, cid: Uint8Array, into: IdHash): void {
  const whole = new Uint8Array(room.length + from.length + cid.length);
  whole.set(room);
  whole.set(from, room.length);
  whole.set(cid, room.length + from.length);
  halfSip(key, room.length | (from.length << 8) | (cid.length << 16), whole, 0, whole.length, into);
}

/** Hashes a room's name, to group records by room. Never written to disk. */
export function hashRoom(key: IdKey, b: Uint8Array, start: number, length: number, into: IdHash): void {
  halfSip(key, length, b, start, length, into);
}

function halfSip(key: IdKey, first: number, b: Uint8Array, start: number, length: number, into: IdHash): void {
  let v0 = key.k0 | 0;
  let v1 = (key.k1 ^ 0xee) | 0;
  let v2 = key.k0 ^ 0x6c796765;
  let v3 = key.k1 ^ 0x74656462;
  const wordsEnd = start + (length & ~3);
  let word = first | 0;
  let at = start;
  // One word a turn: the lengths, then the bytes, then what is left of them under the total length.
  for (let state = 0; state < 2; ) {
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
    if (at < wordsEnd) {
      word = b[at]! | (b[at + 1]! << 8) | (b[at + 2]! << 16) | (b[at + 3]! << 24);
      at += 4;
    } else if (state === 0) {
      word = (length + 4) << 24;
      for (let i = 0; i < (length & 3); i++) word |= b[wordsEnd + i]! << (8 * i);
      state = 1;
    } else {
      state = 2;
    }
  }
  v2 ^= 0xee;
  for (let round = 0; round < 6; round++) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    if (round === 2) {
      into.low = (v1 ^ v3) >>> 0;
      v1 ^= 0xdd;
    }
  }
  into.high = (v1 ^ v3) >>> 0;
}
