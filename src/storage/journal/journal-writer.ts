import { assert, broken } from "../../base/assert.ts";
import type { Clock, Timer } from "../../base/clock.ts";
import type { Entry } from "../../base/entry.ts";
import type { GroupId, LogIndex, Mark } from "../../base/ids.ts";
import { millis } from "../../base/units.ts";
import type { Millis } from "../../base/units.ts";
import type { Disk } from "../disk.ts";
import { JournalEnd, type JournalPlace } from "./journal-end.ts";
import { emptyGroup, type GroupStart, type JournalGroup } from "./journal-group.ts";
import { batchKinds, batchLength, batchLengthMax, sectorBytes } from "./layout.ts";
import { type LiveSegment, LiveSegments } from "./live-segments.ts";
import { chainOfEntryAt, encodeBase, encodeFloor, encodeVote, entryOverheadBytes, putEntry } from "./records.ts";
import type { GroupVote } from "./records.ts";
import type { SegmentPool } from "./segments.ts";
import { readEntries } from "./read-entries.ts";
import { Staging } from "./staging.ts";
import type { Journal, JournalSettings, JournalStats } from "./journal.ts";

/** What a journal goes on with. */
export interface JournalStart extends JournalPlace {
  /** Live segments in order, the current one last. */
  readonly live: readonly LiveSegment[];
  readonly groups: ReadonlyMap<GroupId, GroupStart>;
}

export interface JournalPorts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly pool: SegmentPool;
  readonly settings: JournalSettings;
  /** A write has settled, and the next is about to begin: what was gathered meanwhile may be appended now. */
  onSettled?(): void;
  onFlushed(flushed: Mark): void;
  onFailed(cause: Error): void;
}

/** How the last batch stands: certified by a later one, or not yet. */
type Certainty = "certified" | "uncertified";

const noMark = 0 as Mark;

/**
 * The journal that is written: staged records become batches, batches become writes, one at a time. Where they
 * go is in journal-end.ts, what becomes of segments in live-segments.ts. Its promises are those of `Journal`.
 */
export class JournalWriter implements Journal {
  readonly #ports: JournalPorts;
  readonly #settings: JournalSettings;
  readonly #groups = new Map<GroupId, JournalGroup>();
  readonly #segments: LiveSegments;
  readonly #end: JournalEnd;
  /** Being filled, and being written; they change places. */
  #filling: Staging;
  #writing: Staging;
  #appended = noMark;
  #flushed = noMark;
  /** What `onFlushed` was last told. */
  #reported = noMark;
  /** Up to here everything is to be written whatever the settings say. */
  #forced = noMark;
  #flushTimer: Timer | null = null;
  #deferred = false;
  #busy = false;
  #failure: Error | null = null;
  #certainty: Certainty = "certified";
  #idleSince = 0 as Millis;
  #markTimer: Timer | null = null;
  #closing: { promise: Promise<void>; done: () => void; marked: boolean } | null = null;
  #marks = 0;

  constructor(ports: JournalPorts, start: JournalStart) {
    const { settings } = ports;
    this.#ports = ports;
    this.#settings = settings;
    this.#filling = new Staging(settings.batchBytesMax);
    this.#writing = new Staging(settings.batchBytesMax);
    for (const [id, group] of start.groups) this.#groups.set(id, { ...group });
    this.#segments = new LiveSegments({
      segments: start.live,
      groups: this.#groups,
      pool: ports.pool,
      restaged: {
        vote: (id, vote) => this.#stageVote(id, vote, this.#nextMark()),
        base: (id, group) => this.#stageBase(id, group, this.#nextMark()),
        floor: (number) => this.#stageFloor(number, this.#nextMark()),
      },
    });
    this.useReserve(true);
    this.#end = new JournalEnd(ports, start);
  }

  get flushed(): Mark {
    return this.#flushed;
  }

  get appended(): Mark {
    return this.#appended;
  }

  // A mark that is being written reports nothing: who waits for a report must not wait for it.
  get busy(): boolean {
    return this.#busy && this.#appended > this.#reported;
  }

  get stagedBytes(): number {
    return this.#filling.recordBytes + this.#writing.recordBytes;
  }

  appendEntry(entry: Entry): Mark {
    const group = this.#group(entry.group);
    const { index } = entry;
    if (index > group.last + 1) broken(`entry ${index} of group ${entry.group} leaves a hole after ${group.last}`);
    if (index <= group.released) broken(`entry ${index} of group ${entry.group} was released up to ${group.released}`);
    const mark = this.#nextMark();
    if (this.#failure !== null) {
      group.last = index;
      return mark;
    }
    if (index <= group.last) group.chains.truncate(index - 1);
    group.last = index;
    const length = entryOverheadBytes + entry.payload.length;
    const fits = batchLength(length) <= batchLengthMax(this.#settings.segmentBytes);
    if (!fits) broken(`an entry of ${length} bytes fits no segment`);
    const at = this.#reserve(length, mark);
    const { bytes } = this.#filling;
    putEntry(bytes, at, entry, group.chains.at(index - 1));
    group.chains.push(index, chainOfEntryAt(bytes, at));
    this.#filling.entryStaged(entry.group, index);
    this.#wake();
    return mark;
  }

  appendVote(id: GroupId, vote: GroupVote): Mark {
    const group = this.#group(id);
    const before = group.vote;
    if (before !== null) {
      assert(vote.term >= before.term, `a vote of group ${id} goes back from term ${before.term} to ${vote.term}`);
      const changed = vote.term === before.term && before.votedFor !== "" && vote.votedFor !== before.votedFor;
      assert(!changed, `group ${id} votes twice in term ${vote.term}`);
    }
    group.vote = vote;
    const mark = this.#nextMark();
    if (this.#failure === null) this.#stageVote(id, vote, mark);
    return mark;
  }

  flushNow(): void {
    this.#forced = this.#appended;
    this.#wake();
  }

  release(id: GroupId, through: LogIndex): void {
    const group = this.#group(id);
    if (through <= group.released || this.#failure !== null) return;
    group.released = through;
    if (through > group.last) {
      group.last = through;
      group.chains.restart(through);
      group.places.restart(through);
      this.#stageBase(id, group, this.#nextMark());
      this.#filling.restartStaged(id, through);
    }
    this.#reclaim();
  }

  keepReleased(bytesMax: number): void {
    if (this.#segments.keep(bytesMax)) this.#reclaim();
  }

  useReserve(allowed: boolean): void {
    if (this.#failure !== null || this.#closing !== null) return;
    this.#ports.pool.useReserve(allowed && this.stagedBytes <= this.#settings.segmentBytes / 2);
  }

  baseOf(id: GroupId): LogIndex {
    return this.#group(id).places.base;
  }

  read(id: GroupId, first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly Entry[] | null> {
    const { chains, places } = this.#group(id);
    const log = { group: id, disk: this.#ports.disk, chains, places, staged: () => [this.#filling, this.#writing] };
    return readEntries(log, { first, last, bytesMax });
  }

  chainAt(id: GroupId, index: LogIndex): Uint8Array | null {
    const chains = this.#groups.get(id)?.chains;
    return chains !== undefined && chains.has(index) ? chains.at(index).slice() : null;
  }

  stats(): JournalStats {
    const { pool } = this.#ports;
    return {
      segments: this.#segments.count,
      spareSegments: pool.spareCount,
      bytes: this.#segments.bytes,
      batches: this.#end.batches,
      bytesWritten: this.#end.bytesWritten,
      marks: this.#marks,
      rolls: this.#end.rolls,
      stagedBytes: this.stagedBytes,
      waitsForSpace: pool.waitsForSpace,
      backgroundFault: pool.lastFault,
    };
  }

  close(): Promise<void> {
    if (this.#closing === null) {
      let done = (): void => undefined;
      const promise = new Promise<void>((resolve) => {
        done = resolve;
      });
      this.#closing = { promise, done, marked: false };
      this.#markTimer?.cancel();
      this.#ports.pool.close();
      this.flushNow();
      this.#defer();
    }
    return this.#closing.promise;
  }

  // Staging

  #group(id: GroupId): JournalGroup {
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = emptyGroup();
      this.#groups.set(id, group);
    }
    return group;
  }

  #nextMark(): Mark {
    assert(this.#closing === null, "the journal is closing");
    this.#appended = (this.#appended + 1) as Mark;
    return this.#appended;
  }

  #reserve(length: number, mark: Mark): number {
    if (this.#filling.empty) this.#filling.since = this.#ports.clock.now();
    return this.#filling.reserve(length, mark);
  }

  #stage(record: Uint8Array, mark: Mark): void {
    const at = this.#reserve(record.length, mark);
    this.#filling.bytes.set(record, at);
    this.#wake();
  }

  #stageVote(id: GroupId, vote: GroupVote, mark: Mark): void {
    this.#stage(encodeVote(id, vote), mark);
    this.#filling.open.votes.add(id);
  }

  #stageBase(id: GroupId, group: JournalGroup, mark: Mark): void {
    this.#stage(encodeBase(id, group.last, group.chains.at(group.last)), mark);
    this.#filling.baseStaged(id, group.last);
  }

  #stageFloor(number: number, mark: Mark): Mark {
    this.#stage(encodeFloor(number), mark);
    return mark;
  }

  // Writing

  /** Something was staged, or asked for: writes it in a turn of its own, or as soon as it is due. */
  #wake(): void {
    if (this.#busy || this.#deferred || this.#failure !== null) return;
    if (this.#filling.empty && this.#writing.empty) return;
    if (this.#due()) {
      this.#defer();
    } else if (this.#flushTimer === null) {
      const { clock } = this.#ports;
      const waited = clock.now() - this.#filling.since;
      this.#flushTimer = clock.after(millis(Math.max(0, this.#settings.flushAfterMs - waited)), () => {
        this.#flushTimer = null;
        this.#wake();
      });
    }
  }

  #due(): boolean {
    const { flushAfterMs, flushAfterBytes } = this.#settings;
    if (flushAfterMs === 0 || this.#flushed < this.#forced || !this.#writing.empty) return true;
    if (flushAfterBytes > 0 && this.stagedBytes >= flushAfterBytes) return true;
    return this.#ports.clock.now() - this.#filling.since >= flushAfterMs;
  }

  #defer(): void {
    if (this.#deferred || this.#busy) return;
    this.#deferred = true;
    this.#ports.clock.defer(() => {
      this.#deferred = false;
      this.#begin();
    });
  }

  #begin(): void {
    if (this.#busy) return;
    if (this.#failure !== null) {
      this.#endClose();
      return;
    }
    this.#flushTimer?.cancel();
    this.#flushTimer = null;
    if (this.#writing.empty) [this.#writing, this.#filling] = [this.#filling, this.#writing];
    this.#busy = true;
    this.#writeNext().then(
      () => this.#settled(),
      (cause: unknown) => this.#fail(cause),
    );
  }

  /** Writes the oldest staged batch, or, when there is none, the mark that is due. */
  async #writeNext(): Promise<void> {
    const batch = this.#writing.batches[0];
    if (batch === undefined) {
      await this.#writeMark();
      return;
    }
    const length = batchLength(batch.recordBytes);
    if (!this.#end.fits(length)) this.#segments.begun(await this.#end.roll());
    this.#segments.takes(batch.entries);
    const { segment, offset } = this.#end;
    const { start, recordBytes, recordCount } = batch;
    await this.#end.write(this.#writing.bytes, { start, kind: batchKinds.records, recordBytes, recordCount });
    for (const group of batch.entries.keys()) this.#groups.get(group)!.chainSegment = segment;
    for (const group of batch.votes) this.#groups.get(group)!.voteSegment = segment;
    const place = { segment, offset, length, checksum: this.#end.checksum };
    for (const [group, { first, last }] of batch.ranges) this.#groups.get(group)!.places.add(first, last, place);
    this.#certainty = "uncertified";
    this.#writing.shift();
    this.#flushed = batch.mark;
  }

  async #writeMark(): Promise<void> {
    const closing = this.#closing !== null;
    if (!closing && this.#certainty === "certified") return;
    if (!this.#end.fits(sectorBytes)) this.#segments.begun(await this.#end.roll());
    await this.#end.writeMark(closing ? batchKinds.cleanMark : batchKinds.mark);
    this.#certainty = "certified";
    this.#marks++;
    if (closing) this.#closing!.marked = true;
  }

  /** A write has settled: what waits is written next, and what is durable is told meanwhile. */
  #settled(): void {
    this.#busy = false;
    if (this.#flushed > this.#reported) this.#ports.onSettled?.();
    if ((!this.#filling.empty || !this.#writing.empty) && this.#due()) {
      // The write begins in this turn and the report comes in the next: the disk does not wait for what the report sets off.
      this.#begin();
      this.#ports.clock.defer(() => this.#report());
      return;
    }
    if (!this.#filling.empty || !this.#writing.empty) this.#wake();
    else if (this.#closing === null) this.#fallIdle();
    else if (this.#closing.marked) this.#endClose();
    else this.#defer();
    this.#report();
  }

  #report(): void {
    if (this.#reported === this.#flushed) return;
    this.#reported = this.#flushed;
    if (this.#segments.flushed(this.#flushed)) this.#reclaim();
    this.#ports.onFlushed(this.#flushed);
  }

  #fail(cause: unknown): void {
    this.#busy = false;
    // What an earlier write made durable is that, whatever became of this one.
    this.#report();
    this.#failure = cause instanceof Error ? cause : new Error(String(cause));
    this.#flushTimer?.cancel();
    this.#markTimer?.cancel();
    // Nothing of it will ever be written: a second flush of the same file may settle although the bytes are gone.
    this.#filling = new Staging(this.#settings.batchBytesMax);
    this.#writing = new Staging(this.#settings.batchBytesMax);
    this.#ports.onFailed(this.#failure);
    this.#endClose();
  }

  #endClose(): void {
    const closing = this.#closing;
    if (closing !== null) void this.#ports.pool.idle().then(closing.done);
  }

  // Marks

  #fallIdle(): void {
    if (this.#certainty === "certified") return;
    this.#idleSince = this.#ports.clock.now();
    if (this.#markTimer === null) this.#armMark(this.#settings.markAfterMs);
  }

  /** One timer for many short pauses: it looks how long the pause is when it fires. */
  #armMark(delayMs: number): void {
    const { clock } = this.#ports;
    this.#markTimer = clock.after(millis(delayMs), () => {
      this.#markTimer = null;
      if (this.#busy || this.#failure !== null || this.#closing !== null || this.stagedBytes > 0) return;
      const lacking = this.#settings.markAfterMs - (clock.now() - this.#idleSince);
      if (lacking > 0) this.#armMark(lacking);
      else this.#defer();
    });
  }

  // Segments

  #reclaim(): void {
    if (this.#failure !== null || this.#closing !== null) return;
    if (this.#segments.reclaim()) this.flushNow();
  }
}
