import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { root } from "../../scripts/repository.mjs";
import { freePorts } from "../../src/platform/node/free-ports.ts";
import type { Ports } from "../../src/apps/cli/ports-file.ts";

const program = join(root, "dist/apps/cli/synod.cjs");

/** Nothing of whoever runs the tests: their own servers and names must not matter. */
const environment = { PATH: process.env["PATH"], HOME: tmpdir() };

/** A new folder, and how to remove it. */
export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "synod-command-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** One run of `synod`, as a person or a script starts it. */
export class Command {
  output = "";
  errors = "";
  readonly child: ChildProcess;
  readonly #ended: Promise<number | null>;

  constructor(words: readonly string[], variables: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, [program, ...words], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...environment, ...variables },
    });
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.output += text;
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.errors += text;
    });
    // One that has ended takes no input any more, and says so by its exit code.
    this.child.stdin!.on("error", () => undefined);
    this.#ended = once(this.child, "close").then(([code]) => code as number | null);
  }

  say(text: string): void {
    this.child.stdin!.write(text);
  }

  /** Ends its input, and settles with its exit code; null when a signal ended it. */
  async end(): Promise<number | null> {
    this.child.stdin!.end();
    return this.#ended;
  }

  get ended(): Promise<number | null> {
    return this.#ended;
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Settles once it has written this, to either side; rejects when it ends before. */
  async writes(text: string): Promise<void> {
    while (!this.output.includes(text) && !this.errors.includes(text)) {
      if (!this.isRunning) throw new Error(`it ended without writing ${text}:\n${this.output}${this.errors}`);
      await pause(10);
    }
  }
}

export async function run(
  words: readonly string[],
  options: { input?: string; variables?: Readonly<Record<string, string>> } = {},
): Promise<{ code: number | null; output: string; errors: string }> {
  const command = new Command(words, options.variables);
  if (options.input !== undefined) command.say(options.input);
  const code = await command.end();
  return { code, output: command.output, errors: command.errors };
}

type ServePorts = Pick<Ports, "port" | "tcpPort" | "adminPort">;

/** For a server that is to come back on the ports it had: what a system gives to whoever names none, it may give to others meanwhile. */
export async function ownPorts(): Promise<ServePorts> {
  const [port, tcpPort, adminPort] = (await freePorts(3)) as [number, number, number];
  return { port, tcpPort, adminPort };
}

/** The words that start a server on this directory, on ports that are free, or on those it had before. */
export function serveWords(
  data: string,
  words: readonly string[] = [],
  at: ServePorts = { port: 0, tcpPort: 0, adminPort: 0 },
): string[] {
  const ports = ["--port", `${at.port}`, "--tcp-port", `${at.tcpPort}`, "--admin-port", `${at.adminPort}`];
  return ["serve", "--data", data, ...ports, ...words];
}

/** A server that listens. */
export type ServeCommand = Command & { readonly ports: Ports };

/** Settles once the server of `serveWords` listens. */
export async function serve(...[data, words, at]: Parameters<typeof serveWords>): Promise<ServeCommand> {
  // What a killed server left would pass for this one's.
  rmSync(join(data, "ports.json"), { force: true });
  const command = new Command(serveWords(data, words, at));
  await command.writes('"server.started"');
  return Object.assign(command, { ports: JSON.parse(readFileSync(join(data, "ports.json"), "utf8")) as Ports });
}
