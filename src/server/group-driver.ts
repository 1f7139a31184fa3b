import { assert, unreachable } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { type Entry, type EntryType, entryTypes } from "../base/entry.ts";
import type { GroupId, LogIndex, Mark } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { type Day, day } from "../base/units.ts";
import type { ApplySink, RoomEvent } from "../rooms/apply-sink.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { type OutcomeCode, outcomes } from "../rooms/outcome.ts";
import type { Room } from "../rooms/room.ts";
import { chunkFormat, encodeSeal, type SealReason, sealReasons } from "../rooms/seal.ts";
import type { Journal } from "../storage/journal/journal.ts";
import type { Engine, EngineEffect } from "../topology/engine.ts";
import { Batch, type Origin } from "./batch.ts";
import type { Calendar } from "./calendar.ts";
import type { LiveRoom } from "./live-room.ts";
import type { LogClock } from "./log-clock.ts";
import type { Held, MemoryLog } from "./memory-log.ts";

/** Who hears what was committed. Called while entries are applied; `turnEnded` after the last of a turn. */
export interface CommitListener {
  stored(live: LiveRoom): void;
  /** A slot of its ring is free again, and somebody waits for one. */
  freed(live: LiveRoom): void;
  changed(event: RoomEvent): void;
  /** A post could not be decided from state alone: its record must be looked up and proposed again. */
  recheck(origin: Batch["origins"][number], request: Batch["requests"][number], record: Uint8Array): void;
  /** Whether what the post at `offset` follows is itself to be proposed again, so that `order` is not its answer yet. */
  holdsPrev(origin: Origin, bytes: Uint8Array, offset: number): boolean;
  /** A seal was applied, and nothing behind it: the state can be kept as a snapshot that joins its chunk. */
  atSeal(): void;
  turnEnded(): void;
}

interface Uncommitted {
  readonly entry: Entry;
  readonly held: Held;
  readonly batch: Batch | null;
}

/**
 * Drives one group: gathers commands into entries, hands them to the engine, writes what it asks for, and applies what
 * is committed, in order. It performs; the engine decides what is committed and `GroupState.apply` what it means.
 *
 * A command's way: `batch` (gathered during a turn, or while the disk is busy) → an entry → the memory tail and the
 * journal → durable → committed → applied → whoever asked is told.
 *
 * 1. nothing is applied, answered or shown before its flush
 * 2. entries are applied in the order of their index, each once
 */
export class GroupDriver {
  readonly state: GroupState;
  readonly #group: GroupId;
  readonly #engine: Engine;
  readonly #journal: Journal;
  readonly #memory: MemoryLog;
  readonly #clock: Clock;
  readonly #logClock: LogClock;
  #calendar: Calendar;
  readonly #limits: Limits;
  readonly #listener: CommitListener;
  readonly #sink: ApplySink;

  #batch = new Batch();
  readonly #spareBatches: Batch[] = [];
  #closing = false;
  #ended = false;
  readonly #uncommitted: Uncommitted[] = [];
  #uncommittedBytes = 0;
  #lastIndex: LogIndex;
  #orderedDay: Day;
  /** Seals that are ordered and not applied: a further one is not ordered meanwhile. */
  #sealsUnderWay = 0;
  readonly #tickets: { mark: Mark; ticket: number }[] = [];

  constructor(options: {
    group: GroupId;
    engine: Engine;
    journal: Journal;
    state: GroupState;
    memory: MemoryLog;
    clock: Clock;
    logClock: LogClock;
    calendar: Calendar;
    limits: Limits;
    listener: CommitListener;
  }) {
    this.#group = options.group;
    this.#engine = options.engine;
    this.#journal = options.journal;
    this.state = options.state;
    this.#memory = options.memory;
    this.#clock = options.clock;
    this.#logClock = options.logClock;
    this.#calendar = options.calendar;
    this.#limits = options.limits;
    this.#listener = options.listener;
    this.#lastIndex = options.state.appliedIndex;
    this.#orderedDay = options.state.lastDay;
    this.#sink = new Sink(this.#memory, this.#listener);
  }

  get engine(): Engine {
    return this.#engine;
  }

  /** Bytes that are proposed or gathered and not committed. */
  get uncommittedBytes(): number {
    return this.#uncommittedBytes + this.#batch.length;
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  get leads(): boolean {
    const role = this.#engine.standing.role;
    return role === "leader" || role === "elected";
  }

  set calendar(calendar: Calendar) {
    this.#calendar = calendar;
  }

  /**
   * Starts with what the journal remembers: entries behind the state's snapshot, in order. They are durable; they are
   * applied once the engine commits them.
   */
  recover(term: number, entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index === this.#lastIndex + 1, "the journal has a hole behind the snapshot");
      this.#hold(entry, null);
      this.#logClock.observe(entry.ts);
    }
    const last = entries.at(-1);
    this.#perform(
      this.#engine.step({
        type: "recovered",
        term: term as Entry["term"],
        lastIndex: this.#lastIndex,
        committed: this.state.appliedIndex,
        ts: this.#logClock.stamp(),
        day: last?.day ?? this.#firstDay(),
      }),
    );
  }

  /** Where the next command is gathered. Fill it, `keep`, then call `gathered`. */
  get batch(): Batch {
    return this.#batch;
  }

  /** A command was added to the batch: it goes out at the end of the turn, or when the disk is free. */
  gathered(): void {
    if (this.#batch.length >= this.#limits.entryBytesMax) {
      this.#closeBatch();
      return;
    }
    if (this.#closing || this.#journal.busy) return;
    this.#closing = true;
    this.#clock.defer(() => {
      this.#closing = false;
      this.#closeBatch();
    });
  }

  /** Orders an entry that is not a batch of commands. Commands gathered before it go first. */
  order(kind: EntryType, payload: Uint8Array): void {
    if (this.#ended) return;
    this.#closeBatch();
    this.#propose(kind, payload, null);
  }

  /** Seals the open chunk, unless that is under way already or there is nothing in it. Answers whether it did. */
  seal(reason: SealReason): boolean {
    if (!this.leads || this.#ended || this.#sealsUnderWay > 0) return false;
    this.#closeBatch();
    return this.#sealOpenChunk(reason);
  }

  #sealOpenChunk(reason: SealReason): boolean {
    if (this.#sealsUnderWay > 0 || this.#memory.openBytes === 0) return false;
    const from = this.state.openChunk.from;
    const seal = { chunk: this.state.lastChunk + 1, from, to: this.#lastIndex, day: this.#orderedDay };
    const payload = encodeSeal({ ...seal, format: chunkFormat, reason });
    this.#propose(entryTypes.seal, payload, null);
    return true;
  }

  /** At midnight, also when nobody talks: the open chunk of a day that is over is sealed. */
  sealPastDay(): boolean {
    const today = this.#calendar.dayOf(this.#logClock.stamp());
    if (today <= this.#orderedDay || !this.seal(sealReasons.day)) return false;
    // Whatever the journal waits for: at midnight everything of the day is written.
    this.#journal.flushNow();
    return true;
  }

  /** A write of the journal has settled: what gathered during it goes into the next, before that begins. */
  settled(): void {
    this.#closeBatch();
  }

  /** The journal has flushed up to `flushed`: commit, apply, and let out what gathered meanwhile. */
  flushed(flushed: Mark): void {
    let ticket = 0;
    while (this.#tickets.length > 0 && this.#tickets[0]!.mark <= flushed) ticket = this.#tickets.shift()!.ticket;
    if (ticket > 0) this.#perform(this.#engine.step({ type: "durable", ticket }));
    this.#closeBatch();
    this.#listener.turnEnded();
  }

  /**
   * Nothing more is put in order, for the server stops. What was gathered goes out now, without waiting for the end of
   * the turn or for the disk; what would follow from it is found again at the next start.
   */
  end(): void {
    this.#closeBatch();
    this.#ended = true;
    this.#journal.flushNow();
  }

  /** Nothing more will be flushed. Whoever waits is told that the outcome is unknown. */
  fail(): void {
    const waiting = this.#uncommitted.splice(0);
    const gathered = this.#batch;
    this.#batch = new Batch();
    for (const { batch } of waiting) if (batch !== null) abandon(batch);
    abandon(gathered);
  }

  /**
   * The disk takes nothing and may not for long: whoever waits is told that nobody knows yet. What was proposed stays
   * proposed, and takes its place when the disk goes on.
   */
  tellUndecided(): void {
    for (const { batch } of this.#uncommitted) if (batch !== null) abandon(batch);
  }

  #closeBatch(): void {
    const batch = this.#batch;
    if (batch.count === 0 || !this.leads || this.#ended) return;
    this.#batch = this.#spareBatches.pop() ?? new Batch();
    this.#propose(entryTypes.commands, batch.bytes.subarray(0, batch.length), batch);
  }

  #propose(kind: EntryType, payload: Uint8Array, batch: Batch | null): void {
    const ts = this.#logClock.stamp();
    const today = this.#calendar.dayOf(ts);
    // The first entry of a later day would seal the open chunk by itself; a seal of its own before it lets the state be
    // kept just there. A seal carries the day it ends.
    const isSeal = kind === entryTypes.seal;
    if (!isSeal && today > this.#orderedDay) this.#sealOpenChunk(sealReasons.day);
    const dayNow = today > this.#orderedDay && !isSeal ? today : this.#orderedDay;
    const effects = this.#engine.step({ type: "proposed", kind, ts, day: dayNow, payload });
    for (const effect of effects) this.#performOne(effect, batch);
  }

  #perform(effects: readonly EngineEffect[]): void {
    for (const effect of effects) this.#performOne(effect, null);
  }

  #performOne(effect: EngineEffect, batch: Batch | null): void {
    switch (effect.type) {
      case "persist-vote": {
        const mark = this.#journal.appendVote(this.#group, { term: effect.term, votedFor: effect.votedFor });
        this.#tickets.push({ mark, ticket: effect.ticket });
        return;
      }
      case "append": {
        const mark = this.#journal.appendEntry(effect.entry);
        this.#tickets.push({ mark, ticket: effect.ticket });
        this.#hold(effect.entry, batch);
        return;
      }
      case "committed":
        this.#applyThrough(effect.through);
        return;
      default:
        unreachable(effect);
    }
  }

  // A seal ends the part of the tail that its chunk is made from; so does the first entry of a later day.
  #hold(entry: Entry, batch: Batch | null): void {
    const isSeal = entry.type === entryTypes.seal;
    if (isSeal) this.#sealsUnderWay++;
    if (isSeal || entry.day > this.#orderedDay) this.#memory.begin(this.#lastIndex);
    if (entry.day > this.#orderedDay) this.#orderedDay = entry.day;
    const held = this.#memory.take(entry);
    this.#lastIndex = entry.index;
    this.#uncommittedBytes += entry.payload.length;
    this.#uncommitted.push({ entry, held, batch });
  }

  #applyThrough(through: LogIndex): void {
    const sink = this.#sink as Sink;
    while (this.#uncommitted.length > 0 && this.#uncommitted[0]!.entry.index <= through) {
      const { entry, held, batch } = this.#uncommitted.shift()!;
      this.#uncommittedBytes -= entry.payload.length;
      const start = held.part.offsetOf(held.address);
      const memory = held.part.bytesAt(held.address).subarray(start, start + entry.payload.length);
      sink.entering(batch, held, memory);
      this.state.apply(entry, memory, sink);
      if (entry.type === entryTypes.seal) {
        this.#sealsUnderWay--;
        this.#listener.atSeal();
      }
      if (batch !== null) {
        batch.clear();
        if (this.#spareBatches.length < 4) this.#spareBatches.push(batch);
      }
    }
  }

  #firstDay(): Day {
    return this.state.lastDay > 0 ? this.state.lastDay : day(this.#calendar.dayOf(this.#logClock.stamp()));
  }
}

/** Passes what `apply` says on to the memory log, to whoever asked, and to the listener. One object for all entries. */
class Sink implements ApplySink {
  readonly #memory: MemoryLog;
  readonly #listener: CommitListener;
  #batch: Batch | null = null;
  #held: Held | null = null;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(memory: MemoryLog, listener: CommitListener) {
    this.#memory = memory;
    this.#listener = listener;
  }

  entering(batch: Batch | null, held: Held, bytes: Uint8Array): void {
    this.#batch = batch;
    this.#held = held;
    this.#bytes = bytes;
  }

  stored(room: Room, seq: number, _memory: Uint8Array, offset: number): void {
    const held = this.#held!;
    const live = this.#memory.note(room, seq, held.part, held.address + offset);
    if (!live.isDirty) {
      live.isDirty = true;
      this.#listener.stored(live);
    }
  }

  outcome(position: number, code: OutcomeCode, seq: number, ts: number, epoch: number): void {
    const batch = this.#batch;
    if (batch === null) return;
    const live = batch.rooms[position] ?? null;
    if (live !== null) {
      live.ring.decided();
      if (live.waiting !== null) this.#listener.freed(live);
    }
    const origin = batch.origins[position]!;
    if (origin === null) return;
    const offset = batch.offsets[position]!;
    if (
      code === outcomes.recheck ||
      (code === outcomes.order && this.#listener.holdsPrev(origin, this.#bytes, offset))
    ) {
      this.#listener.recheck(origin, batch.requests[position]!, this.#bytes.slice(offset, batch.endOf(position)));
      return;
    }
    origin.decided(batch.requests[position]!, code, seq, ts, epoch, batch.bytes, offset);
  }

  changed(event: RoomEvent): void {
    this.#listener.changed(event);
  }
}

/** Whoever asked for a command of this batch is told that nobody knows; what becomes of it later is told to nobody. */
function abandon(batch: Batch): void {
  for (let i = 0; i < batch.count; i++) {
    const origin = batch.origins[i] ?? null;
    batch.origins[i] = null;
    origin?.undecided(batch.requests[i]!);
  }
}
