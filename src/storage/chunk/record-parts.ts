import type { ChunkInput } from "./build-chunk.ts";

/** An address is the number of an arena times 4 MiB, plus the offset in it: a whole number below 2^32. */
export const arenaBits = 22;
export const arenaBytes = 1 << arenaBits;

/** Records in memory, in log order: where each stands. Plain data, so that it can be handed to another thread. */
export interface RecordPart {
  readonly arenas: readonly Uint8Array[];
  readonly addresses: Uint32Array;
}

/** Parts of the unsealed tail, one behind the other, as the builder wants its records. */
export class RecordParts implements ChunkInput {
  readonly count: number;
  readonly #parts: readonly RecordPart[];
  /** How many records lie before each part. */
  readonly #before: number[] = [];

  constructor(parts: readonly RecordPart[]) {
    let count = 0;
    for (const { addresses } of parts) {
      this.#before.push(count);
      count += addresses.length;
    }
    this.count = count;
    this.#parts = parts;
  }

  bytes(i: number): Uint8Array {
    const at = this.#partOf(i);
    const { arenas, addresses } = this.#parts[at]!;
    return arenas[addresses[i - this.#before[at]!]! >>> arenaBits]!;
  }

  offset(i: number): number {
    const at = this.#partOf(i);
    return this.#parts[at]!.addresses[i - this.#before[at]!]! & (arenaBytes - 1);
  }

  #partOf(i: number): number {
    let at = this.#parts.length - 1;
    while (this.#before[at]! > i) at--;
    return at;
  }
}
