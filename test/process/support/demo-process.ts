import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { root } from "../../../scripts/repository.mjs";

/** What the demonstration counts. */
export interface Books {
  readonly said: number;
  readonly acknowledged: number;
  readonly stored: number;
  readonly delivered: number;
  readonly lost: number;
  readonly twice: number;
  readonly disordered: number;
  readonly differ: number;
  readonly verified: { readonly upto: number; readonly servers: number } | null;
}

/** What must come and has not come by then will not: many times what it takes where nothing else runs. */
const patienceMs = 90_000;
/** The last lines of a server's log that a wait in vain shows. */
const logLines = 12;

/** `synod demo` as somebody starts it at a terminal, and what its page would be told. */
export class DemoProcess {
  output = "";
  errors = "";
  books: Books | null = null;
  /** Who leads, as each server says, with its term. */
  readonly leaders = new Map<string, { readonly leader: string | null; readonly term: number }>();
  readonly processes = new Map<string, { readonly state: string; readonly pid: number | null }>();
  /** Which server each person is connected to. */
  readonly #people = new Map<string, string | null>();
  #isTold = true;
  readonly said: { readonly seq: number; readonly cid: string }[] = [];
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  #reading: Promise<void> = Promise.resolve();

  constructor(words: readonly string[] = []) {
    this.child = spawn(process.execPath, [join(root, "dist/apps/cli/synod.cjs"), "demo", "--no-open", ...words], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1" },
    });
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => (this.output += text));
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => (this.errors += text));
    this.ended = once(this.child, "close").then(([code]) => code as number | null);
  }

  /** Settles once its page is there, and listens to what that is told. */
  static async start(words: readonly string[] = []): Promise<DemoProcess> {
    const demo = new DemoProcess(words);
    await demo.until("it says where its page is", () => /^ {2}page|^\{"page"/m.test(demo.output));
    const response = await fetch(`${demo.url}demo/v1/stream`);
    demo.#reading = demo.#read(response);
    return demo;
  }

  get url(): string {
    return /page\W+(http:[^\s"]+)/.exec(this.output)![1]!;
  }

  get folder(): string {
    return /files\W+(\/[^\s"]+)/.exec(this.output)![1]!;
  }

  /** The operators' port of a server. */
  operatorsOf(name: string): string {
    const { adminPort } = JSON.parse(readFileSync(join(this.folder, name, "ports.json"), "utf8")) as {
      adminPort: number;
    };
    return `http://127.0.0.1:${adminPort}`;
  }

  get pids(): number[] {
    return [...this.processes.values()].flatMap(({ pid }) => (pid === null ? [] : [pid]));
  }

  /** Who leads, when the servers that run agree on it; null: they don't. */
  get leader(): string | null {
    const running = [...this.processes].filter(([, { state }]) => state === "running").map(([name]) => name);
    const told = running.map((name) => this.leaders.get(name)?.leader ?? null);
    return told.length > 1 && new Set(told).size === 1 ? told[0]! : null;
  }

  /** What was acknowledged is stored and delivered, so many messages or more, and nothing is wrong. */
  isEven(atLeast: number): boolean {
    const { books } = this;
    if (books === null || books.acknowledged < atLeast) return false;
    return books.acknowledged === books.stored && books.stored === books.delivered;
  }

  async act(act: object, headers: Readonly<Record<string, string>> = {}): Promise<number> {
    const response = await fetch(`${this.url}demo/v1/act`, { method: "POST", headers, body: JSON.stringify(act) });
    return response.status;
  }

  /** Waits for what must come; rejects with what it last saw when that does not come, or can't any more. */
  async until(awaited: string, what: () => boolean): Promise<void> {
    const giveUpAt = performance.now() + patienceMs;
    while (!what()) {
      const hasEnded = this.child.exitCode !== null || this.child.signalCode !== null;
      const why = hasEnded ? "it has ended" : !this.#isTold ? "the page is told nothing more" : "it does not come";
      if (hasEnded || !this.#isTold || performance.now() > giveUpAt) {
        throw new Error(`waited until ${awaited}: ${why}\n${this.#lastSeen()}`);
      }
      await pause(20);
    }
  }

  #lastSeen(): string {
    const logs = [...this.processes.keys()].map((name) => {
      const file = join(this.folder, `${name}.log`);
      const lines = existsSync(file) ? readFileSync(file, "utf8").trimEnd().split("\n").slice(-logLines) : ["(no log)"];
      return `${name} wrote:\n${lines.join("\n")}`;
    });
    return [
      `books: ${JSON.stringify(this.books)}`,
      `processes: ${JSON.stringify(Object.fromEntries(this.processes))}`,
      `as servers see it: ${JSON.stringify(Object.fromEntries(this.leaders))}`,
      `people are with: ${JSON.stringify(Object.fromEntries(this.#people))}`,
      ...logs,
      `it printed:\n${this.output}${this.errors}`,
    ].join("\n");
  }

  /** Ends it as Ctrl-C does; answers its exit code. */
  async interrupt(): Promise<number | null> {
    this.child.kill("SIGINT");
    const code = await this.ended;
    await this.#reading;
    return code;
  }

  async dispose(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  async #read(response: Response): Promise<void> {
    let text = "";
    const decoder = new TextDecoder();
    try {
      for await (const piece of response.body!) {
        text += decoder.decode(piece, { stream: true });
        const blocks = text.split("\n\n");
        text = blocks.pop()!;
        for (const block of blocks) this.#take(JSON.parse(/^data: (.*)$/m.exec(block)![1]!) as Record<string, unknown>);
      }
    } catch (cause) {
      // It was killed.
      if (!(cause instanceof TypeError)) throw cause;
    } finally {
      this.#isTold = false;
    }
  }

  #take(told: Record<string, unknown>): void {
    const server = String(told["server"]);
    if (told["type"] === "count") this.books = told as unknown as Books;
    else if (told["type"] === "said") this.said.push(told as unknown as { seq: number; cid: string });
    else if (told["type"] === "person") this.#people.set(String(told["person"]), told["server"] as string | null);
    else if (told["type"] === "process")
      this.processes.set(server, told as unknown as { state: string; pid: number | null });
    else if (told["type"] === "status") {
      this.leaders.set(server, told["status"] as { leader: string | null; term: number });
    } else if (told["type"] === "servers") {
      for (const one of told["servers"] as { name: string; state: string; pid: number | null }[]) {
        this.processes.set(one.name, one);
      }
    }
  }
}

/** Whether a process is there. */
export function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw cause;
  }
}
