import { createInterface } from "node:readline";
import picocolors from "picocolors";
import { type ChatInput, parseInput } from "./chat-input.ts";
import { ChatSession } from "./chat-session.ts";
import type { SaidTally } from "./said-messages.ts";
import { CommandFailed, exitCodes } from "./exit-codes.ts";
import {
  type ClientOptions,
  failureOf,
  online,
  type OpenClient,
  openClient,
  refusal,
  unreachable,
} from "./open-client.ts";
import { PipeScreen, TerminalScreen } from "./screen.ts";
import { type Held, reasonOf } from "./wait-news.ts";

export interface ChatCommand extends ClientOptions {
  readonly room: string;
  /** How long a pipe waits while no server answers, or stores anything, before it gives up; in milliseconds. */
  readonly withinMs: number;
  readonly json: boolean;
}

/** Lines of a pipe that may wait for an answer: enough to keep a server busy, few enough to hold. */
const pipedInFlightMax = 1_000;
/** How often a pipe looks whether anything is stored any more. */
const lookEveryMs = 200;
/** How long the end waits until what was stored last has come back and is shown, which it need not. */
const echoWithinMs = 500;

/** `synod chat`. Throws `CommandFailed` when something that was said is not stored; in a pipe, also when a command was not done. */
export async function chat(command: ChatCommand): Promise<void> {
  const client = await openClient(command, process.env);
  try {
    const { stdin, stdout } = process;
    if (stdin.isTTY && stdout.isTTY && !command.json) await atTerminal(client, command);
    else await fromPipe(client, command);
  } finally {
    await client.chat.close();
    client.release();
  }
}

async function atTerminal(client: OpenClient, command: ChatCommand): Promise<void> {
  const { chat: me } = client;
  const colours = picocolors.createColors();
  let leaving = false;
  let refusedBefore = 0;
  let held: Held | null = null;
  let left: (() => void) | null = null;
  const over = new Promise<void>((resolve) => {
    left = resolve;
  });
  const leave = (): void => {
    const count = session.unsettledCount;
    if (count === 0 || leaving) {
      left?.();
      return;
    }
    leaving = true;
    const what = count === 1 ? "your message is" : `${count} of your messages are`;
    const reason = me.state.name === "online" ? session.held : null;
    const why = reason === null ? "" : `: ${reasonOf(reason)}`;
    screen.note([colours.yellow(`· waiting until ${what} stored${why}; Ctrl-C leaves now`)]);
    // Not by the client's own closing, which could not be hurried any more.
    me.on("send", () => {
      if (session.unsettledCount === 0) setTimeout(() => left?.(), echoWithinMs);
    });
  };
  const screen = new TerminalScreen({
    input: process.stdin,
    output: process.stdout,
    events: { line: (text) => session.input(parseInput(text)), end: leave },
  });
  const session = new ChatSession({ chat: me, screen, colours, marksRead: true, json: null, onQuit: leave });
  for (const name of ["SIGTERM", "SIGHUP"] as const) process.once(name, () => left?.());
  me.on("state", ({ name }) => {
    if (name === "closed" || (name === "unauthorized" && !client.canRenewToken)) left?.();
  });
  try {
    screen.note([colours.dim("Type to speak; /help lists the commands.")]);
    session.start(command.room);
    await over;
    refusedBefore = session.tally.refused;
    if (me.state.name === "online") held = session.held;
    await session.giveUp();
  } finally {
    screen.close();
  }
  const { tally } = session;
  const lost = leftOver({ ...tally, refused: tally.refused - refusedBefore });
  const isRefused = me.state.name === "unauthorized" || (me.state.name === "closed" && me.state.reason !== "closed");
  if (isRefused) throw withLeftOver(refusal(me), lost, tally.unknown);
  if (lost.length === 0) return;
  if (held !== null) throw withLeftOver(failureOf(held.code, held.message, null), lost, tally.unknown);
  throw new CommandFailed(exitCodes.unreachable, lost.join(", "));
}

/** What was said and is not known to be stored, in words; [] when there is nothing of that. */
function leftOver({ refused, unsent, unknown }: Omit<SaidTally, "stored">): string[] {
  return [
    ...(unknown > 0 ? [`${counted(unknown)} may or may not be stored`] : []),
    ...(refused > 0 ? [`${counted(refused)} refused`] : []),
    ...(unsent > 0 ? [`${counted(unsent)} not sent`] : []),
  ];
}

/** The end of a command that waited in vain. What is not known outweighs why. */
function withLeftOver(cause: CommandFailed, left: readonly string[], unknown: number): CommandFailed {
  const exitCode = unknown > 0 ? exitCodes.unreachable : cause.exitCode;
  return new CommandFailed(exitCode, [cause.message, ...left].join("; "), { cause });
}

async function fromPipe(client: OpenClient, command: ChatCommand): Promise<void> {
  const { chat: me } = client;
  let isRead = true;
  // Whoever read us has gone; what is said is stored all the same, to the end.
  process.stdout.on("error", () => {
    isRead = false;
  });
  const standardOutput = (text: string): void => {
    if (isRead) process.stdout.write(text);
  };
  const standardError = (text: string): void => void process.stderr.write(text);
  const screen = new PipeScreen({ print: command.json ? standardError : standardOutput, note: standardError });
  let quit = false;
  await online(client, command.withinMs);
  const session = new ChatSession({
    chat: me,
    screen,
    colours: picocolors.createColors(),
    marksRead: false,
    json: command.json ? (value) => standardOutput(`${JSON.stringify(value)}\n`) : null,
    onQuit: () => {
      quit = true;
    },
  });
  const patience = new Patience(client, session, command.withinMs);
  session.start(command.room);
  let mistakes = 0;
  let isReadToEnd = false;
  try {
    for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
      const input: ChatInput = parseInput(line);
      if (input.type === "wrong") mistakes++;
      session.input(input);
      while (session.unsettledCount >= pipedInFlightMax) await patience.wait();
      if (quit) break;
    }
    isReadToEnd = true;
    while (session.unsettledCount > 0 || session.unansweredCount > 0) await patience.wait();
  } catch (cause) {
    if (!(cause instanceof CommandFailed)) throw cause;
    await session.giveUp();
    const { tally } = session;
    const left = leftOver(tally);
    if (!isReadToEnd) left.push("the rest of the input is not read");
    throw withLeftOver(cause, left, tally.unknown);
  }
  const end = performance.now() + echoWithinMs;
  while (session.pendingCount > 0 && performance.now() < end) await patience.wait();
  const { tally, failed } = session;
  const unknown = [
    ...leftOver({ ...tally, refused: 0, unsent: 0 }),
    ...(failed.unknown > 0 ? [`${counted(failed.unknown, "command")} not answered`] : []),
  ];
  const refused = [
    ...leftOver({ ...tally, unknown: 0 }),
    ...(failed.refused > 0 ? [`${counted(failed.refused, "command")} refused; why is said above`] : []),
  ];
  if (unknown.length > 0) throw new CommandFailed(exitCodes.unreachable, [...unknown, ...refused].join(", "));
  if (refused.length > 0) throw new CommandFailed(exitCodes.refused, refused.join(", "));
  if (mistakes > 0)
    throw new CommandFailed(exitCodes.usage, `not sent, because no such command: ${counted(mistakes, "line")}`);
}

const counted = (count: number, what = "message"): string => (count === 1 ? `1 ${what}` : `${count} ${what}s`);

/** Waits for a client to get on, but not for ever while there is no server, or one that stores nothing. */
class Patience {
  readonly #client: OpenClient;
  readonly #session: ChatSession;
  readonly #withinMs: number;
  #lastOnline = performance.now();
  #lookedAt = performance.now();
  /** By the wall clock, as what servers say is. */
  #onlineSince = Date.now();

  constructor(client: OpenClient, session: ChatSession, withinMs: number) {
    this.#client = client;
    this.#session = session;
    this.#withinMs = withinMs;
  }

  /**
   * Settles when something has happened, or after a short while. Throws `CommandFailed` when it took too long: no server
   * answered, or each answer since then was that it can't be stored now.
   */
  async wait(): Promise<void> {
    const { chat: me, urls } = this.#client;
    const { state } = me;
    if (state.name === "closed" || state.name === "unauthorized") throw refusal(me);
    if (state.name === "online") this.#lastOnline = performance.now();
    else this.#onlineSince = Date.now();
    const why = state.name === "offline" ? state.reason : "";
    if (performance.now() - this.#lastOnline > this.#withinMs) throw unreachable(urls, why);
    if (state.name === "online" && performance.now() - this.#lookedAt > lookEveryMs) this.#look();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(done, 50);
      const off = me.on("send", done);
      function done(): void {
        clearTimeout(timer);
        off();
        resolve();
      }
    });
  }
  #look(): void {
    this.#lookedAt = performance.now();
    const { held } = this.#session;
    if (held === null || Date.now() - Math.max(held.since, this.#onlineSince) < this.#withinMs) return;
    throw failureOf(held.code, `nothing was stored for ${this.#withinMs / 1_000} s: ${held.message}`, null);
  }
}
