import type { Clock, Timer } from "../base/clock.ts";
import { type EntryType, entryTypes } from "../base/entry.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import type { LogIndex, NodeName, Term } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { type Day, day, millis, type Timestamp } from "../base/units.ts";
import type { Change } from "../consensus/configuration-change.ts";
import type { RefusalReason } from "../consensus/events.ts";
import { commandLength, isCommand } from "../rooms/commands.ts";
import { chunkFormat, encodeSeal, type SealReason, sealReasons } from "../rooms/seal.ts";
import type { Standing } from "../topology/engine.ts";
import type { Applier } from "./applier.ts";
import { Batch, type UndecidedCode } from "./batch.ts";
import type { Calendar } from "./calendar.ts";
import { type Asker, faultOf, type GroupDriver } from "./group-driver.ts";
import type { LogClock } from "./log-clock.ts";
import { ForwardedBatches, TakenStreams } from "./forwarded-batches.ts";
import type { MemoryLog } from "./memory-log.ts";
import type { BatchNumber } from "./peer-frames.ts";

/** The way of batches to a leader elsewhere, and of its answers. */
export interface Forwarding {
  /** Sends a copy of the commands. False: there is no way, or no room, now. */
  forward(to: NodeName, batch: BatchNumber, commands: Uint8Array): boolean;
  /** They are the entry `index` of `term`, which another may still replace. */
  accepted(to: NodeName, batch: BatchNumber, index: LogIndex, term: Term): void;
  /** Neither they nor any behind them in the stream are in the log. */
  refused(to: NodeName, batch: BatchNumber, code: ErrorCode): void;
}

/** Whoever waits for so long is told that there is no quorum. Two flushes and an election fit. */
const noQuorumAfterMs = 1_500;
/** So long a command may wait for somebody to be elected; longer, and it is refused at once: others may know a leader. */
const electedWithinMs = 1_000;
/** How often that is looked at. */
const lookEveryMs = 250;
const spareBatchesMax = 4;
/**
 * In a cluster, batches of one server that are on their way to be decided at the same time, unless they are full: as many
 * as keep disks and links busy. Each costs every server a message, a write and an answer, whatever is in it, so with more
 * of them each is smaller, and all wait for one another.
 */
const batchesOutMax = 2;
/** After a refusal, before the next attempt: the other may hand over, or not know yet that it leads. */
const refusedRestMs = 10;
/** What is on its way to a server that does not lead any more is given up after so long without an answer. */
const answeredWithinMs = 100;

/**
 * What this server proposes: gathers the commands of a turn into a batch, and knows where batches go: into an entry of
 * this server's own when it leads, to the leader when another does, and nowhere while nobody does.
 *
 * A batch's way: gathered → here: an entry | elsewhere: sent → placed → applied; or given up, and its origins told so.
 *
 * 1. batches go in the order in which they were gathered; one that waits holds back those behind it
 * 2. what may be in the log is not sent again by itself: when a link, or the leader, is lost before the answer, the batch
 *    is given up, and so is everything else that was on its way there. What was refused is not in the log, and waits for
 *    whoever leads next
 * 3. every origin is told within `noQuorumAfterMs`, in a cluster
 * 4. seals and other entries of a server's own accord are proposed by the leader only
 */
export class Proposals {
  readonly #driver: GroupDriver;
  readonly #applier: Applier;
  readonly #memory: MemoryLog;
  readonly #clock: Clock;
  readonly #logClock: LogClock;
  #calendar: Calendar;
  readonly #limits: Limits;
  readonly #forwarding: Forwarding | null;
  readonly #flushNow: () => void;
  readonly #gone: () => void;

  #batch = new Batch();
  readonly #spareBatches: Batch[] = [];
  #isClosing = false;
  #isEnded = false;
  #lastNumber = 0;
  /** Full, and nobody to take them; in the order of their numbers. */
  readonly #waiting: Batch[] = [];
  readonly #forwarded: ForwardedBatches;
  readonly #taken = new TakenStreams();
  /** The leader has refused something just now. */
  #rest: Timer | null = null;
  /** Another server leads than the one that batches are on their way to. */
  #grace: Timer | null = null;
  /** Closed batches of this server that are not decided, and their bytes. */
  #ownBytes = 0;
  #ownBatches = 0;
  /** Since when nobody can take a batch; null: somebody can. */
  #noWaySince: number | null;
  #timer: Timer | null = null;

  constructor(options: {
    driver: GroupDriver;
    applier: Applier;
    memory: MemoryLog;
    clock: Clock;
    logClock: LogClock;
    calendar: Calendar;
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
    this.#memory = options.memory;
    this.#clock = options.clock;
    this.#logClock = options.logClock;
    this.#calendar = options.calendar;
    this.#limits = options.limits;
    this.#forwarding = options.forwarding;
    this.#flushNow = options.flushNow;
    this.#gone = options.gone;
    this.#noWaySince = options.clock.now();
    this.#forwarded = new ForwardedBatches((to, batch, commands) => {
      return this.#forwarding?.forward(to, batch, commands) === true;
    });
  }

  set calendar(calendar: Calendar) {
    this.#calendar = calendar;
  }

  /** Bytes that are proposed or gathered and not decided. */
  get uncommittedBytes(): number {
    return Math.max(this.#applier.unappliedBytes, this.#ownBytes) + this.#batch.length;
  }

  /** Whether a command has a chance to be put in order: somebody orders, or was lost only just now. */
  get canTake(): boolean {
    if (this.#noWaySince === null) return true;
    return this.#forwarding !== null && this.#clock.now() - this.#noWaySince < electedWithinMs;
  }

  /** How long nobody who orders has been known here, in milliseconds; 0: somebody is. What is read meanwhile may be as old, or older. */
  get ageMs(): number {
    return this.#noWaySince === null ? 0 : Math.max(1, Math.ceil(this.#clock.now() - this.#noWaySince));
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
    if (this.#isEnded || !this.#drained()) {
      this.#keepFull();
      return;
    }
    const batch = this.#batch;
    if (batch.count === 0) return;
    const next = this.#nextBatch();
    this.#close(batch);
    this.#batch = next;
    if (this.#goes(batch)) {
      this.#gone();
      return;
    }
    if (batch.length >= this.#limits.entryBytesMax) {
      this.#waiting.push(batch);
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
    this.#propose(kind, payload, null);
  }

  /** Changes who belongs to the group: see `GroupDriver.changeMembers`. */
  changeMembers(changes: readonly Change[]): Promise<void> {
    this.close();
    return this.#driver.changeMembers(this.#stamp(false), changes);
  }

  /** Seals the open chunk, unless that is under way already or there is nothing in it. Answers whether it did. */
  seal(reason: SealReason): boolean {
    if (!this.#driver.leads || this.#isEnded || this.#applier.isSealing) return false;
    this.close();
    return this.#sealOpenChunk(reason);
  }

  /** At midnight, also when nobody talks: the open chunk of a day that is over is sealed. */
  sealPastDay(): boolean {
    const today = this.#calendar.dayOf(this.#logClock.stamp());
    if (today <= this.#applier.lastDay || !this.seal(sealReasons.day)) return false;
    // Whatever the journal waits for: at midnight everything of the day is written.
    this.#flushNow();
    return true;
  }

  /** Batches that are in no log yet, as far as is known here; the newest last. */
  unplaced(): readonly Batch[] {
    return [...this.#forwarded.batches(), ...this.#waiting, this.#batch];
  }

  // Other servers

  /** The commands of another server, which takes this one for the leader. They are copied. */
  take(from: NodeName, batch: BatchNumber, commands: Uint8Array, refusal: ErrorCode | null): void {
    const forwarding = this.#forwarding;
    if (forwarding === null) return;
    const refused = (code: ErrorCode): void => {
      this.#taken.refused(from, batch);
      forwarding.refused(from, batch, code);
    };
    const why = refusal ?? (areCommands(commands) ? null : "bad_request");
    if (!this.#taken.isNext(from, batch)) refused("no_quorum");
    else if (why !== null || this.#isEnded) refused(why ?? "no_quorum");
    else {
      this.#propose(entryTypes.commands, commands.slice(), {
        batch: null,
        appended: (index, term) => forwarding.accepted(from, batch, index, term),
        refused: (reason) => refused(faultOf(reason).code),
      });
    }
  }

  /** The leader has made a batch of ours the entry `index` of `term`. */
  accepted(from: NodeName, number: BatchNumber, index: LogIndex, term: Term): void {
    const batch = this.#forwarded.accepted(from, number);
    if (batch !== null) this.#applier.place(batch, index, term);
    if (this.#forwarded.to === null) this.close();
  }

  /** The leader does not take it, nor what was sent behind it. All of that waits, unless it can't help. */
  refused(from: NodeName, number: BatchNumber, code: ErrorCode): void {
    const refused = this.#forwarded.refused(from, number);
    if (refused === null) return;
    for (const batch of refused.lost) this.#applier.giveUp(batch, "unavailable");
    const first = refused.again[0];
    if (first !== undefined && code !== "no_quorum") {
      this.#applier.giveUp(first, code === "overloaded" || code === "storage_full" ? code : "unavailable");
      refused.again.shift();
    }
    this.#waiting.unshift(...refused.again);
    this.#rest ??= this.#clock.after(millis(refusedRestMs), () => {
      this.#rest = null;
      this.close();
    });
  }

  /** What was on its way to this server, or back, is lost. */
  linkLost(peer: NodeName): void {
    this.#taken.forget(peer);
    this.#giveUpSent(peer);
  }

  /** This server stands elsewhere now, or another leads: what waits may go. */
  standingChanged(standing: Standing): void {
    const { to } = this.#forwarded;
    if (to !== null && standing.leader !== to) this.#mayBeLost(to);
    const isHere = standing.role === "leader" || standing.role === "elected";
    const hasWay = isHere ? isOpen(standing) : this.#forwarding !== null && standing.leader !== null;
    if (hasWay) this.#noWaySince = null;
    else this.#noWaySince ??= this.#clock.now();
    if (hasWay) this.close();
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
    for (const batch of this.#waiting) batch.tellUndecided("unavailable");
    for (const batch of this.#forwarded.lost(this.#forwarded.to)) batch.tellUndecided("unavailable");
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
    return this.#forwarding !== null && this.#ownBatches - this.#waiting.length >= batchesOutMax;
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
    for (const timer of [this.#timer, this.#rest, this.#grace]) timer?.cancel();
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
    this.#waiting.push(batch);
    this.#batch = this.#nextBatch();
  }

  #drained(): boolean {
    while (this.#waiting.length > 0) {
      if (!this.#goes(this.#waiting[0]!)) return false;
      this.#waiting.shift();
    }
    return true;
  }

  /** Sends a batch on its way, if somebody takes it. */
  #goes(batch: Batch): boolean {
    const { standing, keepsPayloads } = this.#driver.engine;
    if (this.#driver.leads) {
      if (!isOpen(standing)) return false;
      const payload = keepsPayloads ? batch.bytes.slice(0, batch.length) : batch.bytes.subarray(0, batch.length);
      this.#propose(entryTypes.commands, payload, new OwnBatch(batch, (reason) => this.#comesBack(batch, reason)));
      return true;
    }
    const { leader } = standing;
    if (leader === null || this.#rest !== null) return false;
    // What is on its way to the last leader is not overtaken.
    const { to } = this.#forwarded;
    return (to === null || to === leader) && this.#forwarded.send(leader, batch);
  }

  /** It is not in the log, and nothing behind it is: it waits for whoever leads next. */
  #comesBack(batch: Batch, reason: RefusalReason): void {
    if (this.#isEnded || this.#forwarding === null || reason === "too-much-uncommitted") {
      this.#applier.giveUp(batch, "unavailable");
      return;
    }
    let at = this.#waiting.length;
    while (at > 0 && this.#waiting[at - 1]!.number > batch.number) at--;
    this.#waiting.splice(at, 0, batch);
  }

  #giveUpSent(peer: NodeName): void {
    for (const batch of this.#forwarded.lost(peer)) this.#applier.giveUp(batch, "no_quorum");
    this.close();
  }

  // A leader that hands over still answers what is on its way to it. One that is silent is not waited for.
  #mayBeLost(to: NodeName): void {
    this.#grace ??= this.#clock.after(millis(answeredWithinMs), () => {
      this.#grace = null;
      if (this.#driver.engine.standing.leader !== to) this.#giveUpSent(to);
    });
  }

  #sealOpenChunk(reason: SealReason): boolean {
    if (this.#applier.isSealing || this.#memory.openBytes === 0) return false;
    const { state, lastIndex, lastDay } = this.#applier;
    const seal = { chunk: state.lastChunk + 1, from: state.openChunk.from, to: lastIndex, day: lastDay };
    this.#propose(entryTypes.seal, encodeSeal({ ...seal, format: chunkFormat, reason }), null);
    return true;
  }

  #propose(kind: EntryType, payload: Uint8Array, asker: Asker | null): void {
    this.#driver.propose({ kind, ...this.#stamp(kind === entryTypes.seal), payload }, asker);
  }

  #stamp(isSeal: boolean): { ts: Timestamp; day: Day } {
    const ts = this.#logClock.stamp();
    const today = day(this.#calendar.dayOf(ts));
    // The first entry of a later day would seal the open chunk by itself; a seal of its own before it lets the state be
    // kept just there. A seal carries the day it ends.
    if (!isSeal && today > this.#applier.lastDay) this.#sealOpenChunk(sealReasons.day);
    const { lastDay } = this.#applier;
    return { ts, day: today > lastDay && !isSeal ? today : lastDay };
  }

  // Time

  /** In a cluster nobody waits for ever: looks after those who wait, as long as there are any. */
  #look(): void {
    if (this.#forwarding === null || this.#timer !== null || this.#isEnded) return;
    this.#timer = this.#clock.after(millis(lookEveryMs), () => {
      this.#timer = null;
      this.#tellLate(this.#clock.now() - noQuorumAfterMs);
      if (!this.isIdle) this.#look();
    });
  }

  #tellLate(since: number): void {
    const code: UndecidedCode = "no_quorum";
    this.#applier.tellUndecided(since, code);
    for (const batch of this.#forwarded.late(since)) this.#applier.giveUp(batch, code);
    while (this.#waiting.length > 0 && this.#waiting[0]!.since <= since) {
      this.#applier.giveUp(this.#waiting.shift()!, code);
    }
    const batch = this.#batch;
    if (batch.count === 0 || batch.since > since) return;
    this.#batch = this.#nextBatch();
    this.#close(batch);
    this.#applier.giveUp(batch, code);
  }
}

/** A leader takes proposals. */
function isOpen({ isAuthoritative, transfersTo }: Standing): boolean {
  return isAuthoritative && transfersTo === null;
}

/** A batch of this server's own that it proposes itself. */
class OwnBatch implements Asker {
  readonly batch: Batch;
  readonly refused: (reason: RefusalReason) => void;

  constructor(batch: Batch, refused: (reason: RefusalReason) => void) {
    this.batch = batch;
    this.refused = refused;
  }

  appended(): void {}
}

/** Whether these bytes are whole commands, one behind the other. */
function areCommands(bytes: Uint8Array): boolean {
  let at = 0;
  while (at < bytes.length) {
    if (!isCommand(bytes, at, bytes.length)) return false;
    at += commandLength(bytes, at);
  }
  return bytes.length > 0;
}
