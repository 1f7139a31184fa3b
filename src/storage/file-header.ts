import { crc32 } from "node:zlib";

import { assert } from "../base/assert.ts";
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../base/byte-order.ts";
import type { ClusterId, Incarnation } from "../base/ids.ts";

/**
 * The first 64 bytes of every sealed file. They say what the file is and whose, so that a file that was copied, swapped
 * or restored into the wrong place is recognised before anything in it is believed.
 *
 * ```
 *  0 8 bytes magic      what kind of file
 *  8 u16 format         how the rest is laid out
 * 10 u8  codec          0 = none
 * 11 u8  key id         0 = not encrypted
 * 12 16 bytes cluster
 * 28 16 bytes incarnation; zeros in a file that is the same on all servers
 * 44 u16 group
 * 46 u48 number         chunk number or log index, whatever counts such files
 * 52 u32 generation
 * 56 u32 0
 * 60 u32 crc32 of the 60 bytes before
 * ```
 */
export const fileHeaderBytes = 64;

export interface FileHeader {
  /** Eight ASCII characters. */
  readonly magic: string;
  readonly format: number;
  readonly cluster: ClusterId;
  /** null in a file that must be the same, byte for byte, on all servers. */
  readonly incarnation: Incarnation | null;
  readonly group: number;
  readonly number: number;
  readonly generation: number;
}

const hexDigits = "0123456789abcdef";
const noIncarnation = "0".repeat(32);

/** The 16 bytes that an id of 32 hex digits stands for. */
export function idBytes(id: ClusterId | Incarnation): Uint8Array {
  assert(/^[0-9a-f]{32}$/.test(id), `an id must be 32 hex digits, not ${JSON.stringify(id)}`);
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(id.slice(i * 2, i * 2 + 2), 16));
}

/** 32 hex digits of the 16 bytes at `at`. */
export function idText(from: Uint8Array, at: number): string {
  let text = "";
  for (let i = at; i < at + 16; i++) text += hexDigits[from[i]! >>> 4]! + hexDigits[from[i]! & 15]!;
  return text;
}

export function encodeFileHeader(header: FileHeader): Uint8Array {
  const b = new Uint8Array(fileHeaderBytes);
  assert(header.magic.length === 8, "a magic has eight characters");
  for (let i = 0; i < 8; i++) b[i] = header.magic.charCodeAt(i);
  putU16(b, 8, header.format);
  b.set(idBytes(header.cluster), 12);
  if (header.incarnation !== null) b.set(idBytes(header.incarnation), 28);
  putU16(b, 44, header.group);
  putU48(b, 46, header.number);
  putU32(b, 52, header.generation);
  putU32(b, 60, crc32(b.subarray(0, 60)));
  return b;
}

/** What a header says, or, as a text, why it says nothing. */
export function decodeFileHeader(b: Uint8Array, magic: string): FileHeader | string {
  if (b.length < fileHeaderBytes) return "the file ends inside its header";
  for (let i = 0; i < 8; i++) {
    if (b[i] !== magic.charCodeAt(i)) return `the header does not begin with ${magic}`;
  }
  if (getU32(b, 60) !== crc32(b.subarray(0, 60))) return "the checksum of the header does not match";
  if (b[10] !== 0 || b[11] !== 0 || getU32(b, 56) !== 0)
    return "the header names a codec or key this version does not know";
  const incarnation = idText(b, 28);
  return {
    magic,
    format: getU16(b, 8),
    cluster: idText(b, 12) as ClusterId,
    incarnation: incarnation === noIncarnation ? null : (incarnation as Incarnation),
    group: getU16(b, 44),
    number: getU48(b, 46),
    generation: getU32(b, 52),
  };
}

/** Compares what a header says with what the file's name and place promise. null: they agree. */
export function headerMismatch(found: FileHeader, expected: FileHeader): string | null {
  if (found.format !== expected.format) {
    return found.format > expected.format
      ? `format ${found.format} is newer than the ${expected.format} this version reads`
      : `format ${found.format} is not the ${expected.format} this version reads`;
  }
  if (found.cluster !== expected.cluster) return `it belongs to cluster ${found.cluster}, not to ${expected.cluster}`;
  if (found.incarnation !== expected.incarnation) {
    return `it belongs to incarnation ${found.incarnation ?? "none"}, not to ${expected.incarnation ?? "none"}`;
  }
  if (found.group !== expected.group) return `it belongs to group ${found.group}, not to ${expected.group}`;
  if (found.number !== expected.number) return `it is number ${found.number}, not ${expected.number}`;
  if (found.generation !== expected.generation)
    return `it is generation ${found.generation}, not ${expected.generation}`;
  return null;
}
