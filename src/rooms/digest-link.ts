import { createHash, type Hash } from "node:crypto";

import {
  bodyStart,
  recordBodyLength,
  recordRef,
  recordSeq,
  recordTs,
  textLength,
  textStart,
} from "./message-record.ts";

const from = 1;
const cid = 2;
const kind = 3;
const text = new TextEncoder().encode("text");

/** What the chain of a room's digests begins with: 32 zero bytes. */
export const noDigest: Uint8Array = new Uint8Array(32);

/**
 * One link of the chain of hashes over a room's messages: SHA-256 over the link before and the messages of this one, in
 * order of seq. A message is u64be seq, u64be ts, then u32be length and bytes of from, of cid and of kind, u64be ref,
 * u32be length and bytes of body. Neither epoch nor anything else of the log goes in: a message that was copied to
 * another cluster has the same digest.
 */
export class DigestLink {
  readonly #hash: Hash;

  constructor(before: Uint8Array) {
    this.#hash = createHash("sha256").update(before);
  }

  /** Adds the message whose record stands at `offset`. */
  add(bytes: Uint8Array, offset: number): void {
    this.#whole(recordSeq(bytes, offset));
    this.#whole(recordTs(bytes, offset));
    this.#text(bytes, textStart(bytes, offset, from), textLength(bytes, offset, from));
    this.#text(bytes, textStart(bytes, offset, cid), textLength(bytes, offset, cid));
    const kindLength = textLength(bytes, offset, kind);
    if (kindLength === 0) this.#text(text, 0, text.length);
    else this.#text(bytes, textStart(bytes, offset, kind), kindLength);
    this.#whole(recordRef(bytes, offset));
    this.#text(bytes, bodyStart(bytes, offset), recordBodyLength(bytes, offset));
  }

  end(): Uint8Array {
    return this.#hash.digest();
  }

  #whole(value: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setUint32(0, Math.floor(value / 0x1_0000_0000));
    new DataView(bytes.buffer).setUint32(4, value % 0x1_0000_0000);
    this.#hash.update(bytes);
  }

  #text(bytes: Uint8Array, start: number, length: number): void {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, length);
    this.#hash.update(size).update(bytes.subarray(start, start + length));
  }
}
