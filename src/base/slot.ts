import { type Slot, slot } from "./ids.ts";
import { Sha256 } from "./sha256.ts";

/** The slot of a room or user: the first 12 bits of SHA-256 of the bytes of its name. */
export function slotOf(name: Uint8Array): Slot {
  const hash = new Sha256();
  hash.add(name, 0, name.length);
  const digest = hash.end();
  return slot((digest[0]! << 4) | (digest[1]! >> 4));
}
