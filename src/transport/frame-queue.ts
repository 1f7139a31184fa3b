import { assert } from "../base/assert.ts";

/** A frame on its way out. */
export interface OutgoingFrame {
  readonly kind: number;
  readonly flags: number;
  /** With a flag: whom it goes to, or came from. */
  readonly name: string;
  /** Belongs to the link from now on and must not change. */
  readonly payload: Uint8Array;
  /** What stands behind the payload, or nothing: a piece of its own, which several frames may share. Must not change. */
  readonly rest: Uint8Array;
  /** The caller's own number, told again if the frame is lost. */
  readonly tag: number;
}

/** Bytes of a frame without its header. */
export const bytesOf = ({ payload, rest }: OutgoingFrame): number => payload.length + rest.length;

export const noRest = new Uint8Array(0);

/**
 * The frames of one lane in their order: those sent that the other side has not said to have read, then those that wait.
 *
 * 1. confirmed <= sent <= offered
 * 2. of a sent frame only its tag and its size are kept
 */
export class FrameQueue {
  /** From the first unconfirmed on, beginning at #head. Null once sent. */
  #frames: (OutgoingFrame | null)[] = [];
  #sizes: number[] = [];
  #tags: number[] = [];
  #head = 0;
  /** Place of the first element of the arrays: places never change while elements move. */
  #placeBase = 0;
  #sentCount = 0;
  #waitingBytes = 0;
  #unconfirmedBytes = 0;

  /** Frames that wait. */
  get waiting(): number {
    return this.#frames.length - this.#head - this.#sentCount;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Frames and bytes sent and not confirmed. */
  get unconfirmed(): number {
    return this.#sentCount;
  }

  get unconfirmedBytes(): number {
    return this.#unconfirmedBytes;
  }

  push(frame: OutgoingFrame): void {
    const bytes = bytesOf(frame);
    this.#frames.push(frame);
    this.#sizes.push(bytes);
    this.#tags.push(frame.tag);
    this.#waitingBytes += bytes;
  }

  /** The next to be sent; null when none waits. */
  peek(): OutgoingFrame | null {
    return this.#frames[this.#head + this.#sentCount] ?? null;
  }

  /** The place of the last one pushed, for `replace`: stays valid while it waits. */
  get lastPlace(): number {
    return this.#placeBase + this.#frames.length - 1;
  }

  /** Puts a newer frame in the place of one that waits. */
  replace(place: number, frame: OutgoingFrame): void {
    const at = place - this.#placeBase;
    assert(at >= this.#head + this.#sentCount && at < this.#frames.length, "only what waits is replaced");
    const bytes = bytesOf(frame);
    this.#waitingBytes += bytes - this.#sizes[at]!;
    this.#frames[at] = frame;
    this.#sizes[at] = bytes;
    this.#tags[at] = frame.tag;
  }

  /** The next one is handed to the socket. */
  sent(): void {
    const at = this.#head + this.#sentCount;
    const size = this.#sizes[at]!;
    this.#frames[at] = null;
    this.#sentCount++;
    this.#waitingBytes -= size;
    this.#unconfirmedBytes += size;
  }

  /** The other side has read so many more. */
  confirm(count: number): void {
    assert(count <= this.#sentCount, "confirmed more than was sent");
    for (let done = 0; done < count; done++) this.#unconfirmedBytes -= this.#sizes[this.#head + done]!;
    this.#head += count;
    this.#sentCount -= count;
    // Once a quarter thousand are done and they are half of all: each frame is moved at most once on average.
    if (this.#head >= 256 && this.#head * 2 >= this.#frames.length) this.#compact();
  }

  /** Tags of all frames that the other side has not confirmed, in their order. */
  tags(): number[] {
    return this.#tags.slice(this.#head);
  }

  #compact(): void {
    this.#frames = this.#frames.slice(this.#head);
    this.#sizes = this.#sizes.slice(this.#head);
    this.#tags = this.#tags.slice(this.#head);
    this.#placeBase += this.#head;
    this.#head = 0;
  }
}
