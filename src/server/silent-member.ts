import type { Clock, Timer } from "../base/clock.ts";
import type { ClusterId, Incarnation, NodeName } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { type Millis, millis } from "../base/units.ts";
import { type OtherLeader, OthersQuorum } from "../topology/others-quorum.ts";
import type { LivenessEvent } from "../transport/liveness/liveness.ts";
import type { PeerStream } from "../transport/peer-stream.ts";
import { type LinkNews, PeerTransport, type TransportOwner } from "../transport/peer-transport.ts";
import type { Log } from "./log.ts";
import { decodeVouches } from "./peer-frames.ts";
import type { PeerGround } from "./peers.ts";

/** How often it is said again for whom this server waits. */
const tellEveryMs = 60_000;
/** A heartbeat that says nothing of any replica: nobody counts this one as there. */
const nothing = new Uint8Array(0);

/**
 * A member of a cluster that can't tell any more what it has promised: it says whose data it has, takes no part in
 * anything, and listens until the others are known to be a quorum without it (topology/SPEC.md).
 */
export class SilentMember implements TransportOwner {
  /** Who leads without this server, once that is proven. Pending for as long as nobody does. */
  readonly proven: Promise<OtherLeader>;
  readonly #cluster: ClusterId;
  readonly #listed: readonly NodeName[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #transport: PeerTransport;
  readonly #quorum = new OthersQuorum();
  readonly #linked = new Set<NodeName>();
  #prove: ((leader: OtherLeader) => void) | null = null;
  #proof: Timer | null = null;
  #telling: Timer;

  constructor(options: {
    readonly node: NodeName;
    readonly incarnation: Incarnation;
    readonly cluster: ClusterId;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
    readonly ground: PeerGround;
  }) {
    const { node, incarnation, cluster, clock, random, log, ground } = options;
    const { addresses, dialler, limits, timing } = ground;
    this.#cluster = cluster;
    this.#listed = [...addresses.keys()].filter((name) => name !== node);
    this.#clock = clock;
    this.#log = log;
    this.proven = new Promise((resolve) => {
      this.#prove = resolve;
    });
    const identity = { name: node, incarnation, cluster, clock, random };
    this.#transport = new PeerTransport({ ...identity, dialler, owner: this, limits, timing });
    for (const [peer, address] of addresses) if (peer !== node) this.#transport.addPeer(peer, address);
    this.#telling = this.#tell();
  }

  /** A stream of another server that has shown that it knows the secret. */
  accept(stream: PeerStream): void {
    this.#transport.accept(stream);
  }

  /** For whom it waits, in words. */
  get waitsFor(): string {
    const { leader } = this.#quorum;
    if (leader !== null) return `${leader.node} leads; it is seen whether that lasts`;
    const silent = this.#listed.filter((name) => !this.#linked.has(name));
    const missing = silent.length === 0 ? "" : `; these do not answer: ${silent.join(", ")}`;
    return `no server leads with a quorum without this one${missing}`;
  }

  /** Settles when no link is left. What is not proven by then never is. */
  async stop(): Promise<void> {
    this.#telling.cancel();
    this.#proof?.cancel();
    this.#prove = null;
    await this.#transport.stop();
  }

  link(news: LinkNews): void {
    if (news.type === "up") {
      if (news.remote.cluster === this.#cluster) this.#linked.add(news.remote.name);
    } else if (news.type === "down") {
      this.#linked.delete(news.remote.name);
      this.#lost(news.remote.name);
    } else if (news.type === "no-link" && news.end.how === "refusal") {
      this.#log.warn("peer.refused", { peer: news.peer, refusal: news.end.refusal });
    }
  }

  liveness(event: LivenessEvent): void {
    switch (event.type) {
      case "heartbeat": {
        if (event.via !== null || !this.#linked.has(event.peer)) return;
        const vouch = decodeVouches(event.beat.vouched)?.vouches[0];
        const leads = vouch?.isAuthoritative === true;
        this.#quorum.vouched(this.#clock.now(), event.peer, leads ? vouch.term : null);
        this.#look();
        return;
      }
      case "suspected":
      case "dead":
      case "new-run":
        this.#lost(event.peer);
        return;
      case "stalled":
        // What was not heard meanwhile may have been said.
        for (const peer of this.#linked) this.#lost(peer);
        return;
      default:
    }
  }

  syncAgeMs(): Millis {
    return millis(0);
  }

  vouched(): Uint8Array {
    return nothing;
  }

  #lost(peer: NodeName): void {
    this.#quorum.lost(peer);
    this.#look();
  }

  #look(): void {
    const { provenAt, leader } = this.#quorum;
    this.#proof?.cancel();
    this.#proof = null;
    if (leader === null || this.#prove === null) return;
    const now = this.#clock.now();
    if (now < provenAt) {
      this.#proof = this.#clock.after(millis(provenAt - now), () => this.#look());
      return;
    }
    this.#prove(leader);
    this.#prove = null;
    this.#telling.cancel();
  }

  #tell(): Timer {
    return this.#clock.after(millis(tellEveryMs), () => {
      this.#log.error("member.waits", { because: this.waitsFor });
      this.#telling = this.#tell();
    });
  }
}
