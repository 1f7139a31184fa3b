import { assert, unreachable } from "../base/assert.ts";
import type { ClusterId, Incarnation, NodeName } from "../base/ids.ts";
import { type Random, randomHex } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import { Connections } from "./connections.ts";
import { peerVersions, type VersionRange } from "./greeting.ts";
import type { ConnectionId, LinkEffect, LinkEvent, PeerStatus, SendOutcome, SentFrame } from "./link-events.ts";
import { LinkFrames } from "./link-frames.ts";
import { checkLinkLimits, type LinkLimits } from "./link-limits.ts";
import type { PeerAddress } from "./peer-stream.ts";
import { PeerTable } from "./peer-table.ts";
import type { RefusalCode } from "./refusals.ts";
import { isServerName, type RemoteServer, type RunId } from "./remote-server.ts";
import { ServerPairs } from "./server-pairs.ts";

/**
 * All links of one server with others: greets, keeps exactly one for each pair, dials again, and passes frames on.
 * Pure: streams, time and chance come in; what is to be done comes out.
 *
 * `Connections` greets, `ServerPairs` says which connection is whose link and dials, `LinkFrames` passes frames on.
 *
 * 1. at most one link of each pair stands on either side, and both mean the same connection
 * 2. the server with the lower name is the arbiter of its pair: it alone chooses among connections, and numbers its choices
 * 3. a frame that was taken is delivered at most once; it is delivered, replaced, or told with `down`
 * 4. a frame that was passed on is never passed on again
 * 5. a server that can't be reached is dialled again for as long as it is on the list
 */
export class PeerLinks {
  readonly #table: PeerTable;
  readonly #frames: LinkFrames;
  readonly #pairs: ServerPairs;
  readonly #connections: Connections;
  #effects: LinkEffect[] = [];

  constructor(options: {
    readonly name: NodeName;
    readonly incarnation: Incarnation;
    readonly cluster: ClusterId | null;
    readonly limits: LinkLimits;
    readonly random: Random;
    readonly versions?: VersionRange;
  }) {
    const { name, incarnation, cluster, limits, random } = options;
    assert(isServerName(name), `not a server's name: ${name}`);
    checkLinkLimits(limits);
    const identity = { name, incarnation, cluster, run: randomHex(random, 16) as RunId };
    const table = new PeerTable({ own: name, limits, random });
    const tell = (effect: LinkEffect): void => void this.#effects.push(effect);
    const common = { table, limits, tell };
    this.#table = table;
    this.#frames = new LinkFrames({ ...common, own: name });
    this.#pairs = new ServerPairs({ ...common, refuse: (...refused) => this.#connections.refuse(...refused) });
    const self = { identity, versions: options.versions ?? peerVersions, retired: new Set<Incarnation>() };
    this.#connections = new Connections({ ...common, self, random, frames: this.#frames, owner: this.#pairs });
  }

  /** Who this server says it is. */
  get identity(): RemoteServer {
    return this.#connections.self.identity;
  }

  /** A number for a stream that was accepted. */
  nextConnection(): ConnectionId {
    return this.#table.nextConnection();
  }

  step(event: LinkEvent): LinkEffect[] {
    switch (event.type) {
      case "accepted":
        this.#connections.accepted(event.now, event.connection, event.address);
        break;
      case "opened":
        this.#connections.opened(event.now, event.connection);
        break;
      case "received":
        this.#connections.received(event.now, event.connection, event.bytes);
        break;
      case "closed":
        this.#connections.gone(event.now, event.connection, event.why);
        break;
      case "tick":
        this.#tick(event.now);
        break;
      default:
        return unreachable(event);
    }
    return this.#done();
  }

  /** Puts a server on the list, or gives it another address, which the next dial uses. */
  addPeer(now: Millis, name: NodeName, address: PeerAddress): LinkEffect[] {
    assert(isServerName(name) && name !== this.identity.name, `not another server's name: ${name}`);
    this.#pairs.list(now, name, address);
    this.#tick(now);
    return this.#done();
  }

  /** Takes a server off the list and ends its link. It may still dial. */
  removePeer(now: Millis, name: NodeName): LinkEffect[] {
    const peer = this.#table.peers.get(name);
    if (peer === undefined) return [];
    peer.address = null;
    this.#pairs.leave(now, peer, "removed");
    return this.#done();
  }

  /** Directories whose servers are not taken any more, all of them: what is not in the set is taken again. */
  setRetired(now: Millis, retired: ReadonlySet<Incarnation>): LinkEffect[] {
    this.#connections.self = { ...this.#connections.self, retired };
    for (const peer of this.#table.peers.values()) {
      if (peer.state.state === "linked" && retired.has(peer.state.remote.incarnation)) {
        this.#pairs.leave(now, peer, "old_incarnation");
      }
    }
    return this.#done();
  }

  /** This server belongs to a cluster now. Every link greets anew, so that both sides know. */
  joinCluster(now: Millis, cluster: ClusterId): LinkEffect[] {
    const { identity } = this;
    assert(identity.cluster === null || identity.cluster === cluster, "a server never changes its cluster");
    if (identity.cluster === cluster) return [];
    this.#connections.self = { ...this.#connections.self, identity: { ...identity, cluster } };
    for (const peer of this.#table.peers.values()) this.#pairs.leave(now, peer, "regreet");
    this.#tick(now);
    return this.#done();
  }

  setBulkBytesPerSecond(now: Millis, bytesPerSecond: number): void {
    this.#pairs.setBulkBytesPerSecond(now, bytesPerSecond);
  }

  /** Ends the link with a server; it is dialled again. For whoever sees that nothing comes over it. */
  drop(now: Millis, name: NodeName, code: RefusalCode): LinkEffect[] {
    const peer = this.#table.peers.get(name);
    if (peer?.state.state === "linked") this.#pairs.leave(now, peer, code);
    return this.#done();
  }

  /** Says goodbye to all and dials nobody any more. */
  stop(now: Millis): LinkEffect[] {
    this.#pairs.stop();
    this.#connections.stop(now);
    return this.#done();
  }

  /** It has an address, and is dialled while no link stands. */
  isListed(name: NodeName): boolean {
    return (this.#table.peers.get(name)?.address ?? null) !== null;
  }

  isLinked(name: NodeName): boolean {
    return this.#table.linkWith(name) !== null;
  }

  /** The connection of the link with a server; null when none stands. */
  connectionOf(name: NodeName): ConnectionId | null {
    return this.#table.linkWith(name)?.connection ?? null;
  }

  /** The server at the other end of a link; null when none stands. */
  remoteOf(name: NodeName): RemoteServer | null {
    return this.#table.linkWith(name)?.remote ?? null;
  }

  /** Hands a frame to the link with `to`. Never waits and never throws for what the world does. */
  send(to: NodeName, frame: SentFrame): SendOutcome {
    return this.#frames.send(to, frame);
  }

  /** Hands a frame for `to` to the link with `relay`, which passes it on. Not for bulk. */
  sendThrough(relay: NodeName, to: NodeName, frame: SentFrame): SendOutcome {
    return this.#frames.sendThrough(relay, to, frame);
  }

  /** What is to be written on a connection now, as one write. `bufferedBytes` is what its socket has not taken. */
  takeOutput(now: Millis, id: ConnectionId, bufferedBytes: number): Uint8Array[] {
    const link = this.#table.linkOf(id);
    return link === null ? [] : link.output.take(now, bufferedBytes);
  }

  /** Lanes that take frames again, after what `takeOutput` took. */
  roomAgain(id: ConnectionId): LinkEffect[] {
    const link = this.#table.linkOf(id);
    if (link === null) return [];
    return link.output.roomAgain().map((lane) => ({ type: "room", peer: link.remote.name, lane }));
  }

  status(): PeerStatus[] {
    return this.#table.status();
  }

  /** Connections that stand, greet or linger. */
  get connectionCount(): number {
    return this.#table.connections.size;
  }

  #tick(now: Millis): void {
    this.#connections.tick(now);
    this.#pairs.tick(now);
  }

  #done(): LinkEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
}
