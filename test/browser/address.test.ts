import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";

describe.skipIf(!hasChromium)("the address of the page says whom one writes to [needs chromium]", () => {
  let server: ChatServer;
  let browser: Browser;
  let ann: Person;

  beforeAll(async () => {
    [server, browser] = await Promise.all([ChatServer.start(), launchChromium()]);
    ann = await Person.enter(browser, { url: server.url, name: "ann" });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  const heading = (person: Person): Promise<string> => person.page.locator(".room-head h1").innerText();

  test("who comes by a link to a person, and belongs nowhere yet, writes to that person [needs chromium]", async () => {
    const newcomer = await Person.enter(browser, { url: server.url, name: "newcomer", place: "@ann" });
    // The list of rooms is there, so that whatever a newcomer is let into by itself has happened.
    await newcomer.page.waitForSelector('.composer textarea[aria-label="Message @ann"]');
    await newcomer.say("for ann alone");
    await ann.page.waitForSelector('.sidebar [data-room="@ann,newcomer"]');
    await ann.open("@newcomer");
    await ann.sees("for ann alone");
    expect(await heading(newcomer)).toBe("@ann");
    // Nobody is put into a room that was not asked for, and a reload shows the same place.
    await newcomer.page.reload();
    await newcomer.online();
    await newcomer.sees("for ann alone");
    expect(await heading(newcomer)).toBe("@ann");
    expect(await newcomer.page.locator('.sidebar [data-room="lobby"]').count()).toBe(0);
    await ann.open("lobby");
    expect((await ann.rows()).map(({ body }) => body)).not.toContain("for ann alone");
  });

  test("an address of what can be no room goes back to the one that is shown [needs chromium]", async () => {
    await ann.page.evaluate(() => {
      location.hash = `#${encodeURIComponent("no such/room\u0000")}`;
    });
    await ann.page.waitForSelector(".banner.notice");
    expect(new URL(ann.page.url()).hash).toBe("#lobby");
    expect(await heading(ann)).toBe("#lobby");
    expect(await ann.page.title()).toContain("#lobby");
  });

  test.each(["brand new?", "@bad name"])(
    "that there can be no %j is said until another room is shown [needs chromium]",
    async (place) => {
      await ann.open("lobby");
      await ann.page.evaluate((hash) => {
        location.hash = hash;
      }, encodeURIComponent(place));
      const notice = ann.page.locator(".banner.notice", { hasText: place.replace("@", "") });
      await notice.waitFor();
      expect(new URL(ann.page.url()).hash).toBe("#lobby");
      expect(await heading(ann)).toBe("#lobby");
      await ann.open("neverwas");
      await notice.waitFor({ state: "detached" });
    },
  );

  test("that there can be no room of the page's first address is said [needs chromium]", async () => {
    const lost = await Person.enter(browser, { url: server.url, name: "lost", place: "brand new?" });
    const notice = lost.page.locator(".banner.notice", { hasText: "brand new?" });
    await notice.waitFor();
    expect(await heading(lost)).toBe("#lobby");
    await lost.open("neverwas");
    await notice.waitFor({ state: "detached" });
  });
});
