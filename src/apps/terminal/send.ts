import type { Chat } from "../../client/client.ts";
import { SendRefused, SendUnknown, type Stored } from "../../client/outcome.ts";
import type { Room } from "../../client/room.ts";
import { CommandFailed, exitCodes } from "./exit-codes.ts";
import { asCommandFailure, type ClientOptions, online, openClient } from "./open-client.ts";
import { placeOf } from "./place-of.ts";
import { visibleText } from "./visible-text.ts";
import { type Held, reasonOf, WaitNews } from "./wait-news.ts";

export interface SendCommand extends ClientOptions {
  /** A room, or `@user`. */
  readonly to: string;
  /** null: what standard input holds. */
  readonly text: string | null;
  readonly cid: string | null;
  readonly create: boolean;
  readonly withinMs: number;
  readonly json: boolean;
}

/** An answer to an attempt that is out is a matter of milliseconds where the server is there. */
const lastAnswerMs = 250;
const textCharactersMax = 16 * 1024 * 1024;

/** `synod send`: stores one message, and says where. Throws `CommandFailed` when it is not stored. */
export async function send(command: SendCommand): Promise<void> {
  const text = command.text ?? (await standardInput());
  if (text === "") throw new CommandFailed(exitCodes.usage, "there is nothing to send; give TEXT, or pipe it in");
  const client = await openClient(command, process.env);
  const { chat } = client;
  try {
    const room = roomOf(chat, command.to);
    await online(client, command.withinMs);
    if (command.create) await room.join({ withinMs: command.withinMs });
    const stored = await storedWithin(chat, room, text, command);
    const where = command.to.startsWith("@") ? command.to : `#${stored.room}`;
    const again = stored.dup ? " (it was there already)" : "";
    const line = command.json
      ? JSON.stringify(placeOf(stored))
      : `stored in ${visibleText(where)} as ${stored.seq}${again}`;
    process.stdout.write(`${line}\n`);
  } catch (cause) {
    throw asCommandFailure(namingRoom(cause, command.to, "; --create makes it"));
  } finally {
    await chat.close();
    client.release();
  }
}

/** The room of this name; `@bob` is the direct room with bob. Throws the SDK's `ChatError` for what can't be a name. */
export function roomOf(chat: Chat, name: string): Room {
  return name.startsWith("@") && !name.includes(",") ? chat.direct(name.slice(1)) : chat.room(name);
}

/**
 * Gives up after a while, and says what is known then: refused where each attempt was, with the reason, and only else
 * unknown. Why it waits is told on standard error.
 */
async function storedWithin(chat: Chat, room: Room, text: string, command: SendCommand): Promise<Stored> {
  const { cid, withinMs } = command;
  const sent = room.send(text, cid === null ? {} : { cid });
  const news = new WaitNews();
  const off = chat.on("send", ({ room: name, wait }) => {
    const why = news.toTell(name, wait);
    if (why !== null) process.stderr.write(`synod: not stored yet, and tried again: ${why}\n`);
  });
  let held: Held | null = null;
  const timer = setTimeout(() => {
    held = sent.wait;
    // An answer may come at any moment, and says more than none.
    giveUpTimer = setTimeout(() => sent.giveUp(), sent.state === "sending" ? lastAnswerMs : 0);
  }, withinMs);
  let giveUpTimer: NodeJS.Timeout | undefined;
  try {
    return await sent;
  } catch (cause) {
    const within = `within ${withinMs / 1_000} s`;
    if (cause instanceof SendRefused && cause.code === "aborted") {
      throw new CommandFailed(exitCodes.unreachable, `not sent: no server answered ${within}`, { cause });
    }
    if (!(cause instanceof SendUnknown)) throw cause;
    const why = held === null ? `no answer ${within}` : `not stored ${within}, ${reasonOf(held)}`;
    throw new SendUnknown(sent.cid, why);
  } finally {
    off();
    clearTimeout(timer);
    clearTimeout(giveUpTimer);
  }
}

/** Names the room that is not there, or not for this user. */
export function namingRoom(cause: unknown, room: string, hint: string): unknown {
  const isMissing = cause instanceof Error && "code" in cause && cause.code === "not_found";
  if (!isMissing) return cause;
  const next = room.startsWith("@") ? "" : hint;
  return new CommandFailed(exitCodes.refused, `${room}: ${cause.message}${next}`, { cause });
}

async function standardInput(): Promise<string> {
  if (process.stdin.isTTY) return "";
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const piece of process.stdin as AsyncIterable<string>) {
    text += piece;
    if (text.length > textCharactersMax) throw new CommandFailed(exitCodes.usage, "standard input is too large");
  }
  return text.replace(/\r?\n$/, "");
}
