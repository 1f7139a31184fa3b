import type { ClusterId, Incarnation, NodeName, UserName } from "../../src/base/ids.ts";
import { defaultLimits, type Limits } from "../../src/base/limits.ts";
import { seededRandom } from "../../src/base/random.ts";
import { millis, timestamp } from "../../src/base/units.ts";
import { binaryEncoding } from "../../src/client/binary-encoding.ts";
import { type Chat, connect } from "../../src/client/client.ts";
import { TcpDoor } from "../../src/doors/tcp-door.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import type { Caller } from "../../src/server/caller.ts";
import type { PushSettings } from "../../src/server/fan-out.ts";
import type { Log } from "../../src/server/log.ts";
import { anotherLife } from "../../src/server/another-life.ts";
import { PromisesLost } from "../../src/server/data-refused.ts";
import type { Server } from "../../src/server/server.ts";
import { startServer } from "../../src/server/start-server.ts";
import type { Identity } from "../../src/storage/data-directory.ts";
import type { SimHost } from "../../src/sim/host.ts";
import { Network } from "../../src/sim/network.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { simPeerStream } from "../../src/sim/sim-peer-stream.ts";
import { byteStream, clientLink } from "../../src/sim/stream-adapters.ts";
import { defaultLinkLimits } from "../../src/transport/link-limits.ts";
import { defaultLivenessTiming } from "../../src/transport/liveness/liveness-timing.ts";
import type { PeerAddress, PeerStream } from "../../src/transport/peer-stream.ts";

export const cluster = "00112233445566778899aabbccddeeff" as ClusterId;
const peerPort = 7400;
const clientPort = 7403;
/** Long enough for any number of elections. */
const patienceMs = 20_000;

export interface TownOptions {
  readonly seed?: number;
  readonly servers?: number;
  readonly limits?: Partial<Limits>;
  /** When servers tell readers of what is stored. @defaultValue at once */
  readonly push?: PushSettings;
  /** Where clients are told to reach a server. @defaultValue nowhere else than they came by */
  readonly advertise?: (name: string) => readonly string[];
  /** Servers that belong to nobody yet, and do not run until they are started. @defaultValue none */
  readonly absent?: readonly string[];
  /** Tells what servers log, with their names. */
  readonly heard?: (line: string) => void;
}

/** One server of the town, over all its lives. */
export class Resident {
  readonly name: string;
  readonly host: SimHost;
  disk: SimDisk;
  readonly isFounder: boolean;
  incarnation = 1;
  /** Of the life that it began by itself; null: it has not. */
  reborn: Identity | null = null;
  server: Server | null = null;

  constructor(name: string, host: SimHost, disk: SimDisk, isFounder: boolean) {
    this.name = name;
    this.host = host;
    this.disk = disk;
    this.isFounder = isFounder;
  }

  /** The server that runs. */
  get now(): Server {
    if (this.server === null || !this.host.alive) throw new Error(`${this.name} does not run`);
    return this.server;
  }

  get runs(): boolean {
    return this.host.alive && this.server !== null;
  }
}

/**
 * Several real servers on simulated machines, disks and links, in virtual time. The first one has founded the cluster;
 * the others have directories that were made to join it.
 */
export class Town {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly residents: Resident[] = [];
  readonly #options: TownOptions;
  readonly #seed: number;
  #clients = 0;

  constructor(options: TownOptions = {}) {
    this.#options = options;
    this.#seed = options.seed ?? 1;
    this.scheduler = new Scheduler({ random: seededRandom(this.#seed * 8) });
    this.network = new Network({ scheduler: this.scheduler, random: seededRandom(this.#seed * 8 + 1) });
    for (let at = 1; at <= (options.servers ?? 3); at++) {
      const host = this.scheduler.host(`n${at}`);
      const disk = new SimDisk(host, seededRandom(this.#seed * 64 + at));
      this.residents.push(new Resident(`n${at}`, host, disk, at === 1));
    }
  }

  /** All servers run, vote, and have applied the same. */
  static async founded(options: TownOptions = {}): Promise<Town> {
    const town = new Town(options);
    const { absent = [] } = options;
    const present = town.residents.filter(({ name }) => !absent.includes(name));
    for (const resident of present) town.boot(resident);
    await town.until("everybody votes", () => town.leader !== null && town.voters.length === present.length);
    await town.settled();
    return town;
  }

  of(name: string): Resident {
    return this.residents.find((resident) => resident.name === name)!;
  }

  /** Who leads and knows a quorum; null when nobody does. */
  get leader(): Resident | null {
    const leading = this.residents.filter(({ runs, server }) => {
      const standing = runs ? server?.driver.engine.standing : undefined;
      return standing?.role === "leader" && standing.isAuthoritative;
    });
    return leading.length === 1 ? leading[0]! : null;
  }

  get followers(): Resident[] {
    return this.residents.filter((resident) => resident.runs && resident !== this.leader);
  }

  get voters(): string[] {
    const members = this.leader?.now.driver.engine.members ?? [];
    return members.filter(({ role }) => role === "voter").map(({ replica }) => replica.split("#")[0]!);
  }

  // Servers

  boot(resident: Resident): void {
    this.#start(resident).catch((cause: unknown) =>
      this.scheduler.after(millis(0), "failed start", () => {
        throw cause;
      }),
    );
  }

  /** A start like any other, but for `more`. */
  startedWith(resident: Resident, more: { readonly restored?: boolean; readonly acceptLoss?: boolean }): Promise<void> {
    return this.#start(resident, more);
  }

  async #start(
    resident: Resident,
    more: { readonly restored?: boolean; readonly acceptLoss?: boolean } = {},
  ): Promise<void> {
    const { host, disk, name } = resident;
    const { life, clock } = host;
    const addresses = new Map<NodeName, PeerAddress>();
    for (const other of this.residents) addresses.set(other.name as NodeName, { host: other.name, port: peerPort });
    const attached = disk.attach();
    const random = seededRandom(this.#seed * 1024 + host.index * 32 + life);
    const log = this.#logOf(name);
    const peers = {
      dialler: { dial: (to: PeerAddress) => simPeerStream(this.network.dial(host, to)) },
      addresses,
      limits: defaultLinkLimits,
      timing: defaultLivenessTiming,
    };
    const startAs = (identity: Identity, accepted: typeof more): Promise<Server> =>
      startServer(
        {
          disk: attached,
          clock,
          random,
          log,
          limits: { ...defaultLimits, segmentBytes: 4 * 1024 * 1024, diskReserveBytes: 1, ...this.#options.limits },
          node: name as NodeName,
          owner: { cluster, incarnation: identity.incarnation },
          acceptLoss: false,
          flush: { afterMs: 0, afterBytes: 0 },
          joined: identity.joined,
          ...accepted,
          peers,
        },
        {
          timeZone: "UTC",
          retentionDays: 0,
          push: this.#options.push ?? { afterMs: 0, afterCount: 0 },
          flushAfterMs: 0,
          flushAfterBytes: 0,
          advertise: this.#options.advertise?.(name) ?? [],
          openNames: true,
          authenticate: ({ user }) => Promise.resolve({ user: user ?? ("nobody" as UserName), expiresAt: null }),
          onFailed: () => this.kill(resident),
          onOvertaken: () => this.scheduler.after(millis(1), "overtaken", () => this.#again(resident, life)),
        },
      );
    const identity = resident.reborn ?? {
      cluster,
      incarnation: `${host.index}${resident.incarnation}`.padStart(32, "a") as Incarnation,
      node: name as NodeName,
      groups: 1,
      created: timestamp(1),
      joined: !resident.isFounder || resident.incarnation > 1,
    };
    let server: Server;
    try {
      server = await startAs(identity, more);
    } catch (cause) {
      if (!(cause instanceof PromisesLost)) throw cause;
      let listener: { close(): void } | null = null;
      const listen = (member: { accept(stream: PeerStream): void } | null): void => {
        listener?.close();
        if (member === null) return;
        listener = this.network.listen(host, peerPort, (stream) => member.accept(simPeerStream(stream)));
      };
      const ground = { identity, disk: attached, clock, random, log, peers, onSilent: listen };
      resident.reborn = await anotherLife(cause, ground);
      server = await startAs(resident.reborn, {});
    }
    if (!host.alive || host.life !== life) return;
    resident.server = server;
    this.network.listen(host, peerPort, (stream) => server.acceptPeer(simPeerStream(stream)));
    const door = new TcpDoor({ server: server.connections, clock, limits: server.limits, log: this.#logOf(name) });
    this.network.listen(host, clientPort, (stream) => door.accept(byteStream(stream)));
  }

  /** What runs is stopped, and started anew from the disk, unless it has ended already. */
  #again(resident: Resident, life: number): void {
    if (!resident.host.alive || resident.host.life !== life) return;
    this.kill(resident);
    this.restart(resident);
  }

  #logOf(name: string): Log {
    const { heard } = this.#options;
    const tell = (event: string, fields?: Readonly<Record<string, unknown>>): void => {
      heard?.(`${Math.round(this.scheduler.now())} ${name} ${event} ${JSON.stringify(fields, plain)}`);
    };
    return { info: tell, warn: tell, error: tell };
  }

  /** kill -9: what was written is still in the page cache. */
  kill(resident: Resident): void {
    resident.host.crash("killed");
    resident.disk.killed();
    resident.server = null;
  }

  /** The machine loses power: what was not synced may be lost. */
  powerLoss(resident: Resident): void {
    resident.host.crash("powerLoss");
    resident.disk.powerLost("lost");
    resident.server = null;
  }

  /** Everything on its disk is gone, and the next start is another life. */
  wipe(resident: Resident): void {
    this.kill(resident);
    resident.disk = new SimDisk(resident.host, seededRandom(this.#seed * 64 + 32 + resident.incarnation));
    resident.incarnation++;
    resident.reborn = null;
  }

  restart(resident: Resident): void {
    resident.host.start();
    this.boot(resident);
  }

  /** Nothing moves between these and the others, until `heal`. */
  partition(names: readonly string[]): void {
    for (const inside of names) {
      for (const { name } of this.residents) {
        if (names.includes(name)) continue;
        this.network.block({ from: inside, to: name });
        this.network.block({ from: name, to: inside });
      }
    }
  }

  heal(): void {
    this.network.heal({ resetDead: true });
  }

  // Time

  async until(what: string, done: () => boolean, withinMs = patienceMs): Promise<void> {
    const until = millis(this.scheduler.now() + withinMs);
    const reached = await this.scheduler.runUntil(done, { until, eventsMax: 5_000_000 });
    if (!reached && !done()) throw new Error(`it did not come to this: ${what}`);
  }

  async rest(ms: number): Promise<void> {
    await this.scheduler.run({ until: millis(this.scheduler.now() + ms) });
  }

  /** There is a leader, and everybody that runs has applied what it has. */
  async settled(): Promise<void> {
    await this.until("everybody has applied the same", () => {
      const { leader } = this;
      if (leader === null) return false;
      const last = leader.now.driver.lastIndex;
      return this.residents.every(({ runs, server }) => !runs || server?.state.appliedIndex === last);
    });
  }

  /** What a promise comes to, while the world goes on. */
  async after<T>(what: string, promise: PromiseLike<T>, withinMs = patienceMs): Promise<T> {
    let outcome: { value: T } | { cause: unknown } | null = null;
    promise.then(
      (value) => {
        outcome = { value };
      },
      (cause: unknown) => {
        outcome = { cause };
      },
    );
    await this.until(what, () => outcome !== null, withinMs);
    if (outcome === null) throw new Error(what);
    if ("cause" in outcome) throw (outcome as { cause: unknown }).cause;
    return (outcome as { value: T }).value;
  }

  // Clients

  /** The shipped SDK on a machine of its own, that knows these servers. */
  client(user: string, servers: readonly string[] = this.residents.map(({ name }) => name)): Chat {
    const host = this.scheduler.host(`client${++this.#clients}`);
    return connect(
      servers.map((name) => `tcp://${name}:${clientPort}`),
      {
        user,
        clock: host.clock,
        random: seededRandom(this.#seed * 512 + this.#clients),
        encodings: { "binary-stream": binaryEncoding("stream") },
        dial: {
          connect: (url, events) => {
            const { hostname, port } = new URL(url);
            const stream = this.network.dial(host, { host: hostname, port: Number(port) });
            return clientLink(stream, "binary-stream", events);
          },
        },
      },
    );
  }

  /** Hashes of what everybody that runs has applied; equal when all replicas are. */
  hashes(): string[] {
    return this.residents.filter(({ runs }) => runs).map(({ now }) => `${now.state.appliedIndex} ${now.state.hash()}`);
  }
}

/** Somebody who asks a server directly. */
export function caller(user: string): Caller {
  return { user: user as UserName, userBytes: utf8(user), answer: () => undefined };
}

function plain(_key: string, value: unknown): unknown {
  return value instanceof Error ? value.message : value;
}
