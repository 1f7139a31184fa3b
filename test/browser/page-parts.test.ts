import { describe, expect, test } from "vitest";
import { errorCodes } from "../../src/base/error-codes.ts";
import type { HistoryPage, Room } from "../../src/client/room.ts";
import type { Message } from "../../src/protocol/schema.ts";
import { Amendments } from "../../src/apps/web/amendments.ts";
import { partsOf, visibleLine } from "../../src/apps/web/message-text.ts";
import { ReadMarks } from "../../src/apps/web/read-marks.ts";
import { failureOf, preferredLanguage, textsOf, waitOf } from "../../src/apps/web/texts.ts";
import { rowsMax, rowsSlack, TimelineWindow } from "../../src/apps/web/timeline-window.ts";

const message = (seq: number, more: Partial<Record<"kind" | "body" | "from" | "ref", string | number>> = {}): Message =>
  ({ seq, from: "alice", cid: `c${seq}`, ts: seq * 1000, epoch: 1, kind: "text", body: `m${seq}`, ...more }) as Message;

const seqs = (from: number, to: number): Message[] =>
  Array.from({ length: to - from + 1 }, (_, place) => message(from + place));

const page = (items: Message[], more: Partial<HistoryPage>): HistoryPage =>
  ({
    room: "lobby",
    line: "1",
    items,
    first: 1,
    head: items.at(-1)?.seq ?? 0,
    more: false,
    node: "n1",
    ...more,
  }) as HistoryPage;

const shown = (window: TimelineWindow): string[] =>
  window.rows.map((row) => (row.type === "message" ? String(row.seq) : `${row.from}-${row.to} ${row.reason}`));

describe("the window on a room", () => {
  test("pages going back and live messages make one order without a hole", () => {
    const window = new TimelineWindow();
    window.start(page(seqs(8, 10), { head: 10 as never, more: true }));
    window.live(message(11), true);
    expect(window.isAtStart).toBe(false);
    window.prepend(page(seqs(1, 7), { head: 11 as never }), 8);
    expect(shown(window)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]);
    expect(window.isAtStart && window.isAtHead).toBe(true);
  });

  test("what retention removed is a row with its numbers, at the beginning and as it happens", () => {
    const window = new TimelineWindow();
    window.start(page(seqs(13, 15), { first: 13 as never, head: 15 as never }));
    expect(shown(window)).toEqual(["1-12 not_kept", "13", "14", "15"]);
    window.liveGap({ from: 16 as never, to: 20 as never, reason: "retention", line: null });
    window.live(message(21), true);
    expect(shown(window).slice(3)).toEqual(["15", "16-20 retention", "21"]);
  });

  test("a hole inside a page is told, whatever direction it came from", () => {
    const window = new TimelineWindow();
    window.start(page([message(5), message(8)], { head: 8 as never, more: true }));
    expect(shown(window)).toEqual(["5", "6-7 unavailable", "8"]);
    window.head = 12;
    window.append(page([message(10), message(12)], { head: 12 as never }), 8);
    expect(shown(window)).toEqual(["5", "6-7 unavailable", "8", "9-9 unavailable", "10", "11-11 unavailable", "12"]);
  });

  test("edits and reactions take a place in the order and no row", () => {
    const window = new TimelineWindow();
    window.start(
      page([message(1), message(2, { kind: "react", ref: 1, body: "👍" }), message(3)], { head: 3 as never }),
    );
    window.live(message(4, { kind: "delete", ref: 3, body: "" }), true);
    expect(shown(window)).toEqual(["1", "3"]);
    expect(window.last).toBe(4);
    expect(window.isAtHead).toBe(true);
  });

  test("it is bounded at both ends, and what was dropped comes back", () => {
    const window = new TimelineWindow();
    window.start(page(seqs(5_941, 6_000), { head: 6_000 as never, more: true }));
    // Far back: the newest are let go.
    while (window.first > 5_000) {
      const before = window.first;
      window.prepend(page(seqs(before - 60, before - 1), { head: 6_000 as never, more: true }), before);
    }
    expect(window.rows.length).toBeLessThanOrEqual(rowsMax);
    expect(window.isAtHead).toBe(false);
    // A live message is known, and not shown behind a hole.
    expect(window.live(message(6_001), false)).toBe(false);
    expect(window.head).toBe(6_001);
    while (!window.isAtHead) {
      const after = window.last;
      const to = Math.min(after + 60, 6_001);
      window.append(page(seqs(after + 1, to), { head: 6_001 as never, more: to < 6_001 }), after);
    }
    const numbers = window.rows.map((row) => (row.type === "message" ? row.seq : 0));
    expect(numbers).toEqual(numbers.map((_, place) => numbers[0]! + place));
    expect(numbers.at(-1)).toBe(6_001);
    expect(window.rows.length).toBeLessThanOrEqual(rowsMax);
    // At the end for long: the oldest are let go.
    for (let seq = 6_002; seq < 7_500; seq++) window.live(message(seq), true);
    expect(window.rows.length).toBeLessThanOrEqual(rowsMax + rowsSlack);
    expect(window.first).toBe((window.rows[0] as { seq: number }).seq);
  });

  test("a page that was asked for before the window moved is not taken", () => {
    const window = new TimelineWindow();
    window.start(page(seqs(8, 10), { head: 10 as never, more: true }));
    expect(window.prepend(page(seqs(1, 4), { head: 10 as never }), 5)).toBe(false);
    expect(window.append(page(seqs(5, 9), { head: 10 as never }), 4)).toBe(false);
    expect(shown(window)).toEqual(["8", "9", "10"]);
  });
});

describe("what later messages made of an earlier one", () => {
  test("the newest edit counts, in whatever order they are read", () => {
    const amendments = new Amendments();
    amendments.add(message(9, { kind: "edit", ref: 1, body: "third" }));
    amendments.add(message(5, { kind: "edit", ref: 1, body: "second" }));
    amendments.add(message(9, { kind: "edit", ref: 1, body: "third" }));
    expect(amendments.of(1)?.body).toBe("third");
  });

  test("a reaction counts once for each who stands by it", () => {
    const amendments = new Amendments();
    amendments.add(message(2, { kind: "react", ref: 1, body: "👍" }));
    amendments.add(message(3, { kind: "react", ref: 1, body: "👍", from: "bob" }));
    amendments.add(message(4, { kind: "unreact", ref: 1, body: "👍" }));
    amendments.add(message(2, { kind: "react", ref: 1, body: "👍" }));
    expect(amendments.of(1)?.reactions).toEqual([{ symbol: "👍", users: ["bob"] }]);
  });

  test("a reaction that was never there is taken back without a trace", () => {
    const amendments = new Amendments();
    amendments.add(message(2, { kind: "react", ref: 1, body: "👍", from: "bob" }));
    amendments.add(message(3, { kind: "unreact", ref: 1, body: "👍" }));
    amendments.add(message(4, { kind: "unreact", ref: 1, body: "🎉", from: "bob" }));
    expect(amendments.of(1)?.reactions).toEqual([{ symbol: "👍", users: ["bob"] }]);
  });

  test("it is bounded, and says where it may have forgotten something", () => {
    const amendments = new Amendments();
    for (let ref = 1; ref <= 6_000; ref++) amendments.add(message(10_000 + ref, { kind: "edit", ref, body: "x" }));
    expect(amendments.of(1)).toBeNull();
    expect(amendments.isComplete(1)).toBe(false);
    expect(amendments.of(6_000)?.body).toBe("x");
    expect(amendments.isComplete(6_000)).toBe(true);
  });
});

describe("why messages wait", () => {
  const codes = Object.entries(errorCodes).flatMap(([code, { retryable }]) => (retryable ? [code] : []));

  test.each(codes)("%s, which a server may answer for a while, has its sentence in each language", (code) => {
    const [english, chinese] = [textsOf("en"), textsOf("zh")];
    for (const say of [waitOf, failureOf]) {
      expect(say(english, code)).toMatch(/^[\x20-\x7e]+$/);
      expect(say(chinese, code)).toMatch(/\p{Script=Han}/u);
      expect(say(english, code)).not.toContain(code);
    }
    expect(Object.hasOwn(english.waits, code) && Object.hasOwn(chinese.waits, code)).toBe(true);
  });

  test("a code that only a newer server knows is told as it is", () => {
    expect(waitOf(textsOf("en"), "constructor")).toBe("The server stores nothing new of yours right now: constructor.");
    expect(waitOf(textsOf("zh"), "too_cold")).toContain("too_cold");
  });
});

describe("text of strangers", () => {
  const links = (text: string): string[] => partsOf(text).flatMap((part) => (part.type === "link" ? [part.href] : []));

  test("only http and https become links, without the sentence around them", () => {
    expect(links("see https://a.example/x, (http://b.example/y_(z)) and ftp://c.example javascript:alert(1)")).toEqual([
      "https://a.example/x",
      "http://b.example/y_(z)",
    ]);
    expect(links("https://user:secret@evil.example/ http://")).toEqual([]);
  });

  test("nothing is left out: the parts are the text", () => {
    const text = "a https://a.example/?q=1. b\n\tc 👩‍👩‍👧 नमस्ते می‌خواهم 🏴󠁧󠁢󠁥󠁮󠁧󠁿";
    expect(
      partsOf(text)
        .map((part) => part.text)
        .join(""),
    ).toBe(text);
    expect(partsOf(text).some((part) => part.type === "mark")).toBe(false);
  });

  test("what cannot be seen is shown by a symbol or its code", () => {
    expect(visibleLine("a\u0000b\u007f\u202e\u2066\u200b\u2028\ud800\u3164")).toBe(
      "a␀b␡U+202EU+2066U+200BU+2028U+D800U+3164",
    );
    expect(visibleLine("a\u200db")).toBe("a\u200db");
    expect(visibleLine("1\u200d2")).toBe("1U+200D2");
  });
});

test("the language is the reader's first that the page speaks", () => {
  expect(preferredLanguage(["de", "zh-TW", "en"])).toBe("zh");
  expect(preferredLanguage(["en-US", "zh"])).toBe("en");
  expect(preferredLanguage(["fr"])).toBe("en");
});

describe("read marks on their way", () => {
  interface Sent {
    readonly name: string;
    readonly upTo: number;
    readonly done: () => void;
    readonly refused: (reason: Error) => void;
  }
  const sent: Sent[] = [];
  const room = (name: string): Room =>
    ({
      name,
      markRead: (upTo: number) =>
        new Promise<void>((done, refused) => {
          sent.push({ name, upTo, done, refused });
        }),
    }) as unknown as Room;
  const [lobby, desk] = [room("lobby"), room("desk")];
  const settled = (): Promise<void> =>
    new Promise((resolve) => {
      setImmediate(resolve);
    });

  test("a room is marked while another's mark is under way, and the furthest that was seen meanwhile after it", async () => {
    const told: string[] = [];
    const marks = new ReadMarks((name, upTo) => told.push(`${name} ${upTo}`));
    marks.mark(lobby, 3);
    marks.mark(desk, 5);
    for (const upTo of [4, 6, 5]) marks.mark(lobby, upTo);
    expect(sent.map(({ name, upTo }) => `${name} ${upTo}`)).toEqual(["lobby 3", "desk 5"]);
    expect([marks.underWay(lobby.name), marks.underWay(desk.name)]).toEqual([6, 5]);
    for (const { done } of sent.splice(0)) done();
    await settled();
    expect(told).toEqual(["lobby 3", "desk 5"]);
    expect(sent.map(({ name, upTo }) => `${name} ${upTo}`)).toEqual(["lobby 6"]);
    sent.splice(0)[0]!.refused(new Error("no link"));
    await settled();
    expect([marks.underWay(lobby.name), marks.underWay(desk.name)]).toEqual([0, 0]);
    // The next look marks it.
    marks.mark(lobby, 6);
    expect(sent.length).toBe(1);
  });
});
