import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { serverLog } from "../../src/apps/cli/server-log.ts";

function logged(format: "json" | "text", act: (log: ReturnType<typeof serverLog>) => void): string {
  let text = "";
  act(serverLog({ format, colour: false, write: (line) => void (text += line) }));
  return text;
}

const obeyed = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u;

describe("one event is one line", () => {
  test.each(["json", "text"] as const)("%s, whatever is in its fields", (format) => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 100 }), (text) => {
        const line = logged(format, (log) =>
          log.warn("client.odd", { user: text, list: [text], cause: { message: text } }),
        );
        expect(line.endsWith("\n")).toBe(true);
        expect(line.slice(0, -1)).not.toMatch(obeyed);
      }),
      { numRuns: 300 },
    );
  });
});

test.each(["json", "text"] as const)(
  "%s: as many lines as events, whatever breaks lines or moves a terminal's cursor",
  (format) => {
    const forged = '\r\n{"level":"error","event":"forged"}\r\n';
    const texts = [
      "\n",
      "\r",
      "\r\n",
      "\u0085",
      "\u2028",
      "\u2029",
      "\v",
      "\f",
      "\u001b[2J\u001b[1;1H",
      "\u001b]0;x\u0007",
      "\u009b2K",
      "\b\b",
      "\0",
      forged,
    ];
    const text = logged(format, (log) => {
      for (const one of texts) log.warn("client.odd", { user: `a${one}b`, [`name${one}`]: 1, cause: new Error(one) });
    });
    for (const end of [/\n/g, /\r\n|[\n\r\v\f\u0085\u2028\u2029]/g]) expect(text.match(end)).toHaveLength(texts.length);
    for (const line of text.split("\n")) expect(line).not.toMatch(obeyed);
    if (format === "text") return;
    const events = text
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { event: string }).event);
    expect(events).toEqual(texts.map(() => "client.odd"));
  },
);

test("JSON holds level, time, event and the fields as they were", () => {
  const line = logged("json", (log) => log.info("server.started", { port: 7400, name: "漢\u0085\u202e字" }));
  const { time, ...rest } = JSON.parse(line) as Record<string, unknown>;
  expect(rest).toEqual({ level: "info", event: "server.started", port: 7400, name: "漢\u0085\u202e字" });
  expect(new Date(String(time)).toISOString()).toBe(time);
});

test("an error brings its name, code, message and cause", () => {
  const inner = Object.assign(new Error("EIO"), { code: "EIO" });
  const line = logged("json", (log) =>
    log.error("journal.failed", { cause: new Error("write failed", { cause: inner }) }),
  );
  expect(JSON.parse(line)).toMatchObject({
    level: "error",
    cause: { name: "Error", message: "write failed", cause: "Error: EIO" },
  });
});

test("a field can't pose as level or event, and a long one is cut", () => {
  const line = logged("json", (log) => log.info("real", { event: "false", level: "error", body: "x".repeat(100_000) }));
  expect(JSON.parse(line)).toMatchObject({ event: "real", level: "info", event_: "false", level_: "error" });
  expect(line.length).toBeLessThan(5_000);
});

test("text for people: what happened, then what with", () => {
  const line = logged("text", (log) => log.warn("disk.full", { freeBytes: 10, file: "a b", user: "bob" }));
  expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}disk\.full +freeBytes=10 file="a b" user=bob\n$/);
});
