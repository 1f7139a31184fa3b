import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type EntryType, type Entry, entryTypes } from "../../src/base/entry.ts";
import { groupId, type LogIndex, type Term } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { Day, Timestamp } from "../../src/base/units.ts";
import { type Configuration, configurationOf } from "../../src/consensus/configuration.ts";
import { decodeMessage, encodeInParts, encodeMessage, laneOf, wholeOf } from "../../src/consensus/message-codec.ts";
import type { Message, Snapshot } from "../../src/consensus/messages.ts";
import type { ReplicaId } from "../../src/consensus/replica.ts";

type Of<Type extends Message["type"]> = Extract<Message, { type: Type }>;

const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const index = u48 as fc.Arbitrary<LogIndex>;
const termOf = u48 as fc.Arbitrary<Term>;
const context = u48;
const flag = fc.boolean();
const replica = fc
  .tuple(fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9._-]{0,59}$/), fc.stringMatching(/^[0-9a-f]{1,32}$/))
  .map(([node, incarnation]) => `${node}#${incarnation}` as ReplicaId);
const envelope = { group: fc.integer({ min: 0, max: 0xffff }).map(groupId), from: replica, to: replica, term: termOf };

const configuration: fc.Arbitrary<Configuration> = fc
  .tuple(fc.uniqueArray(replica, { maxLength: 12 }), fc.nat(11), fc.nat(11), flag)
  .map(([all, votersEnd, outgoingEnd, autoLeave]) => {
    const [voters, learners] = [all.slice(0, votersEnd), all.slice(votersEnd)];
    const { voters: sorted, learners: rest } = configurationOf(voters, learners);
    const outgoing = sorted.slice(0, outgoingEnd);
    return {
      voters: sorted,
      outgoing,
      learners: rest,
      learnersNext: [],
      autoLeave: outgoing.length > 0 && autoLeave,
    };
  });
const snapshot: fc.Arbitrary<Snapshot> = fc
  .record({ index, term: termOf, configuration, configurationIndex: index })
  .map((one) => ({ ...one, configurationIndex: Math.min(one.index, one.configurationIndex) as LogIndex }));

const day = fc
  .tuple(fc.integer({ min: 1, max: 9999 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 31 }))
  .map(([year, month, date]) => (year * 10_000 + month * 100 + date) as Day);
/** Of any type, a later version's too. */
const entryOf = fc.record({
  type: fc.integer({ min: 0, max: 255 }) as fc.Arbitrary<EntryType>,
  ts: u48 as fc.Arbitrary<Timestamp>,
  day,
  payload: fc.uint8Array({ maxLength: 60 }),
});
type Unplaced = Pick<Entry, "type" | "ts" | "day" | "payload">;
const unplaced = fc.array(fc.tuple(entryOf, fc.nat(3)), { maxLength: 6 });

function placed(
  list: readonly (readonly [Unplaced, number])[],
  group: number,
  first: number,
  firstTerm: number,
): Entry[] {
  let term = firstTerm;
  return list.map(([entry, later], at) => {
    term += later;
    return { ...entry, group: groupId(group), index: (first + at) as LogIndex, term: term as Term };
  });
}

const small = fc.integer({ min: 0, max: 2 ** 40 });
const arbitrary: { readonly [Type in Message["type"]]: fc.Arbitrary<Of<Type>> } = {
  "pre-vote": fc.record({ type: fc.constant("pre-vote"), ...envelope, lastIndex: index, lastTerm: termOf }),
  "pre-vote-answer": fc.record({ type: fc.constant("pre-vote-answer"), ...envelope, asked: termOf, granted: flag }),
  vote: fc.record({ type: fc.constant("vote"), ...envelope, lastIndex: index, lastTerm: termOf, handover: flag }),
  "vote-answer": fc.record({ type: fc.constant("vote-answer"), ...envelope, granted: flag }),
  append: fc
    .record({
      type: fc.constant("append"),
      ...envelope,
      previousIndex: small,
      previousTerm: small,
      commit: index,
      authoritative: flag,
      session: index,
      entries: unplaced,
    })
    .map((one): Of<"append"> => {
      const entries = placed(one.entries, one.group, one.previousIndex + 1, one.previousTerm);
      const term = Math.max(one.term, entries.at(-1)?.term ?? 0) as Term;
      const [previousIndex, previousTerm] = [one.previousIndex as LogIndex, one.previousTerm as Term];
      return { ...one, previousIndex, previousTerm, term, entries };
    }),
  "append-ack": fc.record({
    type: fc.constant("append-ack"),
    ...envelope,
    matched: index,
    commit: index,
    session: index,
  }),
  "append-refused": fc.record({
    type: fc.constant("append-refused"),
    ...envelope,
    previousIndex: index,
    hintIndex: index,
    hintTerm: termOf,
    session: index,
  }),
  commit: fc.record({
    type: fc.constant("commit"),
    ...envelope,
    commit: index,
    authoritative: flag,
    answer: flag,
    session: index,
  }),
  "snapshot-offer": fc.record({
    type: fc.constant("snapshot-offer"),
    ...envelope,
    snapshot,
    authoritative: flag,
    session: index,
  }),
  "timeout-now": fc.record({ type: fc.constant("timeout-now"), ...envelope }),
  stale: fc.record({ type: fc.constant("stale"), ...envelope }),
  confirm: fc.record({ type: fc.constant("confirm"), ...envelope, context, authoritative: flag }),
  confirmed: fc.record({ type: fc.constant("confirmed"), ...envelope, context }),
  "read-forward": fc.record({ type: fc.constant("read-forward"), ...envelope, context }),
  "read-answer": fc.record({ type: fc.constant("read-answer"), ...envelope, context, index }),
  "repair-asked": fc.record({ type: fc.constant("repair-asked"), ...envelope, first: index, last: index }),
  "repair-answer": fc
    .record({
      type: fc.constant("repair-answer"),
      ...envelope,
      first: small,
      firstTerm: small,
      entries: unplaced,
      snapshot: fc.option(snapshot),
    })
    .map(({ first, firstTerm, ...one }): Of<"repair-answer"> => {
      return { ...one, entries: placed(one.entries, one.group, first + 1, firstTerm) };
    }),
};
const message = fc.oneof(...Object.values(arbitrary)) as fc.Arbitrary<Message>;

/** One of each type, the same in every run. */
const samples = Object.values(arbitrary).map(
  (one) => fc.sample(one as fc.Arbitrary<Message>, { seed: 7, numRuns: 1 })[0]!,
);

/** A message, or null; and a message only if these bytes are its form. */
function read(bytes: Uint8Array): Message | null {
  const found = decodeMessage(bytes);
  if (found !== null) expect(Buffer.from(encodeMessage(found)).equals(bytes)).toBe(true);
  return found;
}

test("[WIRE1] every message survives its bytes", () => {
  fc.assert(
    fc.property(message, (one) => {
      expect(decodeMessage(encodeMessage(one))).toEqual(one);
    }),
    { numRuns: 2_000 },
  );
});

test("[WIRE1] in two parts the bytes are the same, and a large last payload is not copied", () => {
  for (const one of samples) expect(wholeOf(encodeInParts(one))).toEqual(encodeMessage(one));
  for (const [length, isApart] of [
    [2_047, false],
    [2_048, true],
    [100_000, true],
  ] as const) {
    const entries = [entry(10, 2), { ...entry(11, 2), payload: new Uint8Array(length).fill(3) }];
    const parts = encodeInParts({ ...append, entries });
    expect(parts.rest === entries[1]!.payload).toBe(isApart);
    expect(wholeOf(parts)).toEqual(encodeMessage({ ...append, entries }));
  }
});

test("[WIRE2] no message is a message without its end, or with something behind it", () => {
  for (const one of samples) {
    const bytes = encodeMessage(one);
    for (let length = 0; length < bytes.length; length++) expect(decodeMessage(bytes.subarray(0, length))).toBeNull();
    expect(decodeMessage(Uint8Array.of(...bytes, 0))).toBeNull();
  }
});

test("[WIRE1] [WIRE2] any bit of any message may flip: it is another message in its one form, or none", () => {
  for (const one of samples) {
    const bytes = encodeMessage(one);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(read(flipped)).not.toEqual(one);
    }
  }
});

test("[WIRE2] bytes at random, and messages with bytes at random in them, throw nothing", () => {
  const random = seededRandom(5);
  for (let round = 0; round < 20_000; round++) {
    const bytes =
      round % 4 === 0 ? random.bytes(random.whole(200)) : encodeMessage(samples[random.whole(samples.length)]!).slice();
    for (let change = random.whole(4); change >= 0 && bytes.length > 0; change--) {
      const at = random.whole(bytes.length);
      bytes.set(random.bytes(Math.min(1 + random.whole(6), bytes.length - at)), at);
    }
    if (round % 4 === 0 && bytes.length > 1) [bytes[0], bytes[1]] = [1, 1 + random.whole(18)];
    read(bytes);
  }
});

const entry = (place: number, ofTerm: number): Entry => ({
  group: groupId(0),
  index: place as LogIndex,
  term: ofTerm as Term,
  type: entryTypes.commands,
  ts: 5 as Timestamp,
  day: 20261123 as Day,
  payload: Uint8Array.of(1, 2, 3),
});
const append: Of<"append"> = {
  type: "append",
  group: groupId(0),
  from: "n1#1" as ReplicaId,
  to: "n2#1" as ReplicaId,
  term: 4 as Term,
  previousIndex: 9 as LogIndex,
  previousTerm: 3 as Term,
  commit: 9 as LogIndex,
  authoritative: true,
  session: 0 as LogIndex,
  entries: [entry(10, 3), entry(11, 4)],
};

test("[WIRE2] entries that no leader can have sent are no message", () => {
  expect(decodeMessage(encodeMessage(append))).toEqual(append);
  for (const entries of [[entry(11, 4)], [entry(9, 3), entry(10, 3)], [entry(10, 2)], [entry(10, 4), entry(11, 3)]]) {
    expect(decodeMessage(encodeMessage({ ...append, entries }))).toBeNull();
  }
  expect(decodeMessage(encodeMessage({ ...append, term: 3 as Term }))).toBeNull();
  expect(decodeMessage(encodeMessage({ ...append, entries: [{ ...entry(10, 3), day: 20261301 as Day }] }))).toBeNull();
  // A hole can't even be written.
  expect(() => encodeMessage({ ...append, entries: [entry(10, 3), entry(12, 4)] })).toThrow("without a hole");
});

test("[WIRE2] a count of entries is not believed before the bytes for them are there", () => {
  const bytes = encodeMessage({ ...append, entries: [entry(10, 3)] });
  const countAt = bytes.length - 3 - 21 - 6 - 4;
  expect(bytes[countAt]).toBe(1);
  for (const count of [
    [2, 0, 0, 0],
    [0, 0, 1, 0],
    [255, 255, 255, 255],
  ]) {
    const other = bytes.slice();
    other.set(count, countAt);
    expect(decodeMessage(other)).toBeNull();
  }
});

test("[WIRE3] the bytes may be used for something else when the message has been read", () => {
  for (const one of samples) {
    const bytes = encodeMessage(one).slice();
    const found = decodeMessage(bytes);
    bytes.fill(0xff);
    expect(found).toEqual(one);
  }
});

test("[WIRE4] what was written once is read for ever, and written the same way", () => {
  const corpus = new URL("corpus/", import.meta.url);
  const files = readdirSync(corpus);
  expect(files.length).toBe(Object.keys(arbitrary).length);
  for (const file of files) {
    const kept = JSON.parse(readFileSync(new URL(file, corpus), "utf8")) as { hex: string; message: unknown };
    const bytes = Uint8Array.from(Buffer.from(kept.hex, "hex"));
    const found = decodeMessage(bytes);
    if (found === null) throw new Error(`${file} is not read any more`);
    const again = { file, message: JSON.parse(told(found)) as unknown, hex: hexOf(encodeMessage(found)) };
    expect(again).toEqual({ file, ...kept });
  }
});

test("[WIRE5] what carries entries goes on the lane of appends", () => {
  for (const one of samples) {
    const carries = "entries" in one && one.entries.length > 0;
    expect(laneOf(one)).toBe(carries ? "append" : "control");
  }
  expect(laneOf({ ...append, entries: [] })).toBe("control");
  expect(laneOf(append)).toBe("append");
});

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function told(one: Message): string {
  return JSON.stringify(one, (_, value: unknown) => (value instanceof Uint8Array ? hexOf(value) : value));
}
