import type { ClusterId } from "../../base/ids.ts";
import type { FileBytes } from "../disk.ts";
import type { ChunkImage } from "./build-chunk.ts";
import { checkChunk } from "./check-chunk.ts";
import { ChunkFile } from "./chunk-file.ts";
import { type ChunkName, chunkFileName } from "./chunk-name.ts";
import { type SealSaid, sealDifference } from "./seal-difference.ts";

/**
 * The bytes of a whole chunk that another server sent, held against what was asked for and what the log sealed, as
 * strictly as a chunk on the disk: one piece a step. Answers what can be published, or in words why it is not the one.
 */
export async function* checkReceivedChunk(
  cluster: ClusterId,
  name: ChunkName,
  bytes: Uint8Array,
  sealed: SealSaid,
): AsyncGenerator<void, Pick<ChunkImage, "meta" | "file" | "parts"> | string> {
  const file = chunkFileName(name);
  const inMemory: FileBytes = {
    sizeOf: () => Promise.resolve(bytes.length),
    read: (_, offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
  };
  const { damage, footer, newer } = yield* checkChunk(new ChunkFile(inMemory, cluster, name, file));
  if (newer !== null) return newer.message;
  const [first] = damage;
  if (first !== undefined) return first.what;
  if (footer === null) return "it has no footer";
  return sealDifference(sealed, footer) ?? { meta: footer.meta, file, parts: [bytes] };
}
