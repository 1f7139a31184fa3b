import { unreachable } from "../base/assert.ts";
import { encodeBinary } from "../protocol/binary-codec.ts";
import { encodeJson } from "../protocol/json-codec.ts";
import {
  type MessageRanges,
  messageFrameBytes,
  type OkSendRanges,
  okSendFrameBytesMax,
  putMessageFrame,
  putOkSendFrame,
} from "../protocol/message-bytes.ts";
import {
  messageJsonBytesMax,
  okSendJsonBytesMax,
  putDecimal,
  putMessageJson,
  putOkSendJson,
} from "../protocol/message-json.ts";
import type { ServerFrame } from "../protocol/schema.ts";
import { utf8 } from "../protocol/utf8.ts";
import {
  bodyStart,
  cidText,
  fromText,
  kindText,
  recordBodyLength,
  recordEpoch,
  recordHeaderBytes,
  recordRef,
  recordSeq,
  recordTs,
  roomText,
  textLength,
} from "../rooms/message-record.ts";
import type { WireFormat } from "./client-link.ts";

/** Bytes that a format may need around a frame: a WebSocket header, or `id:` and `data:`. */
const wrapBytesMax = 48;
/** The first slab; the others are larger, for a busy turn needs many. */
const slabBytes = 64 * 1024;
const laterSlabBytes = 256 * 1024;
/** Slabs that are kept for the next turn. */
const slabsMax = 8;
const line = 0x0a;
const textMessage = 0x81;
const binaryMessage = 0x82;

/**
 * Writes frames, wrapped as a link's format wants them, one behind the other into slabs. What is written is not
 * written over before every link says that it holds nothing any more. One writer serves all links of a server.
 *
 * A frame lies in `slab` from what `at` was before to what it is after; callers read both around each call, and look
 * whether `slab` was changed meanwhile.
 */
export class FrameWriter {
  slab: Uint8Array = new Uint8Array(0);
  at = 0;
  /** The slabs of this turn, and behind them those of busier turns before. */
  #slabs: Uint8Array[] = [];
  #next = 0;
  /** What links still hold lies in here: only what is behind it may be written. */
  #held: Uint8Array | null = null;

  /** Every link has taken what was written: it may be written over. */
  reuse(): void {
    if (this.slab === this.#held) return;
    if (this.#slabs.length > slabsMax) this.#slabs.length = slabsMax;
    this.slab = this.#slabs[0] ?? this.slab;
    this.#next = Math.min(1, this.#slabs.length);
    this.at = 0;
  }

  /**
   * Some link still holds what was written: it is not written over. The rest of the slab is used all the same, for a slow
   * link keeps whole slabs in memory, however little of them it waits to send.
   */
  renew(): void {
    this.#slabs = [];
    this.#next = 0;
    this.#held = this.slab;
  }

  /** A message of a room. */
  message(format: WireFormat, message: MessageRanges): void {
    switch (format) {
      case "binary-stream":
      case "binary-websocket": {
        const size = messageFrameBytes(message);
        this.#ensure(size + wrapBytesMax);
        if (format === "binary-websocket") this.#header(binaryMessage, size);
        this.at = putMessageFrame(this.slab, this.at, message);
        return;
      }
      case "json-lines":
      case "json-websocket":
      case "event-stream": {
        this.#ensure(messageJsonBytesMax(message) + wrapBytesMax);
        if (format === "event-stream") {
          this.#put(eventId);
          this.at = putDecimal(this.slab, this.at, message.seq);
          this.#put(eventData);
        }
        const start = this.#open(format);
        this.#close(format, start, putMessageJson(this.slab, start, message));
        return;
      }
      default:
        unreachable(format);
    }
  }

  /** The answer to a send. */
  okSend(format: WireFormat, ok: OkSendRanges): void {
    if (format === "binary-stream" || format === "binary-websocket") {
      this.#ensure(okSendFrameBytesMax(ok) + wrapBytesMax);
      const start = this.#open(format);
      this.#close(format, start, putOkSendFrame(this.slab, start, ok));
    } else {
      this.#ensure(okSendJsonBytesMax(ok) + wrapBytesMax);
      const start = this.#open(format);
      this.#close(format, start, putOkSendJson(this.slab, start, ok));
    }
  }

  /** Any other frame. */
  frame(format: WireFormat, frame: ServerFrame): void {
    if (format === "event-stream") {
      this.#event(frame);
      return;
    }
    const isBinary = format === "binary-stream" || format === "binary-websocket";
    this.encoded(format, isBinary ? encodeBinary("server", frame) : utf8(encodeJson("server", frame)));
  }

  /** A frame that is encoded already. */
  encoded(format: WireFormat, bytes: Uint8Array): void {
    this.#ensure(bytes.length + wrapBytesMax);
    const start = this.#open(format);
    this.slab.set(bytes, start);
    this.#close(format, start, start + bytes.length);
  }

  // What an event stream shows besides messages: the answer to its subscription, gaps, where history ends, and that the
  // server goes. A pong becomes a comment, which keeps a quiet stream alive. Everything else is not for its reader.
  #event(frame: ServerFrame): void {
    switch (frame.t) {
      case "pong":
        this.#ensure(eventComment.length);
        this.#put(eventComment);
        return;
      case "ok":
      case "err":
      case "gap":
      case "caught-up":
      case "drain": {
        const json = utf8(encodeJson("server", frame));
        this.#ensure(json.length + wrapBytesMax);
        const resumeAt = frame.t === "gap" ? resumeBehind(frame) : null;
        if (resumeAt !== null) {
          this.#put(eventId);
          this.at = putDecimal(this.slab, this.at, resumeAt);
          this.#put(lineEnd);
        }
        this.#put(utf8(`event: ${frame.t}\ndata: `));
        this.#put(json);
        this.#close("event-stream", this.at, this.at);
        return;
      }
      default:
        return;
    }
  }

  // Leaves room for a WebSocket header of the usual size; `#close` moves the frame when another is needed.
  #open(format: WireFormat): number {
    return format === "json-websocket" || format === "binary-websocket" ? this.at + 4 : this.at;
  }

  #close(format: WireFormat, start: number, end: number): void {
    switch (format) {
      case "binary-stream":
        this.at = end;
        return;
      case "json-lines":
        this.slab[end] = line;
        this.at = end + 1;
        return;
      case "event-stream":
        this.slab[end] = line;
        this.slab[end + 1] = line;
        this.at = end + 2;
        return;
      case "json-websocket":
      case "binary-websocket": {
        const size = end - start;
        const shift = size < 126 ? -2 : size < 65_536 ? 0 : 6;
        if (shift !== 0) this.slab.copyWithin(start + shift, start, end);
        this.#header(format === "json-websocket" ? textMessage : binaryMessage, size);
        this.at = end + shift;
        return;
      }
      default:
        unreachable(format);
    }
  }

  // An unmasked WebSocket header, as short as its size allows (RFC 6455 5.2).
  #header(opcode: number, size: number): void {
    this.slab[this.at++] = opcode;
    if (size < 126) {
      this.slab[this.at++] = size;
    } else if (size < 65_536) {
      this.slab[this.at++] = 126;
      this.slab[this.at++] = size >>> 8;
      this.slab[this.at++] = size;
    } else {
      this.slab[this.at++] = 127;
      this.slab.fill(0, this.at, this.at + 4);
      this.at += 4;
      for (let shift = 24; shift >= 0; shift -= 8) this.slab[this.at++] = size >>> shift;
    }
  }

  #put(bytes: Uint8Array): void {
    this.slab.set(bytes, this.at);
    this.at += bytes.length;
  }

  #ensure(size: number): void {
    if (this.at + size <= this.slab.length) return;
    this.slab = this.#slabWith(size);
    this.at = 0;
  }

  #slabWith(size: number): Uint8Array {
    const kept = this.#slabs[this.#next];
    if (kept !== undefined && kept.length >= size) {
      this.#next++;
      return kept;
    }
    const isFirst = this.#next === 0 && this.#held === null;
    const slab = new Uint8Array(Math.max(isFirst ? slabBytes : laterSlabBytes, size));
    this.#held = null;
    this.#slabs.length = this.#next;
    this.#slabs.push(slab);
    this.#next++;
    return slab;
  }
}

const eventId = utf8("id: ");
const eventData = utf8("\ndata: ");
const eventComment = utf8(":\n\n");
const lineEnd = Uint8Array.of(line);

/** Where a reader goes on behind a gap: what is gone for good is not asked for again, anything else may come back. */
function resumeBehind(gap: Extract<ServerFrame, { t: "gap" }>): number | null {
  switch (gap.reason) {
    case "retention":
    case "deleted":
      return gap.to;
    case "reset":
      return 0;
    default:
      return null;
  }
}

/** Points `ranges` at the record at `offset`. */
export function rangesOf(ranges: MessageRanges, bytes: Uint8Array, offset: number): void {
  ranges.source = bytes;
  ranges.namesStart = offset + recordHeaderBytes;
  ranges.roomLength = textLength(bytes, offset, roomText);
  ranges.fromLength = textLength(bytes, offset, fromText);
  ranges.cidLength = textLength(bytes, offset, cidText);
  ranges.kindLength = textLength(bytes, offset, kindText);
  ranges.bodyStart = bodyStart(bytes, offset);
  ranges.bodyLength = recordBodyLength(bytes, offset);
  ranges.seq = recordSeq(bytes, offset);
  ranges.ts = recordTs(bytes, offset);
  ranges.epoch = recordEpoch(bytes, offset);
  ranges.ref = recordRef(bytes, offset);
}
