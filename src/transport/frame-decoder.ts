import { assert } from "../base/assert.ts";
import { getU16, getU32 } from "../base/byte-order.ts";
import type { LinkLimits } from "./link-limits.ts";
import {
  frameHeaderBytes,
  frameTypeOf,
  frameTypes,
  laneOf,
  payloadBytesMax,
  relayPrefixBytesMax,
  type FrameType,
  type PeerFrame,
} from "./peer-frame.ts";

/** Memory for appends that came in pieces; what is longer gets some of its own. */
const slabBytesMin = 32 * 1024;
const slabBytesMax = 1024 * 1024;

/** Which frames may come: those of a greeting, or those of a link that stands. */
export type DecoderStage = "greeting" | "linked";

/** What is wrong with a stream that can't be read on. */
export type Malformed =
  | { readonly malformed: "too-short"; readonly length: number }
  | { readonly malformed: "too-long"; readonly length: number; readonly lengthMax: number }
  | { readonly malformed: "unknown-type"; readonly type: number }
  | { readonly malformed: "unexpected-type"; readonly type: number };

/**
 * Cuts the bytes of a link into frames, at every way they may arrive.
 *
 * 1. a frame's type and length are checked before a byte is held for it; the bound is that of its type and of the stage
 * 2. what it holds is less than one frame of the largest length that the stage allows, and two slabs
 * 3. after a malformed frame it gives nothing any more
 *
 * A frame that lies whole in a piece is a view of that piece; one that came in pieces is put together once. Appends, which
 * come all the time, are put together in two slabs in turns: a frame of the last piece still stands while that piece
 * brings the beginning of the next. Memory of their own for each of them made the collector go through everything.
 */
export class FrameDecoder {
  readonly #limits: LinkLimits;
  #stage: DecoderStage = "greeting";
  #piece: Uint8Array = nothing;
  #at = 0;
  readonly #header = new Uint8Array(frameHeaderBytes);
  #headerFilled = 0;
  #frame: Uint8Array | null = null;
  #frameFilled = 0;
  /** What the newest append was put together in, and what the next one will be: the frame in it has been looked at. */
  #slab: Uint8Array = nothing;
  #otherSlab: Uint8Array = nothing;
  #broken: Malformed | null = null;

  constructor(limits: LinkLimits) {
    this.#limits = limits;
  }

  /** The greeting is done: from the next frame on those of a standing link are taken. */
  link(): void {
    assert(this.#stage === "greeting", "a link stands once");
    this.#stage = "linked";
  }

  /** Bytes held of a frame that has not come whole. */
  get heldBytes(): number {
    return this.#frame === null ? this.#headerFilled : this.#frame.length;
  }

  /** Hands over what came. All frames of the piece before must have been taken with `next`. */
  add(piece: Uint8Array): void {
    assert(this.#at === this.#piece.length, "the frames of the piece before were not taken");
    this.#piece = piece;
    this.#at = 0;
  }

  /** The next whole frame; null when there is none in what came. */
  next(): PeerFrame | Malformed | null {
    if (this.#broken !== null) {
      this.#at = this.#piece.length;
      return this.#broken;
    }
    if (this.#frame === null && this.#headerFilled === 0) {
      const whole = this.#wholeFrame();
      if (whole !== null) return whole;
    }
    if (this.#frame === null) {
      this.#headerFilled += this.#take(this.#header, this.#headerFilled);
      if (this.#headerFilled < frameHeaderBytes) return this.#drop();
      const length = this.#checkedLength(this.#header, 0);
      if (typeof length !== "number") return length;
      this.#frame = this.#memory(length);
      this.#frame.set(this.#header);
      this.#frameFilled = frameHeaderBytes;
      this.#headerFilled = 0;
    }
    this.#frameFilled += this.#take(this.#frame, this.#frameFilled);
    if (this.#frameFilled < this.#frame.length) return this.#drop();
    const frame = frameAt(this.#frame, 0, this.#frame.length);
    this.#frame = null;
    return frame;
  }

  /** For the frame whose header has come. */
  #memory(length: number): Uint8Array {
    if (this.#header[4] !== frameTypes.append || length > slabBytesMax) return new Uint8Array(length);
    let slab = this.#otherSlab;
    if (slab.length < length) slab = new Uint8Array(2 ** Math.ceil(Math.log2(Math.max(length, slabBytesMin))));
    this.#otherSlab = this.#slab;
    this.#slab = slab;
    return slab.subarray(0, length);
  }

  #wholeFrame(): PeerFrame | Malformed | null {
    const left = this.#piece.length - this.#at;
    if (left < frameHeaderBytes) return null;
    const length = this.#checkedLength(this.#piece, this.#at);
    if (typeof length !== "number") return length;
    if (length > left) return null;
    const frame = frameAt(this.#piece, this.#at, length);
    this.#at += length;
    return frame;
  }

  /** The length that the header at `at` claims, once it may; else the stream is broken. */
  #checkedLength(bytes: Uint8Array, at: number): number | Malformed {
    const length = getU32(bytes, at);
    const type = frameTypeOf(bytes[at + 4]!);
    if (type === null) return this.#break({ malformed: "unknown-type", type: bytes[at + 4]! });
    if (!isExpected(type, this.#stage)) return this.#break({ malformed: "unexpected-type", type });
    if (length < frameHeaderBytes) return this.#break({ malformed: "too-short", length });
    const lengthMax = frameBytesMax(type, this.#limits);
    if (length > lengthMax) return this.#break({ malformed: "too-long", length, lengthMax });
    return length;
  }

  #break(why: Malformed): Malformed {
    this.#broken = why;
    this.#at = this.#piece.length;
    this.#frame = null;
    return why;
  }

  /** Copies what is there into `into` from `filled` on; answers how many bytes. */
  #take(into: Uint8Array, filled: number): number {
    const count = Math.min(into.length - filled, this.#piece.length - this.#at);
    into.set(this.#piece.subarray(this.#at, this.#at + count), filled);
    this.#at += count;
    return count;
  }

  /** The piece is used up; it is let go, so that a quiet link holds no buffer. */
  #drop(): null {
    this.#piece = nothing;
    this.#at = 0;
    return null;
  }
}

/** Longest whole frame of a type. */
export function frameBytesMax(type: FrameType, limits: LinkLimits): number {
  const lane = laneOf(type);
  if (lane === null) return limits.greetingFrameBytesMax;
  return frameHeaderBytes + relayPrefixBytesMax + payloadBytesMax(lane, limits);
}

/** A refusal may come at any time; it says why a link ends. */
function isExpected(type: FrameType, stage: DecoderStage): boolean {
  if (type === frameTypes.refuse) return true;
  return stage === "greeting" ? type < frameTypes.refuse : type >= frameTypes.credit;
}

function frameAt(bytes: Uint8Array, at: number, length: number): PeerFrame {
  return {
    type: bytes[at + 4]! as FrameType,
    flags: bytes[at + 5]!,
    kind: getU16(bytes, at + 6),
    payload: bytes.subarray(at + frameHeaderBytes, at + length),
  };
}

const nothing = new Uint8Array(0);
