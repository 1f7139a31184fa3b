import fc from "fast-check";
import { expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { isUtf8, putUtf8, textOf, utf8, utf8Length } from "../../src/protocol/utf8.ts";
import { embedded } from "./arbitrary-frames.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function isValid(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes);
    return true;
  } catch (cause) {
    expect(cause).toBeInstanceOf(TypeError);
    return false;
  }
}

test("[PROTO8] isUtf8 agrees with the platform's decoder on any bytes", () => {
  const tricky = fc.constantFrom(
    0x00,
    0x41,
    0x7f,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc1,
    0xc2,
    0xdf,
    0xe0,
    0xe1,
    0xec,
    0xed,
    0xee,
    0xef,
    0xf0,
    0xf1,
    0xf3,
    0xf4,
    0xf5,
    0xff,
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 24 }),
        fc.array(tricky, { maxLength: 12 }).map((list) => Uint8Array.from(list)),
        fc.string({ unit: "binary", maxLength: 30 }).map(utf8),
      ),
      fc.nat({ max: 9 }),
      (bytes, before) => {
        const around = embedded(bytes, before);
        expect(isUtf8(around, before, before + bytes.length)).toBe(isValid(bytes));
      },
    ),
    { numRuns: 5000 },
  );
});

test("[PROTO8] isUtf8 agrees with the platform's decoder on two bytes of every kind, and on the edges of longer sequences", () => {
  const bytes = new Uint8Array(4);
  for (let first = 0x7f; first < 256; first += first > 0x80 && first < 0xbf ? 21 : 1) {
    for (let second = 0; second < 256; second++) {
      for (const [third, fourth] of [
        [0x80, 0xbf],
        [0xbf, 0x80],
        [0x41, 0x41],
        [0xc0, 0x80],
      ] as const) {
        bytes.set([first, second, third, fourth]);
        if (isUtf8(bytes, 0, 4) !== isValid(bytes)) expect.fail(`${[...bytes].join(" ")} is judged otherwise`);
      }
    }
  }
});

test("[PROTO8] a text and its bytes are each other's, and a lone surrogate has none", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 100 }), fc.nat({ max: 5 }), (text, before) => {
      const bytes = utf8(text);
      expect(utf8Length(text)).toBe(bytes.length);
      const around = embedded(bytes, before);
      expect(textOf(around, before, before + bytes.length)).toBe(text);
      const into = new Uint8Array(before + bytes.length);
      expect(putUtf8(into, before, text)).toBe(into.length);
      expect(into.subarray(before)).toStrictEqual(bytes);
    }),
  );
  for (const text of ["\ud800", "a\udfff", "\udc00\ud800", "🙂\ud83d", "\ud800a", "\ud800\ud800\udc00"]) {
    expect(utf8Length(text)).toBe(-1);
    expect(() => encodeURIComponent(text)).toThrow(URIError);
  }
});

test("[PROTO8] invalid bytes are a bad request, short or long", () => {
  for (const bytes of [Uint8Array.of(0x41, 0xff), new Uint8Array(100).fill(0xc0)]) {
    expect(() => textOf(bytes, 0, bytes.length)).toThrow(Fault);
  }
});
