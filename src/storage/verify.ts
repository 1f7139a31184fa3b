import type { Entry } from "../base/entry.ts";
import { Fault } from "../base/error-codes.ts";
import { type ClusterId, groupId, type GroupId, type Incarnation, type LogIndex } from "../base/ids.ts";
import { defaultLimits } from "../base/limits.ts";
import type { Day } from "../base/units.ts";
import type { ChunkCheck } from "./chunk/check-chunk.ts";
import type { ChunkFooter, ChunkMeta, ChunkNumber } from "./chunk/chunk-layout.ts";
import { historyFolder, parseChunkFileName } from "./chunk/chunk-name.ts";
import { type ChunkStore, openChunkStore } from "./chunk/chunk-store.ts";
import { type SealSaid, sealDifference } from "./chunk/seal-difference.ts";
import type { Damage } from "./damage.ts";
import { DirectoryRefused, type Identity, identityFile, readIdentity, startedFile } from "./data-directory.ts";
import { type Disk, type FileName, fileName, quarantineFolder } from "./disk.ts";
import { type ReadJournal, readJournal } from "./journal/read-journal.ts";
import { journalFolder, parseSegmentFile } from "./journal/segments.ts";
import { NewerFormat } from "./newer-format.ts";
import {
  listSnapshots,
  parseSnapshotFileName,
  readSnapshot,
  type Snapshot,
  snapshotFileName,
  snapshotFolder,
} from "./snapshot-file.ts";

/** What a whole check of a stopped directory found. */
export interface DirectoryReport {
  readonly identity: Identity | null;
  /** Everything that is not as it was written, and every hole between what should join. [] means: all is well. */
  readonly damage: readonly Damage[];
  /** Files that a newer version wrote: whether they are sound can't be told by this one. No damage. */
  readonly newer: readonly { file: FileName; format: number }[];
  /** Traces of a last journal write that was never acknowledged. No damage. */
  readonly torn: { file: FileName; offset: number; length: number } | null;
  readonly totals: DirectoryTotals;
  /** Files in quarantine. */
  readonly quarantined: readonly FileName[];
  /** Files that are not Synod's, or not where Synod would have put them. */
  readonly unknown: readonly FileName[];
}

export interface DirectoryTotals {
  /** In sound chunks. */
  readonly messages: number;
  readonly rooms: number;
  readonly chunks: number;
  readonly days: readonly Day[];
  readonly snapshots: number;
  /** Entries in the journal behind the newest snapshot. */
  readonly entries: number;
  /** The log, over all groups: the first index that chunks hold, and the last one known. 0 = none. */
  readonly firstIndex: number;
  readonly lastIndex: number;
}

export interface VerifyOptions {
  readonly disk: Disk;
  /** As configured for the server. @defaultValue as in base/limits.ts */
  readonly segmentBytes?: number;
  /**
   * Chunks that must be there beside a snapshot and the entries behind it, which come one after another. Retention leaves
   * holes in their numbers, and what is sealed behind the snapshot can be made again from the journal: so who can read a
   * state says what is needed. Without this every hole is listed.
   */
  readonly neededChunks?: (
    snapshot: Snapshot,
    entries: readonly Entry[],
  ) => readonly { chunk: number; generation: number }[];
  /**
   * What the log says of the chunks: the number of the last one it sealed, and those it can tell about. A chunk behind the
   * last, or one that differs from its seal, is of another history. Without this that is not looked at.
   */
  readonly knownChunks?: (snapshot: Snapshot, entries: readonly Entry[]) => KnownChunks;
}

interface KnownChunks {
  readonly last: number;
  readonly sealed: readonly (SealSaid & { chunk: number; generation: number })[];
}

/**
 * Checks every byte of a stopped data directory, and that chunks, snapshots and journal join. Reads only: nothing is
 * repaired, moved or written. A range that the device can't read is listed like any other damage.
 */
export async function verifyDirectory(options: VerifyOptions): Promise<DirectoryReport> {
  const { disk } = options;
  const found = new Findings();
  found.unknown.push(...(await disk.list("")).filter((file) => file !== identityFile && !file.startsWith("lock.")));
  found.quarantined.push(...(await disk.list(quarantineFolder)));
  const identity = await identityOf(disk, found);
  // Without its identity nobody can tell whether a file belongs here.
  if (identity === null) return found.report(null);

  const snapshots = new Map<GroupId, Snapshot | null>();
  for (let number = 0; number < identity.groups; number++) {
    const group = groupId(number);
    snapshots.set(group, await checkSnapshots(disk, identity, group, found));
  }
  const journal = await journalOf(options, identity, snapshots, found);
  const standings: GroupStanding[] = [];
  for (const [group, snapshot] of snapshots) {
    const store = await openChunkStore({ disk, cluster: identity.cluster, group, readOnly: true });
    const entries = snapshot === null ? [] : entriesBehind(journal, group, snapshot.index);
    // A journal that ends too early can't name what came behind: that is said once, of the journal.
    const isWhole = journal !== null && journal.damage.length === 0;
    const said = snapshot === null ? nothingSaid : whatIsSaid(options, { snapshot, entries, isWhole }, found);
    const lastChunkEnd = await checkChunks(store, group, { snapshot, ...said }, found);
    if (group === 0) found.unknown.push(...store.unknownFiles());
    standings.push({ group, snapshot, lastChunkEnd });
  }
  for (const file of await disk.list(snapshotFolder)) {
    const name = parseSnapshotFileName(file);
    if (name === null || name.group >= identity.groups) found.unknown.push(file);
  }
  for (const folder of await disk.folders(historyFolder)) {
    for (const file of await disk.list(`${historyFolder}/${folder}`)) {
      if ((parseChunkFileName(file)?.group ?? 0) >= identity.groups) found.unknown.push(file);
    }
  }
  if (journal !== null) checkJournal(journal, standings, found);
  return found.report(identity);
}

/** What a snapshot and the log behind it say of chunks; undefined: nobody could tell. */
interface Said {
  readonly needed: readonly { chunk: number; generation: number }[] | undefined;
  readonly known: KnownChunks | undefined;
}

const nothingSaid: Said = { needed: undefined, known: undefined };

/** Asks those who can read a state. One that they can't read, as of another format, is told like damage. */
function whatIsSaid(
  options: VerifyOptions,
  of: { snapshot: Snapshot; entries: readonly Entry[]; isWhole: boolean },
  found: Findings,
): Said {
  const { snapshot, entries, isWhole } = of;
  try {
    const needed = options.neededChunks?.(snapshot, entries);
    return { needed, known: isWhole ? options.knownChunks?.(snapshot, entries) : undefined };
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    found.add(snapshotFileName(snapshot.group, snapshot.index), `${fault.message} (${fault.code})`);
    return nothingSaid;
  }
}

/** Stand for what is missing there: of a file that is gone nobody knows the whole name. */
const history = fileName(historyFolder);
const journalFiles = fileName(journalFolder);

/** Where the sealed part of a group ends. */
interface GroupStanding {
  readonly group: GroupId;
  readonly snapshot: Snapshot | null;
  /** The last entry that a chunk holds; 0 = none. */
  readonly lastChunkEnd: number;
}

class Findings {
  readonly damage: Damage[] = [];
  readonly newer: { file: FileName; format: number }[] = [];
  readonly unknown: FileName[] = [];
  readonly quarantined: FileName[] = [];
  readonly rooms = new Set<string>();
  readonly days = new Set<Day>();
  torn: DirectoryReport["torn"] = null;
  messages = 0;
  chunks = 0;
  snapshots = 0;
  entries = 0;
  firstIndex = 0;
  lastIndex = 0;

  add(file: FileName, what: string): void {
    this.damage.push({ file, offset: 0, length: 0, what });
  }

  reach(index: number): void {
    this.lastIndex = Math.max(this.lastIndex, index);
  }

  report(identity: Identity | null): DirectoryReport {
    const { damage, torn, unknown, quarantined, messages, chunks, snapshots, entries, firstIndex, lastIndex } = this;
    const days = [...this.days].sort((a, b) => a - b);
    const totals = { messages, rooms: this.rooms.size, chunks, days, snapshots, entries, firstIndex, lastIndex };
    return { identity, damage, newer: this.newer, torn, totals, quarantined, unknown };
  }
}

async function identityOf(disk: Disk, found: Findings): Promise<Identity | null> {
  try {
    const read = await readIdentity(disk);
    if (read === null) found.add(identityFile, "the file is missing: this is no data directory, or not all of it");
    found.damage.push(...(read?.damage ?? []));
    return read?.identity ?? null;
  } catch (fault) {
    if (!(fault instanceof DirectoryRefused) && !(fault instanceof Fault)) throw fault;
    found.add(identityFile, fault.message);
    return null;
  }
}

/** Checks all snapshots of a group and answers the newest sound one. */
async function checkSnapshots(
  disk: Disk,
  owner: { cluster: ClusterId; incarnation: Incarnation },
  group: GroupId,
  found: Findings,
): Promise<Snapshot | null> {
  let newest: Snapshot | null = null;
  for (const { file, index } of await listSnapshots(disk, group)) {
    try {
      const snapshot = await readSnapshot(disk, owner, { file, group, index });
      if (!("state" in snapshot)) {
        found.damage.push(snapshot);
        continue;
      }
      newest ??= snapshot;
      found.snapshots++;
      found.reach(index);
    } catch (fault) {
      if (fault instanceof NewerFormat) found.newer.push({ file, format: fault.format });
      else if (fault instanceof Fault) found.add(file, fault.message);
      else throw fault;
    }
  }
  return newest;
}

/** Checks all chunks of a group, and that they join. Answers the last log index they hold. */
async function checkChunks(
  store: ChunkStore,
  group: GroupId,
  sealed: Said & { readonly snapshot: Snapshot | null },
  found: Findings,
): Promise<number> {
  const { snapshot, needed, known } = sealed;
  let before: { chunk: number; footer: ChunkFooter | null } | null = null;
  let end = 0;
  for (const { chunk, day, generation, file } of store.list()) {
    const { damage, footer, newer } = await wholeCheck(store, chunk);
    if (newer !== null) found.newer.push({ file: newer.file, format: newer.format });
    found.damage.push(...damage, ...(await store.verifySuperseded(chunk)));
    found.chunks++;
    found.days.add(day);
    if (footer !== null && damage.length === 0) {
      found.messages += footer.totals.messages;
      for await (const row of store.rooms(chunk)) found.rooms.add(`${group}:${new TextDecoder().decode(row.room)}`);
    }
    if (before !== null && chunk !== before.chunk + 1 && needed === undefined) {
      found.add(history, missing(group, before.chunk + 1, chunk - 1));
    }
    if (newer === null && known !== undefined && chunk > known.last) {
      found.add(file, `the log can't name it: the last chunk that it sealed is ${known.last}`);
    }
    if (footer !== null) {
      const { from, to } = footer.meta;
      const seal = known?.sealed.find((one) => one.chunk === chunk);
      // A generation that the log has left behind is told of below, by its number.
      const difference = seal === undefined || seal.generation > generation ? null : sealDifference(seal, footer);
      if (difference !== null) found.add(file, `it is not the chunk that the log names: ${difference}`);
      if (before !== null && before.footer !== null) checkJoin(before.footer.meta, footer.meta, file, found);
      if (found.firstIndex === 0 || from + 1 < found.firstIndex) found.firstIndex = from + 1;
      end = Math.max(end, to);
      found.reach(to);
    }
    const wanted = needed?.find((one) => one.chunk === chunk);
    if (wanted !== undefined && generation < wanted.generation) {
      found.add(
        file,
        `it is generation ${generation}; what was removed since is not removed here: ${wanted.generation} is needed`,
      );
    }
    before = { chunk, footer };
  }
  for (const { chunk } of needed ?? []) {
    if (!store.has(chunk as ChunkNumber)) found.add(history, missing(group, chunk, chunk));
  }
  if (needed === undefined && snapshot !== null && snapshot.chunk > (before?.chunk ?? 0)) {
    found.add(history, missing(group, (before?.chunk ?? 0) + 1, snapshot.chunk));
  }
  return end;
}

function checkJoin(before: ChunkMeta, meta: ChunkMeta, file: FileName, found: Findings): void {
  if (meta.chunk === before.chunk + 1 ? meta.from !== before.to : meta.from < before.to) {
    found.add(file, `it begins behind entry ${meta.from}, the chunk before it ends with ${before.to}`);
  }
  if (meta.day < before.day) found.add(file, "its day is before that of the chunk before it");
}

function missing(group: GroupId, first: number, last: number): string {
  return first === last
    ? `chunk ${first} of group ${group} is missing`
    : `chunks ${first} to ${last} of group ${group} are missing`;
}

async function wholeCheck(store: ChunkStore, chunk: ChunkNumber): Promise<ChunkCheck> {
  const steps = store.check(chunk);
  for (;;) {
    const step = await steps.next();
    if (step.done === true) return step.value;
  }
}

/** Reads the journal with its own recovery scan; null when it can't be read at all. */
async function journalOf(
  options: VerifyOptions,
  identity: Identity,
  snapshots: ReadonlyMap<GroupId, Snapshot | null>,
  found: Findings,
): Promise<ReadJournal | null> {
  const { disk } = options;
  for (const file of await disk.list(journalFolder)) if (parseSegmentFile(file) === null) found.unknown.push(file);
  const settings = { segmentBytes: options.segmentBytes ?? defaultLimits.segmentBytes };
  const from = new Map<GroupId, LogIndex>();
  for (const [group, snapshot] of snapshots) if (snapshot !== null) from.set(group, snapshot.index);
  try {
    const { cluster, incarnation } = identity;
    const expected = await hadJournal(disk, snapshots);
    return await readJournal({ disk, cluster, incarnation, settings, from, expected, acceptLoss: false });
  } catch (fault) {
    if (!(fault instanceof Fault)) throw fault;
    found.add(journalFiles, fault.message);
    return null;
  }
}

/** Whether a start would miss a journal here. One that broke off right behind the identity has not made it yet. */
async function hadJournal(disk: Disk, snapshots: ReadonlyMap<GroupId, Snapshot | null>): Promise<boolean> {
  if ((await disk.sizeOf(startedFile)) !== null) return true;
  return [...snapshots.values()].some((one) => one !== null) || (await disk.folders(historyFolder)).length > 0;
}

/** The entries behind `index`, as far as they come one after another. */
function entriesBehind(journal: ReadJournal | null, group: GroupId, index: LogIndex): Entry[] {
  const entries: Entry[] = [];
  for (const entry of journal?.groups.get(group)?.entries ?? []) {
    if (entry.index <= index) continue;
    if (entry.index !== index + entries.length + 1) break;
    entries.push(entry);
  }
  return entries;
}

/** Tells what is damaged in the journal, and checks that it goes on where snapshots and chunks end. */
function checkJournal(journal: ReadJournal, standings: readonly GroupStanding[], found: Findings): void {
  found.torn = journal.torn;
  for (const { file, offset, length, what, groups } of journal.damage) {
    const hidden = groups.map(
      ({ group, from, through }) => `entries of group ${group} from ${from} to ${through ?? "the end"}`,
    );
    const more = hidden.length === 0 ? "" : `; it may hide ${hidden.join(", ")}`;
    found.damage.push({ file, offset, length, what: what + more });
  }
  for (const { group, snapshot, lastChunkEnd } of standings) {
    found.entries += journal.groups.get(group)?.entries.length ?? 0;
    const last = Math.max(0, ...journal.live.map((segment) => segment.highest.get(group) ?? 0));
    found.reach(last);
    const sealedEnd = Math.max(lastChunkEnd, snapshot?.index ?? 0);
    // Whatever was sealed was in the journal first, or the journal was told to go on behind it: one that ends before it is
    // an older copy.
    if (journal.damage.length === 0 && last < sealedEnd) {
      found.add(
        journalFiles,
        `the journal of group ${group} ends with entry ${last}, what is sealed ends with ${sealedEnd}`,
      );
    }
  }
}
