import { assert } from "../../base/assert.ts";
import type { LogIndex } from "../../base/ids.ts";

/**
 * Messages with entries that are on their way to one follower: by the index of their last entry, and bytes.
 *
 * 1. last indexes increase
 * 2. count <= messagesMax
 */
export class InFlight {
  readonly #lasts: LogIndex[] = [];
  readonly #sizes: number[] = [];
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(limits: { messagesMax: number; bytesMax: number }) {
    this.#messagesMax = limits.messagesMax;
    this.#bytesMax = limits.bytesMax;
  }

  get count(): number {
    return this.#lasts.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#lasts.length >= this.#messagesMax || this.#bytes >= this.#bytesMax;
  }

  add(last: LogIndex, bytes: number): void {
    assert(this.#lasts.length < this.#messagesMax, "more messages in flight than allowed");
    assert(last > (this.#lasts.at(-1) ?? 0), "a message overtakes itself");
    this.#lasts.push(last);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** Everything up to `index` has arrived. */
  arrived(index: LogIndex): void {
    let count = 0;
    while (count < this.#lasts.length && this.#lasts[count]! <= index) this.#bytes -= this.#sizes[count++]!;
    if (count > 0) {
      this.#lasts.splice(0, count);
      this.#sizes.splice(0, count);
    }
  }

  clear(): void {
    this.#lasts.length = 0;
    this.#sizes.length = 0;
    this.#bytes = 0;
  }
}
