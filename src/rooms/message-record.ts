import { broken } from "../base/assert.ts";
import { getU32, getU48, putU32, putU48 } from "../base/byte-order.ts";

/**
 * A message in bytes: what a client's send becomes at the door, and what is proposed, journaled, kept in memory, put
 * into day chunks and read back. One layout everywhere, so the body is copied and never decoded on the way.
 *
 * ```
 *  0 u32 length      the whole record, this field included
 *  4 u8  type        1 = post
 *  5 u8  flags       0
 *  6 u48 seq         0 until applied; `apply` fills these three in the memory copy
 * 12 u48 ts
 * 18 u48 epoch
 * 24 u48 ref         the seq an edit, deletion or reaction refers to; 0 = none
 * 30 u48 checked     a seq of the room up to which this id is known to be absent
 * 36 u48 prevSeq     the seq of `prev`, when the orderer had to look it up; else 0
 * 42 u8  roomLength, fromLength, cidLength, kindLength (0 = text)
 * 46 u8  prevLength, refFromLength, refKindLength, 0
 * 50 u32 bodyLength
 * 54     room, from, cid, kind, prev, refFrom, refKind, body
 * ```
 * `refFrom` and `refKind` say whose message `ref` names and of what kind it is: the orderer looks it up and writes it
 * here, since `apply` may not read the disk. In a day chunk `checked`, `prevSeq`, `prev`, `refFrom` and `refKind` are
 * gone (`normalise`): they spoke of one attempt, not of the message.
 */
export const postType = 1;
export const recordHeaderBytes = 54;

const at = { seq: 6, ts: 12, epoch: 18, ref: 24, checked: 30, prevSeq: 36, lengths: 42, bodyLength: 50 } as const;

export const recordLength = (b: Uint8Array, o: number): number => getU32(b, o);
export const recordSeq = (b: Uint8Array, o: number): number => getU48(b, o + at.seq);
export const recordTs = (b: Uint8Array, o: number): number => getU48(b, o + at.ts);
export const recordEpoch = (b: Uint8Array, o: number): number => getU48(b, o + at.epoch);
export const recordRef = (b: Uint8Array, o: number): number => getU48(b, o + at.ref);
export const recordChecked = (b: Uint8Array, o: number): number => getU48(b, o + at.checked);
export const recordPrevSeq = (b: Uint8Array, o: number): number => getU48(b, o + at.prevSeq);
export const recordBodyLength = (b: Uint8Array, o: number): number => getU32(b, o + at.bodyLength);

export const setRecordPlace = (b: Uint8Array, o: number, seq: number, ts: number, epoch: number): void => {
  putU48(b, o + at.seq, seq);
  putU48(b, o + at.ts, ts);
  putU48(b, o + at.epoch, epoch);
};
export const setRecordChecked = (b: Uint8Array, o: number, checked: number): void => putU48(b, o + at.checked, checked);
export const setRecordPrevSeq = (b: Uint8Array, o: number, seq: number): void => putU48(b, o + at.prevSeq, seq);

/** The texts of a record, in the order they stand in it. */
export const recordTexts = ["room", "from", "cid", "kind", "prev", "refFrom", "refKind"] as const;

// Places in `recordTexts`.
export const roomText = 0;
export const fromText = 1;
export const cidText = 2;
export const kindText = 3;
export const prevText = 4;
export const refFromText = 5;
export const refKindText = 6;

/** Length in bytes of one of the texts; `which` is its place in `recordTexts`. */
export const textLength = (b: Uint8Array, o: number, which: number): number => b[o + at.lengths + which]!;

/** Where one of the texts begins, as an offset in `b`. */
export function textStart(b: Uint8Array, o: number, which: number): number {
  let start = o + recordHeaderBytes;
  for (let i = 0; i < which; i++) start += b[o + at.lengths + i]!;
  return start;
}

/** One of the texts, where it stands. */
export function textIn(b: Uint8Array, o: number, which: number): Uint8Array {
  const start = textStart(b, o, which);
  return b.subarray(start, start + textLength(b, o, which));
}

/** A copy of it. */
export const copyOfText = (b: Uint8Array, o: number, which: number): Uint8Array => textIn(b, o, which).slice();

/** What only this message has in its group, with the text at this place as its id: `cidText`, or `prevText`. */
export const idOf = (b: Uint8Array, o: number, which: number): string =>
  [roomText, fromText, which].map((text) => String.fromCharCode(...textIn(b, o, text))).join("\n");

/** Where the body begins, as an offset in `b`. */
export const bodyStart = (b: Uint8Array, o: number): number => textStart(b, o, recordTexts.length);

/** What a record is made of. Texts and body are UTF-8 bytes; empty stands for none. */
export interface RecordParts {
  room: Uint8Array;
  from: Uint8Array;
  cid: Uint8Array;
  kind: Uint8Array;
  prev: Uint8Array;
  refFrom: Uint8Array;
  refKind: Uint8Array;
  body: Uint8Array;
  ref: number;
  checked: number;
  prevSeq: number;
  seq: number;
  ts: number;
  epoch: number;
}

/** Bytes that a record of these parts takes. */
export function recordBytes(parts: RecordParts): number {
  let length = recordHeaderBytes + parts.body.length;
  for (const name of recordTexts) length += parts[name].length;
  return length;
}

/** Writes a record at `o` and answers the offset behind it. The caller has made room: `recordBytes(parts)`. */
export function putRecord(b: Uint8Array, o: number, parts: RecordParts): number {
  b[o + 4] = postType;
  b[o + 5] = 0;
  setRecordPlace(b, o, parts.seq, parts.ts, parts.epoch);
  putU48(b, o + at.ref, parts.ref);
  putU48(b, o + at.checked, parts.checked);
  putU48(b, o + at.prevSeq, parts.prevSeq);
  b[o + at.lengths + recordTexts.length] = 0;
  let end = o + recordHeaderBytes;
  for (let i = 0; i < recordTexts.length; i++) {
    const text = parts[recordTexts[i]!];
    if (text.length >= 256) broken(`${recordTexts[i]!} does not fit a record`);
    b[o + at.lengths + i] = text.length;
    b.set(text, end);
    end += text.length;
  }
  putU32(b, o + at.bodyLength, parts.body.length);
  b.set(parts.body, end);
  end += parts.body.length;
  putU32(b, o, end - o);
  return end;
}

/** Bytes that the record at `o` takes once `normalise` has dropped what speaks of the attempt only. */
export const normalisedLength = (b: Uint8Array, o: number): number =>
  getU32(b, o) - textLength(b, o, prevText) - textLength(b, o, refFromText) - textLength(b, o, refKindText);

/** Copies the record at `o` of `b` to `to` of `into`, without what speaks of the attempt only. Answers the offset behind it. */
export function normalise(b: Uint8Array, o: number, into: Uint8Array, to: number): number {
  const dropped = textLength(b, o, prevText) + textLength(b, o, refFromText) + textLength(b, o, refKindText);
  const length = getU32(b, o);
  const keptEnd = textStart(b, o, prevText);
  into.set(b.subarray(o, keptEnd), to);
  into.set(b.subarray(keptEnd + dropped, o + length), to + (keptEnd - o));
  putU48(into, to + at.checked, 0);
  putU48(into, to + at.prevSeq, 0);
  into[to + at.lengths + prevText] = 0;
  into[to + at.lengths + refFromText] = 0;
  into[to + at.lengths + refKindText] = 0;
  putU32(into, to, length - dropped);
  return to + length - dropped;
}

/**
 * Says whether a well-formed record stands at `o` and ends by `end`. Whoever takes records from outside (a peer, a
 * file) asks this first; all other functions here trust what they are given.
 */
export function isRecord(b: Uint8Array, o: number, end: number): boolean {
  if (end - o < recordHeaderBytes) return false;
  const length = getU32(b, o);
  if (length < recordHeaderBytes || o + length > end || b[o + 4] !== postType || b[o + 5] !== 0) return false;
  return bodyStart(b, o) + getU32(b, o + at.bodyLength) === o + length;
}
