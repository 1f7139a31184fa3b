import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { type Entry, entryTypes } from "../base/entry.ts";
import { Fault } from "../base/error-codes.ts";
import {
  type GroupId,
  groupId,
  type LogIndex,
  logIndex,
  type Mark,
  type NodeName,
  type Term,
  term as termOf,
} from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import { day, timestamp } from "../base/units.ts";
import { decodeConfiguration, membersOf } from "../consensus/configuration.ts";
import { rankedCampaigns } from "../consensus/election/campaign-policy.ts";
import { type ReplicaId, replicaId } from "../consensus/replica.ts";
import { defaultGroupSettings } from "../consensus/settings.ts";
import type { LiveChunk } from "../rooms/chunks.ts";
import { GroupState } from "../rooms/group-state.ts";
import type { ChunkImage } from "../storage/chunk/build-chunk.ts";
import type { ChunkBuilder } from "../storage/chunk/chunk-builder.ts";
import {
  type ChunkListing,
  type ChunkStore,
  defaultChunkStoreSettings,
  openChunkStore,
} from "../storage/chunk/chunk-store.ts";
import type { ChunkNumber } from "../storage/chunk/chunk-layout.ts";
import { chunkFileName } from "../storage/chunk/chunk-name.ts";
import type { Damage } from "../storage/damage.ts";
import { lineOwedFile, newbornFile, olderCopyFile, startedFile } from "../storage/data-directory.ts";
import { type Disk, type FileName, fileName } from "../storage/disk.ts";
import type { Journal } from "../storage/journal/journal.ts";
import { NewerFormat } from "../storage/newer-format.ts";
import { quarantine, quarantineFolder } from "../storage/quarantine.ts";
import { type OpenedJournal, openJournal } from "../storage/journal/open.ts";
import { readJournal } from "../storage/journal/read-journal.ts";
import { latestSnapshot, listSnapshots, type Snapshot, type SnapshotOwner } from "../storage/snapshot-file.ts";
import type { Engine, RememberedLog } from "../topology/engine.ts";
import { leaderEngine } from "../topology/leader.ts";
import { calendar } from "./calendar.ts";
import type { Log } from "./log.ts";
import { type Loss, lossLines, lossOf } from "./loss.ts";
import { LogClock } from "./log-clock.ts";
import { neededChunks } from "./needed-chunks.ts";
import type { PeerGround } from "./peers.ts";
import { publishRebuilt, rebuild } from "./rebuild.ts";

/** What a server is started with from below: the disk, time, chance, and whose data it is. */
export interface Ground {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits: Limits;
  readonly node: NodeName;
  readonly owner: SnapshotOwner;
  /** Go on without what is damaged. It is moved aside, and rooms get another line. */
  readonly acceptLoss: boolean;
  /** Rooms that are open to all when the state has to be rebuilt without knowing which were. @defaultValue none */
  readonly openRooms?: ReadonlySet<string>;
  /** The directory is an older copy: numbers given out since are given out again, so rooms get another line. @defaultValue false */
  readonly restored?: boolean;
  /** When a batch of the journal is written; 0 and 0 = at once, as soon as the disk is free. */
  readonly flush: { readonly afterMs: number; readonly afterBytes: number };
  /** Who builds large chunks; left out: this thread does, in slices. */
  readonly chunkBuilder?: ChunkBuilder | undefined;
  /** How other servers are reached; left out: there are none, and none ever comes. */
  readonly peers?: PeerGround | undefined;
  /** The directory was made to join a cluster that others had founded. @defaultValue false */
  readonly joined?: boolean;
  /** Stands before the engine and is asked in its place, for whoever watches it; left out: nobody does. */
  readonly watch?: ((engine: Engine) => Engine) | undefined;
}

/** Everything that was read, and is durable; nothing of it is committed yet. */
export interface Recovered extends Ground {
  readonly state: GroupState;
  readonly journal: Journal;
  readonly chunks: ChunkStore;
  readonly engine: Engine;
  readonly logClock: LogClock;
  readonly self: ReplicaId;
  readonly remembered: RememberedLog;
  readonly snapshotIndex: number;
  /** Numbers may be given out again, to other messages: rooms are to get another line. */
  readonly owesLine: boolean;
}

/** The data is damaged, and only a person may decide to go on without what is missing. */
export class DataDamaged extends Error {
  override readonly name = "DataDamaged";
  readonly damage: readonly Damage[];
  readonly loss: Loss;

  constructor(damage: readonly Damage[], loss: Loss) {
    const lost = lossLines(loss).map((line) => `\n  ${line}`);
    super(
      `the data is damaged in ${damage.length} place(s):\n` +
        damage.map((one) => `  ${placeOf(one)}`).join("\n") +
        "\nRestore these files from a backup, or start once with --accept-loss to go on without them." +
        (lost.length === 0 ? "" : `\nGoing on without them would cost:${lost.join("")}`),
    );
    this.damage = damage;
    this.loss = loss;
  }
}

/**
 * A member of a cluster can't tell any more what it has promised to the others: votes, and entries that count on a quorum
 * only with it. It must not go on under its old name; `anotherLife` (another-life.ts) says what becomes of it.
 */
export class PromisesLost extends Error {
  override readonly name = "PromisesLost";
  readonly damage: readonly Damage[];
  readonly because: "damaged" | "restored";

  constructor(damage: readonly Damage[]) {
    const places = damage.map((one) => `\n  ${placeOf(one)}`).join("");
    super(
      damage.length === 0
        ? "this data directory is an older copy of a member of a cluster, which may have promised more since"
        : `the journal of a member of a cluster is damaged in ${damage.length} place(s):${places}`,
    );
    this.damage = damage;
    this.because = damage.length === 0 ? "restored" : "damaged";
  }
}

function placeOf({ file, offset, length, what }: Damage): string {
  return `${file}${length === 0 ? "" : ` bytes ${offset}…${offset + length}`}: ${what}`;
}

/**
 * Reads what a start needs: the newest sound snapshot, the journal behind it, and the names of the chunks. Never the
 * history: a start costs the same after a year as after a day. Rejects with `DataDamaged`, or, where others rely on this
 * server, with `PromisesLost`, and then nothing was changed.
 */
export async function recover(ground: Ground, listen: Listen): Promise<Recovered> {
  try {
    return await recoverFrom(ground, listen, null);
  } catch (fault) {
    if (!(fault instanceof NewerFormat)) throw fault;
    throw new Fault("unsupported", fault.message, { cause: fault });
  }
}

/** Who is told of the journal. */
interface Listen {
  onSettled?(): void;
  onFlushed(mark: Mark): void;
  onFailed(cause: Error): void;
}

/** `given`: what was lost when the state was rebuilt, just before; null: it was not. */
async function recoverFrom(ground: Ground, listen: Listen, given: readonly Damage[] | null): Promise<Recovered> {
  const { disk, clock, random, limits, owner, node, log } = ground;
  const group: GroupId = groupId(0);
  const sealed = (): Promise<ChunkStore> =>
    openChunkStore({ disk, cluster: owner.cluster, group, settings: defaultChunkStoreSettings });
  let chunks = await sealed();
  await refuseNewer(chunks, chunks.list().slice(-1));
  const found = await latestSnapshot(disk, owner, group);
  const hashSeed = random.whole(0x1_0000_0000);
  const { snapshot } = found;
  const state =
    snapshot === null
      ? GroupState.empty({ group, cluster: owner.cluster, hashSeed })
      : GroupState.restore(snapshot.state, { hashSeed });
  // Their numbers may be given out again, or what they hold be built once more.
  await refuseNewer(chunks, listedBehind(chunks, state.lastChunk));
  const from: LogIndex = state.appliedIndex;
  // A loss is accepted once: what stands in quarantine/ for a missing chunk says that it was.
  const accepted = new Set<string>(await disk.list(quarantineFolder));
  let missing: Damage[] = [];
  // Asked before anything is changed.
  const approve = (groups: OpenedJournal["groups"]): boolean => {
    missing = missingChunks(state.chunks(), chunks, group);
    // What was emptied since the snapshot was taken is not missing: the log behind it says that it went. That is asked
    // only when something is missing, for it applies all of the log once more.
    if (missing.length > 0 && snapshot !== null) {
      const needed = neededChunks(snapshot.state, behind(groups, group, from));
      missing = missingChunks(needed, chunks, group);
    }
    // Others have what is missing here: it is had from them while this server runs.
    missing = ground.peers === undefined ? missing.filter(({ file }) => !accepted.has(acceptedLoss(file))) : [];
    return missing.length === 0 || ground.acceptLoss;
  };
  const isTaken = snapshot?.isTaken === true;
  const isStarted = (await disk.sizeOf(startedFile)) !== null;
  const isNewborn = (await disk.sizeOf(newbornFile)) !== null;
  const open = (kept: LogIndex, acceptLoss: boolean): Promise<OpenedJournal> =>
    openJournal({
      disk,
      clock,
      random,
      cluster: owner.cluster,
      incarnation: owner.incarnation,
      settings: {
        segmentBytes: limits.segmentBytes,
        batchBytesMax: limits.entryBytesMax,
        flushAfterMs: ground.flush.afterMs,
        flushAfterBytes: ground.flush.afterBytes,
        markAfterMs: limits.markAfterMs,
        spareSegments: 2,
      },
      from: new Map([[group, kept]]),
      ...(isTaken ? { taken: new Map([[group, { index: from, chain: snapshot.chain }]]) } : {}),
      acceptLoss,
      setAside: given !== null,
      approve,
      expected: isStarted || (!isNewborn && (snapshot !== null || chunks.list().length > 0)),
      ...listen,
    });
  // The journal is kept back to the snapshot before the newest, also over a start: should the newest turn out damaged, it
  // costs a longer replay. Damage in what only the older one needs is no loss, and need not stop anybody.
  // Behind a snapshot of another server's there may be nothing that joins an older one.
  const older = isTaken ? undefined : (await listSnapshots(disk, group)).find(({ index }) => index < from);
  const back = older?.index ?? from;
  let opened = await open(back, false);
  if (opened.damage.length > 0 && back < from) opened = await open(from, false);
  const isLossy = opened.damage.length > 0 && ground.acceptLoss;
  const isMember = hasOthers(ground, state.configuration, behind(opened.groups, group, from));
  const isOlderCopy = ground.restored === true || (await disk.sizeOf(olderCopyFile)) !== null;
  if (isOlderCopy && isMember) throw new PromisesLost([]);
  // What is damaged may be the very entry that says who else belongs to the group.
  if (opened.damage.length > 0 && (isMember || listsOthers(ground))) {
    if (!isLossy) throw new PromisesLost([...found.damage, ...opened.damage]);
    throw new Fault(
      "unsupported",
      "a member of a cluster can't go on without part of what it has promised to the others: start it without --accept-loss, and it gets from them what it lacks",
    );
  }
  if (isLossy && isWithoutState(snapshot, chunks)) {
    // Of several servers the others have the state, and who belongs to them nobody can tell here.
    if (ground.peers !== undefined) throw new Fault("unsupported", memberAdvice);
    await rebuildState(ground, { group, chunks, damaged: found.damage });
    return recoverFrom(ground, listen, [...found.damage, ...opened.damage]);
  }
  // Before the loss is durable: a start that breaks off in between must find it again, and what it calls for.
  const isLine = (await disk.sizeOf(lineOwedFile)) !== null;
  const owesLine =
    isLine || ground.restored === true || (ground.acceptLoss && opened.damage.length + missing.length > 0);
  if (owesLine && !isLine) await disk.publish(lineOwedFile, []);
  if (isLossy || ground.restored === true) {
    while (await setAside(chunks, state.lastChunk, ground)) chunks = await sealed();
  }
  if (isLossy) {
    opened = await open(from, true);
    const isMoved = (file: FileName): boolean => file.startsWith(`${quarantineFolder}/journal-`) && !accepted.has(file);
    log.warn("journal.aside", { movedTo: (await disk.list(quarantineFolder)).filter(isMoved) });
  }
  const mine = opened.groups.get(group);
  const entries = behind(opened.groups, group, from);
  const damage = [...(given ?? []), ...opened.damage, ...missing];
  if (damage.length > 0 && !ground.acceptLoss) {
    // A damaged snapshot alone costs a longer replay; here it may be why the journal does not join anything.
    const hidden = opened.damage.flatMap((one) => one.groups.filter((range) => range.group === group));
    const entriesBehind = (index: LogIndex): Promise<readonly Entry[]> => readableEntries(ground, group, index);
    const aside = opened.damage.length > 0 ? listedBehind(chunks, state.lastChunk) : [];
    const gone = missingMessages(state, new Set(missing.map(({ file }) => file)));
    const rebuilt = isWithoutState(snapshot, chunks) ? await rebuild(ground, { group, chunks, entriesBehind }) : null;
    const behindRebuilt = rebuilt === null ? aside : listedBehind(chunks, rebuilt.sealedThrough);
    const loss = await lossOf({
      chunks,
      aside: behindRebuilt,
      isWhole: snapshot === null,
      missing: gone,
      entriesBehind,
      hidden: hidden.filter(({ through }) => through === null || through > (rebuilt?.sealedIndex ?? 0)),
      rebuilt: rebuilt?.told ?? null,
    });
    throw new DataDamaged([...found.damage, ...damage], loss);
  }
  for (const snapshotDamage of found.damage) {
    log.error("snapshot.damaged", { ...snapshotDamage, movedTo: await quarantine(disk, snapshotDamage.file) });
  }
  for (const { file } of missing) await disk.publish(acceptedLoss(file), []);
  if (!isStarted) await disk.publish(startedFile, []);
  if (isNewborn) await disk.remove(newbornFile);
  const lastTs = Math.max(state.lastTs, entries.at(-1)?.ts ?? 0);
  const logClock = new LogClock(clock, timestamp(lastTs));
  assert(entries.length === 0 || entries[0]!.index === logIndex(from + 1), "the journal joins the snapshot");
  const self = replicaId(node, owner.incarnation);
  const engine = leaderEngine({
    group,
    self,
    random,
    policy: rankedCampaigns(),
    // The server bounds what it gathers and what others may send it.
    settings: { ...defaultGroupSettings, uncommittedBytesMax: Number.MAX_SAFE_INTEGER },
  });
  const remembered = rememberedLog(ground, state, mine, logClock);
  return {
    ...ground,
    state,
    journal: opened.journal,
    chunks,
    engine: ground.watch?.(engine) ?? engine,
    logClock,
    self,
    remembered,
    snapshotIndex: from,
    owesLine: owesLine || damage.length > 0,
  };
}

const memberAdvice =
  "nobody can tell here any more who belongs to this cluster, so the state can't be rebuilt beside others: start this server with an empty directory, and it gets from them what it lacks";

/** There is no sound state, and there are chunks that tell what can be told without one. */
function isWithoutState(snapshot: Snapshot | null, chunks: ChunkStore): boolean {
  return snapshot === null && chunks.list().length > 0;
}

/**
 * Rebuilds the state, and makes it the newest snapshot. Chunks that it can't go on from go to quarantine before their
 * numbers are given out again. A start that breaks off on the way finds the same damage, and does the rest.
 */
async function rebuildState(
  ground: Ground,
  { group, chunks, damaged }: { group: GroupId; chunks: ChunkStore; damaged: readonly Damage[] },
): Promise<void> {
  const { log } = ground;
  const entriesBehind = async (index: LogIndex): Promise<readonly Entry[]> => {
    const entries = await readableEntries(ground, group, index);
    if (hasOthers(ground, null, entries)) throw new Fault("unsupported", memberAdvice);
    return entries;
  };
  for (const one of damaged) {
    log.error("snapshot.damaged", { ...one, movedTo: await quarantine(ground.disk, one.file) });
  }
  let isClear = false;
  const write = async (image: ChunkImage): Promise<void> => {
    if (!isClear) await setAside(chunks, image.meta.chunk - 1, ground);
    isClear = true;
    await ground.disk.publish(image.file, image.parts);
  };
  const { state, told } = await rebuild(ground, { group, chunks, entriesBehind, write });
  if (!isClear) await setAside(chunks, state.lastChunk, ground);
  await publishRebuilt(ground, { state, group });
  const { rooms, ...counts } = told;
  log.warn("state.rebuilt", { ...counts, rooms: rooms.length, index: state.appliedIndex });
}

/** Whether others rely on what this log says, as far as it can be read. */
function hasOthers(
  { joined = false }: Ground,
  configuration: GroupState["configuration"],
  entries: readonly Entry[],
): boolean {
  const newest = entries.findLast(({ type }) => type === entryTypes.configuration)?.payload ?? configuration?.bytes;
  const members = newest === undefined ? null : decodeConfiguration(newest);
  return joined || (members !== null && membersOf(members).length > 1);
}

/** Whether this server was told of others, who may belong to the group though what can be read does not say so. */
function listsOthers({ peers, node }: Ground): boolean {
  return peers !== undefined && [...peers.addresses.keys()].some((name) => name !== node);
}

/** What the engine goes on from: as much of the log as is here, also what the state holds already. */
function rememberedLog(
  { node, owner, joined = false }: Ground,
  state: GroupState,
  mine: ReturnType<OpenedJournal["groups"]["get"]>,
  logClock: LogClock,
): RememberedLog {
  const all = mine?.entries ?? [];
  const committed = state.appliedIndex;
  const { configuration } = state;
  const first = all[0];
  // Of older entries the first one's term is known, so the log begins behind it; unless who belongs to the group there is
  // known to nobody any more.
  const isOlder = first !== undefined && first.index <= committed && (configuration?.index ?? 0) <= first.index;
  const base = isOlder ? first : { index: committed, term: state.appliedTerm };
  const entries = all.filter(({ index }) => index > base.index);
  const last = entries.at(-1);
  const vote = mine?.vote ?? null;
  const term = Math.max(state.appliedTerm, vote?.term ?? 0, last?.term ?? 0) as Term;
  const ts = logClock.stamp();
  const firstDay = state.lastDay > 0 ? state.lastDay : day(calendar(state.timeZone).dayOf(ts));
  return {
    term,
    votedFor: vote?.term === term ? votedFor(vote.votedFor, replicaId(node, owner.incarnation)) : null,
    baseIndex: base.index,
    baseTerm: termOf(base.term),
    entries,
    committed,
    configuration,
    isJoiner: joined,
    ts,
    day: last?.day ?? firstDay,
    damaged: [],
  };
}

/** A server that was alone wrote its bare name. */
function votedFor(written: string, self: ReplicaId): ReplicaId | null {
  if (written === "") return null;
  return written.includes("#") ? (written as ReplicaId) : self;
}

/** Entries behind `from`, in order. */
function behind(groups: OpenedJournal["groups"], group: GroupId, from: LogIndex): Entry[] {
  return (groups.get(group)?.entries ?? []).filter(({ index }) => index > from);
}

/** Entries behind `index` in a journal that is damaged, for counting them. Nothing is changed. */
async function readableEntries({ disk, owner, limits }: Ground, group: GroupId, index: LogIndex): Promise<Entry[]> {
  const { segmentBytes } = limits;
  try {
    const from = new Map([[group, index]]);
    const { groups } = await readJournal({ disk, ...owner, settings: { segmentBytes }, from, acceptLoss: true });
    return behind(groups, group, index);
  } catch (fault) {
    // Too much is missing in it for anybody to tell.
    if (fault instanceof Fault) return [];
    throw fault;
  }
}

/** What rooms have in these chunks. */
function missingMessages(
  state: GroupState,
  files: ReadonlySet<FileName>,
): { room: string; first: number; last: number }[] {
  const missing: { room: string; first: number; last: number }[] = [];
  const gone = new Set<number>();
  for (const chunk of state.chunks()) if (files.has(nameOf(chunk, state.group))) gone.add(chunk.chunk);
  for (const { name, first, runs } of gone.size === 0 ? [] : state.rooms()) {
    for (let run = 0; run < runs.length; run++) {
      if (!gone.has(runs.chunk(run))) continue;
      missing.push({ room: name, first: Math.max(first, runs.firstSeq(run)), last: runs.lastSeq(run) });
    }
  }
  return missing;
}

/** Those that are not there. From names alone. */
function missingChunks(needed: Iterable<LiveChunk>, chunks: ChunkStore, group: GroupId): Damage[] {
  const missing: Damage[] = [];
  for (const chunk of needed) {
    if (chunks.has(chunk.chunk as ChunkNumber)) continue;
    const what = `this chunk of ${chunk.messages} messages is missing`;
    missing.push({ file: nameOf(chunk, group), offset: 0, length: 0, what });
  }
  return missing;
}

/**
 * Moves the chunks behind the snapshot to quarantine, of each the newest generation; answers whether there were any. A log
 * that lost entries, or went back, gives their numbers out again, to other messages. What it still says of them is built
 * once more.
 */
async function setAside(chunks: ChunkStore, lastChunk: number, { disk, log }: Ground): Promise<boolean> {
  const behindSnapshot = listedBehind(chunks, lastChunk);
  for (const { file } of behindSnapshot) log.warn("chunk.aside", { file, movedTo: await quarantine(disk, file) });
  return behindSnapshot.length > 0;
}

/** What a newer version wrote stops the start, before anything is decided because of it. */
async function refuseNewer(chunks: ChunkStore, listed: readonly ChunkListing[]): Promise<void> {
  for (const { chunk } of listed) {
    const newer = await chunks.newerFormat(chunk);
    if (newer !== null) throw newer;
  }
}

/** The name a chunk was sealed under. */
function nameOf({ chunk, day }: LiveChunk, group: GroupId): FileName {
  return chunkFileName({ group, chunk: chunk as ChunkNumber, generation: 0, day });
}

/** The chunks behind the last one that the snapshot knows. */
function listedBehind(chunks: ChunkStore, lastChunk: number): ChunkListing[] {
  return chunks.list().filter(({ chunk }) => chunk > lastChunk);
}

/** An empty file that says: the loss of this chunk was accepted. */
const acceptedLoss = (chunk: FileName): FileName => fileName(`${quarantineFolder}/lost-${chunk.split("/").at(-1)!}`);
