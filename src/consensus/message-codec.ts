import { assert, unreachable } from "../base/assert.ts";
import { getU16, getU32, getU48, putU16, putU32, putU48 } from "../base/byte-order.ts";
import type { Entry, EntryType } from "../base/entry.ts";
import type { GroupId, LogIndex, Term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import {
  type Configuration,
  configurationBytesMax,
  decodeConfiguration,
  encodeConfiguration,
} from "./configuration.ts";
import type { Envelope, Message, Snapshot } from "./messages.ts";
import { putReplica, replicaFrom, type ReplicaId } from "./replica.ts";

/**
 * Messages as bytes, little-endian:
 *
 * ```
 * 0  u8  format     1
 * 1  u8  type       `numbers` below
 * 2  u16 group
 * 4  u48 term
 * 10 u8 length and from, u8 length and to (ASCII), then the fields of the type in the order in which they are read below
 *    flag       u8, 0 or 1
 *    snapshot   u48 index, u48 term, u48 configurationIndex, u16 length and configuration
 *    entries    u32 count; unless it is 0: u48 index of the first, and for each one
 *               u48 term, u8 type, u48 ts, u32 day, u32 length, payload
 * ```
 *
 * 1. one message has one form: what is decoded and encoded again is the same bytes
 * 2. whatever the bytes are, decoding them throws nothing and allocates no more than a small multiple of their length
 */

/** On which lane of a link a message goes: control is small and overtakes what carries entries. */
export function laneOf(message: Message): "control" | "append" {
  return (message.type === "append" || message.type === "repair-answer") && message.entries.length > 0
    ? "append"
    : "control";
}

/** Copies the entries' payloads once, into an array of exactly the right length. */
export function encodeMessage(message: Message): Uint8Array {
  const snapshot = "snapshot" in message ? message.snapshot : null;
  const configuration = snapshot === null ? null : encodeConfiguration(snapshot.configuration);
  let length = headBytes + message.from.length + message.to.length + fieldBytesMax + (configuration?.length ?? 0);
  if ("entries" in message) for (const { payload } of message.entries) length += entryHeadBytes + payload.length;
  const out = new Writer(new Uint8Array(length));
  out.byte(format);
  out.byte(numbers[message.type]);
  out.u16(message.group);
  out.u48(message.term);
  out.replica(message.from);
  out.replica(message.to);
  putFields(out, message, configuration);
  return out.done();
}

/**
 * Null for bytes that are no message of this format. The bytes may be used for something else afterwards: payloads of
 * entries are views of one copy of them. The type of an entry may be one that this version does not know; whoever
 * applies entries has to stop at it.
 */
export function decodeMessage(bytes: Uint8Array): Message | null {
  const input = new Reader(bytes);
  if (input.byte() !== format) return null;
  const type = typeOf(input.byte());
  if (type === null) return null;
  const group = input.u16() as GroupId;
  const term = input.u48() as Term;
  const envelope = { group, from: input.replica(), to: input.replica(), term };
  const message = fieldsIn(input, type, envelope);
  return input.isWhole ? message : null;
}

/** On the wire; they never change their meaning. */
const numbers: Record<Message["type"], number> = {
  "pre-vote": 1,
  "pre-vote-answer": 2,
  vote: 3,
  "vote-answer": 4,
  append: 5,
  "append-ack": 6,
  "append-refused": 7,
  commit: 8,
  "snapshot-offer": 9,
  "timeout-now": 10,
  stale: 11,
  confirm: 12,
  confirmed: 13,
  "read-forward": 14,
  "read-answer": 15,
  "repair-asked": 16,
  "repair-answer": 17,
};

const types = Object.keys(numbers) as Message["type"][];

function typeOf(number: number): Message["type"] | null {
  return types.find((type) => numbers[type] === number) ?? null;
}

const format = 1;
const headBytes = 12;
const entryHeadBytes = 21;
/** The fields of any type, without configuration and entries. */
const fieldBytesMax = 48;

function putFields(out: Writer, message: Message, configuration: Uint8Array | null): void {
  switch (message.type) {
    case "pre-vote":
      out.u48(message.lastIndex);
      out.u48(message.lastTerm);
      return;
    case "pre-vote-answer":
      out.u48(message.asked);
      out.flag(message.granted);
      return;
    case "vote":
      out.u48(message.lastIndex);
      out.u48(message.lastTerm);
      out.flag(message.handover);
      return;
    case "vote-answer":
      out.flag(message.granted);
      return;
    case "append":
      out.u48(message.previousIndex);
      out.u48(message.previousTerm);
      out.u48(message.commit);
      out.flag(message.authoritative);
      out.u48(message.session);
      out.entries(message.entries);
      return;
    case "append-ack":
      out.u48(message.matched);
      out.u48(message.commit);
      out.u48(message.session);
      return;
    case "append-refused":
      out.u48(message.previousIndex);
      out.u48(message.hintIndex);
      out.u48(message.hintTerm);
      out.u48(message.session);
      return;
    case "commit":
      out.u48(message.commit);
      out.flag(message.authoritative);
      out.flag(message.answer);
      out.u48(message.session);
      return;
    case "snapshot-offer":
      out.snapshot(message.snapshot, configuration!);
      out.flag(message.authoritative);
      out.u48(message.session);
      return;
    case "timeout-now":
    case "stale":
      return;
    case "confirm":
      out.u48(message.context);
      out.flag(message.authoritative);
      return;
    case "confirmed":
    case "read-forward":
      out.u48(message.context);
      return;
    case "read-answer":
      out.u48(message.context);
      out.u48(message.index);
      return;
    case "repair-asked":
      out.u48(message.first);
      out.u48(message.last);
      return;
    case "repair-answer":
      out.flag(message.snapshot !== null);
      if (message.snapshot !== null) out.snapshot(message.snapshot, configuration!);
      out.entries(message.entries);
      return;
    default:
      unreachable(message);
  }
}

/** A field that is not there is read as 0, and the reader knows. */
function fieldsIn(input: Reader, type: Message["type"], envelope: Envelope): Message | null {
  switch (type) {
    case "pre-vote":
      return { type, ...envelope, lastIndex: input.index(), lastTerm: input.term() };
    case "pre-vote-answer":
      return { type, ...envelope, asked: input.term(), granted: input.flag() };
    case "vote":
      return { type, ...envelope, lastIndex: input.index(), lastTerm: input.term(), handover: input.flag() };
    case "vote-answer":
      return { type, ...envelope, granted: input.flag() };
    case "append": {
      const previousIndex = input.index();
      const previousTerm = input.term();
      const commit = input.index();
      const authoritative = input.flag();
      const session = input.index();
      const entries = input.entries(envelope.group);
      if (entries.length > 0 && !follow(entries, { previousIndex, previousTerm, term: envelope.term })) return null;
      return { type, ...envelope, previousIndex, previousTerm, entries, commit, authoritative, session };
    }
    case "append-ack":
      return { type, ...envelope, matched: input.index(), commit: input.index(), session: input.index() };
    case "append-refused":
      return {
        type,
        ...envelope,
        previousIndex: input.index(),
        hintIndex: input.index(),
        hintTerm: input.term(),
        session: input.index(),
      };
    case "commit":
      return {
        type,
        ...envelope,
        commit: input.index(),
        authoritative: input.flag(),
        answer: input.flag(),
        session: input.index(),
      };
    case "snapshot-offer": {
      const snapshot = input.snapshot();
      const authoritative = input.flag();
      const session = input.index();
      return snapshot === null ? null : { type, ...envelope, snapshot, authoritative, session };
    }
    case "timeout-now":
    case "stale":
      return { type, ...envelope };
    case "confirm":
      return { type, ...envelope, context: input.u48(), authoritative: input.flag() };
    case "confirmed":
    case "read-forward":
      return { type, ...envelope, context: input.u48() };
    case "read-answer":
      return { type, ...envelope, context: input.u48(), index: input.index() };
    case "repair-asked":
      return { type, ...envelope, first: input.index(), last: input.index() };
    case "repair-answer": {
      const hasSnapshot = input.flag();
      const snapshot = hasSnapshot ? input.snapshot() : null;
      if (hasSnapshot && snapshot === null) return null;
      return { type, ...envelope, snapshot, entries: input.entries(envelope.group) };
    }
    default:
      return unreachable(type);
  }
}

/** Whether a leader of `term` may send these entries: none is of a later term, or has an index that they can't have. */
function follow(
  entries: readonly Entry[],
  { previousIndex, previousTerm, term }: { previousIndex: LogIndex; previousTerm: Term; term: Term },
): boolean {
  return (
    entries[0]!.index === previousIndex + 1 &&
    entries[0]!.term >= previousTerm &&
    entries[entries.length - 1]!.term <= term
  );
}

class Writer {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  byte(value: number): void {
    assert(value >= 0 && value <= 0xff, `not a byte: ${value}`);
    this.#bytes[this.#at++] = value;
  }

  flag(value: boolean): void {
    this.#bytes[this.#at++] = value ? 1 : 0;
  }

  u16(value: number): void {
    assert(value >= 0 && value <= 0xffff, `not in two bytes: ${value}`);
    putU16(this.#bytes, this.#at, value);
    this.#at += 2;
  }

  u32(value: number): void {
    assert(value >= 0 && value <= 0xffff_ffff, `not in four bytes: ${value}`);
    putU32(this.#bytes, this.#at, value);
    this.#at += 4;
  }

  u48(value: number): void {
    assert(Number.isInteger(value) && value >= 0 && value <= u48Max, `not in six bytes: ${value}`);
    putU48(this.#bytes, this.#at, value);
    this.#at += 6;
  }

  replica(replica: ReplicaId): void {
    this.byte(replica.length);
    this.#at = putReplica(this.#bytes, this.#at, replica);
  }

  snapshot({ index, term, configurationIndex }: Snapshot, configuration: Uint8Array): void {
    this.u48(index);
    this.u48(term);
    this.u48(configurationIndex);
    this.u16(configuration.length);
    this.#put(configuration);
  }

  entries(entries: readonly Entry[]): void {
    this.u32(entries.length);
    if (entries.length === 0) return;
    const first = entries[0]!.index;
    this.u48(first);
    for (let at = 0; at < entries.length; at++) {
      const { index, term, type, ts, day, payload } = entries[at]!;
      assert(index === first + at, "entries are sent without a hole");
      this.u48(term);
      this.byte(type);
      this.u48(ts);
      this.u32(day);
      this.u32(payload.length);
      this.#put(payload);
    }
  }

  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  #put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }
}

/** Reads fields until one is not there or not well formed; then nothing of what was read means anything. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Everything was well formed, and nothing is left. */
  get isWhole(): boolean {
    return !this.#failed && this.#at === this.#bytes.length;
  }

  byte(): number {
    return this.#has(1) ? this.#bytes[this.#at++]! : 0;
  }

  flag(): boolean {
    const value = this.byte();
    if (value > 1) this.#failed = true;
    return value === 1;
  }

  u16(): number {
    if (!this.#has(2)) return 0;
    this.#at += 2;
    return getU16(this.#bytes, this.#at - 2);
  }

  u32(): number {
    if (!this.#has(4)) return 0;
    this.#at += 4;
    return getU32(this.#bytes, this.#at - 4);
  }

  u48(): number {
    if (!this.#has(6)) return 0;
    this.#at += 6;
    return getU48(this.#bytes, this.#at - 6);
  }

  index(): LogIndex {
    return this.u48() as LogIndex;
  }

  term(): Term {
    return this.u48() as Term;
  }

  replica(): ReplicaId {
    const name = replicaFrom(this.#take(this.byte()));
    if (name === null) this.#failed = true;
    return name ?? ("" as ReplicaId);
  }

  snapshot(): Snapshot | null {
    const index = this.index();
    const term = this.term();
    const configurationIndex = this.index();
    const length = this.u16();
    if (length > configurationBytesMax || configurationIndex > index) return null;
    const configuration: Configuration | null = decodeConfiguration(this.#take(length));
    return configuration === null ? null : { index, term, configuration, configurationIndex };
  }

  entries(group: GroupId): Entry[] {
    const count = this.u32();
    const entries: Entry[] = [];
    if (count === 0) return entries;
    const first = this.u48();
    // No entry is shorter than its head, so a count that the bytes can't hold is known before anything is made for it.
    if (
      this.#failed ||
      first === 0 ||
      first + count > u48Max ||
      count > (this.#bytes.length - this.#at) / entryHeadBytes
    ) {
      this.#failed = true;
      return entries;
    }
    const copy = this.#bytes.slice(this.#at);
    const copiedFrom = this.#at;
    let last = 0;
    for (let at = 0; at < count; at++) {
      const term = this.term();
      const type = this.byte() as EntryType;
      const ts = this.u48() as Timestamp;
      const day = this.u32() as Day;
      const length = this.u32();
      if (!this.#has(length) || term < last || !isDay(day)) {
        this.#failed = true;
        return entries;
      }
      last = term;
      const start = this.#at - copiedFrom;
      this.#at += length;
      const payload = copy.subarray(start, start + length);
      entries.push({ group, index: (first + at) as LogIndex, term, type, ts, day, payload });
    }
    return entries;
  }

  #take(length: number): Uint8Array {
    if (!this.#has(length)) return this.#bytes.subarray(0, 0);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #has(length: number): boolean {
    if (this.#at + length > this.#bytes.length) this.#failed = true;
    return !this.#failed;
  }
}

const u48Max = 2 ** 48 - 1;

/** An entry may carry 0 where no day is known yet. */
function isDay(value: number): boolean {
  const month = Math.floor(value / 100) % 100;
  const date = value % 100;
  return value === 0 || (value >= 10101 && value <= 99991231 && month >= 1 && month <= 12 && date >= 1 && date <= 31);
}
