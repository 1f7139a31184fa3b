import { assert, unreachable } from "../base/assert.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { ClusterId, Incarnation, NodeName } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import type { VersionRange } from "./greeting.ts";
import type { LinkLimits } from "./link-limits.ts";
import { decodeHeartbeat, encodeHeartbeat } from "./liveness/heartbeat.ts";
import { Liveness, type LivenessEvent, type PeerHealth } from "./liveness/liveness.ts";
import type { LivenessTiming } from "./liveness/liveness-timing.ts";
import type { ConnectionId, LinkEffect, LinkEvent, PeerStatus, SendOutcome, SentFrame } from "./link-events.ts";
import { PeerLinks } from "./peer-links.ts";
import type { PeerAddress, PeerDialler, PeerStream } from "./peer-stream.ts";
import type { RemoteServer } from "./remote-server.ts";

/** Kinds from here on are the transport's own. */
const ownKindsFrom = 0xff00;
const heartbeatKind = 0xff00;

/** What happens on links, told in the order in which it happened. Frames of one link come in the order of their lane. */
export type LinkNews = Extract<
  LinkEffect,
  { type: "up" | "down" | "frame" | "room" | "not-running" | "relay-dropped" | "no-link" }
>;

/** What a transport needs of the server, which may call the transport from inside these. */
export interface TransportOwner {
  link(news: LinkNews): void;
  liveness(event: LivenessEvent): void;
  /** How long the oldest write that is not durable yet has been waiting; 0 when none is. */
  syncAgeMs(): Millis;
  /** What the next heartbeat to this server carries for the layer above, at most 32 KiB; the same bytes may be given again. */
  vouched(peer: NodeName): Uint8Array;
}

/**
 * How servers reach each other: opaque bytes to a named server, over links that greet, heal and relay by themselves, and
 * who of them is alive. Performs what `PeerLinks` and `Liveness` decide, in their order; decides nothing but when to look
 * at the clock. Real and simulated streams, clocks and chance meet the same code.
 *
 * 1. one write for each link and turn
 * 2. a due timer only asks for a turn; time is judged at the end of that turn, after what had arrived was handed over
 */
export class PeerTransport {
  readonly #clock: Clock;
  readonly #dialler: PeerDialler;
  readonly #owner: TransportOwner;
  readonly #links: PeerLinks;
  readonly #liveness: Liveness;
  readonly #tickMs: Millis;
  readonly #streams = new Map<ConnectionId, PeerStream>();
  /** Connections with something to write at the end of this turn. */
  readonly #dirty = new Set<ConnectionId>();
  #flushAsked = false;
  #effects: LinkEffect[] = [];
  #performing = false;
  #timer: Timer | null = null;
  #stopped: (() => void) | null = null;

  constructor(options: {
    readonly name: NodeName;
    readonly incarnation: Incarnation;
    readonly cluster: ClusterId | null;
    readonly clock: Clock;
    readonly random: Random;
    readonly dialler: PeerDialler;
    readonly owner: TransportOwner;
    readonly limits: LinkLimits;
    readonly timing: LivenessTiming;
    readonly versions?: VersionRange;
  }) {
    this.#clock = options.clock;
    this.#dialler = options.dialler;
    this.#owner = options.owner;
    this.#links = new PeerLinks(options);
    const { name: self, run } = this.#links.identity;
    this.#liveness = new Liveness({ self, run, timing: options.timing });
    this.#tickMs = options.timing.tickMs;
    this.#liveness.tick(this.#clock.now());
    this.#tickLater();
  }

  /** Who this server says it is, its run included. */
  get identity(): RemoteServer {
    return this.#links.identity;
  }

  /** A stream of another server that has proven to know the secret. */
  accept(stream: PeerStream): void {
    const connection = this.#links.nextConnection();
    this.#attach(connection, stream);
    this.#step({ type: "accepted", now: this.#clock.now(), connection, address: stream.address });
  }

  /** Puts a server on the list: it is dialled and watched from now on. Again with another address: that is used next. */
  addPeer(name: NodeName, address: PeerAddress): void {
    this.#liveness.watch(name);
    this.#perform(this.#links.addPeer(this.#clock.now(), name, address));
  }

  /** Takes a server off the list. Its link ends with `removed`; what was not confirmed is told as lost. */
  removePeer(name: NodeName): void {
    this.#perform(this.#links.removePeer(this.#clock.now(), name));
    this.#liveness.forget(name);
  }

  /** Directories whose servers are refused from now on; the whole set. */
  setRetired(retired: ReadonlySet<Incarnation>): void {
    this.#perform(this.#links.setRetired(this.#clock.now(), retired));
  }

  /** This server belongs to a cluster from now on; every link greets anew. */
  joinCluster(cluster: ClusterId): void {
    this.#perform(this.#links.joinCluster(this.#clock.now(), cluster));
  }

  /** Of all peers together, from now on. */
  setBulkBytesPerSecond(bytesPerSecond: number): void {
    this.#links.setBulkBytesPerSecond(this.#clock.now(), bytesPerSecond);
  }

  /**
   * Hands over a frame: on the server's own link, or, for control and appends, through another server while that link is
   * down or silent. What is taken goes out at the end of the turn. Between the two ways there is no order. `full` on the
   * way through another is followed by that server's `room`.
   */
  send(to: NodeName, frame: SentFrame): SendOutcome {
    assert(frame.kind < ownKindsFrom, `kind ${frame.kind} is the transport's own`);
    if (frame.lane !== "bulk" && !this.#liveness.isHeardDirectly(to)) {
      const relay = this.#liveness.relayFor(to);
      if (relay !== null) return this.#asked(relay, this.#links.sendThrough(relay, to, frame));
    }
    return this.#asked(to, this.#links.send(to, frame));
  }

  isLinked(peer: NodeName): boolean {
    return this.#links.isLinked(peer);
  }

  status(): PeerStatus[] {
    return this.#links.status();
  }

  health(): PeerHealth[] {
    return this.#liveness.health();
  }

  /** This server's own event loop: how late its latest late tick was. */
  get loopLagMs(): Millis {
    return this.#liveness.loopLagMs;
  }

  /** Says goodbye to all. Settles when no stream is left, at the latest after the time a reason may linger. */
  async stop(): Promise<void> {
    this.#perform(this.#links.stop(this.#clock.now()));
    if (this.#links.connectionCount > 0) {
      await new Promise<void>((resolve) => {
        this.#stopped = resolve;
      });
    }
    this.#timer?.cancel();
    this.#timer = null;
  }

  // Streams

  #attach(connection: ConnectionId, stream: PeerStream): void {
    this.#streams.set(connection, stream);
    stream.attach({
      opened: () => this.#step({ type: "opened", now: this.#clock.now(), connection }),
      data: (bytes) => this.#step({ type: "received", now: this.#clock.now(), connection, bytes }),
      drained: () => this.#write(connection),
      closed: (why) => {
        this.#streams.delete(connection);
        this.#dirty.delete(connection);
        this.#step({ type: "closed", now: this.#clock.now(), connection, why });
      },
    });
  }

  #step(event: LinkEvent): void {
    this.#perform(this.#links.step(event));
  }

  /** In their order: what a call from inside the owner's answer brings about comes behind what is under way. */
  #perform(effects: readonly LinkEffect[]): void {
    for (const effect of effects) this.#effects.push(effect);
    if (this.#performing) return;
    this.#performing = true;
    // The loop sees what is pushed while it runs.
    for (const effect of this.#effects) this.#performOne(effect);
    this.#effects = [];
    this.#performing = false;
    if (this.#stopped !== null && this.#links.connectionCount === 0) this.#stopped();
  }

  #performOne(effect: LinkEffect): void {
    switch (effect.type) {
      case "dial":
        this.#attach(effect.connection, this.#dialler.dial(effect.address));
        return;
      case "write":
        this.#streams.get(effect.connection)?.write([effect.bytes]);
        return;
      case "output":
        this.#writeLater(effect.connection);
        return;
      case "end":
        this.#streams.get(effect.connection)?.end();
        return;
      case "destroy":
        this.#streams.get(effect.connection)?.destroy();
        this.#streams.delete(effect.connection);
        return;
      case "up":
        // Who is not on the list is watched for as long as its link stands: it may be about to join.
        this.#liveness.watch(effect.remote.name);
        this.#liveness.linkUp(effect.remote.name);
        this.#owner.link(effect);
        return;
      case "down":
        this.#liveness.linkDown(effect.remote.name);
        if (!this.#links.isListed(effect.remote.name)) this.#liveness.forget(effect.remote.name);
        this.#owner.link(effect);
        return;
      case "frame":
        if (effect.lane === "control" && effect.kind === heartbeatKind) this.#heard(effect);
        else this.#owner.link(effect);
        return;
      case "not-running":
        this.#owner.link(effect);
        this.#tell(this.#liveness.refused(effect.peer));
        return;
      case "room":
      case "relay-dropped":
      case "no-link":
        this.#owner.link(effect);
        return;
      default:
        return unreachable(effect);
    }
  }

  #asked(to: NodeName, outcome: SendOutcome): SendOutcome {
    if (outcome === "taken" || outcome === "relayed") {
      const connection = this.#links.connectionOf(to);
      if (connection !== null) this.#writeLater(connection);
    }
    return outcome;
  }

  #writeLater(connection: ConnectionId): void {
    this.#dirty.add(connection);
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    this.#clock.defer(() => {
      this.#flushAsked = false;
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      for (const one of dirty) this.#write(one);
    });
  }

  #write(connection: ConnectionId): void {
    const stream = this.#streams.get(connection);
    if (stream === undefined) return;
    const pieces = this.#links.takeOutput(this.#clock.now(), connection, stream.bufferedBytes);
    if (pieces.length > 0) stream.write(pieces);
    this.#perform(this.#links.roomAgain(connection));
  }

  // Time and life

  #tickLater(): void {
    this.#timer = this.#clock.after(this.#tickMs, () => {
      this.#clock.defer(() => {
        if (this.#timer === null) return;
        this.#tickLater();
        this.#tick(this.#clock.now());
      });
    });
  }

  #tick(now: Millis): void {
    this.#tell(this.#liveness.tick(now));
    const number = this.#liveness.beatDue(now);
    if (number !== null) this.#beat(number);
    this.#step({ type: "tick", now });
  }

  #beat(number: number): void {
    const syncAgeMs = this.#owner.syncAgeMs();
    for (const peer of this.#liveness.peers()) {
      if (!this.#links.isLinked(peer) && this.#liveness.relayFor(peer) === null) continue;
      const payload = encodeHeartbeat(this.#liveness.beat(number, { syncAgeMs, vouched: this.#owner.vouched(peer) }));
      const frame = { lane: "control", kind: heartbeatKind, payload, tag: 0, subject: 0 } as const;
      // The own link first, silent or not: only a heartbeat on it can show that it works again.
      if (this.#links.isLinked(peer)) this.#asked(peer, this.#links.send(peer, frame));
      if (!this.#liveness.isHeardDirectly(peer)) {
        const relay = this.#liveness.relayFor(peer);
        if (relay !== null) this.#asked(relay, this.#links.sendThrough(relay, peer, frame));
      }
    }
  }

  #heard(frame: Extract<LinkEffect, { type: "frame" }>): void {
    const beat = decodeHeartbeat(frame.payload);
    // What a newer server may say that this one can't read is no sign of life it can judge by.
    if (beat !== null) this.#tell(this.#liveness.heard(frame.from, frame.via, beat));
  }

  #tell(events: readonly LivenessEvent[]): void {
    for (const event of events) {
      if (event.type === "link-silent") this.#perform(this.#links.drop(this.#clock.now(), event.peer, "silent"));
      this.#owner.liveness(event);
    }
  }
}
