/**
 * Where the sealed messages of one room lie: for each chunk that holds some, which seqs, how many bytes, and when the
 * last was written. In ascending order of chunk and of seq, so that a seq is found by halving.
 *
 * 1. run i ends before run i + 1 begins
 * 2. a run ends at or above the room's `first`; those wholly below are dropped
 *
 * Flat numbers: a room of a year has hundreds of runs, and there are many rooms.
 */
const fields = 5;

export class Runs {
  readonly #numbers: number[] = [];

  get length(): number {
    return this.#numbers.length / fields;
  }
  chunk(i: number): number {
    return this.#numbers[i * fields]!;
  }
  firstSeq(i: number): number {
    return this.#numbers[i * fields + 1]!;
  }
  lastSeq(i: number): number {
    return this.#numbers[i * fields + 2]!;
  }
  /** Bytes of the run's records in the chunk. */
  bytes(i: number): number {
    return this.#numbers[i * fields + 3]!;
  }
  /** `ts` of the last message of the run. */
  lastTs(i: number): number {
    return this.#numbers[i * fields + 4]!;
  }

  /** The run that holds `seq`, or else the first one behind it; `length` when there is none. */
  find(seq: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.lastSeq(middle) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The chunk that holds `seq`; 0 when it is in no run: not sealed yet, or removed. */
  chunkOf(seq: number): number {
    const i = this.find(seq);
    return i < this.length && this.firstSeq(i) <= seq ? this.chunk(i) : 0;
  }

  /** The run in this chunk; -1 when there is none. */
  ofChunk(chunk: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.chunk(middle) < chunk) low = middle + 1;
      else high = middle;
    }
    return low < this.length && this.chunk(low) === chunk ? low : -1;
  }

  /**
   * Bytes of the run's records from `first` on. Nobody counts the bytes of single messages here: what is left is taken to
   * be of average size.
   */
  keptBytes(i: number, first: number): number {
    const count = this.lastSeq(i) - this.firstSeq(i) + 1;
    const kept = Math.min(count, this.lastSeq(i) - first + 1);
    return Math.floor((this.bytes(i) / count) * kept);
  }

  // The following are for `apply` and `restore` alone.
  append(chunk: number, firstSeq: number, lastSeq: number, bytes: number, lastTs: number): void {
    this.#numbers.push(chunk, firstSeq, lastSeq, bytes, lastTs);
  }
  /** Forgets the first `count` runs. */
  dropFirst(count: number): void {
    this.#numbers.splice(0, count * fields);
  }
  /** A rewritten chunk holds the run only from `firstSeq` on, with so many bytes. */
  shorten(i: number, firstSeq: number, bytes: number): void {
    this.#numbers[i * fields + 1] = firstSeq;
    this.#numbers[i * fields + 3] = bytes;
  }
}
