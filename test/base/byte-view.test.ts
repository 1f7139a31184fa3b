import { describe, expect, test } from "vitest";
import { putU48 } from "../../src/base/byte-order.ts";
import { ByteView, copyShort, isSameShort, setU48 } from "../../src/base/byte-view.ts";

const counted = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i * 37 + 200);

describe("bytes four at a time", () => {
  test("copies and compares exactly the bytes asked for, at every length and every place in a word", () => {
    const whole = counted(64);
    for (let length = 0; length <= 19; length++) {
      for (let shift = 0; shift < 4; shift++) {
        // A view of a part of its memory, as a batch or a piece of a stream is.
        const source = whole.subarray(3, 50);
        const into = new Uint8Array(40).fill(9);
        const [one, other] = [new ByteView().of(into), new ByteView().of(source)];
        expect(copyShort(one, 5, other, 7 + shift, length)).toBe(5 + length);
        const wanted = new Uint8Array(40).fill(9);
        wanted.set(source.subarray(7 + shift, 7 + shift + length), 5);
        expect(into).toEqual(wanted);
        expect(isSameShort(one, 5, other, 7 + shift, length)).toBe(true);
        for (let i = 0; i < length; i++) {
          into[5 + i]! ^= 0x80;
          expect(isSameShort(one, 5, other, 7 + shift, length)).toBe(false);
          into[5 + i]! ^= 0x80;
        }
      }
    }
  });

  test("writes a whole number as byte-order.ts does", () => {
    for (const value of [0, 1, 0xffff_ffff, 0x1_0000_0000, 1_763_927_000_123, 2 ** 48 - 1]) {
      const [bytes, wanted] = [new Uint8Array(8), new Uint8Array(8)];
      setU48(new ByteView().of(bytes), 1, value);
      putU48(wanted, 1, value);
      expect(bytes).toEqual(wanted);
    }
  });

  test("answers a view of the bytes that are asked about, whichever were before", () => {
    const views = new ByteView();
    const [one, other] = [counted(8), counted(8).reverse()];
    for (const bytes of [one, other, one, one]) expect(views.of(bytes).getUint8(0)).toBe(bytes[0]);
  });
});
