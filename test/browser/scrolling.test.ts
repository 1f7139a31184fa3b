import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Chat } from "../../src/client/client.ts";
import { connect } from "../../src/platform/node/connect.ts";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";

const stored = 1_200;
/** What the page keeps, and what one more page of history adds before the surplus goes. */
const rowsAtMost = 440;

describe.skipIf(!hasChromium)("a long room [needs chromium]", () => {
  let server: ChatServer;
  let browser: Browser;
  let writer: Chat;
  let reader: Person;

  beforeAll(async () => {
    [server, browser] = await Promise.all([ChatServer.start(), launchChromium()]);
    writer = connect(server.tcpUrl, { user: "writer" });
    const lobby = writer.room("lobby");
    // Of different heights, so that a wrong guess of a height would show as a jump.
    for (let seq = 1; seq < stored; seq++) lobby.send(`message ${seq}${"\nand a line".repeat(seq % 4)}`);
    await lobby.send("message 3, changed much later", { kind: "edit", ref: 3 });
    reader = await Person.enter(browser, { url: server.url, name: "reader" });
    await reader.sees(`message ${stored - 1}${"\nand a line".repeat((stored - 1) % 4)}`);
  });

  afterAll(async () => {
    await writer?.close();
    await browser?.close();
    await server?.stop();
  });

  const seqs = async (): Promise<number[]> => (await reader.rows()).flatMap(({ seq }) => (seq === null ? [] : [seq]));
  /** Nothing is left out but the one edit, which has a place and no row. */
  const isDense = (numbers: readonly number[]): boolean =>
    numbers.every((seq, place) => place === 0 || seq - numbers[place - 1]! === (seq === stored + 1 ? 2 : 1));
  const scrollTo = (end: "top" | "bottom"): Promise<void> =>
    reader.page.$eval(
      ".log",
      (log, where) => {
        log.scrollTop = where === "top" ? 0 : log.scrollHeight;
      },
      end,
    );
  const topOf = (seq: number): Promise<number> =>
    reader.page.$eval(`.row[data-seq="${seq}"]`, (row) => row.getBoundingClientRect().top);

  test("the newest are shown first, at the end [needs chromium]", async () => {
    const numbers = await seqs();
    expect(numbers.at(-1)).toBe(stored - 1);
    expect(numbers.length).toBeLessThan(200);
    const below = await reader.page.$eval(".log", (log) => log.scrollHeight - log.clientHeight - log.scrollTop);
    expect(below).toBeLessThanOrEqual(1);
  });

  test("what comes above moves nothing that is being read, and what comes below neither [needs chromium]", async () => {
    // Somewhere near the top: this asks for more, and the row that is read stays where it is. Looked at in the same
    // turn, before any answer can have come.
    const { first, read, before } = await reader.page.evaluate(() => {
      const log = document.querySelector(".log")!;
      log.scrollTop = 300;
      const rows = [...document.querySelectorAll<HTMLElement>(".row[data-seq]")];
      const { top } = log.getBoundingClientRect();
      const row = rows.find((one) => one.getBoundingClientRect().bottom > top)!;
      return {
        first: Number(rows[0]!.dataset["seq"]),
        read: Number(row.dataset["seq"]),
        before: row.getBoundingClientRect().top,
      };
    });
    await reader.page.waitForFunction(
      (old) => Number(document.querySelector<HTMLElement>(".row[data-seq]")!.dataset["seq"]) < old,
      first,
    );
    expect(Math.abs((await topOf(read)) - before)).toBeLessThanOrEqual(1);

    await writer.room("lobby").send("while you were reading");
    await reader.page.waitForSelector('.to-newest:has-text("1 new message")');
    expect(Math.abs((await topOf(read)) - before)).toBeLessThanOrEqual(1);
  });

  test("all the way back and forth: always one stretch of the order, never too much of it [needs chromium]", async () => {
    for (let first = (await seqs())[0]!; first > 1; ) {
      await scrollTo("top");
      await reader.page.waitForFunction(
        (old) => Number(document.querySelector<HTMLElement>(".row[data-seq]")!.dataset["seq"]) < old,
        first,
      );
      const numbers = await seqs();
      expect(isDense(numbers)).toBe(true);
      expect(numbers.length).toBeLessThanOrEqual(rowsAtMost);
      first = numbers[0]!;
    }
    // The edit lies a thousand messages later, and was read on the way.
    expect(await reader.page.textContent('.row[data-seq="3"] .body')).toBe("message 3, changed much later");
    expect((await seqs()).at(-1)).toBeLessThan(stored - 1);

    // What is said meanwhile is counted and not shown behind a hole.
    await writer.room("lobby").send("out of sight");
    await reader.page.waitForSelector('.to-newest:has-text("2 new messages")');
    expect((await seqs()).at(-1)).toBeLessThan(stored - 1);

    for (let last = (await seqs()).at(-1)!; last < stored + 2; ) {
      await scrollTo("bottom");
      await reader.page.waitForFunction(
        (old) => Number([...document.querySelectorAll<HTMLElement>(".row[data-seq]")].at(-1)!.dataset["seq"]) > old,
        last,
      );
      const numbers = await seqs();
      last = numbers.at(-1)!;
      expect(numbers.length).toBeLessThanOrEqual(rowsAtMost);
      expect(isDense(numbers)).toBe(true);
    }
    expect((await seqs()).slice(-3)).toEqual([stored - 1, stored + 1, stored + 2]);
    await scrollTo("bottom");
    await reader.page.waitForSelector(".to-newest", { state: "detached" });
  });

  test("one press leads from far back to the newest [needs chromium]", async () => {
    for (let first = (await seqs())[0]!; first > 400; ) {
      await scrollTo("top");
      await reader.page.waitForFunction(
        (old) => Number(document.querySelector<HTMLElement>(".row[data-seq]")!.dataset["seq"]) < old,
        first,
      );
      first = (await seqs())[0]!;
    }
    await reader.page.click(".to-newest");
    await reader.sees("out of sight");
    const numbers = await seqs();
    expect(numbers.at(-1)).toBe(stored + 2);
    await reader.page.waitForFunction(() => {
      const log = document.querySelector(".log")!;
      return log.scrollHeight - log.clientHeight - log.scrollTop <= 1;
    });
  });

  test("a burst stays bounded and ends at its end [needs chromium]", async () => {
    const lobby = writer.room("lobby");
    for (let count = 1; count <= 800; count++) lobby.send(`burst ${count}`);
    await reader.sees("burst 800");
    const numbers = await seqs();
    expect(numbers.length).toBeLessThanOrEqual(rowsAtMost);
    expect(isDense(numbers)).toBe(true);
    expect(reader.complaints).toEqual([]);
  });
});
