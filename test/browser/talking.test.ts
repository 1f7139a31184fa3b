import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { root } from "../../scripts/repository.mjs";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";

describe.skipIf(!hasChromium)("two people on the page [needs chromium]", () => {
  let server: ChatServer;
  let browser: Browser;
  let alice: Person;
  let bob: Person;

  beforeAll(async () => {
    [server, browser] = await Promise.all([ChatServer.start(), launchChromium()]);
    [alice, bob] = await Promise.all([
      Person.enter(browser, { url: server.url, name: "alice" }),
      Person.enter(browser, { url: server.url, name: "bob" }),
    ]);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  test("the policy of the page is sent, and neither page broke it [needs chromium]", async () => {
    const response = await alice.page.request.get(server.url);
    const policy = response.headers()["content-security-policy"] ?? "";
    for (const rule of [
      "default-src 'self'",
      "script-src 'self'",
      "object-src 'none'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ])
      expect(policy).toContain(rule);
    expect(policy).not.toContain("unsafe");
    expect(alice.complaints).toEqual([]);
    expect(bob.complaints).toEqual([]);
  });

  test("what one says the other reads, at the same place, and its sender sees it stored [needs chromium]", async () => {
    await alice.say("hello bob");
    const place = await bob.sees("hello bob");
    expect(await alice.sees("hello bob")).toBe(place);
    await bob.say("hello alice");
    expect(await alice.sees("hello alice")).toBe(place + 1);
    const mine = (await alice.rows()).find((row) => row.body === "hello bob");
    expect(mine).toMatchObject({ state: "stored", from: "alice" });
    // Only its sender is told about the state.
    expect((await bob.rows()).find((row) => row.body === "hello bob")).toMatchObject({ state: null });
  });

  test("Shift+Enter makes a line, and lines stay lines [needs chromium]", async () => {
    const field = alice.page.locator(".composer textarea");
    await field.fill("first");
    await field.press("Shift+Enter");
    await field.pressSequentially("second");
    await field.press("Enter");
    await bob.sees("first\nsecond");
    expect(await field.inputValue()).toBe("");
  });

  test("what is joined of several characters is shown as it was written [needs chromium]", async () => {
    const written = "👨‍💻 dev 👩‍👩‍👧‍👦 می‌خواهم 🏴󠁧󠁢󠁥󠁮󠁧󠁿";
    await alice.say(written);
    await bob.sees(written);
    expect((await bob.rows()).map((row) => row.body)).toContain(written);
  });

  test("an edit, a reaction and a deletion show on their message, on both screens [needs chromium]", async () => {
    await alice.say("a mistkae");
    const seq = await bob.sees("a mistkae");
    const row = `.row[data-seq="${seq}"]`;

    await alice.page.hover(row);
    await alice.page.click(`${row} .tools button:has-text("Edit")`);
    await alice.page.waitForSelector(".editing");
    await alice.say("a mistake");
    expect(await bob.sees("a mistake")).toBe(seq);
    expect(await bob.page.textContent(`${row} .edited`)).toBe("edited");

    await bob.page.hover(row);
    await bob.page.click(`${row} .tools button[aria-label="React with 👍"]`);
    await alice.page.waitForSelector(`${row} .reaction`);
    expect(await alice.page.textContent(`${row} .reaction`)).toBe("👍 1");
    // Once more takes it back.
    await bob.page.click(`${row} .reaction`);
    await alice.page.waitForSelector(`${row} .reaction`, { state: "detached" });

    await alice.page.hover(row);
    await alice.page.click(`${row} .tools button:has-text("Delete")`);
    await bob.page.waitForSelector(`${row} .body.gone`);
    expect(await bob.page.textContent(`${row} .body`)).toBe("deleted");
    // Changes are no rows: nobody sees a message that is not one.
    expect((await bob.rows()).some((one) => one.body === "" || one.body === "👍")).toBe(false);
  });

  test("everything can be done without a mouse [needs chromium]", async () => {
    await alice.say("for the keyboard");
    const seq = await bob.sees("for the keyboard");
    await bob.page.focus(".log");
    await bob.page.keyboard.press("ArrowUp");
    await bob.page.keyboard.press("Tab");
    expect(await bob.page.evaluate(() => document.activeElement?.getAttribute("aria-label"))).toBe("React with 👍");
    await bob.page.keyboard.press("Enter");
    await alice.page.waitForSelector(`.row[data-seq="${seq}"] .reaction`);
    // And on to where one writes: no more than what is visible lies between.
    await bob.page.focus(".log");
    for (let stop = 0; stop < 12; stop++) {
      if (await bob.page.evaluate(() => document.activeElement?.tagName === "TEXTAREA")) break;
      await bob.page.keyboard.press("Tab");
    }
    expect(await bob.page.evaluate(() => document.activeElement?.tagName)).toBe("TEXTAREA");
  });

  test("on a very narrow screen everything on the page can be reached [needs chromium]", async () => {
    const options = { viewport: { width: 180, height: 500 } };
    const carol = await Person.enter(browser, { url: server.url, name: "carol-of-the-long-name", options });
    await carol.page.waitForSelector('.room-head button:has-text("Leave")');
    for (const width of [180, 240, 260, 320]) {
      await carol.page.setViewportSize({ width, height: 500 });
      const beyond = await carol.page.evaluate(() =>
        [...document.querySelectorAll<HTMLElement>(".top button, .room-head button, .composer button")]
          .filter((button) => button.getBoundingClientRect().right > innerWidth || button.offsetWidth === 0)
          .map((button) => button.textContent),
      );
      expect(beyond, `${width} pixels`).toEqual([]);
      expect(await carol.page.evaluate(() => document.querySelector(".page")!.scrollWidth)).toBe(width);
    }
    await carol.close();
  });

  test("all of the page is smaller than 60 KB [needs chromium]", () => {
    const folder = join(root, "dist/web");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".gz"));
    expect(files.length).toBeGreaterThanOrEqual(3);
    expect(files.reduce((sum, file) => sum + statSync(join(folder, file)).size, 0)).toBeLessThan(60_000);
  });

  test("nobody can be made to edit what is not theirs [needs chromium]", async () => {
    await alice.say("alice's own");
    const seq = await bob.sees("alice's own");
    const tools = await bob.page.$$eval(`.row[data-seq="${seq}"] .tools button`, (all) =>
      all.map((one) => one.textContent),
    );
    expect(tools).toEqual(["👍"]);
  });

  test("who is here and who is typing [needs chromium]", async () => {
    await alice.page.waitForFunction(() => document.querySelector(".here summary")?.textContent === "2 here now");
    await alice.page.click(".here summary");
    expect(await alice.page.$$eval(".here li", (all) => all.map((one) => one.textContent))).toEqual(["alice", "bob"]);
    // Told at most every two seconds, so it takes somebody who goes on.
    const typing = bob.page.locator(".composer textarea").pressSequentially("something", { delay: 400 });
    await alice.page.waitForFunction(() => document.querySelector(".typing")?.textContent === "bob is typing…");
    await typing;
    await bob.page.fill(".composer textarea", "");
  });

  test("a room of one's own, joined by name; what is not read is counted, and read when it is opened [needs chromium]", async () => {
    await alice.page.fill('input[aria-label="Join or create a room"]', "ops");
    await alice.page.press('input[aria-label="Join or create a room"]', "Enter");
    await alice.page.waitForSelector('.composer textarea[aria-label="Message #ops"]');
    await bob.page.fill('input[aria-label="Join or create a room"]', "ops");
    await bob.page.press('input[aria-label="Join or create a room"]', "Enter");
    await bob.page.waitForSelector('.composer textarea[aria-label="Message #ops"]');
    await bob.open("lobby");

    await alice.say("one");
    await alice.say("two");
    await bob.page.waitForFunction(() => document.querySelector('[data-room="ops"] .unread')?.textContent === "2");
    await bob.page.waitForFunction(() => document.title === "(2) #lobby · Synod");
    await bob.open("ops");
    await bob.sees("two");
    await bob.page.waitForSelector('[data-room="ops"] .unread', { state: "detached" });
    // And alice learns that it was read.
    await alice.page.waitForFunction(() => document.querySelector(".readers")?.textContent === "read by bob");

    await alice.page.click('.room-head button:has-text("Leave")');
    await alice.page.waitForSelector('[data-room="ops"]', { state: "detached" });
    await Promise.all([alice.open("lobby"), bob.open("lobby")]);
  });

  test("what one says oneself elsewhere is not unread, before the page came and after [needs chromium]", async () => {
    const say = (user: string, body: string): Promise<void> =>
      server.request(user, "POST", "rooms/desk/messages", { body });
    await server.request("alice", "PUT", "rooms/desk");
    await say("alice", "mine, from before");
    await say("bob", "yours, from before");
    await alice.page.reload();
    await alice.online();
    const unread = (count: string): Promise<unknown> =>
      alice.page.waitForFunction(
        (wanted) => document.querySelector('[data-room="desk"] .unread')?.textContent === wanted,
        count,
      );
    await unread("1");
    for (const body of ["mine 1", "mine 2"]) await say("alice", body);
    await say("bob", "yours");
    await say("alice", "mine 3");
    // What comes behind all that has come when this has.
    await bob.say("the desk is full");
    await alice.sees("the desk is full");
    await unread("2");
    await alice.open("desk");
    await alice.sees("mine 3");
    await alice.page.waitForSelector('[data-room="desk"] .unread', { state: "detached" });
    await alice.open("lobby");
    await say("alice", "mine 4");
    await bob.say("and fuller");
    await alice.sees("and fuller");
    expect(await alice.page.locator('[data-room="desk"] .unread').count()).toBe(0);
  });

  test("nobody is named as reader of what they wrote themselves [needs chromium]", async () => {
    for (const person of [alice, bob]) {
      await person.page.fill('input[aria-label="Join or create a room"]', "quiz");
      await person.page.press('input[aria-label="Join or create a room"]', "Enter");
      await person.page.waitForSelector('.composer textarea[aria-label="Message #quiz"]');
    }
    await alice.say("a question");
    await bob.sees("a question");
    await bob.say("an answer");
    await bob.say("and why");
    await alice.sees("and why");
    // Bob has read everything, his own words too: it is told where somebody else wrote.
    const readers = (): Promise<unknown> =>
      alice.page.$$eval(".row[data-seq]", (rows) =>
        rows.map((row) => [
          row.querySelector(".body")?.textContent,
          row.querySelector(".readers")?.textContent ?? null,
        ]),
      );
    await server.request("bob", "PUT", "rooms/quiz/read", { seq: 3 });
    await alice.page.waitForFunction(() => document.querySelector(".readers") !== null);
    await server.request("carol", "PUT", "rooms/quiz");
    await server.request("carol", "PUT", "rooms/quiz/read", { seq: 2 });
    await alice.page.waitForFunction(() => document.querySelectorAll(".readers").length === 2);
    expect(await readers()).toEqual([
      ["a question", "read by bob"],
      ["an answer", "read by carol"],
      ["and why", null],
    ]);
    await Promise.all([alice.open("lobby"), bob.open("lobby")]);
  });

  test("a direct message arrives by itself, and is counted until it is read [needs chromium]", async () => {
    await alice.page.fill('input[aria-label="Write to somebody"]', "bob");
    await alice.page.press('input[aria-label="Write to somebody"]', "Enter");
    await alice.page.waitForSelector('.composer textarea[aria-label="Message @bob"]');
    await alice.say("psst");
    await alice.sees("psst");
    await bob.page.waitForFunction(
      () => document.querySelector('[data-room="@alice,bob"] .unread')?.textContent === "1",
    );
    await bob.page.click('[data-room="@alice,bob"]');
    await bob.sees("psst");
    await bob.say("yes?");
    await alice.sees("yes?");
    await bob.page.waitForSelector('[data-room="@alice,bob"] .unread', { state: "detached" });
    await Promise.all([alice.open("lobby"), bob.open("lobby")]);
  });

  test("a direct message to somebody who has never been here waits for them [needs chromium]", async () => {
    await alice.open("@carol");
    await alice.say("welcome, carol");
    await alice.sees("welcome, carol");
    const carol = await Person.enter(browser, { url: server.url, name: "carol" });
    await carol.page.waitForSelector('[data-room="@alice,carol"] .unread');
    await carol.page.click('[data-room="@alice,carol"]');
    await carol.sees("welcome, carol");
    await carol.close();
    await alice.open("lobby");
  });

  test("what the server refuses is said with its reason, and can be sent again or taken away [needs chromium]", async () => {
    const tooLong = "x".repeat(70_000);
    await alice.page.fill(".composer textarea", tooLong);
    await alice.page.press(".composer textarea", "Enter");
    await alice.page.waitForSelector('.row.pending [data-state="refused"]');
    expect(await alice.page.textContent('.row.pending [data-state="refused"]')).toContain("not sent: it is too long");
    await alice.page.click('.row.pending button:has-text("Retry")');
    await alice.page.waitForSelector('.row.pending [data-state="refused"]');
    expect((await alice.rows()).filter((row) => row.state === "refused")).toHaveLength(1);
    await alice.page.click('.row.pending button:has-text("Remove")');
    await alice.settled();
    // What is too long for the server never reached anybody.
    expect((await bob.rows()).some((row) => row.body === tooLong)).toBe(false);
  });

  test("whoever comes for the first time belongs to the lobby [needs chromium]", async () => {
    const dave = await Person.enter(browser, { url: server.url, name: "dave" });
    await dave.page.waitForSelector('.sidebar [data-room="lobby"]');
    expect(await dave.page.locator('.room .banner button:has-text("Join")').count()).toBe(0);
    // The name is remembered.
    await dave.page.reload();
    await dave.online();
    expect(await dave.page.textContent(".me")).toBe("dave");
    // Until it is not wanted any more.
    await dave.page.click('.top button:has-text("Sign out")');
    await dave.page.waitForSelector("input[name=user]");
    expect(await dave.page.inputValue("input[name=user]")).toBe("");
    await dave.close();
  });

  test("a server that wants a token is given one, and gets it again after a reload [needs chromium]", async () => {
    const context = await browser.newContext({ locale: "en-GB" });
    const page = await context.newPage();
    const greetings: { user: string; token?: string }[] = [];
    // The real server asks nobody for a token here; what stands before it does.
    await page.routeWebSocket(/\/v1\/ws$/, (socket) => {
      const behind = socket.connectToServer();
      socket.onMessage((text) => {
        const frame = JSON.parse(String(text)) as { t: string; user: string; token?: string };
        if (frame.t === "hello") greetings.push(frame);
        if (frame.t !== "hello" || frame.token === "a.good.token") {
          behind.send(text);
          return;
        }
        const refusal = {
          t: "err",
          code: "unauthorized",
          message: "a token is needed",
          definite: true,
          retryable: false,
        };
        socket.send(JSON.stringify(refusal));
        socket.close({ code: 4401, reason: "unauthorized" }).catch((error: unknown) => {
          throw error;
        });
      });
    });
    await page.goto(server.url);
    expect(await page.locator("textarea[name=token]").count()).toBe(0);
    await page.fill("input[name=user]", "erin");
    await page.press("input[name=user]", "Enter");
    await page.waitForSelector("textarea[name=token]");
    expect(await page.textContent(".refusal")).toBe("the name or token is not accepted");
    await page.fill("textarea[name=token]", "a.good.token");
    await page.click("button[type=submit]");
    await page.waitForSelector("[data-lamp=online]");
    expect(greetings.at(-1)).toMatchObject({ user: "erin", token: "a.good.token" });
    await page.reload();
    await page.waitForSelector("[data-lamp=online]");
    // Kept in this tab only, and never in an address.
    expect(page.url()).not.toContain("token");
    expect(await page.evaluate(() => Object.keys(localStorage).filter((key) => /token/.test(key)))).toEqual([]);
    await context.close();
  });

  test("the page speaks Chinese to who prefers it, and to who asks [needs chromium]", async () => {
    const li = await Person.enter(browser, { url: server.url, name: "李雷", options: { locale: "zh-CN" } });
    expect(await li.page.getAttribute("html", "lang")).toBe("zh-CN");
    await li.say("选举完成了吗？");
    await alice.sees("选举完成了吗？");
    expect(await li.page.textContent(".sidebar h2")).toBe("房间");
    await li.page.click('button[aria-label="切换到英文"]');
    expect(await li.page.textContent(".sidebar h2")).toBe("Rooms");
    await li.close();
  });

  test("what is not kept any more leaves a line with its numbers [needs chromium]", async () => {
    const first = (await alice.rows()).at(-1)!.seq!;
    await server.operate("lobby", "trim", { first });
    const late = await Person.enter(browser, { url: server.url, name: "late" });
    await late.page.waitForSelector(".gap.line");
    const words = `${first - 1} messages were removed and are not kept any more #1–#${first - 1}`;
    expect(await late.page.textContent(".gap.line")).toBe(words);
    expect((await late.rows())[0]?.seq).toBe(first);
    await late.close();
  });

  test("nobody's browser complained [needs chromium]", () => {
    expect(alice.complaints).toEqual([]);
    expect(bob.complaints).toEqual([]);
  });
});
