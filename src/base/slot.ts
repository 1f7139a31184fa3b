import { type Slot, slot } from "./ids.ts";
import { Sha256 } from "./sha256.ts";

/** The slot of a room or user: the first 12 bits of SHA-256 of the bytes of its name. */
export function slotOf(name: Uint8Array): Slot {
  const digest = new Sha256().update(name).digest();
  return slot((digest[0]! << 4) | (digest[1]! >> 4));
}
