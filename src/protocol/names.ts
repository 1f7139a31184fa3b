import { assert } from "../base/assert.ts";
import type { Cid, Line, RoomName, UserName } from "../base/ids.ts";
import { utf8Length } from "./utf8.ts";

/**
 * What may be called what. Checked once, at the door; behind it a name is bytes that are compared and never parsed,
 * and never a path.
 *
 * 1. A name is refused or taken as it is, never mended: what is not well-formed or not NFC is refused.
 * 2. Lengths are bytes of UTF-8; they are checked before anything walks the text.
 */
export const userBytesMax = 60;
export const roomBytesMax = 128;
export const cidBytesMax = 64;
export const lineBytesMax = 64;
export const kindCharactersMax = 32;
/** 32 characters of at most four bytes. */
export const kindBytesMax = 128;

/** One entry for each ASCII character: 1 = fine in a name, 2 = fine in a cid, 3 = fine in both. */
const ascii = /* @__PURE__ */ asciiClasses();

function asciiClasses(): Uint8Array {
  const classes = new Uint8Array(128);
  const refusedInNames = '/\\,@#!:*?%"<>&';
  for (let code = 0x21; code < 0x7f; code++) {
    const character = String.fromCharCode(code);
    if (!refusedInNames.includes(character)) classes[code]! |= 1;
    const inCid =
      (code >= 0x30 && code <= 0x39) ||
      (code >= 0x41 && code <= 0x5a) ||
      (code >= 0x61 && code <= 0x7a) ||
      "._:~-".includes(character);
    if (inCid) classes[code]! |= 2;
  }
  return classes;
}

/** Category C (controls, invisible formatting, surrogates, private, unassigned) and white space. Only for short text. */
const refusedInNames = /[\p{C}\p{White_Space}]/u;

function isName(text: string, bytesMax: number): boolean {
  const length = text.length;
  // A UTF-16 unit takes at least one byte, so this bounds the work below.
  if (length === 0 || length > bytesMax) return false;
  let beyondAscii = false;
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) beyondAscii = true;
    else if ((ascii[unit]! & 1) === 0) return false;
  }
  if (text === "." || text === "..") return false;
  if (!beyondAscii) return true;
  const bytes = utf8Length(text);
  return bytes !== -1 && bytes <= bytesMax && !refusedInNames.test(text) && text.normalize("NFC") === text;
}

/** Says whether this may be the name of a user. */
export const isUserName = (text: string): text is UserName => isName(text, userBytesMax);

/** Says whether this may be the name of a room that is not a direct room. */
export const isPlainRoomName = (text: string): text is RoomName => isName(text, roomBytesMax);

/** Says whether a room name is one of a direct room, by its first character. The name was checked before. */
export const isDirect = (room: RoomName): boolean => room.charCodeAt(0) === 0x40;

/** Says whether this may be the name of a room, direct rooms included: `@`, two users sorted by bytes, a comma between. */
export function isRoomName(text: string): text is RoomName {
  if (text.charCodeAt(0) !== 0x40) return isPlainRoomName(text);
  if (text.length > roomBytesMax) return false;
  const comma = text.indexOf(",");
  if (comma === -1) return false;
  const first = text.slice(1, comma);
  const second = text.slice(comma + 1);
  return isUserName(first) && isUserName(second) && compareByBytes(first, second) <= 0;
}

/** The room of these two users, whichever is named first. With oneself: `@alice,alice`. */
export function directRoomOf(one: UserName, other: UserName): RoomName {
  return (compareByBytes(one, other) <= 0 ? `@${one},${other}` : `@${other},${one}`) as RoomName;
}

/** The two users of a direct room; twice the same for the room with oneself. The name was checked before. */
export function membersOf(room: RoomName): readonly [UserName, UserName] {
  const comma = room.indexOf(",");
  assert(isDirect(room) && comma !== -1, "not a direct room");
  return [room.slice(1, comma) as UserName, room.slice(comma + 1) as UserName];
}

/** Orders two well-formed texts as their UTF-8 bytes are ordered, which is by code point and not by UTF-16 unit. */
export function compareByBytes(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let i = 0; i < length; i++) {
    const a = one.charCodeAt(i);
    const b = other.charCodeAt(i);
    if (a !== b) return rank(a) - rank(b);
  }
  return one.length - other.length;
}

/** Surrogates stand for code points above U+FFFF: they sort after U+E000 to U+FFFF. */
const rank = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);

const isCidText = (text: string, bytesMax: number): boolean => {
  const length = text.length;
  if (length === 0 || length > bytesMax) return false;
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f || (ascii[unit]! & 2) === 0) return false;
  }
  return true;
};

/** 1–64 characters of `A-Z a-z 0-9 . _ : ~ -`. */
export const isCid = (text: string): text is Cid => isCidText(text, cidBytesMax);

/** A line is made by a server; it keeps to the characters of a cid. */
export const isLine = (text: string): text is Line => isCidText(text, lineBytesMax);

/** 1–32 characters (code points), well-formed; which ones does not matter. */
export function isKind(text: string): boolean {
  if (text.length === 0 || text.length > kindCharactersMax * 2) return false;
  if (utf8Length(text) === -1) return false;
  return characters(text) <= kindCharactersMax;
}

/** Code points of a well-formed text. */
export function characters(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0xdc00 || unit > 0xdfff) count++;
  }
  return count;
}

/** Says whether all these bytes are ASCII and fine in a name. Answers false also for what only `isRoomName` can tell. */
export function isPlainAsciiName(b: Uint8Array, from: number, to: number): boolean {
  if (from === to || b[from] === 0x2e) return false;
  for (let i = from; i < to; i++) {
    const byte = b[i]!;
    if (byte > 0x7f || (ascii[byte]! & 1) === 0) return false;
  }
  return true;
}

/** The same for a direct room: `@`, two such names of users sorted by bytes, a comma between. */
export function isPlainAsciiDirect(b: Uint8Array, from: number, to: number): boolean {
  if (to - from > roomBytesMax || b[from] !== 0x40) return false;
  let comma = from + 1;
  while (comma < to && b[comma] !== 0x2c) comma++;
  const first = comma - from - 1;
  const second = to - comma - 1;
  if (first > userBytesMax || second > userBytesMax || second < 1) return false;
  if (!isPlainAsciiName(b, from + 1, comma) || !isPlainAsciiName(b, comma + 1, to)) return false;
  for (let i = 0; i < first && i < second; i++) {
    const difference = b[from + 1 + i]! - b[comma + 1 + i]!;
    if (difference !== 0) return difference < 0;
  }
  return first <= second;
}

/** `isCid` on bytes. */
export function isCidBytes(b: Uint8Array, from: number, to: number): boolean {
  if (from === to || to - from > cidBytesMax) return false;
  for (let i = from; i < to; i++) {
    const byte = b[i]!;
    if (byte > 0x7f || (ascii[byte]! & 2) === 0) return false;
  }
  return true;
}
