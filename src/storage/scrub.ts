import type { ChunkCheck } from "./chunk/check-chunk.ts";
import type { ChunkNumber } from "./chunk/chunk-layout.ts";
import type { ChunkStore } from "./chunk/chunk-store.ts";
import type { Damage } from "./damage.ts";
import type { NewerFormat } from "./newer-format.ts";

/** What one step of a scrub did. */
export type ScrubStep =
  /** There is no chunk to check. */
  | { state: "idle" }
  /** One piece was read, and the chunk is not at its end. */
  | { state: "checking"; chunk: ChunkNumber }
  /** A chunk is checked. `root` is null where it could not be read; it is what replicas compare. */
  | { state: "checked"; chunk: ChunkNumber; damage: readonly Damage[]; root: Uint8Array | null }
  /** A newer version wrote this chunk: whether it is sound can't be told here. */
  | { state: "newer"; chunk: ChunkNumber; newer: NewerFormat }
  /** All chunks have been checked since the last time this was said. */
  | { state: "passed"; chunks: number };

/**
 * Goes through the sealed chunks of a group, from the oldest to the newest and again, and finds what has rotten since it
 * was written. Each step reads at most one piece, about 64 KiB; when the next step comes is the caller's business. A
 * scrub changes nothing: what it finds is reported.
 */
export class Scrub {
  readonly #store: ChunkStore;
  #chunk: ChunkNumber | null = null;
  #steps: AsyncGenerator<void, ChunkCheck> | null = null;
  /** The generation that is being checked. */
  #generation = 0;
  #checkedInPass = 0;

  constructor(store: ChunkStore) {
    this.#store = store;
  }

  /** Does one step. Steps must not overlap. Rejects with the disk's fault when it can't be read at all; try again later. */
  async step(): Promise<ScrubStep> {
    if (this.#steps === null) {
      const next = this.#store.list().find((listed) => this.#chunk === null || listed.chunk > this.#chunk);
      if (next === undefined) return this.#endPass();
      this.#chunk = next.chunk;
      this.#generation = next.generation;
      this.#steps = this.#store.check(next.chunk);
    }
    const chunk = this.#chunk!;
    let step: IteratorResult<void, ChunkCheck>;
    try {
      step = await this.#steps.next();
    } catch (fault) {
      // A generator that threw is at its end: the chunk is begun again with the next step.
      this.#steps = null;
      this.#chunk = (chunk - 1) as ChunkNumber;
      throw fault;
    }
    if (step.done !== true) return { state: "checking", chunk };
    this.#steps = null;
    const { damage, footer, newer } = step.value;
    // Removed or replaced while it was read: what was found is of a file that nobody reads any more.
    if (this.#store.generationOf(chunk) !== this.#generation) return { state: "checking", chunk };
    this.#checkedInPass++;
    if (newer !== null) return { state: "newer", chunk, newer };
    return { state: "checked", chunk, damage, root: footer?.root ?? null };
  }

  #endPass(): ScrubStep {
    const chunks = this.#checkedInPass;
    this.#chunk = null;
    this.#checkedInPass = 0;
    return chunks === 0 ? { state: "idle" } : { state: "passed", chunks };
  }
}
