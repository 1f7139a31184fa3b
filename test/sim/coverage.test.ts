import { expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { millis } from "../../src/base/units.ts";
import { addedUp, Coverage, coverageTable } from "../../src/sim/coverage.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";

test("an operation meets a fault where both share a time and a host", async () => {
  const scheduler = new Scheduler({ random: seededRandom(1) });
  const coverage = new Coverage(scheduler);
  const pass = (ms: number): Promise<void> => scheduler.run({ until: millis(scheduler.now() + ms) });
  coverage.fault("pause", ["n1"], 5_000);
  coverage.fault("cut", ["n1", "c1"], 0);
  coverage.over("send", () => ["c2", "n2", null]);
  expect(coverage.counts()).toEqual({});
  coverage.over("send", () => ["c1", "n2", null]);
  expect(coverage.counts()).toEqual({ send: { cut: 1 } });
  // A cut is felt for a second; the pause lasts.
  await pass(2_000);
  coverage.over("lookup", () => ["n1"]);
  expect(coverage.counts()).toEqual({ send: { cut: 1 }, lookup: { pause: 1 } });
  // What began before a fault was over has met it, however late it ends.
  await pass(20_000);
  coverage.over("send", () => ["n1"]);
  coverage.over("send", () => ["n1"], 500);
  expect(coverage.counts()).toEqual({ send: { cut: 2, pause: 1 }, lookup: { pause: 1 } });
});

test("what several runs met adds up, and the table shows what never met", () => {
  const together = addedUp([{ send: { cut: 2 } }, { send: { cut: 3, kill: 12_345 } }, { stop: { kill: 1 } }]);
  expect(together).toEqual({ send: { cut: 5, kill: 12_345 }, stop: { kill: 1 } });
  const lines = coverageTable(together, ["cut", "kill"]).split("\n");
  expect(lines[0]!.split(/\s+/).slice(1)).toEqual(["cut", "kill"]);
  expect(lines.find((line) => line.startsWith("send "))!.split(/\s+/)).toEqual(["send", "5", "12k"]);
  expect(lines.find((line) => line.startsWith("stop "))!.split(/\s+/)).toEqual(["stop", ".", "1"]);
  expect(lines.at(-1)).toMatch(/^3 of \d+ pairs have met$/);
});
