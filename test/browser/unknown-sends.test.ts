import type { Browser, WebSocketRoute } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChatServer } from "./chat-server.ts";
import { hasChromium, launchChromium, Person } from "./chromium.ts";

interface SaidFrame {
  readonly t: string;
  readonly body?: string;
}

describe.skipIf(!hasChromium)("messages of which nobody can tell [needs chromium]", () => {
  let server: ChatServer;
  let browser: Browser;
  let alice: Person;
  /** What the pages of alice have sent, as bodies. */
  const sent: string[] = [];
  /** Messages of this body break the link on their way, before or after they have reached the server. */
  let breaks: { body: string; reachesServer: boolean } | null = null;
  let isDown = false;

  beforeAll(async () => {
    [server, browser] = await Promise.all([ChatServer.start(), launchChromium()]);
    alice = await Person.enter(browser, { url: server.url, name: "alice" });
    await alice.context.routeWebSocket(/\/v1\/ws$/, passOn);
    await alice.page.reload();
    await alice.online();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  function passOn(page: WebSocketRoute): void {
    const end = (): void => {
      isDown = true;
      page.close({ code: 1011 }).catch(fail);
    };
    if (isDown) {
      end();
      return;
    }
    const behind = page.connectToServer();
    page.onMessage((text) => {
      const frames = [JSON.parse(String(text))].flat() as SaidFrame[];
      const bodies = frames.flatMap(({ t, body }) => (t === "send" && body !== undefined ? [body] : []));
      sent.push(...bodies);
      const isBroken = breaks !== null && bodies.includes(breaks.body);
      if (!isBroken || breaks?.reachesServer === true) behind.send(text);
      if (isBroken) end();
    });
  }

  const fail = (error: unknown): never => {
    throw error;
  };

  /** Says it while the link breaks, and gives it up. */
  async function loses(body: string, reachesServer: boolean): Promise<void> {
    breaks = { body, reachesServer };
    await alice.say(body);
    const row = alice.page.locator(".row.pending", { hasText: body });
    await row.locator("[data-state=queued]").waitFor();
    await alice.page.waitForSelector("[data-lamp=offline], [data-lamp=connecting]");
    await row.locator('button:has-text("Give up")').click();
    await row.locator("[data-state=unknown]").waitFor();
    breaks = null;
    isDown = false;
    await alice.reconnected();
  }

  const unknown = (body: string) =>
    alice.page.locator(".row.pending", { hasText: body }).locator("[data-state=unknown]");

  test("one that never arrived stays unknown over reloads, is not sent again, and can be asked about [needs chromium]", async () => {
    await loses("never arrived", false);
    for (let life = 0; life < 2; life++) {
      await alice.say(`life ${life}`);
      await alice.sees(`life ${life}`);
      await alice.page.reload();
      await alice.online();
      await unknown("never arrived").waitFor();
      const buttons = await unknown("never arrived").locator("button").allTextContents();
      expect(buttons).toEqual(["Ask again", "Remove"]);
    }
    await unknown("never arrived").locator('button:has-text("Ask again")').click();
    await alice.page.waitForFunction(
      () => document.querySelector("[data-state=unknown]")?.textContent?.includes("not stored up to #2") === true,
    );
    expect(sent.filter((body) => body === "never arrived")).toHaveLength(1);
    expect((await alice.rows()).filter(({ body }) => body === "never arrived")).toMatchObject([{ seq: null }]);
  });

  test("one that is removed does not come back [needs chromium]", async () => {
    await unknown("never arrived").locator('button:has-text("Remove")').click();
    await alice.settled();
    await alice.page.reload();
    await alice.online();
    await alice.sees("life 1");
    expect((await alice.rows()).map(({ body }) => body)).toEqual(["life 0", "life 1"]);
    expect(sent.filter((body) => body === "never arrived")).toHaveLength(1);
  });

  test("one that did arrive takes its place in the room, once, and nothing of it is left [needs chromium]", async () => {
    await loses("arrived", true);
    await alice.sees("arrived");
    await alice.settled();
    await alice.page.reload();
    await alice.online();
    await alice.sees("arrived");
    expect((await alice.rows()).map(({ body }) => body)).toEqual(["life 0", "life 1", "arrived"]);
    expect(sent.filter((body) => body === "arrived")).toHaveLength(1);
  });
});
