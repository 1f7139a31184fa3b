import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";

interface Frame {
  readonly t: string;
  readonly id: number;
}

describe.skipIf(!hasChromium)("what a server says is on the page [needs chromium]", () => {
  let server: ChatServer;
  let browser: Browser;
  let alice: Person;

  beforeAll(async () => {
    [server, browser] = await Promise.all([ChatServer.start(), launchChromium()]);
    alice = await Person.enter(browser, { url: server.url, name: "alice" });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** What the server says to every message from now on; null: what it really says. */
  let says: Readonly<Record<string, unknown>> | null = null;

  test("a full disk: a banner and each message say why they wait, in both languages, until they are stored [needs chromium]", async () => {
    await alice.page.routeWebSocket(/\/v1\/ws$/, (socket) => {
      const beyond = socket.connectToServer();
      socket.onMessage((message) => {
        // One frame, or several of one turn.
        const frames = [JSON.parse(String(message)) as Frame | Frame[]].flat();
        for (const frame of frames) {
          if (says === null || frame.t !== "send") beyond.send(JSON.stringify(frame));
          else socket.send(JSON.stringify({ t: "err", id: frame.id, retryable: true, ...says }));
        }
      });
    });
    await alice.page.reload();
    await alice.page.waitForSelector("[data-lamp=online]");
    await alice.say("before");
    await alice.sees("before");
    says = { code: "storage_full", message: "0 MiB are free", definite: true, retryAfterMs: 300 };
    await alice.say("while full");
    await alice.say("and this");
    const banner = alice.page.locator(".banner[data-wait=storage_full]");
    await banner.waitFor();
    expect(await banner.textContent()).toMatch(/The server's disk is full.*2 messages wait in the outbox/);
    const states = alice.page.locator(".row.pending .state[data-wait=storage_full]");
    await alice.page.waitForFunction(() => document.querySelectorAll(".row.pending [data-wait]").length === 2);
    expect(await states.first().textContent()).toContain("◷ waiting: there is no space left to keep it");
    await alice.page.click('button[aria-label="Switch to Chinese"]');
    expect(await banner.textContent()).toMatch(/服务器磁盘已满.*2 条消息等待/);
    expect(await states.first().textContent()).toContain("等待中：没有存储空间了");
    await alice.page.click('button[aria-label="切换到英文"]');
    says = null;
    await alice.settled();
    await banner.waitFor({ state: "detached" });
    expect((await alice.rows()).map(({ body }) => body)).toEqual(["before", "while full", "and this"]);
  });

  test("whatever else a server says that keeps messages waiting is on the page, with when it is tried again [needs chromium]", async () => {
    const waits = [
      { code: "overloaded", definite: true, words: /more to do than it can/ },
      { code: "unavailable", definite: false, words: /may be stopping/ },
      { code: "rate_limited", definite: true, words: /More is said than the server takes at once/ },
    ];
    for (const { words, ...what } of waits) {
      says = { ...what, message: "not now", retryAfterMs: 1_200 };
      await alice.say(`while ${what.code}`);
      const banner = alice.page.locator(`.banner[data-wait=${what.code}]`);
      await banner.waitFor();
      expect(await banner.textContent()).toMatch(words);
      expect(await banner.textContent()).toMatch(/1 message waits in the outbox.*(Next try in [1-3] s\.|Trying now\.)/);
      says = null;
      await alice.settled();
      await banner.waitFor({ state: "detached" });
    }
  });

  test("names that cannot be leave one notice, the newest, and a short one [needs chromium]", async () => {
    for (const name of ["a b", "c d", `${"x".repeat(120)} y`]) {
      await alice.page.evaluate((hash) => {
        location.hash = hash;
      }, encodeURIComponent(name));
    }
    await alice.page.waitForFunction(() => document.querySelector(".banner.notice")?.textContent?.includes("xxx"));
    expect(await alice.page.locator(".banner.notice").count()).toBe(1);
    const height = await alice.page.locator(".banner.notice").evaluate((one) => one.getBoundingClientRect().height);
    expect(height).toBeLessThan(80);
    expect((await alice.page.textContent(".banner.notice"))!.length).toBeLessThan(200);
  });
});
