import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Limits } from "../../../src/base/limits.ts";
import { freePorts } from "../../../src/platform/node/free-ports.ts";
import { binaryEncoding } from "../../../src/client/binary-encoding.ts";
import { type Chat, connect } from "../../../src/client/client.ts";
import { nodeClock } from "../../../src/platform/node/node-clock.ts";
import { nodeDial } from "../../../src/platform/node/node-dial.ts";
import { nodeRandom } from "../../../src/platform/node/node-random.ts";
import type { ClusterStatus } from "../../../src/server/cluster-status.ts";
import { wholeRoom } from "./line-client.ts";
import { type Ports, runCommand, ServerProcess, until } from "./server-process.ts";

interface ClusterOptions {
  readonly limits?: Partial<Limits>;
  /** Where one server is told to dial another. @defaultValue its peer port */
  readonly dialled?: (from: string, to: string) => string;
  /** What a server's process is given besides the machine's environment. */
  readonly environment?: (name: string) => Readonly<Record<string, string>>;
  /** Where the directories are, or were left by an earlier cluster; whoever names it removes it. @defaultValue a new one */
  readonly folder?: string;
}

/** The shipped command several times on this machine: one cluster, with one secret. */
export class ClusterProcesses {
  readonly servers = new Map<string, ServerProcess>();
  readonly folder: string;
  readonly #peerPorts = new Map<string, number>();
  readonly #ports = new Map<string, Ports>();
  readonly #options: ClusterOptions;
  readonly #chats: Chat[] = [];

  private constructor(options: ClusterOptions) {
    this.#options = options;
    this.folder = options.folder ?? mkdtempSync(join(tmpdir(), "synod-cluster-"));
    writeFileSync(this.secretFile, "0123456789abcdef0123456789abcdef", { mode: 0o600 });
  }

  /** Names with peer ports; nothing runs yet. */
  static of(names: readonly string[], limits: Partial<Limits> = {}): Promise<ClusterProcesses> {
    return ClusterProcesses.with(names, { limits });
  }

  static async with(names: readonly string[], options: ClusterOptions): Promise<ClusterProcesses> {
    const cluster = new ClusterProcesses(options);
    const ports = await freePorts(names.length * 4);
    for (const [at, name] of names.entries()) {
      const [peerPort, port, tcpPort, adminPort] = ports.slice(at * 4) as [number, number, number, number];
      cluster.#peerPorts.set(name, peerPort);
      cluster.#ports.set(name, { port, tcpPort, adminPort });
    }
    return cluster;
  }

  get secretFile(): string {
    return join(this.folder, "secret");
  }

  /** The data directory of a server. */
  dataOf(name: string): string {
    return join(this.folder, name);
  }

  peerPortOf(name: string): number {
    return this.#peerPorts.get(name)!;
  }

  addressOf(name: string): string {
    return `127.0.0.1:${this.#peerPorts.get(name)!}`;
  }

  of(name: string): ServerProcess {
    return this.servers.get(name)!;
  }

  /** Gives a server its configuration. `listed`: whom it knows; none given: it was told of nobody. */
  prepare(name: string, listed: readonly string[]): ServerProcess {
    return this.#prepared(name, this.#configuration(name, listed, this.secretFile));
  }

  /** The same, with a secret of its own. */
  prepareStranger(name: string, listed: readonly string[]): ServerProcess {
    const secretFile = join(this.folder, "other-secret");
    writeFileSync(secretFile, "another0another0another0another0", { mode: 0o600 });
    return this.#prepared(name, this.#configuration(name, listed, secretFile));
  }

  /** One that is alone, on the directory that it may take into the cluster later. */
  prepareSolo(name: string): ServerProcess {
    return this.#prepared(name, { node: name });
  }

  #configuration(name: string, listed: readonly string[], secretFile: string): Record<string, unknown> {
    const dialled = this.#options.dialled ?? ((_from: string, to: string) => this.addressOf(to));
    const peers = listed.map((other) => `${other}=${other === name ? this.addressOf(name) : dialled(name, other)}`);
    return { node: name, topology: "leader", secretFile, peerPort: this.#peerPorts.get(name)!, peers };
  }

  #prepared(name: string, configuration: Readonly<Record<string, unknown>>): ServerProcess {
    const { limits = {}, environment } = this.#options;
    const data = this.dataOf(name);
    const server = new ServerProcess({ limits, configuration, data, environment: environment?.(name) ?? {} });
    server.ports = this.#ports.get(name)!;
    this.servers.set(name, server);
    return server;
  }

  /** All know one another, are begun in this order, and vote. */
  async start(order: readonly string[]): Promise<void> {
    const names = [...order].sort();
    for (const name of order) this.prepare(name, names).spawn();
    await Promise.all(order.map((name) => this.of(name).listening()));
    await this.voting(names);
  }

  /** Settles when exactly these vote, and each of them knows who leads and can take messages. */
  async voting(names: readonly string[]): Promise<void> {
    await until(
      () => this.isVoting(names),
      20,
      () => this.#lastWords(names),
    );
  }

  async isVoting(names: readonly string[]): Promise<boolean> {
    // One that can't be asked may be about to begin anew.
    const all = await Promise.all(names.map((name) => this.status(name))).catch((cause: unknown) => {
      if (cause instanceof TypeError) return null;
      throw cause;
    });
    if (all === null) return false;
    return all.every(({ ready, servers }) => {
      const voters = servers.filter(({ role }) => role === "voter").map(({ node }) => node);
      return ready.ok && voters.join() === [...names].sort().join();
    });
  }

  async status(name: string): Promise<ClusterStatus> {
    const answer = await fetch(`http://127.0.0.1:${this.of(name).ports.adminPort}/admin/v1/cluster`);
    return (await answer.json()) as ClusterStatus;
  }

  /** Who leads, as this one says; null when it knows of nobody. */
  async leader(name: string): Promise<string | null> {
    return (await this.status(name)).leader;
  }

  /** Runs `synod cluster …` against this server. */
  cluster(name: string, ...words: readonly string[]): ReturnType<typeof runCommand> {
    return runCommand(["cluster", ...words, "--url", `http://127.0.0.1:${this.of(name).ports.adminPort}`]);
  }

  /** The shipped SDK, that knows these servers. */
  chat(user: string, names: readonly string[] = [...this.servers.keys()]): Chat {
    const chat = connect(
      names.map((name) => this.of(name).tcpUrl),
      {
        user,
        dial: nodeDial({ binary: true }),
        clock: nodeClock(),
        random: nodeRandom(),
        encodings: { "binary-stream": binaryEncoding("stream") },
      },
    );
    this.#chats.push(chat);
    return chat;
  }

  /** What stands in a room, as this server has it. */
  room(name: string, room = "lobby"): ReturnType<typeof wholeRoom> {
    return wholeRoom(this.of(name).url, room);
  }

  /** Settles when these have applied the same. */
  async level(names: readonly string[]): Promise<void> {
    await until(
      async () => {
        const all = await Promise.all(names.map((name) => this.status(name)));
        return new Set(all.map(({ appliedIndex }) => appliedIndex)).size === 1;
      },
      20,
      () => this.#lastWords(names),
    );
  }

  #lastWords(names: readonly string[]): string {
    return names
      .map((name) => `${name}: ${this.of(name).log().trimEnd().split("\n").slice(-12).join("\n")}`)
      .join("\n");
  }

  /** Ends what runs, and removes what was written. */
  async dispose(): Promise<void> {
    await Promise.all(this.#chats.map((chat) => chat.close()));
    await Promise.all([...this.servers.values()].map((server) => server.dispose()));
    if (this.#options.folder === undefined) rmSync(this.folder, { recursive: true, force: true });
  }
}
