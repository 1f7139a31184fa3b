import type { Clock, Timer } from "../base/clock.ts";
import { entryTypes } from "../base/entry.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import type { LogIndex, NodeName, Term } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import type { RefusalReason } from "../consensus/events.ts";
import type { Standing } from "../topology/engine.ts";
import type { Applier } from "./applier.ts";
import type { Batch, UndecidedCode } from "./batch.ts";
import { ForwardedBatches, type SendBatch } from "./forwarded-batches.ts";
import type { Asker, GroupDriver } from "./group-driver.ts";
import type { BatchNumber } from "./peer-frames.ts";
import type { StampedEntries } from "./stamped-entries.ts";

/** So long a command may wait for somebody to be elected; longer, and it is refused at once: others may know a leader. */
const electedWithinMs = 1_000;
/** After a refusal, before the next attempt: the other may hand over, or not know yet that it leads. */
const refusedRestMs = 10;
/** What is on its way to a server that does not lead any more is given up after so long without an answer. */
const answeredWithinMs = 100;

/**
 * Where closed batches go: into an entry of this server's own while it leads, to the leader while another does, and
 * nowhere while nobody does: then they wait.
 *
 * 1. batches go in the order of their numbers; one that waits holds back those behind it
 * 2. what may be in the log is not sent again by itself: when a link, or the leader, is lost before the answer, the batch
 *    is given up, and so is everything else that was on its way there. What was refused is not in the log, and waits for
 *    whoever leads next
 */
export class BatchDispatch {
  readonly #driver: GroupDriver;
  readonly #applier: Applier;
  readonly #clock: Clock;
  readonly #entries: StampedEntries;
  readonly #hasOthers: boolean;
  readonly #goOn: () => void;

  /** Nobody to take them; in the order of their numbers. */
  readonly #waiting: Batch[] = [];
  readonly #forwarded: ForwardedBatches;
  /** The leader has refused something just now. */
  #rest: Timer | null = null;
  /** Another server leads than the one that batches are on their way to. */
  #grace: Timer | null = null;
  /** Since when nobody can take a batch; null: somebody can. */
  #noWaySince: number | null;
  #isEnded = false;

  constructor(options: {
    driver: GroupDriver;
    applier: Applier;
    clock: Clock;
    entries: StampedEntries;
    /** Null: there are no other servers. */
    forward: SendBatch | null;
    /** There may be a way again: what waits goes first, then what was gathered behind it. */
    goOn: () => void;
  }) {
    this.#driver = options.driver;
    this.#applier = options.applier;
    this.#clock = options.clock;
    this.#entries = options.entries;
    this.#hasOthers = options.forward !== null;
    this.#goOn = options.goOn;
    this.#noWaySince = options.clock.now();
    this.#forwarded = new ForwardedBatches(options.forward ?? (() => false));
  }

  /** Whether a batch has a chance to be taken: somebody orders, or was lost only just now. */
  get hasChance(): boolean {
    if (this.#noWaySince === null) return true;
    return this.#hasOthers && this.#clock.now() - this.#noWaySince < electedWithinMs;
  }

  /** How long nobody who orders has been known here, in milliseconds; 0: somebody is. */
  get noWayForMs(): number {
    return this.#noWaySince === null ? 0 : Math.max(1, Math.ceil(this.#clock.now() - this.#noWaySince));
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  /** Batches that are in no log yet, as far as is known here; the newest last. */
  unplaced(): Batch[] {
    return [...this.#forwarded.batches(), ...this.#waiting];
  }

  /** Lets out what waits, as far as somebody takes it. Answers whether nothing waits any more. */
  goWaiting(): boolean {
    while (this.#waiting.length > 0) {
      if (!this.go(this.#waiting[0]!)) return false;
      this.#waiting.shift();
    }
    return true;
  }

  /** Sends a batch on its way, if somebody takes it. */
  go(batch: Batch): boolean {
    const { standing, keepsPayloads } = this.#driver.engine;
    if (this.#driver.leads) {
      if (!isOpen(standing)) return false;
      const payload = keepsPayloads ? batch.bytes.slice(0, batch.length) : batch.bytes.subarray(0, batch.length);
      this.#entries.propose(
        entryTypes.commands,
        payload,
        new OwnBatch(batch, (reason) => this.#comesBack(batch, reason)),
      );
      return true;
    }
    const { leader } = standing;
    if (leader === null || this.#rest !== null) return false;
    // What is on its way to the last leader is not overtaken.
    const { to } = this.#forwarded;
    return (to === null || to === leader) && this.#forwarded.send(leader, batch);
  }

  /** It goes behind all that were closed before. */
  wait(batch: Batch): void {
    this.#waiting.push(batch);
  }

  /** The leader has made a batch of ours the entry `index` of `term`. */
  accepted(from: NodeName, number: BatchNumber, index: LogIndex, term: Term): void {
    const batch = this.#forwarded.accepted(from, number);
    if (batch !== null) this.#applier.place(batch, index, term);
    if (this.#forwarded.to === null) this.#goOn();
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
      this.#goOn();
    });
  }

  /** What was on its way to this server, or back, is lost. */
  linkLost(peer: NodeName): void {
    this.#giveUpSent(peer);
  }

  /** This server stands elsewhere now, or another leads: what waits may go. */
  standingChanged(standing: Standing): void {
    const { to } = this.#forwarded;
    if (to !== null && standing.leader !== to) this.#mayBeLost(to);
    const isHere = standing.role === "leader" || standing.role === "elected";
    const hasWay = isHere ? isOpen(standing) : this.#hasOthers && standing.leader !== null;
    if (hasWay) this.#noWaySince = null;
    else this.#noWaySince ??= this.#clock.now();
    if (hasWay) this.#goOn();
  }

  /** Nobody waits any longer for what was gathered by then. */
  giveUpLate(since: number, code: UndecidedCode): void {
    for (const batch of this.#forwarded.late(since)) this.#applier.giveUp(batch, code);
    while (this.#waiting.length > 0 && this.#waiting[0]!.since <= since) {
      this.#applier.giveUp(this.#waiting.shift()!, code);
    }
  }

  /** Nothing goes any more by itself. */
  end(): void {
    this.#isEnded = true;
    this.#rest?.cancel();
    this.#grace?.cancel();
  }

  /** Whoever waits is told that nobody knows. */
  fail(): void {
    for (const batch of this.#waiting) batch.tellUndecided("unavailable");
    for (const batch of this.#forwarded.lost(this.#forwarded.to)) batch.tellUndecided("unavailable");
  }

  /** It is not in the log, and nothing behind it is: it waits for whoever leads next. */
  #comesBack(batch: Batch, reason: RefusalReason): void {
    if (this.#isEnded || !this.#hasOthers || reason === "too-much-uncommitted") {
      this.#applier.giveUp(batch, "unavailable");
      return;
    }
    let at = this.#waiting.length;
    while (at > 0 && this.#waiting[at - 1]!.number > batch.number) at--;
    this.#waiting.splice(at, 0, batch);
  }

  #giveUpSent(peer: NodeName): void {
    for (const batch of this.#forwarded.lost(peer)) this.#applier.giveUp(batch, "no_quorum");
    this.#goOn();
  }

  // A leader that hands over still answers what is on its way to it. One that is silent is not waited for.
  #mayBeLost(to: NodeName): void {
    this.#grace ??= this.#clock.after(millis(answeredWithinMs), () => {
      this.#grace = null;
      if (this.#driver.engine.standing.leader !== to) this.#giveUpSent(to);
    });
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
