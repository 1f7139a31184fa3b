import { assert, unreachable } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import type { ClusterId, GroupId, Incarnation, LogIndex, NodeName, Term } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import { type ReplicaId, replicaId } from "../consensus/replica.ts";
import type { LinkLimits } from "../transport/link-limits.ts";
import type { LivenessEvent } from "../transport/liveness/liveness.ts";
import type { LivenessTiming } from "../transport/liveness/liveness-timing.ts";
import type { PeerAddress, PeerDialler, PeerStream } from "../transport/peer-stream.ts";
import { type LinkNews, PeerTransport, type TransportOwner } from "../transport/peer-transport.ts";
import type { Log } from "./log.ts";
import {
  type BatchNumber,
  decodeAccepted,
  decodeForward,
  decodeRefused,
  decodeVouches,
  encodeAccepted,
  encodeForward,
  encodeRefused,
  encodeVouches,
  peerFrameKinds,
  type Vouch,
} from "./peer-frames.ts";
import type { Forwarding } from "./proposals.ts";

/** What a server that has others beside it is started with. */
export interface PeerGround {
  readonly dialler: PeerDialler;
  /** The servers to dial, and where. Who belongs to the cluster is in its log, and is not decided here. */
  readonly addresses: ReadonlyMap<NodeName, PeerAddress>;
  readonly limits: LinkLimits;
  readonly timing: LivenessTiming;
}

/** What another server's heartbeats say of its replica. */
export interface ReplicaHealth {
  readonly replica: ReplicaId;
  readonly isHeard: boolean;
  readonly hearsUs: boolean;
  readonly isDiskOk: boolean;
  readonly hasCrashed: boolean;
}

/** Who is told what other servers say. */
export interface PeerListener {
  received(from: NodeName, bytes: Uint8Array): void;
  peerHealth(health: ReplicaHealth): void;
  vouched(group: GroupId, vouched: { replica: ReplicaId; term: Term; isAuthoritative: boolean }): void;
  /** Commands to be put in order; a view. */
  forwarded(from: NodeName, batch: BatchNumber, commands: Uint8Array): void;
  accepted(from: NodeName, batch: BatchNumber, index: LogIndex, term: Term): void;
  refused(from: NodeName, batch: BatchNumber, code: ErrorCode): void;
  /** On the bulk lane; a view. Answers whether it is known what it is. */
  bulk(from: NodeName, kind: number, payload: Uint8Array): boolean;
  /** The bulk lane to this server takes some again. */
  bulkWayOpened(peer: NodeName): void;
  /** Links stand with these and nobody else. */
  linkedWith(peers: readonly NodeName[]): void;
  /** What is not logged; a view. */
  gossip(from: NodeName, bytes: Uint8Array): void;
  /** Where clients reach that server, as it says; a view. */
  clients(from: NodeName, bytes: Uint8Array): void;
  /** Something may be sent again that could not be. */
  wayOpened(peer: NodeName): void;
  /** What was on its way to this server, or from it, may be lost. */
  linkLost(peer: NodeName): void;
  /** How long the oldest write has been waiting to be durable. Asked for every heartbeat. */
  syncAgeMs(): Millis;
  /** The groups that this server leads now. */
  vouches(): readonly Vouch[];
}

/** A server that this one has a link with, or had. */
export interface KnownPeer {
  readonly node: NodeName;
  readonly replica: ReplicaId;
  readonly cluster: ClusterId | null;
  readonly isLinked: boolean;
}

interface Peer {
  readonly node: NodeName;
  incarnation: Incarnation | null;
  cluster: ClusterId | null;
  isLinked: boolean;
  isDiskOk: boolean;
  /** What was told of it last; null: nothing, or that it is lost. */
  told: { readonly hearsUs: boolean; readonly isDiskOk: boolean } | null;
  /** What it vouches for, as it was told last. */
  vouched: Map<GroupId, Vouch>;
}

/**
 * The other servers: frames to and from them, and what their heartbeats say, for the group. Performs and translates;
 * whom to believe is the engine's to decide.
 *
 * 1. a replica is told as well only while its server is heard; one that was started again is told as crashed in between
 * 2. what a server vouches for is told when it changes, and anew after it was lost
 */
export class Peers implements TransportOwner, Forwarding {
  readonly #self: NodeName;
  readonly #group: GroupId;
  readonly #incarnation: Incarnation;
  readonly #transport: PeerTransport;
  readonly #listener: PeerListener;
  readonly #log: Log;
  readonly #peers = new Map<NodeName, Peer>();
  #vouches: readonly Vouch[] = [];
  #vouchBytes: Uint8Array;
  #isStopped = false;

  constructor(options: {
    node: NodeName;
    owner: { readonly cluster: ClusterId; readonly incarnation: Incarnation };
    group: GroupId;
    clock: Clock;
    random: Random;
    log: Log;
    limits: Limits;
    ground: PeerGround;
    listener: PeerListener;
  }) {
    const { node, owner, clock, random, ground, limits } = options;
    assert(
      ground.limits.appendFrameBytesMax >= 2 * limits.entryBytesMax,
      "appendFrameBytesMax must hold a batch of commands and the one that made it full",
    );
    this.#self = node;
    this.#group = options.group;
    this.#incarnation = owner.incarnation;
    this.#listener = options.listener;
    this.#log = options.log;
    this.#vouchBytes = encodeVouches(owner.incarnation, []);
    this.#transport = new PeerTransport({
      name: node,
      ...owner,
      clock,
      random,
      dialler: ground.dialler,
      owner: this,
      limits: ground.limits,
      timing: ground.timing,
    });
    for (const [name, address] of ground.addresses) if (name !== node) this.#transport.addPeer(name, address);
  }

  /** A stream of another server that has shown that it knows the secret. */
  accept(stream: PeerStream): void {
    if (this.#isStopped) stream.destroy();
    else this.#transport.accept(stream);
  }

  /** Those with whose data this server was linked in its present life. */
  known(): KnownPeer[] {
    const known: KnownPeer[] = [];
    for (const { node, incarnation, cluster, isLinked } of this.#peers.values()) {
      if (incarnation === null) continue;
      known.push({ node, replica: replicaId(node, incarnation), cluster, isLinked });
    }
    return known;
  }

  /** Links and lives, for status. */
  get transport(): PeerTransport {
    return this.#transport;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#transport.stop();
  }

  // Out

  send(to: NodeName, lane: "control" | "append", payload: Uint8Array, rest: Uint8Array): void {
    if (!this.#isStopped)
      this.#transport.send(to, { lane, kind: peerFrameKinds.engine, payload, rest, tag: 0, subject: null });
  }

  forward(to: NodeName, batch: BatchNumber, commands: Uint8Array): boolean {
    return this.#frame(to, peerFrameKinds.forward, encodeForward(this.#group, batch, commands));
  }

  accepted(to: NodeName, batch: BatchNumber, index: LogIndex, term: Term): void {
    this.#frame(to, peerFrameKinds.accepted, encodeAccepted(this.#group, batch, index, term));
  }

  refused(to: NodeName, batch: BatchNumber, code: ErrorCode): void {
    this.#frame(to, peerFrameKinds.refused, encodeRefused(this.#group, batch, code));
  }

  /** What is large and not urgent. After `full`, `bulkWayOpened` is told. */
  bulk(to: NodeName, kind: number, payload: Uint8Array): "taken" | "full" | "no-link" {
    if (this.#isStopped) return "no-link";
    const outcome = this.#transport.send(to, { lane: "bulk", kind, payload, tag: 0, subject: null });
    return outcome === "full" || outcome === "no-link" ? outcome : "taken";
  }

  /** What may be lost. */
  gossip(to: NodeName, payload: Uint8Array): void {
    if (this.#isStopped) return;
    this.#transport.send(to, { lane: "control", kind: peerFrameKinds.gossip, payload, tag: 0, subject: null });
  }

  /** Where clients reach this server. May be lost. */
  clients(to: NodeName, payload: Uint8Array): void {
    if (this.#isStopped) return;
    this.#transport.send(to, { lane: "control", kind: peerFrameKinds.clients, payload, tag: 0, subject: null });
  }

  #frame(to: NodeName, kind: number, payload: Uint8Array): boolean {
    if (this.#isStopped) return false;
    const outcome = this.#transport.send(to, { lane: "append", kind, payload, tag: 0, subject: null });
    return outcome === "taken" || outcome === "relayed";
  }

  // In

  link(news: LinkNews): void {
    if (this.#isStopped) return;
    switch (news.type) {
      case "up": {
        const { name, incarnation, cluster } = news.remote;
        const peer = this.#peer(name);
        this.#isLife(peer, incarnation);
        peer.cluster = cluster;
        peer.isLinked = true;
        this.#log.info("peer.linked", { peer: name, incarnation });
        this.#linksChanged();
        this.#listener.wayOpened(name);
        return;
      }
      case "down":
        this.#peer(news.remote.name).isLinked = false;
        this.#log.warn("peer.lost", { peer: news.remote.name, end: news.end });
        this.#listener.linkLost(news.remote.name);
        this.#linksChanged();
        return;
      case "frame":
        if (news.lane === "bulk") this.#takeBulk(news.from, news.kind, news.payload);
        else this.#take(news.from, news.kind, news.payload);
        return;
      case "room":
        if (news.lane === "bulk") this.#listener.bulkWayOpened(news.peer);
        else this.#listener.wayOpened(news.peer);
        return;
      case "no-link":
        // A server that does not run is dialled again and again; that is told once, by its liveness.
        if (news.end.how === "refusal") this.#log.warn("peer.refused", { peer: news.peer, refusal: news.end.refusal });
        return;
      case "not-running":
      case "relay-dropped":
        return;
      default:
        return unreachable(news);
    }
  }

  liveness(event: LivenessEvent): void {
    if (this.#isStopped) return;
    switch (event.type) {
      case "alive":
        this.#log.info("peer.alive", { peer: event.peer });
        return;
      case "back":
      case "new-run":
        this.#log.info("peer.alive", { peer: event.peer });
        if (event.type === "new-run" || event.isNewRun) this.#lost(this.#peer(event.peer), true);
        return;
      case "suspected":
      case "dead":
        this.#log.warn(`peer.${event.type}`, { peer: event.peer });
        this.#lost(this.#peer(event.peer), event.type === "dead");
        return;
      case "disk-stuck":
      case "disk-well":
        // Told with the heartbeat that said so.
        this.#peer(event.peer).isDiskOk = event.type === "disk-well";
        this.#log.warn(`peer.${event.type}`, { peer: event.peer });
        return;
      case "heartbeat":
        this.#heard(this.#peer(event.peer), event.beat.hears, event.beat.vouched);
        return;
      case "stalled":
        this.#log.warn("loop.stalled", { stalledMs: event.stalledMs });
        return;
      case "link-silent":
        return;
      default:
        return unreachable(event);
    }
  }

  syncAgeMs(): Millis {
    return this.#listener.syncAgeMs();
  }

  vouched(): Uint8Array {
    const vouches = this.#listener.vouches();
    if (vouches !== this.#vouches) {
      this.#vouches = vouches;
      this.#vouchBytes = encodeVouches(this.#incarnation, vouches);
    }
    return this.#vouchBytes;
  }

  #peer(node: NodeName): Peer {
    let peer = this.#peers.get(node);
    if (peer === undefined) {
      const nothing = { incarnation: null, cluster: null, isLinked: false, isDiskOk: true, told: null };
      peer = { node, ...nothing, vouched: new Map() };
      this.#peers.set(node, peer);
    }
    return peer;
  }

  #linksChanged(): void {
    const linked = [...this.#peers.values()].filter(({ isLinked, cluster }) => isLinked && cluster !== null);
    this.#listener.linkedWith(linked.map(({ node }) => node));
  }

  #takeBulk(from: NodeName, kind: number, payload: Uint8Array): void {
    if (!this.#listener.bulk(from, kind, payload)) this.#log.warn("peer.frame.unknown", { peer: from, kind });
  }

  #take(from: NodeName, kind: number, payload: Uint8Array): void {
    switch (kind) {
      case peerFrameKinds.engine:
        this.#listener.received(from, payload);
        return;
      case peerFrameKinds.forward: {
        const frame = decodeForward(payload);
        if (frame?.group === this.#group) this.#listener.forwarded(from, frame.batch, frame.commands);
        return;
      }
      case peerFrameKinds.accepted: {
        const frame = decodeAccepted(payload);
        if (frame?.group === this.#group) this.#listener.accepted(from, frame.batch, frame.index, frame.term);
        return;
      }
      case peerFrameKinds.refused: {
        const frame = decodeRefused(payload);
        if (frame?.group === this.#group) this.#listener.refused(from, frame.batch, frame.code);
        return;
      }
      case peerFrameKinds.gossip:
        this.#listener.gossip(from, payload);
        return;
      case peerFrameKinds.clients:
        this.#listener.clients(from, payload);
        return;
      default:
        // Of a later version, which has to do without it.
        this.#log.warn("peer.frame.unknown", { peer: from, kind });
    }
  }

  /** A server that comes with other data is another replica; what was said of the former one is over. */
  #isLife(peer: Peer, incarnation: Incarnation): void {
    if (peer.incarnation === incarnation) return;
    if (peer.incarnation !== null) this.#lost(peer, true);
    peer.incarnation = incarnation;
  }

  #lost(peer: Peer, hasCrashed: boolean): void {
    peer.told = null;
    peer.vouched.clear();
    if (peer.incarnation === null) return;
    const replica = replicaId(peer.node, peer.incarnation);
    this.#listener.peerHealth({ replica, isHeard: false, hearsUs: false, isDiskOk: peer.isDiskOk, hasCrashed });
  }

  #heard(peer: Peer, hears: readonly NodeName[], vouched: Uint8Array): void {
    const said = decodeVouches(vouched);
    if (said === null) return;
    this.#isLife(peer, said.incarnation);
    const replica = replicaId(peer.node, said.incarnation);
    const hearsUs = hears.includes(this.#self) || this.#isHeardThroughOthers(hears);
    const { told, isDiskOk } = peer;
    if (told === null || told.hearsUs !== hearsUs || told.isDiskOk !== isDiskOk) {
      peer.told = { hearsUs, isDiskOk };
      this.#listener.peerHealth({ replica, isHeard: true, hearsUs, isDiskOk, hasCrashed: false });
    }
    this.#vouchedFor(peer, replica, said.vouches);
  }

  #vouchedFor(peer: Peer, replica: ReplicaId, vouches: readonly Vouch[]): void {
    if (peer.vouched.size === 0 && vouches.length === 0) return;
    const before = peer.vouched;
    peer.vouched = new Map(vouches.map((vouch) => [vouch.group, vouch]));
    for (const group of before.keys()) {
      if (peer.vouched.has(group)) continue;
      this.#listener.vouched(group, { replica, term: 0 as Term, isAuthoritative: false });
    }
    for (const { group, term, isAuthoritative } of vouches) {
      const was = before.get(group);
      if (was?.term === term && was.isAuthoritative === isAuthoritative) continue;
      this.#listener.vouched(group, { replica, term, isAuthoritative });
    }
  }

  /** Somebody whom it hears passes our heartbeats on to it, as transport does around a link that is down. */
  #isHeardThroughOthers(hears: readonly NodeName[]): boolean {
    return this.#transport.health().some((other) => other.hears.includes(this.#self) && hears.includes(other.peer));
  }
}
