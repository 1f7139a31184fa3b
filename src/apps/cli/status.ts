import picocolors from "picocolors";
import { at, shown, table } from "./answer-text.ts";
import { askOperators, askReadiness, type OperatorsPort } from "./operators-port.ts";

export interface StatusCommand extends OperatorsPort {
  readonly sessions: boolean;
  /** How long it is waited for a server that can take messages; null: not at all. */
  readonly waitMs: number | null;
  readonly json: boolean;
}

const root = "/admin/v1/status";

/** `synod status`: what a server says of itself, or who is connected to it. Code 1 when it can't take messages. */
export async function status(command: StatusCommand): Promise<0 | 1> {
  let answer = command.sessions && command.waitMs === null ? null : await askReadiness(command, root, command.waitMs);
  if (command.sessions) answer = await askOperators(command, "/admin/v1/sessions");
  if (command.json) {
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  } else {
    const lines = command.sessions ? sessionLines(answer) : statusLines(answer);
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  }
  return command.sessions || at(answer, "ready", "ok") === true ? 0 : 1;
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
  const clock = clockLine(at(group, "clockAheadMs"), at(group, "clockDoubtedMs"));
  if (clock !== null) rows.push(["clock", yellow(clock)]);
  const damage = at(answer, "storage", "corruptDetected");
  if (typeof damage === "number" && damage > 0) rows.push(["damage", red(`${damage} places; see the log`)]);
  const insecure = at(answer, "insecure");
  for (const risk of Array.isArray(insecure) ? insecure : []) rows.push(["insecure", yellow(shown(risk))]);
  return [
    `${bold(shown(at(answer, "node")))}  ${ready}`,
    ...rows.map(([what, value]) => `  ${what.padEnd(9)} ${value}`),
  ];
}

// The log's time never goes back; below a second it is what batches are ahead by.
function clockLine(aheadMs: unknown, doubtedMs: unknown): string | null {
  if (typeof aheadMs === "number" && aheadMs >= 1_000) {
    return `${duration(aheadMs)} behind the log, which goes on with its own time until the clock has come there`;
  }
  if (typeof doubtedMs !== "number" || Math.abs(doubtedMs) < 1_000) return null;
  const step = duration(Math.abs(doubtedMs));
  return `went ${doubtedMs > 0 ? "forward" : "back"} by ${step}, which is not believed yet`;
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
