import picocolors from "picocolors";
import type { TimelineItem } from "../../client/reader.ts";
import type { Chat } from "../../client/client.ts";
import {
  asCommandFailure,
  type ClientOptions,
  online,
  type OpenClient,
  openClient,
  refusal,
  unreachable,
} from "./open-client.ts";
import { visibleText } from "./visible-text.ts";
import { linkReason } from "./chat-view.ts";
import { type Colours, dayOf, gapLine, messageLines } from "./message-lines.ts";
import { namingRoom, roomOf } from "./send.ts";

export interface TailCommand extends ClientOptions {
  readonly room: string;
  /** The last place one has already; null: shows the last `count`. */
  readonly after: number | null;
  readonly count: number;
  readonly follow: boolean;
  readonly withinMs: number;
  readonly json: boolean;
}

/** `synod tail`: prints a room's messages in order, each once, also across restarts of the server. */
export async function tail(command: TailCommand): Promise<void> {
  const client = await openClient(command, process.env);
  const { chat } = client;
  const ended = new AbortController();
  const end = (): void => ended.abort();
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  // Whoever read it has gone, as `| head` does.
  process.stdout.once("error", end);
  let watch: Watch | null = null;
  try {
    const room = roomOf(chat, command.room);
    await online(client, command.withinMs);
    watch = new Watch(client, command, end);
    const { head } = await room.history({ limit: 1, level: "linearizable" });
    const after = command.after ?? Math.max(head - command.count, 0);
    if (after > head) {
      process.stderr.write(`synod: there is nothing after ${after}: the newest message here is ${head}\n`);
    }
    if (!command.follow && after >= head) return;
    const print = printer(command.json, picocolors.createColors());
    for await (const item of room.messages({ after, signal: ended.signal })) {
      await print(item);
      const place = item.gap === undefined ? item.seq : item.gap.to;
      if (!command.follow && place >= head) return;
    }
    watch.check();
  } catch (cause) {
    watch?.check();
    throw asCommandFailure(namingRoom(cause, command.room, ", or it is not for you"));
  } finally {
    process.off("SIGINT", end);
    process.off("SIGTERM", end);
    watch?.stop();
    await chat.close();
    client.release();
  }
}

/**
 * Tells on standard error when the connection goes and comes back, and ends the reading where nothing more can come: a
 * token that is no longer accepted, and, for who does not follow, no server for too long.
 */
class Watch {
  readonly #client: OpenClient;
  readonly #command: TailCommand;
  readonly #end: () => void;
  readonly #off: () => void;
  #timer: NodeJS.Timeout | null = null;
  #isLost = false;
  #why: Error | null = null;

  constructor(client: OpenClient, command: TailCommand, end: () => void) {
    this.#client = client;
    this.#command = command;
    this.#end = end;
    this.#off = client.chat.on("state", (state) => this.#changed(state));
  }

  /** Throws `CommandFailed` when the reading was ended, and why. */
  check(): void {
    if (this.#why !== null) throw this.#why;
  }

  stop(): void {
    this.#off();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #changed(state: Chat["state"]): void {
    switch (state.name) {
      case "online":
        if (this.#isLost) this.#say(`connected again, to ${state.node} at ${state.url}`);
        this.#isLost = false;
        if (this.#timer !== null) clearTimeout(this.#timer);
        this.#timer = null;
        return;
      case "offline":
        if (!this.#isLost) this.#say(`no connection (${linkReason(state.reason)}); trying again`);
        this.#isLost = true;
        if (!this.#command.follow)
          this.#timer ??= setTimeout(() => this.#fail(unreachable(this.#client.urls, "")), this.#command.withinMs);
        return;
      case "unauthorized":
        return this.#fail(refusal(this.#client.chat));
      case "closed":
        if (state.reason !== "closed") this.#fail(refusal(this.#client.chat));
        return;
      default:
        return;
    }
  }

  #fail(why: Error): void {
    this.#why ??= why;
    this.#end();
  }

  #say(text: string): void {
    process.stderr.write(`synod: ${visibleText(text)}\n`);
  }
}

/** Settles when the output has taken it: a slow reader slows the reading, and nothing piles up. */
function printer(json: boolean, colours: Colours): (item: TimelineItem) => Promise<void> {
  let day = "";
  return async (item) => {
    let text: string;
    if (json) {
      text = JSON.stringify(item);
    } else if (item.gap === undefined) {
      const lines = messageLines(item, { colours, user: null, showSeq: true, showRoom: false });
      if (dayOf(item.ts) !== day) {
        day = dayOf(item.ts);
        lines.unshift(colours.dim(`── ${day} ──`));
      }
      text = lines.join("\n");
    } else {
      text = gapLine(item.gap, colours);
    }
    if (!process.stdout.write(`${text}\n`)) {
      await new Promise<void>((resolve) => {
        process.stdout.once("drain", resolve);
        process.stdout.once("error", () => resolve());
      });
    }
  };
}
