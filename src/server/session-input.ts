import { getU32 } from "../base/byte-order.ts";
import type { UserName } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { decodeBinary } from "../protocol/binary-codec.ts";
import type { Refused } from "../protocol/check-frame.ts";
import { decodeJson } from "../protocol/json-codec.ts";
import type { ClientFrame } from "../protocol/schema.ts";
import { isSend, sendCode } from "../protocol/send-bytes.ts";
import type { ClientLink } from "./client-link.ts";
import type { InputShares, SharedInput, UserShare } from "./input-shares.ts";

/** Who acts on the frames. */
export interface FrameTaker {
  readonly state: "greeting" | "open" | "ended";
  /** Who greeted. */
  readonly user: UserName;
  /** False when the frame must wait: it is not taken, and nothing behind it may be. */
  takeFrame(frame: ClientFrame | Refused): boolean;
  /** The same for a binary send, which is read where it lies. */
  takeSend(b: Uint8Array, o: number, end: number): boolean;
  /** The first message is longer than a greeting may be. */
  greetingTooLong(): void;
}

/**
 * What a client sends, until it is acted on: whole frames as bytes from the door, decoded and handed on in their order.
 * While one must wait, or the user has had its share of the turn, those behind it are held, and the door stops reading.
 */
export class SessionInput implements SharedInput {
  readonly #taker: FrameTaker;
  readonly #link: ClientLink;
  readonly #limits: Limits;
  readonly #shares: InputShares;
  /** A frame must wait for something. */
  #isBlocked = false;
  /** It waits for its user's share of a later turn. */
  #isSharing = false;
  /** Made with the first frame behind the greeting. */
  #share: UserShare | null = null;
  /** The turn that `#left` is of, and what may still be taken in it. */
  #turn = -1;
  #left = 0;
  /** What waits for its turn: whole frames as bytes, or decoded ones. */
  #held: (HeldBytes | ClientFrame | Refused)[] = [];

  constructor(taker: FrameTaker, link: ClientLink, limits: Limits, shares: InputShares) {
    this.#shares = shares;
    this.#taker = taker;
    this.#link = link;
    this.#limits = limits;
  }

  /** Whether frames wait for their turn. */
  get isWaiting(): boolean {
    return this.#waits || this.#held.length > 0;
  }

  received(bytes: Uint8Array): void {
    const end = bytes.length;
    const at = this.#mayTake() ? this.#take(bytes, 0, end) : 0;
    if (at < end) this.#hold(bytes, at, end);
  }

  get #waits(): boolean {
    return this.#isBlocked || this.#isSharing;
  }

  /** Takes no more frames until `goOn`. */
  block(): void {
    if (this.#isBlocked) return;
    if (!this.#isSharing) this.#link.pause();
    this.#isBlocked = true;
  }

  /** Takes the frames that waited, and then reads on. */
  goOn(): void {
    if (!this.#isBlocked || this.#taker.state === "ended") return;
    this.#isBlocked = false;
    if (!this.#isSharing) this.#takeHeld();
  }

  goOnSharing(cost: number): void {
    this.#isSharing = false;
    this.#turn = this.#shares.turn;
    this.#left = cost;
    if (!this.#isBlocked && this.#taker.state !== "ended") this.#takeHeld();
  }

  #takeHeld(): void {
    while (this.#held.length > 0 && this.#mayTake()) {
      const next = this.#held.shift()!;
      if (next instanceof HeldBytes) this.#takeHeldBytes(next);
      else if (!this.#taker.takeFrame(next)) this.#held.unshift(next);
      else this.#took(0);
    }
    if (!this.#waits) this.#link.resume();
  }

  #takeHeldBytes(held: HeldBytes): void {
    const { block } = held;
    held.at = this.#take(block.bytes, held.at, held.end);
    if (held.at < held.end) this.#held.unshift(held);
    else if (--block.users === 0) this.#shares.memory.giveBack(block.bytes);
  }

  // They are lent by the door.
  #hold(bytes: Uint8Array, at: number, end: number): void {
    const length = end - at;
    const last = this.#held.at(-1);
    let block = last instanceof HeldBytes ? last.block : null;
    if (block === null || block.used + length > block.bytes.length) {
      block = { bytes: this.#shares.memory.take(length), used: 0, users: 0 };
    }
    const start = block.used;
    block.bytes.set(bytes.subarray(at, end), start);
    block.used += length;
    block.users++;
    this.#held.push(new HeldBytes(block, start, block.used));
  }

  // Whether the next frame may be taken now. If not, it will be told to go on.
  #mayTake(): boolean {
    if (this.#waits) return false;
    if (this.#taker.state !== "open") return true;
    const share = (this.#share ??= this.#shares.join(this.#taker.user));
    const { turn } = this.#shares;
    if (turn !== this.#turn) {
      this.#turn = turn;
      this.#left = this.#shares.begin(share);
    }
    if (this.#left > 0 && share.left > 0) return true;
    this.#link.pause();
    this.#isSharing = true;
    this.#shares.wait(share, this);
    return false;
  }

  // A frame of so many bytes was taken. Those of the greeting are nobody's share.
  #took(bytes: number): void {
    if (this.#share !== null) this.#left -= this.#shares.took(this.#share, bytes);
  }

  /** Nothing of what waits will be taken. Its memory is not given back: some of it may be looked at right now. */
  clear(): void {
    this.#held = [];
    if (this.#share !== null) this.#shares.leave(this.#share, this);
    this.#share = null;
  }

  // Takes frames up to `end`, and answers how far it came.
  #take(bytes: Uint8Array, start: number, end: number): number {
    const { format } = this.#link;
    if (format === "binary-stream" || format === "binary-websocket") return this.#takeBinary(bytes, start, end);
    this.#takeJson(bytes.subarray(start, end));
    return end;
  }

  #takeBinary(bytes: Uint8Array, start: number, end: number): number {
    const taker = this.#taker;
    let at = start;
    while (at < end && taker.state !== "ended") {
      const next = at + 4 + getU32(bytes, at);
      const isTaken =
        this.#mayTake() &&
        (bytes[at + 4] === sendCode && taker.state === "open" && isSend(bytes, at, next, this.#limits)
          ? taker.takeSend(bytes, at, next)
          : taker.takeFrame(decodeBinary("client", bytes, at, next, this.#limits)));
      if (!isTaken) return at;
      this.#took(next - at);
      at = next;
    }
    return end;
  }

  #takeJson(bytes: Uint8Array): void {
    if (this.#taker.state === "greeting" && bytes.length > this.#limits.helloBytesMax) {
      this.#taker.greetingTooLong();
      return;
    }
    const frames: (ClientFrame | Refused)[] = [];
    decodeJson("client", bytes, this.#limits, frames);
    for (let i = 0; i < frames.length; i++) {
      if (!this.#mayTake() || !this.#taker.takeFrame(frames[i]!)) {
        this.#held.unshift(...frames.slice(i));
        return;
      }
      // All of it was read, whatever is taken now.
      this.#took(i === 0 ? bytes.length : 0);
    }
  }
}

/** Memory of the pool, and how much of it is filled. Small pieces share a block. */
interface HeldBlock {
  readonly bytes: Uint8Array;
  used: number;
  /** Pieces in it that were not taken. */
  users: number;
}

/** What a door has handed over in one piece, as far as it was not taken. */
class HeldBytes {
  readonly block: HeldBlock;
  at: number;
  readonly end: number;

  constructor(block: HeldBlock, at: number, end: number) {
    this.block = block;
    this.at = at;
    this.end = end;
  }
}
