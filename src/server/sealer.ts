import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import type { GroupId, LogIndex, Mark, Term } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import { textOf } from "../protocol/utf8.ts";
import type { Sealed } from "../rooms/apply-sink.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { recordTs } from "../rooms/message-record.ts";
import { snapshotFormat } from "../rooms/snapshot.ts";
import type { StateCut } from "../rooms/state-cut.ts";
import { buildChunk, type ChunkImage } from "../storage/chunk/build-chunk.ts";
import type { ChunkBuilder } from "../storage/chunk/chunk-builder.ts";
import { ChunkDamage } from "../storage/chunk/chunk-damage.ts";
import type { ChunkMeta, ChunkNumber } from "../storage/chunk/chunk-layout.ts";
import type { ChunkStore } from "../storage/chunk/chunk-store.ts";
import { sealDifference } from "../storage/chunk/seal-difference.ts";
import { RecordParts } from "../storage/chunk/record-parts.ts";
import type { Journal } from "../storage/journal/journal.ts";
import { buildSnapshot, publishSnapshot, type SnapshotOwner } from "../storage/snapshot-file.ts";
import type { Disk, FileName } from "../storage/disk.ts";
import type { MemoryLog } from "./memory-log.ts";

/** Work between two turns of the event loop, in milliseconds: a little, and more for each chunk that waits. */
const sliceMs = 2;
const sliceMsMax = 16;

/** How often it is looked whether the journal has flushed a seal that is committed already. */
const flushPollMs = 5;

/** A chunk with less in it is built here, in a few slices: that is not worth a thread. */
const threadBytesMin = 4 * 1024 * 1024;

/** The state just behind a seal. */
interface StateAtSeal {
  readonly index: LogIndex;
  readonly term: Term;
  /** The seal is durable here when the journal has flushed up to here. */
  readonly mark: Mark;
  /** The last sealed chunk. */
  readonly chunk: number;
  readonly cut: StateCut;
}

/** A file that stood under the number of a chunk and was not that chunk. */
export interface Stranger {
  readonly file: FileName;
  readonly movedTo: FileName;
  /** How it differs. */
  readonly what: string;
}

/** What was written, and the digest that it has wherever it is written. */
export interface Made {
  readonly kind: "snapshot" | "chunk";
  /** Its place in the log, or the number of the chunk. */
  readonly number: number;
  /** How often a chunk was written anew; of a snapshot the format of the state. */
  readonly generation: number;
  readonly digest: Uint8Array;
}

/** What is to be done, one after the other, in the order of the log. */
type Job =
  | { type: "chunk"; sealed: Sealed }
  | { type: "snapshot"; state: StateAtSeal }
  | { type: "remove"; chunk: number }
  | { type: "rewrite"; chunk: number; generation: number; firsts: ReadonlyMap<string, number> };

/**
 * Writes what was sealed, off the way of acknowledgements: first the chunk, then the state behind the seal, then it lets
 * go of the memory and the journal that held the same. One job at a time, in slices, so the server goes on answering.
 *
 * 1. memory lets go of messages only when their chunk is durable
 * 2. the journal lets go of entries only when their chunk and two snapshots behind them are durable
 * 3. a chunk that is there already counts as written only when it is the one that was sealed, and sound
 * 4. a chunk is removed only after the entry that emptied it is committed, and after it was written
 */
export class Sealer {
  readonly #clock: Clock;
  readonly #group: GroupId;
  readonly #state: GroupState;
  readonly #memory: MemoryLog;
  readonly #chunks: ChunkStore;
  readonly #disk: Disk;
  readonly #owner: SnapshotOwner;
  readonly #journal: () => Journal;
  readonly #onReleased: () => void;
  readonly #onMade: (made: Made) => void;
  readonly #onFailed: (cause: unknown) => void;
  readonly #onStranger: (stranger: Stranger) => void;
  readonly #jobs: Job[] = [];
  /** The newest durable snapshot. The journal is kept back to the one before it: a damaged snapshot costs nothing. */
  #snapshotIndex: number;
  readonly #chunkBytes: number;
  readonly #builder: ChunkBuilder | undefined;
  #working: Promise<void> | null = null;
  /** The disk was full: the job waits for `again`. */
  #waits = false;
  #isFull = false;
  /** Chunks of waiting jobs that were removed already, to make room. */
  readonly #removed = new Set<number>();

  constructor(options: {
    clock: Clock;
    group: GroupId;
    state: GroupState;
    memory: MemoryLog;
    chunks: ChunkStore;
    disk: Disk;
    owner: SnapshotOwner;
    journal: () => Journal;
    snapshotIndex: number;
    chunkBytes: number;
    builder: ChunkBuilder | undefined;
    /** The journal was told to let go of entries. */
    onReleased: () => void;
    /** A snapshot or a chunk is durable; the digest is the same on every server that made the same. */
    onMade: (made: Made) => void;
    onFailed: (cause: unknown) => void;
    onStranger: (stranger: Stranger) => void;
  }) {
    this.#clock = options.clock;
    this.#group = options.group;
    this.#state = options.state;
    this.#memory = options.memory;
    this.#chunks = options.chunks;
    this.#disk = options.disk;
    this.#owner = options.owner;
    this.#journal = options.journal;
    this.#snapshotIndex = options.snapshotIndex;
    this.#chunkBytes = options.chunkBytes;
    this.#builder = options.builder;
    this.#onReleased = options.onReleased;
    this.#onMade = options.onMade;
    this.#onFailed = options.onFailed;
    this.#onStranger = options.onStranger;
  }

  /** The entry behind which the newest durable snapshot was taken; 0 = there is none. */
  get snapshotIndex(): number {
    return this.#snapshotIndex;
  }

  /** Chunks and snapshots that wait to be written. */
  get backlog(): number {
    return this.#jobs.length;
  }

  sealed(sealed: Sealed): void {
    this.#jobs.push({ type: "chunk", sealed });
    this.#work();
  }

  /** A seal was applied, and nothing behind it yet. */
  atSeal(): void {
    const { appliedIndex, appliedTerm } = this.#state;
    const chunk = this.#state.lastChunk;
    const mark = this.#journal().appended;
    const state = { index: appliedIndex, term: appliedTerm, mark, chunk, cut: this.#state.cut() };
    this.#jobs.push({ type: "snapshot", state });
    this.#work();
  }

  chunkEmpty(chunk: number): void {
    this.#jobs.push({ type: "remove", chunk });
    if (this.#isFull && this.#working === null) this.#working = this.#removeEarly().finally(() => this.#worked());
    else this.#work();
  }

  /** What every room keeps is noted now, at this place of the log: all servers write the same. */
  rewrite(chunk: number, generation: number): void {
    const firsts = new Map<string, number>();
    for (const room of this.#state.rooms()) firsts.set(room.name, room.first);
    this.#jobs.push({ type: "rewrite", chunk, generation, firsts });
    this.#work();
  }

  /** There may be space again. */
  again(): void {
    this.#waits = false;
    this.#isFull = false;
    this.#removed.clear();
    this.#work();
  }

  /** Settles when all that waits is done, or can't be done now. */
  async idle(): Promise<void> {
    while (this.#working !== null) await this.#working;
  }

  /** Begins nothing more. */
  halt(): void {
    this.#waits = true;
  }

  /** Finishes the file that is being written, and begins no other: what waits is found again in the journal. */
  async stop(): Promise<void> {
    this.#waits = true;
    this.#isFull = false;
    await this.#working;
  }

  #work(): void {
    if (this.#working !== null || this.#waits || this.#jobs.length === 0) return;
    this.#working = this.#next().finally(() => this.#worked());
  }

  #worked(): void {
    this.#working = null;
    this.#work();
  }

  async #next(): Promise<void> {
    const job = this.#jobs[0]!;
    try {
      await this.#writeCuts();
      await this.#perform(job);
      this.#jobs.shift();
    } catch (cause) {
      // The job stays first: nothing behind it may be done before it. What it is made from is still held.
      this.#waits = true;
      this.#onFailed(cause);
      this.#isFull = cause instanceof Fault && cause.code === "storage_full";
      if (this.#isFull) await this.#removeEarly();
    }
  }

  // What takes space waits for it; what gives some back must not wait behind that. It is removed once more in its turn,
  // for the chunk may still wait to be written.
  async #removeEarly(): Promise<void> {
    try {
      for (const job of this.#jobs) {
        if (job.type !== "remove" || this.#removed.has(job.chunk)) continue;
        await this.#chunks.remove(job.chunk as ChunkNumber);
        this.#removed.add(job.chunk);
      }
    } catch (cause) {
      this.#onFailed(cause);
    }
  }

  async #perform(job: Job): Promise<void> {
    switch (job.type) {
      case "chunk":
        return this.#writeChunk(job.sealed);
      case "snapshot":
        return this.#writeSnapshot(job.state);
      case "remove":
        return this.#chunks.remove(job.chunk as ChunkNumber);
      case "rewrite":
        return this.#rewriteChunk(job.chunk, job.generation, job.firsts);
    }
  }

  // First of all: while a cut is not written, everything that changes costs a copy.
  async #writeCuts(): Promise<void> {
    for (const job of this.#jobs) if (job.type === "snapshot") await this.#sliced(stepsOf(job.state.cut));
  }

  async #writeSnapshot({ index, term, mark, chunk, cut }: StateAtSeal): Promise<void> {
    const journal = this.#journal();
    // A quorum may have the seal before this disk does; a snapshot must not stand beyond the end of the journal.
    while (journal.flushed < mark && !this.#waits) await this.#pause(flushPollMs);
    if (journal.flushed < mark) throw new Fault("unavailable", "the server stopped before a seal was durable here");
    const chain = journal.chainAt(this.#group, index);
    assert(chain !== null, "the journal has let go of a seal whose state is not durable");
    const image = await this.#sliced(
      buildSnapshot(this.#owner, { group: this.#group, index, term, chunk, chain, state: cut.pages() }),
    );
    await publishSnapshot(this.#disk, image);
    // A state ends with its digest.
    this.#onMade({ kind: "snapshot", number: index, generation: snapshotFormat, digest: cut.pages().at(-1)! });
    await this.#sliced(this.#memory.release(index));
    if (this.#snapshotIndex > 0) journal.release(this.#group, this.#snapshotIndex as LogIndex);
    this.#onReleased();
    this.#snapshotIndex = index;
  }

  async #writeChunk(sealed: Sealed): Promise<void> {
    if (sealed.messages > 0) {
      const { chunk, from, to, day, format } = sealed;
      const parts = this.#memory.partsThrough(to).filter((part) => part.from >= from);
      const records = parts.map((part) => part.records());
      const input = new RecordParts(records);
      assert(input.count === sealed.messages, "memory does not hold what the seal counted");
      if (!(await this.#isWritten(sealed, input))) {
        const place = { cluster: this.#owner.cluster, group: this.#group, chunk: chunk as ChunkNumber, generation: 0 };
        const meta: ChunkMeta = { ...place, from: from as LogIndex, to: to as LogIndex, day, format };
        const builder = sealed.bytes < threadBytesMin ? undefined : this.#builder;
        const image: ChunkImage =
          builder === undefined ? await this.#sliced(buildChunk(meta, input)) : await builder.build(meta, records);
        await this.#chunks.publish(image);
        this.#onMade({ kind: "chunk", number: chunk, generation: 0, digest: image.root });
      }
    }
    await this.#sliced(this.#memory.release(sealed.to));
  }

  // A number is no proof: an older journal that was copied over newer chunks, or a disk that lost what it had confirmed,
  // gives it out again, to other messages. Memory lets go of nothing for the sake of a chunk that holds something else.
  async #isWritten(sealed: Sealed, input: RecordParts): Promise<boolean> {
    const chunk = sealed.chunk as ChunkNumber;
    if (!this.#chunks.has(chunk)) return false;
    const what = await this.#strangeness(chunk, sealed, input);
    if (what === null) return true;
    for (const { file, movedTo } of await this.#chunks.setAside(chunk)) this.#onStranger({ file, movedTo, what });
    return false;
  }

  /** What tells the chunk on the disk from the one that was sealed; null if nothing does. */
  async #strangeness(chunk: ChunkNumber, sealed: Sealed, input: RecordParts): Promise<string | null> {
    try {
      const footer = await this.#chunks.footer(chunk);
      const { totals, meta } = footer;
      const difference = sealDifference(sealed, footer);
      if (difference !== null) return difference;
      const last = input.count - 1;
      const firstTs = recordTs(input.bytes(0), input.offset(0));
      const lastTs = recordTs(input.bytes(last), input.offset(last));
      const isOfThen = meta.generation > 0 || (totals.firstTs === firstTs && totals.lastTs === lastTs);
      if (!isOfThen) return `it is from ${totals.firstTs} to ${totals.lastTs}, the log from ${firstTs} to ${lastTs}`;
      return await this.#flaw(chunk);
    } catch (cause) {
      // What it is made from is here, so nothing is lost with it.
      if (cause instanceof ChunkDamage) return cause.message;
      throw cause;
    }
  }

  /** What is damaged in a chunk, all of which is read; null if nothing is. */
  async #flaw(chunk: ChunkNumber): Promise<string | null> {
    const { damage } = await this.#paced(this.#chunks.check(chunk));
    return damage[0]?.what ?? null;
  }

  async #rewriteChunk(chunk: number, generation: number, firsts: ReadonlyMap<string, number>): Promise<void> {
    const number = chunk as ChunkNumber;
    const listed = this.#chunks.list().find((one) => one.chunk === number);
    if (listed === undefined) return;
    if (listed.generation >= generation) {
      // Written before a crash came: what it replaced still has to go.
      await this.#chunks.removeSuperseded(number);
      return;
    }
    const keep = (room: Uint8Array, seq: number): boolean =>
      seq >= (firsts.get(textOf(room, 0, room.length)) ?? Infinity);
    const image = await this.#paced(this.#chunks.rewrite(number, keep));
    await this.#chunks.publish(image);
    this.#onMade({ kind: "chunk", number: chunk, generation, digest: image.root });
    await this.#chunks.removeSuperseded(number);
  }

  async #sliced<T>(work: Generator<void, T>): Promise<T> {
    for (;;) {
      // A turn grows with the load. What seals must get its share of it, or what waits to be sealed grows without end.
      const waiting = this.#memory.unsealedBytes / this.#chunkBytes;
      const until = this.#clock.now() + Math.min(sliceMsMax, Math.max(sliceMs, (waiting - 1) * 8));
      do {
        const step = work.next();
        if (step.done === true) return step.value;
      } while (this.#clock.now() < until);
      await this.#pause();
    }
  }

  /** Work that reads between its steps: those wait for a disk that is not in memory, and others have their turn then. */
  async #paced<T>(work: AsyncGenerator<void, T>): Promise<T> {
    for (let since = this.#clock.now(); ; ) {
      const step = await work.next();
      if (step.done === true) return step.value;
      if (this.#clock.now() - since < sliceMs) continue;
      await this.#pause();
      since = this.#clock.now();
    }
  }

  #pause(forMs = 0): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.after(millis(forMs), resolve);
    });
  }
}

function* stepsOf(cut: StateCut): Generator<void, void> {
  while (!cut.step()) yield;
}
