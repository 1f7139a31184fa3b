import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { visibleLines, visibleText } from "../../src/apps/terminal/visible-text.ts";

test.each([
  ["plain", "plain"],
  ["漢字 🎉 é", "漢字 🎉 é"],
  ["\u001b[31mred\u001b[0m", "\\u{1b}[31mred\\u{1b}[0m"],
  ["\u009b31m", "\\u{9b}31m"],
  ["a\u0000b\u0007\u007f", "a\\u{0}b\\u{7}\\u{7f}"],
  ["title\u001b]0;owned\u0007", "title\\u{1b}]0;owned\\u{7}"],
  ["abc\u202egnp.exe", "abc\\u{202e}gnp.exe"],
  ["\u2066hidden\u2069", "\\u{2066}hidden\\u{2069}"],
  ["line\u2028end\u2029\u0085", "line\\u{2028}end\\u{2029}\\u{85}"],
  ["zero\u200bwidth\ufeff", "zero\\u{200b}width\\u{feff}"],
  ["half \ud800", "half \\u{d800}"],
  ["a\r\nb\tc", "a\\r\\nb\\tc"],
  ["\u3164", "\\u{3164}"],
  // A family is one picture, and a Persian word one word; a joiner on its own is neither.
  ["👩‍👩‍👧", "👩‍👩‍👧"],
  ["می‌خواهم", "می‌خواهم"],
  ["a\u200d ", "a\\u{200d} "],
  ["\u200c", "\\u{200c}"],
])("%j is shown as %j", (text, shown) => {
  expect(visibleText(text)).toBe(shown);
});

test("lines are lines, a tab is two columns, and a lone return does not overwrite", () => {
  expect(visibleLines("one\ntwo\r\n\tthree\rfour")).toEqual(["one", "two", "  three", "four"]);
});

describe("whatever strangers write", () => {
  const dangerous = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

  test("nothing that a terminal obeys gets through", () => {
    const anything = fc.string({ unit: "binary", maxLength: 200 });
    fc.assert(
      fc.property(anything, (text) => {
        expect(visibleText(text)).not.toMatch(dangerous);
        for (const line of visibleLines(text)) expect(line).not.toMatch(dangerous);
      }),
      { numRuns: 500 },
    );
  });
});
