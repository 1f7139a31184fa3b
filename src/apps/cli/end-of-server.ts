import type { Server } from "../../server/server.ts";
import type { Log } from "../../server/log.ts";
import { type ExitCode, exitCodes } from "../terminal/exit-codes.ts";
import type { ServerDoors } from "./server-doors.ts";

/** How long clients have to go elsewhere once the server was told to stop, in milliseconds. */
const drainWithinMs = 2_000;

/** How long a server whose journal failed takes at most to tell its clients, in milliseconds. */
export const failedWithinMs = 500;

/** How long what a failed start has begun takes at most to end, in milliseconds: it flushes, and finishes a segment of zeros. */
const endedWithinMs = 10_000;

/** What ends a server that runs. */
export type End =
  | { type: "signal"; signal: NodeJS.Signals }
  | { type: "failed"; cause: Error }
  /** What is on the disk is another state than the one that is served. */
  | { type: "overtaken"; because: string };

interface EndOfServer {
  /** Settles with the first. */
  readonly reached: Promise<End>;
  readonly failed: (cause: Error) => void;
}

/** Listens for what ends the server of this process: signals, a failed journal, and what nobody expected. */
export function endOfServer(log: Log): EndOfServer {
  const { promise, resolve } = withResolvers<End>();
  let signalled = false;
  const signal = (name: NodeJS.Signals): void => {
    // 128 + n is how a shell reports a process that ended by a signal.
    if (signalled) process.exit(name === "SIGINT" ? 130 : 143);
    signalled = true;
    resolve({ type: "signal", signal: name });
  };
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, signal);
  // Its default is Node's inspector: a port without a password (synod.cts keeps it shut).
  process.on("SIGUSR1", () => log.warn("signal.ignored", { signal: "SIGUSR1" }));
  const unexpected = (event: string) => (cause: unknown) => {
    log.error(event, { cause: cause instanceof Error ? cause : new Error(String(cause)) });
    process.exit(exitCodes.failed);
  };
  process.on("uncaughtException", unexpected("process.uncaught-exception"));
  process.on("unhandledRejection", unexpected("process.unhandled-rejection"));
  return { reached: promise, failed: (cause) => resolve({ type: "failed", cause }) };
}

/** What ends a server and not the process, which starts the next one. */
export function overtaking(): { reached: Promise<End>; overtaken: (because: string) => void } {
  const { promise, resolve } = withResolvers<End>();
  return { reached: promise, overtaken: (because) => resolve({ type: "overtaken", because }) };
}

/** Ends a server that runs, with its doors, for whatever reason: tells its clients, and stores what was taken if that can be. */
export async function stopFor(reason: End, parts: { server: Server; doors: ServerDoors; log: Log }): Promise<ExitCode> {
  const { server, doors, log } = parts;
  if (reason.type === "failed") {
    // What was not flushed is not known to be stored, and no later flush can be believed. Clients hear as much, and go
    // elsewhere or wait; a disk that hangs must not hold this up.
    log.error("server.failed", { cause: reason.cause });
    setTimeout(() => process.exit(exitCodes.failed), failedWithinMs);
    doors.stop();
    await server.stop(0);
    await doors.settle(failedWithinMs);
    process.exit(exitCodes.failed);
  }
  const withinMs = reason.type === "signal" ? drainWithinMs : 0;
  if (reason.type === "signal") log.info("server.stopping", { signal: reason.signal });
  doors.stop();
  await server.stop(withinMs);
  await doors.settle(withinMs);
  await doors.close();
  if (reason.type === "signal") log.info("server.stopped");
  return exitCodes.ok;
}

/** A start was ended by a signal. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";

  constructor(end: End) {
    super(`the start was ended: ${end.type}`);
  }
}

/** Ends what was begun, the newest first. False when that takes too long: a disk that hangs must not hold up the end. */
export async function endedInTime(ends: readonly (() => Promise<void>)[]): Promise<boolean> {
  if (ends.length === 0) return true;
  const { promise: late, resolve } = withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), endedWithinMs);
  const all = async (): Promise<boolean> => {
    for (const end of ends.toReversed()) await end();
    return true;
  };
  try {
    return await Promise.race([all(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: ((value: T) => void) | null = null;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve: resolve! };
}
