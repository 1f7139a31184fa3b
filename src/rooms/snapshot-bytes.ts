import { assert } from "../base/assert.ts";
import { getU32, getU48, putU32, putU48 } from "../base/byte-order.ts";
import { Fault } from "../base/error-codes.ts";

/** Whole numbers and short texts, one after the other, into memory that grows. */
export class SnapshotWriter {
  #bytes: Uint8Array = new Uint8Array(64 * 1024);
  #end = 0;

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#end] = value;
    this.#end += 1;
  }
  u32(value: number): void {
    this.#room(4);
    putU32(this.#bytes, this.#end, value);
    this.#end += 4;
  }
  u48(value: number): void {
    this.#room(6);
    putU48(this.#bytes, this.#end, value);
    this.#end += 6;
  }
  /** One byte of length, then the bytes. */
  text(value: Uint8Array): void {
    assert(value.length < 256, "a text does not fit a snapshot");
    this.u8(value.length);
    this.raw(value);
  }
  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#bytes.set(value, this.#end);
    this.#end += value.length;
  }
  /** What was written so far; good until the next write. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#end);
  }

  #room(count: number): void {
    if (this.#end + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#end + count));
    larger.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = larger;
  }
}

/** Reads what a `SnapshotWriter` wrote, and throws a Fault where the bytes end too early. */
export class SnapshotReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }
  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }
  u32(): number {
    return getU32(this.#bytes, this.#take(4));
  }
  u48(): number {
    return getU48(this.#bytes, this.#take(6));
  }
  /** A view of the text; copy what is kept. */
  text(): Uint8Array {
    return this.raw(this.u8());
  }
  /** A view of so many bytes; copy what is kept. */
  raw(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  #take(count: number): number {
    const start = this.#at;
    if (start + count > this.#bytes.length) throw badSnapshot("it ends in the middle");
    this.#at += count;
    return start;
  }
}

/** A snapshot that is none. Another server's, or an older one with the log after it, takes its place. */
export const badSnapshot = (why: string): Fault =>
  new Fault("unavailable", `this is no snapshot of a group's rooms: ${why}; take it from another server`);
