import { equalBytes } from "../base/compare-bytes.ts";
import { Fault } from "../base/error-codes.ts";
import type { GroupId, LogIndex } from "../base/ids.ts";
import type { ChunkImage } from "../storage/chunk/build-chunk.ts";
import type { ChunkNumber } from "../storage/chunk/chunk-layout.ts";
import type { ChunkStore } from "../storage/chunk/chunk-store.ts";
import type { Damage } from "../storage/damage.ts";
import type { FileName } from "../storage/disk.ts";
import { quarantine } from "../storage/quarantine.ts";
import type { Snapshot } from "../storage/snapshot-file.ts";
import { setAside } from "./chunks-aside.ts";
import type { Ground } from "./ground.ts";
import { hasOthers, listsOthers, type ReadableLog, readableLog } from "./log-behind.ts";
import { publishRebuilt, rebuild } from "./rebuild.ts";

/** Why a member of a cluster can't be rebuilt alone, and what to do instead. */
export const memberAdvice =
  "nobody can tell here any more who belongs to this cluster, so the state can't be rebuilt beside others: start this server with an empty directory, and it gets from them what it lacks";

/** Whether there are chunks, or a journal, that tell what can be told without a state. */
async function canBeRebuilt(
  ground: Ground,
  { chunks, group }: { chunks: ChunkStore; group: GroupId },
): Promise<boolean> {
  if (chunks.list().length > 0) return true;
  // Among several servers the journal alone does not say who they were.
  if (listsOthers(ground)) return false;
  return (await readableLog(ground, group, 0 as LogIndex)).entries.length > 0;
}

/**
 * Whether a start that accepts what is lost of the journal builds the state anew, rather than apply the log without what is
 * lost of it: which refuses all that needs it, and gives its numbers to other messages.
 */
export async function isToBeRebuilt(
  ground: Ground,
  { snapshot, chunks, group }: { snapshot: Snapshot | null; chunks: ChunkStore; group: GroupId },
): Promise<boolean> {
  if (snapshot === null) return canBeRebuilt(ground, { chunks, group });
  const { entries, lost, chainBefore } = await readableLog(ground, group, snapshot.index);
  // What is behind one that was not made here may be of another branch, and is given up then.
  const goesOn = chainBefore !== null && equalBytes(chainBefore, snapshot.chain);
  if (snapshot.isTaken === true && !goesOn) return false;
  return lost !== null && (entries.length > 0 || !lost.isGone);
}

/**
 * Rebuilds the state, and makes it the newest snapshot. Chunks that it can't go on from go to quarantine before their
 * numbers are given out again. A start that breaks off on the way finds the same damage, and does the rest.
 */
export async function rebuildState(
  ground: Ground,
  {
    group,
    snapshot,
    chunks,
    damaged,
  }: { group: GroupId; snapshot: Snapshot | null; chunks: ChunkStore; damaged: readonly Damage[] },
): Promise<void> {
  const { log } = ground;
  const logBehind = async (index: LogIndex): Promise<ReadableLog> => {
    const readable = await readableLog(ground, group, index);
    if (hasOthers(ground, null, readable.entries)) throw new Fault("unsupported", memberAdvice);
    return readable;
  };
  for (const one of damaged) {
    log.error("snapshot.damaged", { ...one, movedTo: await quarantine(ground.disk, one.file) });
  }
  let isClear = false;
  const clear = async (sealedThrough: number): Promise<void> => {
    if (!isClear) await setAside(chunks, sealedThrough, ground);
    isClear = true;
  };
  const written = new Map<number, FileName>();
  const write = async (image: ChunkImage, sealedThrough: number): Promise<void> => {
    await clear(sealedThrough);
    await ground.disk.publish(image.file, image.parts);
    written.set(image.meta.chunk, image.file);
  };
  const { state, told, sealedThrough, emptied } = await rebuild(ground, { group, snapshot, chunks, logBehind, write });
  await clear(sealedThrough);
  await publishRebuilt(ground, { state, group });
  // Only now: a start that breaks off before looks for ids in them once more.
  for (const chunk of emptied) {
    const file = written.get(chunk);
    if (file !== undefined) await ground.disk.remove(file);
    else if (chunk <= sealedThrough) await chunks.remove(chunk as ChunkNumber);
  }
  const { rooms, ...counts } = told;
  log.warn("state.rebuilt", { ...counts, rooms: rooms.length, index: state.appliedIndex });
}
