/**
 * Whole numbers in bytes. Everything Synod writes is little-endian; `u48` holds indexes, seqs, terms and times, which
 * stay below 2^48. Byte arithmetic instead of DataView: it is what the engine optimises best, and it needs no object
 * per buffer.
 */
export function getU16(from: Uint8Array, at: number): number {
  return from[at]! | (from[at + 1]! << 8);
}

export function getU32(from: Uint8Array, at: number): number {
  return (from[at]! | (from[at + 1]! << 8) | (from[at + 2]! << 16) | (from[at + 3]! << 24)) >>> 0;
}

export function getU48(from: Uint8Array, at: number): number {
  return getU32(from, at) + getU16(from, at + 4) * 0x1_0000_0000;
}

export function putU16(into: Uint8Array, at: number, value: number): void {
  into[at] = value;
  into[at + 1] = value >>> 8;
}

export function putU32(into: Uint8Array, at: number, value: number): void {
  into[at] = value;
  into[at + 1] = value >>> 8;
  into[at + 2] = value >>> 16;
  into[at + 3] = value >>> 24;
}

export function putU48(into: Uint8Array, at: number, value: number): void {
  // `>>> 0` takes the low 32 bits of any whole number; `%` would call out to a division of floats.
  const low = value >>> 0;
  putU32(into, at, low);
  putU16(into, at + 4, (value - low) / 0x1_0000_0000);
}
