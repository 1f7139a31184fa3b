import { assert } from "../base/assert.ts";
import { type Entry, entryTypes } from "../base/entry.ts";
import type { LogIndex, Term } from "../base/ids.ts";
import { type Day, type Millis, millis } from "../base/units.ts";
import type { ApplySink, RoomEvent } from "../rooms/apply-sink.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { type OutcomeCode, outcomes } from "../rooms/outcome.ts";
import type { Room } from "../rooms/room.ts";
import type { Batch, Origin, UndecidedCode } from "./batch.ts";
import type { RecentEntries } from "./entry-times.ts";
import type { LiveRoom } from "./live-room.ts";
import type { Held, MemoryLog } from "./memory-log.ts";

/** Who hears what was committed. Called while entries are applied. */
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
}

interface Unapplied {
  readonly entry: Entry;
  /** The batch that it was made from here, if somebody waits for it. */
  readonly batch: Batch | null;
}

/** A batch that another server made an entry of. */
interface Placed {
  readonly index: LogIndex;
  readonly term: Term;
  readonly batch: Batch;
}

/**
 * The end of the log that is not applied yet, and how it is: holds entries from the moment they are in the log, lets go of
 * those that are replaced, and applies what is committed, in order. Memory takes an entry when it is applied, so that what
 * was replaced leaves no trace there.
 *
 * 1. entries are applied in the order of their index, each once
 * 2. a batch is told its outcome by the entry that was made from it, or that nobody knows; never both
 */
export class Applier {
  readonly state: GroupState;
  readonly #memory: MemoryLog;
  readonly #listener: CommitListener;
  readonly #sink: Sink;
  readonly #recent: RecentEntries;
  readonly #letGo: (batch: Batch) => void;
  readonly #unapplied: Unapplied[] = [];
  #unappliedBytes = 0;
  #lastIndex: LogIndex;
  #lastDay: Day;
  #sealsUnderWay = 0;
  /** In the order of their index. */
  #placed: Placed[] = [];

  constructor(options: {
    state: GroupState;
    memory: MemoryLog;
    listener: CommitListener;
    recent: RecentEntries;
    /** Nobody waits for this batch any more, and nothing refers to it. */
    letGo: (batch: Batch) => void;
  }) {
    this.state = options.state;
    this.#memory = options.memory;
    this.#listener = options.listener;
    this.#recent = options.recent;
    this.#letGo = options.letGo;
    this.#lastIndex = options.state.appliedIndex;
    this.#lastDay = options.state.lastDay;
    this.#sink = new Sink(this.#memory, this.#listener);
  }

  /** The last entry of the log, committed or not. */
  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  /** The day that the log has reached, with what is not applied. After entries were replaced, rather too late. */
  get lastDay(): Day {
    return this.#lastDay;
  }

  /** Bytes of entries that are not applied. */
  get unappliedBytes(): number {
    return this.#unappliedBytes;
  }

  /** Whether a seal is in the log that is not applied: a further one is not ordered meanwhile. */
  get isSealing(): boolean {
    return this.#sealsUnderWay > 0;
  }

  /** An entry was put into the log. What stood in its place and behind is replaced, and its batches are undecided. */
  hold(entry: Entry, batch: Batch | null): void {
    assert(entry.index > this.state.appliedIndex, "an applied entry is replaced");
    while (this.#lastIndex >= entry.index) this.#drop(this.#unapplied.pop()!);
    assert(entry.index === this.#lastIndex + 1, "the log has a hole");
    if (entry.type === entryTypes.seal) this.#sealsUnderWay++;
    if (entry.day > this.#lastDay) this.#lastDay = entry.day;
    this.#lastIndex = entry.index;
    this.#unappliedBytes += entry.payload.length;
    this.#unapplied.push({ entry, batch });
  }

  /** Another server has made this batch the entry `index` of `term`: what becomes of that becomes of it. */
  place(batch: Batch, index: LogIndex, term: Term): void {
    if (index <= this.state.appliedIndex || term < this.state.appliedTerm) {
      // The answer came by a longer way than the entry, or than the next leader. The sender's next attempt finds out.
      this.giveUp(batch, "unavailable");
      return;
    }
    let at = this.#placed.length;
    while (at > 0 && this.#placed[at - 1]!.index > index) at--;
    this.#placed.splice(at, 0, { index, term, batch });
  }

  /** Applies everything up to `through`, which is in the log. Answers whether there was anything. */
  applyThrough(through: LogIndex): boolean {
    const unapplied = this.#unapplied;
    if (unapplied.length === 0 || unapplied[0]!.entry.index > through) return false;
    while (unapplied.length > 0 && unapplied[0]!.entry.index <= through) {
      const { entry, batch } = unapplied.shift()!;
      this.#unappliedBytes -= entry.payload.length;
      this.#apply(entry, batch ?? this.#placedAt(entry));
    }
    return true;
  }

  /** Whoever waits for an entry that was proposed before `since` is told that nobody knows yet. The entry keeps its place. */
  tellUndecided(since: number, code: UndecidedCode): void {
    for (const { batch } of this.#unapplied) if (batch !== null && batch.since <= since) batch.tellUndecided(code);
    for (const { batch } of this.#placed) if (batch.since <= since) batch.tellUndecided(code);
  }

  /** Whoever waits for anything is told that nobody knows. Nothing is applied any more. */
  fail(): void {
    this.tellUndecided(Infinity, "unavailable");
    this.#unapplied.length = 0;
    this.#placed = [];
  }

  /** Whether somebody waits for an entry. */
  get isAwaited(): boolean {
    return this.#placed.length > 0 || this.#unapplied.some(({ batch }) => batch !== null);
  }

  /** Entries that are in the log and not applied, and when the first of their commands came to this server, if it did. */
  *unapplied(): Generator<{ readonly entry: Entry; readonly since: Millis | null }> {
    for (const { entry, batch } of this.#unapplied) yield { entry, since: batch === null ? null : millis(batch.since) };
  }

  /** This batch is not known to be in the log: its slots are free, and whoever waits is told. */
  giveUp(batch: Batch, code: UndecidedCode): void {
    batch.tellUndecided(code);
    for (let at = 0; at < batch.count; at++) this.#sink.free(batch.rooms[at] ?? null);
    this.#letGo(batch);
  }

  #drop({ entry, batch }: Unapplied): void {
    this.#unappliedBytes -= entry.payload.length;
    this.#lastIndex = (entry.index - 1) as LogIndex;
    if (entry.type === entryTypes.seal) this.#sealsUnderWay--;
    if (batch !== null) this.giveUp(batch, "unavailable");
  }

  /** The batch that this entry was made from elsewhere. One whose place another entry has taken was not stored by it. */
  #placedAt({ index, term }: Entry): Batch | null {
    // Terms never go back along a log: behind the first entry of a later leader nothing of an earlier one will ever stand.
    if (term > this.state.appliedTerm) this.#giveUpEarlier(index, term);
    while (this.#placed.length > 0 && this.#placed[0]!.index <= index) {
      const placed = this.#placed.shift()!;
      if (placed.index === index && placed.term === term) return placed.batch;
      this.giveUp(placed.batch, "unavailable");
    }
    return null;
  }

  #giveUpEarlier(index: LogIndex, term: Term): void {
    const lost = this.#placed.filter((placed) => placed.index > index && placed.term < term);
    if (lost.length === 0) return;
    this.#placed = this.#placed.filter((placed) => !lost.includes(placed));
    for (const { batch } of lost) this.giveUp(batch, "unavailable");
  }

  #apply(entry: Entry, batch: Batch | null): void {
    const { state } = this;
    const isSeal = entry.type === entryTypes.seal;
    // A seal ends the part of the tail that its chunk is made from; so does the first entry of a later day.
    if (isSeal || entry.day > state.lastDay) this.#memory.begin(state.appliedIndex);
    const held = this.#memory.take(entry);
    const start = held.part.offsetOf(held.address);
    const memory = held.part.bytesAt(held.address).subarray(start, start + entry.payload.length);
    const first = held.part.count;
    this.#sink.entering(batch, held, memory);
    state.apply(entry, memory, this.#sink);
    const messages = held.part.count - first;
    this.#recent.applied(entry.index, held.part.from, first, messages, batch?.since ?? 0);
    if (isSeal) {
      this.#sealsUnderWay--;
      // One that was overtaken has sealed nothing: the state here would join no chunk.
      if (state.openChunk.from === entry.index - 1) this.#listener.atSeal();
    }
    if (batch !== null) this.#letGo(batch);
  }
}

/** Passes what `apply` says on to the memory log, to whoever asked, and to the listener. One object for all entries. */
class Sink implements ApplySink {
  readonly #memory: MemoryLog;
  readonly #listener: CommitListener;
  #batch: Batch | null = null;
  #held: Held | null = null;
  #bytes: Uint8Array = new Uint8Array(0);
  /** That of the last command which was asked for its room. */
  #live: LiveRoom | null = null;

  constructor(memory: MemoryLog, listener: CommitListener) {
    this.#memory = memory;
    this.#listener = listener;
  }

  entering(batch: Batch | null, held: Held, bytes: Uint8Array): void {
    this.#batch = batch;
    this.#held = held;
    this.#bytes = bytes;
    this.#live = null;
  }

  // A room with a slot taken in its ring is kept by the memory: it is the one that a search there would find.
  proposedIn(position: number): Room | undefined {
    this.#live = this.#batch?.rooms[position] ?? null;
    return this.#live?.room;
  }

  stored(room: Room, seq: number, _memory: Uint8Array, offset: number): void {
    const held = this.#held!;
    const live = this.#live?.room === room ? this.#live : this.#memory.live(room, seq - 1);
    this.#memory.note(live, seq, held.part, held.address + offset);
    if (!live.isDirty) {
      live.isDirty = true;
      this.#listener.stored(live);
    }
  }

  /** The slot that a command had taken is free again. */
  free(live: LiveRoom | null): void {
    if (live === null) return;
    live.ring.decided();
    if (live.waiting !== null) this.#listener.freed(live);
  }

  outcome(position: number, code: OutcomeCode, seq: number, ts: number, epoch: number): void {
    const batch = this.#batch;
    if (batch === null) return;
    this.free(batch.rooms[position] ?? null);
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
