import picocolors from "picocolors";
import { expect, test } from "vitest";
import { gapLine, messageLines, rowsOf, type ShownMessage, shortened } from "../../src/apps/terminal/message-lines.ts";
import { wrappedRows } from "../../src/apps/terminal/screen.ts";
import { table } from "../../src/apps/cli/answer-text.ts";

const colours = picocolors.createColors(false);
const noon = new Date(2026, 10, 23, 12, 4).getTime();

const message = (part: object): ShownMessage =>
  ({
    room: "lobby",
    seq: 7,
    cid: "c",
    from: "bob",
    ts: noon,
    epoch: 1,
    kind: "text",
    body: "hello",
    ...part,
  }) as ShownMessage;
const lines = (part: object, options: object = {}): string[] =>
  messageLines(message(part), { colours, user: "alice" as never, showSeq: false, showRoom: false, ...options });

test("time, who, what; behind one's own the mark and the place", () => {
  expect(lines({})).toEqual(["12:04 bob        hello"]);
  expect(lines({ from: "alice" })).toEqual(["12:04 alice      hello  ✓ 7"]);
  expect(lines({}, { showSeq: true })).toEqual(["     7 12:04 bob        hello"]);
});

test("a wide name takes its columns, a long one pushes what it says", () => {
  expect(lines({ from: "漢字" })).toEqual(["12:04 漢字       hello"]);
  expect(lines({ from: "a-long-user-name" })).toEqual(["12:04 a-long-user-name hello"]);
});

test("further lines stand below the first, and the mark behind the last", () => {
  expect(lines({ from: "alice", body: "one\ntwo" })).toEqual(["12:04 alice      one", "                 two  ✓ 7"]);
});

test("another room is named", () => {
  expect(lines({ room: "ops" }, { showRoom: true })).toEqual(["12:04 bob in #ops: hello"]);
  expect(lines({ room: "@alice,bob" }, { showRoom: true })).toEqual(["12:04 bob to you: hello"]);
  expect(lines({ room: "@alice,bob", from: "alice" }, { showRoom: true })).toEqual(["12:04 alice to bob: hello  ✓ 7"]);
});

test("what is no text says what it is", () => {
  expect(lines({ kind: "edit", ref: 3, body: "better" })).toEqual(["12:04 bob        changed 3 to: better"]);
  expect(lines({ kind: "delete", ref: 3, body: "" })).toEqual(["12:04 bob        deleted 3"]);
  expect(lines({ kind: "react", ref: 3, body: "👍" })).toEqual(["12:04 bob        👍 on 3"]);
  expect(lines({ kind: "x.poll", body: "a?" })).toEqual(["12:04 bob        [x.poll] a?"]);
});

test("nothing of a stranger reaches the terminal as it is", () => {
  const evil = "\u001b[2Jx\u202e";
  for (const kind of ["text", "edit", "react", "unreact", evil]) {
    const shown = lines({ kind, body: evil, from: evil, room: evil, ref: 1 }, { showRoom: true }).join("");
    expect(shown).not.toMatch(/[\p{Cc}\u202e]/u);
  }
});

test.each([
  [1, 9, "retention", "messages 1 to 9 are not kept any more (retention)"],
  [3, 3, "retention", "message 3 is not kept any more (retention)"],
  [4, 6, "damaged", "messages 4 to 6 are damaged on this server and can't be given; another one may have them"],
  [4, 4, "damaged", "message 4 is damaged on this server and can't be given; another one may have it"],
  [4, 6, "deleted", "this room was deleted, and messages 4 to 6 with it"],
  [7, 6, "deleted", "this room was deleted"],
  [4, 4, "removed", "you are no member of this room any more, and can't read message 4"],
  [7, 6, "removed", "you are no member of this room any more"],
  [1, 6, "reset", "this room has another history now; it is shown from the beginning"],
  [4, 6, "\u001b[2Jnew", "messages 4 to 6 can't be given (\\u{1b}[2Jnew)"],
])("a hole from %d to %d is told with its reason: %j", (from, to, reason, words) => {
  expect(gapLine({ from, to, reason, line: null } as never, colours)).toBe(`── ${words} ──`);
});

test("rows and columns are counted as a terminal does", () => {
  expect(rowsOf("", 10)).toBe(1);
  expect(rowsOf("x".repeat(10), 10)).toBe(1);
  expect(rowsOf("漢".repeat(6), 10)).toBe(2);
  expect(wrappedRows("> ", "x".repeat(7), 10)).toBe(1);
  expect(wrappedRows("> ", "x".repeat(8), 10)).toBe(2);
  expect(wrappedRows("> ", "xxxxxxx漢", 10)).toBe(2);
  expect(shortened("hello", 5)).toBe("hello");
  expect(shortened("hello!", 5)).toBe("hell…");
  expect(shortened("漢字漢字", 5)).toBe("漢字…");
});

test("a table's columns are as wide as their widest cell", () => {
  expect(
    table([
      ["USER", "DOOR"],
      ["漢字漢字", "tcp"],
    ]),
  ).toEqual(["USER      DOOR", "漢字漢字  tcp"]);
});
