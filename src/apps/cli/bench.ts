import { errorCodes } from "../../base/error-codes.ts";
import { type BenchReport, benchOutcome } from "../bench/bench.ts";
import type { Proof } from "../bench/identity.ts";
import type { LoadClient } from "../bench/job.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { subjectOf, tokenOf } from "../terminal/open-client.ts";
import { visibleText } from "../terminal/visible-text.ts";
import { secretIn } from "./authenticate.ts";
import { portsOf } from "./ports-file.ts";

export interface BenchCommand {
  /** The server's TCP address, as typed; null: looked up in the data directory. */
  readonly url: string | null;
  /** null: the usual one. */
  readonly data: string | null;
  /** The token that every connection shows. */
  readonly tokenFile: string | null;
  /** What makes a token for each connection, as the server's `auth.secretFile`, `auth.audience` and `auth.issuer`. */
  readonly secretFile: string | null;
  readonly audience: string;
  readonly issuer: string | null;
  readonly clients: number;
  readonly window: number;
  readonly body: number;
  readonly encoding: "binary" | "json";
  readonly client: LoadClient;
  readonly seconds: number;
  readonly rate: number | null;
  readonly rooms: number;
  readonly processes: number;
  readonly json: boolean;
}

/** `synod bench`: loads one server and tells what it did. Code 1 when anything failed. */
export async function bench(command: BenchCommand): Promise<0 | 1> {
  const ports = command.url === null || command.data !== null ? portsOf(command.data) : null;
  const { host, port } = addressOf(command.url, ports?.tcpPort ?? 7403);
  // Its CPU is read only where it is known to be the one that is loaded.
  if (ports !== null && ports.tcpPort !== port) {
    const other = `the server of ${command.data} has TCP port ${ports.tcpPort}, and ${command.url} names another`;
    throw new CommandFailed(exitCodes.usage, `${other}; name one of the two`);
  }
  const serverPids = ports === null ? [] : [ports.pid];
  const proof = await proofOf(command, process.env["SYNOD_TOKEN"] ?? null);
  const { report, firstError } = await benchOutcome({
    host,
    tcpPort: port,
    proof,
    clients: command.clients,
    window: command.window,
    bodyBytes: command.body,
    encoding: command.encoding,
    client: command.client,
    seconds: command.seconds,
    rooms:
      command.rooms === 1 ? ["bench"] : Array.from({ length: command.rooms }, (_, at) => roomName(at, command.rooms)),
    ...(command.rate === null ? {} : { ratePerSecond: command.rate }),
    processes: command.processes,
    serverPids,
  }).catch((cause: unknown) => {
    throw failure(cause, `${host}:${port}`);
  });
  process.stdout.write(command.json ? `${JSON.stringify(report)}\n` : reportText(report));
  if (report.serverCpuSecondsPerMillion === null) process.stderr.write(`synod: ${cpuUnknown(serverPids.length > 0)}\n`);
  if (firstError !== null) process.stderr.write(`synod: the first error was: ${visibleText(firstError)}\n`);
  return report.errors === 0 ? exitCodes.ok : exitCodes.failed;
}

const cpuUnknown = (isNamed: boolean): string =>
  isNamed
    ? "the server's CPU could not be read"
    : "the server's CPU is not known: name its data directory with --data, where it runs on this machine";

async function proofOf(command: BenchCommand, variable: string | null): Promise<Proof | null> {
  const { tokenFile, secretFile, audience, issuer } = command;
  if (secretFile !== null) {
    if (tokenFile !== null)
      throw new CommandFailed(exitCodes.usage, "--token-file and --auth-secret-file don't go together");
    const secretBase64 = Buffer.from(await secretIn(secretFile)).toString("base64");
    return { type: "secret", secretBase64, audience, issuer };
  }
  const token = await tokenOf(tokenFile, variable);
  if (token === null) return null;
  const user = subjectOf(token);
  if (user === null)
    throw new CommandFailed(exitCodes.usage, "the token names nobody: it is no JSON Web Token with sub");
  return { type: "token", user, token };
}

/** All of a load's rooms have names of one length: a frame is built once and only its digits change. */
const roomName = (at: number, rooms: number): string => `bench-${String(at).padStart(String(rooms - 1).length, "0")}`;

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
  const code = /^(\w+): /.exec(why)?.[1] ?? "";
  if (Object.hasOwn(errorCodes, code)) {
    const proof =
      code === "unauthorized" ? "; it asks for tokens: --auth-secret-file, --token-file or SYNOD_TOKEN" : "";
    return new CommandFailed(exitCodes.refused, `the server at ${where} refused: ${why}${proof}`, { cause });
  }
  // Somebody listens there, and ends the connection in one way or the other instead of answering the greeting.
  const next = /^hello: |^protocol: |the server closed the connection$/.test(why)
    ? "is it Synod's TCP port (7403), and not another one?"
    : "start a server with: synod serve";
  return new CommandFailed(exitCodes.unreachable, `the server at ${where} could not be loaded: ${why}; ${next}`, {
    cause,
  });
}

function reportText(report: BenchReport): string {
  const { clients, window, bodyBytes, encoding, client, seconds, acked, ratePerSecond, ackMs, deliverMs } = report;
  const whole = (value: number): string => Math.round(value).toLocaleString("en");
  const latency = ({ p50, p99, p999, max }: BenchReport["ackMs"]): string =>
    [
      `p50 ${milliseconds(p50)}`,
      `p99 ${milliseconds(p99)}`,
      `p99.9 ${milliseconds(p999)}`,
      `max ${milliseconds(max)}`,
    ].join("  ");
  return [
    `${clients} clients, ${window} in flight each, ${bodyBytes} bytes, ${encoding}${client === "sdk" ? " by the SDK" : ""}, ${seconds.toFixed(1)} s`,
    `  stored    ${whole(acked)}, ${whole(ratePerSecond)} a second`,
    `  stored in ${latency(ackMs)}`,
    `  read in   ${latency(deliverMs)}`,
    `  CPU       server ${cpu(report.serverCpuSecondsPerMillion)}, clients ${cpu(report.clientCpuSecondsPerMillion)} for a million`,
    `  errors    ${report.errors}`,
    "",
  ].join("\n");
}

const cpu = (seconds: number | null): string => (seconds === null ? "-" : `${seconds.toPrecision(3)} s`);

const milliseconds = (value: number | null): string => (value === null ? "-" : `${value.toFixed(2)} ms`);
