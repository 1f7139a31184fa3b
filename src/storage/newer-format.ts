import { crc32 } from "node:zlib";
import { getU16, getU32 } from "../base/byte-order.ts";
import { Fault } from "../base/error-codes.ts";
import type { FileName } from "./disk.ts";
import { fileHeaderBytes } from "./file-header.ts";

/**
 * A file that a newer version of this program wrote. It may be perfectly sound, so it is no damage: it is not moved, not
 * replaced and not served around, and whoever needs what is in it is told to ask the version that wrote it.
 */
export class NewerFormat extends Fault {
  readonly file: FileName;
  readonly format: number;

  constructor(file: FileName, format: number, known: number) {
    super(
      "unavailable",
      `${file} has format ${format}, newer than the ${known} this version reads; use the newer version of Synod that wrote it`,
    );
    this.file = file;
    this.format = format;
  }
}

/**
 * The format that the header of a sealed file names, when it is above `known`; else null. Whatever else such a header says
 * may mean something that this version does not know.
 */
export function formatAbove(known: number, header: Uint8Array, magic: string): number | null {
  if (header.length < fileHeaderBytes) return null;
  for (let i = 0; i < magic.length; i++) if (header[i] !== magic.charCodeAt(i)) return null;
  if (getU32(header, fileHeaderBytes - 4) !== crc32(header.subarray(0, fileHeaderBytes - 4))) return null;
  const format = getU16(header, magic.length);
  return format > known ? format : null;
}
