import type { Clock, Timer } from "../base/clock.ts";
import type { EntryType } from "../base/entry.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import type { LogIndex, NodeName, Term } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { millis } from "../base/units.ts";
import type { Change } from "../consensus/configuration-change.ts";
import { type SealReason, sealReasons } from "../rooms/seal.ts";
import type { Standing } from "../topology/engine.ts";
import type { Applier } from "./applier.ts";
import { Batch, type UndecidedCode } from "./batch.ts";
import { BatchDispatch } from "./batch-dispatch.ts";
import type { SendBatch } from "./forwarded-batches.ts";
import type { GroupDriver } from "./group-driver.ts";
import type { BatchNumber } from "./peer-frames.ts";
import type { StampedEntries } from "./stamped-entries.ts";
import { type TakenBatchAnswers, TakenBatches } from "./taken-batches.ts";

/** The way of batches to a leader elsewhere, and of what this server answers to those of others. */
export interface Forwarding extends TakenBatchAnswers {
  readonly forward: SendBatch;
}

/** Whoever waits for so long is told that there is no quorum. Two flushes and an election fit. */
const noQuorumAfterMs = 1_500;
/** How often that is looked at. */
const lookEveryMs = 250;
const spareBatchesMax = 4;
/**
 * In a cluster, batches of one server that are on their way to be decided at the same time, unless they are full: as many
 * as keep disks and links busy. Each costs every server a message, a write and an answer, whatever is in it, so with more
 * of them each is smaller, and all wait for one another.
 */
const batchesOutMax = 2;

/**
 * What this server proposes. Gathers the commands of a turn into a batch, and closes it when the turn ends or the disk is
 * free; from there `BatchDispatch` knows where it goes.
 *
 * A batch's way: gathered → here: an entry | elsewhere: sent → placed → applied; or given up, and its origins told so.
 *
 * 1. batches are closed in the order in which they were gathered, and go in that order
 * 2. every origin is told within `noQuorumAfterMs`, in a cluster
 * 3. seals and other entries of a server's own accord are proposed by the leader only
 */
export class Proposals {
  readonly #driver: GroupDriver;
  readonly #applier: Applier;
  readonly #clock: Clock;
  readonly #entries: StampedEntries;
  readonly #limits: Limits;
  readonly #dispatch: BatchDispatch;
  /** Null: there are no other servers, and nobody who elects. */
  readonly #taken: TakenBatches | null;
  readonly #flushNow: () => void;
  readonly #gone: () => void;

  #batch = new Batch();
  readonly #spareBatches: Batch[] = [];
  #isClosing = false;
  #isEnded = false;
  #lastNumber = 0;
  /** Closed batches of this server that are not decided, and their bytes. */
  #ownBytes = 0;
  #ownBatches = 0;
  #timer: Timer | null = null;

  constructor(options: {
    driver: GroupDriver;
    applier: Applier;
    clock: Clock;
    entries: StampedEntries;
    limits: Limits;
    /** Null: there are no other servers. */
    forwarding: Forwarding | null;
    /** Has the journal write at once. */
    flushNow: () => void;
    /** What was gathered goes its way: more may be taken. */
    gone: () => void;
  }) {
    this.#driver = options.driver;
    this.#applier = options.applier;
    this.#clock = options.clock;
    this.#entries = options.entries;
    this.#limits = options.limits;
    const { forwarding } = options;
    this.#taken = forwarding === null ? null : new TakenBatches(options.entries, forwarding);
    this.#dispatch = new BatchDispatch({
      driver: options.driver,
      applier: options.applier,
      clock: options.clock,
      entries: options.entries,
      forward: forwarding === null ? null : (to, batch, commands) => forwarding.forward(to, batch, commands),
      goOn: () => this.close(),
    });
    this.#flushNow = options.flushNow;
    this.#gone = options.gone;
  }

  /** Bytes that are proposed or gathered and not decided. */
  get uncommittedBytes(): number {
    return Math.max(this.#applier.unappliedBytes, this.#ownBytes) + this.#batch.length;
  }

  /** Whether a command has a chance to be put in order: somebody orders, or was lost only just now. */
  get canTake(): boolean {
    return this.#dispatch.hasChance;
  }

  /** How long nobody who orders has been known here, in milliseconds; 0: somebody is. What is read meanwhile may be as old, or older. */
  get ageMs(): number {
    return this.#dispatch.noWayForMs;
  }

  /** Nobody waits for anything. */
  get isIdle(): boolean {
    return this.#ownBytes === 0 && this.#batch.count === 0 && !this.#applier.isAwaited;
  }

  /** Whether commands wait for the end of the turn, or for the disk. */
  get hasGathered(): boolean {
    return this.#batch.count > 0;
  }

  /** Where the next command is gathered. Fill it, `keep`, then call `gathered`. */
  get batch(): Batch {
    return this.#batch;
  }

  /** A command was added to the batch: it goes out at the end of the turn, or when the disk is free. */
  gathered(): void {
    const batch = this.#batch;
    if (batch.count === 1) {
      batch.since = this.#clock.now();
      this.#look();
    }
    if (batch.length >= this.#limits.entryBytesMax) {
      this.close();
      return;
    }
    if (!this.#holdsBack) this.#closeLater();
  }

  /** Lets out what was gathered, as far as somebody takes it. */
  close(): void {
    if (this.#isEnded || !this.#dispatch.goWaiting()) {
      this.#keepFull();
      return;
    }
    const batch = this.#batch;
    if (batch.count === 0) return;
    const next = this.#nextBatch();
    this.#close(batch);
    this.#batch = next;
    if (this.#dispatch.go(batch)) {
      this.#gone();
      return;
    }
    if (batch.length >= this.#limits.entryBytesMax) {
      this.#dispatch.wait(batch);
      return;
    }
    // It takes more meanwhile.
    this.#ownBytes -= batch.length;
    this.#ownBatches--;
    this.#batch = batch;
    this.#spareBatches.push(next);
  }

  /** A write of the journal has settled: what gathered during it goes into the next, before that begins. */
  settled(): void {
    if (!this.#isEnoughOut) this.close();
  }

  /** Orders an entry that is not a batch of commands. Commands gathered before it go first. */
  order(kind: EntryType, payload: Uint8Array): void {
    if (this.#isEnded) return;
    this.close();
    this.#entries.propose(kind, payload, null);
  }

  /** See `GroupDriver.changeMembers`. Commands gathered before it go first. */
  changeMembers(changes: readonly Change[]): Promise<void> {
    this.close();
    return this.#entries.changeMembers(changes);
  }

  /** Seals the open chunk, unless that is under way already or there is nothing in it. Answers whether it did. */
  seal(reason: SealReason): boolean {
    if (!this.#driver.leads || this.#isEnded || this.#applier.isSealing) return false;
    this.close();
    return this.#entries.seal(reason);
  }

  /** At midnight, also when nobody talks: the open chunk of a day that is over is sealed. */
  sealPastDay(): boolean {
    if (!this.#entries.isDayOver || !this.seal(sealReasons.day)) return false;
    // Whatever the journal waits for: at midnight everything of the day is written.
    this.#flushNow();
    return true;
  }

  /** Batches that are in no log yet, as far as is known here; the newest last. */
  unplaced(): readonly Batch[] {
    return [...this.#dispatch.unplaced(), this.#batch];
  }

  // Other servers

  /** See `TakenBatches.take`. */
  take(from: NodeName, batch: BatchNumber, commands: Uint8Array, refusal: ErrorCode | null): void {
    this.#taken?.take(from, batch, commands, refusal ?? (this.#isEnded ? "no_quorum" : null));
  }

  /** See `BatchDispatch.accepted`. */
  accepted(from: NodeName, batch: BatchNumber, index: LogIndex, term: Term): void {
    this.#dispatch.accepted(from, batch, index, term);
  }

  /** See `BatchDispatch.refused`. */
  refused(from: NodeName, batch: BatchNumber, code: ErrorCode): void {
    this.#dispatch.refused(from, batch, code);
  }

  /** What was on its way to this server, or back, is lost. */
  linkLost(peer: NodeName): void {
    this.#taken?.linkLost(peer);
    this.#dispatch.linkLost(peer);
  }

  /** See `BatchDispatch.standingChanged`. */
  standingChanged(standing: Standing): void {
    this.#dispatch.standingChanged(standing);
  }

  /** Nothing more is put in order, for the server stops. What was gathered goes out now, without waiting for the end of the turn. */
  end(): void {
    this.close();
    this.#ended();
    this.#flushNow();
  }

  /** Whoever waits is told that nobody knows: the server stops, or its journal failed. */
  fail(): void {
    this.#ended();
    this.#applier.fail();
    this.#dispatch.fail();
    this.#batch.tellUndecided("unavailable");
    this.#batch = new Batch();
  }

  /**
   * The disk takes nothing and may not for long: whoever waits is told that nobody knows yet. What was proposed stays
   * proposed, and takes its place when the disk goes on.
   */
  tellUndecided(): void {
    this.#applier.tellUndecided(Infinity, "unavailable");
  }

  /** Nobody waits for this batch any more: it may be used again. */
  letGo(batch: Batch): void {
    this.#ownBytes -= batch.length;
    this.#ownBatches--;
    batch.clear();
    if (this.#spareBatches.length < spareBatchesMax) this.#spareBatches.push(batch);
    // What was gathered behind it may go, together with what the same turn still brings.
    if (this.#batch.count > 0 && !this.#holdsBack) this.#closeLater();
  }

  /** More is gathered before anything goes out: it would only wait elsewhere, in a smaller batch. */
  get #holdsBack(): boolean {
    // Elsewhere the own disk holds up nobody.
    return (this.#driver.isBusy && this.#driver.leads) || this.#isEnoughOut;
  }

  get #isEnoughOut(): boolean {
    return this.#taken !== null && this.#ownBatches - this.#dispatch.waitingCount >= batchesOutMax;
  }

  #closeLater(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#clock.defer(() => {
      this.#isClosing = false;
      this.close();
    });
  }

  #ended(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
    this.#dispatch.end();
  }

  #nextBatch(): Batch {
    return this.#spareBatches.pop() ?? new Batch();
  }

  #close(batch: Batch): void {
    batch.number = ++this.#lastNumber;
    this.#ownBytes += batch.length;
    this.#ownBatches++;
  }

  // While nobody takes anything, a batch takes more until it is full.
  #keepFull(): void {
    const batch = this.#batch;
    if (this.#isEnded || batch.length < this.#limits.entryBytesMax) return;
    this.#close(batch);
    this.#dispatch.wait(batch);
    this.#batch = this.#nextBatch();
  }

  // Time

  /** In a cluster nobody waits for ever: looks after those who wait, as long as there are any. */
  #look(): void {
    if (this.#taken === null || this.#timer !== null || this.#isEnded) return;
    this.#timer = this.#clock.after(millis(lookEveryMs), () => {
      this.#timer = null;
      this.#tellLate(this.#clock.now() - noQuorumAfterMs);
      if (!this.isIdle) this.#look();
    });
  }

  #tellLate(since: number): void {
    const code: UndecidedCode = "no_quorum";
    this.#applier.tellUndecided(since, code);
    this.#dispatch.giveUpLate(since, code);
    const batch = this.#batch;
    if (batch.count === 0 || batch.since > since) return;
    this.#batch = this.#nextBatch();
    this.#close(batch);
    this.#applier.giveUp(batch, code);
  }
}
