import { crc32 } from "node:zlib";

import { assert } from "../base/assert.ts";
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../base/byte-order.ts";

/**
 * A piece of a sealed file, at most about 64 KiB: the unit that is read, checked and cached. Each says which file it
 * belongs to and where in it it stands, so a piece that a disk wrote to, or read from, the wrong place is not believed.
 *
 * ```
 *  0 u32 crc32 of everything behind it in the piece
 *  4 u32 bytes of payload
 *  8 u8  kind
 *  9 u8  0
 * 10 u16 group
 * 12 u48 file number    chunk number or log index, as in the file's header
 * 18 u32 generation
 * 22 u32 number of the piece, 0, 1, 2 … in its kind
 * 26 u48 offset of the piece in the file
 * 32     payload
 * ```
 */
export const pieceHeaderBytes = 32;

export const pieceKinds = { records: 1, rooms: 2, ids: 3, footer: 4, snapshot: 5, state: 6, digest: 7 } as const;
export type PieceKind = (typeof pieceKinds)[keyof typeof pieceKinds];

/** The file a piece belongs to. */
export interface PieceOwner {
  readonly group: number;
  readonly number: number;
  readonly generation: number;
}

/** Where a piece belongs. */
export interface PiecePlace {
  readonly kind: PieceKind;
  readonly number: number;
  readonly offset: number;
}

/** Fills the header of a piece whose payload stands behind the first 32 bytes of `piece`. Answers its crc32. */
export function sealPiece(piece: Uint8Array, owner: PieceOwner, place: PiecePlace): number {
  assert(piece.length >= pieceHeaderBytes, "a piece has a header");
  putU32(piece, 4, piece.length - pieceHeaderBytes);
  piece[8] = place.kind;
  piece[9] = 0;
  putU16(piece, 10, owner.group);
  putU48(piece, 12, owner.number);
  putU32(piece, 18, owner.generation);
  putU32(piece, 22, place.number);
  putU48(piece, 26, place.offset);
  const crc = crc32(piece.subarray(4));
  putU32(piece, 0, crc);
  return crc;
}

/** Why `piece`, exactly as long as it should be, is not the one that belongs there; null if it is. */
export function pieceFault(piece: Uint8Array, owner: PieceOwner, place: PiecePlace): string | null {
  if (piece.length < pieceHeaderBytes) return "the file ends inside a piece";
  if (getU32(piece, 4) !== piece.length - pieceHeaderBytes) return "a piece has another length than it should";
  if (crc32(piece.subarray(4)) !== getU32(piece, 0)) return "the checksum of a piece does not match";
  if (
    getU16(piece, 10) !== owner.group ||
    getU48(piece, 12) !== owner.number ||
    getU32(piece, 18) !== owner.generation
  ) {
    return `a piece belongs to group ${getU16(piece, 10)}, number ${getU48(piece, 12)}, generation ${getU32(piece, 18)}`;
  }
  if (
    piece[8] !== place.kind ||
    piece[9] !== 0 ||
    getU32(piece, 22) !== place.number ||
    getU48(piece, 26) !== place.offset
  ) {
    return `a piece belongs elsewhere in the file, at offset ${getU48(piece, 26)}`;
  }
  return null;
}
