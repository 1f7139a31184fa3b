import { copyBytes } from "./message-bytes.ts";
import type { MessageRanges, OkSendRanges } from "./message-bytes.ts";
import { utf8 } from "./utf8.ts";

/**
 * JSON `msg` and `ok` to a send, written as bytes from the bytes of a stored message: escaped on the way, with no
 * string in between. What is written is what `encodeJson` writes, byte for byte.
 *
 * The bytes of the message are valid UTF-8 (checked at the door), so everything but the quote, the backslash and the
 * control characters is copied as it is.
 */

const escapes = escapeTable();

/** For each byte: 0 = copy; 0x75 = `\u00XX`; else the letter behind the backslash. */
function escapeTable(): Uint8Array {
  const table = new Uint8Array(256);
  table.fill(0x75, 0, 0x20);
  table[0x08] = 0x62;
  table[0x09] = 0x74;
  table[0x0a] = 0x6e;
  table[0x0c] = 0x66;
  table[0x0d] = 0x72;
  table[0x22] = 0x22;
  table[0x5c] = 0x5c;
  return table;
}

const part = {
  room: utf8('{"t":"msg","room":"'),
  seq: utf8('","seq":'),
  from: utf8(',"from":"'),
  cid: utf8('","cid":"'),
  ts: utf8('","ts":'),
  epoch: utf8(',"epoch":'),
  kind: utf8(',"kind":"'),
  kindText: utf8(',"kind":"text"'),
  ref: utf8(',"ref":'),
  body: utf8(',"body":"'),
  end: utf8('"}'),
  okId: utf8('{"t":"ok","of":"send","id":'),
  okTs: utf8(',"ts":'),
  okRoom: utf8(',"room":"'),
  dupTrue: utf8(',"dup":true}'),
  dupFalse: utf8(',"dup":false}'),
} as const;

/** Digits of the largest number on the wire, 2^48 - 1. */
const digitsMax = 15;
/** The words of a `msg` and its four numbers, or of an `ok` and its numbers, with some room to spare. */
const wordsBytesMax = 128 + 4 * digitsMax;

/**
 * Upper bound of the size of the `msg` frame in JSON. Names and short bodies are taken at six bytes for one; the bytes
 * of longer bodies are looked at, so that a large message does not ask for six times its size.
 */
export const messageJsonBytesMax = (m: MessageRanges): number =>
  wordsBytesMax +
  6 * (m.roomLength + m.fromLength + m.cidLength + m.kindLength) +
  (m.bodyLength <= 1024 ? 6 * m.bodyLength : escapedLength(m.source, m.bodyStart, m.bodyLength));

/** Bytes that `putEscaped` writes for these. */
export function escapedLength(from: Uint8Array, start: number, length: number): number {
  let bytes = length;
  for (let i = start; i < start + length; i++) {
    const escape = escapes[from[i]!]!;
    if (escape !== 0) bytes += escape === 0x75 ? 5 : 1;
  }
  return bytes;
}

/** Upper bound of the size of the `ok` frame in JSON. */
export const okSendJsonBytesMax = (ok: OkSendRanges): number =>
  wordsBytesMax +
  6 * (ok.roomLength + ok.cidLength) +
  ok.place.json.length +
  (typeof ok.id === "string" ? 2 + 6 * ok.id.length : 20);

/** Writes a `msg` frame in JSON and answers the offset behind it. The caller has made room: `messageJsonBytesMax`. */
export function putMessageJson(into: Uint8Array, at: number, m: MessageRanges): number {
  let end = put(into, at, part.room);
  end = putEscaped(into, end, m.source, m.namesStart, m.roomLength);
  end = put(into, end, part.seq);
  end = putDecimal(into, end, m.seq);
  let start = m.namesStart + m.roomLength;
  end = put(into, end, part.from);
  end = putEscaped(into, end, m.source, start, m.fromLength);
  start += m.fromLength;
  end = put(into, end, part.cid);
  end = putEscaped(into, end, m.source, start, m.cidLength);
  start += m.cidLength;
  end = put(into, end, part.ts);
  end = putDecimal(into, end, m.ts);
  end = put(into, end, part.epoch);
  end = putDecimal(into, end, m.epoch);
  if (m.kindLength === 0) {
    end = put(into, end, part.kindText);
  } else {
    end = put(into, end, part.kind);
    end = putEscaped(into, end, m.source, start, m.kindLength);
    into[end++] = 0x22;
  }
  if (m.ref !== 0) {
    end = put(into, end, part.ref);
    end = putDecimal(into, end, m.ref);
  }
  end = put(into, end, part.body);
  end = putEscaped(into, end, m.source, m.bodyStart, m.bodyLength);
  return put(into, end, part.end);
}

/** Writes an `ok` to a send in JSON and answers the offset behind it. The caller has made room: `okSendJsonBytesMax`. */
export function putOkSendJson(into: Uint8Array, at: number, ok: OkSendRanges): number {
  let end = put(into, at, part.okId);
  // An id may be any safe integer in JSON; most are small and positive.
  if (typeof ok.id === "number" && ok.id >= 0) end = putDecimal(into, end, ok.id);
  else end = put(into, end, utf8(JSON.stringify(ok.id)));
  end = put(into, end, part.okRoom);
  end = putEscaped(into, end, ok.source, ok.roomStart, ok.roomLength);
  end = put(into, end, part.cid);
  end = putEscaped(into, end, ok.source, ok.cidStart, ok.cidLength);
  end = put(into, end, part.seq);
  end = putDecimal(into, end, ok.seq);
  end = put(into, end, part.okTs);
  end = putDecimal(into, end, ok.ts);
  end = put(into, end, part.epoch);
  end = putDecimal(into, end, ok.epoch);
  end = put(into, end, ok.place.json);
  return put(into, end, ok.dup ? part.dupTrue : part.dupFalse);
}

function put(into: Uint8Array, at: number, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) into[at + i] = bytes[i]!;
  return at + bytes.length;
}

const hex = utf8("0123456789abcdef");

/** Writes bytes of UTF-8 as the inside of a JSON text and answers the offset behind them; at most six bytes for one. */
export function putEscaped(into: Uint8Array, at: number, from: Uint8Array, start: number, length: number): number {
  const stop = start + length;
  let end = at;
  let i = start;
  for (;;) {
    // Most bytes need nothing: find the run, four at a time, and copy it whole.
    const run = i;
    while (
      i + 4 <= stop &&
      (escapes[from[i]!]! | escapes[from[i + 1]!]! | escapes[from[i + 2]!]! | escapes[from[i + 3]!]!) === 0
    ) {
      i += 4;
    }
    while (i < stop && escapes[from[i]!] === 0) i++;
    end = copyBytes(into, end, from, run, i - run);
    if (i >= stop) return end;
    const byte = from[i++]!;
    const escape = escapes[byte]!;
    into[end] = 0x5c;
    into[end + 1] = escape;
    end += 2;
    if (escape === 0x75) {
      into[end] = 0x30;
      into[end + 1] = 0x30;
      into[end + 2] = hex[byte >>> 4]!;
      into[end + 3] = hex[byte & 15]!;
      end += 4;
    }
  }
}

/** Writes a whole number below 2^53 in decimal and answers the offset behind it. */
export function putDecimal(into: Uint8Array, at: number, value: number): number {
  if (value < 0x4000_0000) return putSmall(into, at, value);
  const high = Math.floor(value / 1e9);
  const end = putDecimal(into, at, high);
  let rest = value - high * 1e9;
  for (let i = 8; i >= 0; i--) {
    const next = (rest / 10) | 0;
    into[end + i] = 0x30 + rest - next * 10;
    rest = next;
  }
  return end + 9;
}

function putSmall(into: Uint8Array, at: number, value: number): number {
  let digits = 1;
  for (let bound = 10; bound <= value; bound *= 10) digits++;
  let rest = value | 0;
  for (let i = digits - 1; i >= 0; i--) {
    const next = (rest / 10) | 0;
    into[at + i] = 0x30 + rest - next * 10;
    rest = next;
  }
  return at + digits;
}
