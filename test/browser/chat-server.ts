import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { root } from "../../scripts/repository.mjs";

interface FoundPorts {
  readonly port: number;
  readonly tcpPort: number;
  readonly adminPort: number;
  readonly pid: number;
}

/** The shipped command, as a process of its own on a directory of its own. It can die and come back on its ports. */
export class ChatServer {
  readonly directory = mkdtempSync(join(tmpdir(), "synod-browser-"));
  #process: ChildProcess | null = null;
  #port = 0;
  #tcpPort = 0;
  #adminPort = 0;
  #log = "";

  readonly #words: readonly string[];

  private constructor(words: readonly string[]) {
    this.#words = words;
  }

  /** `words`: settings besides those of where it is. */
  static async start(words: readonly string[] = []): Promise<ChatServer> {
    const server = new ChatServer(words);
    await server.start();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  get tcpUrl(): string {
    return `tcp://127.0.0.1:${this.#tcpPort}`;
  }

  /** Settles once it listens: on the ports it had before, if it ran before. */
  async start(): Promise<void> {
    rmSync(join(this.directory, "ports.json"), { force: true });
    const words = ["serve", "--data", this.directory, "--admin-port", "0", ...this.#words];
    const ports = ["--port", String(this.#port), "--tcp-port", String(this.#tcpPort)];
    const child = spawn(process.execPath, [join(root, "dist/apps/cli/main.js"), ...words, ...ports], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    const note = (text: Buffer): void => {
      this.#log = `${this.#log}${text.toString()}`.slice(-20_000);
    };
    child.stdout.on("data", note);
    child.stderr.on("data", note);
    const closed = new Promise((resolve) => {
      child.once("close", resolve);
    });
    for (;;) {
      if (child.exitCode !== null) {
        // Its last words may come after its end.
        await closed;
        throw new Error(`the server ended with ${child.exitCode}:\n${this.#log}`);
      }
      const found = this.#readPorts();
      if (found !== null && found.pid === child.pid) {
        this.#port = found.port;
        this.#tcpPort = found.tcpPort;
        this.#adminPort = found.adminPort;
        return;
      }
      await pause(20);
    }
  }

  /** As the power goes: nothing is said and nothing is flushed. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Another server, on an empty directory, takes its place. */
  async replace(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory);
    await this.start();
  }

  async stop(): Promise<void> {
    await this.#end("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => {
      child.once("exit", resolve);
    });
    child.kill(signal);
    await ended;
  }

  /** What somebody does over HTTP, such as from another device. */
  async request(user: string, method: string, path: string, fields: object = {}): Promise<void> {
    const headers = { "synod-user": user, "content-type": "application/json" };
    const response = await fetch(`${this.url}v1/${path}`, { method, headers, body: JSON.stringify(fields) });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  }

  /** What an operator does with a room. */
  async operate(room: string, operation: string, fields: object): Promise<void> {
    const url = `http://127.0.0.1:${this.#adminPort}/admin/v1/rooms/${room}/${operation}`;
    const response = await fetch(url, { method: "POST", body: JSON.stringify(fields) });
    if (!response.ok) throw new Error(`${operation}: ${response.status} ${await response.text()}`);
  }

  #readPorts(): FoundPorts | null {
    try {
      return JSON.parse(readFileSync(join(this.directory, "ports.json"), "utf8")) as FoundPorts;
    } catch (error) {
      // Not there yet.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }
}
