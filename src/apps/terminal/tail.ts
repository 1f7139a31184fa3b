import picocolors from "picocolors";
import type { TimelineItem } from "../../client/reader.ts";
import { asCommandFailure, type ClientOptions, online, openClient } from "./open-client.ts";
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
  try {
    const room = roomOf(chat, command.room);
    await online(client, command.withinMs);
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
      if (!command.follow && place >= head) break;
    }
  } catch (cause) {
    throw asCommandFailure(namingRoom(cause, command.room, ", or it is not for you"));
  } finally {
    process.off("SIGINT", end);
    process.off("SIGTERM", end);
    await chat.close();
    client.release();
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
