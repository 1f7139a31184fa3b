import type { ChunkImage } from "./build-chunk.ts";
import type { ChunkMeta } from "./chunk-layout.ts";
import type { RecordPart } from "./record-parts.ts";

/** Builds chunks on another thread than the one that answers clients. */
export interface ChunkBuilder {
  /**
   * Settles with what `buildChunk` answers for these records, bit by bit, in other parts. The arenas lie in
   * shared memory and must not change until then. One at a time: the parts are used again by the next. A rejection means that the other thread failed: nothing
   * was changed, and it may be asked again.
   */
  build(meta: ChunkMeta, records: readonly RecordPart[]): Promise<ChunkImage>;
}

/** What the other thread is told. */
export interface BuildOrder {
  readonly meta: ChunkMeta;
  readonly records: readonly RecordPart[];
}
