import { getU32, getU48, putU32, putU48 } from "../base/byte-order.ts";
import type { Day } from "../base/units.ts";

/**
 * The payload of an entry of type 2: it names the next day chunk.
 *
 * ```
 *  0 u48 chunk     its number: 1, 2, 3 … per group
 *  6 u48 from      the chunk holds what was accepted in entries (from, to]
 * 12 u48 to        0 = up to the entry before this one
 * 18 u32 day       yyyymmdd
 * 22 u8  format    of the chunk file
 * 23 u8  reason    1 day, 2 full, 3 pressure
 * ```
 */
export interface Seal {
  readonly chunk: number;
  readonly from: number;
  readonly to: number;
  readonly day: Day;
  readonly format: number;
  readonly reason: SealReason;
}

export const sealReasons = { day: 1, full: 2, pressure: 3 } as const;
export type SealReason = (typeof sealReasons)[keyof typeof sealReasons];

/** The chunk format that a seal made by a change of day names. Old logs are applied with it again, so it never changes. */
export const chunkFormat = 1;
export const sealBytes = 24;

export function encodeSeal(seal: Seal): Uint8Array {
  const b = new Uint8Array(sealBytes);
  putU48(b, 0, seal.chunk);
  putU48(b, 6, seal.from);
  putU48(b, 12, seal.to);
  putU32(b, 18, seal.day);
  b[22] = seal.format;
  b[23] = seal.reason;
  return b;
}

/** Reads a seal, or answers null for bytes that are none. */
export function decodeSeal(b: Uint8Array): Seal | null {
  const reason = b[23];
  if (b.length !== sealBytes || (reason !== 1 && reason !== 2 && reason !== 3)) return null;
  // The day of a seal is what its entries carry, so it needs no check of its own.
  const day = getU32(b, 18) as Day;
  return { chunk: getU48(b, 0), from: getU48(b, 6), to: getU48(b, 12), day, format: b[22]!, reason };
}

/** The payload of an entry of type 5: a sealed chunk is written again without what was removed since. */
export interface Rewrite {
  readonly chunk: number;
  readonly generation: number;
}

/** `u48 chunk, u48 generation`. */
export const rewriteBytes = 12;

export function encodeRewrite(rewrite: Rewrite): Uint8Array {
  const b = new Uint8Array(rewriteBytes);
  putU48(b, 0, rewrite.chunk);
  putU48(b, 6, rewrite.generation);
  return b;
}

/** Reads a rewrite, or answers null for bytes that are none. */
export function decodeRewrite(b: Uint8Array): Rewrite | null {
  if (b.length !== rewriteBytes) return null;
  return { chunk: getU48(b, 0), generation: getU48(b, 6) };
}
