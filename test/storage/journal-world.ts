import { expect } from "vitest";
import type { Clock, Timer } from "../../src/base/clock.ts";
import { entryTypes } from "../../src/base/entry.ts";
import type { Entry } from "../../src/base/entry.ts";
import { groupId, logIndex, term } from "../../src/base/ids.ts";
import type { ClusterId, GroupId, Incarnation, LogIndex, Mark } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { Random } from "../../src/base/random.ts";
import { day, millis, timestamp } from "../../src/base/units.ts";
import type { Millis, Timestamp } from "../../src/base/units.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import type { CrashMode } from "../../src/sim/crash-modes.ts";
import { DiskFault, openDisk } from "../../src/storage/disk.ts";
import type { Journal, JournalSettings } from "../../src/storage/journal/journal.ts";
import { openJournal } from "../../src/storage/journal/open.ts";
import type { OpenedJournal } from "../../src/storage/journal/open.ts";
import type { RecoveredGroup } from "../../src/storage/journal/replay.ts";
import type { GroupVote } from "../../src/storage/journal/records.ts";

export const cluster = "0123456789abcdef0123456789abcdef" as ClusterId;
export const incarnation = "fedcba9876543210fedcba9876543210" as Incarnation;

/** Segments so small that everything that is rare in production happens all the time. */
export const tinySettings: JournalSettings = {
  segmentBytes: 4096,
  batchBytesMax: 1024,
  flushAfterMs: 0,
  flushAfterBytes: 0,
  markAfterMs: 20,
  spareSegments: 2,
};

/** Time that stands still until it is moved; deferred tasks run at the end of the current microtask. */
export class StillClock implements Clock {
  #now = 0;
  #timers: { at: number; task: () => void }[] = [];

  now(): Millis {
    return millis(this.#now);
  }

  wall(): Timestamp {
    return timestamp(1_700_000_000_000 + this.#now);
  }

  after(delay: Millis, task: () => void): Timer {
    const timer = { at: this.#now + delay, task };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((one) => one !== timer);
      },
    };
  }

  defer(task: () => void): void {
    queueMicrotask(task);
  }

  get timers(): number {
    return this.#timers.length;
  }

  async advance(byMs: number): Promise<void> {
    this.#now += byMs;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= this.#now);
      if (due.length === 0) break;
      this.#timers = this.#timers.filter((timer) => timer.at > this.#now);
      for (const timer of due) timer.task();
      await quiet();
    }
    await quiet();
  }
}

/** The journal reported a failed flush: the process stops, as the server does. */
export class ProcessEnded extends Error {}

/** Nobody keeps the way to settle it. */
export const never = new Promise<never>(() => {
  return;
});

/** Until every promise that can settle without time has settled. */
export function quiet(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

type Operation =
  | { kind: "entry"; entry: Entry; mark: number }
  | { kind: "vote"; group: GroupId; vote: GroupVote; mark: number };

/**
 * One server's journal through many lives, with a model of what it was told. After each crash what is recovered must be
 * the state after some prefix of the operations, no shorter than what was reported flushed; from then on that prefix is
 * promised.
 */
export class JournalWorld {
  readonly fileSystem: SimFileSystem;
  clock = new StillClock();
  settings: JournalSettings;
  /** What a snapshot and chunks hold elsewhere. */
  readonly from = new Map<GroupId, LogIndex>();
  opened: OpenedJournal | null = null;
  flushed = 0;
  /** What the owner does when a write has settled. */
  settled: () => void = () => undefined;
  failures: Error[] = [];
  readonly random: Random;
  /** Snapshots that another server made, and the chain of the log there. */
  readonly taken = new Map<GroupId, { index: LogIndex; chain: Uint8Array }>();
  /** Counts processes: what an older one still says is not heard. */
  #life = 0;
  #operations: Operation[] = [];
  /** Operations that survive whatever happens. */
  #promised = 0;

  constructor(options: { seed?: number; settings?: Partial<JournalSettings>; fileSystem?: SimFileSystem } = {}) {
    this.random = seededRandom(options.seed ?? 1);
    this.fileSystem = options.fileSystem ?? new SimFileSystem({ random: seededRandom((options.seed ?? 1) + 99) });
    this.settings = { ...tinySettings, ...options.settings };
  }

  get journal(): Journal {
    return this.opened!.journal;
  }

  /** Opens the journal and holds it against the model. False when the process died on the way. */
  async open(options: { clock?: StillClock } = {}): Promise<boolean> {
    this.clock = options.clock ?? new StillClock();
    this.flushed = 0;
    this.failures = [];
    this.#life++;
    const life = this.#life;
    const opening = openJournal({
      disk: openDisk(this.fileSystem.attach()),
      clock: this.clock,
      random: this.random,
      cluster,
      incarnation,
      settings: this.settings,
      from: new Map(this.from),
      taken: this.taken,
      acceptLoss: false,
      onSettled: () => this.settled(),
      onFlushed: (mark: Mark) => {
        if (life !== this.#life || !this.fileSystem.running) return;
        expect(mark).toBeGreaterThan(this.flushed);
        expect(this.failures.length).toBe(0);
        this.flushed = mark;
      },
      onFailed: (cause: Error) => {
        if (life === this.#life) this.failures.push(cause);
      },
    });
    const stopped = this.fileSystem.whenStopped().then(() => null);
    this.opened = await Promise.race([opening, stopped]);
    if (this.opened === null) return false;
    await this.#sameLife(life);
    expect(this.opened.damage).toEqual([]);
    this.compare(this.opened.groups);
    return true;
  }

  /** What was recovered is one of the states that may be; from here on it is promised. */
  compare(groups: ReadonlyMap<GroupId, RecoveredGroup>): void {
    for (let count = this.#operations.length; count >= this.#promised; count--) {
      if (sameState(groups, this.#stateAfter(count), this.from)) {
        this.#operations.length = count;
        this.#promised = count;
        return;
      }
    }
    expect(plain(groups, this.from)).toEqual(plain(this.#stateAfter(this.#promised), this.from));
    expect.unreachable("no state between the flushed and the appended one was recovered");
  }

  /** Everything appended so far is promised once it has been reported flushed. */
  notice(): void {
    while (this.#promised < this.#operations.length) {
      if (this.#operations[this.#promised]!.mark > this.flushed) break;
      this.#promised++;
    }
  }

  entry(group: number, index: number, options: { term?: number; bytes?: number } = {}): void {
    const entry: Entry = {
      group: groupId(group),
      index: logIndex(index),
      term: term(options.term ?? 1),
      type: entryTypes.commands,
      ts: timestamp(1_700_000_000_000 + this.#operations.length),
      day: day(20261123),
      payload: this.random.bytes(options.bytes ?? 40),
    };
    this.#operations.push({ kind: "entry", entry, mark: this.journal.appendEntry(entry) });
  }

  vote(group: number, inTerm: number, votedFor: string): void {
    const vote = { term: term(inTerm), votedFor };
    const id = groupId(group);
    this.#operations.push({ kind: "vote", group: id, vote, mark: this.journal.appendVote(id, vote) });
  }

  /**
   * The snapshot and the chunks up to there are durable: the caller knows it first, then the journal is told. What is
   * not flushed cannot be in them.
   */
  release(group: number, upTo: number): void {
    const flushed = this.#stateAfter(this.#promised).get(groupId(group))?.entries.at(-1)?.index ?? 0;
    const through = Math.min(upTo, flushed);
    if (through <= this.released(group)) return;
    this.from.set(groupId(group), logIndex(through));
    this.journal.release(groupId(group), logIndex(through));
  }

  /** The turn ends, and what can be written is written. */
  async settle(): Promise<void> {
    const life = this.#life;
    await quiet();
    await this.#sameLife(life);
  }

  async advance(byMs: number): Promise<void> {
    const life = this.#life;
    await this.clock.advance(byMs);
    await this.#sameLife(life);
  }

  async close(): Promise<void> {
    const life = this.#life;
    await this.journal.close();
    await this.#sameLife(life);
  }

  /** The process dies, with what this kind of crash leaves. */
  crash(random: Random, mode: CrashMode): void {
    this.#life++;
    this.fileSystem.crash(random, mode);
  }

  /** A story does not go on after the death of its process. */
  async #sameLife(life: number): Promise<void> {
    if (life !== this.#life || !this.fileSystem.running) await never;
    this.notice();
    if (this.failures.length > 0) throw new ProcessEnded();
  }

  /**
   * Reads entries of a group while `meanwhile` happens, and holds what was read against the model: what the log has in
   * the end, as far as it goes; nothing only if the first of them is not readable any more.
   */
  async read(
    group: number,
    first: number,
    options: { last?: number; bytesMax?: number; meanwhile?: () => void } = {},
  ): Promise<readonly Entry[] | null> {
    const id = groupId(group);
    const { last = Number.MAX_SAFE_INTEGER, bytesMax = Number.MAX_SAFE_INTEGER } = options;
    const life = this.#life;
    const expected = (): Entry[] => {
      const kept = this.#stateAfter(this.#operations.length).get(id)?.entries ?? [];
      return kept.filter((entry) => entry.index >= first && entry.index <= last);
    };
    const before = expected();
    const reading = this.journal.read(id, logIndex(first), logIndex(last), bytesMax);
    options.meanwhile?.();
    const read = await reading.catch((cause: unknown) => {
      // A disk that fails is one of the things that happen; bytes that are not what was written are not.
      if (!(cause instanceof DiskFault)) throw cause;
      return "failed" as const;
    });
    await this.#sameLife(life);
    if (read === "failed") return null;
    const after = expected();
    expect(this.journal.baseOf(id)).toBeLessThanOrEqual(this.released(group));
    if (read === null) {
      const isGone = first <= this.journal.baseOf(id) || after.length === 0;
      expect(isGone || options.meanwhile !== undefined).toBe(true);
      return null;
    }
    // It may have been done before anything else happened, but it is of one moment.
    const log = isPrefix(read, before) ? before : after;
    expect(read).toEqual(log.slice(0, read.length));
    expect(read.length).toBeGreaterThan(0);
    const bytes = read.reduce((sum, { payload }) => sum + payload.length, 0);
    expect(read.length === 1 || bytes <= bytesMax).toBe(true);
    const next = log[read.length];
    if (next !== undefined && options.meanwhile === undefined)
      expect(bytes + next.payload.length).toBeGreaterThan(bytesMax);
    return read;
  }

  /** A snapshot of another server at `index` is published here; the log is the one that has this chain there. */
  take(group: number, index: number, chain: Uint8Array): void {
    const id = groupId(group);
    const own = this.journal.chainAt(id, logIndex(index));
    this.taken.set(id, { index: logIndex(index), chain });
    this.from.set(id, logIndex(index));
    if (own !== null && Buffer.compare(own, chain) === 0) return;
    this.#operations = this.#operations.filter(
      ({ kind, ...one }) => kind === "vote" || !("entry" in one) || one.entry.group !== id,
    );
    this.#promised = this.#operations.length;
  }

  lastIndex(group: number): number {
    const state = this.#stateAfter(this.#operations.length).get(groupId(group));
    return Math.max(state?.entries.at(-1)?.index ?? 0, this.released(group));
  }

  released(group: number): number {
    return this.from.get(groupId(group)) ?? 0;
  }

  get operations(): number {
    return this.#operations.length;
  }

  get promised(): number {
    return this.#promised;
  }

  #stateAfter(count: number): Map<GroupId, RecoveredGroup> {
    const groups = new Map<GroupId, { vote: GroupVote | null; entries: Entry[] }>();
    for (const operation of this.#operations.slice(0, count)) {
      const id = operation.kind === "entry" ? operation.entry.group : operation.group;
      let group = groups.get(id);
      if (group === undefined) groups.set(id, (group = { vote: null, entries: [] }));
      if (operation.kind === "vote") {
        group.vote = operation.vote;
      } else {
        while (group.entries.length > 0 && group.entries.at(-1)!.index >= operation.entry.index) group.entries.pop();
        group.entries.push(operation.entry);
      }
    }
    return groups;
  }
}

function isPrefix(read: readonly Entry[], log: readonly Entry[]): boolean {
  return read.every(({ index, ts, payload }, at) => {
    const entry = log[at];
    return entry?.index === index && entry.ts === ts && Buffer.compare(entry.payload, payload) === 0;
  });
}

function sameState(
  found: ReadonlyMap<GroupId, RecoveredGroup>,
  expected: ReadonlyMap<GroupId, RecoveredGroup>,
  from: ReadonlyMap<GroupId, LogIndex>,
): boolean {
  return JSON.stringify(plain(found, from)) === JSON.stringify(plain(expected, from));
}

function plain(groups: ReadonlyMap<GroupId, RecoveredGroup>, from: ReadonlyMap<GroupId, LogIndex>): unknown[] {
  return [...groups.keys()]
    .sort((a, b) => a - b)
    .map((id) => {
      const { vote, entries } = groups.get(id)!;
      const kept = entries.filter((entry) => entry.index > (from.get(id) ?? 0));
      return {
        id,
        vote,
        entries: kept.map((entry) => ({ ...entry, payload: Buffer.from(entry.payload).toString("hex") })),
      };
    })
    .filter(({ vote, entries }) => vote !== null || entries.length > 0);
}
