import type { ClientFrame, ServerFrame } from "../protocol/schema.ts";
import type { Decoder, Encoding, Link, Unspeakable } from "./ports.ts";

/** Frames of one write, and their bytes at most; less where the server takes less at once. */
const framesPerWriteMax = 256;
const writeBytesMax = 192 * 1024;
/** What a frame takes besides a body, in any encoding: names, ids and their fields. */
const frameBesidesBytesMax = 512;
/** A UTF-16 unit of a body: three bytes of UTF-8, or six where JSON escapes it. */
const bytesPerUnitMax = 6;

/** A link that is open, and how frames travel on it. */
export class OpenLink {
  readonly #link: Link;
  readonly #encoding: Encoding;
  readonly #decoder: Decoder;

  constructor(link: Link, encoding: Encoding) {
    this.#link = link;
    this.#encoding = encoding;
    this.#decoder = encoding.decoder();
    if (encoding.opening !== null) link.send(encoding.opening);
  }

  bufferedBytes(): number {
    return this.#link.bufferedBytes();
  }

  /** The frames that are whole now. Throws `ProtocolViolation`. */
  received(data: string | Uint8Array): readonly ServerFrame[] {
    return this.#decoder.push(data);
  }

  /** Writes frames in order, each write within what the server takes at once: beyond, it ends the link. */
  write(frames: readonly ClientFrame[], frameBytesMax: number, unspeakable: Unspeakable): void {
    const bytesMax = Math.min(writeBytesMax, frameBytesMax);
    let start = 0;
    let bytes = 0;
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i]!;
      const size = frameBesidesBytesMax + (frame.t === "send" ? frame.body.length * bytesPerUnitMax : 0);
      if (i > start && (i - start >= framesPerWriteMax || bytes + size > bytesMax)) {
        this.#write(frames.slice(start, i), unspeakable);
        start = i;
        bytes = 0;
      }
      bytes += size;
    }
    if (start < frames.length) this.#write(frames.slice(start), unspeakable);
  }

  #write(frames: readonly ClientFrame[], unspeakable: Unspeakable): void {
    const data = this.#encoding.encode(frames, unspeakable);
    if (data.length > 0) this.#link.send(data);
  }
}
