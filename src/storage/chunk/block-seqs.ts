import { ChunkDamage } from "./chunk-damage.ts";
import type { ChunkFooter, RoomRow } from "./chunk-layout.ts";

/**
 * The first and last seq that a room has in a block, from footer and room index alone: for a block that can't be read.
 * null where the room has nothing in it, or where the two do not go together.
 */
export function seqsInBlock(footer: ChunkFooter, row: RoomRow, number: number): readonly [number, number] | null {
  if (row.firstBlock > number || row.lastBlock < number) return null;
  // Every block but a room's first begins with a record of this room.
  const first = row.firstBlock === number ? row.firstSeq : (footer.blocks[number]?.firstSeq ?? 0);
  const last = row.lastBlock === number ? row.lastSeq : (footer.blocks[number + 1]?.firstSeq ?? 0) - 1;
  return row.firstSeq <= first && first <= last && last <= row.lastSeq ? [first, last] : null;
}

/** What was thrown while a block was read; damage says which messages of the room were in the block. */
export function withSeqs(cause: unknown, footer: ChunkFooter, row: RoomRow, number: number): unknown {
  const seqs = cause instanceof ChunkDamage ? seqsInBlock(footer, row, number) : null;
  if (!(cause instanceof ChunkDamage) || seqs === null) return cause;
  return new ChunkDamage({ ...cause.damage, room: new TextDecoder().decode(row.room), seqs });
}
