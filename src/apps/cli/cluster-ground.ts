import type { Clock } from "../../base/clock.ts";
import { Fault } from "../../base/error-codes.ts";
import type { ClusterId, Incarnation, NodeName } from "../../base/ids.ts";
import type { Limits } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import { WaitingDoor } from "../../doors/waiting-door.ts";
import { nodePeerDialler } from "../../platform/node/peer-dialler.ts";
import { defaultPeerListenerLimits, listenForPeers, type PeerListener } from "../../platform/node/peer-listener.ts";
import { anotherLife } from "../../server/another-life.ts";
import { FoundingLinks } from "../../server/founding-links.ts";
import type { Log } from "../../server/log.ts";
import type { PeerGround } from "../../server/peers.ts";
import type { PromisesLost } from "../../server/data-refused.ts";
import type { Identity } from "../../storage/data-directory.ts";
import type { Disk } from "../../storage/disk.ts";
import { defaultLinkLimits, type LinkLimits } from "../../transport/link-limits.ts";
import { defaultLivenessTiming } from "../../transport/liveness/liveness-timing.ts";
import type { PeerStream } from "../../transport/peer-stream.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { isIP } from "node:net";
import { isLoopback, secretIn } from "./authenticate.ts";
import type { Configuration } from "./configuration.ts";
import { type ListenPlace, listenRefused } from "./listen-refused.ts";
import { doorPlaces } from "./ports-to-be-had.ts";
import { peersOf } from "../../server/peer-list.ts";

/** Whoever takes streams of other servers. */
interface StreamTaker {
  accept(stream: PeerStream): void;
}

/**
 * What this machine gives a server that has others beside it: the peer port, the way to dial, and the wait for a cluster
 * while the directory is empty. One for the life of the process; servers come and go behind it.
 */
export class ClusterGround {
  readonly ground: PeerGround;
  readonly #configuration: Configuration;
  readonly #secret: Uint8Array;
  readonly #parts: { readonly clock: Clock; readonly random: Random; readonly log: Log };
  #listener: PeerListener | null = null;
  #taker: StreamTaker | null = null;

  constructor(
    configuration: Configuration,
    secret: Uint8Array,
    parts: { readonly clock: Clock; readonly random: Random; readonly log: Log },
  ) {
    this.#configuration = configuration;
    this.#secret = secret;
    this.#parts = parts;
    this.ground = {
      dialler: nodePeerDialler({ secret }),
      addresses: peersOf(configuration.peers),
      limits: linkLimits(configuration.limits),
      timing: defaultLivenessTiming,
    };
  }

  /** What must be had for the peer port to be open; null: it is. */
  get place(): ListenPlace | null {
    return this.#listener === null ? this.#place : null;
  }

  get #place(): ListenPlace {
    const { peerHost: host, peerPort: port } = this.#configuration;
    return { host, port, portFlag: "--peer-port", hostFlag: "--peer-host" };
  }

  /** Opens the peer port, unless it is open, and answers which one it is. Throws `CommandFailed`. */
  async listen(): Promise<number> {
    const place = this.#place;
    const { log } = this.#parts;
    try {
      this.#listener ??= await listenForPeers({
        host: place.host,
        port: place.port,
        secret: this.#secret,
        limits: defaultPeerListenerLimits,
        onStream: (stream) => this.#take(stream),
        onTurnedAway: (address, why, text) => log.warn("peer.turned-away", { address, why, text }),
      });
    } catch (cause) {
      throw listenRefused(place, cause);
    }
    return this.#listener.port;
  }

  /** Streams go to this one from now on; null: to nobody, and they are ended. */
  set taker(taker: StreamTaker | null) {
    this.#taker = taker;
  }

  /**
   * Waits until it is decided where an empty directory belongs: the cluster to join, null to found one. `interrupted`
   * ends the wait; what it settles with is thrown.
   */
  async belonging(incarnation: Incarnation, interrupted: Promise<unknown>): Promise<ClusterId | null> {
    await this.listen();
    const { log } = this.#parts;
    const node = this.#configuration.node as NodeName;
    const links = new FoundingLinks({ node, incarnation, ...this.#parts, ground: this.ground });
    this.#taker = links;
    let door: WaitingDoor | null = null;
    try {
      if (links.waitsFor !== null) door = await this.#openWaitingDoor(() => links.waitsFor ?? "about to begin");
      const end = interrupted.then((why: unknown) => {
        throw why;
      });
      const cluster = await Promise.race([links.decided, end]);
      if (cluster === null) log.info("founding.founds", { node, with: [...this.ground.addresses.keys()] });
      else log.info("founding.joins", { node, cluster });
      return cluster;
    } catch (cause) {
      if (!(cause instanceof Fault)) throw cause;
      throw new CommandFailed(exitCodes.refused, `${cause.message}; correct --peers`, { cause });
    } finally {
      await door?.close();
      this.#taker = null;
      // The next links are another transport's, which says what is durable then.
      await links.stop();
    }
  }

  /**
   * Waits until the others are a quorum without this server, which can't tell any more what it has promised to them, and
   * makes its directory another life of it. `interrupted` ends the wait; what it settles with is thrown.
   */
  async anotherLife(
    lost: PromisesLost,
    { identity, disk }: { readonly identity: Identity; readonly disk: Disk },
    interrupted: Promise<unknown>,
  ): Promise<Identity> {
    await this.listen();
    let waitsFor = (): string => "about to begin";
    const door = await this.#openWaitingDoor(() => `${lost.message}\n${waitsFor()}`);
    try {
      return await anotherLife(lost, {
        identity,
        disk,
        ...this.#parts,
        peers: this.ground,
        interrupted: interrupted.then((why: unknown) => {
          throw why;
        }),
        onSilent: (member) => {
          if (member !== null) waitsFor = () => member.waitsFor;
          this.#taker = member;
        },
      });
    } finally {
      await door?.close();
    }
  }

  /** On the public port, if it is known which one that will be. */
  async #openWaitingDoor(reason: () => string): Promise<WaitingDoor | null> {
    const place = doorPlaces(this.#configuration).port;
    if (place.port === 0) return null;
    const door = new WaitingDoor({ reason, clock: this.#parts.clock });
    try {
      await door.listen(place);
    } catch (cause) {
      throw listenRefused(place, cause);
    }
    return door;
  }

  async close(): Promise<void> {
    await this.#listener?.close();
    this.#listener = null;
  }

  #take(stream: PeerStream): void {
    if (this.#taker === null) stream.destroy();
    else this.#taker.accept(stream);
  }
}

/**
 * What the configuration says of other servers, checked, before anything is touched; null in topology solo. Throws
 * `CommandFailed`.
 */
export async function clusterSecretOf(configuration: Configuration): Promise<Uint8Array | null> {
  const { topology, peers, secretFile, node, peerHost } = configuration;
  if (topology === "mesh" || topology === "equal") {
    const text = `topology ${topology} is not built yet; this version runs --topology solo and --topology leader`;
    throw new CommandFailed(exitCodes.usage, text);
  }
  if (topology === "solo") {
    const idle = peers.length > 0 ? "--peers" : secretFile !== null ? "--secret-file" : null;
    if (idle === null) return null;
    throw new CommandFailed(
      exitCodes.usage,
      `${idle} is for several servers; in topology solo there is one. Start it with --topology leader`,
    );
  }
  if (secretFile === null) {
    throw new CommandFailed(
      exitCodes.usage,
      "topology leader needs --secret-file FILE, with the same content on every server; " +
        "make one with: (umask 077; openssl rand -hex 32 > cluster.secret)",
    );
  }
  const own = peersOf(peers).get(node as NodeName);
  if (own !== undefined && isIP(own.host) !== 0 && !isLoopback(own.host) && isLoopback(peerHost)) {
    throw new CommandFailed(
      exitCodes.usage,
      `--peers says that others find ${node} at ${own.host}, but it listens for them on ${peerHost}; set --peer-host ${own.host}`,
    );
  }
  return secretIn(secretFile);
}

/** A batch of commands and the one that made it full must fit a frame, however they are configured. */
function linkLimits({ entryBytesMax }: Limits): LinkLimits {
  const frame = Math.max(defaultLinkLimits.appendFrameBytesMax, 2 * entryBytesMax);
  return {
    ...defaultLinkLimits,
    appendFrameBytesMax: frame,
    appendQueueBytesMax: Math.max(defaultLinkLimits.appendQueueBytesMax, 2 * frame),
    appendWindowBytes: Math.max(defaultLinkLimits.appendWindowBytes, frame),
  };
}
