import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Cid, Line, NodeName, RoomName, Seq, Term, UserName } from "../../src/base/ids.ts";
import type { Timestamp } from "../../src/base/units.ts";
import { decodeBinary, encodeBinary } from "../../src/protocol/binary-codec.ts";
import { encodeJson } from "../../src/protocol/json-codec.ts";
import { layoutByKind } from "../../src/protocol/layout.ts";
import {
  messageAt,
  messageCode,
  messageFrameBytes,
  messageRanges,
  okPlace,
  okSendAt,
  okSendCode,
  okSendFrameBytesMax,
  okSendRanges,
  putMessageFrame,
  putOkSendFrame,
} from "../../src/protocol/message-bytes.ts";
import type { MessageRanges, OkSendRanges } from "../../src/protocol/message-bytes.ts";
import {
  escapedLength,
  messageJsonBytesMax,
  okSendJsonBytesMax,
  putDecimal,
  putMessageJson,
  putOkSendJson,
} from "../../src/protocol/message-json.ts";
import { wholeMax } from "../../src/protocol/schema.ts";
import type { ClientFrameOf, RequestId, Sender, ServerFrameOf } from "../../src/protocol/schema.ts";
import * as sendBytes from "../../src/protocol/send-bytes.ts";
import { textOf, utf8 } from "../../src/protocol/utf8.ts";
import { cid, embedded, framesOf, kind, limits, requestId, roomName, text, userName } from "./arbitrary-frames.ts";

function layout(sender: Sender, t: string, of?: string): NonNullable<ReturnType<typeof layoutByKind>> {
  return layoutByKind(sender, t, of) ?? expect.fail(`no frame ${t}`);
}

describe("constants", () => {
  const cases = [
    { name: "send", layout: layout("client", "send"), code: sendBytes.sendCode, at: sendBytes.sendAt },
    { name: "msg", layout: layout("server", "msg"), code: messageCode, at: messageAt },
    { name: "ok send", layout: layout("server", "ok", "send"), code: okSendCode, at: okSendAt },
  ];
  test.each(cases)(
    "[PROTO11] the offsets of $name are those of the table",
    ({ layout: { spec, slots, headerBytes }, code, at }) => {
      expect(code).toBe(spec.code);
      const fromTable = slots.filter((slot) => slot.size !== 0).map((slot) => [slot.name, slot.at] as const);
      expect(Object.fromEntries([...fromTable, ["texts", headerBytes]])).toStrictEqual({ ...at });
    },
  );
});

const sends = framesOf(layout("client", "send")) as unknown as fc.Arbitrary<ClientFrameOf<"send">>;

describe("a binary send", () => {
  test("[PROTO11] the readers see what the decoder sees", () => {
    fc.assert(
      fc.property(sends, fc.nat({ max: 9 }), (frame, o) => {
        const bytes = encodeBinary("client", frame);
        const b = embedded(bytes, o);
        const end = o + bytes.length;
        expect(sendBytes.isSend(b, o, end, limits)).toBe(true);
        const read = (start: number, length: number): string => textOf(b, start, start + length);
        expect({
          id: sendBytes.sendRequestId(b, o, end),
          room: read(sendBytes.sendRoomStart(b, o), sendBytes.sendRoomLength(b, o)),
          to: read(sendBytes.sendToStart(b, o), sendBytes.sendToLength(b, o)),
          cid: read(sendBytes.sendCidStart(b, o), sendBytes.sendCidLength(b, o)),
          kind: read(sendBytes.sendKindStart(b, o), sendBytes.sendKindLength(b, o)),
          ref: sendBytes.sendRef(b, o),
          since: sendBytes.sendSince(b, o),
          prev: read(sendBytes.sendPrevStart(b, o), sendBytes.sendPrevLength(b, o)),
          seen: read(sendBytes.sendSeenStart(b, o), sendBytes.sendSeenLength(b, o)),
          body: read(sendBytes.sendBodyStart(b, o), sendBytes.sendBodyLength(b, o)),
        }).toStrictEqual({
          id: frame.id,
          room: frame.room ?? "",
          to: frame.to ?? "",
          cid: frame.cid,
          kind: frame.kind ?? "",
          ref: frame.ref ?? 0,
          since: frame.since ?? 0,
          prev: frame.prev ?? "",
          seen: frame.seen === undefined ? "" : JSON.stringify(frame.seen),
          body: frame.body,
        });
        expect(sendBytes.sendIdIsText(b, o)).toBe(typeof frame.id === "string");
        expect(sendBytes.sendId(b, o)).toBe(typeof frame.id === "number" ? frame.id : 0);
      }),
      { numRuns: 300 },
    );
  });

  test("[PROTO11] isSend says yes exactly where the decoder finds a send", () => {
    let taken = 0;
    const change = fc.tuple(
      fc.nat({ max: 60 }),
      fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 1, 4, 0x40, 0x2c, 0x2e)),
    );
    fc.assert(
      fc.property(sends, fc.array(change, { maxLength: 3 }), (frame, changes) => {
        const bytes = encodeBinary("client", frame);
        for (const [place, value] of changes) bytes[place % bytes.length] = value;
        const isOne = decodeBinary("client", bytes, 0, bytes.length, limits).t === "send";
        expect(sendBytes.isSend(bytes, 0, bytes.length, limits)).toBe(isOne);
        if (isOne && changes.length > 0) taken++;
      }),
      { numRuns: 6000 },
    );
    // Both answers were met often, also among the changed ones.
    expect(taken).toBeGreaterThan(500);
  });
});

interface Made {
  readonly ranges: MessageRanges;
  readonly frame: ServerFrameOf<"msg">;
}

const whole = fc.oneof(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: wholeMax }));

/** A message twice: as ranges of a record's bytes, and as the frame that says the same. */
const messages: fc.Arbitrary<Made> = fc
  .record({
    room: roomName,
    from: userName,
    cid,
    kind: fc.option(kind, { nil: "" }),
    body: text,
    seq: whole,
    ts: whole,
    epoch: whole,
    ref: fc.option(whole, { nil: 0 }),
    gap: fc.nat({ max: 20 }),
    before: fc.nat({ max: 9 }),
  })
  .map((made): Made => {
    const names = [made.room, made.from, made.cid, made.kind].map(utf8);
    const body = utf8(made.body);
    const namesLength = names.reduce((sum, name) => sum + name.length, 0);
    // In a record `prev` and others may stand between kind and body.
    const source = new Uint8Array(made.before + namesLength + made.gap + body.length).fill(0x7b);
    let end = made.before;
    for (const name of names) {
      source.set(name, end);
      end += name.length;
    }
    source.set(body, end + made.gap);
    const ranges = messageRanges();
    ranges.source = source;
    ranges.namesStart = made.before;
    ranges.roomLength = names[0]!.length;
    ranges.fromLength = names[1]!.length;
    ranges.cidLength = names[2]!.length;
    ranges.kindLength = names[3]!.length;
    ranges.bodyStart = end + made.gap;
    ranges.bodyLength = body.length;
    ranges.seq = made.seq;
    ranges.ts = made.ts;
    ranges.epoch = made.epoch;
    ranges.ref = made.ref;
    const frame: ServerFrameOf<"msg"> = {
      t: "msg",
      room: made.room as RoomName,
      seq: made.seq as Seq,
      from: made.from,
      cid: made.cid as Cid,
      ts: made.ts as Timestamp,
      epoch: made.epoch as Term,
      kind: made.kind === "" ? "text" : made.kind,
      ...(made.ref === 0 ? {} : { ref: made.ref as Seq }),
      body: made.body,
    };
    return { ranges, frame };
  });

/** Writes at an offset into a buffer of just the promised size, and answers what was written. */
function written(put: (into: Uint8Array, at: number) => number, bytesMax: number, at: number): Uint8Array {
  const into = new Uint8Array(at + bytesMax).fill(0x11);
  const end = put(into, at);
  expect(end).toBeLessThanOrEqual(into.length);
  expect(into.subarray(0, at).every((byte) => byte === 0x11)).toBe(true);
  expect(into.subarray(end).every((byte) => byte === 0x11)).toBe(true);
  return into.slice(at, end);
}

const offset = fc.nat({ max: 5 });

describe("written from a record", () => {
  test("[PROTO12] a binary msg is what the codec writes, in exactly the size promised", () => {
    fc.assert(
      fc.property(messages, offset, ({ ranges, frame }, at) => {
        const expected = encodeBinary("server", frame);
        // A kind that is spelled out is copied as it is; the codec writes `text` as nothing. Both are read alike.
        const bytes = written((into, o) => putMessageFrame(into, o, ranges), messageFrameBytes(ranges), at);
        expect(bytes.length).toBe(messageFrameBytes(ranges));
        expect(decodeBinary("server", bytes, 0, bytes.length, limits)).toStrictEqual(frame);
        if (ranges.kindLength === 0 || frame.kind !== "text") expect(bytes).toStrictEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  test("[PROTO12] a JSON msg is what the codec writes", () => {
    fc.assert(
      fc.property(messages, offset, ({ ranges, frame }, at) => {
        const bytes = written((into, o) => putMessageJson(into, o, ranges), messageJsonBytesMax(ranges), at);
        expect(textOf(bytes, 0, bytes.length)).toBe(encodeJson("server", frame));
      }),
      { numRuns: 500 },
    );
  });

  test("[PROTO12] an ok to a send is what the codec writes, in both encodings", () => {
    const places = fc.record({
      line: cid,
      leader: fc.constantFrom("n1", 'n"2', "nö"),
      node: fc.constantFrom("n1", "n\n3"),
    });
    const ids: fc.Arbitrary<RequestId> = requestId;
    fc.assert(
      fc.property(ids, messages, places, fc.boolean(), offset, (id, { ranges, frame: message }, place, dup, at) => {
        const ok: OkSendRanges = okSendRanges(okPlace(place));
        ok.id = id;
        ok.source = ranges.source;
        ok.roomStart = ranges.namesStart;
        ok.roomLength = ranges.roomLength;
        ok.cidStart = ranges.namesStart + ranges.roomLength + ranges.fromLength;
        ok.cidLength = ranges.cidLength;
        ok.seq = ranges.seq;
        ok.ts = ranges.ts;
        ok.epoch = ranges.epoch;
        ok.dup = dup;
        const frame: ServerFrameOf<"okSend"> = {
          t: "ok",
          of: "send",
          id,
          room: message.room,
          cid: message.cid,
          seq: message.seq,
          ts: message.ts,
          epoch: message.epoch,
          line: place.line as Line,
          leader: place.leader as NodeName,
          node: place.node as NodeName,
          dup,
        };
        const bytes = written((into, o) => putOkSendFrame(into, o, ok), okSendFrameBytesMax(ok), at);
        expect(bytes).toStrictEqual(encodeBinary("server", frame));
        if (typeof id === "number") expect(bytes.length).toBe(okSendFrameBytesMax(ok));
        const json = written((into, o) => putOkSendJson(into, o, ok), okSendJsonBytesMax(ok), at);
        expect(textOf(json, 0, json.length)).toBe(encodeJson("server", frame));
      }),
      { numRuns: 300 },
    );
  });

  test("[PROTO12] JSON ids may also be 0 or negative", () => {
    const ok = okSendRanges(okPlace({ line: "l", leader: "n1", node: "n1" }));
    for (const id of [0, -1, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]) {
      ok.id = id;
      const json = written((into, o) => putOkSendJson(into, o, ok), okSendJsonBytesMax(ok), 0);
      expect(JSON.parse(textOf(json, 0, json.length))).toMatchObject({ t: "ok", id });
    }
  });

  test("[PROTO12] every byte that JSON escapes is escaped as JSON.stringify does", () => {
    const all = Array.from({ length: 0x250 }, (_, code) => String.fromCharCode(code)).join("") + "\u2028\u2029\ufeff🙂";
    const body = utf8(all);
    const ranges = messageRanges();
    ranges.source = body;
    ranges.bodyLength = body.length;
    const bytes = written((into, o) => putMessageJson(into, o, ranges), messageJsonBytesMax(ranges), 0);
    expect(textOf(bytes, 0, bytes.length)).toContain(`"body":${JSON.stringify(all)}}`);
  });

  test("[PROTO12] a large message asks for what it needs, whatever is in it", () => {
    const ranges = messageRanges();
    for (const [byte, size] of [
      ["a", 1],
      ['"', 2],
      ["\u0001", 6],
    ] as const) {
      const body = utf8(byte.repeat(5000));
      ranges.source = body;
      ranges.bodyLength = body.length;
      expect(messageJsonBytesMax(ranges)).toBeLessThan(size * body.length + 300);
      const bytes = written((into, o) => putMessageJson(into, o, ranges), messageJsonBytesMax(ranges), 0);
      expect(bytes.length).toBeGreaterThan(size * body.length);
      expect(escapedLength(body, 0, body.length)).toBe(size * body.length);
    }
  });

  test("[PROTO12] numbers are written as JSON writes them", () => {
    const into = new Uint8Array(20);
    const values = [
      0,
      1,
      9,
      10,
      99,
      100,
      0x3fff_ffff,
      0x4000_0000,
      999_999_999,
      1_000_000_000,
      1_000_000_001,
      2 ** 32,
      1e15,
      wholeMax,
      Number.MAX_SAFE_INTEGER,
    ];
    for (const value of values) expect(textOf(into, 0, putDecimal(into, 0, value))).toBe(String(value));
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        expect(textOf(into, 0, putDecimal(into, 0, value))).toBe(String(value));
      }),
    );
  });
});

test("[PROTO11] a user's name is a user's, also in a direct message", () => {
  const frame = {
    t: "send",
    id: 1,
    to: "bob" as UserName,
    cid: "c" as Cid,
    body: "hi",
  } as const satisfies ClientFrameOf<"send">;
  const bytes = encodeBinary("client", frame);
  expect(sendBytes.isSend(bytes, 0, bytes.length, limits)).toBe(true);
  expect(sendBytes.sendRoomLength(bytes, 0)).toBe(0);
});
