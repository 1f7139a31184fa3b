import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { root } from "../../../scripts/repository.mjs";
import type { Limits } from "../../../src/base/limits.ts";
import { ownPorts } from "../command.ts";

const command = join(root, "dist/apps/cli/synod.cjs");

export interface Ports {
  readonly port: number;
  readonly tcpPort: number;
  readonly adminPort: number;
}

/** How a process ended: a code, or the signal that ended it. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ServerOptions {
  readonly limits?: Partial<Limits>;
  /** A directory that is there already, or will be; its owner removes it. @defaultValue a new one, removed in the end */
  readonly data?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Further keys of the configuration file: what makes it one of several. */
  readonly configuration?: Readonly<Record<string, unknown>>;
}

/**
 * The shipped command on a directory of its own: it can die at any moment and come back on the ports it had.
 *
 * Everything that its lives wrote on standard error is kept in one file, so that a log of any length blocks nobody.
 */
export class ServerProcess {
  /** The data directory. */
  readonly data: string;
  ports: Ports = { port: 0, tcpPort: 0, adminPort: 0 };
  /** Lives begun. */
  starts = 0;
  readonly #folder: string;
  readonly #configuration: string;
  readonly #environment: Readonly<Record<string, string>>;
  #child: ChildProcess | null = null;
  #ended: Promise<Ending> = Promise.resolve({ code: null, signal: null });

  constructor(options: ServerOptions = {}) {
    this.#folder = mkdtempSync(join(tmpdir(), "synod-process-"));
    this.data = options.data ?? join(this.#folder, "data");
    this.#environment = options.environment ?? {};
    this.#configuration = join(this.#folder, "configuration.yaml");
    writeFileSync(
      this.#configuration,
      JSON.stringify({ ...options.configuration, limits: options.limits ?? {}, log: "json" }),
    );
  }

  /** A server that listens. */
  static async start(options: ServerOptions = {}): Promise<ServerProcess> {
    const server = new ServerProcess(options);
    server.ports = await ownPorts();
    try {
      server.spawn();
      await server.listening();
    } catch (cause) {
      await server.dispose();
      throw cause;
    }
    return server;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get url(): string {
    return `http://127.0.0.1:${this.ports.port}`;
  }

  get webSocketUrl(): string {
    return `ws://127.0.0.1:${this.ports.port}`;
  }

  get tcpUrl(): string {
    return `tcp://127.0.0.1:${this.ports.tcpPort}`;
  }

  /** Begins a life, and does not wait for anything. */
  spawn(): void {
    const { port, tcpPort, adminPort } = this.ports;
    const words = ["serve", "--data", this.data, "--config", this.#configuration];
    const wanted = ["--port", `${port}`, "--tcp-port", `${tcpPort}`, "--admin-port", `${adminPort}`];
    // What a killed server left would pass for this one's.
    rmSync(this.#portsFile, { force: true });
    const log = openSync(this.#logFile, "a");
    const child = spawn(process.execPath, [command, ...words, ...wanted], {
      stdio: ["ignore", "ignore", log],
      env: { PATH: process.env["PATH"], ...this.#environment },
    });
    closeSync(log);
    this.#child = child;
    this.starts++;
    this.#ended = once(child, "exit").then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
    }));
  }

  /** Settles once clients can connect; rejects when the process ends before. */
  async listening(): Promise<void> {
    for (;;) {
      if (this.isListening()) return;
      if (!this.isRunning) {
        const { code, signal } = await this.#ended;
        throw new Error(`the server ended (${signal ?? code}) before it listened:\n${this.log().slice(-4_000)}`);
      }
      await pause(5);
    }
  }

  /** Whether the life that was begun last listens. */
  isListening(): boolean {
    let text: string;
    try {
      text = readFileSync(this.#portsFile, "utf8");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw cause;
    }
    const found = JSON.parse(text) as Ports & { pid: number };
    if (found.pid !== this.pid) return false;
    this.ports = { port: found.port, tcpPort: found.tcpPort, adminPort: found.adminPort };
    return true;
  }

  get isRunning(): boolean {
    const child = this.#child;
    return child !== null && child.exitCode === null && child.signalCode === null;
  }

  /** How the life that was begun last ends, or ended. */
  get ended(): Promise<Ending> {
    return this.#ended;
  }

  /** As the process dies without a word; settles when it is gone. */
  kill(): Promise<Ending> {
    this.#child?.kill("SIGKILL");
    return this.#ended;
  }

  /** As if it had no processor: it does nothing until `thaw`, and its connections stay. */
  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /** Asks it to stop in good order; settles when it is gone. */
  stop(): Promise<Ending> {
    this.#child?.kill("SIGTERM");
    return this.#ended;
  }

  /** Ends what runs, and removes what was written. */
  async dispose(): Promise<void> {
    if (this.isRunning) await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** What all its lives wrote on standard error. */
  log(): string {
    return readFileSync(this.#logFile, "utf8");
  }

  /** The lines of the log that speak of something that must not happen. */
  faults(): string[] {
    // A line that is cut short was being written when its process was killed.
    return this.log()
      .split("\n")
      .filter((line) => line.includes('"level":"error"') || (line !== "" && !line.startsWith("{")));
  }

  /** Resident memory in bytes. */
  residentBytes(): number {
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"));
    if (found === null) throw new Error(`nothing is told of the memory of process ${this.pid}`);
    return Number(found[1]) * 1024;
  }

  async status(): Promise<ServerStatus> {
    const answer = await fetch(`http://127.0.0.1:${this.ports.adminPort}/admin/v1/status`);
    return (await answer.json()) as ServerStatus;
  }

  get #portsFile(): string {
    return join(this.data, "ports.json");
  }

  get #logFile(): string {
    return join(this.#folder, "log");
  }
}

/** The part of the operator's status that is looked at here. */
export interface ServerStatus {
  readonly ready: boolean;
  readonly storage: { readonly readOnly: boolean; readonly corruptDetected: number; readonly fsyncErrors: number };
  readonly clients: {
    readonly connections: number;
    readonly slowDropped: number;
    readonly rejected: number;
    readonly heldBytes: number;
  };
}

/** Runs the command to its end, as a person would who made a mistake. */
export async function runCommand(
  words: readonly string[],
): Promise<Ending & { readonly output: string; readonly errors: string }> {
  const child = spawn(process.execPath, [command, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    // Where the whole suite is run by a machine that builds, CI is set, and the commands print colours.
    env: { ...process.env, NO_COLOR: "1" },
  });
  let output = "";
  let errors = "";
  child.stdout.on("data", (text: Buffer) => {
    output += text.toString();
  });
  child.stderr.on("data", (text: Buffer) => {
    errors += text.toString();
  });
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { code, signal, output, errors };
}

/** Many times what anything here takes on a machine that is busy with other things. */
const patienceMs = 100_000;

/** Waits for what must come; what is asked may be costly. Rejects with what it waited for, and `lastSeen`, when it does not. */
export async function until(
  what: () => boolean | Promise<boolean>,
  everyMs = 20,
  lastSeen: () => string = () => "",
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  while (!(await what())) {
    if (performance.now() > giveUpAt) {
      throw new Error(`not within ${patienceMs / 1_000} s: ${what.toString()}\n${lastSeen()}`);
    }
    await pause(everyMs);
  }
}
