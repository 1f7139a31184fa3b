import type { NodeName, Term } from "../base/ids.ts";
import { type Millis, millis } from "../base/units.ts";

/** Who leads without this server. */
export interface OtherLeader {
  readonly node: NodeName;
  readonly term: Term;
}

/**
 * How long one leader must have vouched without a break. A leader may count servers for as long as it takes to suspect
 * them, and this one was among them until its process ended.
 */
export const provenAfterMs = millis(3_000);

/**
 * What a server hears of its cluster while it takes no part in it, and whether that proves that the others are a quorum
 * without it (SPEC.md). Pure: `now` comes in, and never decreases.
 */
export class OthersQuorum {
  #leader: (OtherLeader & { readonly since: Millis }) | null = null;

  /** A heartbeat: `node` leads in `term`, with a quorum behind it; null: it does not say so. */
  vouched(now: Millis, node: NodeName, term: Term | null): void {
    const known = this.#leader;
    if (term === null) {
      this.lost(node);
      return;
    }
    // Of two, the one of the later term is the leader; the other has not heard yet.
    if (known !== null && known.term >= term) return;
    this.#leader = { node, term, since: now };
  }

  /** Nothing is heard of it any more. */
  lost(node: NodeName): void {
    if (this.#leader?.node === node) this.#leader = null;
  }

  /** Who says that it leads; null: nobody does. */
  get leader(): OtherLeader | null {
    return this.#leader;
  }

  /** When it is proven, unless something is heard before; Infinity while nobody leads. */
  get provenAt(): number {
    return this.#leader === null ? Infinity : this.#leader.since + provenAfterMs;
  }
}
