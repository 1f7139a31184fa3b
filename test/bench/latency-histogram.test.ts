import { createHistogram } from "node:perf_hooks";
import { expect, test } from "vitest";
import { LatencyHistogram } from "../../src/apps/bench/latency-histogram.ts";

/** Latencies in whole microseconds, spread over seven orders of magnitude, the same in every run. */
function sample(count: number): number[] {
  let state = 7;
  return Array.from({ length: count }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return Math.max(1, Math.floor(10 ** ((state / 2_147_483_647) * 7)));
  });
}

test("percentiles equal those of Node's histogram with three digits", () => {
  const ours = new LatencyHistogram();
  const theirs = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });
  for (const micros of sample(20_000)) {
    ours.recordMs(micros / 1000, 1);
    theirs.record(micros);
  }
  for (const percent of [1, 10, 50, 90, 99, 99.9]) {
    expect([percent, Math.round(ours.percentileMs(percent)! * 1000)]).toEqual([percent, theirs.percentile(percent)]);
  }
});

test("percentiles are within a thousandth of the sorted truth, and the maximum is exact", () => {
  const histogram = new LatencyHistogram();
  const sorted = sample(5_000).sort((left, right) => left - right);
  for (const micros of sorted) histogram.recordMs(micros / 1000, 1);
  for (const percent of [0.1, 25, 50, 75, 99, 99.9, 100]) {
    const truth = sorted[Math.ceil((percent / 100) * sorted.length) - 1]!;
    const found = histogram.percentileMs(percent)! * 1000;
    expect(Math.abs(found - truth) / truth).toBeLessThanOrEqual(0.001);
  }
  expect(histogram.maxMs).toBe(sorted.at(-1)! / 1000);
});

test("parts added up in any order are the whole", () => {
  const whole = new LatencyHistogram();
  const parts = [new LatencyHistogram(), new LatencyHistogram(), new LatencyHistogram()];
  sample(3_000).forEach((micros, place) => {
    whole.recordMs(micros / 1000, 1);
    parts[place % 3]!.recordMs(micros / 1000, 1);
  });
  const sum = new LatencyHistogram();
  for (const part of parts.reverse()) sum.add(structuredClone(part.toCounts()));
  expect(sum.total).toBe(3_000);
  expect(sum.toCounts()).toEqual(whole.toCounts());
  expect(sum.summary()).toEqual(whole.summary());
});

test("nothing measured is null, and what lies outside the range counts at its edge", () => {
  const histogram = new LatencyHistogram();
  expect(histogram.summary()).toEqual({ p50: null, p99: null, p999: null, max: null });
  histogram.recordMs(-5, 1);
  histogram.recordMs(10 * 3_600_000, 1);
  expect(histogram.percentileMs(50)).toBe(0);
  expect(histogram.maxMs).toBe(1_800_000);
  expect(() => histogram.recordMs(Number.NaN, 1)).toThrow(/number/);
});
