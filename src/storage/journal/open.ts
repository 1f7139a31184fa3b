import { assert } from "../../base/assert.ts";
import { equalBytes } from "../../base/compare-bytes.ts";
import type { Clock } from "../../base/clock.ts";
import type { ClusterId, GroupId, Incarnation, LogIndex, Mark } from "../../base/ids.ts";
import type { Random } from "../../base/random.ts";
import { DiskFault, fileName, quarantineFolder } from "../disk.ts";
import type { Disk, FileName } from "../disk.ts";
import { ChainLog } from "./chain-log.ts";
import { EntryPlaces } from "./entry-places.ts";
import { copyForward } from "./copy-forward.ts";
import type { Journal, JournalSettings } from "./journal.ts";
import type { GroupStart } from "./journal-group.ts";
import { JournalWriter } from "./journal-writer.ts";
import type { JournalStart } from "./journal-writer.ts";
import { baseFlag, batchLengthMax, quarantineFlag, sectorBytes } from "./layout.ts";
import { type FoundEnd, mendTail } from "./mend-tail.ts";
import { readJournal } from "./read-journal.ts";
import type { ReadJournal } from "./read-journal.ts";
import type { Damage, RecoveredGroup, ReplayedGroup } from "./replay.ts";
import { SegmentPool } from "./segments.ts";
import { UnusableJournal } from "./unusable-journal.ts";

export interface JournalOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly cluster: ClusterId;
  readonly incarnation: Incarnation;
  readonly settings: JournalSettings;
  /** Up to where each group's entries are durable elsewhere. A group that is left out has none. */
  readonly from: ReadonlyMap<GroupId, LogIndex>;
  /** Move what is damaged to quarantine and go on without it. */
  readonly acceptLoss: boolean;
  /** Move all segments to quarantine, sound ones too: a taken snapshot stands for what is in them. @defaultValue false */
  readonly setAside?: boolean;
  /**
   * Groups that go on from a snapshot that another server made, and the chain of the log at its place: what the journal has
   * of them goes on behind it if it is of that log, and is given up if it is of another branch or ends before.
   * @defaultValue none
   */
  readonly taken?: ReadonlyMap<GroupId, { readonly index: LogIndex; readonly chain: Uint8Array }>;
  /**
   * The journal of this incarnation was opened before, so that finding none is damage. Else one is made.
   * @defaultValue false
   */
  readonly expected?: boolean;
  /**
   * Asked once all is read and before anything is changed, when nothing is damaged or the loss is accepted. `false` leaves
   * the disk as it is. @defaultValue yes
   */
  readonly approve?: (groups: OpenedJournal["groups"]) => boolean;
  /** Told once for each settled batch, with the highest durable mark. */
  onSettled?(): void;
  onFlushed(flushed: Mark): void;
  /** Told at most once; after it nothing is ever reported flushed. */
  onFailed(cause: Error): void;
}

export interface OpenedJournal {
  /** Not usable when there is damage and the loss was not accepted, or `approve` said no: every append asserts. */
  readonly journal: Journal;
  readonly groups: Map<GroupId, RecoveredGroup>;
  /** What is damaged; with `acceptLoss`, what was moved aside. */
  readonly damage: Damage[];
  /** Traces of a last batch that was never settled and has been cut. */
  readonly torn: { file: FileName; offset: number; length: number } | null;
  /** The last stop was in good order. */
  readonly clean: boolean;
}

/**
 * Opens the journal of a data directory, or makes it. Settles when everything that was recovered is durable: after an
 * unclean stop it has been copied to a fresh segment, because what the page cache shows may not be on the disk, and
 * because nothing is ever appended after a cut; on a disk without space for all of it, its end (mend-tail.ts). Can be
 * interrupted anywhere and repeated.
 *
 * With damage and without `acceptLoss`, and without approval, nothing on the disk is touched. Rejects with a `Fault` when the files belong to
 * another cluster or incarnation or to a newer version (the disk is not touched either), and with a `DiskFault`.
 */
export async function openJournal(options: JournalOptions): Promise<OpenedJournal> {
  checkSettings(options.settings);
  const { disk, acceptLoss } = options;
  const read = await readJournal(options);
  const groups = joined(read.groups, options.taken ?? new Map<GroupId, never>());
  // What is given up must not come back: it is not copied to the fresh segment.
  const clean = read.clean && groups === read.groups && options.setAside !== true;
  const found = { ...read, groups, clean };
  const { damage, torn } = found;
  if ((damage.length > 0 && !acceptLoss) || options.approve?.(found.groups) === false) {
    return { journal: new UnusableJournal(), groups: found.groups, damage, torn, clean: false };
  }
  const start = clean ? await continueAfter(options, found) : await startAfresh(options, found);
  await quarantine(disk, start.quarantined);
  const { pool } = start;
  const journal = new JournalWriter({ ...options, pool }, start);
  for (const { file } of start.retired) pool.retireSoon(file);
  return { journal, groups: found.groups, damage, torn, clean };
}

/** The groups' logs, where a taken snapshot does not stand in them begun anew behind it. The same map when all do. */
function joined(
  groups: Map<GroupId, ReplayedGroup>,
  taken: NonNullable<JournalOptions["taken"]>,
): Map<GroupId, ReplayedGroup> {
  let changed = groups;
  for (const [id, { index, chain }] of taken) {
    const group = groups.get(id);
    const here = group === undefined ? null : chainIn(group, index);
    if (here !== null && equalBytes(here, chain)) continue;
    if (changed === groups) changed = new Map(groups);
    const places = new EntryPlaces(index);
    const empty = { entries: [], last: index, chainBefore: chain, chains: [], places, voteSegment: 0, chainSegment: 0 };
    changed.set(id, { vote: group?.vote ?? null, ...empty });
  }
  return changed;
}

/** The chain of a group's log at an entry; null when the journal does not know it. */
function chainIn({ entries, last, chainBefore, chains }: ReplayedGroup, index: LogIndex): Uint8Array | null {
  const before = entries.length === 0 ? last : entries[0]!.index - 1;
  return index === before ? chainBefore : (chains[index - before - 1] ?? null);
}

interface Start extends JournalStart {
  readonly pool: SegmentPool;
  readonly retired: readonly { file: FileName; number: number }[];
  readonly quarantined: readonly FileName[];
}

/** After a stop in good order: the log goes on behind the mark. */
async function continueAfter(options: JournalOptions, found: ReadJournal): Promise<Start> {
  const { tail } = found;
  assert(tail !== null, "a journal without a tail is not clean");
  // The process may have been killed while the mark was on its way, and what the page cache shows is not yet durable:
  // it is written again, before anything is written behind it.
  await options.disk.writeDurable(tail.segment.file, tail.mark.offset, tail.mark.bytes);
  return { ...tail, ...asFound(options, found), pool: await poolOf(options, found) };
}

/** The segments stay what they are. */
function asFound(
  options: JournalOptions,
  found: ReadJournal,
): Pick<Start, "groups" | "live" | "retired" | "quarantined"> {
  const groups = new Map<GroupId, GroupStart>();
  for (const [id, group] of found.groups) groups.set(id, startOf(group, options.from.get(id), group));
  return { live: found.live, groups, retired: found.obsolete, quarantined: found.quarantined };
}

/** After anything else, and for a new journal. */
async function startAfresh(options: JournalOptions, found: ReadJournal): Promise<Start> {
  try {
    return await copyAll(options, found);
  } catch (fault) {
    const isFull = fault instanceof DiskFault && fault.kind === "full";
    if (!isFull || found.end === null || options.setAside === true) throw fault;
    // The attempt has given segments other names.
    const again = await readJournal(options);
    const { end } = again;
    // What a taken snapshot gives up must not stay.
    const isWhole = joined(again.groups, options.taken ?? new Map<GroupId, never>()) === again.groups;
    if (end === null || !isWhole || end.segment.segmentBytes !== options.settings.segmentBytes) throw fault;
    return await mendEnd(options, again, end);
  }
}

/** Where there is no space for a copy of all: what stands in the older segments stays there. */
async function mendEnd(options: JournalOptions, found: ReadJournal, end: FoundEnd): Promise<Start> {
  const pool = await poolOf(options, found);
  const mended = await mendTail({ disk: options.disk, pool, end });
  return { ...mended, ...asFound(options, found), pool };
}

/** With what a copy, that was broken off behind its end, has not given back yet: there may be no other segment. */
async function poolOf(options: JournalOptions, { spares, copied }: ReadJournal): Promise<SegmentPool> {
  const pool = new SegmentPool({ ...options, ...options.settings }, spares);
  for (const { file } of copied) await pool.retire(file);
  return pool;
}

/** What is alive goes to a fresh segment, and the others are given back. */
async function copyAll(options: JournalOptions, found: ReadJournal): Promise<Start> {
  const lossy = found.damage.length > 0 || options.setAside === true;
  const number = found.highestNumber + 1;
  // Also for what an earlier start, that was broken off, has not moved aside yet: this copy stands for that as well.
  const isOwed = lossy || found.quarantined.length > 0;
  const flags = baseFlag | (isOwed ? quarantineFlag : 0);
  const pool = new SegmentPool({ ...options, ...options.settings }, found.spares);
  const copy = await copyForward({
    ...options,
    pool,
    groups: found.groups,
    number,
    flags,
    lastNumber: found.lastNumber,
  });
  const groups = new Map<GroupId, GroupStart>();
  for (const [id, group] of found.groups) {
    const places = { voteSegment: copy.voteSegments.get(id) ?? 0, chainSegment: copy.chainSegments.get(id) ?? 0 };
    const copied = { chains: copy.chains.get(id)!, places: copy.places.get(id)! };
    groups.set(id, { ...startOf(group, options.from.get(id), places), ...copied });
  }
  // Not before the new copy counts. What is older than damage is kept with it.
  const older = [...found.copied, ...found.obsolete, ...found.read];
  return {
    ...copy,
    pool,
    groups,
    retired: lossy ? [] : older,
    quarantined: lossy ? [...found.quarantined, ...older.map(({ file }) => file)] : found.quarantined,
  };
}

function startOf(
  group: ReplayedGroup,
  from: LogIndex | undefined,
  places: { voteSegment: number; chainSegment: number },
): GroupStart {
  const first = group.entries[0];
  const before = first === undefined ? group.last : first.index - 1;
  const chains = new ChainLog(before, group.chainBefore);
  for (const [at, chain] of group.chains.entries()) chains.push(before + 1 + at, chain);
  // Releasing starts from here; what the caller says is durable elsewhere is released once the journal is open.
  const released = Math.min(from ?? 0, before, group.last) as LogIndex;
  const { voteSegment, chainSegment } = places;
  return { vote: group.vote, last: group.last, released, chains, places: group.places, voteSegment, chainSegment };
}

/** Never deletes: what is damaged is kept under another name for whoever wants to look at it. */
async function quarantine(disk: Disk, files: readonly FileName[]): Promise<void> {
  if (files.length === 0) return;
  const taken = new Set(await disk.list(quarantineFolder));
  for (const file of files) {
    const plain = `${quarantineFolder}/${file.replace("/", "-")}`;
    let name = fileName(plain);
    for (let copy = 2; taken.has(name); copy++) name = fileName(`${plain}.${copy}`);
    taken.add(name);
    await disk.rename(file, name);
  }
}

function checkSettings(settings: JournalSettings): void {
  const { segmentBytes, batchBytesMax, flushAfterMs, flushAfterBytes } = settings;
  assert(segmentBytes % sectorBytes === 0 && segmentBytes >= 4 * sectorBytes, "a segment is whole sectors, at least 4");
  assert(
    batchBytesMax > 0 && batchBytesMax + sectorBytes <= batchLengthMax(segmentBytes),
    "a batch must fit a segment",
  );
  assert(
    flushAfterBytes === 0 || flushAfterMs > 0,
    "flushAfterBytes needs flushAfterMs, or the last messages would wait",
  );
}
