import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, WebSocketRoute } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { filesUnder, root } from "../../scripts/repository.mjs";
import { connect } from "../../src/platform/node/connect.ts";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";
import { isSeenAsItIs, payloads } from "./payloads.ts";

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
    for (const payload of payloads.filter(isSeenAsItIs)) expect(shown).toContain(payload);
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

describe.skipIf(!hasChromium)("a server that gives out texts it should not [needs chromium]", () => {
  let server: ChatServer;
  let browser: Browser;
  let reader: Person;
  const asked: string[] = [];

  beforeAll(async () => {
    [server, browser] = await Promise.all([ChatServer.start(), launchChromium()]);
    reader = await Person.enter(browser, { url: server.url, name: "reader" });
    reader.page.on("request", (request) => asked.push(request.url()));
    await reader.page.routeWebSocket(/\/v1\/ws$/, hostileServer);
    await reader.page.reload();
    await reader.online();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  /** In what follows, message `n` of the lobby says the n-th payload, and its sender, its kind and whoever reacts are called so. */
  const count = payloads.length;
  const text = (at: number): string => payloads[at % count]!;

  let say: ((...frames: object[]) => void) | null = null;

  function hostileServer(page: WebSocketRoute): void {
    say = (...frames) => page.send(JSON.stringify(frames));
    page.onMessage((heard) => {
      for (const frame of [JSON.parse(String(heard))].flat() as { t: string; id: number; room: string }[]) {
        const answer = answerTo(frame);
        if (answer !== null) page.send(JSON.stringify({ id: frame.id, ...answer }));
      }
    });
  }

  const place = { line: "l1", first: 1, epoch: 1 };

  function answerTo({ t, room }: { t: string; room: string }): object | null {
    switch (t) {
      case "hello": {
        const limits = {
          bodyBytesMax: 65_536,
          frameBytesMax: 458_752,
          histItemsMax: 500,
          subsMax: 1_000,
          roomsMax: 1_000,
        };
        const node = text(0);
        const more = { session: "s", cluster: "c", topology: "solo", heartbeatMs: 25_000, servers: [] };
        return { t: "welcome", v: 1, user: "reader", node, ...more, limits: { ...limits, sendsInFlightMax: 1_024 } };
      }
      case "rooms": {
        const list = ["lobby", ...payloads, ...payloads.map((payload) => `@reader,${payload}`)];
        const head = 4 * count;
        const rooms = list.map((name) => {
          const read = name === "lobby" ? head : head - 5;
          return { room: name, line: "l1", first: 1, head, read, unread: head - read };
        });
        return { t: "ok", of: "rooms", rooms };
      }
      case "sub":
        return { t: "ok", of: "sub", room, ...place, head: 4 * count, node: text(1) };
      case "presence":
        return { t: "ok", of: "presence", room, users: payloads };
      case "hist": {
        const items = Array.from({ length: 4 * count }, (_, at) => {
          const [kind, ref] = [
            [text(at), undefined],
            ["react", at - count + 1],
            ["edit", at - 2 * count + 1],
            ["sys.text", undefined],
          ][Math.floor(at / count)] as [string, number | undefined];
          const message = {
            seq: at + 1,
            from: text(at),
            cid: `c${at}`,
            ts: 1_700_000_000_000,
            epoch: 1,
            body: text(at + 1),
          };
          return { ...message, kind, ...(ref === undefined ? {} : { ref }) };
        });
        return {
          t: "ok",
          of: "hist",
          room,
          line: "l1",
          first: 1,
          head: items.length,
          node: text(2),
          more: false,
          items,
        };
      }
      case "ping":
        return { t: "pong" };
      case "typing":
        return null;
      default:
        // What is not answered would end the link after a while.
        return { t: "ok", of: "done" };
    }
  }

  /** What is on the page: elements and attributes of each row, without what a text may hold; and whatever should not be. */
  const seen = () =>
    reader.page.evaluate(() => {
      const outline = (element: Element): string => {
        const names = element.getAttributeNames().toSorted().join(" ");
        const within = element.classList.contains("body") ? [] : [...element.children].map(outline);
        return `${element.localName}[${names}](${within.join("")})`;
      };
      const handlers: string[] = [];
      const strange: string[] = [];
      for (const element of document.querySelectorAll("*")) {
        for (const { name, value } of element.attributes) {
          if (/^on|^style$|^src$|^srcdoc$|^action$|^formaction$|:/.test(name) && element.localName !== "script")
            handlers.push(`${element.localName} ${name}`);
          if (name === "href" && element.localName === "a" && !/^(https?:\/\/|#)/.test(value)) handlers.push(value);
        }
        for (const name in element) {
          if (name.startsWith("on") && (element as unknown as Record<string, unknown>)[name] !== null)
            handlers.push(name);
        }
        const isOurs =
          element.closest("head") !== null ||
          /^(html|body|noscript|div|main|nav|section|header|footer|article|p|h1|h2|ul|li|a|span|bdi|strong|small|time|button|form|input|textarea|details|summary)$/.test(
            element.localName,
          );
        if (!isOurs) strange.push(element.localName);
      }
      const rows = [...document.querySelectorAll(".log .row")];
      return {
        outlines: [...new Set(rows.map(outline))],
        inBodies: [
          ...new Set(
            rows.flatMap((row) =>
              [...row.querySelectorAll(".body *")].map(
                (one) => `${one.localName}[${one.getAttributeNames().join(" ")}]`,
              ),
            ),
          ),
        ].toSorted(),
        bodies: rows.map((row) => row.querySelector(".body")?.textContent ?? ""),
        count: document.querySelectorAll("*").length,
        handlers,
        strange,
        stolen: "stolen" in globalThis,
      };
    });

  test("two hundred of them as bodies, edits, reactions, names, kinds, reasons and readers make no element and no handler [needs chromium]", async () => {
    expect(count).toBeGreaterThanOrEqual(200);
    await reader.page.waitForFunction((rows) => document.querySelectorAll(".log .row").length === rows, 2 * count);
    const quiet = await seen();
    say!(
      ...payloads.flatMap((payload, at) => [
        { t: "read", room: "lobby", user: payload, seq: at + 1 },
        { t: "typing", room: "lobby", user: payload },
      ]),
    );
    await reader.page.waitForFunction(() => document.querySelectorAll(".readers").length > 100);
    const { outlines, inBodies, bodies, handlers, strange, stolen } = await seen();
    expect({ handlers, strange, stolen }).toEqual({ handlers: [], strange: [], stolen: false });
    // Names, kinds and texts are all that differs from row to row: with a reader or without, edited and answered, or plain.
    expect(outlines.length).toBeLessThanOrEqual(2 * quiet.outlines.length);
    expect(quiet.outlines.length).toBeLessThanOrEqual(2);
    expect(inBodies).toEqual(["a[href target rel]", "span[class dir]"]);
    // Text is there to the letter wherever nothing in it is invisible.
    const plain = payloads.filter(isSeenAsItIs);
    expect(plain.length).toBeGreaterThan(170);
    expect(plain.filter((one) => !bodies.includes(one))).toEqual([]);
  });

  test("as reasons of holes, words of errors, and rooms in the address [needs chromium]", async () => {
    const from = 4 * count + 1;
    say!(...payloads.map((reason, at) => ({ t: "gap", room: "lobby", from: from + at, to: from + at, reason })));
    await reader.page.waitForFunction((gaps) => document.querySelectorAll(".gap.line").length === gaps, count);
    for (let at = 0; at < count; at += 3) {
      const words = [at, at + 1, at + 2].map((one) => ({ code: text(one), message: `${one} ${text(one)}` }));
      say!(...words.map((one) => ({ t: "err", ...one, definite: true, retryable: false })));
      await reader.page.waitForFunction(
        (number) => document.querySelector(".banner.notice:last-of-type bdi")?.textContent?.startsWith(`${number} `),
        at + 2,
      );
      expect(await reader.page.locator(".banner.notice *:not(span,bdi,button)").count()).toBe(0);
    }
    await reader.page.evaluate(async (all) => {
      for (const payload of all) {
        const changed = new Promise((resolve) => {
          addEventListener("hashchange", resolve, { once: true });
        });
        location.hash = `#${encodeURIComponent(payload)}`;
        await changed;
      }
    }, payloads);
    const { handlers, strange, stolen } = await seen();
    expect({ handlers, strange, stolen }).toEqual({ handlers: [], strange: [], stolen: false });
  });

  test("nothing was asked of anybody else, no dialog was opened, and the policy had nothing to stop [needs chromium]", () => {
    expect(asked.filter((url) => !url.startsWith(server.url) && !url.startsWith("ws://127.0.0.1"))).toEqual([]);
    expect(reader.complaints).toEqual([]);
  });
});
