import {
  bodyStart,
  cidText,
  fromText,
  kindText,
  recordBodyLength,
  recordRef,
  recordSeq,
  recordTs,
  textLength,
  textStart,
} from "./message-record.ts";
import { Sha256 } from "../base/sha256.ts";

const text = new TextEncoder().encode("text");

/** Messages of one link of the chain. */
export const linkMessages = 1_024;
export const linkBytes = 32;

/** What the chain of a room's digests begins with: 32 zero bytes. */
export const noDigest: Uint8Array = new Uint8Array(linkBytes);

/**
 * One link of the chain of hashes over a room's messages: SHA-256 over the link before and the messages of this one, in
 * order of seq. A message is u64be seq, u64be ts, then u32be length and bytes of from, of cid and of kind, u64be ref,
 * u32be length and bytes of body. Neither epoch nor anything else of the log goes in: a message that was copied to
 * another cluster has the same digest.
 */
export class DigestLink {
  readonly #hash: Sha256;
  readonly #number = new Uint8Array(8);
  readonly #view = new DataView(this.#number.buffer);

  private constructor(hash: Sha256) {
    this.#hash = hash;
  }

  /** A link behind the link `before`. */
  static behind(before: Uint8Array): DigestLink {
    return new DigestLink(new Sha256().update(before));
  }

  /** The link that `save` put aside. */
  static resume(saved: Uint8Array): DigestLink {
    return new DigestLink(Sha256.resume(saved));
  }

  /** Adds the message whose record stands at `offset`. */
  add(bytes: Uint8Array, offset: number): void {
    this.#whole(recordSeq(bytes, offset));
    this.#whole(recordTs(bytes, offset));
    this.#text(bytes, textStart(bytes, offset, fromText), textLength(bytes, offset, fromText));
    this.#text(bytes, textStart(bytes, offset, cidText), textLength(bytes, offset, cidText));
    const kindLength = textLength(bytes, offset, kindText);
    if (kindLength === 0) this.#text(text, 0, text.length);
    else this.#text(bytes, textStart(bytes, offset, kindText), kindLength);
    this.#whole(recordRef(bytes, offset));
    this.#text(bytes, bodyStart(bytes, offset), recordBodyLength(bytes, offset));
  }

  /** The link. Nothing may be added after. */
  end(): Uint8Array {
    return this.#hash.digest();
  }

  /** What `resume` goes on from. */
  save(): Uint8Array {
    return this.#hash.save();
  }

  #whole(value: number): void {
    this.#view.setUint32(0, Math.floor(value / 0x1_0000_0000));
    this.#view.setUint32(4, value % 0x1_0000_0000);
    this.#hash.add(this.#number, 0, 8);
  }

  #text(bytes: Uint8Array, start: number, length: number): void {
    this.#view.setUint32(0, length);
    this.#hash.add(this.#number, 0, 4);
    this.#hash.add(bytes, start, length);
  }
}
