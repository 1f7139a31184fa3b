import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { filesUnder, root } from "../../scripts/repository.mjs";
import { connect } from "../../src/platform/node/connect.ts";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";
import { payloads } from "./payloads.ts";

test("no source of the page makes markup or code of text", () => {
  const forbidden =
    /\binnerHTML\b|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function|srcdoc/;
  const sources = filesUnder("src/apps/web").filter((file) => /\.(tsx?|html)$/.test(file));
  expect(sources.length).toBeGreaterThan(10);
  expect(sources.filter((file) => forbidden.test(readFileSync(join(root, file), "utf8")))).toEqual([]);
  const page = readFileSync(join(root, "src/apps/web/index.html"), "utf8");
  // The policy would stop them; here it is said where it is written.
  expect(page).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/i);
});

/** What may be in the text of a message, and every attribute that may be anywhere on the page. */
const bodyElements = new Set(["A", "SPAN"]);

describe.skipIf(!hasChromium)("texts of strangers stay text [needs chromium]", () => {
  let server: ChatServer;
  let browser: Browser;
  let reader: Person;

  beforeAll(async () => {
    [server, browser] = await Promise.all([ChatServer.start(), launchChromium()]);
    reader = await Person.enter(browser, { url: server.url, name: "reader" });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** What is on the page that our own code never puts there. */
  const intruders = (): Promise<string[]> =>
    reader.page.evaluate((allowed) => {
      const found: string[] = [];
      for (const element of document.querySelectorAll("*")) {
        const name = element.tagName;
        if (!allowed.elements.includes(name.toUpperCase())) found.push(`<${name}>`);
        for (const { name: attribute, value } of element.attributes) {
          if (attribute.startsWith("on") || attribute === "style" || attribute === "srcdoc")
            found.push(`${name} ${attribute}`);
          if (attribute === "href" && name === "A" && !/^(https?:\/\/|#)/.test(value)) found.push(`href ${value}`);
        }
      }
      if ("stolen" in globalThis) found.push("a script ran");
      return found;
    }, allowedElements);

  const allowedElements = {
    elements: [
      ..."HTML HEAD META TITLE LINK SCRIPT BODY NOSCRIPT DIV MAIN HEADER FOOTER SECTION NAV ARTICLE P H1 H2 UL LI A SPAN".split(
        " ",
      ),
      ..."BDI STRONG SMALL TIME BUTTON FORM INPUT TEXTAREA LABEL DETAILS SUMMARY".split(" "),
    ],
  };

  test("in messages, edits, reactions and kinds [needs chromium]", async () => {
    expect(payloads.length).toBeGreaterThanOrEqual(60);
    const mallory = connect(server.tcpUrl, { user: "mallory" });
    const lobby = mallory.room("lobby");
    for (const payload of payloads) lobby.send(payload);
    const { seq } = await lobby.send("innocent");
    lobby.send(payloads[0]!, { kind: "react", ref: seq! });
    lobby.send(payloads[1]!, { kind: "<img onerror=1>" });
    await lobby.send(payloads[2]!, { kind: "edit", ref: seq! });
    await mallory.close();
    await reader.sees(payloads[2]!);
    // The last rows are enough to see that all are there; the first ones are further up.
    const bodies = await reader.page.$$eval(".log .row .body", (all) =>
      all.map((body) => ({
        shown: body.textContent,
        elements: [...body.querySelectorAll("*")].map((element) => element.tagName),
        handlers: [...body.querySelectorAll("*")].flatMap((element) =>
          element.getAttributeNames().filter((name) => !["href", "target", "rel", "class", "dir"].includes(name)),
        ),
      })),
    );
    const shown = bodies.map((body) => body.shown);
    // Text is there to the letter wherever nothing in it is invisible.
    for (const payload of payloads.filter((one) => !/[\p{Cc}\p{Cf}]/u.test(one))) expect(shown).toContain(payload);
    for (const { elements, handlers } of bodies) {
      expect(elements.filter((name) => !bodyElements.has(name))).toEqual([]);
      expect(handlers).toEqual([]);
    }
    expect(await intruders()).toEqual([]);
  });

  test("an invisible character is seen, and turns nothing around [needs chromium]", async () => {
    await reader.say("a\u202egpj.exe\u0007\u200b");
    await reader.sees("aU+202Egpj.exe␇U+200B");
    const marks = await reader.page.$$eval(".row .mark", (all) => all.map((mark) => mark.textContent));
    expect(marks.slice(-3)).toEqual(["U+202E", "␇", "U+200B"]);
  });

  test("links lead only where they say, and tell nothing of where they come from [needs chromium]", async () => {
    await reader.say("see https://example.org/a?b=c#d. and javascript:alert(1) and http://user@evil.example/");
    await reader.sees("see https://example.org/a?b=c#d. and javascript:alert(1) and http://user@evil.example/");
    const links = await reader.page.$$eval(".log .row:last-of-type .body a", (all) =>
      all.map((link) => [link.getAttribute("href"), link.getAttribute("rel"), link.textContent]),
    );
    expect(links).toEqual([
      ["https://example.org/a?b=c#d", "noopener noreferrer nofollow", "https://example.org/a?b=c#d"],
    ]);
  });

  test("in names of rooms and people, in errors and in the address [needs chromium]", async () => {
    for (const payload of payloads.slice(0, 20)) {
      await reader.page.fill('input[aria-label="Join or create a room"]', payload.replaceAll("\n", " ").slice(0, 128));
      await reader.page.press('input[aria-label="Join or create a room"]', "Enter");
      await reader.page.fill('input[aria-label="Write to somebody"]', payload.replaceAll("\n", " ").slice(0, 60));
      await reader.page.press('input[aria-label="Write to somebody"]', "Enter");
      await reader.page.evaluate((hash) => {
        location.hash = hash;
      }, encodeURIComponent(payload));
    }
    // The address by itself, not encoded.
    await reader.page.evaluate(() => {
      location.hash = "<img src=x onerror=stolen=1>%E0%A4%A";
    });
    expect(await reader.page.locator(".banner.notice").count()).toBeGreaterThan(0);
    expect(await intruders()).toEqual([]);
  });

  test("a name that the grammar refuses is asked for again, and shown as text [needs chromium]", async () => {
    const page = await browser.newPage();
    await page.goto(server.url);
    await page.fill("input[name=user]", "<b>x</b>");
    await page.press("input[name=user]", "Enter");
    await page.waitForSelector(".refusal");
    expect(await page.locator("b").count()).toBe(0);
    await page.close();
  });

  test("no dialog was opened, and the policy had nothing to stop [needs chromium]", () => {
    expect(reader.complaints).toEqual([]);
  });
});
