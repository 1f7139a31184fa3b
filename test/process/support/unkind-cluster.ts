import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Limits } from "../../../src/base/limits.ts";
import type { Random } from "../../../src/base/random.ts";
import type { Chat } from "../../../src/client/client.ts";
import { chatVia, type Way } from "./chat-clients.ts";
import { ClusterProcesses } from "./cluster-processes.ts";
import { CuttableLink, type LinkState } from "./cuttable-link.ts";
import { type Ending, runCommand, type ServerProcess, until } from "./server-process.ts";
import { buildUnkindMachine, UnkindMachine } from "./unkind-machine.ts";

export const names = ["n1", "n2", "n3"] as const;
export type Name = (typeof names)[number];

/** Somebody who asks a server that is stopped waits no longer than this. */
const answerWithinMs = 400;
/** A server that ended by itself is started again after this, as a supervisor would. */
const restartAfterMs = 200;
/** A server that can't be had back in this time will not come. */
const backWithinMs = 60_000;

/** A process that ended though nobody had ended it. */
interface Exit extends Ending {
  readonly name: Name;
  /** The last line of its log that speaks of an error or a reason. */
  readonly lastWords: string;
}

/**
 * Three servers of one cluster, each on a machine that can be made unkind, with a link that can be cut between every two
 * of them, and between every client and every server. What ends by itself is started again.
 */
export class UnkindCluster {
  readonly cluster: ClusterProcesses;
  readonly exits: Exit[] = [];
  readonly #machines: ReadonlyMap<Name, UnkindMachine>;
  readonly #peerLinks: ReadonlyMap<string, CuttableLink>;
  readonly #clientLinks: { readonly server: Name; readonly link: CuttableLink }[] = [];
  readonly #library: { remove(): void };
  /** Servers that are to run, by the count of their present life. */
  readonly #wanted = new Map<Name, number>();
  readonly #frozen = new Set<Name>();
  /** Servers whose machine has no power just now. */
  readonly #dark = new Set<Name>();
  /** What was lost with the power, of all machines together. */
  readonly lost = { times: 0, bytes: 0, names: 0, cut: 0 };

  private constructor(parts: {
    cluster: ClusterProcesses;
    machines: ReadonlyMap<Name, UnkindMachine>;
    peerLinks: ReadonlyMap<string, CuttableLink>;
    library: { remove(): void };
  }) {
    this.cluster = parts.cluster;
    this.#machines = parts.machines;
    this.#peerLinks = parts.peerLinks;
    this.#library = parts.library;
  }

  /** Settles when all three vote. `folder`: where the directories are, or were left by an earlier one. */
  static async start(options: { limits: Partial<Limits>; folder?: string }): Promise<UnkindCluster> {
    const library = buildUnkindMachine();
    const machines = new Map<Name, UnkindMachine>();
    const peerLinks = new Map<string, CuttableLink>();
    const cluster = await ClusterProcesses.with(names, {
      ...options,
      dialled: (from, to) => `127.0.0.1:${peerLinks.get(`${from} ${to}`)!.port}`,
      environment: (name) => machines.get(name as Name)!.environment,
    });
    for (const from of names) {
      for (const to of names) {
        if (from === to) continue;
        peerLinks.set(`${from} ${to}`, await CuttableLink.open(() => cluster.peerPortOf(to)));
      }
    }
    for (const name of names) {
      const data = cluster.dataOf(name);
      // The library looks after what is in a folder, not after the folder itself.
      if (!existsSync(data)) mkdirSync(data, { mode: 0o700 });
      const folder = join(cluster.folder, `${name}-machine`);
      machines.set(name, new UnkindMachine({ library: library.library, folder, data }));
    }
    const made = new UnkindCluster({ cluster, machines, peerLinks, library });
    try {
      for (const name of names) {
        cluster.prepare(name, names);
        made.start(name);
      }
      await Promise.all(names.map((name) => made.of(name).listening()));
      await cluster.voting(names);
    } catch (cause) {
      await made.dispose();
      throw cause;
    }
    return made;
  }

  of(name: Name): ServerProcess {
    return this.cluster.of(name);
  }

  machine(name: Name): UnkindMachine {
    return this.#machines.get(name)!;
  }

  /** A client of the SDK that knows all servers, and reaches each over a link of its own. */
  async chat(user: string, way: Way): Promise<Chat> {
    const urls: string[] = [];
    for (const server of names) {
      const tcp = way.startsWith("TCP");
      const port = (): number => (tcp ? this.of(server).ports.tcpPort : this.of(server).ports.port);
      const link = await CuttableLink.open(port);
      this.#clientLinks.push({ server, link });
      urls.push(`${tcp ? "tcp" : "ws"}://127.0.0.1:${link.port}`);
    }
    return chatVia(urls, user, way);
  }

  /** Who leads, as most of those that answer say; null when nobody knows. */
  async leader(): Promise<Name | null> {
    const said = await Promise.all(names.map((name) => this.#saidLeader(name)));
    const counted = names.map((name) => ({ name, count: said.filter((leader) => leader === name).length }));
    const most = counted.reduce((one, other) => (other.count > one.count ? other : one));
    return most.count === 0 ? null : most.name;
  }

  async #saidLeader(name: Name): Promise<string | null> {
    const { adminPort } = this.of(name).ports;
    try {
      const signal = AbortSignal.timeout(answerWithinMs);
      const answer = await fetch(`http://127.0.0.1:${adminPort}/admin/v1/cluster`, { signal });
      return ((await answer.json()) as { leader: string | null }).leader;
    } catch {
      // It is dead, frozen or just beginning: it says nothing, and others are asked as well.
      return null;
    }
  }

  /** Which life of itself each member is, as the first one tells. */
  async incarnations(): Promise<string[]> {
    const { servers } = await this.cluster.status(names[0]);
    return servers.map(({ node, incarnation, role }) => `${node}#${incarnation} ${role}`).sort();
  }

  // Processes

  /** Begins a life, unless there is one, or no power. */
  start(name: Name): void {
    const server = this.of(name);
    if (server.isRunning || this.#dark.has(name)) return;
    server.spawn();
    const life = server.starts;
    this.#wanted.set(name, life);
    void server.ended.then(async (ending) => {
      if (this.#wanted.get(name) !== life) return;
      this.exits.push({ name, ...ending, lastWords: lastWords(server) });
      await pause(restartAfterMs);
      if (this.#wanted.get(name) === life) this.start(name);
    });
  }

  async kill(name: Name): Promise<void> {
    this.#wanted.delete(name);
    this.#frozen.delete(name);
    await this.of(name).kill();
  }

  freeze(name: Name): void {
    this.#frozen.add(name);
    this.of(name).freeze();
  }

  thaw(name: Name): void {
    if (this.#frozen.delete(name)) this.of(name).thaw();
  }

  /** The power of these is gone, at one moment. What was not flushed is gone; with `random` some of it. */
  async losePower(lost: readonly Name[], random: Random | null): Promise<void> {
    for (const name of lost) this.#dark.add(name);
    await Promise.all(lost.map((name) => this.kill(name)));
    for (const name of lost) {
      const { bytes, names: undone, cut } = this.machine(name).losePower(random);
      this.lost.times++;
      this.lost.bytes += bytes;
      this.lost.names += undone;
      this.lost.cut += cut;
      this.#dark.delete(name);
    }
  }

  // Links

  /** The way between two servers, whoever dials it. */
  setBetween(one: Name, other: Name, state: LinkState, options: { reset?: boolean } = {}): void {
    for (const pair of [`${one} ${other}`, `${other} ${one}`]) this.#peerLinks.get(pair)!.set(state, options);
  }

  /** Nothing gets from one server to another; the other way is open. */
  silence(from: Name, to: Name): void {
    this.#peerLinks.get(`${from} ${to}`)!.set("silent from the dialler");
    this.#peerLinks.get(`${to} ${from}`)!.set("silent to the dialler");
  }

  /** The ways between all clients and a server. */
  setClients(server: Name, state: LinkState, options: { reset?: boolean } = {}): void {
    for (const one of this.#clientLinks) if (one.server === server) one.link.set(state, options);
  }

  /** Nobody uses the links of the clients that there were any more. */
  async forgetClients(): Promise<void> {
    for (const { link } of this.#clientLinks.splice(0)) await link.close();
  }

  // The end

  /** Everything is kind again, and everybody runs. Settles when all answer and vote. */
  async heal(): Promise<void> {
    for (const machine of this.#machines.values()) {
      machine.setClock(0);
      machine.fillDisk(false);
      machine.slowDisk(0);
      machine.failFlushes(false);
    }
    for (const link of this.#peerLinks.values()) link.set("open");
    for (const { link } of this.#clientLinks) link.set("open");
    for (const name of names) {
      this.thaw(name);
      this.start(name);
    }
    const giveUpAt = performance.now() + backWithinMs;
    // One that began on a full disk has not written where it listens; it listens where it did.
    await until(async () => {
      const isBack = await this.cluster.isVoting(names);
      if (!isBack && performance.now() > giveUpAt) {
        throw new Error(`not all come back: ${names.map((name) => lastWords(this.of(name))).join("\n")}`);
      }
      return isBack;
    });
  }

  /** What `synod verify` says of the three, once they say the same; its last words when they do not within the time. */
  async verified(withinMs: number): Promise<{ readonly code: number | null; readonly output: string }> {
    const giveUpAt = performance.now() + withinMs;
    for (;;) {
      const urls = names.map((name) => this.of(name).url);
      const { code, output, errors } = await runCommand(["verify", ...urls, "--user", "user0"]);
      if (code === 0 || performance.now() > giveUpAt) return { code, output: `${output}${errors}` };
      await pause(200);
    }
  }

  /** Ends all in good order, one after the other. */
  async stop(): Promise<Ending[]> {
    const endings: Ending[] = [];
    for (const name of names) {
      this.#wanted.delete(name);
      endings.push(await this.of(name).stop());
    }
    return endings;
  }

  /** Names of the events of errors in the logs, with how many there were. */
  faults(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const name of names) {
      for (const line of this.of(name).faults()) {
        const event = /"event":"([^"]*)"/.exec(line)?.[1] ?? line;
        counts.set(event, (counts.get(event) ?? 0) + 1);
      }
    }
    return counts;
  }

  async dispose(): Promise<void> {
    this.#wanted.clear();
    await this.cluster.dispose();
    await this.forgetClients();
    for (const link of this.#peerLinks.values()) await link.close();
    for (const machine of this.#machines.values()) machine.close();
    this.#library.remove();
  }
}

function lastWords(server: ServerProcess): string {
  const lines = server.log().trimEnd().split("\n");
  const last = lines.slice(-20).findLast((line) => !line.includes('"level":"info"'));
  return last ?? lines.at(-1) ?? "";
}
