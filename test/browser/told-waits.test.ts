import { describe, expect, test } from "vitest";
import { hasChromium } from "./chromium.ts";
import { onePerson } from "./one-person.ts";

interface Frame {
  readonly t: string;
  readonly id: number;
}

describe.skipIf(!hasChromium)("what a server says is on the page [needs chromium]", () => {
  const stage = onePerson("alice");

  /** What the server says to every message from now on; null: what it really says. */
  let says: Readonly<Record<string, unknown>> | null = null;

  test("a full disk: a banner and each message say why they wait, in both languages, until they are stored [needs chromium]", async () => {
    await stage.person.page.routeWebSocket(/\/v1\/ws$/, (socket) => {
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
    await stage.person.page.reload();
    await stage.person.page.waitForSelector("[data-lamp=online]");
    await stage.person.say("before");
    await stage.person.sees("before");
    says = { code: "storage_full", message: "0 MiB are free", definite: true, retryAfterMs: 300 };
    await stage.person.say("while full");
    await stage.person.say("and this");
    const banner = stage.person.page.locator(".banner[data-wait=storage_full]");
    await banner.waitFor();
    expect(await banner.textContent()).toMatch(/The server's disk is full.*2 messages wait in the outbox/);
    const states = stage.person.page.locator(".row.pending .state[data-wait=storage_full]");
    await stage.person.page.waitForFunction(() => document.querySelectorAll(".row.pending [data-wait]").length === 2);
    expect(await states.first().textContent()).toContain("◷ waiting: there is no space left to keep it");
    await stage.person.page.click('button[aria-label="Switch to Chinese"]');
    expect(await banner.textContent()).toMatch(/服务器磁盘已满.*2 条消息等待/);
    expect(await states.first().textContent()).toContain("等待中：没有存储空间了");
    await stage.person.page.click('button[aria-label="切换到英文"]');
    says = null;
    await stage.person.settled();
    await banner.waitFor({ state: "detached" });
    expect((await stage.person.rows()).map(({ body }) => body)).toEqual(["before", "while full", "and this"]);
  });

  test("whatever else a server says that keeps messages waiting is on the page, with when it is tried again [needs chromium]", async () => {
    const waits = [
      { code: "overloaded", definite: true, words: /more to do than it can/ },
      { code: "unavailable", definite: false, words: /may be stopping/ },
      { code: "rate_limited", definite: true, words: /More is said than the server takes at once/ },
    ];
    for (const { words, ...what } of waits) {
      says = { ...what, message: "not now", retryAfterMs: 1_200 };
      await stage.person.say(`while ${what.code}`);
      const banner = stage.person.page.locator(`.banner[data-wait=${what.code}]`);
      await banner.waitFor();
      expect(await banner.textContent()).toMatch(words);
      expect(await banner.textContent()).toMatch(/1 message waits in the outbox.*(Next try in [1-3] s\.|Trying now\.)/);
      says = null;
      await stage.person.settled();
      await banner.waitFor({ state: "detached" });
    }
  });

  test("names that cannot be leave one notice, the newest, and a short one [needs chromium]", async () => {
    for (const name of ["a b", "c d", `${"x".repeat(120)} y`]) {
      await stage.person.page.evaluate((hash) => {
        location.hash = hash;
      }, encodeURIComponent(name));
    }
    await stage.person.page.waitForFunction(() =>
      document.querySelector(".banner.notice")?.textContent?.includes("xxx"),
    );
    expect(await stage.person.page.locator(".banner.notice").count()).toBe(1);
    const height = await stage.person.page
      .locator(".banner.notice")
      .evaluate((one) => one.getBoundingClientRect().height);
    expect(height).toBeLessThan(80);
    expect((await stage.person.page.textContent(".banner.notice"))!.length).toBeLessThan(200);
  });
});
