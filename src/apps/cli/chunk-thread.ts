import { parentPort } from "node:worker_threads";
import { buildChunk, type ChunkImage } from "../../storage/chunk/build-chunk.ts";
import type { BuildOrder } from "../../storage/chunk/chunk-builder.ts";
import { RecordParts } from "../../storage/chunk/record-parts.ts";

/** Pieces this large are written as they are; smaller ones would be put together once more. */
const pieceBytes = 2 * 1024 * 1024;

/** A thread that builds chunks, one after the other, until nobody wants any more (platform/node/node-chunk-builder.ts). */
function main(): void {
  const port = parentPort;
  if (port === null) throw new Error("this is the program of a thread");
  port.on("message", (order: BuildOrder) => {
    const image = inPieces(built(order));
    port.postMessage(
      image,
      image.parts.map((part) => part.buffer as ArrayBuffer),
    );
  });
}

function built({ meta, records }: BuildOrder): ChunkImage {
  const work = buildChunk(meta, new RecordParts(records));
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** The same image in a few large pieces, each with memory of its own, which can be handed over without a copy. */
function inPieces(image: ChunkImage): ChunkImage {
  const parts: Uint8Array[] = [];
  let piece = new Uint8Array(0);
  let fill = 0;
  let left = image.bytes;
  for (const part of image.parts) {
    for (let from = 0; from < part.length; ) {
      if (fill === piece.length) {
        piece = new Uint8Array(Math.min(left, pieceBytes));
        parts.push(piece);
        fill = 0;
      }
      const taken = Math.min(part.length - from, piece.length - fill);
      piece.set(part.subarray(from, from + taken), fill);
      fill += taken;
      from += taken;
      left -= taken;
    }
  }
  return { ...image, parts };
}

main();
