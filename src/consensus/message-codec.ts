import { unreachable } from "../base/assert.ts";
import type { Entry } from "../base/entry.ts";
import { FieldReader, FieldWriter } from "../base/field-bytes.ts";
import type { GroupId, LogIndex, Term } from "../base/ids.ts";
import { encodeConfiguration } from "./configuration.ts";
import { entriesBytes, entriesIn, putEntries, putSnapshot, snapshotIn } from "./message-fields.ts";
import type { Envelope, Message } from "./messages.ts";
import { putReplica, replicaIn } from "./replica.ts";

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
  const moreBytes = (configuration?.length ?? 0) + ("entries" in message ? entriesBytes(message.entries) : 0);
  const out = new FieldWriter(headBytes + message.from.length + message.to.length + fieldBytesMax + moreBytes);
  out.u8(format);
  out.u8(numbers[message.type]);
  out.u16(message.group);
  out.u48(message.term);
  putReplica(out, message.from);
  putReplica(out, message.to);
  putFields(out, message, configuration);
  return out.done();
}

/**
 * Null for bytes that are no message of this format. The bytes may be used for something else afterwards: payloads of
 * entries are views of one copy of them. The type of an entry may be one that this version does not know; whoever
 * applies entries has to stop at it.
 */
export function decodeMessage(bytes: Uint8Array): Message | null {
  const input = new FieldReader(bytes);
  if (input.u8() !== format) return null;
  const type = typeOf(input.u8());
  if (type === null) return null;
  const group = input.u16() as GroupId;
  const term = input.u48() as Term;
  const envelope = { group, from: replicaIn(input), to: replicaIn(input), term };
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
/** The fields of any type, without configuration and entries. */
const fieldBytesMax = 48;

function putFields(out: FieldWriter, message: Message, configuration: Uint8Array | null): void {
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
      putEntries(out, message.entries);
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
      putSnapshot(out, message.snapshot, configuration!);
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
      if (message.snapshot !== null) putSnapshot(out, message.snapshot, configuration!);
      putEntries(out, message.entries);
      return;
    default:
      unreachable(message);
  }
}

/** A field that is not there is read as 0, and the reader knows. */
function fieldsIn(input: FieldReader, type: Message["type"], envelope: Envelope): Message | null {
  switch (type) {
    case "pre-vote":
      return { type, ...envelope, lastIndex: indexIn(input), lastTerm: termIn(input) };
    case "pre-vote-answer":
      return { type, ...envelope, asked: termIn(input), granted: input.flag() };
    case "vote":
      return { type, ...envelope, lastIndex: indexIn(input), lastTerm: termIn(input), handover: input.flag() };
    case "vote-answer":
      return { type, ...envelope, granted: input.flag() };
    case "append": {
      const previousIndex = indexIn(input);
      const previousTerm = termIn(input);
      const commit = indexIn(input);
      const authoritative = input.flag();
      const session = indexIn(input);
      const entries = entriesIn(input, envelope.group);
      if (entries.length > 0 && !follow(entries, { previousIndex, previousTerm, term: envelope.term })) return null;
      return { type, ...envelope, previousIndex, previousTerm, entries, commit, authoritative, session };
    }
    case "append-ack":
      return { type, ...envelope, matched: indexIn(input), commit: indexIn(input), session: indexIn(input) };
    case "append-refused":
      return {
        type,
        ...envelope,
        previousIndex: indexIn(input),
        hintIndex: indexIn(input),
        hintTerm: termIn(input),
        session: indexIn(input),
      };
    case "commit":
      return {
        type,
        ...envelope,
        commit: indexIn(input),
        authoritative: input.flag(),
        answer: input.flag(),
        session: indexIn(input),
      };
    case "snapshot-offer": {
      const snapshot = snapshotIn(input);
      const authoritative = input.flag();
      const session = indexIn(input);
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
      return { type, ...envelope, context: input.u48(), index: indexIn(input) };
    case "repair-asked":
      return { type, ...envelope, first: indexIn(input), last: indexIn(input) };
    case "repair-answer": {
      const hasSnapshot = input.flag();
      const snapshot = hasSnapshot ? snapshotIn(input) : null;
      if (hasSnapshot && snapshot === null) return null;
      return { type, ...envelope, snapshot, entries: entriesIn(input, envelope.group) };
    }
    default:
      return unreachable(type);
  }
}

const indexIn = (input: FieldReader): LogIndex => input.u48() as LogIndex;
const termIn = (input: FieldReader): Term => input.u48() as Term;

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
