import type { NodeName } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { type Millis, millis } from "../base/units.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import type { GreetingState } from "./greeting-machine.ts";
import type { ConnectionId, PeerStatus } from "./link-events.ts";
import type { LinkLimits } from "./link-limits.ts";
import type { LinkOutput } from "./link-output.ts";
import { PairChoice } from "./pair-choice.ts";
import type { PeerAddress } from "./peer-stream.ts";
import { RedialBackoff } from "./redial-backoff.ts";
import type { RemoteServer } from "./remote-server.ts";

export interface Linked {
  readonly state: "linked";
  readonly connection: ConnectionId;
  readonly remote: RemoteServer;
  readonly output: LinkOutput;
  readonly since: Millis;
}

export type PeerState =
  /** It has no address and no link: it may dial. */
  | { readonly state: "unreachable" }
  | { readonly state: "waiting"; readonly dialAt: Millis }
  | { readonly state: "dialling"; readonly connection: ConnectionId }
  | Linked;

export interface Peer {
  readonly name: NodeName;
  address: PeerAddress | null;
  state: PeerState;
  readonly backoff: RedialBackoff;
  readonly choice: PairChoice;
}

export interface Connection {
  readonly id: ConnectionId;
  readonly address: string;
  readonly decoder: FrameDecoder;
  /** Whom this server dialled; null for an accepted one. */
  readonly dialled: NodeName | null;
  greeting: GreetingState;
  /** Of the greeting; after its end, of the lingering. */
  deadline: Millis;
}

/** The other servers that one knows, its connections, and which of these is whose link. */
export class PeerTable {
  readonly peers = new Map<NodeName, Peer>();
  readonly connections = new Map<ConnectionId, Connection>();
  readonly #own: NodeName;
  readonly #limits: LinkLimits;
  readonly #random: Random;
  #lastConnection = 0;
  #lastChoice = 0;

  constructor(options: { readonly own: NodeName; readonly limits: LinkLimits; readonly random: Random }) {
    this.#own = options.own;
    this.#limits = options.limits;
    this.#random = options.random;
  }

  nextConnection(): ConnectionId {
    return ++this.#lastConnection;
  }

  /** The peer of this name, new if need be; null when there are as many as there may be. */
  peer(name: NodeName): Peer | null {
    const known = this.peers.get(name);
    if (known !== undefined) return known;
    if (this.peers.size >= this.#limits.peersMax) return null;
    const peer: Peer = {
      name,
      address: null,
      state: { state: "unreachable" },
      backoff: new RedialBackoff(this.#limits, this.#random),
      choice: new PairChoice({ isArbiter: this.#own < name, nextChoice: () => ++this.#lastChoice }),
    };
    this.peers.set(name, peer);
    return peer;
  }

  /** A server that is not on the list and has no link leaves no trace. */
  forgetIdle(peer: Peer): void {
    if (peer.address === null && peer.state.state === "unreachable" && peer.choice.reserved === null) {
      this.peers.delete(peer.name);
    }
  }

  addConnection(now: Millis, options: Pick<Connection, "id" | "address" | "dialled" | "greeting">): Connection {
    const decoder = new FrameDecoder(this.#limits);
    const connection = { ...options, decoder, deadline: millis(now + this.#limits.greetWithinMs) };
    this.connections.set(connection.id, connection);
    return connection;
  }

  /** The link with a server; null when none stands. */
  linkWith(name: NodeName): Linked | null {
    const state = this.peers.get(name)?.state;
    return state?.state === "linked" ? state : null;
  }

  /** The link that this connection is; null when it is none. */
  linkOf(id: ConnectionId): Linked | null {
    const greeting = this.connections.get(id)?.greeting;
    if (greeting?.state !== "linked") return null;
    const link = this.linkWith(greeting.remote.name);
    return link?.connection === id ? link : null;
  }

  status(): PeerStatus[] {
    return [...this.peers.values()].map(({ name, state }) => ({
      name,
      state: state.state,
      remote: state.state === "linked" ? state.remote : null,
      waitingBytes: state.state === "linked" ? state.output.waitingBytes : 0,
      unconfirmedBytes: state.state === "linked" ? state.output.unconfirmedBytes : 0,
    }));
  }
}
