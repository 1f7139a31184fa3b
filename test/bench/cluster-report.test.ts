import { expect, test } from "vitest";
import type { RunResult } from "../../src/apps/bench/peers/measure.ts";
import { clusterMarkdown, clusterRatios, type ClusterReport } from "../../src/apps/bench/peers/cluster-report.ts";
import { rowOf } from "../../src/apps/bench/peers/report-row.ts";

const run = (changed: Partial<RunResult>): RunResult => ({
  ratePerSecond: 1,
  p50Ms: 1,
  p99Ms: 1,
  serverCpuSecondsPerMillion: 1,
  serverResidentBytes: 1024 * 1024,
  clientCpuSecondsPerMillion: 1,
  errors: 0,
  firstError: null,
  ...changed,
});

const nothing: ClusterReport = { publish: [], silences: [], returns: [], losses: [], growth: [], readers: [] };
const row = (system: string, work: string, changed: Partial<RunResult>) =>
  rowOf({ system, work, bodyBytes: 128, runs: [run(changed)] }, 1_000_000);
const [ours, jetStream, etcd] = ["Synod × 3, clients at the leader", "JetStream R3, default", "etcd × 3"] as const;

const shown = (report: Partial<ClusterReport>) =>
  clusterRatios({ ...nothing, ...report }).map(({ what, value, met }) => [what, Number(value.toFixed(3)), met]);

test("rates are better the more, latencies and CPU the less", () => {
  const publish = [
    row(ours, "64 × 1", { ratePerSecond: 160, p99Ms: 13, serverCpuSecondsPerMillion: 9 }),
    row(jetStream, "64 × 1", { ratePerSecond: 100, p99Ms: 10, serverCpuSecondsPerMillion: 10 }),
    row(etcd, "64 × 1", { ratePerSecond: 70 }),
  ];
  expect(shown({ publish })).toEqual([
    ["64 × 1, 128 B, rate", 1.6, "aim"],
    ["64 × 1, 128 B, rate", 2.286, "at least"],
    ["64 × 1, 128 B, p99", 1.3, "no"],
    ["64 × 1, 128 B, CPU", 0.9, "at least"],
  ]);
});

test("a leader that is killed is compared with etcd's median, one that is silent with a time", () => {
  const silences = [
    { system: ours, harm: "killed" as const, silencesMs: [100, 300, 200], error: null },
    { system: etcd, harm: "killed" as const, silencesMs: [1000, 3000, 2000], error: null },
    { system: ours, harm: "frozen" as const, silencesMs: [700, 3100, 900], error: null },
  ];
  expect(shown({ silences })).toEqual([
    ["leader killed, median", 0.1, "aim"],
    ["leader killed, worst", 0.15, "aim"],
    ["leader frozen, median", 900, "at least"],
    ["leader frozen, worst", 3100, "no"],
  ]);
});

test("what failed meets nothing", () => {
  const returns = [
    { system: ours, messages: 200_000, returnsMs: [10], error: "it did not come back" },
    { system: jetStream, messages: 200_000, returnsMs: [100], error: null },
  ];
  expect(shown({ returns })).toEqual([["server back after 200,000 missed messages", 0.1, null]]);
});

test("only what was measured is shown", () => {
  expect(clusterMarkdown(nothing)).toEqual([]);
  const losses = [{ system: ours, ratePerSecond: 5_000, whole: run({ p99Ms: 10 }), without: run({ p99Ms: 11 }) }];
  const text = clusterMarkdown({ ...nothing, losses }).join("\n");
  expect(text).toContain("| 5,000 | 1 | 10 | 1 | 11 |  |");
  expect(text).toContain("| one follower lost, p99 |");
  expect(text).not.toContain("comes back");
});
