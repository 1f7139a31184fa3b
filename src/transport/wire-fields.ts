import { assert } from "../base/assert.ts";
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../base/byte-order.ts";
import type { NodeName } from "../base/ids.ts";
import { isServerName } from "./remote-server.ts";

const idBytes = 16;

/** Writes fields one behind the other. Whoever makes it says how many bytes at most. */
export class FieldWriter {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytesMax: number) {
    this.#bytes = new Uint8Array(bytesMax);
  }

  byte(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  u16(value: number): void {
    putU16(this.#bytes, this.#at, value);
    this.#at += 2;
  }

  u32(value: number): void {
    putU32(this.#bytes, this.#at, value);
    this.#at += 4;
  }

  u48(value: number): void {
    putU48(this.#bytes, this.#at, value);
    this.#at += 6;
  }

  bytes(value: Uint8Array): void {
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** 32 hex digits as 16 bytes. */
  id(hex: string): void {
    assert(/^[0-9a-f]{32}$/.test(hex), `not 32 hex digits: ${hex}`);
    for (let at = 0; at < idBytes; at++) this.byte(Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16));
  }

  text(ascii: string): void {
    assert(ascii.length < 256, "a text is short");
    this.byte(ascii.length);
    for (let at = 0; at < ascii.length; at++) this.byte(ascii.charCodeAt(at));
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }
}

/** Reads fields until one is not there; then `failed` stays set and what was read means nothing. */
export class FieldReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  has(expected: Uint8Array): boolean {
    const at = this.#skip(expected.length);
    return !this.failed && expected.every((byte, offset) => this.#bytes[at + offset] === byte);
  }

  byte(): number {
    const at = this.#skip(1);
    return this.failed ? 0 : this.#bytes[at]!;
  }

  u16(): number {
    const at = this.#skip(2);
    return this.failed ? 0 : getU16(this.#bytes, at);
  }

  u32(): number {
    const at = this.#skip(4);
    return this.failed ? 0 : getU32(this.#bytes, at);
  }

  u48(): number {
    const at = this.#skip(6);
    return this.failed ? 0 : getU48(this.#bytes, at);
  }

  id(): string {
    const at = this.#skip(idBytes);
    if (this.failed) return "";
    let hex = "";
    for (const byte of this.#bytes.subarray(at, at + idBytes)) hex += byte.toString(16).padStart(2, "0");
    return hex;
  }

  text(): string {
    const length = this.byte();
    const at = this.#skip(length);
    return this.failed ? "" : String.fromCharCode(...this.#bytes.subarray(at, at + length));
  }

  name(): NodeName {
    const text = this.text();
    if (!isServerName(text)) this.failed = true;
    return text as NodeName;
  }

  /** All that is left. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.#at);
  }

  #skip(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) this.failed = true;
    else this.#at += count;
    return at;
  }
}
