import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { assert } from "../../../base/assert.ts";
import { natsRequest } from "../wires/nats.ts";
import { synodGreeting, synodHead } from "../wires/synod-greeting.ts";
import type { WireName } from "../wires/wire.ts";
import { CuttableLinks } from "./cuttable-links.ts";
import { freePorts, listens, untilReady } from "./server-process.ts";
import type { StartedProcess } from "./server-process.ts";
import { host, room, synodCommand, withConnection } from "./systems.ts";
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

async function until(what: string, signal: AbortSignal, isSo: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + wholeWithinMs;
  while (!(await isSo())) {
    signal.throwIfAborted();
    if (performance.now() > giveUpAt) throw new Error(`${what} within ${wholeWithinMs / 1000} s`);
    await sleep(lookEveryMs);
  }
}

interface ClusterOptions {
  readonly world: World;
  readonly wire: WireName;
  /** Where each server takes clients. */
  readonly ports: readonly number[];
  /** `null`: nothing can be cut. */
  readonly links: CuttableLinks | null;
}

/** What every cluster needs: processes that come and go on the ports they had. */
abstract class Cluster implements RunningCluster {
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
async function askJson<T>(url: string, body: object | null): Promise<T | null> {
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

// Synod

interface SynodStatus {
  readonly node: string;
  readonly ready: { readonly ok: boolean };
  readonly leader: string | null;
  readonly term: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly servers: readonly { readonly node: string; readonly role: string | null }[];
}

/** Synod in topology leader: acknowledged after a flush on a quorum, deduplication and rooms on. Clients at the leader, or spread over all. */
export function synodCluster(options: {
  readonly servers: number;
  readonly clients: "leader" | "spread";
}): ClusterSystem {
  const { servers } = options;
  const isSpread = options.clients === "spread";
  return {
    name: `Synod × ${servers}, clients ${isSpread ? "spread" : "at the leader"}`,
    publishWire: "synod-binary",
    fanOut: null,
    idle: null,
    manyAtOnce: null,
    start: async (world, directory, { isCuttable } = { isCuttable: false }) => {
      const [tcpPorts, ports, adminPorts, peerPorts] = await portsOf(servers, 4);
      const links = isCuttable ? await CuttableLinks.between(peerPorts!) : null;
      const cluster = new SynodCluster(
        { world, wire: "synod-binary", ports: tcpPorts!, links },
        { directory, ports: ports!, adminPorts: adminPorts!, peerPorts: peerPorts!, isSpread },
      );
      await cluster.beginAll();
      await cluster.whole();
      return cluster;
    },
  };
}

interface SynodPlaces {
  readonly directory: string;
  readonly ports: readonly number[];
  readonly adminPorts: readonly number[];
  readonly peerPorts: readonly number[];
  readonly isSpread: boolean;
}

class SynodCluster extends Cluster {
  protected readonly name = "synod serve";
  private readonly place: SynodPlaces;

  constructor(options: ClusterOptions, place: SynodPlaces) {
    super(options);
    this.place = place;
    writeFileSync(this.secretFile, "of the benchmark alone, of the benchmark alone", { mode: 0o600 });
  }

  private get secretFile(): string {
    return join(this.place.directory, "cluster.secret");
  }

  get spreadPorts(): readonly number[] | null {
    return this.place.isSpread ? this.members.map(({ port }) => port) : null;
  }

  protected spawn(place: number): StartedProcess {
    const { directory, ports, adminPorts, peerPorts } = this.place;
    const data = join(directory, `synod-${place}`);
    mkdirSync(data, { recursive: true });
    const peers = peerPorts.map((port, other) => {
      const dialled = other === place || this.links === null ? port : this.links.portFrom(place, other);
      return `n${other}=${host}:${dialled}`;
    });
    const words = ["--data", data, "--host", host, "--port", `${ports[place]}`, "--admin-port", `${adminPorts[place]}`];
    const tcp = ["--tcp-port", `${this.members[place]!.port}`, "--node", `n${place}`, "--topology", "leader"];
    const others = ["--secret-file", this.secretFile, "--peer-host", host, "--peer-port", `${peerPorts[place]}`];
    const list = ["--peers", peers.join(",")];
    const command = [synodCommand(this.world.root), "serve", ...words, ...tcp, ...others, ...list];
    return this.world.processes.start(process.execPath, command, directory);
  }

  private status(place: number): Promise<SynodStatus | null> {
    return askJson<SynodStatus>(`http://${host}:${this.place.adminPorts[place]}/admin/v1/cluster`, null);
  }

  private statuses(): Promise<(SynodStatus | null)[]> {
    return Promise.all(this.members.map((_, place) => this.status(place)));
  }

  async leader(): Promise<number> {
    const all = await this.statuses();
    const newest = all.filter((one) => one !== null).sort((one, other) => other.term - one.term)[0];
    const place = all.findIndex((_, at) => `n${at}` === newest?.leader);
    if (place < 0) throw new Error("nobody leads");
    return place;
  }

  async hasAll(place: number): Promise<boolean> {
    const all = await this.statuses();
    const own = all[place];
    if (own === null || own === undefined || !own.ready.ok || own.leader === null) return false;
    const leader = all[Number(own.leader.slice(1))];
    if (leader === null || leader === undefined || leader.leader !== own.leader || own.term !== leader.term)
      return false;
    const voters = leader.servers.filter(({ role }) => role === "voter").length;
    return voters === this.members.length && own.appliedIndex >= leader.lastIndex;
  }

  stored(): Promise<number> {
    return withConnection(this.leaderPort, async (connection) => {
      await synodGreeting(connection, { user: "bench-checker", token: null });
      return await synodHead(connection, room);
    });
  }
}

/** Several lists of ports that were free a moment ago, all different. */
async function portsOf(servers: number, lists: number): Promise<number[][]> {
  const all = await freePorts(servers * lists);
  return Array.from({ length: lists }, (_, list) => all.slice(list * servers, (list + 1) * servers));
}

// JetStream

/** JetStream, a stream with three replicas, as it ships: acknowledged before any flush. Clients are at the stream's leader. */
export function jetStreamCluster(): ClusterSystem {
  return {
    name: "JetStream R3, default (flushed every 2 min)",
    publishWire: "nats-jetstream",
    fanOut: null,
    idle: null,
    manyAtOnce: null,
    start: async (world, directory) => {
      const [ports, routePorts] = await portsOf(3, 2);
      const cluster = new JetStreamCluster(
        { world, wire: "nats-jetstream", ports: ports!, links: null },
        directory,
        routePorts!,
      );
      await cluster.beginAll();
      await cluster.makeStream();
      await cluster.whole();
      return cluster;
    },
  };
}

interface StreamInfo {
  readonly error?: { readonly description: string };
  readonly state?: { readonly messages: number };
  readonly cluster?: {
    readonly leader?: string;
    readonly replicas?: readonly {
      readonly name: string;
      readonly current: boolean;
      readonly offline?: boolean;
      readonly lag?: number;
    }[];
  };
}

class JetStreamCluster extends Cluster {
  protected readonly name = "nats-server";
  private readonly directory: string;
  private readonly routePorts: readonly number[];

  constructor(options: ClusterOptions, directory: string, routePorts: readonly number[]) {
    super(options);
    this.directory = directory;
    this.routePorts = routePorts;
  }

  protected spawn(place: number): StartedProcess {
    const own = join(this.directory, `nats-${place}`);
    mkdirSync(own, { recursive: true });
    const file = join(own, "nats.conf");
    const routes = this.routePorts.map((port) => `"nats-route://${host}:${port}"`).join(", ");
    writeFileSync(
      file,
      `server_name: n${place}\nhost: "${host}"\nport: ${this.members[place]!.port}\n` +
        `jetstream { store_dir: "${join(own, "jetstream")}" }\n` +
        `cluster { name: bench, host: "${host}", port: ${this.routePorts[place]}, routes: [${routes}] }\n`,
    );
    return this.world.processes.start("nats-server", ["-c", file], own);
  }

  async makeStream(): Promise<void> {
    const configuration = { name: "BENCH", subjects: [room], retention: "limits", storage: "file", num_replicas: 3 };
    const limits = { max_consumers: -1, max_msgs: -1, max_bytes: -1, max_age: 0, discard: "old" };
    // The servers have to find one another, and a leader, first; until then nobody answers, or with an error.
    await until("JetStream made no stream", this.world.signal, async () => {
      const answer = await this.request("$JS.API.STREAM.CREATE.BENCH", { ...configuration, ...limits });
      return answer !== null && answer.error === undefined;
    });
  }

  /** To any server that runs. */
  private async request(subject: string, body: object | null): Promise<StreamInfo | null> {
    const text = body === null ? "" : JSON.stringify(body);
    for (const { started, port } of this.members) {
      if (started === null) continue;
      const answer = withConnection(port, (connection) => natsRequest(connection, subject, text));
      const late = sleep(1_000).then(() => null);
      const said = await Promise.race([answer.catch(() => null), late]);
      if (said !== null) return JSON.parse(said) as StreamInfo;
    }
    return null;
  }

  private info(): Promise<StreamInfo | null> {
    return this.request("$JS.API.STREAM.INFO.BENCH", null);
  }

  async leader(): Promise<number> {
    const name = (await this.info())?.cluster?.leader;
    if (name === undefined) throw new Error("the stream has no leader");
    return Number(name.slice(1));
  }

  async hasAll(place: number): Promise<boolean> {
    const cluster = (await this.info())?.cluster;
    if (cluster?.leader === undefined) return false;
    if (cluster.leader === `n${place}`) return true;
    const replica = cluster.replicas?.find(({ name }) => name === `n${place}`);
    return replica !== undefined && replica.current && replica.offline !== true && (replica.lag ?? 0) === 0;
  }

  async stored(): Promise<number> {
    return (await this.info())?.state?.messages ?? 0;
  }
}

// etcd

/**
 * etcd, a put for each message, acknowledged after a flush on a quorum. No TLS between its servers. Clients are at the
 * leader, as 1,000 that share 25 HTTP/2 connections: so many streams of one connection as its window holds.
 */
export function etcdCluster(): ClusterSystem {
  return {
    name: "etcd × 3",
    publishWire: "etcd",
    fanOut: null,
    idle: null,
    manyAtOnce: { clients: 25, window: 40 },
    start: async (world, directory) => {
      const [ports, peerPorts] = await portsOf(3, 2);
      const cluster = new EtcdCluster({ world, wire: "etcd", ports: ports!, links: null }, directory, peerPorts!);
      await cluster.beginAll();
      await cluster.whole();
      return cluster;
    },
  };
}

interface EtcdStatus {
  readonly header: { readonly member_id: string; readonly revision?: string };
  readonly leader?: string;
  readonly raftIndex?: string;
  readonly raftAppliedIndex?: string;
}

class EtcdCluster extends Cluster {
  protected readonly name = "etcd";
  private readonly directory: string;
  private readonly peerPorts: readonly number[];
  private readonly begun = new Set<number>();

  constructor(options: ClusterOptions, directory: string, peerPorts: readonly number[]) {
    super(options);
    this.directory = directory;
    this.peerPorts = peerPorts;
  }

  protected spawn(place: number): StartedProcess {
    const [client, peer] = [`http://${host}:${this.members[place]!.port}`, `http://${host}:${this.peerPorts[place]}`];
    const all = this.peerPorts.map((port, other) => `n${other}=http://${host}:${port}`).join(",");
    const clients = ["--listen-client-urls", client, "--advertise-client-urls", client];
    const peers = ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", all];
    const state = ["--initial-cluster-state", this.begun.has(place) ? "existing" : "new", "--log-level", "error"];
    const data = ["--name", `n${place}`, "--data-dir", join(this.directory, `etcd-${place}`), "--logger", "zap"];
    this.begun.add(place);
    return this.world.processes.start("etcd", [...data, ...clients, ...peers, ...state], this.directory);
  }

  private status(place: number): Promise<EtcdStatus | null> {
    return askJson<EtcdStatus>(`http://${host}:${this.members[place]!.port}/v3/maintenance/status`, {});
  }

  async leader(): Promise<number> {
    const all = await Promise.all(this.members.map((_, place) => this.status(place)));
    const said = all.find((one) => one?.leader !== undefined && one.leader !== "0")?.leader;
    const place = all.findIndex((one) => one !== null && one.header.member_id === said);
    if (place < 0) throw new Error("nobody leads");
    return place;
  }

  async hasAll(place: number): Promise<boolean> {
    const [own, leader] = await Promise.all([this.status(place), this.leader().then((at) => this.status(at))]);
    if (own === null || leader === null || own.leader !== leader.header.member_id) return false;
    return Number(own.raftAppliedIndex ?? 0) >= Number(leader.raftIndex ?? 0);
  }

  /** Every put is a revision; the first is 2. */
  async stored(): Promise<number> {
    const answer = await askJson<EtcdStatus>(`http://${host}:${this.leaderPort}/v3/kv/range`, { key: "YQ==" });
    return Number(answer?.header.revision ?? 0) - 1;
  }
}
