import { assert } from "../base/assert.ts";
import type { Entry, EntryType } from "../base/entry.ts";
import { FieldReader, type FieldWriter, u48Max } from "../base/field-bytes.ts";
import type { GroupId, LogIndex, Term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import { configurationBytesMax, decodeConfiguration, encodeConfiguration } from "./configuration.ts";
import type { Snapshot } from "./messages.ts";

/** One field of a message as bytes, both ways. */
export interface Field<Value> {
  bytes(value: Value): number;
  /** `apartBytes`: so many bytes at the end are not put, only counted. Others than entries have 0 of them. */
  put(out: FieldWriter, value: Value, apartBytes?: number): void;
  /** A field that is not there is read as 0 or empty; null: what is there is none. In both cases the reader has failed. */
  read(input: FieldReader, group: GroupId): Value | null;
}

const u48 = <Value extends number>(): Field<Value> => ({
  bytes: () => 6,
  put: (out, value) => out.u48(value),
  read: (input) => input.u48() as Value,
});

/** u48 */
export const indexField = u48<LogIndex>();
/** u48 */
export const termField = u48<Term>();
/** u48 */
export const contextField = u48<number>();

/** u8, 0 or 1 */
export const flagField: Field<boolean> = {
  bytes: () => 1,
  put: (out, value) => out.flag(value),
  read: (input) => input.flag(),
};

/** u48 index, u48 term, u48 configurationIndex, u16 length and configuration */
export const snapshotField: Field<Snapshot> = {
  bytes: ({ configuration }) => 20 + encodeConfiguration(configuration).length,
  put(out, { index, term, configuration, configurationIndex }) {
    const bytes = encodeConfiguration(configuration);
    out.u48(index);
    out.u48(term);
    out.u48(configurationIndex);
    out.u16(bytes.length);
    out.raw(bytes);
  },
  read(input) {
    const index = input.u48() as LogIndex;
    const term = input.u48() as Term;
    const configurationIndex = input.u48() as LogIndex;
    const length = input.u16();
    const isOne = length <= configurationBytesMax && configurationIndex <= index;
    const configuration = isOne ? decodeConfiguration(input.raw(length)) : null;
    if (configuration !== null) return { index, term, configuration, configurationIndex };
    input.fail();
    return null;
  },
};

/** A flag, and behind 1 a snapshot. */
export const snapshotOrNoneField: Field<Snapshot | null> = {
  bytes: (snapshot) => 1 + (snapshot === null ? 0 : snapshotField.bytes(snapshot)),
  put(out, snapshot) {
    out.flag(snapshot !== null);
    if (snapshot !== null) snapshotField.put(out, snapshot);
  },
  read: (input, group) => (input.flag() ? snapshotField.read(input, group) : null),
};

/**
 * u32 count; unless it is 0: u48 index of the first, and for each one u48 term, u8 type, u48 ts, u32 day, u32 length,
 * payload. It stands last in a message.
 */
export const entriesField: Field<readonly Entry[]> = { bytes: entriesBytes, put: putEntries, read: entriesIn };

const entryHeadBytes = 21;

function entriesBytes(entries: readonly Entry[]): number {
  let bytes = entries.length === 0 ? 4 : 10;
  for (const { payload } of entries) bytes += entryHeadBytes + payload.length;
  return bytes;
}

function putEntries(out: FieldWriter, entries: readonly Entry[], apartBytes = 0): void {
  out.u32(entries.length);
  if (entries.length === 0) return;
  const first = entries[0]!.index;
  out.u48(first);
  for (let at = 0; at < entries.length; at++) {
    const { index, term, type, ts, day, payload } = entries[at]!;
    assert(index === first + at, "entries are sent without a hole");
    out.u48(term);
    out.u8(type);
    out.u48(ts);
    out.u32(day);
    out.u32(payload.length);
    if (at < entries.length - 1 || apartBytes === 0) out.raw(payload);
  }
}

/** Payloads are views of one copy of all that is left. */
function entriesIn(input: FieldReader, group: GroupId): Entry[] {
  const count = input.u32();
  const entries: Entry[] = [];
  if (count === 0) return entries;
  const first = input.u48();
  // No entry is shorter than its head, so a count that the bytes can't hold is known before anything is made for it.
  if (input.failed || first === 0 || first + count > u48Max || count > input.left / entryHeadBytes) {
    input.fail();
    return entries;
  }
  const copy = new FieldReader(input.rest().slice());
  let last = 0;
  for (let at = 0; at < count; at++) {
    const term = copy.u48() as Term;
    const type = copy.u8() as EntryType;
    const ts = copy.u48() as Timestamp;
    const day = copy.u32() as Day;
    const payload = copy.raw(copy.u32());
    if (copy.failed || term < last || !isDay(day)) break;
    last = term;
    entries.push({ group, index: (first + at) as LogIndex, term, type, ts, day, payload });
  }
  if (!copy.isWhole || entries.length < count) input.fail();
  return entries;
}

/** An entry may carry 0 where no day is known yet. */
function isDay(value: number): boolean {
  const month = Math.floor(value / 100) % 100;
  const date = value % 100;
  return value === 0 || (value >= 10101 && value <= 99991231 && month >= 1 && month <= 12 && date >= 1 && date <= 31);
}
