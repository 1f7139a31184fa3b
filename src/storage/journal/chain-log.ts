import { assert, broken } from "../../base/assert.ts";
import { chainBytes, noChain } from "./records.ts";

/**
 * The chains of one group's log from one index on, 8 bytes each, so that an entry that replaces a suffix continues the
 * right one.
 *
 * 1. It holds `first` to `last`, and always at least one index.
 */
export class ChainLog {
  #bytes = new Uint8Array(16 * chainBytes);
  #first: number;
  #count = 1;

  /** Starts with one chain: of the entry at `first`, or of whatever stands before the first entry. */
  constructor(first: number, chain: Uint8Array = noChain) {
    this.#first = first;
    this.#bytes.set(chain);
  }

  get last(): number {
    return this.#first + this.#count - 1;
  }

  has(index: number): boolean {
    return index >= this.#first && index <= this.last;
  }

  /** A view, good until the next change. */
  at(index: number): Uint8Array {
    if (!this.has(index)) broken(`the chain at ${index} is not kept: only ${this.#first} to ${this.last}`);
    const at = (index - this.#first) * chainBytes;
    return this.#bytes.subarray(at, at + chainBytes);
  }

  push(index: number, chain: Uint8Array): void {
    if (index !== this.last + 1) broken(`the chain of ${index} does not follow that of ${this.last}`);
    const at = this.#count * chainBytes;
    if (at === this.#bytes.length) {
      const larger = new Uint8Array(at * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(chain, at);
    this.#count++;
  }

  /** Forgets all above `index`. */
  truncate(index: number): void {
    assert(this.has(index), `cannot go back to ${index}: only ${this.#first} to ${this.last} are kept`);
    this.#count = index - this.#first + 1;
  }

  /** May forget all below `index`. */
  release(index: number): void {
    const released = index - this.#first;
    // Moving the rest costs as much as it has bytes, so it waits until at least half can go.
    if (released <= 0 || released * 2 < this.#count) return;
    this.#bytes.copyWithin(0, released * chainBytes, this.#count * chainBytes);
    this.#first = index;
    this.#count -= released;
  }

  /** The log goes on at `index` + 1, and what stood before is not known. */
  restart(index: number): void {
    this.#first = index;
    this.#count = 1;
    this.#bytes.fill(0, 0, chainBytes);
  }
}
