import type { Liveness } from "./events.ts";
import type { ReplicaId } from "./replica.ts";

interface Peer {
  heardUntil: number;
  supportedUntil: number;
  diskOk: boolean;
  /** Said to be silent or gone, and not heard since. */
  lost: boolean;
}

/**
 * What is known of the other replicas' servers, from their heartbeats and from what they answer in this group.
 *
 * 1. nobody is lost before it was said to be: who is unknown may be spoken to
 * 2. support ends with the disk of who gives it
 */
export class Peers {
  readonly #peers = new Map<ReplicaId, Peer>();
  readonly #self: ReplicaId;

  constructor(self: ReplicaId) {
    this.#self = self;
  }

  heard(event: Liveness): void {
    const peer = this.#of(event.peer);
    peer.heardUntil = event.diskOk ? event.heardUntil : Math.min(event.heardUntil, event.now);
    peer.supportedUntil = event.diskOk ? event.supportedUntil : Math.min(event.supportedUntil, event.now);
    peer.diskOk = event.diskOk;
    peer.lost = event.crashed || event.heardUntil <= event.now;
  }

  /** It has answered what was said to it: it hears us for a while, whatever is known otherwise. */
  answered(replica: ReplicaId, until: number): void {
    const peer = this.#of(replica);
    peer.lost = false;
    if (peer.diskOk && peer.supportedUntil < until) peer.supportedUntil = until;
  }

  /** Whether it is worth sending to. */
  isReachable(replica: ReplicaId): boolean {
    return this.#peers.get(replica)?.lost !== true;
  }

  /** So long what it says counts as fresh by its server's heartbeats; -Infinity when nothing is known. */
  heardUntil(replica: ReplicaId): number {
    return this.#peers.get(replica)?.heardUntil ?? -Infinity;
  }

  /** So long it stands behind us. We stand behind ourselves while our disk answers. */
  readonly supportedUntil = (replica: ReplicaId): number => {
    if (replica === this.#self) return this.isDiskOk(replica) ? Infinity : -Infinity;
    return this.#peers.get(replica)?.supportedUntil ?? -Infinity;
  };

  isDiskOk(replica: ReplicaId): boolean {
    return this.#peers.get(replica)?.diskOk ?? true;
  }

  #of(replica: ReplicaId): Peer {
    let peer = this.#peers.get(replica);
    if (peer === undefined) {
      peer = { heardUntil: -Infinity, supportedUntil: -Infinity, diskOk: true, lost: false };
      this.#peers.set(replica, peer);
    }
    return peer;
  }
}
