import type { Chat } from "../../client/client.ts";
import { SendUnknown, type Stored } from "../../client/outcome.ts";
import type { Room } from "../../client/room.ts";
import { CommandFailed, exitCodes } from "./exit-codes.ts";
import { asCommandFailure, type ClientOptions, online, openClient } from "./open-client.ts";
import { placeOf } from "./place-of.ts";
import { visibleText } from "./visible-text.ts";

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
    if (command.create) await room.join();
    const stored = await storedWithin(room, text, command);
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

async function storedWithin(room: Room, text: string, command: SendCommand): Promise<Stored> {
  const cid = command.cid ?? undefined;
  const sent = room.send(text, cid === undefined ? {} : { cid });
  let timer: NodeJS.Timeout | null = null;
  const late = new Promise<never>((_, reject) => {
    const unknown = new SendUnknown(sent.cid, `no answer within ${command.withinMs / 1_000} s`);
    timer = setTimeout(reject, command.withinMs, unknown);
  });
  try {
    return await Promise.race([sent, late]);
  } finally {
    if (timer !== null) clearTimeout(timer);
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
