import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { CommandFailed, type ExitCode, exitCodes } from "../terminal/exit-codes.ts";
import { at } from "./answer-text.ts";
import { portsOf } from "./ports-file.ts";

/** Where operators are answered, as a command line names it. */
export interface OperatorsPort {
  /** As typed; null: looked up in the data directory. */
  readonly url: string | null;
  /** null: the usual one. */
  readonly data: string | null;
  readonly tokenFile: string | null;
}

/** A transfer or a change of members takes its time. */
const answerWithinMs = 15_000;
const askAgainMs = 100;

/** Asks a server's operators' port, and answers what it says. Throws `CommandFailed` with the next step. */
export async function askOperators(
  port: OperatorsPort,
  path: string,
  asked: { readonly method?: string; readonly fields?: object } = {},
): Promise<unknown> {
  const { method = "GET", fields } = asked;
  const response = await responseOf(port, path, {
    method,
    ...(fields === undefined ? {} : { body: JSON.stringify(fields) }),
    signal: AbortSignal.timeout(answerWithinMs),
  });
  const answer = parsed(await response.text().catch((cause: unknown) => unreachable(response.url, cause)));
  if (response.ok && answer !== undefined) return answer;
  throw refusalOf(response, answer);
}

/**
 * What a server says of itself; asked again until it can take messages, for so long. Then its last answer is answered, or what
 * kept it from one thrown. null: asked once.
 */
export async function askReadiness(port: OperatorsPort, path: string, withinMs: number | null): Promise<unknown> {
  const until = performance.now() + (withinMs ?? 0);
  for (;;) {
    const isLast = performance.now() >= until;
    try {
      const answer = await askOperators(port, path);
      if (isLast || at(answer, "ready", "ok") === true) return answer;
    } catch (cause) {
      if (isLast || !(cause instanceof CommandFailed) || cause.exitCode !== exitCodes.unreachable) throw cause;
    }
    await pause(askAgainMs);
  }
}

/** The events of a stream, as they come, until it ends, or `signal` ends it. Throws `CommandFailed`. */
export async function* operatorEvents(
  port: OperatorsPort,
  path: string,
  signal: AbortSignal | null = null,
): AsyncGenerator<{ readonly name: string; readonly data: unknown }> {
  const response = await responseOf(port, path, { headers: { accept: "text/event-stream" }, signal });
  if (!response.ok || response.body === null) throw refusalOf(response, parsed(await response.text()));
  let text = "";
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  // `fetch` hears a signal only until its request was collected as garbage, and a stream outlives that. One that broke says so
  // to who reads it.
  const stop = (): void => void reader.cancel().catch(() => undefined);
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted === true) stop();
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      text += decoder.decode(read.value, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const name = /^event: (.*)$/m.exec(block)?.[1] ?? "message";
        const data = parsed(/^data: (.*)$/m.exec(block)?.[1] ?? "");
        if (data !== undefined) yield { name, data };
      }
    }
  } catch (cause) {
    unreachable(response.url, cause);
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
  }
}

function adminUrl({ url, data }: OperatorsPort): string {
  if (url === null) return `http://127.0.0.1:${portsOf(data)?.adminPort ?? 7402}`;
  const whole = url.includes("://") ? url : `http://${url}`;
  const isHttp = URL.canParse(whole) && ["http:", "https:"].includes(new URL(whole).protocol);
  if (isHttp) return whole;
  throw new CommandFailed(exitCodes.usage, `${url} is not the address of an operators' port; write http://HOST:7402`);
}

async function responseOf(port: OperatorsPort, path: string, options: RequestInit): Promise<Response> {
  const url = new URL(path, adminUrl(port));
  const headers = new Headers(options.headers);
  if (port.tokenFile !== null) headers.set("authorization", `Bearer ${await tokenOf(port.tokenFile)}`);
  try {
    return await fetch(url, { ...options, headers, redirect: "error" });
  } catch (cause) {
    return unreachable(url.href, cause);
  }
}

function unreachable(url: string, cause: unknown): never {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const why = inner instanceof Error ? inner.message : String(inner);
  const next = "is it running? Its operators' port is in ports.json of its data directory (--data DIR)";
  throw new CommandFailed(exitCodes.unreachable, `no server answers at ${new URL(url).origin} (${why}); ${next}`, {
    cause,
  });
}

function refusalOf(response: Response, answer: unknown): CommandFailed {
  const detail = at(answer, "detail");
  const { origin } = new URL(response.url);
  if (typeof detail !== "string") {
    return new CommandFailed(
      exitCodes.refused,
      `${origin} refused: it answered ${response.status}; is it the operators' port (7402), and not the public one?`,
    );
  }
  const code: ExitCode = at(answer, "code") === "no_quorum" ? exitCodes.noQuorum : exitCodes.refused;
  const isElsewhere = at(answer, "code") === "not_found" && at(answer, "status") === 404 && detail.includes("address");
  const next = isElsewhere ? "; is it the operators' port (7402), and not the public one?" : "";
  return new CommandFailed(code, `${origin} refused: ${detail}${next}`);
}

async function tokenOf(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CommandFailed(exitCodes.usage, `the token can't be read: ${why}`, { cause });
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined;
    throw cause;
  }
}
