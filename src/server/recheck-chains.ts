import { AssertionFailure } from "../base/assert.ts";
import { equalBytes } from "../base/compare-bytes.ts";
import type { RequestId } from "../protocol/schema.ts";
import { cidText, prevText, textIn, textLength } from "../rooms/message-record.ts";
import type { OutcomeCode } from "../rooms/outcome.ts";
import type { Room } from "../rooms/room.ts";
import type { Origin, UndecidedCode } from "./batch.ts";

/** A post that came back undecided, until it is decided: asked for by its origin, proposed again under its own. */
export interface Rechecked extends Origin {
  readonly record: Uint8Array;
  /** Whether what its `prev` names was proposed again and is not decided: then only `apply` can tell if it is stored. */
  readonly follows: boolean;
}

/**
 * How a post is looked up and proposed again. Its id is claimed to be absent up to `checkedMax` at most. Settles with up to
 * where it is, once it is proposed; null: its origin was told; "behind": the window has passed `checkedMax`, so that those
 * before it will come back.
 */
export type ProposeAgain = (post: Rechecked, checkedMax: number) => Promise<number | null | "behind">;

/**
 * Posts that came back undecided, one chain for each sender's connection and room.
 *
 * 1. they are looked up and proposed again in the order they were sent in, also when some come back more than once; none
 *    claims more than one before it that is not decided, so that it comes back with it
 * 2. a post whose `prev` is in the chain is not refused for it before that one is decided
 * 3. a chain is gone once all of it is decided; it is no longer than the sender's posts that are not answered
 */
export class RecheckChains {
  readonly #propose: ProposeAgain;
  readonly #chains = new Map<Origin, Map<Room, Chain>>();

  constructor(propose: ProposeAgain) {
    this.#propose = propose;
  }

  /** Takes a post that came back, for the first time or once more. */
  add(origin: Origin, request: RequestId, room: Room, record: Uint8Array): void {
    if (origin instanceof ChainedPost) {
      origin.chain.cameBack(origin);
      return;
    }
    let chains = this.#chains.get(origin);
    if (chains === undefined) {
      chains = new Map();
      this.#chains.set(origin, chains);
    }
    let chain = chains.get(room);
    if (chain === undefined) {
      chain = new Chain(this.#propose, () => this.#forget(origin, room));
      chains.set(room, chain);
    }
    const post = new ChainedPost({ chain, origin, request, record });
    chain.posts.push(post);
    chain.cameBack(post);
  }

  /** Whether posts of this origin in this room came back and are not decided. */
  hold(origin: Origin, room: Room): boolean {
    return this.#chains.size > 0 && this.#chains.get(origin)?.has(room) === true;
  }

  /** Whether what `prev` of this record names came back and is not decided: then `order` is not its last word. */
  holdsPrev(origin: Origin, room: Room, b: Uint8Array, o: number): boolean {
    if (this.#chains.size === 0) return false;
    const chain = origin instanceof ChainedPost ? origin.chain : this.#chains.get(origin)?.get(room);
    return chain !== undefined && chain.find(textIn(b, o, prevText)) !== undefined;
  }

  #forget(origin: Origin, room: Room): void {
    const chains = this.#chains.get(origin);
    chains?.delete(room);
    if (chains?.size === 0) this.#chains.delete(origin);
  }
}

class Chain {
  /** Not decided, in the order they were sent. */
  readonly posts: ChainedPost[] = [];
  readonly #propose: ProposeAgain;
  readonly #ended: () => void;
  #isProposing = false;
  /** Called when one comes back or is decided. */
  #moved: (() => void) | null = null;

  constructor(propose: ProposeAgain, ended: () => void) {
    this.#propose = propose;
    this.#ended = ended;
  }

  cameBack(post: ChainedPost): void {
    post.checked = null;
    this.#goOn();
    if (this.#isProposing) return;
    this.#isProposing = true;
    void this.#proposeAll();
  }

  async #proposeAll(): Promise<void> {
    // The entry it came back from is applied first.
    await Promise.resolve();
    for (;;) {
      const post = this.posts.find(({ checked }) => checked === null);
      if (post === undefined) break;
      try {
        await this.#proposeOne(post);
      } catch (cause) {
        if (cause instanceof AssertionFailure) throw cause;
        // It was proposed once and can't be now: whether it will be stored is for the sender's next attempt to find out.
        post.undecided(0, "unavailable");
      }
    }
    this.#isProposing = false;
  }

  async #proposeOne(post: ChainedPost): Promise<void> {
    let lowest = Number.MAX_SAFE_INTEGER;
    // What names its `prev` is stored behind that, whatever is known of its id.
    if (!post.hasPrev) for (const { checked } of this.posts) if (checked !== null) lowest = Math.min(lowest, checked);
    const { follows } = post;
    const proposed = await this.#propose(post, lowest);
    // It also comes back with its `prev`.
    if (typeof proposed === "number") post.checked = follows ? 0 : proposed;
    // One before it will come back; or has by now, and goes first; or it is decided by now.
    if (proposed === "behind" && this.#isFirst(post) && this.posts.some(({ checked }) => checked !== null)) {
      await this.#move();
    }
  }

  #isFirst(post: ChainedPost): boolean {
    return this.posts.find(({ checked }) => checked === null) === post;
  }

  #move(): Promise<void> {
    return new Promise((resolve) => {
      this.#moved = resolve;
    });
  }

  #goOn(): void {
    this.#moved?.();
    this.#moved = null;
  }

  find(cid: Uint8Array): ChainedPost | undefined {
    return cid.length === 0 ? undefined : this.posts.find((post) => equalBytes(textIn(post.record, 0, cidText), cid));
  }

  remove(post: ChainedPost): void {
    const at = this.posts.indexOf(post);
    if (at >= 0) this.posts.splice(at, 1);
    this.#goOn();
    if (this.posts.length === 0) this.#ended();
  }
}

class ChainedPost implements Rechecked {
  readonly chain: Chain;
  readonly record: Uint8Array;
  /** Up to where its id is known to be absent, while it is proposed. */
  checked: number | null = null;
  readonly #origin: Origin;
  readonly #request: RequestId;

  constructor(options: { chain: Chain; origin: Origin; request: RequestId; record: Uint8Array }) {
    this.chain = options.chain;
    this.record = options.record;
    this.#origin = options.origin;
    this.#request = options.request;
  }

  get hasPrev(): boolean {
    return textLength(this.record, 0, prevText) > 0;
  }

  get follows(): boolean {
    const prev = this.chain.find(textIn(this.record, 0, prevText));
    return prev !== undefined && prev.checked !== null;
  }

  decided(
    _request: RequestId,
    code: OutcomeCode,
    seq: number,
    ts: number,
    epoch: number,
    memory: Uint8Array,
    offset: number,
  ): void {
    this.chain.remove(this);
    this.#origin.decided(this.#request, code, seq, ts, epoch, memory, offset);
  }

  undecided(_request: RequestId, code: UndecidedCode): void {
    this.chain.remove(this);
    this.#origin.undecided(this.#request, code);
  }
}
