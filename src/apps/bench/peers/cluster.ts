import { setTimeout as sleep } from "node:timers/promises";
import { assert } from "../../../base/assert.ts";
import { freePorts } from "../../../platform/node/free-ports.ts";
import type { WireName } from "../wires/wire.ts";
import type { CuttableLinks } from "./cuttable-links.ts";
import { listens, untilReady } from "./server-process.ts";
import type { StartedProcess } from "./server-process.ts";
import type { RunningSystem, System, World } from "./systems.ts";

/** Several servers of one system that are one cluster. Servers are known by their place in the list, from 0 on. */
export interface RunningCluster extends RunningSystem {
  readonly servers: readonly ClusterServer[];
  /** Which server leads now. */
  leader(): Promise<number>;
  /** Settles when all servers run, agree on who leads, and none lacks anything. */
  whole(): Promise<void>;
  /** Whether a server has all that the leader has. */
  hasAll(place: number): Promise<boolean>;
  /** Ends a server, at once or in good order; settles when it is gone. */
  end(place: number, signal: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Starts an ended server on its own files; does not wait until it listens. */
  begin(place: number): void;
  /** Nothing passes between this server and the others any more, in neither direction; or all passes again. */
  setCut(place: number, isCut: boolean): void;
}

export interface ClusterServer {
  readonly port: number;
  readonly pid: number;
}

export interface ClusterSystem extends System {
  readonly publishWire: WireName;
  /** How many requests are kept open where others have 4 × 1000; `null`: as they do. */
  readonly manyAtOnce: { readonly clients: number; readonly window: number } | null;
  start(world: World, directory: string, options?: { readonly isCuttable: boolean }): Promise<RunningCluster>;
}

/** Of a cluster of any system, from its start or from whatever happened to it. */
const wholeWithinMs = 60_000;
const lookEveryMs = 20;

/** Looks again and again until it is so; rejects when that takes too long for a cluster of any system. */
export async function until(what: string, signal: AbortSignal, isSo: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + wholeWithinMs;
  while (!(await isSo())) {
    signal.throwIfAborted();
    if (performance.now() > giveUpAt) throw new Error(`${what} within ${wholeWithinMs / 1000} s`);
    await sleep(lookEveryMs);
  }
}

export interface ClusterOptions {
  readonly world: World;
  readonly wire: WireName;
  /** Where each server takes clients. */
  readonly ports: readonly number[];
  /** `null`: nothing can be cut. */
  readonly links: CuttableLinks | null;
}

/** What every cluster needs: processes that come and go on the ports they had. */
export abstract class Cluster implements RunningCluster {
  protected readonly world: World;
  protected readonly members: { started: StartedProcess | null; readonly port: number }[];
  protected readonly links: CuttableLinks | null;
  private readonly wire: WireName;

  constructor(options: ClusterOptions) {
    this.world = options.world;
    this.wire = options.wire;
    this.links = options.links;
    this.members = options.ports.map((port) => ({ started: null, port }));
  }

  protected abstract readonly name: string;
  protected abstract spawn(place: number): StartedProcess;
  abstract leader(): Promise<number>;
  abstract hasAll(place: number): Promise<boolean>;
  abstract stored(): Promise<number>;

  get servers(): readonly ClusterServer[] {
    return this.members.map(({ started, port }) => ({ port, pid: started?.pid ?? 0 }));
  }

  get pids(): readonly number[] {
    return this.servers.map(({ pid }) => pid);
  }

  /** That of the server that led when the cluster was looked at last. */
  leaderPort = 0;

  get ports(): Readonly<Partial<Record<WireName, number>>> {
    return { [this.wire]: this.leaderPort };
  }

  begin(place: number): void {
    const member = this.members[place];
    assert(member?.started === null, "a server is begun once");
    member.started = this.spawn(place);
  }

  async beginAll(): Promise<void> {
    for (let place = 0; place < this.members.length; place += 1) this.begin(place);
    for (const { started, port } of this.members) {
      assert(started !== null, "all are begun");
      await untilReady(started, this.name, this.world.signal, () => listens(port));
    }
  }

  async whole(): Promise<void> {
    await until(`${this.name}: not whole`, this.world.signal, async () => {
      for (let place = 0; place < this.members.length; place += 1) {
        if (!(await this.hasAll(place).catch(() => false))) return false;
      }
      return true;
    });
    this.leaderPort = this.members[await this.leader()]?.port ?? 0;
  }

  async end(place: number, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const member = this.members[place];
    assert(member !== undefined && member.started !== null, "a server that runs is ended");
    const { child } = member.started;
    const gone = new Promise((resolve) => {
      child.once("exit", resolve);
    });
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await gone;
    }
    member.started = null;
  }

  setCut(place: number, isCut: boolean): void {
    assert(this.links !== null, "this cluster was not started so that it can be cut");
    this.links.setCut(place, isCut);
  }

  async stop(): Promise<void> {
    this.links?.close();
    const running = this.members.flatMap(({ started }) => (started === null ? [] : [started]));
    // Their files go with them: nobody waits until they have said goodbye to one another.
    for (const { child } of running) child.kill("SIGKILL");
    await Promise.all(running.map((started) => this.world.processes.end(started)));
  }
}

/** The answer as JSON; `null` when the server does not answer now. */
export async function askJson<T>(url: string, body: object | null): Promise<T | null> {
  try {
    const init = body === null ? {} : { method: "POST", body: JSON.stringify(body) };
    const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(1_000) });
    return answer.ok ? ((await answer.json()) as T) : null;
  } catch (cause) {
    // Not there, or frozen: fetch says both in its own ways.
    if (cause instanceof TypeError || (cause instanceof Error && cause.name === "TimeoutError")) return null;
    throw cause;
  }
}

/** Several lists of ports that were free a moment ago, all different. */
export async function portsOf(servers: number, lists: number): Promise<number[][]> {
  const all = await freePorts(servers * lists);
  return Array.from({ length: lists }, (_, list) => all.slice(list * servers, (list + 1) * servers));
}
