import { parentPort } from "node:worker_threads";
import { buildChunk, type ChunkImage } from "../../storage/chunk/build-chunk.ts";
import type { BuildOrder } from "../../storage/chunk/chunk-builder.ts";
import { RecordParts } from "../../storage/chunk/record-parts.ts";

/** A thread that builds chunks, one after the other, until nobody wants any more (platform/node/node-chunk-builder.ts). */
function main(): void {
  const port = parentPort;
  if (port === null) throw new Error("this is the program of a thread");
  port.on("message", (order: BuildOrder) => {
    const image = built(order);
    const parts = adjoining(image.parts);
    // Handed over, not copied.
    port.postMessage({ ...image, parts }, [...new Set(parts.map((part) => part.buffer as ArrayBuffer))]);
  });
}

function built({ meta, records }: BuildOrder): ChunkImage {
  const work = buildChunk(meta, new RecordParts(records));
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
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
