import { assert, broken } from "../base/assert.ts";
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../base/byte-order.ts";
import { Fault } from "../base/error-codes.ts";
import { checkChoice, checkField, checkWords, isRequestId, isWhole, layoutOfFrame, refused } from "./check-frame.ts";
import type { CheckContext, FrameLimits, Refused } from "./check-frame.ts";
import { parseJson } from "./json-codec.ts";
import { headAt, idIsText, layoutByCode, lengthBytes } from "./layout.ts";
import type { Layout, Slot } from "./layout.ts";
import { serverFrames, wholeMax } from "./schema.ts";
import type { FrameFrom, RequestId, Sender } from "./schema.ts";
import { putUtf8, textOf, utf8Length } from "./utf8.ts";

/**
 * The binary encoding, driven by the table (the bytes are described in layout.ts). What is used for every message has
 * a faster twin in send-bytes.ts and message-bytes.ts; tests hold them equal to this one.
 *
 * 1. Every frame has one encoding: what is absent is zero, no bit is set that the table does not know, no byte is left.
 * 2. Nothing is read outside the frame, and nothing is allocated for a length before the bytes are known to be there.
 */

/**
 * Reads the frame that stands from `o` up to `end`, as a splitter gave it. Answers `Refused` for everything that is not
 * exactly one valid frame; never throws for what is in the bytes.
 */
export function decodeBinary<S extends Sender>(
  sender: S,
  b: Uint8Array,
  o: number,
  end: number,
  limits: FrameLimits,
): FrameFrom<S> | Refused {
  assert(o >= 0 && end <= b.length, "a frame must lie in its bytes");
  if (end - o < headAt.fields || getU32(b, o) !== end - o - lengthBytes) {
    return refused(null, new Fault("bad_request", "the length of this frame is wrong"));
  }
  if (end - o > limits.frameBytesMax) {
    return refused(null, new Fault("too_large", `a frame takes at most ${limits.frameBytesMax} bytes`));
  }
  const layout = layoutByCode(sender, b[o + headAt.code]!);
  if (layout === undefined) {
    // Its header is not known, and with it where a text id would begin.
    const id = (b[o + headAt.flags]! & idIsText) === 0 ? getU48(b, o + headAt.id) : 0;
    return refused(
      id === 0 ? null : id,
      new Fault("unsupported", `frame type ${b[o + headAt.code]!} is not known here`),
    );
  }
  let id: RequestId | null = null;
  try {
    id = idOf(layout, b, o, end);
    const context = { what: layout.spec.t, names: sender === "client", limits };
    // The table says what is in it, and the table is where the type comes from.
    return frameAt(layout, b, o, end, id, context) as unknown as FrameFrom<S>;
  } catch (cause) {
    if (cause instanceof Fault) return refused(id, cause);
    throw cause;
  }
}

const malformed = (layout: Layout, why: string): Fault => new Fault("bad_request", `${layout.spec.t}: ${why}`);

/** The id of a frame. Throws when the lengths do not add up, since a text id is what they leave. */
function idOf(layout: Layout, b: Uint8Array, o: number, end: number): RequestId | null {
  if (end - o < layout.headerBytes) throw malformed(layout, "the header is cut");
  let behind = o + layout.headerBytes;
  for (const slot of layout.texts) behind += slot.size === 2 ? getU16(b, o + slot.at) : getU32(b, o + slot.at);
  if (behind > end) throw malformed(layout, "its texts are longer than the frame");
  const number = getU48(b, o + headAt.id);
  if ((b[o + headAt.flags]! & idIsText) === 0) {
    if (behind < end) throw malformed(layout, "bytes are left behind its texts");
    return number === 0 ? null : number;
  }
  if (number !== 0) throw malformed(layout, "an id is a number or a text");
  // 64 characters of at most four bytes.
  if (end - behind > 256) throw malformed(layout, "its id is too long");
  const text = textOf(b, behind, end);
  if (!isRequestId(text)) throw malformed(layout, "its id is too long");
  return text;
}

function frameAt(
  layout: Layout,
  b: Uint8Array,
  o: number,
  end: number,
  id: RequestId | null,
  context: CheckContext,
): Record<string, unknown> {
  const { spec } = layout;
  if (id === null ? spec.id === "required" : spec.id === "none") {
    throw malformed(layout, spec.id === "required" ? "it needs an id" : "it takes no id");
  }
  const frame: Record<string, unknown> = { t: spec.t };
  if (spec.of !== undefined) frame["of"] = spec.of;
  if (id !== null) frame["id"] = id;
  readFields(frame, layout, b, o, end, context);
  checkChoice(layout, frame);
  return frame;
}

/** Reads all fields of the frame at `o` into `frame`, in the order of the table. Its lengths are known to add up. */
function readFields(
  frame: Record<string, unknown>,
  layout: Layout,
  b: Uint8Array,
  o: number,
  end: number,
  context: CheckContext,
): void {
  const presence = getU16(b, o + headAt.presence);
  const flags = b[o + headAt.flags]!;
  if ((presence & ~layout.presenceMask) !== 0) throw malformed(layout, "a presence bit is not known");
  if ((flags & ~layout.flagsMask) !== 0) throw malformed(layout, "a flag is not known");
  // Where the next of the short texts begins, and of the long ones, which stand behind all the short ones.
  let short = o + layout.headerBytes;
  let long = short;
  for (const slot of layout.texts) if (slot.size === 2) long += getU16(b, o + slot.at);
  for (const slot of layout.slots) {
    const { field, name } = slot;
    if (slot.presence !== 0 && (presence & slot.presence) === 0) {
      if (!isZero(slot, b, o, flags)) throw malformed(layout, `"${name}" is absent and must be zero`);
      if (field.type === "whole" && field.nullable === true) frame[name] = null;
      else if (field.type === "whole" && field.latest === true) frame[name] = "latest";
      continue;
    }
    let start = 0;
    let stop = 0;
    if (slot.size === 2) {
      start = short;
      stop = short += getU16(b, o + slot.at);
    } else if (slot.size === 4) {
      start = long;
      stop = long += getU32(b, o + slot.at);
    }
    assert(stop <= end, "texts add up to the frame");
    switch (field.type) {
      case "flag":
        frame[name] = (flags & slot.flag) !== 0;
        break;
      case "whole": {
        const value = getU48(b, o + slot.at);
        if (!isWhole(value, field)) throw malformed(layout, `"${name}" must be at least ${field.min ?? 0}`);
        frame[name] = value;
        break;
      }
      case "text": {
        if (stop - start > field.bytesMax)
          throw malformed(layout, `"${name}" must be at most ${field.bytesMax} bytes long`);
        const read = textOf(b, start, stop);
        const text = read === "" && field.emptyMeans !== undefined ? field.emptyMeans : read;
        checkWords(field, name, text, context);
        frame[name] = text;
        break;
      }
      case "body": {
        if (stop - start > context.limits.bodyBytesMax) {
          throw new Fault("too_large", `a body takes at most ${context.limits.bodyBytesMax} bytes`);
        }
        frame[name] = textOf(b, start, stop);
        break;
      }
      case "stamp":
      case "object":
      case "list":
        frame[name] = checkField(field, name, parseJson(b.subarray(start, stop), context.limits), context);
        break;
      case "messages":
        frame[name] = readMessages(b, start, stop, field.itemsMax, context);
        break;
    }
  }
}

const textLength = (slot: Slot, b: Uint8Array, o: number): number =>
  slot.size === 2 ? getU16(b, o + slot.at) : slot.size === 4 ? getU32(b, o + slot.at) : 0;

/** Says whether an absent field left nothing behind. */
function isZero(slot: Slot, b: Uint8Array, o: number, flags: number): boolean {
  if (slot.size === 0) return (flags & slot.flag) === 0;
  return slot.size === 6 ? getU48(b, o + slot.at) === 0 : textLength(slot, b, o) === 0;
}

const messageCode = serverFrames.msg.code;

/** A page of messages: `msg` frames without a room and without an id, back to back. */
function readMessages(b: Uint8Array, from: number, to: number, itemsMax: number, context: CheckContext): unknown[] {
  const layout = messageLayout();
  const messages: unknown[] = [];
  let at = from;
  while (at < to) {
    if (messages.length === itemsMax) throw new Fault("too_large", `a page takes at most ${itemsMax} messages`);
    const end = to - at < layout.headerBytes ? Infinity : at + getU32(b, at) + lengthBytes;
    if (end > to || b[at + headAt.code] !== messageCode) throw malformed(layout, "a message of the page is malformed");
    if (idOf(layout, b, at, end) !== null) throw malformed(layout, "a message of a page takes no id");
    if (getU16(b, at + layout.texts[0]!.at) !== 0) throw malformed(layout, "a message of a page names no room");
    const frame: Record<string, unknown> = {};
    readFields(frame, layout, b, at, end, context);
    const { room: _room, ...message } = frame;
    messages.push(message);
    at = end;
  }
  return messages;
}

function messageLayout(): Layout {
  const layout = layoutByCode("server", messageCode);
  assert(layout !== undefined && layout.texts[0]?.name === "room", "msg begins with its room");
  return layout;
}

/**
 * One frame as bytes. The frame was made by this program; a text that has no UTF-8 form or does not fit its field is
 * refused with `bad_request` or `too_large`, because it may come from a user.
 */
export function encodeBinary<S extends Sender>(sender: S, frame: FrameFrom<S>): Uint8Array {
  return encodeBinaryFrames(sender, [frame]).slice();
}

/** Several frames back to back. They stand in a buffer that may be larger. */
export function encodeBinaryFrames<S extends Sender>(sender: S, frames: readonly FrameFrom<S>[]): Uint8Array {
  const out: Output = { bytes: new Uint8Array(frames.length * frameBytesGuess), length: 0 };
  for (const frame of frames) {
    const given = frame as unknown as { readonly t: string; readonly of?: string } & Record<string, unknown>;
    write(out, layoutOfFrame(sender, given), given);
  }
  return out.bytes.subarray(0, out.length);
}

/** What is set aside for a frame at first. */
const frameBytesGuess = 256;

/** Frames that are being written, one behind the other. What lies behind `length` is zero. */
interface Output {
  bytes: Uint8Array;
  length: number;
}

/** Answers where the next `count` bytes begin, which are zero and the caller's. */
function extend(out: Output, count: number): number {
  const at = out.length;
  const length = at + count;
  if (length > out.bytes.length) {
    const grown = new Uint8Array(Math.max(length, 2 * out.bytes.length));
    grown.set(out.bytes);
    out.bytes = grown;
  }
  out.length = length;
  return at;
}

function write(out: Output, layout: Layout, frame: Readonly<Record<string, unknown>>): void {
  const start = extend(out, layout.headerBytes);
  const header = out.bytes;
  header[start + headAt.code] = layout.spec.code;
  const id = layout.spec.id === "none" ? undefined : frame["id"];
  if (typeof id === "number") {
    assert(
      Number.isSafeInteger(id) && id >= 1 && id <= wholeMax,
      "a binary id is a number from 1 to 2^48 - 1 or a text",
    );
    putU48(header, start + headAt.id, id);
  }
  let flags = typeof id === "string" ? idIsText : 0;
  let presence = 0;
  for (const slot of layout.slots) {
    const value = frame[slot.name];
    if (value === undefined || value === null || (slot.field.type === "whole" && value === "latest")) {
      if (slot.presence === 0 && !isMessageRoom(layout, slot)) broken(`${layout.name} needs ${slot.name}`);
      continue;
    }
    presence |= slot.presence;
    if (slot.field.type === "flag" && value === true) flags |= slot.flag;
    if (slot.field.type === "whole") {
      if (typeof value !== "number" || !isWhole(value, slot.field)) {
        broken(`${layout.name}: ${slot.name} is out of range`);
      }
      putU48(header, start + slot.at, value);
    }
  }
  header[start + headAt.flags] = flags;
  putU16(header, start + headAt.presence, presence);

  for (const slot of layout.texts) {
    const from = out.length;
    writeText(out, layout, slot, frame[slot.name]);
    const length = out.length - from;
    if (slot.size === 2) putU16(out.bytes, start + slot.at, length);
    else putU32(out.bytes, start + slot.at, length);
  }
  if (typeof id === "string") putText(out, id, utf8Length(id));
  putU32(out.bytes, start + headAt.length, out.length - start - lengthBytes);
}

/** In a page of history the room of a message is left out. */
const isMessageRoom = (layout: Layout, slot: Slot): boolean => layout.spec.code === messageCode && slot.name === "room";

/** Writes what stands behind the header for this field: a text, or the bytes of a structure. */
function writeText(out: Output, layout: Layout, slot: Slot, value: unknown): void {
  if (value === undefined) return;
  const { field } = slot;
  switch (field.type) {
    case "text":
    case "body":
      if (typeof value !== "string") broken(`${layout.name}: ${slot.name} is a text`);
      if (field.type === "body" || value !== field.emptyMeans) putText(out, value, textBytes(layout, slot, value));
      return;
    case "stamp":
    case "object":
    case "list": {
      const text = JSON.stringify(value);
      putText(out, text, utf8Length(text));
      return;
    }
    case "messages": {
      assert(Array.isArray(value), `${layout.name}: ${slot.name} is a list`);
      const messages: readonly Readonly<Record<string, unknown>>[] = value;
      for (const message of messages) write(out, messageLayout(), message);
      return;
    }
    case "whole":
    case "flag":
      return;
  }
}

/** Writes a text that takes so many bytes. */
function putText(out: Output, text: string, bytes: number): void {
  const at = extend(out, bytes);
  putUtf8(out.bytes, at, text);
}

/** Bytes of a text. Throws when it has no UTF-8 form or does not fit its field. */
function textBytes(layout: Layout, slot: Slot, text: string): number {
  const bytes = utf8Length(text);
  if (bytes === -1) throw malformed(layout, `"${slot.name}" must be well-formed Unicode`);
  if (slot.field.type === "text" && bytes > slot.field.bytesMax) {
    throw malformed(layout, `"${slot.name}" must be at most ${slot.field.bytesMax} bytes long`);
  }
  return bytes;
}
