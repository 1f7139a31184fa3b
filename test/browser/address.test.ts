import { describe, expect, test } from "vitest";
import { hasChromium, Person } from "./chromium.ts";
import { onePerson } from "./one-person.ts";

describe.skipIf(!hasChromium)("the address of the page says whom one writes to [needs chromium]", () => {
  const stage = onePerson("ann");

  const heading = (person: Person): Promise<string> => person.page.locator(".room-head h1").innerText();

  test("who comes by a link to a person, and belongs nowhere yet, writes to that person [needs chromium]", async () => {
    const newcomer = await Person.enter(stage.browser, { url: stage.server.url, name: "newcomer", place: "@ann" });
    // The list of rooms is there, so that whatever a newcomer is let into by itself has happened.
    await newcomer.page.waitForSelector('.composer textarea[aria-label="Message @ann"]');
    await newcomer.say("for ann alone");
    await stage.person.page.waitForSelector('.sidebar [data-room="@ann,newcomer"]');
    await stage.person.open("@newcomer");
    await stage.person.sees("for ann alone");
    expect(await heading(newcomer)).toBe("@ann");
    // Nobody is put into a room that was not asked for, and a reload shows the same place.
    await newcomer.page.reload();
    await newcomer.online();
    await newcomer.sees("for ann alone");
    expect(await heading(newcomer)).toBe("@ann");
    expect(await newcomer.page.locator('.sidebar [data-room="lobby"]').count()).toBe(0);
    await stage.person.open("lobby");
    expect((await stage.person.rows()).map(({ body }) => body)).not.toContain("for ann alone");
  });

  test("an address of what can be no room goes back to the one that is shown [needs chromium]", async () => {
    await stage.person.page.evaluate(() => {
      location.hash = `#${encodeURIComponent("no such/room\u0000")}`;
    });
    await stage.person.page.waitForSelector(".banner.notice");
    expect(new URL(stage.person.page.url()).hash).toBe("#lobby");
    expect(await heading(stage.person)).toBe("#lobby");
    expect(await stage.person.page.title()).toContain("#lobby");
  });

  test.each(["brand new?", "@bad name"])(
    "that there can be no %j is said until another room is shown [needs chromium]",
    async (place) => {
      await stage.person.open("lobby");
      await stage.person.page.evaluate((hash) => {
        location.hash = hash;
      }, encodeURIComponent(place));
      const notice = stage.person.page.locator(".banner.notice", { hasText: place.replace("@", "") });
      await notice.waitFor();
      expect(new URL(stage.person.page.url()).hash).toBe("#lobby");
      expect(await heading(stage.person)).toBe("#lobby");
      await stage.person.open("neverwas");
      await notice.waitFor({ state: "detached" });
    },
  );

  test("that there can be no room of the page's first address is said [needs chromium]", async () => {
    const lost = await Person.enter(stage.browser, { url: stage.server.url, name: "lost", place: "brand new?" });
    const notice = lost.page.locator(".banner.notice", { hasText: "brand new?" });
    await notice.waitFor();
    expect(await heading(lost)).toBe("#lobby");
    await lost.open("neverwas");
    await notice.waitFor({ state: "detached" });
  });
});
