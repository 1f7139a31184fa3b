import picocolors from "picocolors";
import { visibleText } from "../terminal/visible-text.ts";

const eventColumns = 28;

/** One log event as a line for people: `14:02:11.123 warn  disk.full  freeBytes=1024`. */
export function textLine(event: Readonly<Record<string, unknown>>, colour: boolean): string {
  const { level, time, event: name, ...fields } = event;
  const colours = picocolors.createColors(colour);
  const word = String(level).padEnd(5);
  const paint = level === "error" ? colours.red : level === "warn" ? colours.yellow : colours.green;
  const stacks: string[] = [];
  const words = Object.entries(fields).map(([key, value]) => {
    if (isErrorLike(value) && value.stack !== undefined) stacks.push(value.stack);
    return `${colours.dim(`${visibleText(key)}=`)}${valueText(value)}`;
  });
  const head = `${colours.dim(clockTime(String(time)))} ${paint(word)} ${visibleText(String(name)).padEnd(eventColumns)}`;
  const line = `${head} ${words.join(" ")}`.trimEnd();
  // Only what went wrong unexpectedly brings a stack, and then somebody wants to see it.
  const traces = level === "error" ? stacks.flatMap(stackLines).map((frame) => colours.dim(`    ${frame}`)) : [];
  return `${[line, ...traces].join("\n")}\n`;
}

function isErrorLike(value: unknown): value is { message: string; stack?: string } {
  return typeof value === "object" && value !== null && "message" in value && typeof value.message === "string";
}

/** The frames alone: the message stands in the line already. */
function stackLines(stack: string): string[] {
  return stack
    .split("\n")
    .filter((line) => line.trimStart().startsWith("at "))
    .map((line) => visibleText(line.trim()));
}

/** Text with a space or a quote is quoted, so that a line can be read back. */
function valueText(value: unknown): string {
  if (isErrorLike(value)) return quoted(value.message);
  if (typeof value === "string") return /^[^\s"=]+$/.test(value) ? visibleText(value) : quoted(value);
  return visibleText(JSON.stringify(value) ?? "undefined");
}

const quoted = (text: string): string => `"${visibleText(text.replaceAll('"', '\\"'))}"`;

/** The time of day of this machine's zone: a person reads it, beside a clock. */
function clockTime(iso: string): string {
  const at = new Date(iso);
  const digits = (value: number, length: number): string => String(value).padStart(length, "0");
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map((value) => digits(value, 2)).join(":");
  return `${clock}.${digits(at.getMilliseconds(), 3)}`;
}
