import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { binaryEncoding } from "../../client/binary-encoding.ts";
import { type Chat, connect } from "../../client/client.ts";
import { ChatError, SendRefused, SendUnknown } from "../../client/outcome.ts";
import { nodeClock } from "../../platform/node/node-clock.ts";
import { nodeDial } from "../../platform/node/node-dial.ts";
import { nodeRandom } from "../../platform/node/node-random.ts";
import { CommandFailed, exitCodes } from "./exit-codes.ts";

/** Who speaks to which servers. */
export interface ClientOptions {
  /** As somebody typed them; [] = the server of this machine. */
  readonly urls: readonly string[];
  readonly tcp: boolean;
  readonly user: string | null;
  readonly tokenFile: string | null;
}

/** A client, and what keeps the process alive for as long as it is open: its timers don't. */
export interface OpenClient {
  readonly chat: Chat;
  readonly urls: readonly string[];
  /** The token is in a file, where another one can be put. */
  readonly canRenewToken: boolean;
  /** Lets the process end. */
  release(): void;
}

/** Starts a client. Throws `CommandFailed` (usage) for what no server could accept. */
export async function openClient(
  options: ClientOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<OpenClient> {
  const urls = serverUrls(options.urls, options.tcp, environment["SYNOD_URL"] ?? null);
  const token = await tokenOf(options.tokenFile, environment["SYNOD_TOKEN"] ?? null);
  const user = options.user ?? environment["SYNOD_USER"] ?? subjectOf(token) ?? userInfo().username;
  const alive = setInterval(() => undefined, 60_000);
  try {
    const chat = connect(urls, {
      user,
      ...(token === null ? {} : { token: tokenSource(options.tokenFile, token) }),
      dial: nodeDial({ binary: true }),
      encodings: { "binary-websocket": binaryEncoding("messages"), "binary-stream": binaryEncoding("stream") },
      clock: nodeClock(),
      random: nodeRandom(),
      // A server of this machine that was restarted is back within a second or two.
      timing: { retryMsMax: 2_000 },
    });
    return { chat, urls, canRenewToken: options.tokenFile !== null, release: () => clearInterval(alive) };
  } catch (cause) {
    clearInterval(alive);
    if (!(cause instanceof ChatError)) throw cause;
    throw new CommandFailed(exitCodes.usage, `${cause.message}; choose another --user`, { cause });
  }
}

/** What was typed as addresses of servers, whole: `localhost:7400` is `ws://localhost:7400/`. */
export function serverUrls(typed: readonly string[], tcp: boolean, fallback: string | null): string[] {
  const standard = tcp ? ["tcp://127.0.0.1:7403"] : ["ws://127.0.0.1:7400"];
  const wanted = typed.length > 0 ? typed : fallback !== null && fallback !== "" ? fallback.split(",") : standard;
  return wanted.map((text) => serverUrl(text.trim(), tcp));
}

const schemes = ["ws:", "wss:", "http:", "https:", "tcp:"];

function serverUrl(text: string, tcp: boolean): string {
  const whole = text.includes("://") ? text : `${tcp ? "tcp" : "ws"}://${text}`;
  const url = URL.canParse(whole) ? new URL(whole) : null;
  if (url === null || !schemes.includes(url.protocol) || url.hostname === "") {
    throw new CommandFailed(exitCodes.usage, `${text} is not an address; write ws://HOST:PORT, or tcp://HOST:PORT`);
  }
  if (url.protocol === "tcp:" && url.port === "") {
    throw new CommandFailed(exitCodes.usage, `${text} names no port; the usual one is tcp://${url.hostname}:7403`);
  }
  if (tcp && url.protocol !== "tcp:") {
    throw new CommandFailed(exitCodes.usage, `--tcp and ${text} don't go together; write tcp://${url.hostname}:7403`);
  }
  return whole;
}

// A token on a command line could be read by every user of the machine, so there is no flag for it.
export async function tokenOf(file: string | null, text: string | null): Promise<string | null> {
  if (file === null) return text === null || text === "" ? null : text;
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CommandFailed(exitCodes.usage, `the token can't be read: ${why}`, { cause });
  }
}

/** A token in a file may be renewed there at any time. */
function tokenSource(file: string | null, first: string): () => Promise<string> {
  return async () => (file === null ? first : ((await tokenOf(file, null)) ?? first));
}

/** The name in a token, believed only as far as asking the server to check it. */
export function subjectOf(token: string | null): string | null {
  const payload = token?.split(".")[1];
  if (payload === undefined) return null;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    if (typeof claims !== "object" || claims === null || !("sub" in claims)) return null;
    return typeof claims.sub === "string" ? claims.sub : null;
  } catch (cause) {
    if (cause instanceof SyntaxError) return null;
    throw cause;
  }
}

/** Settles once a server has answered the greeting. Throws `CommandFailed`: nobody answered in time, or one refused. */
export function online(client: OpenClient, withinMs: number): Promise<void> {
  const { chat, urls } = client;
  return new Promise((resolve, reject) => {
    let why = "";
    let timer: NodeJS.Timeout | null = null;
    let off: (() => void) | null = null;
    const look = (): void => {
      const { state } = chat;
      if (state.name === "offline") why = state.reason;
      const isRefused = state.name === "closed" || state.name === "unauthorized";
      if (state.name !== "online" && !isRefused) return;
      if (timer !== null) clearTimeout(timer);
      off?.();
      if (state.name === "online") resolve();
      else reject(refusal(chat));
    };
    timer = setTimeout(() => {
      off?.();
      reject(unreachable(urls, why));
    }, withinMs);
    off = chat.on("state", look);
    look();
  });
}

/** The server does not want this user. */
export function refusal(chat: Chat): CommandFailed {
  const { state, user } = chat;
  const reason = state.name === "closed" ? state.reason : state.name;
  const next = reason === "unauthorized" ? "; it takes a token for this name, by SYNOD_TOKEN or --token-file" : "";
  return new CommandFailed(exitCodes.refused, `the server refused ${user} (${reason})${next}`);
}

/** Nobody answered; says whom was asked, and what to do. */
export function unreachable(urls: readonly string[], why: string): CommandFailed {
  const where = urls.join(", ");
  const other = otherThanSynod(why);
  if (other !== null) return new CommandFailed(exitCodes.unreachable, `what answers at ${where} ${other} (${why})`);
  const reason = why === "" ? "" : ` (${why})`;
  return new CommandFailed(
    exitCodes.unreachable,
    `no server answers at ${where}${reason}; start one with: synod serve`,
  );
}

/** What is there instead of the port that was meant, when what a link ended with tells. */
function otherThanSynod(why: string): string | null {
  if (why.startsWith("Unexpected server response")) {
    return "is no chat port of Synod: write ws://HOST:7400, the server's public port, without a path";
  }
  if (why.startsWith("Parse Error")) return "speaks no HTTP: if it is Synod's TCP port, write tcp://HOST:7403";
  if (why.includes("does not speak binary"))
    return "is no TCP port of Synod: if it is the public port, write ws://HOST:7400";
  return null;
}

/** What a request or a send ended with, as the end of a command. */
export function asCommandFailure(cause: unknown): unknown {
  if (cause instanceof ChatError || cause instanceof SendRefused) return failureOf(cause.code, cause.message, cause);
  if (cause instanceof SendUnknown) {
    return new CommandFailed(
      exitCodes.unreachable,
      `nobody knows whether it was stored: ${cause.message}; send it again with --cid ${cause.cid}, which stores it once`,
      { cause },
    );
  }
  return cause;
}

/** The end of a command for which a server, or the client itself, answered this. */
export function failureOf(code: string, message: string, cause: unknown): CommandFailed {
  switch (code) {
    // It was the words of the command line: nothing else comes from there.
    case "bad_request":
      return new CommandFailed(exitCodes.usage, message, { cause });
    case "no_quorum":
      return new CommandFailed(exitCodes.noQuorum, message, { cause });
    case "unavailable":
    case "aborted":
      return new CommandFailed(exitCodes.unreachable, message, { cause });
    default:
      return new CommandFailed(exitCodes.refused, `${message} (${code})`, { cause });
  }
}
