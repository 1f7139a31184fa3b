import { assert } from "../base/assert.ts";
import type { Entry, EntryType } from "../base/entry.ts";
import { FieldReader, type FieldWriter, u48Max } from "../base/field-bytes.ts";
import type { GroupId, LogIndex, Term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import { configurationBytesMax, decodeConfiguration } from "./configuration.ts";
import type { Snapshot } from "./messages.ts";

/** The fields of messages that are more than a number; message-codec.ts has their layout. */

const entryHeadBytes = 21;

export function putSnapshot(out: FieldWriter, snapshot: Snapshot, configuration: Uint8Array): void {
  out.u48(snapshot.index);
  out.u48(snapshot.term);
  out.u48(snapshot.configurationIndex);
  out.u16(configuration.length);
  out.raw(configuration);
}

/** Null: it is none, though its bytes may be there. */
export function snapshotIn(input: FieldReader): Snapshot | null {
  const index = input.u48() as LogIndex;
  const term = input.u48() as Term;
  const configurationIndex = input.u48() as LogIndex;
  const length = input.u16();
  if (length > configurationBytesMax || configurationIndex > index) return null;
  const configuration = decodeConfiguration(input.raw(length));
  return configuration === null ? null : { index, term, configuration, configurationIndex };
}

/** What they take without their count and the index of the first. */
export function entriesBytes(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const { payload } of entries) bytes += entryHeadBytes + payload.length;
  return bytes;
}

export function putEntries(out: FieldWriter, entries: readonly Entry[]): void {
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
    out.raw(payload);
  }
}

/** Entries stand last in a message: their payloads are views of one copy of all that is left. */
export function entriesIn(input: FieldReader, group: GroupId): Entry[] {
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
