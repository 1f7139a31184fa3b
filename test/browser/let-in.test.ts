import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";

describe.skipIf(!hasChromium)("who is let in, and for how long [needs chromium]", () => {
  const secret = "a secret that is long enough for HS256";
  const folder = mkdtempSync(join(tmpdir(), "synod-browser-token-"));
  let open: ChatServer;
  let closed: ChatServer;
  let browser: Browser;

  /** A token of alice, which ends when the server's clock has this second. */
  const tokenUntil = (seconds: number): Promise<string> =>
    new SignJWT({ sub: "alice", aud: "synod" })
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime(seconds)
      .sign(new TextEncoder().encode(secret));

  beforeAll(async () => {
    const secretFile = join(folder, "secret");
    writeFileSync(secretFile, secret);
    chmodSync(secretFile, 0o600);
    const words = ["--auth", "token", "--auth-algorithm", "HS256", "--auth-secret-file", secretFile];
    [open, closed, browser] = await Promise.all([ChatServer.start(), ChatServer.start(words), launchChromium()]);
  });

  afterAll(async () => {
    await browser?.close();
    await Promise.all([open?.stop(), closed?.stop()]);
    rmSync(folder, { recursive: true, force: true });
  });

  test("whoever is invited into a private room sees it appear, reads on in it, and sees it go [needs chromium]", async () => {
    const bob = await Person.enter(browser, { url: open.url, name: "bob" });
    await bob.page.waitForSelector('.sidebar [data-room="lobby"]');
    await bob.page.evaluate(() => {
      (window as unknown as { stays: string }).stays = "the same page";
    });
    await open.request("alice", "PUT", "rooms/den", { private: true });
    await open.request("alice", "POST", "rooms/den/messages", { body: "said before" });
    expect(await bob.page.locator('[data-room="den"]').count()).toBe(0);

    await open.request("alice", "PUT", "rooms/den/members/bob");
    await bob.page.waitForSelector('.sidebar [data-room="den"]');
    // What is said while he looks elsewhere is counted.
    await open.request("alice", "POST", "rooms/den/messages", { body: "welcome, bob" });
    await bob.page.waitForSelector('[data-room="den"] .unread');
    await bob.page.click('[data-room="den"]');
    expect(await bob.sees("said before")).toBe(1);
    expect(await bob.sees("welcome, bob")).toBe(2);
    await bob.say("thank you");
    expect(await bob.sees("thank you")).toBe(3);

    await open.request("alice", "DELETE", "rooms/den/members/bob");
    await bob.page.waitForSelector('[data-room="den"]', { state: "detached" });
    expect(await bob.page.evaluate(() => (window as unknown as { stays: string }).stays)).toBe("the same page");
    expect(bob.complaints).toEqual([]);
    await bob.close();
  });

  test("a token that runs out is asked for anew: the page stays where it is, with what was being written [needs chromium]", async () => {
    const context = await browser.newContext({ locale: "en-GB" });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const field = page.locator('.composer textarea[aria-label="Message #ops"]');
    // Before anybody was in, another form asks.
    await page.goto(closed.url);
    await page.fill("input[name=user]", "alice");
    await page.press("input[name=user]", "Enter");
    await page.waitForSelector("textarea[name=token]");
    await page.fill("textarea[name=token]", await tokenUntil(Math.floor(Date.now() / 1000) + 12));
    await page.click("button[type=submit]");
    await page.waitForSelector("[data-lamp=online]");
    await page.fill('input[aria-label="Join or create a room"]', "ops");
    await page.press('input[aria-label="Join or create a room"]', "Enter");
    await field.fill("said in time");
    await field.press("Enter");
    await page.waitForSelector('.row[data-seq="1"]');
    await field.fill("half a thou");
    await page.evaluate(() => {
      (window as unknown as { stays: string }).stays = "the same page";
    });

    await page.waitForSelector('[data-connection="unauthorized"]');
    expect(await page.textContent(".token-form [role=alert]")).toContain("Your token has run out");
    expect(await page.locator('.row[data-seq="1"]').count()).toBe(1);
    await field.press("Enter");
    await page.waitForSelector(".row.pending");

    await page.fill("input[name=token]", await tokenUntil(Math.floor(Date.now() / 1000) + 600));
    await page.click(".token-form button[type=submit]");
    await page.waitForSelector("[data-lamp=online]");
    await page.waitForSelector('.row[data-seq="2"]');
    expect(await page.textContent('.row[data-seq="2"] .body')).toBe("half a thou");
    expect(await page.locator(".banner").count()).toBe(0);
    expect(await page.evaluate(() => (window as unknown as { stays: string }).stays)).toBe("the same page");
    expect(new URL(page.url()).hash).toBe("#ops");
    await context.close();
  });
});
