import { assert } from "../base/assert.ts";
import type { NodeName } from "../base/ids.ts";
import { type Millis, millis } from "../base/units.ts";
import { BulkThrottle } from "./bulk-throttle.ts";
import type { ConnectionOwner, Connections } from "./connections.ts";
import type { Claim, GreetingState, Verdict } from "./greeting-machine.ts";
import type { LinkEffect, LinkEnd } from "./link-events.ts";
import type { LinkLimits } from "./link-limits.ts";
import { LinkOutput } from "./link-output.ts";
import type { PeerAddress } from "./peer-stream.ts";
import type { Connection, Peer, PeerTable } from "./peer-table.ts";
import type { RedialReason } from "./redial-backoff.ts";
import { type RefusalCode, refusals } from "./refusals.ts";
import type { RemoteServer } from "./remote-server.ts";

/**
 * This server and each of the others: which of their connections is the link, and when the other is dialled again.
 *
 * 1. at most one link of each pair stands; the next one is made room for before it stands
 * 2. a server that can't be reached is dialled again for as long as it is on the list
 */
export class ServerPairs implements ConnectionOwner {
  readonly #table: PeerTable;
  readonly #limits: LinkLimits;
  readonly #throttle: BulkThrottle;
  readonly #refuse: Connections["refuse"];
  readonly #tell: (effect: LinkEffect) => void;
  #isStopping = false;

  constructor(options: {
    readonly table: PeerTable;
    readonly limits: LinkLimits;
    /** Ends a connection, and says why. */
    readonly refuse: Connections["refuse"];
    readonly tell: (effect: LinkEffect) => void;
  }) {
    const { limits } = options;
    this.#table = options.table;
    this.#limits = limits;
    this.#refuse = options.refuse;
    this.#tell = options.tell;
    this.#throttle = new BulkThrottle({ bytesPerSecond: limits.bulkBytesPerSecond, burstBytes: limits.bulkBurstBytes });
  }

  /** Puts a server on the list, or gives it another address, which the next dial uses. */
  list(now: Millis, name: NodeName, address: PeerAddress): void {
    const peer = this.#table.peer(name);
    assert(peer !== null, "more peers than peersMax");
    peer.address = address;
    if (peer.state.state === "unreachable") peer.state = { state: "waiting", dialAt: now };
  }

  /** Ends what this server has with a peer: its link, and the dial that is on its way. */
  leave(now: Millis, peer: Peer, code: RefusalCode): void {
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

  setBulkBytesPerSecond(now: Millis, bytesPerSecond: number): void {
    this.#throttle.setBytesPerSecond(now, bytesPerSecond);
  }

  /** Nobody is dialled any more. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Dials who is due, and asks for the output of links that have waited for time to pass. */
  tick(now: Millis): void {
    for (const peer of this.#table.peers.values()) {
      this.#dialDue(now, peer);
      const { state } = peer;
      if (state.state === "linked" && (state.output.hasWaiting || state.output.owesCredit)) {
        this.#tell({ type: "output", connection: state.connection });
      }
    }
  }

  // What becomes of connections

  judge(now: Millis, connection: Connection, claim: Claim): Verdict {
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

  linked(now: Millis, connection: Connection, remote: RemoteServer, version: number): void {
    const peer = this.#table.peers.get(remote.name);
    assert(peer !== undefined, "a link belongs to a peer");
    assert(peer.state.state !== "linked", "one link at a time");
    peer.choice.linked();
    const output = new LinkOutput(this.#limits, this.#throttle);
    peer.state = { state: "linked", connection: connection.id, remote, output, since: now };
    const dialledBy = connection.dialled === null ? "them" : "us";
    this.#tell({ type: "up", remote, version, dialledBy });
  }

  ended(now: Millis, connection: Connection, before: GreetingState, end: LinkEnd): void {
    const name = connection.dialled ?? remoteIn(before)?.name ?? null;
    const peer = name === null ? undefined : this.#table.peers.get(name);
    if (peer === undefined) {
      this.#tell({ type: "no-link", peer: name, address: connection.address, end });
      return;
    }
    if (peer.choice.reserved === connection.id) peer.choice.reserved = null;
    const { state } = peer;
    if (state.state === "linked" && state.connection === connection.id) {
      if (now - state.since >= this.#limits.redialMsMax) peer.backoff.succeeded();
      this.#tell({ type: "down", remote: state.remote, end, lost: state.output.lost() });
      if (end.how === "refusal" && end.refusal.by === "us" && end.refusal.code === "replaced") {
        // Its successor becomes the link in this very step.
        peer.state = { state: "unreachable" };
      } else {
        this.#redial(now, peer, "link-lost");
      }
      return;
    }
    this.#tell({ type: "no-link", peer: peer.name, address: connection.address, end });
    if (state.state !== "dialling" || state.connection !== connection.id) {
      this.#table.forgetIdle(peer);
      return;
    }
    if (end.how === "stream" && end.why === "refused") this.#tell({ type: "not-running", peer: peer.name });
    const code = end.how === "refusal" ? end.refusal.code : null;
    peer.choice.wasDuplicate = code === "duplicate" && end.how === "refusal" && end.refusal.by === "them";
    this.#redial(now, peer, code !== null && !refusals[code].passes ? "refused-for-good" : "not-reached");
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

  // Dials

  #redial(now: Millis, peer: Peer, reason: RedialReason): void {
    if (peer.address === null || this.#isStopping) {
      peer.state = { state: "unreachable" };
      this.#table.forgetIdle(peer);
      return;
    }
    peer.state = { state: "waiting", dialAt: millis(now + peer.backoff.next(reason)) };
    this.#dialDue(now, peer);
  }

  #dialDue(now: Millis, peer: Peer): void {
    if (peer.state.state !== "waiting" || now < peer.state.dialAt || peer.address === null || this.#isStopping) return;
    const { name, address } = peer;
    const id = this.#table.nextConnection();
    const where = `${address.host}:${address.port}`;
    this.#table.addConnection(now, { id, address: where, dialled: name, greeting: { state: "dialling", to: name } });
    peer.state = { state: "dialling", connection: id };
    this.#tell({ type: "dial", connection: id, peer: name, address });
  }
}

function remoteIn(state: GreetingState): RemoteServer | null {
  return "remote" in state ? state.remote : null;
}
