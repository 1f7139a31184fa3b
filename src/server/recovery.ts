import { assert } from "../base/assert.ts";
import { Fault } from "../base/error-codes.ts";
import { type GroupId, groupId, type LogIndex, logIndex, type Mark } from "../base/ids.ts";
import { timestamp } from "../base/units.ts";
import { rankedCampaigns } from "../consensus/election/campaign-policy.ts";
import { type ReplicaId, replicaId } from "../consensus/replica.ts";
import { defaultGroupSettings } from "../consensus/settings.ts";
import { GroupState } from "../rooms/group-state.ts";
import { type ChunkListing, type ChunkStore, openChunkStore } from "../storage/chunk/chunk-store.ts";
import type { Damage } from "../storage/damage.ts";
import { lineOwedFile, newbornFile, olderCopyFile, startedFile } from "../storage/data-directory.ts";
import { type FileName, quarantineFolder } from "../storage/disk.ts";
import type { Journal } from "../storage/journal/journal.ts";
import { type OpenedJournal, openJournal } from "../storage/journal/open.ts";
import { NewerFormat } from "../storage/newer-format.ts";
import { quarantine } from "../storage/quarantine.ts";
import { latestSnapshot, listSnapshots } from "../storage/snapshot-file.ts";
import type { Engine, RememberedLog } from "../topology/engine.ts";
import { leaderEngine } from "../topology/leader.ts";
import { listedBehind, setAside } from "./chunks-aside.ts";
import { DataDamaged, PromisesLost } from "./data-refused.ts";
import type { Ground } from "./ground.ts";
import { behind, hasOthers, listsOthers } from "./log-behind.ts";
import { LogClock } from "./log-clock.ts";
import { lossOfStart } from "./loss-of-start.ts";
import { acceptedLoss, missingChunks } from "./missing-chunks.ts";
import { neededChunks } from "./needed-chunks.ts";
import { isToBeRebuilt, memberAdvice, rebuildState } from "./rebuilt-start.ts";
import { rememberedLog } from "./remembered-log.ts";

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
  const sealed = (): Promise<ChunkStore> => openChunkStore({ disk, cluster: owner.cluster, group });
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
  if (isLossy && given === null && (await isToBeRebuilt(ground, { snapshot, chunks, group }))) {
    // Of several servers the others have the state, and who belongs to them nobody can tell here. On a first day, when
    // nothing is sealed, all that was ever said of it is in the journal.
    const isFirstDay = chunks.list().length === 0;
    if (snapshot === null && !isFirstDay && ground.peers !== undefined) throw new Fault("unsupported", memberAdvice);
    await rebuildState(ground, { group, snapshot, chunks, damaged: found.damage });
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
    const loss = await lossOfStart(ground, { state, snapshot, chunks, missing, journal: opened.damage });
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

/** What a newer version wrote stops the start, before anything is decided because of it. */
async function refuseNewer(chunks: ChunkStore, listed: readonly ChunkListing[]): Promise<void> {
  for (const { chunk } of listed) {
    const newer = await chunks.newerFormat(chunk);
    if (newer !== null) throw newer;
  }
}
