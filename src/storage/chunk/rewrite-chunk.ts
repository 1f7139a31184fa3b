import { recordHeaderBytes, recordLength, recordSeq, roomText, textLength } from "../../rooms/message-record.ts";
import { pieceKinds } from "../piece.ts";
import { type ChunkImage, imageOf } from "./build-chunk.ts";
import type { ChunkMeta } from "./chunk-layout.ts";
import type { PieceSource } from "./chunk-reader.ts";
import { ChunkWriter } from "./chunk-writer.ts";
import { slotOf } from "../../base/slot.ts";
import { sameBytes } from "../../base/compare-bytes.ts";

/** Which messages of a chunk are kept. Must answer alike on all servers: from committed state only. */
export type Keep = (room: Uint8Array, seq: number) => boolean;

/**
 * Writes a chunk again as its next generation, without the messages that `keep` drops. What is kept keeps its bytes, its
 * seq and its order; the new root is the same wherever the same generation is rewritten with the same answers. Reads
 * one block a step. Damage anywhere on the way is thrown: a rewrite never loses what it was not told to drop.
 */
export async function* rewriteChunk(source: PieceSource, keep: Keep): AsyncGenerator<void, ChunkImage> {
  const { footer } = source;
  const meta: ChunkMeta = { ...footer.meta, generation: footer.meta.generation + 1 };
  const blocks: Uint8Array[] = [];
  const writer = new ChunkWriter(meta, footer.totals.messages, (block) => blocks.push(block));
  let room: Uint8Array | null = null;
  let begun = false;
  for (const [number, ref] of footer.blocks.entries()) {
    const b = await source.piece(pieceKinds.records, number, ref);
    for (let o = 0; o < b.length; o += recordLength(b, o)) {
      const length = textLength(b, o, roomText);
      if (room === null || length !== room.length || !sameBytes(b, o + recordHeaderBytes, room, 0, length)) {
        room = b.slice(o + recordHeaderBytes, o + recordHeaderBytes + length);
        begun = false;
      }
      if (!keep(room, recordSeq(b, o))) continue;
      if (!begun) writer.beginRoom(slotOf(room), room);
      begun = true;
      writer.add(b, o);
    }
    yield;
  }
  const steps = writer.finish();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return imageOf(meta, blocks, step.value);
    yield;
  }
}
