import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBinary, encodeBinary } from "../../src/protocol/binary-codec.ts";
import type { Refused } from "../../src/protocol/check-frame.ts";
import { decodeJson, encodeJson } from "../../src/protocol/json-codec.ts";
import { layouts } from "../../src/protocol/layout.ts";
import type { ClientFrame, FrameFrom, Sender } from "../../src/protocol/schema.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import { allLayouts, anyFrame, embedded, framesOf, limits, senders } from "./arbitrary-frames.ts";

function fromJson<S extends Sender>(sender: S, text: string | Uint8Array): (FrameFrom<S> | Refused)[] {
  const frames: (FrameFrom<S> | Refused)[] = [];
  expect(decodeJson(sender, text, limits, frames)).toBe(frames.length);
  return frames;
}

const typed = <S extends Sender>(_sender: S, frame: Record<string, unknown>): FrameFrom<S> =>
  frame as unknown as FrameFrom<S>;

describe("one table", () => {
  test("[PROTO1] every frame has a type code and a kind of its own", () => {
    const codes = allLayouts.map(({ layout }) => layout.spec.code);
    expect(new Set(codes).size).toBe(codes.length);
    for (const sender of senders) {
      const kinds = layouts[sender].map(({ spec }) => `${spec.t} ${spec.of ?? ""}`);
      expect(new Set(kinds).size).toBe(kinds.length);
    }
  });

  test("[PROTO1] offsets follow the table: numbers, then short lengths, then long lengths, without a hole", () => {
    for (const { layout } of allLayouts) {
      let at = 14;
      for (const size of [6, 2, 4]) {
        for (const slot of layout.slots.filter((one) => one.size === size)) {
          expect(slot.at).toBe(at);
          at += size;
        }
      }
      expect(layout.headerBytes).toBe(at);
    }
  });

  test.each(allLayouts)("[PROTO2] $sender $name survives both encodings, and they agree", ({ sender, layout }) => {
    fc.assert(
      fc.property(framesOf(layout), fc.nat({ max: 9 }), (given, before) => {
        const frame = typed(sender, given);
        const json = encodeJson(sender, frame);
        expect(fromJson(sender, json)).toStrictEqual([given]);
        expect(fromJson(sender, utf8(json))).toStrictEqual([given]);
        const bytes = encodeBinary(sender, frame);
        const read = decodeBinary(sender, embedded(bytes, before), before, before + bytes.length, limits);
        expect(read).toStrictEqual(given);
        // The fields come out in the order of the table, whichever way they came in.
        expect(Object.keys(read)).toStrictEqual(Object.keys(given));
        expect(encodeBinary(sender, typed(sender, { ...read }))).toStrictEqual(bytes);
      }),
      { numRuns: 60 },
    );
  });

  test.each(senders)("[PROTO2] several frames of a %s in one text come out in their order", (sender) => {
    fc.assert(
      fc.property(fc.array(anyFrame(sender), { maxLength: 6 }), (frames) => {
        expect(fromJson(sender, `[${frames.map((frame) => encodeJson(sender, frame)).join(",")}]`)).toStrictEqual(
          frames,
        );
      }),
      { numRuns: 50 },
    );
  });
});

describe("cut frames", () => {
  test.each(allLayouts)("[PROTO3] no prefix of $sender $name is taken for a frame", ({ sender, layout }) => {
    fc.assert(
      fc.property(framesOf(layout), (given) => {
        const frame = typed(sender, given);
        const bytes = encodeBinary(sender, frame);
        for (let end = 0; end < bytes.length; end++) {
          expect(decodeBinary(sender, bytes, 0, end, limits).t).toBe("refused");
          // The same with a length that claims to be right.
          if (end < 14) continue;
          const mended = bytes.slice(0, end);
          new DataView(mended.buffer).setUint32(0, end - 4, true);
          const read = decodeBinary(sender, mended, 0, end, limits);
          // Cutting a text id gives a shorter text id, which is a whole frame again; nothing else does.
          if (read.t !== "refused") expect(typeof given["id"] === "string").toBe(true);
        }
        const json = utf8(encodeJson(sender, frame));
        for (let end = 0; end < json.length; end++) {
          expect(fromJson(sender, json.subarray(0, end)).map((one) => one.t)).toStrictEqual(["refused"]);
        }
      }),
      { numRuns: 5 },
    );
  });

  test("[PROTO3] a frame with a byte too many is refused", () => {
    fc.assert(
      fc.property(anyFrame("client"), (frame: ClientFrame) => {
        fc.pre(!("id" in frame) || typeof frame.id === "number");
        const bytes = encodeBinary("client", frame);
        const longer = new Uint8Array(bytes.length + 1);
        longer.set(bytes);
        new DataView(longer.buffer).setUint32(0, longer.length - 4, true);
        expect(decodeBinary("client", longer, 0, longer.length, limits).t).toBe("refused");
      }),
      { numRuns: 100 },
    );
  });
});
