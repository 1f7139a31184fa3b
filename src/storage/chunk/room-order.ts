import { createHash } from "node:crypto";

import { type Slot, slot } from "../../base/ids.ts";

/** The slot of a room: the first 12 bits of SHA-256 of its name's bytes. */
export function slotOfRoom(room: Uint8Array): Slot {
  const digest = createHash("sha256").update(room).digest();
  return slot((digest[0]! << 4) | (digest[1]! >>> 4));
}

/** Whether `length` bytes at `aStart` of `a` and at `bStart` of `b` are the same. */
export function sameBytes(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, length: number): boolean {
  for (let i = 0; i < length; i++) {
    if (a[aStart + i] !== b[bStart + i]) return false;
  }
  return true;
}
