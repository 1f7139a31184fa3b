import type { Clock, Timer } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import type { ClusterId, Incarnation, NodeName } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { type Millis, millis } from "../base/units.ts";
import { founding, type FoundingVerdict } from "../topology/founding.ts";
import type { PeerStream } from "../transport/peer-stream.ts";
import { type LinkNews, PeerTransport, type TransportOwner } from "../transport/peer-transport.ts";
import type { Log } from "./log.ts";
import type { PeerGround } from "./peers.ts";

/** How long a server is silent about what it waits for: until then it is a start like any other. */
const tellAfterMs = 1_000;

/** A heartbeat of a server that leads nothing. */
const nothing = new Uint8Array(0);

/**
 * A server whose directory is empty, among others: hears what they say of themselves, and tells them that it is empty,
 * until it is decided whether it founds a cluster or joins one (topology/SPEC.md). Decides nothing itself.
 */
export class FoundingLinks implements TransportOwner {
  /** The cluster to join; null: found one. Rejects with a Fault when a person has to decide. */
  readonly decided: Promise<ClusterId | null>;
  readonly #node: NodeName;
  readonly #listed: readonly NodeName[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #transport: PeerTransport;
  readonly #said = new Map<NodeName, ClusterId | null>();
  readonly #timer: Timer;
  #decide: { found: (cluster: ClusterId | null) => void; refuse: (why: Fault) => void } | null = null;
  #waits: Extract<FoundingVerdict, { type: "wait" }> | null = null;
  #told = "";
  #isTelling = false;

  constructor(options: {
    readonly node: NodeName;
    readonly incarnation: Incarnation;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
    readonly ground: PeerGround;
  }) {
    const { node, incarnation, clock, random, log, ground } = options;
    this.#node = node;
    this.#listed = [...ground.addresses.keys()];
    this.#clock = clock;
    this.#log = log;
    this.decided = new Promise((found, refuse) => {
      this.#decide = { found, refuse };
    });
    const { dialler, limits, timing } = ground;
    this.#transport = new PeerTransport({
      name: node,
      incarnation,
      cluster: null,
      clock,
      random,
      dialler,
      owner: this,
      limits,
      timing,
    });
    this.#timer = clock.after(millis(tellAfterMs), () => {
      this.#isTelling = true;
      this.#tell();
    });
    for (const [peer, address] of ground.addresses) if (peer !== node) this.#transport.addPeer(peer, address);
    this.#look();
  }

  /** A stream of another server that has shown that it knows the secret. */
  accept(stream: PeerStream): void {
    this.#transport.accept(stream);
  }

  /** What it waits for, in words; null: it is decided. */
  get waitsFor(): string | null {
    if (this.#waits === null || this.#decide === null) return null;
    const { why, for: names } = this.#waits;
    return `this server has no data and waits for ${names.join(", ")}: ${reasons[why]}`;
  }

  /** Settles when no link is left. What is not decided by then never is. */
  async stop(): Promise<void> {
    this.#timer.cancel();
    this.#decide = null;
    await this.#transport.stop();
  }

  link(news: LinkNews): void {
    if (news.type === "up") {
      this.#said.set(news.remote.name, news.remote.cluster);
      this.#look();
    } else if (news.type === "down") {
      this.#said.delete(news.remote.name);
      this.#look();
    } else if (news.type === "no-link" && news.end.how === "refusal") {
      this.#log.warn("peer.refused", { peer: news.peer, refusal: news.end.refusal });
    } else if (news.type === "no-link" && news.end.how === "stream" && news.end.why === "unauthenticated") {
      this.#log.warn("peer.unauthenticated", { peer: news.peer, address: news.address });
    }
  }

  liveness(): void {
    // Links say enough.
  }

  syncAgeMs(): Millis {
    return millis(0);
  }

  vouched(): Uint8Array {
    return nothing;
  }

  #look(): void {
    if (this.#decide === null) return;
    const verdict = founding({ self: this.#node, directory: null, listed: this.#listed, said: this.#said });
    if (verdict.type === "wait") {
      this.#waits = verdict;
      this.#tell();
      return;
    }
    const { found, refuse } = this.#decide;
    this.#decide = null;
    this.#timer.cancel();
    switch (verdict.type) {
      case "join":
        // Said before it is durable, so that nobody counts on an empty directory any more (FND9). In a turn of its own:
        // this may be the transport's.
        this.#clock.defer(() => this.#transport.joinCluster(verdict.cluster));
        found(verdict.cluster);
        return;
      case "refuse": {
        const who = [...verdict.clusters].map(([node, cluster]) => `${node} is in ${cluster}`).join(", ");
        refuse(new Fault("bad_request", `the servers of the list belong to different clusters: ${who}`));
        return;
      }
      default:
        found(null);
    }
  }

  #tell(): void {
    if (!this.#isTelling || this.#waits === null || this.#decide === null) return;
    const { why, for: names } = this.#waits;
    const text = `${why} ${names.join(" ")}`;
    if (text === this.#told) return;
    this.#told = text;
    this.#log.info("founding.waits", { for: names, because: reasons[why] });
  }
}

const reasons = {
  silent: "these have not said that their directories are empty too",
  founder: "the directory is empty, and this one founds the cluster or is in one",
  "not-listed": "this server is not in its own list, so one of these has to be in a cluster already",
};
