import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";

type HoldingWindow = Window & { holdsDisk?: boolean };

/** As a disk that is busy: what the page saves waits behind this transaction until `letGo`. */
async function hold(page: Page): Promise<void> {
  await page.evaluate(
    () =>
      new Promise<void>((held, failed) => {
        const request = indexedDB.open("synod-outbox");
        request.onerror = () => failed(new Error(String(request.error)));
        request.onsuccess = () => {
          const view = window as HoldingWindow;
          const store = request.result.transaction("sends", "readwrite").objectStore("sends");
          view.holdsDisk = true;
          const goOn = (): void => {
            held();
            // A transaction lives for as long as something is asked of it.
            if (view.holdsDisk === true) store.count().onsuccess = goOn;
            else request.result.close();
          };
          store.count().onsuccess = goOn;
        };
      }),
  );
}

const letGo = (page: Page): Promise<void> =>
  page.evaluate(() => {
    (window as HoldingWindow).holdsDisk = false;
  });

describe.skipIf(!hasChromium)("what waits is on the device before the page says so [needs chromium]", () => {
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

  const state = (body: string, name: string): Promise<void> =>
    alice.page.locator(".row.pending", { hasText: body }).locator(`[data-state=${name}]`).waitFor();

  test("while the device has not written it, a message is neither waiting nor sent; afterwards it is [needs chromium]", async () => {
    await hold(alice.page);
    await alice.say("held up");
    await state("held up", "saving");
    // Something comes from the server meanwhile, and nothing of this went there.
    await server.request("bob", "PUT", "rooms/lobby");
    await server.request("bob", "POST", "rooms/lobby/messages", { body: "before it" });
    await alice.sees("before it");
    await state("held up", "saving");
    await letGo(alice.page);
    expect(await alice.sees("held up")).toBe(2);
  });

  test("what is shown as waiting is there after a reload [needs chromium]", async () => {
    await server.kill();
    await alice.page.waitForSelector("[data-lamp=offline], [data-lamp=connecting]");
    await hold(alice.page);
    await alice.say("in time");
    await state("in time", "saving");
    await letGo(alice.page);
    await state("in time", "queued");
    await server.start();
    await alice.page.reload();
    await alice.online();
    expect(await alice.sees("in time")).toBe(3);
  });

  test("what is given up before it was written is not sent, now or by the next page [needs chromium]", async () => {
    await hold(alice.page);
    await alice.say("no, not this");
    await state("no, not this", "saving");
    await alice.page.locator("[data-state=saving] button").click();
    await state("no, not this", "refused");
    await letGo(alice.page);
    await alice.say("but this");
    expect(await alice.sees("but this")).toBe(4);
    await alice.page.reload();
    await alice.online();
    await state("no, not this", "refused");
    expect((await alice.rows()).filter(({ seq }) => seq !== null).map(({ body }) => body)).toEqual([
      "before it",
      "held up",
      "in time",
      "but this",
    ]);
  });
});
