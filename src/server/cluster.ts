import type { Clock, Timer } from "../base/clock.ts";
import { type ErrorCode, Fault } from "../base/error-codes.ts";
import type { ClusterId, GroupId, LogIndex, NodeName, Term } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { type Millis, millis } from "../base/units.ts";
import { nodeOf, type ReplicaId } from "../consensus/replica.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { Journal } from "../storage/journal/journal.ts";
import type { Standing } from "../topology/engine.ts";
import { nextChanges } from "../topology/membership-plan.ts";
import type { PeerAddress } from "../transport/peer-stream.ts";
import { CatchUp, defaultCatchUpSettings } from "./catch-up/catch-up.ts";
import type { ClientAddresses } from "./client-addresses.ts";
import { type CountedPlace, countedPlaceKind, decodeCountedPlace, encodeCountedPlace } from "./counted-place.ts";
import type { GroupDriver } from "./group-driver.ts";
import type { Log } from "./log.ts";
import type { BatchNumber, Vouch } from "./peer-frames.ts";
import { type KnownPeer, type PeerGround, type PeerListener, Peers, type ReplicaHealth } from "./peers.ts";
import { PresenceGossip } from "./presence-gossip.ts";
import type { Proposals } from "./proposals.ts";
import type { Recovered } from "./recovery.ts";
import type { SelfFencing } from "./self-fencing.ts";

/** What this needs of the server it is in. */
export interface ClusterHost {
  readonly driver: GroupDriver;
  readonly proposals: Proposals;
  readonly clientAddresses: ClientAddresses | null;
  /** Why commands of another server can't be taken now; null when they can. */
  refusalForOthers(): ErrorCode | null;
  readonly fencing: Pick<SelfFencing, "snapshotTaken" | "forgot" | "stateDiffers">;
}

/** How often a leader looks whether somebody is to be added or made a voter. */
const reconcileEveryMs = 250;
/** Looks after which members are told again what they are counted on for: every five seconds. */
const countEveryLooks = 20;

/**
 * This server among others: passes what they say to the group and back, says in heartbeats what is led here, and, while it
 * leads, makes members of those who are listed. Everything that counts is decided by the engine and by the log.
 */
export class Cluster implements PeerListener {
  readonly peers: Peers;
  readonly catchUp: CatchUp;
  /** Where others reach this server, as it was told itself; null: it was not. */
  readonly ownAddress: PeerAddress | null;
  readonly presence: PresenceGossip;
  readonly #host: ClusterHost;
  readonly #self: ReplicaId;
  readonly #group: GroupId;
  readonly #cluster: ClusterId;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #diskStuckMs: Millis;
  readonly #node: NodeName;
  readonly #state: GroupState;
  /** Servers that are to belong to the cluster, and where they are dialled. */
  readonly #listed: Map<NodeName, PeerAddress>;
  /** What the log says of addresses, as far as it was done. */
  readonly #read = new Map<string, PeerAddress | null>();
  #vouches: readonly Vouch[] = [];
  #linked: readonly NodeName[] = [];
  #timer: Timer | null = null;
  #isChanging = false;
  readonly #journal: Journal;
  readonly #limits: Limits;
  #isSpaceScarce = false;
  #looks = 0;

  constructor(host: ClusterHost, recovered: Recovered, ground: PeerGround) {
    const { clock, random, log, limits, node, owner, state, self, disk, chunks } = recovered;
    this.#host = host;
    this.#self = self;
    this.#group = state.group;
    this.#cluster = owner.cluster;
    this.#clock = clock;
    this.#log = log;
    this.#diskStuckMs = ground.timing.diskStuckMs;
    this.#node = node;
    this.#state = state;
    this.ownAddress = ground.addresses.get(node) ?? null;
    this.#listed = new Map(ground.addresses);
    this.#listed.delete(node);
    const { group } = state;
    this.peers = new Peers({ node, owner, group, clock, random, log, limits, ground, listener: this });
    this.presence = new PresenceGossip({
      clock,
      peers: () => this.#linked,
      send: (to, bytes) => this.peers.gossip(to, bytes),
    });
    this.#journal = recovered.journal;
    this.#limits = limits;
    this.#journal.keepReleased(limits.journalKeptBytes);
    this.catchUp = new CatchUp({
      disk,
      owner,
      chunks,
      state,
      clock,
      log,
      ...defaultCatchUpSettings,
      send: (to, kind, payload) => this.peers.bulk(to, kind, payload),
      onSnapshot: (index) => this.#host.fencing.snapshotTaken(index),
      onDifference: (difference) => this.#host.fencing.stateDiffers(difference),
    });
  }

  start(): void {
    this.catchUp.changed();
    this.#readAddresses();
    this.#reconcileSoon();
  }

  #reconcileSoon(): void {
    this.#timer = this.#clock.after(millis(reconcileEveryMs), () => {
      this.#reconcileSoon();
      this.#readAddresses();
      this.catchUp.tellLacked();
      this.#host.clientAddresses?.look();
      this.#reconcile();
      if (++this.#looks % countEveryLooks === 0) this.#tellCounted();
    });
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    this.presence.stop();
    await this.catchUp.stop();
    await this.peers.stop();
  }

  /** A server that is to belong to the cluster from now on, and where it is reached. */
  list(node: NodeName, address: PeerAddress): void {
    this.#listed.set(node, address);
    this.peers.transport.addPeer(node, address);
  }

  /** It is not to belong to the cluster any more: no leader adds it again. Its membership is another matter. */
  unlist(node: NodeName): void {
    this.#listed.delete(node);
    this.peers.transport.removePeer(node);
  }

  /**
   * So much of the disk is free. What the journal keeps for those who lag goes before sends are refused: they begin with a
   * snapshot instead.
   */
  spaceIs(freeBytes: number): void {
    const { diskReserveBytes, journalKeptBytes } = this.#limits;
    const isScarce = freeBytes < diskReserveBytes * (this.#isSpaceScarce ? 3 : 2);
    if (isScarce === this.#isSpaceScarce) return;
    this.#isSpaceScarce = isScarce;
    this.#journal.keepReleased(isScarce ? 0 : journalKeptBytes);
    this.#log.warn(isScarce ? "journal.kept.no.more" : "journal.kept.again", { freeBytes });
    if (isScarce) this.#host.driver.compacted(this.#journal.baseOf(this.#group));
  }

  /** Whether those who vote besides this server, and are heard now, are enough without it. */
  areOthersQuorum(): boolean {
    const voters = this.#host.driver.engine.members.filter(({ role }) => role === "voter");
    const alive = new Set(
      this.peers.transport.health().flatMap(({ peer, state }) => (state === "alive" ? [peer] : [])),
    );
    const others = voters.filter(({ replica }) => replica !== this.#self && alive.has(nodeOf(replica)));
    return others.length > voters.length / 2;
  }

  /** The servers that are to belong to the cluster besides this one, and where they are dialled. */
  get listed(): ReadonlyMap<NodeName, PeerAddress> {
    return this.#listed;
  }

  /** Whether this very life of a server is known to be there: this one, or one whose heartbeats come. */
  isThere(replica: ReplicaId): boolean {
    if (replica === this.#self) return true;
    const { transport } = this.peers;
    const linked = this.peers.known().find((peer) => peer.replica === replica && peer.isLinked);
    return (
      linked !== undefined && transport.health().some(({ peer, state }) => peer === linked.node && state === "alive")
    );
  }

  /** Takes a server out of the group. Settles when that is committed. */
  async remove(node: NodeName): Promise<void> {
    const { driver, proposals } = this.#host;
    const lives = driver.engine.members.filter(({ replica }) => nodeOf(replica) === node);
    if (lives.length === 0) throw new Fault("not_found", `no member is called ${node}`);
    this.#listed.delete(node);
    await proposals.changeMembers(lives.map(({ replica }) => ({ type: "remove" as const, replica })));
  }

  standingChanged({ role, term, isAuthoritative }: Standing): void {
    const leads = role === "leader" || role === "elected";
    this.#vouches = leads ? [{ group: this.#group, term, isAuthoritative }] : [];
  }

  // What other servers say

  received(from: NodeName, bytes: Uint8Array): void {
    this.#host.driver.received(from, bytes);
  }

  peerHealth(health: ReplicaHealth): void {
    this.#host.driver.peerHealth(health);
  }

  vouched(group: GroupId, vouched: { replica: ReplicaId; term: Term; isAuthoritative: boolean }): void {
    if (group === this.#group) this.#host.driver.vouched(vouched);
  }

  forwarded(from: NodeName, batch: BatchNumber, commands: Uint8Array): void {
    this.#host.proposals.take(from, batch, commands, this.#host.refusalForOthers());
  }

  accepted(from: NodeName, batch: BatchNumber, index: LogIndex, term: Term): void {
    this.#host.proposals.accepted(from, batch, index, term);
  }

  refused(from: NodeName, batch: BatchNumber, code: ErrorCode): void {
    this.#host.proposals.refused(from, batch, code);
  }

  gossip(from: NodeName, bytes: Uint8Array): void {
    this.presence.take(from, bytes);
  }

  clients(from: NodeName, bytes: Uint8Array): void {
    this.#host.clientAddresses?.told(from, bytes);
  }

  wayOpened(): void {
    this.#host.proposals.close();
  }

  linkLost(peer: NodeName): void {
    this.#host.proposals.linkLost(peer);
    this.catchUp.linkLost(peer);
    this.presence.lost(peer);
  }

  bulk(from: NodeName, kind: number, payload: Uint8Array): boolean {
    if (kind !== countedPlaceKind) return this.catchUp.take(from, kind, payload);
    const counted = decodeCountedPlace(payload);
    if (counted !== null) this.#counted(counted);
    return counted !== null;
  }

  #counted(counted: CountedPlace): void {
    const { driver } = this.#host;
    const isMeant = counted.group === this.#group && counted.replica === this.#self;
    // A leader of another term may count on what has been replaced since.
    if (!isMeant || counted.term !== driver.engine.standing.term || driver.lastIndex >= counted.index) return;
    this.#host.fencing.forgot(counted);
  }

  /** Tells members what they have acknowledged to this server while it led. */
  #tellCounted(): void {
    const { standing, members } = this.#host.driver.engine;
    if (standing.role !== "leader") return;
    for (const { replica, matched } of members) {
      if (replica === this.#self || matched === null || matched === 0) continue;
      const counted = { group: this.#group, term: standing.term, index: matched, replica };
      this.peers.bulk(nodeOf(replica), countedPlaceKind, encodeCountedPlace(counted));
    }
  }

  bulkWayOpened(peer: NodeName): void {
    this.catchUp.room(peer);
  }

  linkedWith(peers: readonly NodeName[]): void {
    const before = this.#linked;
    this.#linked = peers;
    this.catchUp.linked(peers);
    for (const peer of peers) if (!before.includes(peer)) this.presence.linked(peer);
  }

  syncAgeMs(): Millis {
    const { driver } = this.#host;
    // Told to others with every heartbeat, and judged as often here.
    driver.judgeDisk(this.#self, this.#diskStuckMs);
    return driver.syncAgeMs();
  }

  vouches(): readonly Vouch[] {
    return this.#vouches;
  }

  // Who belongs to the group

  /** What the log says of addresses goes before what this server was started with. */
  #readAddresses(): void {
    for (const [name, address] of this.#state.addresses) {
      if (name === this.#node || this.#read.get(name) === address) continue;
      this.#read.set(name, address);
      if (address === null) this.unlist(name as NodeName);
      else this.list(name as NodeName, address);
    }
  }

  #reconcile(): void {
    const { driver, proposals } = this.#host;
    const { standing, members } = driver.engine;
    if (this.#isChanging || standing.role !== "leader" || !standing.isAuthoritative) return;
    const present = this.peers
      .known()
      .filter((peer) => this.#isPresent(peer))
      .map(({ node, replica }) => ({ node, replica, isComplete: this.catchUp.lacked.isComplete(node) }));
    const changes = nextChanges({ members, lastIndex: driver.lastIndex, present });
    if (changes.length === 0) return;
    this.#isChanging = true;
    proposals.changeMembers(changes).then(
      () => {
        this.#isChanging = false;
        this.#log.info("members.changed", { changes });
      },
      (cause: unknown) => {
        // Asked for again at the next look, by whoever leads then.
        this.#isChanging = false;
        this.#log.warn("members.not.changed", { changes, cause });
      },
    );
  }

  #isPresent({ node, cluster, isLinked }: KnownPeer): boolean {
    return isLinked && cluster === this.#cluster && this.#listed.has(node);
  }
}
