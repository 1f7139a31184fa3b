import { Fault } from "../base/error-codes.ts";
import type { ClusterId, Incarnation, NodeName, UserName } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import { type ReplicaId, replicaId } from "../consensus/replica.ts";
import { TcpDoor } from "../doors/tcp-door.ts";
import { FoundingLinks } from "../server/founding-links.ts";
import type { Log } from "../server/log.ts";
import { anotherLife } from "../server/another-life.ts";
import { DataDamaged, PromisesLost } from "../server/data-refused.ts";
import type { Server } from "../server/server.ts";
import type { ServerSettings } from "../server/server-settings.ts";
import { startServer } from "../server/start-server.ts";
import type { PeerGround } from "../server/peers.ts";
import { type Identity, openDataDirectory } from "../storage/data-directory.ts";
import type { Disk } from "../storage/disk.ts";
import type { Engine } from "../topology/engine.ts";
import type { LinkLimits } from "../transport/link-limits.ts";
import type { LivenessTiming } from "../transport/liveness/liveness-timing.ts";
import type { PeerAddress } from "../transport/peer-stream.ts";
import type { SimHost } from "./host.ts";
import type { Listener, Network } from "./network.ts";
import type { SimDisk } from "./sim-disk.ts";
import { simPeerStream } from "./sim-peer-stream.ts";
import { byteStream } from "./stream-adapters.ts";

export const serverPort = 7403;
export const peerPort = 7400;
/** How long whoever looks after the server waits before it starts it again. */
const restartMs = 300;

/** What a server knows of those it is to belong together with. */
export interface SimPeers {
  /** All of them, itself included. */
  readonly nodes: readonly string[];
  /** What an empty directory becomes: one of this cluster; null: a new one; or they find out among themselves. */
  readonly belonging: { readonly cluster: ClusterId | null } | "by-list";
  readonly limits: LinkLimits;
  readonly timing: LivenessTiming;
  /** Stands before the engine of this life. */
  readonly watch: (replica: ReplicaId, engine: Engine) => Engine;
}

export interface SimServerOptions {
  readonly host: SimHost;
  readonly network: Network;
  readonly disk: SimDisk;
  readonly random: Random;
  readonly limits: Limits;
  readonly settings: Pick<ServerSettings, "timeZone" | "retentionDays" | "push"> & {
    readonly flush: { readonly afterMs: number; readonly afterBytes: number };
  };
  /** Null: it is alone, and nobody ever comes. */
  readonly peers: SimPeers | null;
  /** It takes clients from now on. */
  readonly onStarted: (server: Server) => void;
  /** It is decided what its empty directory becomes. */
  readonly onBelonging: () => void;
  /** The data is damaged, though nobody damaged it: the worst that can be found. */
  readonly onDamaged: (damage: DataDamaged | PromisesLost) => void;
  /** Its journal was damaged, as a fault, since it started last. @defaultValue never */
  readonly isDamaged?: () => boolean;
  /** The process came to an end by itself; whoever looks after it starts it again. */
  readonly onExit: () => void;
  readonly log: Log;
}

/**
 * The shipped server on one simulated host: one life of it. Starts like the real program does; when it cannot start or
 * its journal fails, the process ends and is started again.
 */
export class SimServer {
  readonly #options: SimServerOptions;
  readonly #life: number;
  server: Server | null = null;

  constructor(options: SimServerOptions) {
    this.#options = options;
    this.#life = options.host.life;
  }

  /** Begins to start; what becomes of it is told by the options. Call once. */
  start(): void {
    this.#start().catch((cause: unknown) => this.#failed(cause));
  }

  get #isMine(): boolean {
    const { host } = this.#options;
    return host.alive && host.life === this.#life;
  }

  async #start(): Promise<void> {
    const { host, network, random, limits, settings, log, peers } = this.#options;
    const disk = this.#options.disk.attach();
    const { clock } = host;
    const directory = await openDataDirectory({
      disk,
      lock: { acquire: () => Promise.resolve(), release: () => Promise.resolve() },
      random,
      node: host.name as NodeName,
      groups: 1,
      found: true,
      belonging: (incarnation) => this.#belonging(incarnation),
      now: clock.wall(),
    });
    if (!this.#isMine) return;
    const startAs = ({ cluster, incarnation, joined }: Identity): Promise<Server> =>
      startServer(
        {
          disk,
          clock,
          random,
          log,
          limits,
          node: host.name as NodeName,
          owner: { cluster, incarnation },
          acceptLoss: false,
          flush: settings.flush,
          joined,
          peers: peers === null ? undefined : peerGround(host, network, peers),
          watch:
            peers === null ? undefined : (engine) => peers.watch(replicaId(host.name as NodeName, incarnation), engine),
        },
        {
          timeZone: settings.timeZone,
          retentionDays: settings.retentionDays,
          push: settings.push,
          flushAfterMs: settings.flush.afterMs,
          flushAfterBytes: settings.flush.afterBytes,
          advertise: [],
          openNames: true,
          authenticate: ({ user }) => Promise.resolve({ user: user ?? ("nobody" as UserName), expiresAt: null }),
          onOvertaken: () => this.#restart(),
          onFailed: () => this.#exit(),
        },
      );
    const server = await startAs(directory.identity).catch(async (cause: unknown) =>
      startAs(await this.#nextLife(cause, directory.identity, disk)),
    );
    if (!this.#isMine) return;
    this.server = server;
    if (peers !== null) network.listen(host, peerPort, (stream) => server.acceptPeer(simPeerStream(stream)));
    this.#options.onStarted(server);
    const door = new TcpDoor({ server: server.connections, clock, limits, log });
    network.listen(host, serverPort, (stream) => door.accept(byteStream(stream)));
  }

  async #belonging(incarnation: Incarnation): Promise<ClusterId | null> {
    const { host, network, peers, random, log } = this.#options;
    if (peers === null) return null;
    if (peers.belonging !== "by-list") return peers.belonging.cluster;
    const node = host.name as NodeName;
    const ground = peerGround(host, network, peers);
    const links = new FoundingLinks({ node, incarnation, clock: host.clock, random, log, ground });
    const listener = network.listen(host, peerPort, (stream) => links.accept(simPeerStream(stream)));
    const cluster = await links.decided;
    this.#options.onBelonging();
    listener.close();
    await links.stop();
    return cluster;
  }

  /** A member whose journal was damaged goes on as another life, once the others are a quorum without it. */
  async #nextLife(cause: unknown, identity: Identity, disk: Disk): Promise<Identity> {
    const { host, network, random, log, peers, isDamaged } = this.#options;
    if (!(cause instanceof PromisesLost) || peers === null || isDamaged?.() !== true) throw cause;
    let listener: Listener | null = null;
    return anotherLife(cause, {
      identity,
      disk,
      clock: host.clock,
      random,
      log,
      peers: peerGround(host, network, peers),
      onSilent: (member) => {
        listener?.close();
        if (member === null || !this.#isMine) return;
        listener = network.listen(host, peerPort, (stream) => member.accept(simPeerStream(stream)));
      },
    });
  }

  /** The process is asked to stop in good order. `ended`: it has, unless something else ended it before. */
  stop(withinMs: number, ended: () => void): void {
    const { host } = this.#options;
    const over = (): void => {
      if (this.#isMine) host.clock.after(millis(0), ended);
    };
    host.input(0, "stop", () => {
      if (this.server === null) over();
      else this.server.stop(withinMs).then(over, over);
    });
  }

  /** The disk has another state than the server: it goes on from there, as after a crash. */
  #restart(): void {
    if (this.#isMine) this.stop(0, () => this.#options.onExit());
  }

  #failed(cause: unknown): void {
    if (!this.#isMine) return;
    if (cause instanceof DataDamaged || cause instanceof PromisesLost) this.#options.onDamaged(cause);
    // A disk that fails while the server starts: the process ends, and is started again until the disk works.
    else if (!(cause instanceof Fault)) throw cause;
    this.#exit();
  }

  #exit(): void {
    if (!this.#isMine) return;
    this.#options.host.clock.after(millis(0), () => this.#options.onExit());
  }
}

function peerGround(host: SimHost, network: Network, { nodes, limits, timing }: SimPeers): PeerGround {
  const addresses = new Map<NodeName, PeerAddress>();
  for (const node of nodes) addresses.set(node as NodeName, { host: node, port: peerPort });
  return {
    dialler: { dial: (to) => simPeerStream(network.dial(host, to)) },
    addresses,
    limits,
    timing,
  };
}

/** How long after the end of a process it is started again. */
export const restartAfter = millis(restartMs);
