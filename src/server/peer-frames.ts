import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../base/byte-order.ts";
import { type ErrorCode, errorCodes } from "../base/error-codes.ts";
import type { GroupId, Incarnation, LogIndex, Term } from "../base/ids.ts";

/**
 * What servers say to each other, by the kind of a frame; little-endian.
 *
 * ```
 * 1 engine      what one server's engine says to another's
 * 2 forward     u16 group, u32 stream, u32 number, commands: put these in order
 * 3 accepted    u16 group, u32 stream, u32 number, u48 index, u48 term: they are this entry, which another may still replace
 * 4 refused     u16 group, u32 stream, u32 number, code (ASCII): neither they nor any behind them in the stream are in the log
 * ```
 * 5 gossip      what is not logged (presence-gossip.ts)
 * 6 clients     a setting (rooms/setting.ts): where clients reach the server that says so; for whoever leads
 *
 * 2, 3 and 4 go on the lane of appends: an answer comes before the entry that it speaks of.
 */
export const peerFrameKinds = { engine: 1, forward: 2, accepted: 3, refused: 4, gossip: 5, clients: 6 } as const;

/** Which batch of those that one server sends another: the numbers of each stream begin with 1, and have no hole. */
export interface BatchNumber {
  readonly stream: number;
  readonly number: number;
}

/** What a heartbeat says of one group that its sender leads. */
export interface Vouch {
  readonly group: GroupId;
  readonly term: Term;
  readonly isAuthoritative: boolean;
}

const batchHeadBytes = 10;
const acceptedBytes = 22;
const vouchFormat = 1;
const vouchBytes = 9;
const ascii = new TextEncoder();
const fromAscii = new TextDecoder();

/** The commands are copied. */
export function encodeForward(group: GroupId, batch: BatchNumber, commands: Uint8Array): Uint8Array {
  const bytes = head(group, batch, commands.length);
  bytes.set(commands, batchHeadBytes);
  return bytes;
}

/** Null: it is no such frame. `commands` is a view. */
export function decodeForward(bytes: Uint8Array): { group: GroupId; batch: BatchNumber; commands: Uint8Array } | null {
  if (bytes.length < batchHeadBytes) return null;
  return { ...headOf(bytes), commands: bytes.subarray(batchHeadBytes) };
}

export function encodeAccepted(group: GroupId, batch: BatchNumber, index: LogIndex, term: Term): Uint8Array {
  const bytes = head(group, batch, acceptedBytes - batchHeadBytes);
  putU48(bytes, batchHeadBytes, index);
  putU48(bytes, batchHeadBytes + 6, term);
  return bytes;
}

export function decodeAccepted(
  bytes: Uint8Array,
): { group: GroupId; batch: BatchNumber; index: LogIndex; term: Term } | null {
  if (bytes.length !== acceptedBytes) return null;
  const index = getU48(bytes, batchHeadBytes) as LogIndex;
  return { ...headOf(bytes), index, term: getU48(bytes, batchHeadBytes + 6) as Term };
}

export function encodeRefused(group: GroupId, batch: BatchNumber, code: ErrorCode): Uint8Array {
  const text = ascii.encode(code);
  const bytes = head(group, batch, text.length);
  bytes.set(text, batchHeadBytes);
  return bytes;
}

/** A code that this version does not know is `unavailable`. */
export function decodeRefused(bytes: Uint8Array): { group: GroupId; batch: BatchNumber; code: ErrorCode } | null {
  if (bytes.length < batchHeadBytes) return null;
  const text = fromAscii.decode(bytes.subarray(batchHeadBytes));
  const code = Object.hasOwn(errorCodes, text) ? (text as ErrorCode) : "unavailable";
  return { ...headOf(bytes), code };
}

function head(group: GroupId, { stream, number }: BatchNumber, moreBytes: number): Uint8Array {
  const bytes = new Uint8Array(batchHeadBytes + moreBytes);
  putU16(bytes, 0, group);
  putU32(bytes, 2, stream);
  putU32(bytes, 6, number);
  return bytes;
}

function headOf(bytes: Uint8Array): { group: GroupId; batch: BatchNumber } {
  const group = getU16(bytes, 0) as GroupId;
  return { group, batch: { stream: getU32(bytes, 2), number: getU32(bytes, 6) } };
}

/**
 * What a heartbeat carries: the life of the sender's data, and all groups that it leads:
 * `u8 format 1, u8 length, incarnation (ASCII), u16 count`, and as many times `u16 group, u48 term, u8 authoritative`.
 */
export function encodeVouches(incarnation: Incarnation, vouches: readonly Vouch[]): Uint8Array {
  const name = ascii.encode(incarnation);
  const bytes = new Uint8Array(4 + name.length + vouches.length * vouchBytes);
  bytes[0] = vouchFormat;
  bytes[1] = name.length;
  bytes.set(name, 2);
  putU16(bytes, 2 + name.length, vouches.length);
  let at = 4 + name.length;
  for (const { group, term, isAuthoritative } of vouches) {
    putU16(bytes, at, group);
    putU48(bytes, at + 2, term);
    bytes[at + 8] = isAuthoritative ? 1 : 0;
    at += vouchBytes;
  }
  return bytes;
}

/** Null: it is of another format, or not whole. */
export function decodeVouches(bytes: Uint8Array): { incarnation: Incarnation; vouches: Vouch[] } | null {
  const length = bytes[1] ?? 0;
  if (bytes[0] !== vouchFormat || bytes.length < 4 + length) return null;
  const incarnation = fromAscii.decode(bytes.subarray(2, 2 + length)) as Incarnation;
  const count = getU16(bytes, 2 + length);
  if (bytes.length !== 4 + length + count * vouchBytes) return null;
  const vouches: Vouch[] = [];
  for (let at = 4 + length; at < bytes.length; at += vouchBytes) {
    const group = getU16(bytes, at) as GroupId;
    vouches.push({ group, term: getU48(bytes, at + 2) as Term, isAuthoritative: bytes[at + 8] === 1 });
  }
  return { incarnation, vouches };
}
