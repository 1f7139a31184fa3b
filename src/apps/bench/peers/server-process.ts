import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { endProcess } from "../generator-processes.ts";

/** How long a server may take until it listens. */
const readyWithinMs = 20_000;
const pollEveryMs = 5;

/**
 * The servers of one benchmark, each a process of ours. Whatever happens, none outlives it: `endAll` ends them by their
 * ids, and should this process be ended in another way, its exit kills them.
 */
export class ServerProcesses {
  private readonly running = new Set<ChildProcess>();

  constructor() {
    process.on("exit", this.killAll);
  }

  /** Starts a program; `said` of the result is the end of what it printed, for when it fails. */
  start(program: string, words: readonly string[], directory: string): StartedProcess {
    const child = spawn(program, words, { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
    return this.adopt(child);
  }

  /** Takes over a process that was started by other means. */
  adopt(child: ChildProcess): StartedProcess {
    this.running.add(child);
    const started: StartedProcess = { child, pid: child.pid ?? 0, said: "", failed: null };
    const hear = (bytes: Buffer): void => {
      started.said = (started.said + bytes.toString()).slice(-4_000);
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    child.on("error", (error) => {
      started.failed = error.message;
    });
    child.on("exit", (code, signal) => {
      this.running.delete(child);
      started.failed ??= `it ended with ${code ?? signal ?? "nothing"}`;
    });
    return started;
  }

  async end(started: StartedProcess): Promise<void> {
    await endProcess(started.child, 5_000);
  }

  async endAll(): Promise<void> {
    await Promise.all([...this.running].map((child) => endProcess(child, 2_000)));
    process.removeListener("exit", this.killAll);
  }

  private readonly killAll = (): void => {
    for (const child of this.running) child.kill("SIGKILL");
  };
}

export interface StartedProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  said: string;
  failed: string | null;
}

/** Asks again and again until the server is there; rejects, with what it printed, when it has ended or takes too long. */
export async function untilReady<T>(
  started: StartedProcess,
  what: string,
  signal: AbortSignal,
  ask: () => Promise<T | null>,
): Promise<T> {
  const until = performance.now() + readyWithinMs;
  for (;;) {
    signal.throwIfAborted();
    if (started.failed !== null) throw new Error(`${what} did not start: ${started.failed}\n${started.said}`);
    const answer = await ask();
    if (answer !== null) return answer;
    if (performance.now() > until) throw new Error(`${what} did not listen in time\n${started.said}`);
    await sleep(pollEveryMs);
  }
}

/** Whether somebody listens on this port of the loopback: an answer for `untilReady`. */
export function listens(port: number): Promise<true | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(null));
  });
}
