import type { Entry } from "../base/entry.ts";
import { FieldReader, FieldWriter } from "../base/field-bytes.ts";
import type { GroupId, Term } from "../base/ids.ts";
import {
  contextField as context,
  entriesField as entries,
  type Field,
  flagField as flag,
  indexField as index,
  snapshotField as snapshot,
  snapshotOrNoneField,
  termField as term,
} from "./message-fields.ts";
import type { Envelope, Message } from "./messages.ts";
import { putReplica, replicaIn } from "./replica.ts";

/**
 * Messages as bytes, little-endian:
 *
 * ```
 * 0  u8  format     1
 * 1  u8  type       `layouts` below
 * 2  u16 group
 * 4  u48 term
 * 10 u8 length and from, u8 length and to (ASCII), then the fields of the type in the order of `layouts`, each as
 *    message-fields.ts has it
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

/** A message in two parts: `rest` stands behind `bytes`. */
export interface MessageParts {
  readonly bytes: Uint8Array;
  /** The payload of the last entry itself, when that is worth a part of its own; else nothing. */
  readonly rest: Uint8Array;
}

/**
 * The same bytes in two parts, without a copy of the last entry's payload, if it is large. What several followers are sent
 * is then one array in the memory of all their links.
 */
export function encodeInParts(message: Message): MessageParts {
  const entries = message.type === "append" || message.type === "repair-answer" ? message.entries : none;
  const rest = entries.at(-1)?.payload ?? nothing;
  return rest.length < apartBytesMin
    ? { bytes: encodeMessage(message), rest: nothing }
    : { bytes: encoded(message, rest.length), rest };
}

/** The parts as `encodeMessage` writes them. */
export function wholeOf({ bytes, rest }: MessageParts): Uint8Array {
  if (rest.length === 0) return bytes;
  const whole = new Uint8Array(bytes.length + rest.length);
  whole.set(bytes);
  whole.set(rest, bytes.length);
  return whole;
}

/** Copies the entries' payloads once, into an array of exactly the right length. */
export const encodeMessage = (message: Message): Uint8Array => encoded(message, 0);

/** Without the last so many bytes, which are those of the last entry. */
function encoded(message: Message, apartBytes: number): Uint8Array {
  const values = message as unknown as Values;
  const { number, names, fields } = known[message.type];
  let bytes = headBytes + message.from.length + message.to.length - apartBytes;
  for (let at = 0; at < names.length; at++) bytes += fields[at]!.bytes(values[names[at]!]);
  const out = new FieldWriter(bytes);
  out.u8(format);
  out.u8(number);
  out.u16(message.group);
  out.u48(message.term);
  putReplica(out, message.from);
  putReplica(out, message.to);
  for (let at = 0; at < names.length; at++) fields[at]!.put(out, values[names[at]!], apartBytes);
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
  const layout = byNumber[input.u8()];
  if (layout === undefined) return null;
  const group = input.u16() as GroupId;
  const ofTerm = input.u48() as Term;
  const { type, names, fields } = layout;
  const values: Values = { type, group, from: replicaIn(input), to: replicaIn(input), term: ofTerm };
  // A field that is not there is read as 0, and the reader knows.
  for (let at = 0; at < names.length; at++) values[names[at]!] = fields[at]!.read(input, group);
  if (!input.isWhole) return null;
  const message = values as unknown as Message;
  return message.type === "append" && !follows(message) ? null : message;
}

type Values = Record<string, unknown>;
type Of<Type extends Message["type"]> = Extract<Message, { type: Type }>;
type Layout<Of> = { readonly [Name in Exclude<keyof Of, keyof Envelope | "type">]: Field<Of[Name]> };

/**
 * The number of each type on the wire, which never changes its meaning, and its fields in their order.
 */
const layouts: { readonly [Type in Message["type"]]: readonly [number: number, fields: Layout<Of<Type>>] } = {
  "pre-vote": [1, { lastIndex: index, lastTerm: term }],
  "pre-vote-answer": [2, { asked: term, granted: flag }],
  vote: [3, { lastIndex: index, lastTerm: term, handover: flag }],
  "vote-answer": [4, { granted: flag }],
  append: [
    5,
    { previousIndex: index, previousTerm: term, commit: index, authoritative: flag, session: index, entries },
  ],
  "append-ack": [6, { matched: index, commit: index, session: index }],
  "append-refused": [7, { previousIndex: index, hintIndex: index, hintTerm: term, session: index }],
  commit: [8, { commit: index, authoritative: flag, answer: flag, session: index }],
  "snapshot-offer": [9, { snapshot, authoritative: flag, session: index }],
  "timeout-now": [10, {}],
  stale: [11, {}],
  confirm: [12, { context, authoritative: flag }],
  confirmed: [13, { context }],
  "read-forward": [14, { context }],
  "read-answer": [15, { context, index }],
  "repair-asked": [16, { first: index, last: index }],
  "repair-answer": [17, { snapshot: snapshotOrNoneField, entries }],
};

/** The same, as it is gone through. */
interface Known {
  readonly type: Message["type"];
  readonly number: number;
  readonly names: readonly string[];
  readonly fields: readonly Field<unknown>[];
}

const all = Object.entries(layouts).map(([type, [number, fields]]): Known => {
  return { type: type as Message["type"], number, names: Object.keys(fields), fields: Object.values(fields) };
});
const known = Object.fromEntries(all.map((one) => [one.type, one])) as Readonly<Record<Message["type"], Known>>;
const byNumber: readonly (Known | undefined)[] = Array.from({ length: 256 }, (_, number) =>
  all.find((one) => one.number === number),
);

const format = 1;
const headBytes = 12;
/** Smaller payloads are copied: a part of its own costs more than that. */
const apartBytesMin = 2_048;
const none: readonly Entry[] = [];
const nothing = new Uint8Array(0);

/** Whether a leader of `term` may send these entries: none is of a later term, or has an index that they can't have. */
function follows({ entries: sent, previousIndex, previousTerm, term: leaderTerm }: Of<"append">): boolean {
  if (sent.length === 0) return true;
  const [first, last] = [sent[0]!, sent[sent.length - 1]!];
  return first.index === previousIndex + 1 && first.term >= previousTerm && last.term <= leaderTerm;
}
