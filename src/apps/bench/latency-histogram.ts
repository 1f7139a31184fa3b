import { assert } from "../../base/assert.ts";

/**
 * Latencies as a high dynamic range histogram: whole microseconds, three significant digits, up to half an hour.
 *
 * Up to 2047 µs every microsecond has a bucket of its own; above, each doubling is cut into 1024 equal buckets, so a
 * value is known to better than 0.1 %. This is the bucket scheme of HdrHistogram with three digits. It is written out
 * here, and not taken from `node:perf_hooks`, because the histograms of several processes have to be added up and those
 * of Node cannot leave their process; a test holds the percentiles of both equal.
 *
 * 1. total is the sum of counts.
 * 2. Adding the histograms of parts gives the histogram of the whole, in any order.
 */
export class LatencyHistogram {
  private readonly counts = new Float64Array(bucketIndex(microsMax) + 1);
  private recorded = 0;
  private largest = 0;

  get total(): number {
    return this.recorded;
  }

  /** The largest latency, exact. 0 when nothing was recorded. */
  get maxMs(): number {
    return this.largest / 1000;
  }

  /** Records one latency `times` times. What is below zero counts as zero, what is above half an hour as half an hour. */
  recordMs(milliseconds: number, times: number): void {
    assert(!Number.isNaN(milliseconds), "a latency is a number");
    const micros = Math.min(Math.max(Math.round(milliseconds * 1000), 0), microsMax);
    const index = bucketIndex(micros);
    this.counts[index] = this.counts[index]! + times;
    this.recorded += times;
    if (micros > this.largest) this.largest = micros;
  }

  /** The latency that `percent` of all do not exceed, in milliseconds; `null` when nothing was recorded. */
  percentileMs(percent: number): number | null {
    if (this.recorded === 0) return null;
    const rank = Math.max(1, Math.ceil((percent / 100) * this.recorded));
    let seen = 0;
    for (let index = 0; index < this.counts.length; index += 1) {
      seen += this.counts[index]!;
      if (seen >= rank) return Math.min(bucketTop(index), this.largest) / 1000;
    }
    return this.largest / 1000;
  }

  add(other: HistogramCounts): void {
    for (let place = 0; place + 1 < other.counts.length; place += 2) {
      const index = other.counts[place]!;
      const count = other.counts[place + 1]!;
      assert(index < this.counts.length, "the histogram has other buckets");
      this.counts[index] = this.counts[index]! + count;
      this.recorded += count;
    }
    this.largest = Math.max(this.largest, other.maxMicros);
  }

  /** What another process needs to add this histogram to its own. */
  toCounts(): HistogramCounts {
    const counts: number[] = [];
    for (let index = 0; index < this.counts.length; index += 1) {
      if (this.counts[index]! > 0) counts.push(index, this.counts[index]!);
    }
    return { counts, maxMicros: this.largest };
  }

  summary(): LatencySummary {
    const max = this.recorded === 0 ? null : this.maxMs;
    return { p50: this.percentileMs(50), p99: this.percentileMs(99), p999: this.percentileMs(99.9), max };
  }
}

/** Buckets that are not empty: index, count, index, count … */
export interface HistogramCounts {
  readonly counts: readonly number[];
  readonly maxMicros: number;
}

/** Latencies in milliseconds; `null` when nothing was measured. */
export interface LatencySummary {
  readonly p50: number | null;
  readonly p99: number | null;
  readonly p999: number | null;
  readonly max: number | null;
}

const microsMax = 30 * 60 * 1_000_000;

/** The bucket of a whole number of microseconds. */
function bucketIndex(micros: number): number {
  if (micros < 2048) return micros;
  const shift = 21 - Math.clz32(micros);
  return 1024 * shift + (micros >>> shift);
}

/** The largest number of microseconds in a bucket. */
function bucketTop(index: number): number {
  if (index < 2048) return index;
  const shift = Math.floor(index / 1024) - 1;
  return (index - 1024 * shift + 1) * 2 ** shift - 1;
}
