import { Fault } from "../base/error-codes.ts";
import type { GroupId, LogIndex } from "../base/ids.ts";
import type { ChunkImage } from "../storage/chunk/build-chunk.ts";
import type { ChunkStore } from "../storage/chunk/chunk-store.ts";
import type { Damage } from "../storage/damage.ts";
import { quarantine } from "../storage/quarantine.ts";
import type { Snapshot } from "../storage/snapshot-file.ts";
import { setAside } from "./chunks-aside.ts";
import type { Ground } from "./ground.ts";
import { hasOthers, type ReadableLog, readableLog } from "./log-behind.ts";
import { publishRebuilt, rebuild } from "./rebuild.ts";

/** Why a member of a cluster can't be rebuilt alone, and what to do instead. */
export const memberAdvice =
  "nobody can tell here any more who belongs to this cluster, so the state can't be rebuilt beside others: start this server with an empty directory, and it gets from them what it lacks";

/** There is no sound state, and there are chunks, or a journal, that tell what can be told without one. */
export async function isWithoutState(
  ground: Ground,
  { snapshot, chunks, group }: { snapshot: Snapshot | null; chunks: ChunkStore; group: GroupId },
): Promise<boolean> {
  if (snapshot !== null) return false;
  if (chunks.list().length > 0) return true;
  // Among several servers the journal alone does not say who they were.
  if (ground.peers !== undefined) return false;
  return (await readableLog(ground, group, 0 as LogIndex)).entries.length > 0;
}

/**
 * Rebuilds the state, and makes it the newest snapshot. Chunks that it can't go on from go to quarantine before their
 * numbers are given out again. A start that breaks off on the way finds the same damage, and does the rest.
 */
export async function rebuildState(
  ground: Ground,
  { group, chunks, damaged }: { group: GroupId; chunks: ChunkStore; damaged: readonly Damage[] },
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
  const write = async (image: ChunkImage): Promise<void> => {
    if (!isClear) await setAside(chunks, image.meta.chunk - 1, ground);
    isClear = true;
    await ground.disk.publish(image.file, image.parts);
  };
  const { state, told } = await rebuild(ground, { group, chunks, logBehind, write });
  if (!isClear) await setAside(chunks, state.lastChunk, ground);
  await publishRebuilt(ground, { state, group });
  const { rooms, ...counts } = told;
  log.warn("state.rebuilt", { ...counts, rooms: rooms.length, index: state.appliedIndex });
}
