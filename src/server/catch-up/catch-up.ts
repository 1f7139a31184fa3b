import { unreachable } from "../../base/assert.ts";
import type { Clock, Timer } from "../../base/clock.ts";
import type { LogIndex, NodeName } from "../../base/ids.ts";
import { millis } from "../../base/units.ts";
import { GroupState } from "../../rooms/group-state.ts";
import { checkReceivedChunk } from "../../storage/chunk/received-chunk.ts";
import type { ChunkNumber } from "../../storage/chunk/chunk-layout.ts";
import type { ChunkStore } from "../../storage/chunk/chunk-store.ts";
import type { Disk } from "../../storage/disk.ts";
import {
  buildSnapshot,
  publishSnapshot,
  type Snapshot,
  snapshotFrom,
  type SnapshotOwner,
} from "../../storage/snapshot-file.ts";
import type { OtherCopies } from "../history.ts";
import type { Log } from "../log.ts";
import { Checkpoints, type Difference } from "./checkpoints.ts";
import { decodeCatchUp, encodeCatchUp, type Item, lackedToldMax } from "./catch-up-frames.ts";
import { type DownloadEffect, type DownloadEvent, Downloads, type WantedItem } from "./downloads.ts";
import { type Lacked, LackedChunks } from "./lacked-chunks.ts";
import { type SendBulk, Supplier } from "./supplier.ts";

export interface CatchUpOptions {
  readonly disk: Disk;
  readonly owner: SnapshotOwner;
  readonly chunks: ChunkStore;
  /** As it was at the snapshot of this start: what was sealed up to there is not built here. */
  readonly state: GroupState;
  readonly clock: Clock;
  readonly log: Log;
  readonly send: SendBulk;
  /** Longest file of a chunk, and longest snapshot, that is taken from anybody. */
  readonly chunkBytesMax: number;
  readonly snapshotBytesMax: number;
  /** How long somebody waits for a chunk before being told that it can't be had now. */
  readonly waitMs: number;
  /** A snapshot of another server is durable here: only a start from the disk can go on with it. */
  onSnapshot(index: LogIndex): void;
  /** Of the same state, or the same chunk, others say another digest than this server has. */
  onDifference(difference: Difference): void;
}

export const defaultCatchUpSettings = {
  chunkBytesMax: 1024 * 1024 * 1024,
  snapshotBytesMax: 1024 * 1024 * 1024,
  waitMs: 5_000,
} as const;

/** Those who wait for chunks, all together; beyond, they are told at once that it can't be had now. */
const waitersMax = 1_024;
/** Pieces that are checked between two turns of the event loop: about a millisecond. */
const checkedPieces = 8;

/**
 * Gets what this server lacks from others and gives them what they lack. What comes is believed when it is proven: a chunk
 * by its checksums, its root and what the log sealed, a snapshot by its digest.
 *
 * 1. a chunk is wanted from the moment it is known to be missing or damaged until it is here or not needed any more
 * 2. the newest are had first, and those before all that somebody waits for
 * 3. nothing here is replaced before what replaces it is proven
 * 4. all with whom a link stands are told what is lacking here, anew when it changes
 */
export class CatchUp implements OtherCopies {
  readonly #options: CatchUpOptions;
  readonly #downloads = new Downloads();
  readonly #checkpoints = new Checkpoints();
  #linked: readonly NodeName[] = [];
  readonly #supplier: Supplier;
  /** Up to here chunks were sealed before this start, and the generation that each had by then. */
  readonly #sealedBefore: number;
  readonly #generations: ReadonlyMap<number, number>;
  readonly #damaged = new Set<number>();
  readonly #waiting = new Map<number, ((isHere: boolean) => void)[]>();
  #waiters = 0;
  #snapshotIndex: LogIndex | null = null;
  #timer: Timer | null = null;
  #work: Promise<void> = Promise.resolve();
  #isStopped = false;
  /** Who lacks which chunks, as far as this server knows. */
  readonly lacked = new LackedChunks();
  /** What each was told of what is lacking here. */
  readonly #toldLacked = new Map<NodeName, Lacked>();
  /** Chunks that came from others since the start. */
  chunksTaken = 0;

  constructor(options: CatchUpOptions) {
    const { state } = options;
    this.#options = options;
    this.#supplier = new Supplier({ ...options, group: state.group });
    this.#sealedBefore = state.lastChunk;
    this.#generations = new Map(Array.from(state.chunks(), ({ chunk, generation }) => [chunk, generation]));
  }

  /** What is on its way, and how much is lacking, for status. */
  get progress(): { lacking: number; underWay: Downloads["progress"]; suppliedBytes: number } {
    const { suppliedBytes } = this.#supplier;
    return { lacking: this.#lacking().length, underWay: this.#downloads.progress, suppliedBytes };
  }

  /** Chunks may have been written, emptied, or written anew as the log says: what is wanted is reckoned again. */
  changed(): void {
    if (this.#isStopped) return;
    const { chunkBytesMax, snapshotBytesMax, state } = this.#options;
    const items: WantedItem[] = [];
    if (this.#snapshotIndex !== null) {
      const item: Item = { kind: "snapshot", group: state.group, number: this.#snapshotIndex, generation: 0 };
      items.push({ item, isUrgent: true, bytesMax: snapshotBytesMax });
    }
    const lacking = this.#lacking();
    if (lacking.length > 0 || this.lacked.own.count > 0) {
      this.lacked.own = { count: lacking.length, chunks: new Set(lacking.map(({ number }) => number)) };
    }
    for (const item of lacking) {
      items.push({ item, isUrgent: this.#waiting.has(item.number), bytesMax: chunkBytesMax });
    }
    for (const [chunk, waiting] of this.#waiting) {
      if (!items.some(({ item }) => item.kind === "chunk" && item.number === chunk)) this.#tell(chunk, waiting, true);
    }
    this.#step({ type: "wanted", now: this.#options.clock.now(), items });
  }

  /** The log that is needed next is kept by nobody: a snapshot at `index` or later is. */
  snapshotWanted(index: LogIndex): void {
    if (this.#snapshotIndex !== null && this.#snapshotIndex >= index) return;
    this.#snapshotIndex = index;
    this.changed();
  }

  damaged(chunk: number): void {
    if (this.#damaged.has(chunk)) return;
    this.#damaged.add(chunk);
    this.changed();
  }

  isLacking(chunk: number): boolean {
    const sealed = this.#options.state.chunk(chunk);
    return sealed !== undefined && this.#isLacking(sealed);
  }

  fetch(chunk: number): Promise<boolean> {
    if (this.#isStopped || this.#waiters >= waitersMax) return Promise.resolve(false);
    if (!this.isLacking(chunk)) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(chunk) ?? [];
      const timer = this.#options.clock.after(millis(this.#options.waitMs), () => {
        const at = waiting.indexOf(tell);
        if (at >= 0) waiting.splice(at, 1);
        if (waiting.length === 0 && this.#waiting.get(chunk) === waiting) {
          this.#waiting.delete(chunk);
          this.changed();
        }
        tell(false);
      });
      this.#waiters++;
      const tell = (isHere: boolean): void => {
        timer.cancel();
        this.#waiters--;
        resolve(isHere);
      };
      waiting.push(tell);
      this.#waiting.set(chunk, waiting);
      this.changed();
    });
  }

  // What links say

  /** This server has made a snapshot or a chunk, with this digest: the others are told, and what they said is compared. */
  made(item: Item, digest: Uint8Array): void {
    this.#differs(this.#checkpoints.made(item, digest));
    for (const peer of this.#linked) this.#tellMade(peer, item, digest);
  }

  linked(peers: readonly NodeName[]): void {
    const before = this.#linked;
    this.#linked = peers;
    for (const peer of peers) {
      if (before.includes(peer)) continue;
      for (const { item, digest } of this.#checkpoints.newest()) this.#tellMade(peer, item, digest);
    }
    this.#step({ type: "linked", now: this.#options.clock.now(), peers });
  }

  /** Tells whoever has not heard it what is lacking here. Called now and then: a lane that is full takes it later. */
  tellLacked(): void {
    const { own } = this.lacked;
    for (const peer of this.#linked) {
      if (this.#isStopped || this.#toldLacked.get(peer) === own) continue;
      const { group } = this.#options.state;
      const chunks = [...own.chunks].slice(0, lackedToldMax);
      const { kind, payload } = encodeCatchUp({ type: "lacks", group, count: own.count, chunks });
      if (this.#options.send(peer, kind, payload) === "taken") this.#toldLacked.set(peer, own);
    }
  }

  linkLost(peer: NodeName): void {
    this.#supplier.lost(peer);
    this.lacked.lost(peer);
    this.#toldLacked.delete(peer);
  }

  room(peer: NodeName): void {
    this.#supplier.room(peer);
    this.#step({ type: "room", now: this.#options.clock.now(), peer });
  }

  /** Answers whether the frame was one of these. */
  take(from: NodeName, kind: number, payload: Uint8Array): boolean {
    const frame = decodeCatchUp(kind, payload);
    if (frame === null || this.#isStopped) return frame !== null;
    const now = this.#options.clock.now();
    switch (frame.type) {
      case "want":
        this.#supplier.wanted(from, frame);
        break;
      case "piece":
        this.#step({ type: "piece", now, from, piece: frame });
        break;
      case "absent":
        this.#step({ type: "absent", now, from, request: frame.request });
        break;
      case "checkpoint":
        this.#differs(this.#checkpoints.heard(from, frame.item, frame.digest));
        break;
      case "lacks":
        if (frame.group === this.#options.state.group) {
          this.lacked.heard(from, { count: frame.count, chunks: new Set(frame.chunks) });
        }
        break;
      default:
        unreachable(frame);
    }
    return true;
  }

  /** Settles when nothing is being written any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#supplier.stop();
    for (const [chunk, waiting] of this.#waiting) this.#tell(chunk, waiting, false);
    await this.#work;
  }

  /** What is lost on the way is told again on the next link; it is a look at each other, not a vote. */
  #tellMade(peer: NodeName, item: Item, digest: Uint8Array): void {
    const { kind, payload } = encodeCatchUp({ type: "checkpoint", item, digest });
    this.#options.send(peer, kind, payload);
  }

  #differs(difference: Difference | null): void {
    if (difference !== null && !this.#isStopped) this.#options.onDifference(difference);
  }

  /** Newest first. */
  #lacking(): Item[] {
    const { state } = this.#options;
    const lacking: Item[] = [];
    for (const sealed of state.chunks()) {
      const { chunk, generation } = sealed;
      if (this.#isLacking(sealed)) lacking.push({ kind: "chunk", group: state.group, number: chunk, generation });
    }
    return lacking.sort((left, right) => right.number - left.number);
  }

  /** What was sealed since this start is written here, and what was written anew since is so here. */
  #isLacking({ chunk, generation }: { chunk: number; generation: number }): boolean {
    if (this.#damaged.has(chunk)) return true;
    if (chunk > this.#sealedBefore) return false;
    const here = this.#options.chunks.generationOf(chunk as ChunkNumber);
    return here === null || here < Math.min(generation, this.#generations.get(chunk) ?? 0);
  }

  #step(event: DownloadEvent): void {
    if (this.#isStopped) return;
    for (const effect of this.#downloads.step(event)) this.#perform(effect);
    this.#timer?.cancel();
    this.#timer = null;
    const { dueAt } = this.#downloads;
    if (dueAt === Infinity) return;
    const { clock } = this.#options;
    this.#timer = clock.after(millis(Math.max(0, dueAt - clock.now())), () => {
      this.#timer = null;
      this.#step({ type: "tick", now: clock.now() });
    });
  }

  #perform(effect: DownloadEffect): void {
    switch (effect.type) {
      case "send": {
        const { to, want } = effect;
        const { kind, payload } = encodeCatchUp(want);
        if (this.#options.send(to, kind, payload) !== "full") return;
        // In a turn of its own: the step that asked for it is not over yet.
        this.#options.clock.defer(() => {
          this.#step({ type: "blocked", now: this.#options.clock.now(), peer: to, request: want.request });
        });
        return;
      }
      case "complete":
        this.#work = this.#work.then(() => this.#keep(effect.item, effect.bytes));
        return;
      case "nowhere": {
        this.#options.log.warn("catch-up.nowhere", { ...effect.item });
        const waiting = effect.item.kind === "chunk" ? this.#waiting.get(effect.item.number) : undefined;
        if (waiting !== undefined) this.#tell(effect.item.number, waiting, false);
        return;
      }
      default:
        unreachable(effect);
    }
  }

  /** Proves what came, and makes it durable. */
  async #keep(item: Item, bytes: Uint8Array): Promise<void> {
    const { log, clock } = this.#options;
    if (this.#isStopped) return;
    let why: string | null;
    try {
      why = item.kind === "snapshot" ? await this.#keepSnapshot(bytes) : await this.#keepChunk(item, bytes);
    } catch (cause) {
      // The disk is full, or fails: it is had anew when that may be over.
      log.error("catch-up.not.kept", { ...item, cause });
      why = "the disk did not take it";
    }
    if (why === null) {
      log.info("catch-up.taken", { ...item, bytes: bytes.length });
      this.#step({ type: "stored", now: clock.now(), item });
    } else {
      log.warn("catch-up.spoiled", { ...item, why });
      this.#step({ type: "spoiled", now: clock.now(), item });
    }
    this.changed();
  }

  async #keepChunk(item: Item, bytes: Uint8Array): Promise<string | null> {
    const { chunks, owner, state } = this.#options;
    const { number, generation, group } = item;
    const sealed = state.chunk(number);
    // Not needed any more, or written anew as the log says: then that one is asked for.
    if (sealed?.generation !== generation) return null;
    const name = { group, chunk: number as ChunkNumber, day: sealed.day, generation };
    const steps = checkReceivedChunk(owner.cluster, name, bytes, sealed);
    for (let count = 1; ; count++) {
      const step = await steps.next();
      if (step.done !== true) {
        if (count % checkedPieces === 0) await this.#pause();
        continue;
      }
      if (typeof step.value === "string") return step.value;
      if (this.#isStopped) return null;
      await chunks.publish(step.value);
      // Emptied while it was written, or written anew as the log says: nobody needs this one. What was written anew here
      // stays.
      const isOld = state.chunk(number)?.generation !== generation;
      if (isOld && chunks.generationOf(name.chunk) === generation) await chunks.remove(name.chunk);
      this.#damaged.delete(number);
      this.chunksTaken++;
      return null;
    }
  }

  async #keepSnapshot(bytes: Uint8Array): Promise<string | null> {
    const { owner, state, disk } = this.#options;
    const snapshot = snapshotFrom(state.group, bytes);
    if (snapshot === null) return "these bytes are no snapshot";
    const why = snapshotFlaw(snapshot, state);
    if (why !== null) return why;
    // The log has come that far by itself meanwhile.
    if (snapshot.index > state.appliedIndex) {
      const steps = buildSnapshot(owner, { ...snapshot, state: [snapshot.state] });
      for (;;) {
        const step = steps.next();
        if (step.done === true) {
          if (this.#isStopped) return null;
          await publishSnapshot(disk, step.value);
          break;
        }
        await this.#pause();
      }
      this.#options.onSnapshot(snapshot.index);
    }
    this.#snapshotIndex = null;
    return null;
  }

  #tell(chunk: number, waiting: readonly ((isHere: boolean) => void)[], isHere: boolean): void {
    this.#waiting.delete(chunk);
    for (const tell of waiting) tell(isHere);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(millis(0), resolve);
    });
  }
}

/** Why a snapshot of another server is not one of this group; null when it is. */
function snapshotFlaw({ index, term, state: bytes, chunk }: Snapshot, own: GroupState): string | null {
  try {
    const state = GroupState.restore(bytes, { hashSeed: 0 });
    const isOurs = state.cluster === own.cluster && state.group === own.group;
    if (!isOurs) return "it is of another group or cluster";
    const says = state.appliedIndex === index && state.appliedTerm === term && state.lastChunk === chunk;
    return says ? null : "it does not stand where it says";
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}
