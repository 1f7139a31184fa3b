import { assert } from "../../base/assert.ts";
import type { NodeName } from "../../base/ids.ts";
import { type Millis, millis } from "../../base/units.ts";
import type { RunId } from "../remote-server.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { checkLivenessTiming, type LivenessTiming } from "./liveness-timing.ts";
import { LoopWatch } from "./loop-watch.ts";
import { type LifeChange, type PeerLife, stepLife } from "./peer-liveness.ts";

export type LivenessEvent =
  /** Heard for the first time. */
  | { readonly type: "alive"; readonly peer: NodeName; readonly run: RunId }
  /** Heard again after it was suspected or dead. `isNewRun`: it was started again in between. */
  | { readonly type: "back"; readonly peer: NodeName; readonly run: RunId; readonly isNewRun: boolean }
  /** It was started again, faster than it was missed. */
  | { readonly type: "new-run"; readonly peer: NodeName; readonly run: RunId }
  | { readonly type: "suspected"; readonly peer: NodeName }
  /** Its machine refuses connections. */
  | { readonly type: "dead"; readonly peer: NodeName }
  | { readonly type: "disk-stuck"; readonly peer: NodeName; readonly syncAgeMs: Millis }
  | { readonly type: "disk-well"; readonly peer: NodeName }
  /** A heartbeat that is newer than all before it. */
  | { readonly type: "heartbeat"; readonly peer: NodeName; readonly via: NodeName | null; readonly beat: Heartbeat }
  /** Nothing came on the link for so long that it is to be given up. */
  | { readonly type: "link-silent"; readonly peer: NodeName }
  /** This server's own event loop stood still; nobody was judged for it. */
  | { readonly type: "stalled"; readonly stalledMs: Millis };

/** What status shows of one server. */
export interface PeerHealth {
  readonly peer: NodeName;
  readonly state: PeerLife["state"];
  readonly isHeardDirectly: boolean;
  readonly diskIsStuck: boolean;
  readonly syncAgeMs: Millis;
  readonly loopLagMs: Millis;
  readonly hears: readonly NodeName[];
}

interface Watched {
  readonly peer: NodeName;
  life: PeerLife;
  /** Credited time of the last heartbeat, or greeting, on its own link. Null: never. */
  directAt: Millis | null;
  isLinked: boolean;
  /** The newest heartbeat came through another server. */
  isRelayed: boolean;
  diskIsStuck: boolean;
  syncAgeMs: Millis;
  loopLagMs: Millis;
  hears: ReadonlySet<NodeName>;
  previousRun: RunId | null;
}

/**
 * Which servers are there, as this one sees it: one heartbeat for each pair of servers, whatever the number of groups.
 * Pure: `tick` is called after what had arrived was handed over, with the time; no event of it is a promise about the
 * other server, only about what was heard.
 *
 * 1. a server is suspected only after `suspectAfterMs` of credited silence, and this server's own lag on top
 * 2. in the first tick that follows a stall nobody is judged: what waits in the sockets is heard first
 * 3. only a heartbeat newer than all of its run before brings a server back; a run that was followed by another is over
 * 4. `hears` names only those heard on their own link, so that no relay relies on a relay
 */
export class Liveness {
  readonly #self: NodeName;
  readonly #run: RunId;
  readonly #timing: LivenessTiming;
  readonly #loop: LoopWatch;
  readonly #watched = new Map<NodeName, Watched>();
  #beatAt: Millis | null = null;
  #number = 0;
  #wasStalled = false;

  constructor(options: { readonly self: NodeName; readonly run: RunId; readonly timing: LivenessTiming }) {
    checkLivenessTiming(options.timing);
    this.#self = options.self;
    this.#run = options.run;
    this.#timing = options.timing;
    // One lost heartbeat may be charged to others for one tick, not more.
    this.#loop = new LoopWatch({ tickMs: options.timing.tickMs, creditMsMax: options.timing.beatMs });
  }

  /** How long silence may last now: longer while this server itself is slow (Lifeguard, arXiv 1707.00788). */
  get suspectAfterMs(): Millis {
    return millis(this.#timing.suspectAfterMs + Math.min(this.#timing.ownLagMsMax, this.#loop.lagMs));
  }

  get loopLagMs(): Millis {
    return this.#loop.lagMs;
  }

  /** From now on this server is watched; silence counts from here. */
  watch(peer: NodeName): void {
    if (this.#watched.has(peer)) return;
    this.#watched.set(peer, {
      peer,
      life: { state: "unknown", since: this.#loop.credited },
      directAt: null,
      isLinked: false,
      isRelayed: false,
      diskIsStuck: false,
      syncAgeMs: millis(0),
      loopLagMs: millis(0),
      hears: new Set(),
      previousRun: null,
    });
  }

  forget(peer: NodeName): void {
    this.#watched.delete(peer);
  }

  linkUp(peer: NodeName): void {
    const watched = this.#watched.get(peer);
    if (watched === undefined) return;
    watched.isLinked = true;
    watched.directAt = this.#loop.credited;
  }

  linkDown(peer: NodeName): void {
    const watched = this.#watched.get(peer);
    if (watched !== undefined) watched.isLinked = false;
  }

  /**
   * Its machine refused a connection: no process listens there. Not believed of one that was heard through another last:
   * a firewall between the two refuses as well, and then every dial would bury a server that every heartbeat revives.
   */
  refused(peer: NodeName): LivenessEvent[] {
    const watched = this.#watched.get(peer);
    if (watched === undefined || (watched.life.state === "alive" && watched.isRelayed)) return [];
    return this.#step(watched, { type: "refused" });
  }

  /** A heartbeat came, on the sender's own link or passed on. */
  heard(peer: NodeName, via: NodeName | null, beat: Heartbeat): LivenessEvent[] {
    const watched = this.#watched.get(peer);
    if (watched === undefined || beat.run === watched.previousRun) return [];
    const runBefore = runOf(watched.life);
    const step = stepLife(watched.life, { type: "heard", at: this.#loop.credited, run: beat.run, number: beat.number });
    if (step.change === "stale") return [];
    if (runBefore !== null && runBefore !== beat.run) watched.previousRun = runBefore;
    watched.life = step.life;
    if (via === null) watched.directAt = this.#loop.credited;
    watched.isRelayed = via !== null;
    watched.hears = new Set(beat.hears);
    watched.syncAgeMs = beat.syncAgeMs;
    watched.loopLagMs = beat.loopLagMs;
    const events = eventsOf(peer, step.change, beat.run, runBefore !== null && runBefore !== beat.run);
    const diskIsStuck = beat.syncAgeMs > this.#timing.diskStuckMs;
    if (diskIsStuck !== watched.diskIsStuck) {
      watched.diskIsStuck = diskIsStuck;
      events.push(diskIsStuck ? { type: "disk-stuck", peer, syncAgeMs: beat.syncAgeMs } : { type: "disk-well", peer });
    }
    events.push({ type: "heartbeat", peer, via, beat });
    return events;
  }

  /** Time has passed, and all that had arrived by now was handed over. */
  tick(now: Millis): LivenessEvent[] {
    const stalledMs = this.#loop.tick(now);
    const isFirstStall = stalledMs > 0 && !this.#wasStalled;
    this.#wasStalled = stalledMs > 0;
    const events: LivenessEvent[] = stalledMs > 0 ? [{ type: "stalled", stalledMs }] : [];
    // A server that is always late would else never judge; what waited for it was handed over since the tick before.
    if (isFirstStall) return events;
    const { suspectAfterMs } = this;
    const { silentLinkMs } = this.#timing;
    const at = this.#loop.credited;
    for (const watched of this.#watched.values()) {
      events.push(...this.#step(watched, { type: "judge", at, suspectAfterMs }));
      const { isLinked, directAt, peer } = watched;
      if (isLinked && directAt !== null && at - directAt >= Math.max(silentLinkMs, suspectAfterMs)) {
        // Counted anew, should the link not go.
        watched.directAt = at;
        events.push({ type: "link-silent", peer });
      }
    }
    return events;
  }

  /** The number of the heartbeat that is due now; null when none is. */
  beatDue(now: Millis): number | null {
    if (this.#beatAt !== null && now - this.#beatAt < this.#timing.beatMs) return null;
    // The next is due a beat after this one was, unless that has passed as well.
    const next = this.#beatAt === null ? now : millis(this.#beatAt + this.#timing.beatMs);
    this.#beatAt = now - next >= this.#timing.beatMs ? now : next;
    return ++this.#number;
  }

  /** The heartbeat of this number. */
  beat(number: number, vitals: { readonly syncAgeMs: Millis; readonly vouched: Uint8Array }): Heartbeat {
    assert(number === this.#number, "a heartbeat is made when it is due");
    const hears = this.peers().filter((peer) => this.isHeardDirectly(peer));
    const { syncAgeMs, vouched } = vitals;
    return { run: this.#run, number, syncAgeMs, loopLagMs: this.#loop.lagMs, hears, vouched };
  }

  /** All that are watched, in the order of their names. */
  peers(): NodeName[] {
    return [...this.#watched.keys()].sort();
  }

  lifeOf(peer: NodeName): PeerLife | null {
    return this.#watched.get(peer)?.life ?? null;
  }

  /** It is heard on its own link, not through another. */
  isHeardDirectly(peer: NodeName): boolean {
    const watched = this.#watched.get(peer);
    if (watched === undefined || watched.directAt === null || !watched.isLinked) return false;
    return this.#loop.credited - watched.directAt < this.suspectAfterMs;
  }

  /** Who may pass frames on to `target`: the first by name that this server hears and that hears `target`. */
  relayFor(target: NodeName): NodeName | null {
    for (const peer of this.peers()) {
      if (peer === target || peer === this.#self || !this.isHeardDirectly(peer)) continue;
      if (this.#watched.get(peer)!.hears.has(target)) return peer;
    }
    return null;
  }

  health(): PeerHealth[] {
    return this.peers().map((peer) => {
      const { life, diskIsStuck, syncAgeMs, loopLagMs, hears } = this.#watched.get(peer)!;
      const isHeardDirectly = this.isHeardDirectly(peer);
      return { peer, state: life.state, isHeardDirectly, diskIsStuck, syncAgeMs, loopLagMs, hears: [...hears] };
    });
  }

  #step(watched: Watched, input: Parameters<typeof stepLife>[1]): LivenessEvent[] {
    const step = stepLife(watched.life, input);
    watched.life = step.life;
    return eventsOf(watched.peer, step.change, runOf(step.life), false);
  }
}

function runOf(life: PeerLife): RunId | null {
  switch (life.state) {
    case "unknown":
      return null;
    case "alive":
      return life.run;
    default:
      return life.last?.run ?? null;
  }
}

function eventsOf(peer: NodeName, change: LifeChange, run: RunId | null, isNewRun: boolean): LivenessEvent[] {
  switch (change) {
    case "none":
    case "stale":
      return [];
    case "suspected":
    case "dead":
      return [{ type: change, peer }];
    case "alive":
    case "new-run":
      assert(run !== null, "who was heard has a run");
      return [{ type: change, peer, run }];
    case "back":
      assert(run !== null, "who was heard has a run");
      return [{ type: "back", peer, run, isNewRun }];
    default:
      return change satisfies never;
  }
}
