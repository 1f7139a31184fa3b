import picocolors from "picocolors";
import stringWidth from "string-width";
import { readFile } from "node:fs/promises";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { visibleText } from "../terminal/visible-text.ts";
import { portsOf } from "./ports-file.ts";

export interface StatusCommand {
  /** The operators' port, as typed; null: looked up in the data directory. */
  readonly url: string | null;
  /** null: the usual one. */
  readonly data: string | null;
  readonly tokenFile: string | null;
  readonly sessions: boolean;
  readonly json: boolean;
}

const answerWithinMs = 5_000;

/** `synod status`: what a server says of itself, or who is connected to it. Code 1 when it can't take messages. */
export async function status(command: StatusCommand): Promise<0 | 1> {
  const url = adminUrl(command);
  const path = command.sessions ? "/admin/v1/sessions" : "/admin/v1/status";
  const answer = await ask(new URL(path, url), command.tokenFile);
  if (command.json) {
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  } else {
    const lines = command.sessions ? sessionLines(answer) : statusLines(answer);
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  }
  return command.sessions || at(answer, "ready", "ok") === true ? 0 : 1;
}

function adminUrl({ url, data }: StatusCommand): string {
  if (url === null) return `http://127.0.0.1:${portsOf(data)?.adminPort ?? 7402}`;
  const whole = url.includes("://") ? url : `http://${url}`;
  const isHttp = URL.canParse(whole) && ["http:", "https:"].includes(new URL(whole).protocol);
  if (isHttp) return whole;
  throw new CommandFailed(exitCodes.usage, `${url} is not the address of an operators' port; write http://HOST:7402`);
}

async function ask(url: URL, tokenFile: string | null): Promise<unknown> {
  const headers: Record<string, string> = {};
  if (tokenFile !== null) headers["authorization"] = `Bearer ${await tokenOf(tokenFile)}`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { headers, signal: AbortSignal.timeout(answerWithinMs), redirect: "error" });
    text = await response.text();
  } catch (cause) {
    const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    const why = inner instanceof Error ? inner.message : String(inner);
    const next = "is it running? Its operators' port is in ports.json of its data directory (--data DIR)";
    throw new CommandFailed(exitCodes.unreachable, `no server answers at ${url.origin} (${why}); ${next}`, { cause });
  }
  const answer = parsed(text);
  if (response.ok && answer !== undefined) return answer;
  const detail = at(answer, "detail");
  const why = typeof detail === "string" ? detail : `it answered ${response.status}`;
  throw new CommandFailed(
    exitCodes.refused,
    `${url.origin} refused: ${why}; is it the operators' port (7402), and not the public one?`,
  );
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

function statusLines(answer: unknown): string[] {
  const { bold, green, red, yellow } = picocolors;
  const isReady = at(answer, "ready", "ok") === true;
  const ready = isReady ? green("ready") : red(`not ready: ${shown(at(answer, "ready", "reason"))}`);
  const group = at(answer, "groups", "0");
  const rows: [string, string][] = [
    ["cluster", `${shown(at(answer, "cluster"))}, ${shown(at(answer, "topology"))}`],
    ["version", `${shown(at(answer, "version"))}, up ${duration(at(answer, "process", "uptimeMs"))}`],
    [
      "log",
      `${shown(at(group, "role"))} in term ${shown(at(group, "term"))}, at entry ${shown(at(group, "appliedIndex"))}`,
    ],
    ["days", `${shown(at(group, "timeZone"))}, ${kept(at(group, "retentionDays"))}`],
    ["clients", `${shown(at(answer, "clients", "connections"))} connected`],
    ["journal", bytes(at(answer, "storage", "journalBytes"))],
    ["disk", `${bytes(at(answer, "storage", "diskFree"))} free`],
    [
      "memory",
      `${bytes(at(answer, "process", "rss"))}, event loop p99 ${shown(at(answer, "process", "loopDelayP99Ms"))} ms`,
    ],
  ];
  const damage = at(answer, "storage", "corruptDetected");
  if (typeof damage === "number" && damage > 0) rows.push(["damage", red(`${damage} places; see the log`)]);
  const insecure = at(answer, "insecure");
  for (const risk of Array.isArray(insecure) ? insecure : []) rows.push(["insecure", yellow(shown(risk))]);
  return [
    `${bold(shown(at(answer, "node")))}  ${ready}`,
    ...rows.map(([what, value]) => `  ${what.padEnd(9)} ${value}`),
  ];
}

function kept(days: unknown): string {
  if (typeof days !== "number") return "?";
  return days === 0 ? "kept for ever" : `kept: today and ${days} before`;
}

function sessionLines(answer: unknown): string[] {
  const sessions = at(answer, "sessions");
  if (!Array.isArray(sessions) || sessions.length === 0) return ["nobody is connected"];
  const rows = sessions.map((session: unknown) => {
    const rooms = at(session, "rooms");
    const names = Array.isArray(rooms)
      ? rooms.map((room) => shown(typeof room === "string" ? room : at(room, "room")))
      : [];
    return [
      shown(at(session, "user") ?? "(greeting)"),
      shown(at(session, "door")),
      shown(at(session, "address")),
      names.join(" "),
    ];
  });
  return table([["USER", "DOOR", "ADDRESS", "ROOMS"], ...rows]);
}

/** Columns as wide as their widest cell; wide characters count as two. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, stringWidth(cell));
  return rows.map((row) =>
    row
      .map((cell, at) => cell + " ".repeat(widths[at]! - stringWidth(cell)))
      .join("  ")
      .trimEnd(),
  );
}

/** A field of an answer, however deep; undefined where there is none. */
function at(value: unknown, ...path: string[]): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Record<string, unknown>)[name];
  }
  return found;
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return "?";
  return visibleText(typeof value === "string" ? value : JSON.stringify(value));
}

function bytes(value: unknown): string {
  if (typeof value !== "number") return "?";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [size, unit] = [value, 0];
  while (size >= 1024 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${size < 10 && unit > 0 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

function duration(value: unknown): string {
  if (typeof value !== "number") return "?";
  const seconds = Math.floor(value / 1_000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}
