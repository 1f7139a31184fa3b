import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { DemoProcess } from "../process/support/demo-process.ts";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium } from "./chromium.ts";

const withBrowser = test.skipIf(!hasChromium);
let demo: DemoProcess;
let browser: Browser;

beforeAll(async () => {
  if (!hasChromium) return;
  [demo, browser] = await Promise.all([DemoProcess.start(), launchChromium()]);
});

afterAll(async () => {
  await browser?.close();
  await demo?.dispose();
});

/** A page, and what the browser complained of. */
async function opened(url: string, locale = "en-GB"): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext({ locale, viewport: { width: 1280, height: 1000 } });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  return { page, complaints };
}

/** Clicks, and settles once the page shows what follows. */
async function clicked(page: Page, button: string): Promise<void> {
  await page.click(button);
  await page.evaluate(
    () =>
      new Promise((resolve) => {
        requestAnimationFrame(() => requestAnimationFrame(resolve));
      }),
  );
}

const leaderOn = (page: Page): Promise<string> =>
  page.locator("[data-leader]").getAttribute("data-leader").then(String);

withBrowser(
  "somebody kills the leader, watches the election, and stops and steps through it; nothing is lost",
  async () => {
    const { page, complaints } = await opened(demo.url);
    await page.waitForSelector('[data-leader^="n"]');
    await page.waitForSelector('[data-books="equal"]');
    const first = await leaderOn(page);
    await page.click(`[data-server=${first}] button:has-text("kill -9")`);
    await page.waitForSelector(`[data-server=${first}][data-role=down]`);
    await page.waitForSelector(`[data-leader^="n"]:not([data-leader="${first}"])`);
    const second = await leaderOn(page);

    // Time stands still on the page; a step back, and the other did not lead yet.
    await page.click('button:has-text("Pause")');
    await page.waitForSelector("[data-view=stopped]");
    const act = page.locator("[data-event='act.kill'] button");
    await act.click();
    await page.waitForSelector("li[aria-current=true][data-event='act.kill']");
    expect(await page.locator("li[aria-current=true]").textContent()).toContain(`You: kill -9 ${first}`);
    expect(await leaderOn(page)).toBe(first);
    for (let step = 0; step < 100 && (await leaderOn(page)) !== second; step++) {
      await clicked(page, 'button[aria-label="Step forward"]');
    }
    expect(await leaderOn(page)).toBe(second);
    expect(await page.locator("li[aria-current=true]").textContent()).toContain(`${second} is elected`);
    await clicked(page, 'button[aria-label="Step back"]');
    expect(await leaderOn(page)).not.toBe(second);
    await page.click('button:has-text("Live")');
    await page.waitForSelector("[data-view=live]");

    await page.click('button:has-text("Heal everything")');
    await page.waitForSelector(`[data-server=${first}][data-role=follower]`);
    await page.click(".talk li button >> nth=3");
    await page.waitForFunction(() => document.querySelectorAll(".trace tbody tr").length === 3);
    expect(await page.locator(".trace tbody").textContent()).toMatch(/\+0\.0 ms/);
    await page.waitForSelector('[data-books="equal"]');
    expect(await page.locator(".books").textContent()).toContain("lost 0 · twice 0 · out of order 0");
    expect(complaints).toEqual([]);
  },
);

withBrowser(
  "a server's own page shows the cluster as that server sees it, in Chinese too, and has no handles",
  async () => {
    const { adminPort } = JSON.parse(readFileSync(join(demo.folder, "n2", "ports.json"), "utf8")) as {
      adminPort: number;
    };
    const { page, complaints } = await opened(`http://127.0.0.1:${adminPort}/`, "zh-CN");
    await page.waitForSelector('[data-leader^="n"]');
    await page.waitForFunction(() => document.querySelectorAll(".card").length === 3);
    expect(await page.title()).toBe("集群 · Synod");
    expect(await page.locator(".card button, .links button").count()).toBe(0);
    await page.click("button[aria-label=切换到英文]");
    expect(await page.title()).toBe("Cluster · Synod");
    await page.fill("input[name=cid]", demo.said.at(-1)!.cid);
    await page.click("text=Find");
    await page.waitForFunction(() => document.querySelectorAll(".trace tbody tr").length === 1);
    expect(await page.locator(".trace tbody").textContent()).toMatch(/^n2/);
    await page.fill("input[name=cid]", "nobody-sent-this");
    await page.click("text=Find");
    await page.waitForSelector("text=not in its memory");
    expect(complaints).toEqual([]);
  },
);

withBrowser("where operators show a token, the page asks for it, and shows nothing without", async () => {
  const folder = mkdtempSync(join(tmpdir(), "synod-token-"));
  const token = "a-token-that-is-long-enough-for-an-operator";
  writeFileSync(join(folder, "token"), token, { mode: 0o600 });
  const server = await ChatServer.start(["--admin-token-file", join(folder, "token")]);
  try {
    const { adminPort } = JSON.parse(readFileSync(join(server.directory, "ports.json"), "utf8")) as {
      adminPort: number;
    };
    const { page } = await opened(`http://127.0.0.1:${adminPort}/`);
    await page.waitForSelector("input[name=token]");
    expect(await page.locator(".card").count()).toBe(0);
    await page.fill("input[name=token]", "another one");
    await page.click("text=Enter");
    await page.waitForSelector("input[name=token]");
    expect(await page.locator(".card").count()).toBe(0);
    await page.fill("input[name=token]", token);
    await page.click("text=Enter");
    // A server that is alone leads itself.
    await page.waitForSelector("[data-server=n1][data-role=leader]");
    expect(await page.locator("input[name=token]").count()).toBe(0);
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true });
  }
});
