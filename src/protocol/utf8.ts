import { ByteView } from "../base/byte-view.ts";
import { Fault } from "../base/error-codes.ts";

/**
 * Text as UTF-8 bytes, both ways, without mending anything: a lone surrogate or an invalid byte is refused, and a
 * leading byte order mark is a character like any other.
 */
const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes that `text` takes in UTF-8, or -1 when it holds a lone surrogate and has no UTF-8 form. */
export function utf8Length(text: string): number {
  const length = text.length;
  let bytes = length;
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) {
      bytes += 1;
    } else if (unit < 0xd800 || unit > 0xdfff) {
      bytes += 2;
    } else {
      if (unit > 0xdbff || i + 1 === length) return -1;
      const low = text.charCodeAt(i + 1);
      if (low < 0xdc00 || low > 0xdfff) return -1;
      // Two units, four bytes.
      bytes += 2;
      i++;
    }
  }
  return bytes;
}

/** The bytes of `text`. A lone surrogate must have been refused before (`utf8Length`). */
export const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** Writes `text` at `at`; the caller has made room. Answers the offset behind it. */
export function putUtf8(into: Uint8Array, at: number, text: string): number {
  const length = text.length;
  if (length <= 64) {
    let i = 0;
    for (; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) break;
      into[at + i] = unit;
    }
    if (i === length) return at + length;
  }
  return at + encoder.encodeInto(text, into.subarray(at)).written;
}

const words = /* @__PURE__ */ new ByteView();
/** The bits that are 0 in four ASCII bytes. */
const beyondAscii = 0x80808080 | 0;

/** Says whether the bytes from `from` up to `to` are UTF-8: shortest forms only, no surrogates, nothing cut. */
export function isUtf8(b: Uint8Array, from: number, to: number): boolean {
  const view = words.of(b);
  let i = from;
  for (;;) {
    for (const last = to - 16; i <= last; i += 16) {
      const half = view.getInt32(i, true) | view.getInt32(i + 4, true);
      if (((half | view.getInt32(i + 8, true) | view.getInt32(i + 12, true)) & beyondAscii) !== 0) break;
    }
    for (const last = to - 4; i <= last; i += 4) if ((view.getInt32(i, true) & beyondAscii) !== 0) break;
    while (i < to && b[i]! < 0x80) i++;
    if (i >= to) return true;
    // A run of other characters, until the next ASCII byte.
    while (i < to && b[i]! >= 0x80) {
      const length = sequenceLength(b, i, to);
      if (length === 0) return false;
      i += length;
    }
  }
}

/** Length of the sequence of two to four bytes at `i`, or 0 when it is not well-formed (Unicode 15, table 3-7). */
function sequenceLength(b: Uint8Array, i: number, to: number): number {
  const first = b[i]!;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (i + length > to) return 0;
  const second = b[i + 1]!;
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let k = 2; k < length; k++) if ((b[i + k]! & 0xc0) !== 0x80) return 0;
  return length;
}

/** The text of the bytes from `from` up to `to`. Throws `bad_request` when they are not UTF-8. */
export function textOf(b: Uint8Array, from: number, to: number): string {
  if (to - from <= 24) {
    // The decoder's price is its call; names and ids are short and mostly ASCII.
    let text = "";
    let i = from;
    for (; i < to; i++) {
      const byte = b[i]!;
      if (byte > 0x7f) break;
      text += String.fromCharCode(byte);
    }
    if (i === to) return text;
  }
  try {
    return decoder.decode(b.subarray(from, to));
  } catch (cause) {
    throw new Fault("bad_request", "text is not valid UTF-8", { cause });
  }
}
