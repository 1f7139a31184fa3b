import { flagPassedOn, flagPassOn, frameHeaderBytes, type FrameType, putFrameHeader } from "./peer-frame.ts";
import { bytesOf, type OutgoingFrame } from "./frame-queue.ts";

/** Smaller payloads are copied behind their header: one piece of many small frames costs less than many pieces. */
const copiedBytesMax = 2_048;
const slabBytes = 64 * 1024;

/**
 * Gathers the frames of one write. Headers and small payloads lie in slabs, each byte of which is used once; a large
 * payload is a piece of its own and is not copied.
 */
export class OutputBatch {
  #slab = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  /** Bytes gathered since `done`. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A frame of the link itself. */
  addWhole(frame: Uint8Array): void {
    this.#room(frame.length);
    this.#slab.set(frame, this.#end);
    this.#end += frame.length;
    this.#bytes += frame.length;
  }

  add(type: FrameType, frame: OutgoingFrame): void {
    const { payload, rest, flags, kind, name } = frame;
    const prefixBytes = flags & (flagPassOn | flagPassedOn) ? 1 + name.length : 0;
    const isCopied = payload.length <= copiedBytesMax;
    const headBytes = frameHeaderBytes + prefixBytes;
    const payloadBytes = prefixBytes + bytesOf(frame);
    this.#room(isCopied ? headBytes + payload.length : headBytes);
    putFrameHeader(this.#slab, this.#end, { type, flags, kind, payloadBytes });
    this.#end += frameHeaderBytes;
    if (prefixBytes > 0) {
      this.#slab[this.#end++] = name.length;
      for (let at = 0; at < name.length; at++) this.#slab[this.#end++] = name.charCodeAt(at);
    }
    if (isCopied) {
      this.#slab.set(payload, this.#end);
      this.#end += payload.length;
    } else {
      this.#cut();
      this.#pieces.push(payload);
    }
    if (rest.length > 0) {
      this.#cut();
      this.#pieces.push(rest);
    }
    this.#bytes += frameHeaderBytes + payloadBytes;
  }

  /** What was gathered, to be written in this order; the batch is empty again. */
  done(): Uint8Array[] {
    this.#cut();
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    return pieces;
  }

  #room(bytes: number): void {
    if (this.#end + bytes <= this.#slab.length) return;
    this.#cut();
    this.#slab = new Uint8Array(slabBytes);
    this.#start = 0;
    this.#end = 0;
  }

  #cut(): void {
    if (this.#end === this.#start) return;
    this.#pieces.push(this.#slab.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}
