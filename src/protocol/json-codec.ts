import { Fault } from "../base/error-codes.ts";
import { frameOf, layoutOfFrame, refused } from "./check-frame.ts";
import type { FrameLimits, Refused } from "./check-frame.ts";
import type { FrameFrom, Sender } from "./schema.ts";
import { textOf } from "./utf8.ts";

/**
 * The JSON encoding: an object `{t, id?, …}`, or an array of them, in one text.
 *
 * What a client can make the parser allocate is bounded before the parser sees it: the length of the text, the depth,
 * and how many keys and elements it holds. Numbers are whole, from 0 to 2^48 - 1.
 */

/**
 * Reads the frames of one text, in their order, and adds them to `into`. Answers how many were added. What is no frame
 * is added as `Refused` in its place; a text that is no JSON or breaks a bound adds one `Refused` and nothing else.
 *
 * Given bytes, their number is checked against `frameBytesMax`; given a string, its UTF-16 units, and whoever made the
 * string has checked the bytes.
 */
export function decodeJson<S extends Sender>(
  sender: S,
  text: string | Uint8Array,
  limits: FrameLimits,
  into: (FrameFrom<S> | Refused)[],
): number {
  let value: unknown;
  try {
    value = parseJson(text, limits);
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause;
    into.push(refused(null, cause));
    return 1;
  }
  if (!Array.isArray(value)) {
    into.push(frameOf(sender, value, limits));
    return 1;
  }
  const frames: readonly unknown[] = value;
  if (frames.length > limits.framesPerTextMax) {
    into.push(refused(null, new Fault("too_large", `an array takes at most ${limits.framesPerTextMax} frames`)));
    return 1;
  }
  for (const frame of frames) into.push(frameOf(sender, frame, limits));
  return frames.length;
}

/** Parses JSON after checking its bounds. Throws a `Fault`: `too_large` for length, depth and count, else `bad_request`. */
export function parseJson(text: string | Uint8Array, limits: FrameLimits): unknown {
  if (text.length > limits.frameBytesMax) {
    throw new Fault("too_large", `a frame takes at most ${limits.frameBytesMax} bytes`);
  }
  const json = typeof text === "string" ? text : textOf(text, 0, text.length);
  checkShape(json, limits);
  try {
    return JSON.parse(json) as unknown;
  } catch (cause) {
    throw new Fault("bad_request", "this is not JSON", { cause });
  }
}

/**
 * Counts depth, keys and elements in one pass and without recursion. Up to the first syntax error it sees texts where
 * the parser sees them, and behind that error the parser allocates nothing.
 */
function checkShape(json: string, limits: FrameLimits): void {
  let depth = 0;
  let values = 0;
  for (let i = 0; i < json.length; i++) {
    switch (json.charCodeAt(i)) {
      case 0x22: // "
        i = endOfText(json, i);
        if (i === -1) return;
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > limits.jsonDepthMax) {
          throw new Fault("too_large", `JSON may be at most ${limits.jsonDepthMax} deep`);
        }
        values++;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
        break;
      case 0x2c: // ,
      case 0x3a: // :
        values++;
        break;
      default:
        break;
    }
    if (values > limits.jsonValuesMax) {
      throw new Fault("too_large", `JSON may hold at most ${limits.jsonValuesMax} keys and elements`);
    }
  }
}

/** Where the text that begins at `quote` ends, or -1 when it does not end. */
function endOfText(json: string, quote: number): number {
  let end = json.indexOf('"', quote + 1);
  while (end !== -1) {
    let slashes = 0;
    while (json.charCodeAt(end - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return end;
    end = json.indexOf('"', end + 1);
  }
  return -1;
}

/** One frame as JSON, its fields in the order of the table. The frame was made by this program and is trusted. */
export function encodeJson<S extends Sender>(sender: S, frame: FrameFrom<S>): string {
  return JSON.stringify(plain(sender, frame));
}

/** The frame with the table's fields only. Nested structures are written as they are. */
function plain<S extends Sender>(sender: S, frame: FrameFrom<S>): Record<string, unknown> {
  const given = frame as unknown as { readonly t: string; readonly of?: string } & Record<string, unknown>;
  const layout = layoutOfFrame(sender, given);
  const out: Record<string, unknown> = { t: given.t };
  if (layout.spec.of !== undefined) out["of"] = layout.spec.of;
  if (layout.spec.id !== "none" && given["id"] !== undefined) out["id"] = given["id"];
  for (const slot of layout.slots) {
    const value = given[slot.name];
    if (value !== undefined) out[slot.name] = value;
  }
  return out;
}
