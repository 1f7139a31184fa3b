import { expect, test } from "vitest";
import { FieldReader, FieldWriter, u48Max } from "../../src/base/field-bytes.ts";

const id = "00ff10e7".repeat(4);

function written(): Uint8Array {
  const out = new FieldWriter(64);
  out.u8(255);
  out.flag(true);
  out.u16(65_535);
  out.u32(4_294_967_295);
  out.u48(u48Max);
  out.id(id);
  out.ascii("n1");
  out.raw(Uint8Array.of(7, 8));
  return out.done();
}

function readFrom(input: FieldReader): unknown[] {
  return [input.u8(), input.flag(), input.u16(), input.u32(), input.u48(), input.id(), input.ascii(), input.rest()];
}

test("what is written is read, and nothing is left", () => {
  const input = new FieldReader(written());
  expect(readFrom(input)).toEqual([255, true, 65_535, 4_294_967_295, u48Max, id, "n1", Uint8Array.of(7, 8)]);
  expect(input.isWhole).toBe(true);
});

test("where the bytes end too early everything from there on is empty, and the reader knows", () => {
  const bytes = written();
  // The last two bytes are whatever is left: there may be fewer of them.
  for (let length = 0; length < bytes.length - 2; length++) {
    const input = new FieldReader(bytes.subarray(0, length));
    const read = readFrom(input);
    expect([input.failed, input.isWhole, read.at(-1)]).toEqual([true, false, new Uint8Array(0)]);
  }
});

test("whoever asks is told of the first field that is not there, and may throw", () => {
  const input = new FieldReader(Uint8Array.of(1), () => {
    throw new Error("it ends in the middle");
  });
  expect(input.u8()).toBe(1);
  expect(() => input.u16()).toThrow("it ends in the middle");
});

test("a flag is 0 or 1; a reader that was told to fail gives nothing any more", () => {
  const wrong = new FieldReader(Uint8Array.of(2));
  expect([wrong.flag(), wrong.failed]).toEqual([false, true]);
  const refused = new FieldReader(Uint8Array.of(1, 2));
  refused.fail();
  expect([refused.u8(), refused.isWhole]).toEqual([0, false]);
});

test("a number that does not fit, an id that is none, and more than was said stop the program", () => {
  const out = new FieldWriter(40);
  expect(() => out.u8(256)).toThrow("256");
  expect(() => out.u16(-1)).toThrow("-1");
  expect(() => out.u32(2 ** 32)).toThrow("4294967296");
  for (const wrong of [2 ** 48, -1, 0.5, Number.NaN]) expect(() => out.u48(wrong)).toThrow("6 bytes");
  for (const wrong of ["", "0".repeat(31), "0".repeat(33), "G".repeat(32), "A".repeat(32)]) {
    expect(() => new FieldWriter(16).id(wrong)).toThrow("32 hex digits");
  }
  expect(() => out.ascii("x".repeat(256))).toThrow("256");
  expect(() => new FieldWriter(1).u16(1)).toThrow("more fields");
});
