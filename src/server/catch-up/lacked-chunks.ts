import type { NodeName } from "../../base/ids.ts";

/** What a server says of the chunks that its log names and it has not. */
export interface Lacked {
  readonly count: number;
  /** The newest of them; fewer than `count` when not all were told. */
  readonly chunks: ReadonlySet<number>;
}

/**
 * Which server lacks which chunks, as far as they have said so. A copy that is not known to be there is none.
 */
export class LackedChunks {
  readonly #others = new Map<NodeName, Lacked>();
  own: Lacked = { count: 0, chunks: new Set() };

  heard(from: NodeName, lacked: Lacked): void {
    this.#others.set(from, lacked);
  }

  /** What it lacks may change, and nobody would hear of it. */
  lost(node: NodeName): void {
    this.#others.delete(node);
  }

  /** How many chunks another server lacks; null: it has not said. */
  countOf(node: NodeName): number | null {
    return this.#others.get(node)?.count ?? null;
  }

  /** Whether another server is known to lack nothing that this one, or somebody else, is known to have. */
  isComplete(node: NodeName): boolean {
    const lacked = this.#others.get(node);
    if (lacked === undefined || lacked.count > lacked.chunks.size) return false;
    for (const chunk of lacked.chunks) {
      if (has(this.own, chunk)) return false;
      for (const other of this.#others.values()) if (has(other, chunk)) return false;
    }
    return true;
  }

  /** Chunks that another server is known to have, and none of `staying` is, nor this one. */
  onlyHeldBy(node: NodeName, staying: Iterable<NodeName>): number[] {
    const lacked = this.#others.get(node);
    if (lacked === undefined) return [];
    const rest = [...staying].map((name) => this.#others.get(name)).filter((one) => one !== undefined);
    return [...this.own.chunks].filter((chunk) => has(lacked, chunk) && !rest.some((one) => has(one, chunk)));
  }
}

function has({ count, chunks }: Lacked, chunk: number): boolean {
  return count === chunks.size && !chunks.has(chunk);
}
