import type { OkSendRanges } from "../protocol/message-bytes.ts";
import type { ServerFrame } from "../protocol/schema.ts";
import type { ClientLink } from "./client-link.ts";
import type { FrameWriter } from "./frame-writer.ts";

/**
 * What one connection is to be sent in this turn: pieces that are shared with others, and between them regions of the
 * writer's slab that hold its own frames. Own frames that follow one another are one region, so a thousand answers are
 * one piece.
 *
 * A link that still holds something keeps whatever it is given, and with a small region its whole slab; so it is given
 * small ones as copies.
 */
export class SessionOutput {
  readonly #link: ClientLink;
  readonly #writer: FrameWriter;
  #pieces: Uint8Array[] = [];
  #slab: Uint8Array = noBytes;
  #start = 0;
  #end = 0;
  /** Bytes of `#pieces` that nobody shares, and of what was written since the link held nothing. */
  #ownBytes = 0;
  #ownWritten = 0;
  /** When the link's queue was last seen to move, while it is not empty. */
  #movedAt = 0;
  #linkQueuedBefore = 0;

  constructor(link: ClientLink, writer: FrameWriter) {
    this.#link = link;
    this.#writer = writer;
  }

  frame(frame: ServerFrame): void {
    this.#before();
    this.#writer.frame(this.#link.format, frame);
    this.#after();
  }

  okSend(ok: OkSendRanges): void {
    this.#before();
    this.#writer.okSend(this.#link.format, ok);
    this.#after();
  }

  /** Queues frames that are wrapped for this link's format, and that others are given too. */
  push(pieces: readonly Uint8Array[]): void {
    this.#cut();
    for (const piece of pieces) {
      if (piece.length > copiedBytesMax || this.#link.queuedBytes() === 0) this.#pieces.push(piece);
      else this.#own(piece);
    }
  }

  /** The same for frames that are for this client alone. */
  give(pieces: readonly Uint8Array[]): void {
    this.#cut();
    for (const piece of pieces) this.#own(piece);
  }

  /** Bytes that the link holds for this client alone; at most so many, where it also holds what is shared. */
  heldBytes(): number {
    return this.#ownWritten === 0 ? 0 : Math.min(this.#ownWritten, this.#link.queuedBytes());
  }

  /** Bytes that are queued here and not yet given to the link. */
  get queuedBytes(): number {
    let bytes = this.#end - this.#start;
    for (const piece of this.#pieces) bytes += piece.length;
    return bytes;
  }

  /** How long the client has taken nothing of what its link holds for it, as far as looks like this one tell. */
  stalledMs(now: number): number {
    const queued = this.#link.queuedBytes();
    if (queued === 0 || queued < this.#linkQueuedBefore || this.#linkQueuedBefore === 0) this.#movedAt = now;
    this.#linkQueuedBefore = queued;
    return now - this.#movedAt;
  }

  /** The client has taken all that its link held. */
  drained(): void {
    this.#linkQueuedBefore = 0;
  }

  /** Writes what is queued, as one write. */
  flush(): void {
    this.#cut();
    if (this.#pieces.length === 0) return;
    const pieces = this.#pieces;
    this.#pieces = [];
    if (this.#link.queuedBytes() === 0) this.#ownWritten = 0;
    this.#ownWritten += this.#ownBytes;
    this.#ownBytes = 0;
    this.#link.write(pieces);
  }

  /** Forgets what is queued: nobody is there any more. */
  clear(): void {
    this.#cut();
    this.#pieces = [];
    this.#ownBytes = 0;
  }

  #before(): void {
    const writer = this.#writer;
    if (this.#slab === writer.slab && this.#end === writer.at) return;
    this.#cut();
    this.#slab = writer.slab;
    this.#start = writer.at;
    this.#end = writer.at;
  }

  #after(): void {
    const writer = this.#writer;
    if (this.#slab !== writer.slab) {
      this.#cut();
      this.#slab = writer.slab;
      this.#start = 0;
    }
    this.#end = writer.at;
  }

  #own(piece: Uint8Array): void {
    this.#ownBytes += piece.length;
    this.#pieces.push(piece.length <= copiedBytesMax && this.#link.queuedBytes() > 0 ? piece.slice() : piece);
  }

  #cut(): void {
    if (this.#end > this.#start) this.#own(this.#slab.subarray(this.#start, this.#end));
    this.#slab = noBytes;
    this.#start = 0;
    this.#end = 0;
  }
}

/** A slab is some sixty times as large. */
const copiedBytesMax = 4 * 1024;
const noBytes = new Uint8Array(0);
