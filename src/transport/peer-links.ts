import { assert, unreachable } from "../base/assert.ts";
import type { ClusterId, Incarnation, NodeName } from "../base/ids.ts";
import { type Random, randomHex } from "../base/random.ts";
import { type Millis, millis } from "../base/units.ts";
import { BulkThrottle } from "./bulk-throttle.ts";
import { decodeGreeting, encodeGreeting, peerVersions, type VersionRange } from "./greeting.ts";
import {
  type Claim,
  greet,
  type GreetingInput,
  type GreetingState,
  type Self,
  type Verdict,
} from "./greeting-machine.ts";
import type {
  ConnectionId,
  LinkEffect,
  LinkEnd,
  LinkEvent,
  PeerStatus,
  SendOutcome,
  SentFrame,
} from "./link-events.ts";
import { checkLinkLimits, type LinkLimits } from "./link-limits.ts";
import { LinkFrames } from "./link-frames.ts";
import { LinkOutput } from "./link-output.ts";
import { frameTypes } from "./peer-frame.ts";
import type { PeerAddress } from "./peer-stream.ts";
import { type Connection, type Peer, PeerTable } from "./peer-table.ts";
import type { RedialReason } from "./redial-backoff.ts";
import { type RefusalCode, refusals } from "./refusals.ts";
import { isServerName, type RemoteServer, type RunId } from "./remote-server.ts";

/**
 * All links of one server with others: greets, keeps exactly one for each pair, dials again, and passes frames on.
 * Pure: streams, time and chance come in; what is to be done comes out.
 *
 * 1. at most one link of each pair stands on either side, and both mean the same connection
 * 2. the server with the lower name is the arbiter of its pair: it alone chooses among connections, and numbers its choices
 * 3. a frame that was taken is delivered at most once; it is delivered, replaced, or told with `down`
 * 4. a frame that was passed on is never passed on again
 * 5. a server that can't be reached is dialled again for as long as it is on the list
 */
export class PeerLinks {
  readonly #limits: LinkLimits;
  readonly #random: Random;
  readonly #versions: VersionRange;
  readonly #throttle: BulkThrottle;
  readonly #table: PeerTable;
  readonly #frames: LinkFrames;
  #identity: RemoteServer;
  #retired: ReadonlySet<Incarnation> = new Set();
  #stopping = false;
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
    this.#limits = limits;
    this.#random = random;
    this.#versions = options.versions ?? peerVersions;
    this.#identity = { name, incarnation, cluster, run: randomHex(random, 16) as RunId };
    this.#table = new PeerTable({ own: name, limits, random });
    const tell = (effect: LinkEffect): void => void this.#effects.push(effect);
    this.#frames = new LinkFrames({ own: name, table: this.#table, limits, tell });
    this.#throttle = new BulkThrottle({ bytesPerSecond: limits.bulkBytesPerSecond, burstBytes: limits.bulkBurstBytes });
  }

  /** Who this server says it is. */
  get identity(): RemoteServer {
    return this.#identity;
  }

  /** A number for a stream that was accepted. */
  nextConnection(): ConnectionId {
    return this.#table.nextConnection();
  }

  step(event: LinkEvent): LinkEffect[] {
    switch (event.type) {
      case "accepted":
        this.#accepted(event.now, event.connection, event.address);
        break;
      case "opened":
        this.#withConnection(event.connection, (connection) => {
          this.#greet(event.now, connection, { type: "opened" });
        });
        break;
      case "received":
        this.#withConnection(event.connection, (connection) => {
          this.#received(event.now, connection, event.bytes);
        });
        break;
      case "closed":
        this.#withConnection(event.connection, (connection) => {
          this.#gone(event.now, connection, { how: "stream", why: event.why });
        });
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
    assert(isServerName(name) && name !== this.#identity.name, `not another server's name: ${name}`);
    const peer = this.#table.peer(name);
    assert(peer !== null, "more peers than peersMax");
    peer.address = address;
    if (peer.state.state === "unreachable") peer.state = { state: "waiting", dialAt: now };
    this.#tick(now);
    return this.#done();
  }

  /** Takes a server off the list and ends its link. It may still dial. */
  removePeer(now: Millis, name: NodeName): LinkEffect[] {
    const peer = this.#table.peers.get(name);
    if (peer === undefined) return [];
    peer.address = null;
    this.#leave(now, peer, "removed");
    return this.#done();
  }

  /** Directories whose servers are not taken any more, all of them: what is not in the set is taken again. */
  setRetired(now: Millis, retired: ReadonlySet<Incarnation>): LinkEffect[] {
    this.#retired = retired;
    for (const peer of this.#table.peers.values()) {
      if (peer.state.state === "linked" && retired.has(peer.state.remote.incarnation)) {
        this.#leave(now, peer, "old_incarnation");
      }
    }
    return this.#done();
  }

  /** This server belongs to a cluster now. Every link greets anew, so that both sides know. */
  joinCluster(now: Millis, cluster: ClusterId): LinkEffect[] {
    assert(this.#identity.cluster === null || this.#identity.cluster === cluster, "a server never changes its cluster");
    if (this.#identity.cluster === cluster) return [];
    this.#identity = { ...this.#identity, cluster };
    for (const peer of this.#table.peers.values()) this.#leave(now, peer, "regreet");
    this.#tick(now);
    return this.#done();
  }

  setBulkBytesPerSecond(now: Millis, bytesPerSecond: number): void {
    this.#throttle.setBytesPerSecond(now, bytesPerSecond);
  }

  /** Ends the link with a server; it is dialled again. For whoever sees that nothing comes over it. */
  drop(now: Millis, name: NodeName, code: RefusalCode): LinkEffect[] {
    const peer = this.#table.peers.get(name);
    if (peer?.state.state === "linked") this.#leave(now, peer, code);
    return this.#done();
  }

  /** Says goodbye to all and dials nobody any more. */
  stop(now: Millis): LinkEffect[] {
    this.#stopping = true;
    for (const connection of this.#table.connections.values()) this.#refuse(now, connection, "stopping", "");
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

  // Streams

  #accepted(now: Millis, id: ConnectionId, address: string): void {
    const connection = this.#table.addConnection(now, { id, address, dialled: null, greeting: { state: "listening" } });
    if (this.#stopping) {
      this.#refuse(now, connection, "stopping", "");
      return;
    }
    const { greetingConnectionsMax, peersMax } = this.#limits;
    // Each peer may have a link, a greeting and one that lingers. Whoever comes on top of all is not even told why.
    if (this.#table.connections.size > greetingConnectionsMax + 3 * peersMax) {
      this.#table.connections.delete(id);
      this.#effects.push({ type: "destroy", connection: id });
      return;
    }
    let greeting = 0;
    for (const other of this.#table.connections.values()) {
      if (other.greeting.state === "listening" || other.greeting.state === "welcoming") greeting++;
    }
    if (greeting > greetingConnectionsMax) this.#refuse(now, connection, "too_many", "greetings at once");
  }

  #received(now: Millis, connection: Connection, bytes: Uint8Array): void {
    if (hasEnded(connection)) return;
    connection.decoder.add(bytes);
    for (;;) {
      const frame = connection.decoder.next();
      if (frame === null) return;
      if ("malformed" in frame) {
        this.#greet(now, connection, { type: "malformed", text: JSON.stringify(frame) });
      } else if (connection.greeting.state === "linked" && frame.type !== frameTypes.refuse) {
        const link = this.#table.linkOf(connection.id);
        assert(link !== null, "a linked connection has a link");
        const flaw = this.#frames.received(link, frame);
        if (flaw !== null) this.#greet(now, connection, { type: "malformed", text: flaw });
      } else {
        const message = decodeGreeting(frame.type, frame.payload);
        const bad = { type: "malformed", text: `a frame of type ${frame.type} can't be read` } as const;
        this.#greet(now, connection, message ?? bad);
      }
      // What comes behind the end of a link is nobody's: the decoder goes with the connection.
      if (hasEnded(connection)) return;
    }
  }

  // Greetings

  #greet(now: Millis, connection: Connection, input: GreetingInput): void {
    const before = connection.greeting;
    if (before.state === "ended") return;
    const self: Self = { identity: this.#identity, versions: this.#versions, retired: this.#retired };
    const step = greet(before, input, self, {
      drawNonce: () => randomHex(this.#random, 16),
      judge: (claim) => this.#judge(now, connection, claim),
    });
    connection.greeting = step.state;
    if (step.reply !== null) this.#write(connection.id, encodeGreeting(step.reply));
    if (step.refusal !== null) {
      this.#end(now, connection, before, { how: "refusal", refusal: step.refusal });
    } else if (step.state.state === "linked" && before.state !== "linked") {
      this.#linked(now, connection, step.state.remote, step.state.version);
    }
  }

  /** Whether a connection whose other end is known now is to be the link of this pair. */
  #judge(now: Millis, connection: Connection, claim: Claim): Verdict {
    const { remote } = claim;
    const peer = this.#table.peer(remote.name);
    if (peer === null) return { verdict: "refuse", code: "too_many" };
    const { state, choice } = peer;
    // Another run: what the one before had is dead.
    if (choice.meet(remote.run)) this.#refuseReserved(now, peer, "replaced", connection);
    const linked = state.state === "linked" && state.remote.run === remote.run ? state.connection : null;
    const verdict = choice.judge(connection.id, claim, linked);
    if (verdict.verdict === "keep" && verdict.choice > 0) this.#makeRoom(now, peer, connection, claim);
    return verdict;
  }

  /** What stood before the connection that was chosen goes. */
  #makeRoom(now: Millis, peer: Peer, connection: Connection, claim: Claim): void {
    this.#refuseReserved(now, peer, "replaced", connection);
    if (peer.choice.isArbiter && claim.dialledBy === "us") peer.choice.reserved = connection.id;
    const { state } = peer;
    if (state.state !== "linked" && state.state !== "dialling") return;
    if (state.connection === connection.id) return;
    const other = this.#table.connections.get(state.connection);
    assert(other !== undefined, "a link or a dial has a connection");
    this.#refuse(now, other, state.state === "linked" ? "replaced" : "duplicate", "");
  }

  #refuseReserved(now: Millis, peer: Peer, code: RefusalCode, except: Connection | null): void {
    const { reserved: id } = peer.choice;
    if (id === null || id === except?.id) return;
    const reserved = this.#table.connections.get(id);
    peer.choice.reserved = null;
    if (reserved !== undefined) this.#refuse(now, reserved, code, "");
  }

  #linked(now: Millis, connection: Connection, remote: RemoteServer, version: number): void {
    const peer = this.#table.peers.get(remote.name);
    assert(peer !== undefined, "a link belongs to a peer");
    assert(peer.state.state !== "linked", "one link at a time");
    connection.decoder.link();
    connection.deadline = never;
    peer.choice.linked();
    const output = new LinkOutput(this.#limits, this.#throttle);
    peer.state = { state: "linked", connection: connection.id, remote, output, since: now };
    const dialledBy = connection.dialled === null ? "them" : "us";
    this.#effects.push({ type: "up", remote, version, dialledBy });
  }

  // Ends

  /** This server ends a connection, whatever its state, and says why. */
  #refuse(now: Millis, connection: Connection, code: RefusalCode, text: string): void {
    const before = connection.greeting;
    if (before.state === "ended") return;
    connection.greeting = { state: "ended" };
    if (before.state !== "dialling") this.#write(connection.id, encodeGreeting({ type: "refuse", code, text }));
    this.#end(now, connection, before, { how: "refusal", refusal: { code, text, by: "us" } });
  }

  /** A connection is over for the callers; its stream lingers so that the reason can be read. */
  #end(now: Millis, connection: Connection, before: GreetingState, end: LinkEnd): void {
    if (before.state === "dialling") {
      this.#effects.push({ type: "destroy", connection: connection.id });
      this.#table.connections.delete(connection.id);
    } else {
      this.#effects.push({ type: "end", connection: connection.id });
      connection.deadline = millis(now + this.#limits.lingerMs);
    }
    this.#tellEnd(now, connection, before, end);
  }

  /** The stream is gone. */
  #gone(now: Millis, connection: Connection, end: LinkEnd): void {
    this.#table.connections.delete(connection.id);
    const before = connection.greeting;
    if (before.state === "ended") return;
    connection.greeting = { state: "ended" };
    this.#tellEnd(now, connection, before, end);
  }

  #tellEnd(now: Millis, connection: Connection, before: GreetingState, end: LinkEnd): void {
    const name = connection.dialled ?? remoteIn(before)?.name ?? null;
    const peer = name === null ? undefined : this.#table.peers.get(name);
    if (peer === undefined) {
      this.#effects.push({ type: "no-link", peer: name, address: connection.address, end });
      return;
    }
    if (peer.choice.reserved === connection.id) peer.choice.reserved = null;
    const { state } = peer;
    if (state.state === "linked" && state.connection === connection.id) {
      if (now - state.since >= this.#limits.redialMsMax) peer.backoff.succeeded();
      this.#effects.push({ type: "down", remote: state.remote, end, lost: state.output.lost() });
      if (end.how === "refusal" && end.refusal.by === "us" && end.refusal.code === "replaced") {
        // Its successor becomes the link in this very step.
        peer.state = { state: "unreachable" };
      } else {
        this.#redial(now, peer, "link-lost");
      }
      return;
    }
    this.#effects.push({ type: "no-link", peer: peer.name, address: connection.address, end });
    if (state.state !== "dialling" || state.connection !== connection.id) {
      this.#table.forgetIdle(peer);
      return;
    }
    if (end.how === "stream" && end.why === "refused") this.#effects.push({ type: "not-running", peer: peer.name });
    const code = end.how === "refusal" ? end.refusal.code : null;
    peer.choice.wasDuplicate = code === "duplicate" && end.how === "refusal" && end.refusal.by === "them";
    this.#redial(now, peer, code !== null && !refusals[code].passes ? "refused-for-good" : "not-reached");
  }

  #redial(now: Millis, peer: Peer, reason: RedialReason): void {
    if (peer.address === null || this.#stopping) {
      peer.state = { state: "unreachable" };
      this.#table.forgetIdle(peer);
      return;
    }
    peer.state = { state: "waiting", dialAt: millis(now + peer.backoff.next(reason)) };
    this.#dialDue(now, peer);
  }

  /** Ends what this server has with a peer: its link, and the dial that is on its way. */
  #leave(now: Millis, peer: Peer, code: RefusalCode): void {
    const { state } = peer;
    this.#refuseReserved(now, peer, code, null);
    if (state.state === "linked" || state.state === "dialling") {
      const connection = this.#table.connections.get(state.connection);
      if (connection !== undefined) this.#refuse(now, connection, code, "");
    } else if (peer.address === null) {
      peer.state = { state: "unreachable" };
      this.#table.forgetIdle(peer);
    }
  }

  // Time

  #tick(now: Millis): void {
    for (const connection of this.#table.connections.values()) {
      if (now < connection.deadline) continue;
      if (connection.greeting.state === "ended") {
        this.#table.connections.delete(connection.id);
        this.#effects.push({ type: "destroy", connection: connection.id });
      } else if (connection.greeting.state === "dialling") {
        this.#effects.push({ type: "destroy", connection: connection.id });
        this.#gone(now, connection, { how: "stream", why: "failed" });
      } else {
        this.#greet(now, connection, { type: "deadline" });
      }
    }
    for (const peer of this.#table.peers.values()) {
      this.#dialDue(now, peer);
      const { state } = peer;
      if (state.state === "linked" && (state.output.hasWaiting || state.output.owesCredit)) {
        this.#effects.push({ type: "output", connection: state.connection });
      }
    }
  }

  #dialDue(now: Millis, peer: Peer): void {
    if (peer.state.state !== "waiting" || now < peer.state.dialAt || peer.address === null || this.#stopping) return;
    const { address } = peer;
    const id = this.nextConnection();
    const where = `${address.host}:${address.port}`;
    this.#table.addConnection(now, {
      id,
      address: where,
      dialled: peer.name,
      greeting: { state: "dialling", to: peer.name },
    });
    peer.state = { state: "dialling", connection: id };
    this.#effects.push({ type: "dial", connection: id, peer: peer.name, address });
  }

  /** A connection that this server has let go is asked about no more: what its stream still tells is old. */
  #withConnection(id: ConnectionId, act: (connection: Connection) => void): void {
    const connection = this.#table.connections.get(id);
    if (connection !== undefined) act(connection);
  }

  #write(connection: ConnectionId, bytes: Uint8Array): void {
    this.#effects.push({ type: "write", connection, bytes });
  }

  #done(): LinkEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
}

const never = Infinity as Millis;

function hasEnded(connection: Connection): boolean {
  return connection.greeting.state === "ended";
}

function remoteIn(state: GreetingState): RemoteServer | null {
  return "remote" in state ? state.remote : null;
}
