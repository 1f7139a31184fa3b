import type { GroupId } from "../base/ids.ts";
import type { LiveChunk } from "../rooms/chunks.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { ChunkNumber } from "../storage/chunk/chunk-layout.ts";
import { chunkFileName } from "../storage/chunk/chunk-name.ts";
import type { ChunkStore } from "../storage/chunk/chunk-store.ts";
import type { Damage } from "../storage/damage.ts";
import { type FileName, fileName, quarantineFolder } from "../storage/disk.ts";

/** What rooms have in these chunks. */
export function missingMessages(
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
export function missingChunks(needed: Iterable<LiveChunk>, chunks: ChunkStore, group: GroupId): Damage[] {
  const missing: Damage[] = [];
  for (const chunk of needed) {
    if (chunks.has(chunk.chunk as ChunkNumber)) continue;
    const isKnown = chunk.from < chunk.to;
    const what = isKnown ? `this chunk of ${chunk.messages} messages is missing` : "what stood here was lost before";
    missing.push({ file: nameOf(chunk, group), offset: 0, length: 0, what });
  }
  return missing;
}

/** An empty file that says: the loss of this chunk was accepted. */
export const acceptedLoss = (chunk: FileName): FileName =>
  fileName(`${quarantineFolder}/lost-${chunk.split("/").at(-1)!}`);

/** The name a chunk was sealed under. */
function nameOf({ chunk, day }: LiveChunk, group: GroupId): FileName {
  return chunkFileName({ group, chunk: chunk as ChunkNumber, generation: 0, day });
}
