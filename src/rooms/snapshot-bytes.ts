import { assert } from "../base/assert.ts";
import { putU32, putU48 } from "../base/byte-order.ts";
import { Fault } from "../base/error-codes.ts";

const pageBytes = 64 * 1024;

/** Whole numbers and short texts, one after the other, into pages that are never moved. */
export class SnapshotWriter {
  readonly #full: Uint8Array[] = [];
  #fullBytes = 0;
  #page: Uint8Array;
  #end = 0;

  constructor() {
    this.#page = new Uint8Array(pageBytes);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#fullBytes + this.#end;
  }

  u8(value: number): void {
    this.#room(1);
    this.#page[this.#end] = value;
    this.#end += 1;
  }
  u32(value: number): void {
    this.#room(4);
    putU32(this.#page, this.#end, value);
    this.#end += 4;
  }
  u48(value: number): void {
    this.#room(6);
    putU48(this.#page, this.#end, value);
    this.#end += 6;
  }
  /** One byte of length, then the bytes. */
  text(value: Uint8Array): void {
    assert(value.length < 256, "a text does not fit a snapshot");
    this.u8(value.length);
    this.raw(value);
  }
  /** The same of a part of `b`. No view is made, for there are many. */
  readonly textAt = (b: Uint8Array, start: number, length: number): void => {
    this.u8(length);
    this.#room(length);
    for (let i = 0; i < length; i++) this.#page[this.#end + i] = b[start + i]!;
    this.#end += length;
  };
  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#page.set(value, this.#end);
    this.#end += value.length;
  }

  /** Copies everything into `bytes`, from `at` on, and begins anew. */
  moveInto(bytes: Uint8Array, at: number): void {
    let end = at;
    for (const page of this.#full) {
      bytes.set(page, end);
      end += page.length;
    }
    this.#full.length = 0;
    this.#fullBytes = 0;
    bytes.set(this.#page.subarray(0, this.#end), end);
    this.#end = 0;
  }

  /** Everything, in the order of writing. Nothing may be written after. */
  pages(): Uint8Array[] {
    return [...this.#full, this.#page.subarray(0, this.#end)];
  }
  #room(count: number): void {
    if (this.#end + count <= this.#page.length) return;
    this.#full.push(this.#page.subarray(0, this.#end));
    this.#fullBytes += this.#end;
    this.#page = new Uint8Array(Math.max(pageBytes, count));
    this.#end = 0;
  }
}

/** Pages as one piece. */
export function joined(pages: readonly Uint8Array[]): Uint8Array {
  if (pages.length === 1) return pages[0]!;
  const whole = new Uint8Array(pages.reduce((sum, page) => sum + page.length, 0));
  let end = 0;
  for (const page of pages) {
    whole.set(page, end);
    end += page.length;
  }
  return whole;
}

/** A snapshot that is none. Another server's, or an older one with the log after it, takes its place. */
export const badSnapshot = (why: string): Fault =>
  new Fault("unavailable", `this is no snapshot of a group's rooms: ${why}; take it from another server`);
