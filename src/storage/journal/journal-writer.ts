import { assert, broken } from "../../base/assert.ts";
import type { Clock, Timer } from "../../base/clock.ts";
import type { Entry } from "../../base/entry.ts";
import type { GroupId, LogIndex, Mark } from "../../base/ids.ts";
import { millis } from "../../base/units.ts";
import type { Millis } from "../../base/units.ts";
import type { Disk } from "../disk.ts";
import { ChainLog } from "./chain-log.ts";
import { EntryPlaces } from "./entry-places.ts";
import { batchHeaderBytes, batchKinds, batchLength, batchLengthMax, sealBatch, sectorBytes } from "./layout.ts";
import {
  chainOfEntryAt,
  encodeBase,
  encodeFloor,
  encodeRoll,
  encodeVote,
  entryOverheadBytes,
  putEntry,
} from "./records.ts";
import type { GroupVote } from "./records.ts";
import { segmentFile } from "./segments.ts";
import type { Segment, SegmentPool } from "./segments.ts";
import { readEntries } from "./read-entries.ts";
import { Staging } from "./staging.ts";
import type { Journal, JournalSettings, JournalStats } from "./journal.ts";

/** What a group's log goes on with. */
export interface GroupStart {
  readonly vote: GroupVote | null;
  readonly last: LogIndex;
  readonly released: LogIndex;
  readonly chains: ChainLog;
  readonly places: EntryPlaces;
  /** Lowest live segments that hold its newest vote, and its newest entry or base. */
  readonly voteSegment: number;
  readonly chainSegment: number;
}

export interface JournalStart {
  readonly segment: Segment;
  /** Where the next batch goes in it. */
  readonly offset: number;
  readonly lastNumber: number;
  readonly lastChecksum: number;
  /** Live segments in order, the current one last, with the highest index of each group in each. */
  readonly live: { number: number; bytes: number; highest: Map<GroupId, LogIndex> }[];
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

interface GroupState {
  vote: GroupVote | null;
  last: LogIndex;
  released: LogIndex;
  readonly chains: ChainLog;
  readonly places: EntryPlaces;
  voteSegment: number;
  chainSegment: number;
}

/** How the last batch stands: certified by a later one, or not yet. */
type Certainty = "certified" | "uncertified";

const noMark = 0 as Mark;

/**
 * The journal that is written: staged records become batches, batches become writes, one at a time, and segments of which
 * nothing is needed are given back. Its promises are those of `Journal`.
 */
export class JournalWriter implements Journal {
  readonly #ports: JournalPorts;
  readonly #settings: JournalSettings;
  readonly #groups = new Map<GroupId, GroupState>();
  readonly #live: JournalStart["live"];
  #segment: Segment;
  #offset: number;
  #lastNumber: number;
  #lastChecksum: number;
  /** Being filled, and being written; they change places. */
  #filling: Staging;
  #writing: Staging;
  readonly #small = new Uint8Array(sectorBytes);
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
  /** What segments are given up once their floor record is flushed. */
  #reclaiming: { mark: Mark; count: number } | null = null;
  #keptBytesMax = 0;
  #closing: { promise: Promise<void>; done: () => void; marked: boolean } | null = null;
  #batches = 0;
  #bytesWritten = 0;
  #marks = 0;
  #rolls = 0;

  constructor(ports: JournalPorts, start: JournalStart) {
    const { settings } = ports;
    this.#ports = ports;
    this.#settings = settings;
    this.#filling = new Staging(settings.batchBytesMax);
    this.#writing = new Staging(settings.batchBytesMax);
    this.#segment = start.segment;
    this.#offset = start.offset;
    this.#lastNumber = start.lastNumber;
    this.#lastChecksum = start.lastChecksum;
    this.#live = start.live;
    for (const [id, group] of start.groups) this.#groups.set(id, { ...group });
    this.useReserve(true);
    this.#ports.pool.prepareSoon(this.#segment.number + 1);
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
    const isLess = bytesMax < this.#keptBytesMax;
    this.#keptBytesMax = bytesMax;
    if (isLess) this.#reclaim();
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
      segments: this.#live.length,
      spareSegments: pool.spareCount,
      bytes: this.#live.reduce((sum, segment) => sum + segment.bytes, 0),
      batches: this.#batches,
      bytesWritten: this.#bytesWritten,
      marks: this.#marks,
      rolls: this.#rolls,
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

  #group(id: GroupId): GroupState {
    let group = this.#groups.get(id);
    if (group === undefined) {
      const none = 0 as LogIndex;
      const [chains, places] = [new ChainLog(0), new EntryPlaces(none)];
      group = { vote: null, last: none, released: none, chains, places, voteSegment: 0, chainSegment: 0 };
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

  #stageBase(id: GroupId, group: GroupState, mark: Mark): void {
    this.#stage(encodeBase(id, group.last, group.chains.at(group.last)), mark);
    raise(this.#filling.open.entries, id, group.last);
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
    if (!this.#fits(length)) await this.#roll();
    const { number } = this.#segment;
    const { highest } = this.#live.at(-1)!;
    for (const [group, index] of batch.entries) raise(highest, group, index);
    const { start, recordBytes, recordCount } = batch;
    const offset = this.#offset;
    await this.#write(this.#writing.bytes, { start, kind: batchKinds.records, recordBytes, recordCount });
    for (const group of batch.entries.keys()) this.#groups.get(group)!.chainSegment = number;
    for (const group of batch.votes) this.#groups.get(group)!.voteSegment = number;
    const place = { segment: number, offset, length, checksum: this.#lastChecksum };
    for (const [group, { first, last }] of batch.ranges) this.#groups.get(group)!.places.add(first, last, place);
    this.#certainty = "uncertified";
    this.#writing.shift();
    this.#flushed = batch.mark;
  }

  async #writeMark(): Promise<void> {
    const closing = this.#closing !== null;
    if (!closing && this.#certainty === "certified") return;
    if (!this.#fits(sectorBytes)) await this.#roll();
    const kind = closing ? batchKinds.cleanMark : batchKinds.mark;
    await this.#write(this.#small, { start: 0, kind, recordBytes: 0, recordCount: 0 });
    this.#certainty = "certified";
    this.#marks++;
    if (closing) this.#closing!.marked = true;
  }

  /** Whether a batch fits with a roll after it. */
  #fits(length: number): boolean {
    return this.#offset + length + sectorBytes <= this.#segment.segmentBytes;
  }

  /**
   * Goes on to the next segment. Its header is synced already; the roll that names it is synced before it gets its name,
   * and the name before its first batch. So a crash in between leaves a next segment that is empty for certain, and a
   * segment with a live name was named by a roll for certain.
   */
  async #roll(): Promise<void> {
    const { disk, pool } = this.#ports;
    const next = await pool.take(this.#segment.number + 1, { flags: 0, wait: true });
    const record = encodeRoll(next.number, next.generation);
    this.#small.set(record, batchHeaderBytes);
    await this.#write(this.#small, { start: 0, kind: batchKinds.roll, recordBytes: record.length, recordCount: 1 });
    const live = segmentFile(next.number, "wal");
    await disk.rename(next.file, live);
    next.file = live;
    this.#segment = next;
    this.#offset = sectorBytes;
    this.#live.push({ number: next.number, bytes: next.segmentBytes, highest: new Map<GroupId, LogIndex>() });
    this.#rolls++;
    pool.prepareSoon(next.number + 1);
  }

  async #write(
    bytes: Uint8Array,
    batch: { start: number; kind: number; recordBytes: number; recordCount: number },
  ): Promise<void> {
    const length = batchLength(batch.recordBytes);
    const checksum = sealBatch(bytes, batch.start, {
      ...batch,
      number: this.#lastNumber + 1,
      generation: this.#segment.generation,
      previousChecksum: this.#lastChecksum,
    });
    const whole = bytes.subarray(batch.start, batch.start + length);
    await this.#ports.disk.writeDurable(this.#segment.file, this.#offset, whole);
    this.#offset += length;
    this.#lastNumber++;
    this.#lastChecksum = checksum;
    this.#batches++;
    this.#bytesWritten += length;
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
    this.#giveUpReclaimed();
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

  // Giving segments back

  /**
   * Looks for the oldest segments of which no entry is needed any more. Votes and bases that stand nowhere else are
   * written again, then a floor; once those are flushed the segments are given back, oldest first.
   */
  #reclaim(): void {
    if (this.#reclaiming !== null || this.#failure !== null || this.#closing !== null) return;
    let count = 0;
    let bytes = this.#live.reduce((sum, segment) => sum + segment.bytes, 0);
    while (count < this.#live.length - 1 && bytes > this.#keptBytesMax) {
      const segment = this.#live[count]!;
      if (!this.#isReleased(segment.highest)) break;
      bytes -= segment.bytes;
      count++;
    }
    if (count === 0) return;
    const floor = this.#live[count]!.number;
    for (const { chains, places } of this.#groups.values()) {
      places.dropBelow(floor);
      chains.release(places.base);
    }
    for (const [id, group] of this.#groups) {
      if (group.vote !== null && group.voteSegment < floor) this.#stageVote(id, group.vote, this.#nextMark());
      if (group.last > 0 && group.chainSegment < floor) this.#stageBase(id, group, this.#nextMark());
    }
    const mark = this.#nextMark();
    this.#stage(encodeFloor(floor), mark);
    this.#reclaiming = { mark, count };
    this.flushNow();
  }

  #isReleased(highest: ReadonlyMap<GroupId, LogIndex>): boolean {
    for (const [id, index] of highest) if (index > this.#groups.get(id)!.released) return false;
    return true;
  }

  #giveUpReclaimed(): void {
    const reclaiming = this.#reclaiming;
    if (reclaiming === null || this.#flushed < reclaiming.mark) return;
    this.#reclaiming = null;
    for (const segment of this.#live.splice(0, reclaiming.count)) {
      this.#ports.pool.retireSoon(segmentFile(segment.number, "wal"));
    }
    this.#reclaim();
  }
}

function raise(highest: Map<GroupId, LogIndex>, group: GroupId, index: LogIndex): void {
  const before = highest.get(group);
  if (before === undefined || before < index) highest.set(group, index);
}
