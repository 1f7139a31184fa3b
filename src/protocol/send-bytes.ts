import { getU16, getU32, getU48 } from "../base/byte-order.ts";
import { decodeBinary } from "./binary-codec.ts";
import type { FrameLimits } from "./check-frame.ts";
import {
  characters,
  isCidBytes,
  isPlainAsciiDirect,
  isPlainAsciiName,
  kindCharactersMax,
  roomBytesMax,
  userBytesMax,
} from "./names.ts";
import type { RequestId } from "./schema.ts";
import { isUtf8, textOf } from "./utf8.ts";

/**
 * A binary `send`, read where it lies: no string, no object, no copy. `isSend` first; everything else here trusts it.
 *
 * ```
 *  0 u32 length   4 u8 code = 7   5 u8 flags   6 u16 presence   8 u48 id (0: text id, last)
 * 14 u48 ref (0 = none)   20 u48 since
 * 26 u16 roomLength, toLength, cidLength, kindLength (0 = text), prevLength, seenLength
 * 38 u32 bodyLength
 * 42     room, to, cid, kind, prev, seen, body, text id
 * ```
 * The numbers are those of layout.ts, written out because constants are what makes this fast; a test compares them.
 */
export const sendCode = 7;
export const sendAt = {
  ref: 14,
  since: 20,
  room: 26,
  to: 28,
  cid: 30,
  kind: 32,
  prev: 34,
  seen: 36,
  body: 38,
  texts: 42,
} as const;

const presenceOf = { room: 1, to: 2, kind: 4, ref: 8, since: 16, prev: 32, seen: 64 } as const;
const presenceMask = 127;

export const sendIdIsText = (b: Uint8Array, o: number): boolean => (b[o + 5]! & 1) !== 0;
/** The id when it is a number; 0 when it is a text. */
export const sendId = (b: Uint8Array, o: number): number => getU48(b, o + 8);
/** The seq that an edit, deletion or reaction refers to; 0 = none. */
export const sendRef = (b: Uint8Array, o: number): number => getU48(b, o + sendAt.ref);
/** A head that the client knew when it made the cid; 0 also when it did not say. */
export const sendSince = (b: Uint8Array, o: number): number => getU48(b, o + sendAt.since);
/** 0 for a direct message. */
export const sendRoomLength = (b: Uint8Array, o: number): number => getU16(b, o + sendAt.room);
/** 0 unless it is a direct message. */
export const sendToLength = (b: Uint8Array, o: number): number => getU16(b, o + sendAt.to);
export const sendCidLength = (b: Uint8Array, o: number): number => getU16(b, o + sendAt.cid);
/** 0 = `text`. */
export const sendKindLength = (b: Uint8Array, o: number): number => getU16(b, o + sendAt.kind);
/** 0 = none. */
export const sendPrevLength = (b: Uint8Array, o: number): number => getU16(b, o + sendAt.prev);
/** 0 = none. */
export const sendSeenLength = (b: Uint8Array, o: number): number => getU16(b, o + sendAt.seen);
export const sendBodyLength = (b: Uint8Array, o: number): number => getU32(b, o + sendAt.body);

/** Where the texts begin, as offsets in `b`. */
export const sendRoomStart = (_b: Uint8Array, o: number): number => o + sendAt.texts;
export const sendToStart = (b: Uint8Array, o: number): number => o + sendAt.texts + sendRoomLength(b, o);
export const sendCidStart = (b: Uint8Array, o: number): number => sendToStart(b, o) + sendToLength(b, o);
export const sendKindStart = (b: Uint8Array, o: number): number => sendCidStart(b, o) + sendCidLength(b, o);
export const sendPrevStart = (b: Uint8Array, o: number): number => sendKindStart(b, o) + sendKindLength(b, o);
export const sendSeenStart = (b: Uint8Array, o: number): number => sendPrevStart(b, o) + sendPrevLength(b, o);
export const sendBodyStart = (b: Uint8Array, o: number): number => sendSeenStart(b, o) + sendSeenLength(b, o);

/** The id as it has to be echoed. Makes a string only when the id is one. */
export function sendRequestId(b: Uint8Array, o: number, end: number): RequestId {
  return sendIdIsText(b, o) ? textOf(b, sendBodyStart(b, o) + sendBodyLength(b, o), end) : sendId(b, o);
}

/**
 * Says whether exactly one valid `send` stands from `o` up to `end`: what it answers is what `decodeBinary` would
 * answer. When it says no, `decodeBinary` tells why. Rare forms (names beyond ASCII, text ids,
 * `seen`) are handed to `decodeBinary` here.
 */
export function isSend(b: Uint8Array, o: number, end: number, limits: FrameLimits): boolean {
  const size = end - o;
  if (size < sendAt.texts || size > limits.frameBytesMax || b[o + 4] !== sendCode || getU32(b, o) !== size - 4)
    return false;

  const roomLength = sendRoomLength(b, o);
  const toLength = sendToLength(b, o);
  const cidLength = sendCidLength(b, o);
  const kindLength = sendKindLength(b, o);
  const prevLength = sendPrevLength(b, o);
  const bodyLength = sendBodyLength(b, o);
  if (b[o + 5] !== 0 || sendSeenLength(b, o) !== 0) return isRareSend(b, o, end, limits);

  // What is absent is zero, and what is there is not empty: both ways round for each field, in one comparison.
  const given =
    (roomLength === 0 ? 0 : presenceOf.room) |
    (toLength === 0 ? 0 : presenceOf.to) |
    (kindLength === 0 ? 0 : presenceOf.kind) |
    (sendRef(b, o) === 0 ? 0 : presenceOf.ref) |
    (prevLength === 0 ? 0 : presenceOf.prev);
  const presence = getU16(b, o + 6);
  if ((presence & ~presenceOf.since) !== given || (presence & ~presenceMask) !== 0) return false;
  if ((presence & presenceOf.since) === 0 && sendSince(b, o) !== 0) return false;

  if (sendAt.texts + roomLength + toLength + cidLength + kindLength + prevLength + bodyLength !== size) return false;
  if (sendId(b, o) === 0 || bodyLength > limits.bodyBytesMax) return false;
  if ((roomLength === 0) === (toLength === 0)) return false;

  const nameStart = o + sendAt.texts;
  const cidStart = nameStart + roomLength + toLength;
  if (roomLength > roomBytesMax || toLength > userBytesMax) return false;
  const isPlain =
    isPlainAsciiName(b, nameStart, cidStart) || (toLength === 0 && isPlainAsciiDirect(b, nameStart, cidStart));
  if (!isPlain) return isRareSend(b, o, end, limits);
  if (!isCidBytes(b, cidStart, cidStart + cidLength)) return false;
  const kindStart = cidStart + cidLength;
  const prevStart = kindStart + kindLength;
  if (kindLength !== 0 && !isKindBytes(b, kindStart, prevStart)) return false;
  if (prevLength !== 0 && !isCidBytes(b, prevStart, prevStart + prevLength)) return false;
  return isUtf8(b, end - bodyLength, end);
}

const isRareSend = (b: Uint8Array, o: number, end: number, limits: FrameLimits): boolean =>
  decodeBinary("client", b, o, end, limits).t === "send";

function isKindBytes(b: Uint8Array, from: number, to: number): boolean {
  let ascii = true;
  for (let i = from; i < to; i++) if (b[i]! > 0x7f) ascii = false;
  if (ascii) return to - from <= kindCharactersMax;
  return isUtf8(b, from, to) && characters(textOf(b, from, to)) <= kindCharactersMax;
}
