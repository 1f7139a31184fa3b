import { unreachable } from "../base/assert.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { Entry, EntryType } from "../base/entry.ts";
import { Fault } from "../base/error-codes.ts";
import type { GroupId, LogIndex, Mark, NodeName, Term } from "../base/ids.ts";
import { type Day, type Millis, millis, type Timestamp } from "../base/units.ts";
import type { Change } from "../consensus/configuration-change.ts";
import type { RefusalReason } from "../consensus/events.ts";
import type { Snapshot } from "../consensus/messages.ts";
import type { ReplicaId } from "../consensus/replica.ts";
import type { Journal } from "../storage/journal/journal.ts";
import type { Engine, EngineEffect, EngineEvent, Member, RememberedLog, Standing } from "../topology/engine.ts";
import type { Applier } from "./applier.ts";
import { AskedMoves } from "./asked-moves.ts";
import type { Batch } from "./batch.ts";
import type { RecentEntries } from "./entry-times.ts";
import type { LogClock } from "./log-clock.ts";
import { LinearizableReads } from "./linearizable-reads.ts";
import { faultOfRefusal } from "./refusal-fault.ts";

/** Who hears what becomes of the group. */
export interface DriverListener {
  /** This server stands elsewhere in the group, or another one leads. */
  standingChanged(standing: Standing): void;
  /** Others belong to the group than before. */
  membersChanged(members: readonly Member[]): void;
  /** What the log would say next is not kept by its leader any more: state at `snapshot` or later is needed. */
  snapshotWanted(snapshot: Snapshot, from: NodeName): void;
  /** An entry that others need can't be read here. */
  unreadable(cause: unknown): void;
  /** Something was applied, and all that follows from it is to happen now. */
  turnEnded(): void;
}

/** Who proposed something. */
export interface Asker {
  /** What waits for the entry here, if anything does. */
  readonly batch: Batch | null;
  /** It is in the log at this place, which another entry may still take. */
  appended(index: LogIndex, term: Term): void;
  /** It is not in the log. */
  refused(reason: RefusalReason): void;
}

/** How an engine's messages reach other servers. What can't be sent is lost, which engines expect. */
export type SendToPeer = (to: NodeName, lane: "control" | "append", bytes: Uint8Array, rest: Uint8Array) => void;

interface Ticket {
  readonly mark: Mark;
  readonly ticket: number;
  readonly since: Millis;
  /** The last entry that is durable with it; 0: it has none. */
  readonly through: number;
}

/**
 * Drives one group: tells the engine what happens, and performs what it asks for, in order. It decides nothing: the
 * engine decides what is in the log and what is committed, `GroupState.apply` what that means, `Proposals` what is
 * proposed and where.
 *
 * 1. effects are performed in the order in which they were asked for, also when one of them brings about others
 * 2. nothing is answered or shown before it is committed
 */
export class GroupDriver {
  readonly applier: Applier;
  readonly #group: GroupId;
  readonly #engine: Engine;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #logClock: LogClock;
  readonly #send: SendToPeer;
  readonly #listener: DriverListener;
  readonly #recent: RecentEntries;
  readonly #reads: LinearizableReads;
  readonly #moves = new AskedMoves();

  readonly #tickets: Ticket[] = [];
  /** Effects under way, and who asked for each. */
  readonly #effects: EngineEffect[] = [];
  readonly #askers: (Asker | null)[] = [];
  #isPerforming = false;
  #isEnded = false;
  #timer: Timer | null = null;
  #timerAt = Infinity;
  #isTickAsked = false;
  #isTurnEndAsked = false;
  #isDiskOk = true;

  constructor(options: {
    group: GroupId;
    engine: Engine;
    journal: Journal;
    applier: Applier;
    clock: Clock;
    logClock: LogClock;
    send: SendToPeer;
    listener: DriverListener;
    /** Is told when entries went which step of their way. */
    recent: RecentEntries;
  }) {
    this.#group = options.group;
    this.#engine = options.engine;
    this.#journal = options.journal;
    this.applier = options.applier;
    this.#clock = options.clock;
    this.#logClock = options.logClock;
    this.#send = options.send;
    this.#listener = options.listener;
    this.#recent = options.recent;
    this.#reads = new LinearizableReads((id) => this.#step({ type: "read", now: this.#clock.now(), id }));
  }

  get engine(): Engine {
    return this.#engine;
  }

  get lastIndex(): LogIndex {
    return this.applier.lastIndex;
  }

  get leads(): boolean {
    const { role } = this.#engine.standing;
    return role === "leader" || role === "elected";
  }

  /** The journal writes, or will: what is proposed now would wait for that. */
  get isBusy(): boolean {
    return this.#journal.busy;
  }

  /** How long the oldest write of the group has been waiting to be durable; 0 when none is. */
  syncAgeMs(): Millis {
    const oldest = this.#tickets[0];
    return oldest === undefined ? millis(0) : millis(this.#clock.now() - oldest.since);
  }

  /** Starts with what the journal remembers. What is behind the state is applied once the engine commits it. */
  recover(log: RememberedLog): void {
    for (const entry of log.entries) {
      this.#logClock.observe(entry.ts);
      if (entry.index > log.committed) this.applier.hold(entry, null);
    }
    this.#step({ type: "recovered", now: this.#clock.now(), log });
  }

  // What is asked for

  /** Puts an entry in order, or says why not: to `asker`, before or after this returns. */
  propose(
    entry: { readonly kind: EntryType; readonly ts: Timestamp; readonly day: Day; readonly payload: Uint8Array },
    asker: Asker | null,
  ): void {
    const { kind, ts, day, payload } = entry;
    this.#step({ type: "proposed", now: this.#clock.now(), kind, ts, day, payload }, asker);
  }

  /** Changes who belongs to the group. Settles when that is committed; rejects with a Fault when it is not taken. */
  changeMembers(stamp: { ts: Timestamp; day: Day }, changes: readonly Change[]): Promise<void> {
    return new Promise((done, failed) => {
      const now = this.#clock.now();
      const asker: Asker = {
        batch: null,
        appended: (index) => this.#moves.changeAppended(index, { done, failed }),
        refused: (reason) => failed(faultOfRefusal(reason)),
      };
      this.#step({ type: "change-proposed", now, ...stamp, changes }, asker);
    });
  }

  /** Hands the leadership over, to `to` or to whoever is fittest. Settles when another server leads; rejects with a Fault when that does not come about in time. */
  transfer(to: NodeName | null): Promise<void> {
    return new Promise((done, failed) => {
      const now = this.#clock.now();
      const waiting = { done, failed };
      const asker: Asker = {
        batch: null,
        appended: () => undefined,
        refused: (reason) => this.#moves.transferRefused(waiting, faultOfRefusal(reason)),
      };
      this.#moves.transferAsked(waiting);
      this.#step({ type: "transfer", now, to }, asker);
    });
  }

  /** Settles when everything that was committed before this call is applied here; rejects with `no_quorum` when nobody can say. */
  read(): Promise<void> {
    return this.#reads.ask();
  }

  // What happens

  /** The journal has flushed up to `flushed`. */
  flushed(flushed: Mark): void {
    let ticket = 0;
    let through = 0;
    while (this.#tickets.length > 0 && this.#tickets[0]!.mark <= flushed) {
      const settled = this.#tickets.shift()!;
      ticket = settled.ticket;
      if (settled.through > 0) through = settled.through;
    }
    if (ticket === 0) return;
    const now = this.#clock.now();
    if (through > 0) this.#recent.flushed(through, now);
    this.#step({ type: "durable", now, ticket });
  }

  received(from: NodeName, bytes: Uint8Array): void {
    this.#step({ type: "received", now: this.#clock.now(), from, bytes });
  }

  peerHealth(health: {
    readonly replica: ReplicaId;
    readonly isHeard: boolean;
    readonly hearsUs: boolean;
    readonly isDiskOk: boolean;
    readonly hasCrashed: boolean;
  }): void {
    this.#step({ type: "liveness", now: this.#clock.now(), ...health });
  }

  vouched(vouched: { readonly replica: ReplicaId; readonly term: Term; readonly isAuthoritative: boolean }): void {
    this.#step({ type: "vouched", now: this.#clock.now(), ...vouched });
  }

  /** Looks whether the own disk still answers. */
  judgeDisk(self: ReplicaId, stuckAfterMs: Millis): void {
    const isDiskOk = this.syncAgeMs() <= stuckAfterMs;
    if (isDiskOk === this.#isDiskOk) return;
    this.#isDiskOk = isDiskOk;
    this.peerHealth({ replica: self, isHeard: true, hearsUs: true, isDiskOk, hasCrashed: false });
  }

  /** The journal has let go of entries up to `through`, which a durable snapshot holds. */
  compacted(through: LogIndex): void {
    this.#step({ type: "compacted", now: this.#clock.now(), through });
  }

  /** Nothing is put in order any more, here. What is on its way to the disk may still be committed by it. */
  end(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
    this.#timer = null;
    this.#reads.end();
    this.#moves.end();
  }

  // Effects

  #step(event: EngineEvent, asker: Asker | null = null): void {
    if (this.#isEnded && event.type !== "durable") {
      asker?.refused("not-leader");
      return;
    }
    for (const effect of this.#engine.step(event)) {
      this.#effects.push(effect);
      this.#askers.push(asker);
    }
    if (this.#isPerforming) return;
    this.#isPerforming = true;
    // The loop sees what is pushed while it runs.
    for (let at = 0; at < this.#effects.length; at++) this.#perform(this.#effects[at]!, this.#askers[at]!);
    this.#effects.length = 0;
    this.#askers.length = 0;
    this.#isPerforming = false;
    this.#tickLater();
  }

  #perform(effect: EngineEffect, asker: Asker | null): void {
    // What is not written or sent any more is as if the process had ended before it.
    if (this.#isEnded && effect.type !== "committed") return;
    switch (effect.type) {
      case "persist-vote": {
        const { term, votedFor } = effect;
        this.#wrote(this.#journal.appendVote(this.#group, { term, votedFor: votedFor ?? "" }), effect.ticket, 0);
        return;
      }
      case "append":
        this.#append(effect.entries, effect.ticket, asker);
        return;
      case "send":
        this.#send(effect.to, effect.lane, effect.bytes, effect.rest);
        return;
      case "committed":
        this.#commit(effect.through);
        return;
      case "read-ready":
        this.#reads.ready(effect.ids, effect.index, this.applier.state.appliedIndex);
        return;
      case "read-refused":
        this.#reads.refused(effect.ids, faultOfRefusal(effect.reason));
        return;
      case "refused":
        asker?.refused(effect.reason);
        return;
      case "standing":
        this.#listener.standingChanged(effect.standing);
        this.#moves.standingChanged(effect.standing);
        return;
      case "configured":
        this.#listener.membersChanged(effect.members);
        return;
      case "fetch":
        this.#fetch(effect);
        return;
      case "snapshot-wanted":
        this.#listener.snapshotWanted(effect.snapshot, effect.from);
        return;
      case "repair":
      case "install-snapshot":
        // Asked for only after damage was remembered, or a snapshot received, and neither is told to the engine.
        throw new Fault("unsupported", `the engine asks for ${effect.type}`);
      default:
        unreachable(effect);
    }
  }

  #wrote(mark: Mark, ticket: number, through: number): void {
    this.#tickets.push({ mark, ticket, since: this.#clock.now(), through });
  }

  #append(entries: readonly Entry[], ticket: number, asker: Asker | null): void {
    let mark = this.#journal.appended;
    const now = this.#clock.now();
    for (const entry of entries) {
      mark = this.#journal.appendEntry(entry);
      this.#recent.appended(entry.index, now);
      this.#logClock.observe(entry.ts);
      this.applier.hold(entry, asker?.batch ?? null);
      this.#moves.entryAppended(entry.index);
      asker?.appended(entry.index, entry.term);
    }
    this.#wrote(mark, ticket, entries.at(-1)?.index ?? 0);
  }

  #commit(through: LogIndex): void {
    const before = this.applier.state.appliedIndex;
    if (!this.applier.applyThrough(through)) return;
    this.#recent.committed(before, this.applier.state.appliedIndex, this.#clock.now());
    this.#moves.committed(through);
    this.#reads.applied(this.applier.state.appliedIndex);
    if (this.#isTurnEndAsked) return;
    this.#isTurnEndAsked = true;
    this.#clock.defer(() => {
      if (this.#isTurnEndAsked) this.endTurn();
    });
  }

  /** What follows from what was applied happens now, and not at the end of the turn. */
  endTurn(): void {
    this.#isTurnEndAsked = false;
    this.#listener.turnEnded();
  }

  #fetch({ context, first, last, bytesMax }: Extract<EngineEffect, { type: "fetch" }>): void {
    const fetched = (entries: readonly Entry[] | null): void => {
      this.#step({ type: "fetched", now: this.#clock.now(), context, entries });
    };
    this.#journal.read(this.#group, first, last, bytesMax).then(
      (entries) => {
        // Given back meanwhile: what is offered instead must be later than that.
        if (entries === null) this.compacted(this.#journal.baseOf(this.#group));
        fetched(entries);
      },
      (cause: unknown) => {
        this.#listener.unreadable(cause);
        fetched(null);
      },
    );
  }

  // Time

  #tickLater(): void {
    const { dueAt } = this.#engine;
    if (dueAt === Infinity || this.#isEnded) return;
    const now = this.#clock.now();
    if (dueAt <= now) {
      if (this.#isTickAsked) return;
      this.#isTickAsked = true;
      this.#clock.defer(() => {
        this.#isTickAsked = false;
        this.#step({ type: "tick", now: this.#clock.now() });
      });
      return;
    }
    if (this.#timer !== null && this.#timerAt <= dueAt) return;
    this.#timer?.cancel();
    this.#timerAt = dueAt;
    this.#timer = this.#clock.after(millis(dueAt - now), () => {
      this.#timer = null;
      // What is due may have moved on since.
      this.#tickLater();
    });
  }
}
