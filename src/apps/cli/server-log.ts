import { writeSync } from "node:fs";
import { pino } from "pino";
import type { Log } from "../../server/log.ts";
import { textLine } from "./text-line.ts";

/** Longest text of one field; stack traces fit. */
const fieldCharactersMax = 4_096;

/**
 * The log of a server on standard error: one event, one line, whatever strangers' texts hold. Written before the call
 * returns, so that the last words of a process are not lost; there are few of them.
 */
export function serverLog(options: { format: "json" | "text"; colour: boolean; write?: (line: string) => void }): Log {
  const write = options.write ?? writeToStandardError;
  const lines =
    options.format === "json"
      ? { write: (line: string) => write(escapeRest(line)) }
      : { write: textWriter(options.colour, write) };
  const logger = pino(
    {
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
    },
    lines,
  );
  return {
    info: (event, fields) => logger.info(line(event, fields)),
    warn: (event, fields) => logger.warn(line(event, fields)),
    error: (event, fields) => logger.error(line(event, fields)),
  };
}

function textWriter(colour: boolean, write: (line: string) => void): (line: string) => void {
  return (line) => write(textLine(JSON.parse(line) as Record<string, unknown>, colour));
}

/** Names that pino writes itself. */
const taken = new Set(["level", "time", "event"]);

function line(event: string, fields: Readonly<Record<string, unknown>> | undefined): Record<string, unknown> {
  const plain: Record<string, unknown> = { event };
  for (const [name, value] of Object.entries(fields ?? {}))
    plain[taken.has(name) ? `${name}_` : name] = plainValue(value);
  return plain;
}

function plainValue(value: unknown): unknown {
  if (value instanceof Error) return errorFields(value);
  if (typeof value === "string") return bounded(value);
  if (typeof value === "bigint") return value.toString();
  return value;
}

function errorFields(error: Error): Record<string, unknown> {
  const { name, message, stack, cause } = error;
  const code = "code" in error && typeof error.code === "string" ? { code: error.code } : {};
  return {
    name,
    message: bounded(message),
    ...code,
    ...(stack === undefined ? {} : { stack: bounded(stack) }),
    // One level: what a disk said to the journal that said it to the server.
    ...(cause instanceof Error ? { cause: bounded(`${cause.name}: ${cause.message}`) } : {}),
  };
}

const bounded = (text: string): string =>
  text.length <= fieldCharactersMax ? text : `${text.slice(0, fieldCharactersMax)}…`;

// JSON lets some characters through that a terminal or a line reader obeys. Inside a JSON text they stand in strings only.
const obeyed = /[\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

function escapeRest(line: string): string {
  return line.replace(obeyed, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// Whoever read the log has gone: that must not end the server.
function writeToStandardError(line: string): void {
  const bytes = Buffer.from(line);
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(2, bytes, done);
    } catch (cause) {
      const code = cause instanceof Error && "code" in cause ? cause.code : "";
      if (code === "EAGAIN") Atomics.wait(pause, 0, 0, 10);
      else return;
    }
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));
