import { createInterface } from "node:readline";
import picocolors from "picocolors";
import { type ChatInput, parseInput } from "./chat-input.ts";
import { ChatSession } from "./chat-session.ts";
import { CommandFailed, exitCodes } from "./exit-codes.ts";
import { type ClientOptions, online, type OpenClient, openClient, refusal, unreachable } from "./open-client.ts";
import { PipeScreen, TerminalScreen } from "./screen.ts";

export interface ChatCommand extends ClientOptions {
  readonly room: string;
  /** How long a pipe waits while no server answers before it gives up, in milliseconds. */
  readonly withinMs: number;
  readonly json: boolean;
}

/** Lines of a pipe that may wait for an answer: enough to keep a server busy, few enough to hold. */
const pipedInFlightMax = 1_000;
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
    screen.note([colours.yellow(`· waiting until ${count} of your messages are stored; Ctrl-C leaves now`)]);
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
  } finally {
    screen.close();
  }
  const isRefused = me.state.name === "unauthorized" || (me.state.name === "closed" && me.state.reason !== "closed");
  if (isRefused) throw refusal(me, session.unsettledCount);
  const lost = session.unsettledCount + session.tally.unknown;
  if (lost > 0) {
    throw new CommandFailed(
      exitCodes.unreachable,
      `${counted(lost)} not answered: it is not known what is stored of that`,
    );
  }
}

async function fromPipe(client: OpenClient, command: ChatCommand): Promise<void> {
  const { chat: me } = client;
  const standardOutput = (text: string): void => void process.stdout.write(text);
  const standardError = (text: string): void => void process.stderr.write(text);
  const screen = new PipeScreen({ print: command.json ? standardError : standardOutput, note: standardError });
  let quit = false;
  // Whoever read us has gone; what was said is stored all the same.
  process.stdout.on("error", () => {
    quit = true;
  });
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
  const patience = new Patience(client, command.withinMs);
  session.start(command.room);
  let mistakes = 0;
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const input: ChatInput = parseInput(line);
    if (input.type === "wrong") mistakes++;
    session.input(input);
    while (session.unsettledCount >= pipedInFlightMax) await patience.wait();
    if (quit) break;
  }
  while (session.unsettledCount > 0 || session.unansweredCount > 0) await patience.wait();
  const end = performance.now() + echoWithinMs;
  while (session.pendingCount > 0 && performance.now() < end) await patience.wait();
  const { tally, failed } = session;
  const unknown = [
    ...(tally.unknown > 0 ? [`${counted(tally.unknown)} may or may not be stored`] : []),
    ...(failed.unknown > 0 ? [`${counted(failed.unknown, "command")} not answered`] : []),
  ];
  const refused = [
    ...(tally.refused > 0 ? [`${counted(tally.refused)} refused`] : []),
    ...(failed.refused > 0 ? [`${counted(failed.refused, "command")} refused; why is said above`] : []),
  ];
  if (unknown.length > 0) throw new CommandFailed(exitCodes.unreachable, [...unknown, ...refused].join(", "));
  if (refused.length > 0) throw new CommandFailed(exitCodes.refused, refused.join(", "));
  if (mistakes > 0)
    throw new CommandFailed(exitCodes.usage, `not sent, because no such command: ${counted(mistakes, "line")}`);
}

const counted = (count: number, what = "message"): string => (count === 1 ? `1 ${what}` : `${count} ${what}s`);

/** Waits for a client to get on, but not for ever while there is no server. */
class Patience {
  readonly #client: OpenClient;
  readonly #withinMs: number;
  #lastOnline = performance.now();

  constructor(client: OpenClient, withinMs: number) {
    this.#client = client;
    this.#withinMs = withinMs;
  }

  /** Settles when something has happened, or after a short while. Throws `CommandFailed` when it took too long. */
  async wait(): Promise<void> {
    const { chat: me, urls } = this.#client;
    const { state } = me;
    if (state.name === "closed" || state.name === "unauthorized") throw refusal(me);
    if (state.name === "online") this.#lastOnline = performance.now();
    const why = state.name === "offline" ? state.reason : "";
    if (performance.now() - this.#lastOnline > this.#withinMs) throw unreachable(urls, why);
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
}
