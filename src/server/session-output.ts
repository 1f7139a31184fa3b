import type { OkSendRanges } from "../protocol/message-bytes.ts";
import type { ServerFrame } from "../protocol/schema.ts";
import type { ClientLink } from "./client-link.ts";
import type { FrameWriter } from "./frame-writer.ts";

/**
 * What one connection is to be sent in this turn: pieces that are shared with others, and between them regions of the
 * writer's slab that hold its own frames. Own frames that follow one another are one region, so a thousand answers are
 * one piece.
 */
export class SessionOutput {
  readonly #link: ClientLink;
  readonly #writer: FrameWriter;
  #pieces: Uint8Array[] = [];
  #slab: Uint8Array = noBytes;
  #start = 0;
  #end = 0;
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

  /** Queues frames that are wrapped for this link's format; the bytes may be shared. */
  push(pieces: readonly Uint8Array[]): void {
    this.#cut();
    for (const piece of pieces) this.#pieces.push(piece);
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
    this.#link.write(pieces);
  }

  /** Forgets what is queued: nobody is there any more. */
  clear(): void {
    this.#cut();
    this.#pieces = [];
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

  #cut(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#slab.subarray(this.#start, this.#end));
    this.#slab = noBytes;
    this.#start = 0;
    this.#end = 0;
  }
}

const noBytes = new Uint8Array(0);
