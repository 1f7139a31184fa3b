import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { UserName } from "../../src/base/ids.ts";
import {
  compareByBytes,
  directRoomOf,
  isCid,
  isCidBytes,
  isDirect,
  isKind,
  isLine,
  isPlainAsciiDirect,
  isPlainAsciiName,
  isPlainRoomName,
  isRoomName,
  isUserName,
  membersOf,
} from "../../src/protocol/names.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import { userName } from "./arbitrary-frames.ts";

const good = [
  "a",
  "alice",
  "Zoë",
  "李小龙",
  "o'brien",
  "a.b",
  "...",
  "a-b_c",
  "x(1)",
  "🙂",
  "ﷺ",
  "x^y=1+2~3|4$",
  "CON",
  "e\u0301\u0323".normalize("NFC"),
];

const bad: Record<string, string> = {
  empty: "",
  dot: ".",
  "two dots": "..",
  path: "../x",
  backslash: "a\\b",
  comma: "a,b",
  at: "@a",
  hash: "#a",
  exclamation: "a!",
  colon: "a:b",
  star: "*",
  question: "a?",
  percent: "%2e%2e",
  quote: 'a"b',
  less: "<b>",
  greater: "a>",
  ampersand: "a&b",
  space: "a b",
  "no-break space": "a\u00a0b",
  "ideographic space": "a\u3000b",
  tab: "a\tb",
  newline: "a\nb",
  nul: "a\u0000b",
  delete: "a\u007fb",
  "next line": "a\u0085b",
  "right-to-left override": "a\u202eb",
  "zero-width joiner": "a\u200db",
  "zero-width space": "a\u200bb",
  "byte order mark": "\ufeffa",
  "soft hyphen": "a\u00adb",
  "line separator": "a\u2028b",
  "private use": "\ue000",
  unassigned: "\u0378",
  noncharacter: "\uffff",
  "lone high surrogate": "a\ud800",
  "lone low surrogate": "\udc00a",
  "not NFC": "e\u0301",
  tag: "a\u{e0041}",
};

describe("names", () => {
  test.each(good)("[PROTO13] %s is fine for a user and for a room", (name) => {
    expect([isUserName(name), isRoomName(name), isPlainRoomName(name)]).toStrictEqual([true, true, true]);
  });

  test.each(Object.entries(bad))("[PROTO13] refused: %s", (_why, name) => {
    expect([isUserName(name), isRoomName(name), isPlainRoomName(name)]).toStrictEqual([false, false, false]);
  });

  test("[PROTO13] lengths are bytes of UTF-8, not characters", () => {
    expect(isUserName("a".repeat(60))).toBe(true);
    expect(isUserName("a".repeat(61))).toBe(false);
    expect(isUserName("ö".repeat(30))).toBe(true);
    expect(isUserName(`${"ö".repeat(30)}a`)).toBe(false);
    expect(isUserName("🙂".repeat(15))).toBe(true);
    expect(isUserName(`${"🙂".repeat(15)}a`)).toBe(false);
    expect(isRoomName("a".repeat(128))).toBe(true);
    expect(isRoomName("a".repeat(129))).toBe(false);
    expect(isRoomName("李".repeat(42))).toBe(true);
    expect(isRoomName("李".repeat(43))).toBe(false);
  });

  test("[PROTO13] names of the language's own properties are names like any other", () => {
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) expect(isUserName(name)).toBe(true);
  });

  test("[PROTO13] a megabyte is refused by its length", () => {
    for (const text of ["a", "ö", "\u0301", "@a,", "\ud800"].map((part) => part.repeat(1_000_000))) {
      expect([isUserName(text), isRoomName(text), isCid(text), isKind(text), isLine(text)]).toStrictEqual([
        false,
        false,
        false,
        false,
        false,
      ]);
    }
  });

  test("[PROTO13] a cid is 1 to 64 characters of its alphabet, and a line likewise", () => {
    for (const check of [isCid, isLine]) {
      expect(check("AZaz09._:~-")).toBe(true);
      expect(check("x".repeat(64))).toBe(true);
      for (const text of ["", "x".repeat(65), "a b", "a/b", "a,b", "ö", "a\n", "a+b"]) expect(check(text)).toBe(false);
    }
  });

  test("[PROTO13] a kind is 1 to 32 characters, whichever they are", () => {
    for (const kind of ["text", "sys.join", "🙂".repeat(32), "a b", "x".repeat(32)]) expect(isKind(kind)).toBe(true);
    for (const kind of ["", "x".repeat(33), "🙂".repeat(33), "\ud83d"]) expect(isKind(kind)).toBe(false);
  });

  test("[PROTO13] the checks on bytes say yes only where those on text do, and for plain ASCII always then", () => {
    const tricky = fc.array(fc.constantFrom(..."ab.@,#-ö /"), { maxLength: 8 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(fc.oneof(tricky, fc.string({ maxLength: 70 })), (text) => {
        const bytes = utf8(text);
        const isAscii = bytes.length === text.length;
        expect(isCidBytes(bytes, 0, bytes.length)).toBe(isCid(text));
        if (text.length <= 60) {
          if (isPlainAsciiName(bytes, 0, bytes.length)) expect(isUserName(text)).toBe(true);
          else expect(isUserName(text) && isAscii && !text.startsWith(".")).toBe(false);
        }
        if (isPlainAsciiDirect(bytes, 0, bytes.length)) expect(isRoomName(text)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

const user = (text: string): UserName => text as UserName;

describe("direct rooms", () => {
  test("[PROTO14] two users have one room, whoever asks", () => {
    fc.assert(
      fc.property(userName, userName, (one, other) => {
        const room = directRoomOf(one, other);
        expect(directRoomOf(other, one)).toBe(room);
        expect(isRoomName(room) && isDirect(room) && !isPlainRoomName(room)).toBe(true);
        expect([...membersOf(room)].toSorted(compareByBytes)).toStrictEqual([one, other].toSorted(compareByBytes));
        const bytes = utf8(room);
        if (bytes.length === room.length && !room.includes("@.") && !room.includes(",.")) {
          expect(isPlainAsciiDirect(bytes, 0, bytes.length)).toBe(true);
        }
      }),
    );
  });

  test("[PROTO14] sorted by bytes, also where UTF-16 sorts otherwise", () => {
    // U+FF21 is three bytes beginning with EF, U+1F642 four beginning with F0; their first UTF-16 units are FF21 and D83D.
    expect(directRoomOf(user("🙂"), user("Ａ"))).toBe("@Ａ,🙂");
    expect(isRoomName("@🙂,Ａ")).toBe(false);
    expect(directRoomOf(user("alice"), user("alice"))).toBe("@alice,alice");
    expect(directRoomOf(user("bob"), user("Bob"))).toBe("@Bob,bob");
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (one, other) => {
        const [a, b] = [utf8(one), utf8(other)];
        let difference = 0;
        for (let i = 0; difference === 0 && i < Math.min(a.length, b.length); i++) difference = a[i]! - b[i]!;
        if (difference === 0) difference = a.length - b.length;
        expect(Math.sign(compareByBytes(one, other))).toBe(Math.sign(difference));
      }),
    );
  });

  test("[PROTO14] what is not in its one form is refused", () => {
    for (const text of [
      "@",
      "@a",
      "@a,",
      "@,a",
      "@b,a",
      "@ab,a",
      "@a,b,c",
      "@@a,b",
      "@a,@b",
      "@a, b",
      "@.,a",
      "@a,..",
      "@a,b ",
    ]) {
      expect(isRoomName(text)).toBe(false);
      const bytes = utf8(text);
      expect(isPlainAsciiDirect(bytes, 0, bytes.length)).toBe(false);
    }
    expect(isRoomName("@a,ab")).toBe(true);
    expect(isPlainAsciiDirect(utf8("@a,ab"), 0, 5)).toBe(true);
    expect(isRoomName(`@${"a".repeat(60)},${"b".repeat(60)}`)).toBe(true);
    expect(isRoomName(`@${"a".repeat(60)},${"b".repeat(61)}`)).toBe(false);
  });
});
