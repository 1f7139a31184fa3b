import { expect, test } from "vitest";
import { growthMarkdown, growthRow } from "../../src/apps/bench/growth/growth-report.ts";
import type { RunResult } from "../../src/apps/bench/peers/measure.ts";
import { median, rowOf } from "../../src/apps/bench/peers/report-row.ts";
import { markdownOf, ratiosOf } from "../../src/apps/bench/peers/report.ts";

const run = (ratePerSecond: number, changed: Partial<RunResult> = {}): RunResult => ({
  ratePerSecond,
  p50Ms: 1000 / ratePerSecond,
  p99Ms: null,
  serverCpuSecondsPerMillion: null,
  serverResidentBytes: null,
  clientCpuSecondsPerMillion: null,
  errors: 0,
  firstError: null,
  ...changed,
});

const row = (system: string, rates: number[], ceiling: number | null, work = "4 × 1000") =>
  rowOf({ system, work, bodyBytes: 128, runs: rates.map((rate) => run(rate)) }, ceiling);

test("the median is the middle, and what was not measured is left out", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, null, 2, 3])).toBe(2.5);
  expect(median([null])).toBeNull();
});

test("a row counts from twice the row on, and never with errors or without a ceiling", () => {
  expect(row("Synod", [90, 100, 110], 200).counts).toBe(true);
  expect(row("Synod", [90, 100, 110], 199).counts).toBe(false);
  expect(row("Synod", [100], null).counts).toBe(false);
  const failed = { system: "Synod", work: "1 × 1", bodyBytes: 128, runs: [run(100), run(100, { errors: 1 })] };
  expect(rowOf(failed, 1000).counts).toBe(false);
});

test("a ratio meets its goal only when both rows count", () => {
  const peer = "Redis Streams, appendfsync always";
  const met = (ours: number, ceiling: number) =>
    ratiosOf([row("Synod", [ours], ceiling), row(peer, [100], 1000)]).map((ratio) => [ratio.value, ratio.met]);
  expect(met(120, 1000)).toEqual([[1.2, "aim"]]);
  expect(met(50, 1000)).toEqual([[0.5, "at least"]]);
  expect(met(40, 1000)).toEqual([[0.4, "no"]]);
  expect(met(120, 100)).toEqual([[1.2, null]]);
});

test("one client, one in flight is compared by p50, where less is better", () => {
  const rows = [row("Synod", [100], 1000, "1 × 1"), row("Redis Streams, appendfsync always", [125], 1000, "1 × 1")];
  const [ratio] = ratiosOf(rows);
  expect(ratio).toMatchObject({ what: "1 × 1, 128 B, p50", better: "less", met: "at least" });
  expect(ratio?.value).toBeCloseTo(1.25);
});

test("JSON frames have a row but no goal, and what is missing is said", () => {
  const rows = [row("Synod, JSON frames", [500], 5000), row("Redis Streams, appendfsync always", [100], 150)];
  expect(ratiosOf(rows)[0]).toMatchObject({ goal: null, met: null });
  const machine = { cpus: 2, cpuModel: "a CPU", node: "20", kernel: "6" };
  const report = {
    startedAt: "2026-01-02T03:04:05Z",
    machine,
    versions: { Redis: "7" },
    runs: 3,
    fanOut: [],
    idle: [],
  };
  const text = markdownOf({ ...report, missing: ["JetStream: not in this version"], publish: rows });
  expect(text).toContain("- JetStream: not in this version");
  expect(text).toContain("| no: ceiling is 1.5× |");
  expect(text).toContain("| Synod, JSON frames / Redis Streams, appendfsync always | 5× |");
});

test("a row of the SDK has no ceiling, says what it measures, and stands beside Synod without it", () => {
  const sdk = (errors: number) =>
    rowOf(
      { system: "Synod, SDK", work: "4 × 1000", bodyBytes: 128, runs: [run(50, { errors })] },
      null,
      "server and SDK",
    );
  expect(sdk(1).counts).toBe(false);
  const rows = [row("Synod", [100], 1000), sdk(0), row("Redis Streams, appendfsync always", [200], 1000)];
  expect(ratiosOf(rows).map(({ system, peer, value, goal }) => [system, peer, value, goal?.aim])).toEqual([
    ["Synod", "Redis Streams, appendfsync always", 0.5, 1],
    ["Synod, SDK", "Synod", 0.5, undefined],
  ]);
  const machine = { cpus: 2, cpuModel: "a CPU", node: "20", kernel: "6" };
  const rest = { startedAt: "2026-01-02T03:04:05Z", machine, versions: {}, runs: 1, missing: [], fanOut: [], idle: [] };
  expect(markdownOf({ ...rest, publish: rows })).toContain("| yes: server and SDK |");
});

test("growth: a ratio beyond what is allowed is not met, and one that cannot be told says nothing", () => {
  const given = { what: "publish", unit: "s/M", grows: "rooms", from: 1, to: 10_000, allowed: 1.25 };
  expect(growthRow({ ...given, values: [2, 2.5] })).toMatchObject({ ratio: 1.25, met: true });
  expect(growthRow({ ...given, values: [2, 2.6] }).met).toBe(false);
  expect(growthRow({ ...given, values: [null, 2] })).toMatchObject({ ratio: null, met: null });
  expect(growthMarkdown([growthRow({ ...given, values: [2, 2.6] })])).toContain(
    "| publish | rooms | 1 → 10,000 | 2 s/M | 2.6 s/M | 1.30× | ≤ 1.25× | no |",
  );
});
