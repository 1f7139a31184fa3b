import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { portsFile } from "../ports-file.ts";

const program = fileURLToPath(new URL("./demo-server.js", import.meta.url));

/** How long a server has to stop in good order before it is ended. */
const stopWithinMs = 4_000;

export interface ChildPorts {
  readonly port: number;
  readonly tcpPort: number;
  readonly adminPort: number;
  readonly peerPort: number;
}

/** What the process of a server is doing. `stopped`: it has ended, by whoever's hand. */
export type ChildState = "starting" | "running" | "paused" | "stopped";

/** One server of the demonstration, over all its lives: a process that can be killed, frozen, and given a slow disk. */
export class ServerChild {
  readonly name: string;
  readonly ports: ChildPorts;
  readonly data: string;
  readonly #folder: string;
  readonly #changed: (child: ServerChild) => void;
  #child: ChildProcess | null = null;
  #state: ChildState = "stopped";
  #slowMs = 0;

  constructor(options: {
    readonly name: string;
    readonly folder: string;
    readonly ports: ChildPorts;
    /** Where it reaches each of the cluster, itself included: NAME=HOST:PORT. */
    readonly peers: readonly string[];
    readonly secretFile: string;
    readonly changed: (child: ServerChild) => void;
  }) {
    const { name, folder, ports, peers, secretFile } = options;
    this.name = name;
    this.ports = ports;
    this.#folder = folder;
    this.#changed = options.changed;
    this.data = join(folder, name);
    const { port, tcpPort, adminPort, peerPort } = ports;
    const where = { data: this.data, node: name, port, tcpPort, adminPort, peerPort };
    // Segments of the usual size would make a demonstration of a few messages write a gigabyte.
    const limits = { segmentBytes: 8 * 1024 * 1024, diskReserveBytes: 16 * 1024 * 1024 };
    const configuration = { ...where, topology: "leader", peers, secretFile, log: "json", limits };
    writeFileSync(this.#configurationFile, JSON.stringify(configuration), { mode: 0o600 });
  }

  get state(): ChildState {
    return this.#state;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** How much longer each of its flushes takes than the disk needs. */
  get slowMs(): number {
    return this.#slowMs;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.ports.adminPort}`;
  }

  /** Begins a life, unless one runs. Does not wait until clients can connect. */
  start(): void {
    if (this.#state !== "stopped") return;
    rmSync(join(this.data, portsFile), { force: true });
    const log = openSync(join(this.#folder, `${this.name}.log`), "a", 0o600);
    const child = spawn(process.execPath, [program, this.#configurationFile], {
      stdio: ["ignore", "ignore", log, "ipc"],
      env: { PATH: process.env["PATH"], UV_THREADPOOL_SIZE: "16" },
      // Ctrl-C at the terminal is for whoever started the demonstration, who ends its servers.
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    // It may end while it is told something.
    child.on("error", () => undefined);
    child.once("exit", () => {
      if (this.#child !== child) return;
      this.#child = null;
      this.#slowMs = 0;
      this.#become("stopped");
    });
    this.#become("starting");
    this.#untilListening(child).catch(() => undefined);
  }

  /** As the process dies without a word. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL", stopWithinMs);
  }

  /** In good order, within a few seconds; one that does not answer is killed. */
  async stop(): Promise<void> {
    this.resume();
    await this.#end("SIGTERM", stopWithinMs);
  }

  /** Freezes the process: it neither works nor dies. */
  pause(): void {
    if (this.#state !== "running" && this.#state !== "starting") return;
    this.#child?.kill("SIGSTOP");
    this.#become("paused");
  }

  resume(): void {
    if (this.#state !== "paused") return;
    this.#child?.kill("SIGCONT");
    this.#become(this.#isListening() ? "running" : "starting");
  }

  /** Every flush takes so much longer; 0: as long as the disk needs. */
  slow(delayMs: number): void {
    if (this.#child === null) return;
    this.#child.send({ delayMs });
    this.#slowMs = delayMs;
    this.#changed(this);
  }

  /** The last that it wrote to its log. */
  lastWords(): string {
    return readFileSync(join(this.#folder, `${this.name}.log`), "utf8").slice(-2_000);
  }

  get #configurationFile(): string {
    return join(this.#folder, `${this.name}.yaml`);
  }

  #become(state: ChildState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#changed(this);
  }

  async #untilListening(child: ChildProcess): Promise<void> {
    while (this.#child === child) {
      if (this.#state === "starting" && this.#isListening()) this.#become("running");
      if (this.#state === "running") return;
      await pause(20);
    }
  }

  #isListening(): boolean {
    try {
      const found = JSON.parse(readFileSync(join(this.data, portsFile), "utf8")) as { readonly pid: number };
      return found.pid === this.pid;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw cause;
    }
  }

  async #end(signal: NodeJS.Signals, withinMs: number): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
    });
    child.kill(signal);
    const late = setTimeout(() => child.kill("SIGKILL"), withinMs);
    await ended;
    clearTimeout(late);
  }
}
