import { parentPort } from "node:worker_threads";
import { buildChunk, type ChunkImage } from "../../storage/chunk/build-chunk.ts";
import type { BuildOrder } from "../../storage/chunk/chunk-builder.ts";
import { ReusedMemory } from "../../storage/chunk/image-memory.ts";
import { RecordParts } from "../../storage/chunk/record-parts.ts";

/** A thread that builds chunks, one after the other, until nobody wants any more (platform/node/node-chunk-builder.ts). */
function main(): void {
  const port = parentPort;
  if (port === null) throw new Error("this is the program of a thread");
  // Apart, so that neither has to be as large as the other somewhere.
  const memory = { blocks: new ReusedMemory(), indexes: new ReusedMemory() };
  port.on("message", (order: BuildOrder) => {
    memory.blocks.begin();
    memory.indexes.begin();
    const image = built(order, memory.blocks);
    port.postMessage({ ...image, parts: adjoining(shared(image.parts, memory.indexes)) });
  });
}

function built({ meta, records }: BuildOrder, memory: ReusedMemory): ChunkImage {
  const work = buildChunk(meta, new RecordParts(records), memory);
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** All parts in shared memory: what is not there yet, such as the indexes, is copied to one more piece of it. */
function shared(parts: readonly Uint8Array[], memory: ReusedMemory): Uint8Array[] {
  const isShared = (part: Uint8Array): boolean => part.buffer instanceof SharedArrayBuffer;
  const others = parts.filter((part) => !isShared(part));
  const copies = memory.take(others.reduce((sum, { length }) => sum + length, 0));
  let fill = 0;
  return parts.map((part) => {
    if (isShared(part)) return part;
    copies.set(part, fill);
    fill += part.length;
    return copies.subarray(fill - part.length, fill);
  });
}

/** Parts that lie one behind the other in memory as one: it is written as it is, where small ones are put together first. */
function adjoining(parts: readonly Uint8Array[]): Uint8Array[] {
  const joined: Uint8Array[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (last !== undefined && last.buffer === part.buffer && last.byteOffset + last.length === part.byteOffset) {
      joined[joined.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + part.length);
    } else {
      joined.push(part);
    }
  }
  return joined;
}

main();
