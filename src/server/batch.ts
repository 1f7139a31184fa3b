import { putU32, putU48 } from "../base/byte-order.ts";
import type { ClientFrameOf, RequestId } from "../protocol/schema.ts";
import { putUtf8 } from "../protocol/utf8.ts";
import { postType, recordHeaderBytes } from "../rooms/message-record.ts";
import type { OutcomeCode } from "../rooms/outcome.ts";
import type { LiveRoom } from "./live-room.ts";

/** Who asked for a command, and is told what became of it. */
export interface Origin {
  /**
   * What became of the command with this request id. For a stored, repeated or conflicting post, seq, ts and epoch are
   * the stored message's, and the post stands at `memory[offset]` as it was proposed. Called in the order of the log.
   */
  decided(
    request: RequestId,
    code: OutcomeCode,
    seq: number,
    ts: number,
    epoch: number,
    memory: Uint8Array,
    offset: number,
  ): void;
  /** Nobody can tell whether the command will be committed; or, where the code is definite, it was not put in order. */
  undecided(request: RequestId, code: UndecidedCode): void;
}

/**
 * Why nobody knows: the server stops, or has lost what it asked; or too few servers answer. Or why the leader does not take
 * it: too much waits, or its disk is full.
 */
export type UndecidedCode = "unavailable" | "no_quorum" | "overloaded" | "storage_full";

export const undecidedMessages: Readonly<Record<UndecidedCode, string>> = {
  unavailable: "the server stopped, or lost the leader, before this was decided",
  no_quorum: "too few servers have answered in time to decide this",
  overloaded: "too much waits to be decided by the leader",
  storage_full: "the disk of the leader is full; nothing is lost, nothing new is taken",
};

/** A post as it lies in a client's frame: texts and body are ranges of `bytes`. One object is used again and again. */
export interface PostSource {
  bytes: Uint8Array;
  /** The room's name; length 0 where the frame does not have it. */
  roomStart: number;
  roomLength: number;
  cidStart: number;
  cidLength: number;
  kindStart: number;
  kindLength: number;
  prevStart: number;
  prevLength: number;
  bodyStart: number;
  bodyLength: number;
  ref: number;
  checked: number;
}

/** A source that points at nothing yet. */
export function emptySource(bytes: Uint8Array): PostSource {
  return {
    bytes,
    roomStart: 0,
    roomLength: 0,
    cidStart: 0,
    cidLength: 0,
    kindStart: 0,
    kindLength: 0,
    prevStart: 0,
    prevLength: 0,
    bodyStart: 0,
    bodyLength: 0,
    ref: 0,
    checked: 0,
  };
}

/** Writes the texts of a decoded `send` into `scratch`, one behind the other, and points `source` at them. */
export function fillSource(source: PostSource, scratch: Uint8Array, frame: ClientFrameOf<"send">): void {
  source.bytes = scratch;
  source.roomLength = 0;
  source.cidStart = 0;
  let end = putUtf8(scratch, 0, frame.cid);
  source.cidLength = end;
  source.kindStart = end;
  if (frame.kind !== undefined && frame.kind !== "text") end = putUtf8(scratch, end, frame.kind);
  source.kindLength = end - source.kindStart;
  source.prevStart = end;
  if (frame.prev !== undefined) end = putUtf8(scratch, end, frame.prev);
  source.prevLength = end - source.prevStart;
  source.bodyStart = end;
  end = putUtf8(scratch, end, frame.body);
  source.bodyLength = end - source.bodyStart;
  source.ref = frame.ref ?? 0;
  source.checked = frame.since ?? 0;
}

/**
 * The commands of one entry while it is gathered: their bytes back to back, and beside them who asked. Used again for
 * another entry once all is decided.
 */
export class Batch {
  bytes: Uint8Array = new Uint8Array(16 * 1024);
  length = 0;
  count = 0;
  readonly offsets: number[] = [];
  readonly origins: (Origin | null)[] = [];
  readonly requests: RequestId[] = [];
  /** The room whose ring has a slot taken for the command; null for commands that take none. */
  readonly rooms: (LiveRoom | null)[] = [];
  /** When its first command was gathered, in monotonic milliseconds. */
  since = 0;
  /** Given when it takes no more: batches go in this order. */
  number = 0;

  /** Forgets everything. The lists keep their length: what they hold from `count` on says nothing. */
  clear(): void {
    this.origins.fill(null, 0, this.count);
    this.rooms.fill(null, 0, this.count);
    this.length = 0;
    this.count = 0;
  }

  /** Whoever asked for a command of it is told that nobody knows; what becomes of it later is told to nobody. */
  tellUndecided(code: UndecidedCode): void {
    for (let at = 0; at < this.count; at++) {
      const origin = this.origins[at] ?? null;
      this.origins[at] = null;
      origin?.undecided(this.requests[at]!, code);
    }
  }

  /** Where the command at `position` ends. */
  endOf(position: number): number {
    return position + 1 < this.count ? this.offsets[position + 1]! : this.length;
  }

  /**
   * Writes a post behind what is there, without counting it yet, and answers its offset: `keep` counts it, and writing
   * the next one over it drops it. `kind` text is length 0. `room` is read only where the source has no name of a room.
   */
  writePost(room: Uint8Array, from: Uint8Array, source: PostSource): number {
    const isRoomInSource = source.roomLength > 0;
    const roomLength = isRoomInSource ? source.roomLength : room.length;
    const textBytes = roomLength + from.length + source.cidLength + source.kindLength + source.prevLength;
    const length = recordHeaderBytes + textBytes + source.bodyLength;
    this.#ensure(length);
    const b = this.bytes;
    const o = this.length;
    putU32(b, o, length);
    b[o + 4] = postType;
    b[o + 5] = 0;
    // Written out: `fill` is a call out of compiled code, twice the price of these stores.
    putU48(b, o + 6, 0);
    putU48(b, o + 12, 0);
    putU48(b, o + 18, 0);
    putU48(b, o + 24, source.ref);
    putU48(b, o + 30, source.checked);
    putU48(b, o + 36, 0);
    b[o + 42] = roomLength;
    b[o + 43] = from.length;
    b[o + 44] = source.cidLength;
    b[o + 45] = source.kindLength;
    b[o + 46] = source.prevLength;
    b[o + 47] = 0;
    b[o + 48] = 0;
    b[o + 49] = 0;
    putU32(b, o + 50, source.bodyLength);
    let end = isRoomInSource
      ? copy(b, o + recordHeaderBytes, source.bytes, source.roomStart, roomLength)
      : copy(b, o + recordHeaderBytes, room, 0, roomLength);
    end = copy(b, end, from, 0, from.length);
    const { bytes, cidStart, bodyStart, bodyLength } = source;
    const restLength = source.cidLength + source.kindLength + source.prevLength + bodyLength;
    if (bodyStart + bodyLength - cidStart === restLength) {
      // As a rule cid, kind, prev and body stand in a frame as they do in a record.
      copy(b, end, bytes, cidStart, restLength);
      return o;
    }
    end = copy(b, end, bytes, cidStart, source.cidLength);
    end = copy(b, end, bytes, source.kindStart, source.kindLength);
    end = copy(b, end, bytes, source.prevStart, source.prevLength);
    copy(b, end, bytes, bodyStart, bodyLength);
    return o;
  }

  /** Copies a whole command behind what is there, without counting it yet. */
  writeBytes(command: Uint8Array): number {
    this.#ensure(command.length);
    this.bytes.set(command, this.length);
    return this.length;
  }

  /** Counts what was written last, `length` bytes of it. */
  keep(length: number, origin: Origin | null, request: RequestId, room: LiveRoom | null): void {
    const at = this.count++;
    this.offsets[at] = this.length;
    this.origins[at] = origin;
    this.requests[at] = request;
    this.rooms[at] = room;
    this.length += length;
  }

  #ensure(length: number): void {
    if (this.length + length <= this.bytes.length) return;
    const bytes = new Uint8Array(Math.max(this.bytes.length * 2, this.length + length));
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
  }
}

/** Short texts are copied byte by byte: a view costs more than they do. */
function copy(into: Uint8Array, to: number, from: Uint8Array, start: number, length: number): number {
  if (length <= 24) for (let i = 0; i < length; i++) into[to + i] = from[start + i]!;
  else into.set(from.subarray(start, start + length), to);
  return to + length;
}
