import type { ChunkListing, ChunkStore } from "../storage/chunk/chunk-store.ts";
import { quarantine } from "../storage/quarantine.ts";
import type { Ground } from "./ground.ts";

/**
 * Moves the chunks behind the snapshot to quarantine, of each the newest generation; answers whether there were any. A log
 * that lost entries, or went back, gives their numbers out again, to other messages. What it still says of them is built
 * once more.
 */
export async function setAside(chunks: ChunkStore, lastChunk: number, { disk, log }: Ground): Promise<boolean> {
  const behindSnapshot = listedBehind(chunks, lastChunk);
  for (const { file } of behindSnapshot) log.warn("chunk.aside", { file, movedTo: await quarantine(disk, file) });
  return behindSnapshot.length > 0;
}

/** The chunks behind the last one that the snapshot knows. */
export function listedBehind(chunks: ChunkStore, lastChunk: number): ChunkListing[] {
  return chunks.list().filter(({ chunk }) => chunk > lastChunk);
}
