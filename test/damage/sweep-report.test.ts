import { expect, test } from "vitest";
import { Part } from "./sweep-report.ts";

test("the parts of a sweep are all of it, each call in one", () => {
  for (const [calls, count] of [
    [10, 1],
    [10, 3],
    [355, 4],
    [2, 5],
  ] as const) {
    const parts = Array.from({ length: count }, (_, i) => new Part(`${i + 1}/${count}`).of(calls));
    expect(parts.flat()).toEqual(Array.from({ length: calls }, (_, i) => i + 1));
  }
  for (const text of ["", "1", "0/4", "5/4", "1/4/2", "1.5/4"])
    expect(() => new Part(text)).toThrow("a part is such as");
});
