import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";

const numbered = (name: string, from: number, count: number): string[] =>
  Array.from({ length: count }, (_, place) => `${name} ${from + place}`);

describe.skipIf(!hasChromium)("a server that is killed while people talk [needs chromium]", () => {
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

  const say = async (person: Person, texts: readonly string[]): Promise<void> => {
    for (const text of texts) await person.say(text);
  };

  test("nothing is lost, doubled or out of place on either screen, and the banner tells the truth [needs chromium]", async () => {
    // The kill comes while both are sending; what they say afterwards waits.
    const talking = Promise.all([say(alice, numbered("alice", 1, 30)), say(bob, numbered("bob", 1, 30))]);
    await alice.sees("alice 5");
    await server.kill();
    await talking;
    for (const person of [alice, bob]) {
      await person.page.waitForSelector(".banner[data-connection=offline]");
      await person.page.waitForSelector("[data-lamp=offline]");
    }
    // Both are looked at in one go: the number in the banner is that of the messages shown as waiting.
    const { words, waiting, wrong } = await alice.page.evaluate(() => ({
      words: document.querySelector(".banner")?.textContent ?? "",
      waiting: document.querySelectorAll(".row.pending [data-state=queued], .row.pending [data-state=sending]").length,
      wrong: document.querySelectorAll("[data-state=refused], [data-state=unknown]").length,
    }));
    expect(wrong).toBe(0);
    expect(waiting).toBeGreaterThan(0);
    expect(words).toContain(waiting === 1 ? "1 message waits" : `${waiting} messages wait in the outbox`);
    // What is not stored is not shown as stored: every place on the screen was given by the server, in order.
    const before = (await alice.rows()).filter((row) => row.seq !== null);
    expect(before.map((row) => row.seq)).toEqual(before.map((_, place) => place + 1));

    await server.start();
    await Promise.all([alice.reconnected(), bob.reconnected()]);
    await Promise.all([alice.settled(), bob.settled()]);
    await alice.page.waitForSelector(".banner", { state: "detached" });

    await Promise.all([alice.say("alice is done"), bob.sees("alice is done")]);
    const [hers, his] = await Promise.all([alice.rows(), bob.rows()]);
    const shown = hers.map(({ seq, body }) => `${seq} ${body}`);
    expect(his.map(({ seq, body }) => `${seq} ${body}`)).toEqual(shown);
    expect(hers.map((row) => row.seq)).toEqual(hers.map((_, place) => place + 1));
    const said = hers.map((row) => row.body);
    expect(said.filter((body) => /^alice \d/.test(body))).toEqual(numbered("alice", 1, 30));
    expect(said.filter((body) => /^bob \d/.test(body))).toEqual(numbered("bob", 1, 30));
    // What stood on the screen before the kill stands there still, at its place.
    for (const { seq, body } of before) expect(hers[seq! - 1]).toMatchObject({ seq, body });
  });

  test("what was written without a server survives the page, and is stored once and in order when there is one again [needs chromium]", async () => {
    await server.kill();
    await alice.page.waitForSelector(".banner[data-connection=offline]");
    await say(alice, numbered("later", 1, 5));
    await alice.page.waitForFunction(() => document.querySelectorAll(".row.pending").length === 5);
    // Kept on the device before the page goes.
    await alice.page.waitForFunction(
      () =>
        new Promise<boolean>((resolve) => {
          const opening = indexedDB.open("synod-outbox");
          opening.onsuccess = () => {
            const counting = opening.result.transaction("sends").objectStore("sends").count();
            counting.onsuccess = () => {
              opening.result.close();
              resolve(counting.result === 5);
            };
          };
        }),
    );
    await alice.page.close();
    await server.start();
    await alice.comeBack();
    await alice.sees("later 5");
    await alice.settled();
    await bob.reconnected();
    await bob.sees("later 5");
    const bodies = (await bob.rows()).map((row) => row.body);
    expect(bodies.filter((body) => body.startsWith("later"))).toEqual(numbered("later", 1, 5));
    // And once more: what has been stored does not come back.
    await alice.page.reload();
    await alice.sees("later 5");
    expect((await alice.rows()).filter((row) => row.body.startsWith("later"))).toHaveLength(5);
  });

  test("a page that is loaded again while it has no link shows what waits, and a second tab does not take it [needs chromium]", async () => {
    // HTTP goes on, so the page loads; the link does not.
    const page = await alice.context.newPage();
    let reachable = false;
    await page.routeWebSocket(/\/v1\/ws$/, async (socket) => {
      if (reachable) socket.connectToServer();
      else await socket.close({ code: 1013, reason: "not now" });
    });
    await alice.page.close();
    await page.goto(`${server.url}#lobby`);
    alice.page = page;
    await page.waitForSelector(".banner[data-connection=offline]");
    await say(alice, numbered("kept", 1, 3));
    await page.waitForFunction(() => document.querySelectorAll(".row.pending").length === 3);
    await page.reload();
    await page.waitForFunction(() => document.querySelectorAll(".row.pending").length === 3);
    const rows = await alice.rows();
    expect(rows.map(({ body, state }) => [body, state])).toEqual(
      numbered("kept", 1, 3).map((body) => [body, "queued"]),
    );

    const second = await alice.context.newPage();
    await second.goto(`${server.url}#lobby`);
    await second.waitForSelector("[data-lamp=online]");
    await second.waitForSelector(".row[data-seq]");
    expect(await second.locator(".row.pending").count()).toBe(0);

    reachable = true;
    await alice.reconnected();
    await alice.settled();
    await bob.sees("kept 3");
    const bodies = (await bob.rows()).map((row) => row.body);
    expect(bodies.filter((body) => body.startsWith("kept"))).toEqual(numbered("kept", 1, 3));
    await second.close();
  });

  test("who gives up is told the truth: not sent where it never left [needs chromium]", async () => {
    await server.kill();
    await bob.page.waitForSelector(".banner[data-connection=offline]");
    await bob.say("never mind");
    await bob.page.click('.row.pending button:has-text("Give up")');
    await bob.page.waitForSelector('.row.pending [data-state="refused"]');
    expect(await bob.page.textContent('.row.pending [data-state="refused"]')).toContain("given up, and not stored");
    // Failed messages do not wait: the banner does not count them.
    expect(await bob.page.textContent(".banner")).not.toContain("outbox");
    await server.start();
    await Promise.all([alice.reconnected(), bob.reconnected()]);
    await bob.page.click('.row.pending button:has-text("Retry")');
    await bob.settled();
    await alice.sees("never mind");
    expect((await alice.rows()).filter((row) => row.body === "never mind")).toHaveLength(1);
  });

  test("who gives up on what may have arrived is told that nobody knows [needs chromium]", async () => {
    const carol = await Person.enter(browser, { url: server.url, name: "carol" });
    // Her messages leave, and never arrive: the link swallows them.
    let swallows = true;
    await carol.page.routeWebSocket(/\/v1\/ws$/, (socket) => {
      const behind = socket.connectToServer();
      socket.onMessage((text) => {
        if (!swallows || !/"t":"send"/.test(String(text))) behind.send(text);
      });
    });
    await carol.page.reload();
    await carol.online();
    const before = (await alice.rows()).length;
    await carol.say("into the void");
    await carol.page.waitForSelector('.row.pending [data-state="sending"]');
    await carol.page.click('.row.pending button:has-text("Give up")');
    await carol.page.waitForSelector('.row.pending [data-state="unknown"]');
    // It may still be on its way, so what can be said is only up to where it is not.
    await carol.page.click('.row.pending button:has-text("Ask again")');
    await carol.page.waitForSelector('.row.pending [data-state="unknown"]:has-text("not stored up to #")');
    // Nor does the next link settle it: what the old one swallowed might be read late.
    swallows = false;
    await server.kill();
    await server.start();
    await Promise.all([alice.reconnected(), bob.reconnected(), carol.reconnected()]);
    await carol.page.click('.row.pending button:has-text("Ask again")');
    await carol.page.waitForSelector('.row.pending [data-state="unknown"]:has-text("not stored up to #")');
    expect((await alice.rows()).length).toBe(before);
    await carol.close();
  });

  test("what was refused stands there after a reload, until it is removed; what an earlier page left can be given up [needs chromium]", async () => {
    const dora = await Person.enter(browser, { url: server.url, name: "dora" });
    let reachable = true;
    await dora.page.routeWebSocket(/\/v1\/ws$/, async (socket) => {
      if (reachable) socket.connectToServer();
      else await socket.close({ code: 1013, reason: "not now" });
    });
    // Only what a page loaded after this opens goes by the route.
    await dora.page.reload();
    await dora.online();
    const long = `too long ${"x".repeat(70_000)}`;
    await dora.say(long);
    await dora.page.waitForSelector('.row.pending [data-state="refused"]:has-text("it is too long")');
    await server.kill();
    await dora.page.waitForSelector(".banner[data-connection=offline]");
    await dora.say("second thoughts");
    await dora.page.waitForFunction(() => document.querySelectorAll(".row.pending").length === 2);

    // The server comes again and so does the page, its link does not.
    reachable = false;
    await server.start();
    await dora.page.reload();
    await dora.page.waitForFunction(() => document.querySelectorAll(".row.pending").length === 2);
    const rows = await dora.rows();
    expect(rows.map(({ body, state }) => [body.slice(0, 15), state])).toEqual([
      [long.slice(0, 15), "refused"],
      ["second thoughts", "queued"],
    ]);
    await dora.page.click('.row.pending:has([data-state="queued"]) button:has-text("Give up")');
    await dora.page.waitForSelector('.row.pending [data-state="unknown"]');
    await dora.page.click('.row.pending:has([data-state="refused"]) button:has-text("Remove")');
    await dora.page.waitForFunction(() => document.querySelectorAll(".row.pending").length === 1);

    // In the next page too it is given up: asked about, and not sent.
    reachable = true;
    await dora.page.reload();
    await dora.online();
    await dora.page.click('.row.pending button:has-text("Ask again")');
    await dora.page.waitForSelector('.row.pending [data-state="unknown"]:has-text("not stored up to #")');
    // That proves nothing: it stays until it is taken away.
    await dora.page.reload();
    await dora.online();
    await dora.page.click('.row.pending:has([data-state="unknown"]) button:has-text("Remove")');
    await dora.page.waitForFunction(() => document.querySelectorAll(".row.pending").length === 0);
    await dora.page.reload();
    await dora.online();
    await dora.page.waitForSelector(".row[data-seq]");
    expect(await dora.page.locator(".row.pending").count()).toBe(0);
    expect((await dora.rows()).map((row) => row.body)).not.toContain("second thoughts");
    await dora.close();
    await Promise.all([alice.reconnected(), bob.reconnected()]);
  });

  test("another server at the same address: nothing of the old one is shown as if it were there [needs chromium]", async () => {
    await server.replace();
    await Promise.all([alice.reconnected(), bob.reconnected()]);
    await bob.say("a new beginning");
    await alice.sees("a new beginning");
    for (const person of [alice, bob]) {
      await person.settled();
      expect((await person.rows()).map(({ seq, body }) => `${seq} ${body}`)).toEqual(["1 a new beginning"]);
    }
  });
});
