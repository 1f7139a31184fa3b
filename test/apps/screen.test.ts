import { PassThrough } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { TerminalScreen } from "../../src/apps/terminal/screen.ts";
import { VirtualTerminal } from "./virtual-terminal.ts";

const screens: TerminalScreen[] = [];
afterEach(() => {
  for (const screen of screens.splice(0)) screen.close();
});

function atTerminal(columns = 20) {
  const keys = new PassThrough();
  const terminal = new VirtualTerminal(columns);
  const entered: string[] = [];
  let ended = 0;
  const screen = new TerminalScreen({
    input: keys as never,
    output: terminal as never,
    events: {
      line: (text) => entered.push(text),
      end: () => {
        ended++;
      },
    },
  });
  screens.push(screen);
  screen.setPrompt("lobby> ");
  const type = async (text: string): Promise<void> => {
    keys.write(text);
    await turn();
  };
  return { screen, terminal, entered, type, ended: () => ended };
}

describe("what is being typed stays as it is", () => {
  test("when a message comes", async () => {
    const { screen, terminal, type } = atTerminal();
    await type("hel");
    screen.print(["12:04 bob  hi"]);
    await type("lo");
    expect(terminal.rows).toEqual(["12:04 bob  hi", "lobby> hello"]);
    expect(terminal.cursor).toEqual({ row: 1, column: 12 });
  });

  test.each([
    ["typed key by key", (text: string) => [...text]],
    ["pasted at once", (text: string) => [text]],
  ])("when it is longer than a row, %s", async (_, split) => {
    const { screen, terminal, type } = atTerminal();
    for (const keys of split("0123456789 0123456789 漢字漢字漢字")) await type(keys);
    const typed = terminal.rows;
    expect(typed.length).toBeGreaterThan(1);
    screen.print(["one"]);
    screen.print(["two", "three"]);
    expect(terminal.rows).toEqual(["one", "two", "three", ...typed]);
  });

  test("when the cursor stands in the middle of it, on another row", async () => {
    const { screen, terminal, type } = atTerminal();
    await type("0123456789abcdefghij");
    for (let at = 0; at < 15; at++) await type("\u001b[D");
    screen.print(["one"]);
    await type("X");
    expect(terminal.rows).toEqual(["one", "lobby> 01234X56789ab", "cdefghij"]);
  });
});

describe("what is not stored yet stands between", () => {
  test("and goes when it is stored", async () => {
    const { screen, terminal, type } = atTerminal();
    screen.print(["one"]);
    screen.setPending(["… mine"], 0);
    await type("next");
    expect(terminal.rows).toEqual(["one", "… mine", "lobby> next"]);
    screen.print(["two"]);
    expect(terminal.rows).toEqual(["one", "two", "… mine", "lobby> next"]);
    screen.setPending([], 0);
    screen.print(["mine ✓ 3"]);
    expect(terminal.rows).toEqual(["one", "two", "mine ✓ 3", "lobby> next"]);
  });

  test("each on a row, however long, and those before are counted", () => {
    const { screen, terminal } = atTerminal();
    screen.setPending(["… 漢字漢字漢字漢字漢字漢字漢字", "… b"], 7);
    expect(terminal.rows).toEqual(["  … and 7 more bef…", "… 漢字漢字漢字漢字…", "… b", "lobby>"]);
  });
});

test("a line that was entered goes, because it comes back as a message", async () => {
  const { screen, terminal, entered, type } = atTerminal();
  screen.print(["one"]);
  screen.setPending(["… waits"], 0);
  await type("this line is longer than one row\r");
  expect(entered).toEqual(["this line is longer than one row"]);
  expect(terminal.rows).toEqual(["one", "… waits", "lobby>"]);
  await type("a\rb\rc");
  expect(entered.slice(1)).toEqual(["a", "b"]);
  expect(terminal.rows).toEqual(["one", "… waits", "lobby> c"]);
});

test("Ctrl-C throws a line away, and leaves from an empty one", async () => {
  const { terminal, type, ended } = atTerminal();
  await type("never said");
  await type("\u0003");
  expect(ended()).toBe(0);
  expect(terminal.rows).toEqual(["lobby>"]);
  await type("\u0003");
  expect(ended()).toBe(1);
});

test("after Ctrl-D what still comes is printed, and no prompt", async () => {
  const { screen, terminal, type, ended } = atTerminal();
  screen.setPending(["… waits"], 0);
  const before = process.listenerCount("SIGINT");
  await type("\u0004");
  expect(ended()).toBe(1);
  screen.print(["waiting", "12:04 me ✓ 1"]);
  screen.setPending([], 0);
  expect(terminal.rows).toEqual(["waiting", "12:04 me ✓ 1"]);
  // Ctrl-C is a signal from now on.
  expect(process.listenerCount("SIGINT")).toBe(before + 1);
  process.removeAllListeners("SIGINT");
});

test("a terminal that does not know its width gets no movement that is none, and whole lines", async () => {
  const { screen, terminal, type, entered } = atTerminal(0);
  const written: string[] = [];
  const write = terminal.write.bind(terminal) as (text: string) => boolean;
  terminal.write = ((text: string) => {
    written.push(text);
    return write(text);
  }) as never;
  screen.setPending(["… a message that is on its way"], 0);
  await type("hello\r");
  screen.print(["12:04 bob  hi"]);
  expect(entered).toEqual(["hello"]);
  expect(written.join("")).not.toMatch(/Infinity|NaN/);
  expect(written.join("")).toContain("… a message that is on its way");
});
