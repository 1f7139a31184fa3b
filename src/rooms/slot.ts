import { createHash } from "node:crypto";
import { type Slot, slot } from "../base/ids.ts";

/** The slot of a room or user: the first 12 bits of SHA-256 of the bytes of its name. Asked once for each. */
export function slotOf(name: Uint8Array): Slot {
  const digest = createHash("sha256").update(name).digest();
  return slot((digest[0]! << 4) | (digest[1]! >> 4));
}
