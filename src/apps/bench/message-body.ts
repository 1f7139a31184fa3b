import { assert } from "../../base/assert.ts";

/**
 * What the generator puts into every message, the same for every system: when it was meant to be sent, its number, and
 * filling. Digits, so that it may stand in text protocols and in JSON as it is.
 *
 * ```
 *  0  16 digits   microseconds of the machine's monotonic clock at the intended start
 * 16  10 digits   number of the message
 * 26  x…          filling
 * ```
 */
export const bodyAt = { sentAt: 0, number: 16, filling: 26 } as const;
export const sentAtDigits = 16;
export const numberDigits = 10;
/** Width of a client's number where it stands in a name. */
export const clientDigits = 5;
/** The least a body of the generator can be. */
export const bodyBytesMin = 32;

/** A body with the number 0 that was sent at 0. */
export function emptyBody(bodyBytes: number): Uint8Array {
  assert(bodyBytes >= bodyBytesMin, `a body of the generator has at least ${bodyBytesMin} bytes`);
  return Buffer.alloc(bodyBytes, "x").fill("0", 0, bodyAt.filling);
}

/** Writes `value` as exactly `digits` decimal digits. */
export function putDigits(into: Uint8Array, at: number, digits: number, value: number): void {
  let rest = value;
  for (let place = at + digits - 1; place >= at; place -= 1) {
    const tenth = Math.floor(rest / 10);
    into[place] = 0x30 + rest - tenth * 10;
    rest = tenth;
  }
}

/** The number made of `digits` decimal digits; NaN when something else stands there. */
export function getDigits(from: Uint8Array, at: number, digits: number): number {
  let value = 0;
  for (let place = at; place < at + digits; place += 1) {
    const digit = from[place]! - 0x30;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return value;
}
