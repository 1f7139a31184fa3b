import { broken } from "./assert.ts";
import type { Brand } from "./brand.ts";

/** A span of time, or a reading of the monotonic clock, in milliseconds. May have a fraction. */
export type Millis = Brand<number, "Millis">;
/** Milliseconds since 1970-01-01T00:00:00Z, a whole number. */
export type Timestamp = Brand<number, "Timestamp">;
/** A calendar day as the number yyyymmdd, in the time zone of the cluster. */
export type Day = Brand<number, "Day">;

export function millis(value: number): Millis {
  if (!(value >= 0 && value < Infinity)) broken(`not a span of milliseconds: ${value}`);
  return value as Millis;
}

export function timestamp(value: number): Timestamp {
  if (!(Number.isSafeInteger(value) && value >= 0)) broken(`not a timestamp: ${value}`);
  return value as Timestamp;
}

export function day(value: number): Day {
  const month = Math.floor(value / 100) % 100;
  const date = value % 100;
  const isInRange = Number.isSafeInteger(value) && value >= 10101 && value <= 99991231;
  if (!(isInRange && month >= 1 && month <= 12 && date >= 1 && date <= 31)) broken(`not a day: ${value}`);
  return value as Day;
}
