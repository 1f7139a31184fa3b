import picocolors from "picocolors";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { at, shown, table } from "./answer-text.ts";
import { askOperators } from "./operators-port.ts";

export interface TraceCommand {
  readonly cid: string;
  /** Operators' ports, with commas; null: the one of `data`. */
  readonly url: string | null;
  readonly data: string | null;
  readonly tokenFile: string | null;
  readonly room: string | null;
  readonly from: string | null;
  readonly json: boolean;
}

const steps = ["send", "append", "flush", "commit", "deliver"] as const;

/**
 * `synod trace CID`: asks servers where a message is, and prints when it went which step of its way on each. Code 1 when
 * none of those that answered knows it.
 */
export async function trace(command: TraceCommand): Promise<0 | 1> {
  const { cid, room, from, data, tokenFile, json } = command;
  if ((room === null) !== (from === null)) throw new CommandFailed(exitCodes.usage, "--room and --from go together");
  const query =
    room === null || from === null ? "" : `?room=${encodeURIComponent(room)}&from=${encodeURIComponent(from)}`;
  const path = `/admin/v1/trace/${encodeURIComponent(cid)}${query}`;
  const urls = command.url === null ? [null] : command.url.split(",").map((url) => url.trim());
  const outcomes = await Promise.allSettled(urls.map((url) => askOperators({ url, data, tokenFile }, path)));
  const answers = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const failed = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
  // One server that is down is no reason not to say what the others know.
  if (answers.length === 0) throw failed[0];
  const isKnown = answers.some((answer) => messagesIn(answer).length > 0);
  const lines = json ? answers.map((answer) => JSON.stringify(answer)) : answers.flatMap((answer) => linesOf(answer));
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  for (const cause of failed) if (cause instanceof CommandFailed) process.stderr.write(`synod: ${cause.message}\n`);
  return isKnown ? exitCodes.ok : exitCodes.failed;
}

function messagesIn(answer: unknown): readonly unknown[] {
  const messages = at(answer, "messages");
  return Array.isArray(messages) ? messages : [];
}

function linesOf(answer: unknown): string[] {
  const node = picocolors.bold(shown(at(answer, "node")));
  const messages = messagesIn(answer);
  if (messages.length === 0) {
    const searched = shown(at(answer, "searched"));
    return [
      `${node}  not among the ${searched} messages in memory; name --room and --from to look in all that is kept`,
    ];
  }
  return messages.flatMap((message) => [
    `${node}  ${placeOf(message)}`,
    ...stepLines(message).map((line) => `  ${line}`),
  ]);
}

function placeOf(message: unknown): string {
  const room = shown(at(message, "room"));
  const whose = `${room.startsWith("@") ? room : `#${room}`}, from ${shown(at(message, "from"))}`;
  switch (at(message, "state")) {
    case "gathered":
      return `${whose}: waits for somebody who orders it`;
    case "in-log":
      return `${whose}: entry ${shown(at(message, "entry"))} of the log here, waits for a quorum`;
    default: {
      const entry = at(message, "entry");
      const where = `${whose}: stored as ${shown(at(message, "seq"))}`;
      if (typeof entry !== "number") return `${where}; when it went its way is not kept any more`;
      const count = at(message, "messagesInEntry");
      const batch = count === 1 ? "alone" : `with ${shown(count)} messages`;
      return `${where}, entry ${entry} ${batch}, term ${shown(at(message, "epoch"))}`;
    }
  }
}

function stepLines(message: unknown): string[] {
  const told = at(message, "steps");
  const known: readonly unknown[] = Array.isArray(told) ? told : [];
  if (known.length === 0) return [];
  const rows = steps.map((step) => {
    const one = known.find((candidate) => at(candidate, "step") === step);
    const time = at(one, "at");
    if (typeof time !== "number") return [step, "-", ""];
    return [step, new Date(time).toISOString().slice(11, 23), `+${Number(at(one, "afterMs")).toFixed(3)} ms`];
  });
  return table(rows);
}
