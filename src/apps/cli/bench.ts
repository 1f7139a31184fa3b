import { type BenchReport, benchOutcome } from "../bench/bench.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { visibleText } from "../terminal/visible-text.ts";
import { portsOf } from "./ports-file.ts";

export interface BenchCommand {
  /** The server's TCP address, as typed; null: looked up in the data directory. */
  readonly url: string | null;
  /** null: the usual one. */
  readonly data: string | null;
  readonly clients: number;
  readonly window: number;
  readonly body: number;
  readonly encoding: "binary" | "json";
  readonly seconds: number;
  readonly rate: number | null;
  readonly rooms: number;
  readonly processes: number;
  readonly json: boolean;
}

/** `synod bench`: loads one server and tells what it did. Code 1 when anything failed. */
export async function bench(command: BenchCommand): Promise<0 | 1> {
  const ports = command.url === null ? portsOf(command.data) : null;
  const { host, port } = addressOf(command.url, ports?.tcpPort ?? 7403);
  // Its CPU is read only where it is known to be the one that is loaded.
  const serverPids = command.url === null && ports !== null ? [ports.pid] : [];
  const { report, firstError } = await benchOutcome({
    host,
    tcpPort: port,
    token: process.env["SYNOD_TOKEN"] ?? null,
    clients: command.clients,
    window: command.window,
    bodyBytes: command.body,
    encoding: command.encoding,
    seconds: command.seconds,
    rooms: command.rooms === 1 ? ["bench"] : Array.from({ length: command.rooms }, (_, at) => `bench-${at}`),
    ...(command.rate === null ? {} : { ratePerSecond: command.rate }),
    processes: command.processes,
    serverPids,
  }).catch((cause: unknown) => {
    throw failure(cause, `${host}:${port}`);
  });
  process.stdout.write(command.json ? `${JSON.stringify(report)}\n` : reportText(report));
  if (firstError !== null) process.stderr.write(`synod: the first error was: ${visibleText(firstError)}\n`);
  return report.errors === 0 ? exitCodes.ok : exitCodes.failed;
}

function addressOf(url: string | null, port: number): { host: string; port: number } {
  if (url === null) return { host: "127.0.0.1", port };
  const whole = url.includes("://") ? url : `tcp://${url}`;
  const parsed = URL.canParse(whole) ? new URL(whole) : null;
  if (parsed?.protocol === "tcp:" && parsed.port !== "") {
    return { host: parsed.hostname.replace(/^\[|\]$/g, ""), port: Number(parsed.port) };
  }
  throw new CommandFailed(exitCodes.usage, `${url} is no TCP address; write tcp://HOST:7403`);
}

function failure(cause: unknown, where: string): CommandFailed {
  // A generator process tells its whole error; its first line is for people.
  const text = cause instanceof Error ? cause.message : String(cause);
  const why = text.split("\n")[0]!.replace(/^(?:\w*Error: )+/, "");
  if (cause instanceof RangeError) return new CommandFailed(exitCodes.usage, why, { cause });
  const next = "start a server with: synod serve";
  return new CommandFailed(exitCodes.unreachable, `the server at ${where} could not be loaded: ${why}; ${next}`, {
    cause,
  });
}

function reportText(report: BenchReport): string {
  const { clients, window, bodyBytes, encoding, seconds, acked, ratePerSecond, ackMs, deliverMs, errors } = report;
  const whole = (value: number): string => Math.round(value).toLocaleString("en");
  const latency = ({ p50, p99, p999, max }: BenchReport["ackMs"]): string =>
    [
      `p50 ${milliseconds(p50)}`,
      `p99 ${milliseconds(p99)}`,
      `p99.9 ${milliseconds(p999)}`,
      `max ${milliseconds(max)}`,
    ].join("  ");
  return [
    `${clients} clients, ${window} in flight each, ${bodyBytes} bytes, ${encoding}, ${seconds.toFixed(1)} s`,
    `  stored    ${whole(acked)}, ${whole(ratePerSecond)} a second`,
    `  stored in ${latency(ackMs)}`,
    `  read in   ${latency(deliverMs)}`,
    `  errors    ${errors}`,
    "",
  ].join("\n");
}

const milliseconds = (value: number | null): string => (value === null ? "-" : `${value.toFixed(2)} ms`);
