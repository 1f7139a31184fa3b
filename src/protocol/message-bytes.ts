import { ByteView, copyShort, setU48 } from "../base/byte-view.ts";
import { putU16, putU32, putU48 } from "../base/byte-order.ts";
import type { RequestId } from "./schema.ts";
import { putUtf8, utf8, utf8Length } from "./utf8.ts";

/**
 * Binary `msg` and `ok` to a send, written from the bytes of a stored message into a buffer that the caller owns. Names
 * and body are copied, never decoded. For solo, leader and equal; the generic codec writes what a mesh adds.
 *
 * Both take a filled-in object that the caller keeps and fills anew for each message, so that nothing is allocated.
 */

/** A stored message as ranges of the bytes it lies in. Room, from, cid and kind stand back to back, in this order. */
export interface MessageRanges {
  source: Uint8Array;
  /** Where the room begins. */
  namesStart: number;
  roomLength: number;
  fromLength: number;
  cidLength: number;
  /** 0 = `text`. */
  kindLength: number;
  bodyStart: number;
  bodyLength: number;
  seq: number;
  ts: number;
  epoch: number;
  /** 0 = none. */
  ref: number;
}

export const messageRanges = (): MessageRanges => ({
  source: new Uint8Array(0),
  namesStart: 0,
  roomLength: 0,
  fromLength: 0,
  cidLength: 0,
  kindLength: 0,
  bodyStart: 0,
  bodyLength: 0,
  seq: 0,
  ts: 0,
  epoch: 0,
  ref: 0,
});

/** What the answer to a send needs beside the message, and what changes only with the leader: made once, used often. */
export interface OkPlace {
  /** Line, leader and node, back to back. */
  readonly bytes: Uint8Array;
  readonly lineLength: number;
  readonly leaderLength: number;
  readonly nodeLength: number;
  /** The same as members of a JSON object: `,"line":"…","leader":"…","node":"…"`. */
  readonly json: Uint8Array;
}

export const okPlace = (place: { readonly line: string; readonly leader: string; readonly node: string }): OkPlace => ({
  bytes: utf8(place.line + place.leader + place.node),
  lineLength: utf8Length(place.line),
  leaderLength: utf8Length(place.leader),
  nodeLength: utf8Length(place.node),
  json: utf8(
    `,"line":${JSON.stringify(place.line)},"leader":${JSON.stringify(place.leader)},"node":${JSON.stringify(place.node)}`,
  ),
});

/** The answer to one send. Room and cid are ranges of `source`. */
export interface OkSendRanges {
  id: RequestId;
  source: Uint8Array;
  roomStart: number;
  roomLength: number;
  cidStart: number;
  cidLength: number;
  seq: number;
  ts: number;
  epoch: number;
  dup: boolean;
  place: OkPlace;
}

export const okSendRanges = (place: OkPlace): OkSendRanges => ({
  id: 0,
  source: new Uint8Array(0),
  roomStart: 0,
  roomLength: 0,
  cidStart: 0,
  cidLength: 0,
  seq: 0,
  ts: 0,
  epoch: 0,
  dup: false,
  place,
});

/**
 * ```
 *  0 u32 length   4 u8 code = 139   5 u8 flags = 0   6 u16 presence   8 u48 0
 * 14 u48 seq, ts, epoch, ref, copies = 0
 * 44 u16 roomLength, fromLength, cidLength, kindLength, atLength = 0
 * 54 u32 bodyLength
 * 58     room, from, cid, kind, body
 * ```
 */
export const messageCode = 139;
export const messageAt = {
  seq: 14,
  ts: 20,
  epoch: 26,
  ref: 32,
  copies: 38,
  room: 44,
  from: 46,
  cid: 48,
  kind: 50,
  at: 52,
  body: 54,
  texts: 58,
} as const;
const messagePresence = { seq: 1, ref: 2 } as const;

/**
 * ```
 *  0 u32 length   4 u8 code = 131   5 u8 flags: 1 text id, 2 dup   6 u16 presence   8 u48 id
 * 14 u48 seq, ts, epoch, copies = 0
 * 38 u16 roomLength, cidLength, lineLength, leaderLength, nodeLength, atLength = 0
 * 50     room, cid, line, leader, node, text id
 * ```
 */
export const okSendCode = 131;
export const okSendAt = {
  seq: 14,
  ts: 20,
  epoch: 26,
  copies: 32,
  room: 38,
  cid: 40,
  line: 42,
  leader: 44,
  node: 46,
  at: 48,
  texts: 50,
} as const;
const okSendPresenceSeq = 1;
const okSendDup = 2;

/** Exact size of the `msg` frame. */
export const messageFrameBytes = (m: MessageRanges): number =>
  messageAt.texts + m.roomLength + m.fromLength + m.cidLength + m.kindLength + m.bodyLength;

/** Writes a `msg` frame at `at` and answers the offset behind it. The caller has made room: `messageFrameBytes`. */
export function putMessageFrame(into: Uint8Array, at: number, m: MessageRanges): number {
  const namesLength = m.roomLength + m.fromLength + m.cidLength + m.kindLength;
  putU32(into, at, messageAt.texts - 4 + namesLength + m.bodyLength);
  into[at + 4] = messageCode;
  into[at + 5] = 0;
  putU16(into, at + 6, m.ref === 0 ? messagePresence.seq : messagePresence.seq | messagePresence.ref);
  putU48(into, at + 8, 0);
  putU48(into, at + messageAt.seq, m.seq);
  putU48(into, at + messageAt.ts, m.ts);
  putU48(into, at + messageAt.epoch, m.epoch);
  putU48(into, at + messageAt.ref, m.ref);
  putU48(into, at + messageAt.copies, 0);
  putU16(into, at + messageAt.room, m.roomLength);
  putU16(into, at + messageAt.from, m.fromLength);
  putU16(into, at + messageAt.cid, m.cidLength);
  putU16(into, at + messageAt.kind, m.kindLength);
  putU16(into, at + messageAt.at, 0);
  putU32(into, at + messageAt.body, m.bodyLength);
  const end = copyBytes(into, at + messageAt.texts, m.source, m.namesStart, namesLength);
  return copyBytes(into, end, m.source, m.bodyStart, m.bodyLength);
}

/** Upper bound of the size of the `ok` frame; exact when the id is a number. */
export const okSendFrameBytesMax = (ok: OkSendRanges): number =>
  okSendAt.texts +
  ok.roomLength +
  ok.cidLength +
  ok.place.bytes.length +
  (typeof ok.id === "string" ? ok.id.length * 3 : 0);

/** Writes an `ok` to a send at `at` and answers the offset behind it. The caller has made room: `okSendFrameBytesMax`. */
export function putOkSendFrame(into: Uint8Array, at: number, ok: OkSendRanges): number {
  const { place, id } = ok;
  const view = intoView.of(into);
  const isText = typeof id === "string";
  view.setUint8(at + 4, okSendCode);
  view.setUint8(at + 5, (isText ? 1 : 0) | (ok.dup ? okSendDup : 0));
  view.setUint16(at + 6, okSendPresenceSeq, true);
  setU48(view, at + 8, isText ? 0 : id);
  setU48(view, at + okSendAt.seq, ok.seq);
  setU48(view, at + okSendAt.ts, ok.ts);
  setU48(view, at + okSendAt.epoch, ok.epoch);
  setU48(view, at + okSendAt.copies, 0);
  view.setUint16(at + okSendAt.room, ok.roomLength, true);
  view.setUint16(at + okSendAt.cid, ok.cidLength, true);
  view.setUint16(at + okSendAt.line, place.lineLength, true);
  view.setUint16(at + okSendAt.leader, place.leaderLength, true);
  view.setUint16(at + okSendAt.node, place.nodeLength, true);
  view.setUint16(at + okSendAt.at, 0, true);
  const from = fromView.of(ok.source);
  let end = copyShort(view, at + okSendAt.texts, from, ok.roomStart, ok.roomLength);
  end = copyShort(view, end, from, ok.cidStart, ok.cidLength);
  end = copyShort(view, end, placeView.of(place.bytes), 0, place.bytes.length);
  if (isText) end = putUtf8(into, end, id);
  view.setUint32(at, end - at - 4, true);
  return end;
}

// One answer follows the other, from the bytes of one batch into those of one slab.
const intoView = /* @__PURE__ */ new ByteView();
const fromView = /* @__PURE__ */ new ByteView();
const placeView = /* @__PURE__ */ new ByteView();

/** Below this many bytes a loop is faster than a view and a call. Measured on Node 20. */
const loopBytesMax = 40;

/** Copies `length` bytes and answers the offset behind them. */
export function copyBytes(into: Uint8Array, at: number, from: Uint8Array, start: number, length: number): number {
  if (length <= loopBytesMax) for (let i = 0; i < length; i++) into[at + i] = from[start + i]!;
  else into.set(from.subarray(start, start + length), at);
  return at + length;
}
