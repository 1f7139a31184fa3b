import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { hasChromium } from "./chromium.ts";
import { onePerson } from "./one-person.ts";

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
  const stage = onePerson("alice");

  const state = (body: string, name: string): Promise<void> =>
    stage.person.page.locator(".row.pending", { hasText: body }).locator(`[data-state=${name}]`).waitFor();

  test("while the device has not written it, a message is neither waiting nor sent; afterwards it is [needs chromium]", async () => {
    await hold(stage.person.page);
    await stage.person.say("held up");
    await state("held up", "saving");
    // Something comes from the server meanwhile, and nothing of this went there.
    await stage.server.request("bob", "PUT", "rooms/lobby");
    await stage.server.request("bob", "POST", "rooms/lobby/messages", { body: "before it" });
    await stage.person.sees("before it");
    await state("held up", "saving");
    await letGo(stage.person.page);
    expect(await stage.person.sees("held up")).toBe(2);
  });

  test("what is shown as waiting is there after a reload [needs chromium]", async () => {
    await stage.server.kill();
    await stage.person.page.waitForSelector("[data-lamp=offline], [data-lamp=connecting]");
    await hold(stage.person.page);
    await stage.person.say("in time");
    await state("in time", "saving");
    await letGo(stage.person.page);
    await state("in time", "queued");
    await stage.server.start();
    await stage.person.page.reload();
    await stage.person.online();
    expect(await stage.person.sees("in time")).toBe(3);
  });

  test("what is given up before it was written is not sent, now or by the next page [needs chromium]", async () => {
    await hold(stage.person.page);
    await stage.person.say("no, not this");
    await state("no, not this", "saving");
    await stage.person.page.locator("[data-state=saving] button").click();
    await state("no, not this", "refused");
    await letGo(stage.person.page);
    await stage.person.say("but this");
    expect(await stage.person.sees("but this")).toBe(4);
    await stage.person.page.reload();
    await stage.person.online();
    await state("no, not this", "refused");
    expect((await stage.person.rows()).filter(({ seq }) => seq !== null).map(({ body }) => body)).toEqual([
      "before it",
      "held up",
      "in time",
      "but this",
    ]);
  });
});
