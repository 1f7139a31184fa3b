import { assert, broken } from "./assert.ts";
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "./byte-order.ts";

/** The largest whole number that six bytes hold. */
export const u48Max = 2 ** 48 - 1;

const idBytes = 16;

/** Writes fields one behind the other, little-endian. Whoever makes it says how many bytes at most. */
export class FieldWriter {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytesMax: number) {
    this.#bytes = new Uint8Array(bytesMax);
  }

  u8(value: number): void {
    if (!(value >= 0 && value <= 0xff)) tooLarge(value, 1);
    this.#bytes[this.#grown(1)] = value;
  }

  flag(value: boolean): void {
    this.#bytes[this.#grown(1)] = value ? 1 : 0;
  }

  u16(value: number): void {
    if (!(value >= 0 && value <= 0xffff)) tooLarge(value, 2);
    putU16(this.#bytes, this.#grown(2), value);
  }

  u32(value: number): void {
    if (!(value >= 0 && value <= 0xffff_ffff)) tooLarge(value, 4);
    putU32(this.#bytes, this.#grown(4), value);
  }

  u48(value: number): void {
    if (!(Number.isInteger(value) && value >= 0 && value <= u48Max)) tooLarge(value, 6);
    putU48(this.#bytes, this.#grown(6), value);
  }

  raw(value: Uint8Array): void {
    this.#bytes.set(value, this.#grown(value.length));
  }

  /** 32 hex digits as 16 bytes. */
  id(hex: string): void {
    const from = this.#grown(idBytes);
    let wrong = hex.length - idBytes * 2;
    for (let at = 0; at < idBytes; at++) {
      const high = hexDigit(hex.charCodeAt(at * 2));
      const low = hexDigit(hex.charCodeAt(at * 2 + 1));
      wrong |= (high | low) & ~0xf;
      this.#bytes[from + at] = (high << 4) | low;
    }
    if (wrong !== 0) broken(`not 32 hex digits: ${hex}`);
  }

  /** One byte of length, then a byte for each character: short, and ASCII. */
  ascii(text: string): void {
    this.u8(text.length);
    const from = this.#grown(text.length);
    for (let at = 0; at < text.length; at++) this.#bytes[from + at] = text.charCodeAt(at);
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  #grown(count: number): number {
    const at = this.#at;
    this.#at += count;
    assert(this.#at <= this.#bytes.length, "more fields than was said");
    return at;
  }
}

/**
 * Reads fields until one is not there, or whoever reads finds one that can't be; then `failed` stays set, every further
 * field is 0 or empty, and nothing of what was read means anything.
 */
export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #onShort: (() => void) | undefined;
  #at = 0;
  #failed = false;

  /** `onShort` is called when a field is not there. It may throw, where reading on makes no sense. */
  constructor(bytes: Uint8Array, onShort?: () => void) {
    this.#bytes = bytes;
    this.#onShort = onShort;
  }

  get failed(): boolean {
    return this.#failed;
  }

  /** Everything was there, and nothing is left. */
  get isWhole(): boolean {
    return !this.#failed && this.#at === this.#bytes.length;
  }

  /** Bytes read so far. */
  get at(): number {
    return this.#at;
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  fail(): void {
    this.#failed = true;
  }

  u8(): number {
    const at = this.#taken(1);
    return this.#failed ? 0 : this.#bytes[at]!;
  }

  /** 0 or 1, nothing else. */
  flag(): boolean {
    const value = this.u8();
    if (value > 1) this.#failed = true;
    return value === 1;
  }

  u16(): number {
    const at = this.#taken(2);
    return this.#failed ? 0 : getU16(this.#bytes, at);
  }

  u32(): number {
    const at = this.#taken(4);
    return this.#failed ? 0 : getU32(this.#bytes, at);
  }

  u48(): number {
    const at = this.#taken(6);
    return this.#failed ? 0 : getU48(this.#bytes, at);
  }

  /** 16 bytes as 32 hex digits. */
  id(): string {
    const at = this.#taken(idBytes);
    if (this.#failed) return "";
    let hex = "";
    for (let i = 0; i < idBytes; i++) hex += hexBytes[this.#bytes[at + i]!]!;
    return hex;
  }

  ascii(): string {
    const bytes = this.text();
    let text = "";
    for (let at = 0; at < bytes.length; at++) text += String.fromCharCode(bytes[at]!);
    return text;
  }

  /** One byte of length, and a view of so many bytes. */
  text(): Uint8Array {
    return this.raw(this.u8());
  }

  /** A view of so many bytes; copy what is kept. */
  raw(length: number): Uint8Array {
    const at = this.#taken(length);
    return this.#failed ? this.#bytes.subarray(0, 0) : this.#bytes.subarray(at, at + length);
  }

  /** A view of all that is left. */
  rest(): Uint8Array {
    return this.raw(this.left);
  }

  /** Whether these very bytes come next. */
  has(expected: Uint8Array): boolean {
    const found = this.raw(expected.length);
    return !this.#failed && expected.every((byte, at) => found[at] === byte);
  }

  #taken(count: number): number {
    const at = this.#at;
    if (at + count <= this.#bytes.length) this.#at = at + count;
    else {
      this.#failed = true;
      this.#onShort?.();
    }
    return at;
  }
}

const hexBytes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** Above 15: it is none. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : 0x100;
}

function tooLarge(value: number, bytes: number): never {
  broken(`${value} is no whole number of ${bytes} bytes`);
}
