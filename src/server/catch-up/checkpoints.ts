import type { NodeName } from "../../base/ids.ts";
import type { Item } from "./catch-up-frames.ts";

/** The same item with different digests on different servers. */
export interface Difference {
  readonly item: Item;
  readonly own: string;
  readonly others: ReadonlyMap<NodeName, string>;
  /** More of the others agree on something else than are with this server: it is this one that is wrong. */
  readonly isOutvoted: boolean;
}

interface Known {
  readonly item: Item;
  own: string | null;
  readonly others: Map<NodeName, string>;
}

/** Items that are remembered; the one that was known first is forgotten. */
const itemsMax = 256;
/** Servers whose word on one item is remembered. */
const serversMax = 64;
/** What is told to somebody with whom a link stands anew. */
const newestMax = 16;

/**
 * What this server and the others have made of the same log, compared. States at the same place, and chunks under the same
 * number, are the same everywhere, or a program, a memory or a disk is wrong somewhere, and nobody would know.
 *
 * 1. a difference is told when it becomes known, and again with each further server that is heard about it
 */
export class Checkpoints {
  readonly #known = new Map<string, Known>();

  /** Made here. Answers how others differ. */
  made(item: Item, digest: Uint8Array): Difference | null {
    const known = this.#of(item);
    known.own = hexOf(digest);
    return differenceIn(known);
  }

  /** Made elsewhere. */
  heard(from: NodeName, item: Item, digest: Uint8Array): Difference | null {
    const known = this.#of(item);
    if (known.others.size >= serversMax && !known.others.has(from)) return null;
    known.others.set(from, hexOf(digest));
    return known.others.get(from) === known.own ? null : differenceIn(known);
  }

  /** What was made here last, oldest first. */
  newest(): { item: Item; digest: Uint8Array }[] {
    const made: { item: Item; digest: Uint8Array }[] = [];
    for (const { item, own } of this.#known.values()) if (own !== null) made.push({ item, digest: bytesOf(own) });
    return made.slice(-newestMax);
  }

  #of(item: Item): Known {
    const { kind, group, number, generation } = item;
    const key = `${kind} ${group} ${number} ${generation}`;
    let known = this.#known.get(key);
    if (known === undefined) {
      known = { item, own: null, others: new Map() };
      this.#known.set(key, known);
      const oldest = this.#known.keys().next();
      if (this.#known.size > itemsMax && oldest.done !== true) this.#known.delete(oldest.value);
    }
    return known;
  }
}

function differenceIn({ item, own, others }: Known): Difference | null {
  if (own === null) return null;
  const counts = new Map<string, number>();
  for (const digest of others.values()) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  const withUs = 1 + (counts.get(own) ?? 0);
  counts.delete(own);
  if (counts.size === 0) return null;
  return { item, own, others: new Map(others), isOutvoted: Math.max(...counts.values()) > withUs };
}

function hexOf(digest: Uint8Array): string {
  let text = "";
  for (const byte of digest) text += byte.toString(16).padStart(2, "0");
  return text;
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, at) => Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16));
}
