import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../../base/byte-order.ts";
import type { GroupId } from "../../base/ids.ts";

/**
 * How a server gets from others what it lacks, by the kind of a frame on the bulk lane; little-endian. Every request
 * stands alone: who answers remembers nothing of who asked.
 *
 * ```
 * 16 want        u48 request, item, u48 offset, u32 bytes wanted
 * 17 piece       u48 request, item that this is of, u48 bytes in all, u48 offset, bytes
 * 18 absent      u48 request: it is not here
 * 19 checkpoint  item, 32 bytes: what the sender has has this digest
 * 20 lacks       u16 group, u32 count, u16 told, u48 each: chunks that the log names and the sender has not, the newest of them
 * item           u8 kind (1 snapshot, 2 chunk), u16 group, u48 number, u32 generation
 * ```
 */
export const catchUpFrameKinds = { want: 16, piece: 17, absent: 18, checkpoint: 19, lacks: 20 } as const;

/**
 * What may be had from any replica that has it, as the same bytes. The number of a chunk is its own; that of a snapshot
 * is its place in the log, and whoever asks for the first byte of one gets that or a later one.
 */
export interface Item {
  readonly kind: "snapshot" | "chunk";
  readonly group: GroupId;
  readonly number: number;
  /** Of a chunk: how often it was written anew; 0 for a snapshot. */
  readonly generation: number;
}

export interface Want {
  readonly type: "want";
  readonly request: number;
  readonly item: Item;
  readonly offset: number;
  readonly length: number;
}

export interface Piece {
  readonly type: "piece";
  readonly request: number;
  readonly item: Item;
  /** Bytes of the whole item. */
  readonly total: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Absent {
  readonly type: "absent";
  readonly request: number;
}

/** A chunk's digest is its root; that of a state is the one it ends with, and its generation the format of its bytes. */
export interface Checkpoint {
  readonly type: "checkpoint";
  readonly item: Item;
  readonly digest: Uint8Array;
}

export interface Lacks {
  readonly type: "lacks";
  readonly group: GroupId;
  readonly count: number;
  /** The newest, at most `lackedToldMax`. */
  readonly chunks: readonly number[];
}

export type CatchUpFrame = Want | Piece | Absent | Checkpoint | Lacks;

/** Lacked chunks that are told by their numbers. */
export const lackedToldMax = 4_096;

/** Bytes of one piece: with what stands around it, it fits any link's bulk frame. */
export const pieceBytesMax = 60 * 1024;

const itemBytes = 13;
const wantBytes = 6 + itemBytes + 10;
const pieceHeadBytes = 6 + itemBytes + 12;
const absentBytes = 6;
const checkpointBytes = itemBytes + 32;
const lacksHeadBytes = 8;
const itemKinds: readonly Item["kind"][] = ["snapshot", "chunk"];

export function encodeCatchUp(frame: CatchUpFrame): { kind: number; payload: Uint8Array } {
  switch (frame.type) {
    case "want": {
      const payload = new Uint8Array(wantBytes);
      putU48(payload, 0, frame.request);
      putItem(payload, 6, frame.item);
      putU48(payload, 6 + itemBytes, frame.offset);
      putU32(payload, 12 + itemBytes, frame.length);
      return { kind: catchUpFrameKinds.want, payload };
    }
    case "piece": {
      const payload = new Uint8Array(pieceHeadBytes + frame.bytes.length);
      putU48(payload, 0, frame.request);
      putItem(payload, 6, frame.item);
      putU48(payload, 6 + itemBytes, frame.total);
      putU48(payload, 12 + itemBytes, frame.offset);
      payload.set(frame.bytes, pieceHeadBytes);
      return { kind: catchUpFrameKinds.piece, payload };
    }
    case "absent": {
      const payload = new Uint8Array(absentBytes);
      putU48(payload, 0, frame.request);
      return { kind: catchUpFrameKinds.absent, payload };
    }
    case "checkpoint": {
      const payload = new Uint8Array(checkpointBytes);
      putItem(payload, 0, frame.item);
      payload.set(frame.digest, itemBytes);
      return { kind: catchUpFrameKinds.checkpoint, payload };
    }
    case "lacks": {
      const { group, count, chunks } = frame;
      const payload = new Uint8Array(lacksHeadBytes + 6 * chunks.length);
      putU16(payload, 0, group);
      putU32(payload, 2, count);
      putU16(payload, 6, chunks.length);
      for (const [at, chunk] of chunks.entries()) putU48(payload, lacksHeadBytes + 6 * at, chunk);
      return { kind: catchUpFrameKinds.lacks, payload };
    }
  }
}

/** Null: it is no such frame. The bytes of a piece are a view. */
export function decodeCatchUp(kind: number, payload: Uint8Array): CatchUpFrame | null {
  switch (kind) {
    case catchUpFrameKinds.want: {
      const item = payload.length === wantBytes ? itemAt(payload, 6) : null;
      if (item === null) return null;
      const length = getU32(payload, 12 + itemBytes);
      if (length === 0 || length > pieceBytesMax) return null;
      return { type: "want", request: getU48(payload, 0), item, offset: getU48(payload, 6 + itemBytes), length };
    }
    case catchUpFrameKinds.piece: {
      const item = payload.length >= pieceHeadBytes ? itemAt(payload, 6) : null;
      if (item === null) return null;
      const [total, offset] = [getU48(payload, 6 + itemBytes), getU48(payload, 12 + itemBytes)];
      const bytes = payload.subarray(pieceHeadBytes);
      if (bytes.length > pieceBytesMax || offset + bytes.length > total) return null;
      return { type: "piece", request: getU48(payload, 0), item, total, offset, bytes };
    }
    case catchUpFrameKinds.absent:
      return payload.length === absentBytes ? { type: "absent", request: getU48(payload, 0) } : null;
    case catchUpFrameKinds.checkpoint: {
      const item = payload.length === checkpointBytes ? itemAt(payload, 0) : null;
      return item === null ? null : { type: "checkpoint", item, digest: payload.subarray(itemBytes) };
    }
    case catchUpFrameKinds.lacks: {
      if (payload.length < lacksHeadBytes) return null;
      const count = getU32(payload, 2);
      const told = getU16(payload, 6);
      if (told > Math.min(count, lackedToldMax) || payload.length !== lacksHeadBytes + 6 * told) return null;
      const chunks = Array.from({ length: told }, (_, at) => getU48(payload, lacksHeadBytes + 6 * at));
      return { type: "lacks", group: getU16(payload, 0) as GroupId, count, chunks };
    }
    default:
      return null;
  }
}

function putItem(into: Uint8Array, at: number, item: Item): void {
  into[at] = itemKinds.indexOf(item.kind) + 1;
  putU16(into, at + 1, item.group);
  putU48(into, at + 3, item.number);
  putU32(into, at + 9, item.generation);
}

function itemAt(bytes: Uint8Array, at: number): Item | null {
  const kind = itemKinds[bytes[at]! - 1];
  if (kind === undefined) return null;
  const group = getU16(bytes, at + 1) as GroupId;
  return { kind, group, number: getU48(bytes, at + 3), generation: getU32(bytes, at + 9) };
}
