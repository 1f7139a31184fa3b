/**
 * What cuts a byte stream into parts, whatever the pieces it comes in: here stands the piece that is being cut, and what is
 * kept of those before it, the beginning of a part whose end has not come.
 *
 * 1. The parts that come out are those of the whole stream, at every way of cutting it into chunks.
 * 2. Only bytes that have come are held, and no more of them than the bound allows.
 * 3. A chunk may be reused by its owner once `next` has answered false; before, `rest` says what of it is still needed.
 *
 * ```ts
 * splitter.add(chunk);
 * while (splitter.next()) read(splitter.bytes, splitter.start, splitter.end);
 * ```
 */
export abstract class StreamSplitter {
  /** The current part lies in `bytes`, from `start` up to `end`, until `next` is called again. */
  bytes: Uint8Array = nothing;
  start = 0;
  end = 0;

  /** What a part may take at most. */
  protected bytesMax: number;
  /** What was handed over last, and how far it has been cut. */
  protected chunk: Uint8Array = nothing;
  protected at = 0;
  /** Begins with what is kept; the rest of it is room. */
  protected held: Uint8Array = nothing;
  #heldBytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Bytes of a part that is not whole yet. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Sets the bound for what comes next: before the greeting it is smaller. */
  allow(bytesMax: number): void {
    this.bytesMax = bytesMax;
  }

  /** Hands over the next piece of the stream. Everything before it must have been taken with `next`. */
  add(chunk: Uint8Array): void {
    this.chunk = chunk;
    this.at = 0;
  }

  /** What of the chunk was not looked at yet. Whoever needs the chunk's memory hands over a copy of it with `add`. */
  get rest(): Uint8Array {
    return this.chunk.subarray(this.at);
  }

  /** Goes to the next part; false when more bytes are needed. Throws a `Fault`; the stream cannot be used after that. */
  abstract next(): boolean;

  /** Moves the chunk's bytes up to `stop` into what is kept, which never grows beyond `most`. */
  protected hold(stop: number, most: number): void {
    const { at, chunk } = this;
    if (stop <= at) return;
    this.held = withRoom(this.held, this.#heldBytes, stop - at, most);
    this.held.set(chunk.subarray(at, stop), this.#heldBytes);
    this.#heldBytes += stop - at;
    this.at = stop;
  }

  /** What is kept is given out, and nothing is kept any more: its bytes hold until the next `hold`. */
  protected giveHeld(): Uint8Array {
    const { held } = this;
    this.#heldBytes = 0;
    if (held.length > heldKeptBytes) this.held = nothing;
    return held;
  }

  /** The chunk has been cut whole: its owner may have it back. */
  protected letGo(): void {
    this.chunk = nothing;
    this.at = 0;
  }
}

const nothing = new Uint8Array(0);

/** What a connection keeps for the next piece; anything larger is let go as soon as it has been given out. */
const heldKeptBytes = 4096;

/**
 * A buffer that begins with the first `used` bytes of `held` and has room for `more`. Grows by what really came, doubled
 * at most, and never beyond `most`, so that a peer cannot make it larger than what it has sent.
 */
function withRoom(held: Uint8Array, used: number, more: number, most: number): Uint8Array {
  const needed = used + more;
  if (needed <= held.length) return held;
  const grown = new Uint8Array(Math.max(needed, Math.min(needed * 2, most)));
  grown.set(held.subarray(0, used));
  return grown;
}
