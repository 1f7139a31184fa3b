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

  test("a full disk: a banner and each message say why they wait, in both languages, until they are stored [needs chromium]", async () => {
    let isFull = false;
    await alice.page.routeWebSocket(/\/v1\/ws$/, (socket) => {
      const beyond = socket.connectToServer();
      socket.onMessage((message) => {
        // One frame, or several of one turn.
        const frames = [JSON.parse(String(message)) as Frame | Frame[]].flat();
        const says = { code: "storage_full", message: "0 MiB are free", definite: true, retryable: true };
        for (const frame of frames) {
          if (!isFull || frame.t !== "send") beyond.send(JSON.stringify(frame));
          else socket.send(JSON.stringify({ t: "err", id: frame.id, ...says, retryAfterMs: 300 }));
        }
      });
    });
    await alice.page.reload();
    await alice.page.waitForSelector("[data-lamp=online]");
    await alice.say("before");
    await alice.sees("before");
    isFull = true;
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
    isFull = false;
    await alice.settled();
    await banner.waitFor({ state: "detached" });
    expect((await alice.rows()).map(({ body }) => body)).toEqual(["before", "while full", "and this"]);
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
