import type { Browser } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import { ChatServer } from "./chat-server.ts";
import { launchChromium, Person } from "./chromium.ts";

/** A server, a browser, and somebody in front of its page. There from the first test on; read no field before. */
export interface OnePerson {
  readonly server: ChatServer;
  readonly browser: Browser;
  readonly person: Person;
}

/** These, for all tests of the `describe` that it is called in; they end with it. */
export function onePerson(name: string): OnePerson {
  let server: ChatServer;
  let browser: Browser;
  let person: Person;

  beforeAll(async () => {
    [server, browser] = await Promise.all([ChatServer.start(), launchChromium()]);
    person = await Person.enter(browser, { url: server.url, name });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.stop();
  });

  return {
    get server() {
      return server;
    },
    get browser() {
      return browser;
    },
    get person() {
      return person;
    },
  };
}
