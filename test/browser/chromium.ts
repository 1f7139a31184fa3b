import { existsSync } from "node:fs";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  errors,
  type Page,
} from "playwright-core";

const path = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";

/** The tests of this folder that need a browser are skipped without one; their titles say so. */
export const hasChromium = existsSync(path);

/** A browser with a profile of its own, which goes with it. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: path,
    headless: true,
    args: [
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A line of the log as it is seen. */
export interface SeenRow {
  readonly seq: number | null;
  readonly from: string | null;
  readonly body: string;
  readonly state: string | null;
}

/** Somebody in front of the page, in a browser profile of their own. */
export class Person {
  readonly name: string;
  readonly context: BrowserContext;
  readonly url: string;
  /** What the browser complained of. */
  readonly complaints: string[] = [];
  page: Page;

  private constructor(name: string, context: BrowserContext, page: Page, url: string) {
    this.name = name;
    this.context = context;
    this.page = page;
    this.url = url;
    this.#watch(page);
  }

  /** Opens the page and enters with this name. Settles once the room can be written to. */
  static async enter(
    browser: Browser,
    where: { url: string; name: string; place?: string; options?: BrowserContextOptions },
  ): Promise<Person> {
    const context = await browser.newContext({
      locale: "en-GB",
      viewport: { width: 1100, height: 760 },
      ...where.options,
    });
    const person = new Person(where.name, context, await context.newPage(), where.url);
    await person.page.goto(`${where.url}#${encodeURIComponent(where.place ?? "lobby")}`);
    await person.page.fill("input[name=user]", where.name);
    await person.page.press("input[name=user]", "Enter");
    await person.online();
    return person;
  }

  /** The page as it is opened again by somebody who was here before. */
  async comeBack(): Promise<void> {
    this.page = await this.context.newPage();
    this.#watch(this.page);
    await this.page.goto(`${this.url}#lobby`);
  }

  online(): Promise<unknown> {
    return this.page.waitForSelector("[data-lamp=online]");
  }

  /** Settles once there is a link again. Nobody waits for the next try: there is a button. */
  async reconnected(): Promise<void> {
    const lamp = this.page.locator("[data-lamp=online]");
    const button = this.page.locator('.banner[data-connection=offline] button:has-text("Try now")');
    for (;;) {
      await lamp.or(button).first().waitFor();
      if (await lamp.isVisible()) return;
      // It goes away by itself, when the next try comes by itself.
      await button.click({ timeout: 500 }).catch((error: unknown) => {
        if (!(error instanceof errors.TimeoutError)) throw error;
      });
    }
  }

  /** Settles once the composer of this place is there. */
  async open(place: string): Promise<void> {
    await this.page.evaluate((hash) => {
      location.hash = hash;
    }, encodeURIComponent(place));
    const shown = place.startsWith("@") ? place : `#${place}`;
    await this.page.waitForSelector(`.composer textarea[aria-label="Message ${shown}"]`);
  }

  async say(text: string): Promise<void> {
    await this.page.fill(".composer textarea", text);
    await this.page.press(".composer textarea", "Enter");
  }

  /** The rows on the page, from the top. */
  rows(): Promise<SeenRow[]> {
    return this.page.$$eval(".log .row", (rows) =>
      rows.map((row) => ({
        seq: row.hasAttribute("data-seq") ? Number(row.getAttribute("data-seq")) : null,
        from: row.querySelector(".from")?.textContent ?? null,
        body: row.querySelector(".body")?.textContent ?? "",
        state: row.querySelector("[data-state]")?.getAttribute("data-state") ?? null,
      })),
    );
  }

  /** Settles once a row of this text stands in the room's order; answers its place. */
  async sees(text: string): Promise<number> {
    const row = await this.page.waitForFunction(
      (wanted) =>
        [...document.querySelectorAll(".log .row[data-seq]")].find(
          (one) => one.querySelector(".body")?.textContent === wanted,
        ),
      text,
    );
    return Number(await row.evaluate((element) => (element as Element).getAttribute("data-seq")));
  }

  /** Settles once nothing of this page is on its way. */
  async settled(): Promise<void> {
    await this.page.waitForFunction(() => document.querySelector(".log .row.pending") === null, undefined, {
      timeout: 60_000,
    });
  }

  close(): Promise<void> {
    return this.context.close();
  }

  #watch(page: Page): void {
    page.setDefaultTimeout(30_000);
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("dialog", (dialog) => {
      if (dialog.type() === "alert") this.complaints.push(`alert: ${dialog.message()}`);
      dialog.accept().catch((error: unknown) => this.complaints.push(String(error)));
    });
  }
}
