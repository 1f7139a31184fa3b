/** Blocks are so large, doubling from one to the next. What is larger gets a block of its own, which is not kept. */
const blockBytesMin = 1024;
const blockBytesMax = 64 * 1024;
const sizes = Math.log2(blockBytesMax / blockBytesMin) + 1;
/** What is kept for the next who need some. */
const spareBytesMax = 4 * 1024 * 1024;

/**
 * Memory for bytes that must outlive the turn in which they came, used again and again. Allocated anew for each read, tens of
 * megabytes in a second, it would have the collector go over the whole heap several times a second, however little of it is in use.
 *
 * A block belongs to whoever has taken it until it is given back. One that is never given back is only lost to the pool.
 */
export class BytePool {
  readonly #spare: readonly Uint8Array[][] = Array.from({ length: sizes }, () => []);
  #spareBytes = 0;

  /** Bytes that nobody uses right now. */
  get spareBytes(): number {
    return this.#spareBytes;
  }

  /** A block of at least so many bytes, at most twice as many. What is in it is anybody's. */
  take(bytes: number): Uint8Array {
    if (bytes > blockBytesMax) return new Uint8Array(bytes);
    const size = sizeOf(bytes);
    const block = this.#spare[size]!.pop();
    if (block === undefined) return new Uint8Array(blockBytesMin << size);
    this.#spareBytes -= block.length;
    return block;
  }

  /** Takes a block back, whole. Nobody may read it any more. */
  giveBack(block: Uint8Array): void {
    if (block.length > blockBytesMax || this.#spareBytes + block.length > spareBytesMax) return;
    this.#spareBytes += block.length;
    this.#spare[sizeOf(block.length)]!.push(block);
  }
}

// The number of the smallest size that holds so many bytes.
const sizeOf = (bytes: number): number => (bytes <= blockBytesMin ? 0 : 32 - Math.clz32((bytes - 1) / blockBytesMin));
