import type { LossRow, ReturnRow, SilenceRow } from "./cluster-measure.ts";
import type { RunResult } from "./measure.ts";
import { count, median, short, whyNot } from "./report.ts";
import type { ReportRow } from "./report.ts";

/** The clustered rows: what Synod with three servers does beside JetStream R3 and etcd. */
export interface ClusterReport {
  readonly publish: readonly ReportRow[];
  readonly silences: readonly SilenceRow[];
  readonly returns: readonly ReturnRow[];
  readonly losses: readonly LossRow[];
  readonly growth: readonly ReportRow[];
  readonly readers: readonly ReportRow[];
}

/** One number of Synod beside one of a peer, or beside a bound of its own. */
export interface ClusterRatio {
  readonly what: string;
  readonly system: string;
  /** `null`: the value itself is bounded. */
  readonly peer: string | null;
  readonly value: number;
  readonly atLeast: number;
  readonly aim: number;
  /** More is better, or less is. */
  readonly better: "more" | "less";
  /** In what the value is: times the peer's, or milliseconds. */
  readonly unit: "×" | "ms";
  /** The row of one of the two does not count. */
  readonly counts: boolean;
}

interface PublishGoal {
  readonly work: string;
  readonly bodyBytes: number;
  readonly peer: "JetStream" | "etcd";
  readonly of: "rate" | "p50" | "p99" | "CPU";
  readonly atLeast: number;
  readonly aim: number;
}

/** Rates: more is better. Latencies and CPU: less is. */
const publishGoals: readonly PublishGoal[] = [
  { work: "4 × 1000", bodyBytes: 128, peer: "JetStream", of: "rate", atLeast: 2, aim: 5 },
  { work: "4 × 1000", bodyBytes: 1024, peer: "JetStream", of: "rate", atLeast: 1.3, aim: 3 },
  { work: "4 × 1000", bodyBytes: 128, peer: "etcd", of: "rate", atLeast: 10, aim: 30 },
  { work: "4 × 1000", bodyBytes: 1024, peer: "etcd", of: "rate", atLeast: 10, aim: 30 },
  { work: "64 × 1", bodyBytes: 128, peer: "JetStream", of: "rate", atLeast: 1, aim: 1.5 },
  { work: "64 × 1", bodyBytes: 128, peer: "etcd", of: "rate", atLeast: 2, aim: 3.5 },
  { work: "64 × 1", bodyBytes: 128, peer: "JetStream", of: "p99", atLeast: 1.2, aim: 0.7 },
  { work: "1 × 1", bodyBytes: 128, peer: "etcd", of: "p50", atLeast: 0.7, aim: 0.4 },
  { work: "4 × 1000", bodyBytes: 128, peer: "JetStream", of: "CPU", atLeast: 0.6, aim: 0.2 },
  { work: "64 × 1", bodyBytes: 128, peer: "JetStream", of: "CPU", atLeast: 1, aim: 0.5 },
];

const numberOf = (run: RunResult, of: PublishGoal["of"]): number => {
  switch (of) {
    case "rate":
      return run.ratePerSecond;
    case "p50":
      return run.p50Ms ?? Number.NaN;
    case "p99":
      return run.p99Ms ?? Number.NaN;
    case "CPU":
      return run.serverCpuSecondsPerMillion ?? Number.NaN;
  }
};

/** What Synod is held to, as far as both sides of it were measured. */
export function clusterRatios(report: ClusterReport): ClusterRatio[] {
  return [...publishRatios(report), ...silenceRatios(report), ...returnRatios(report), ...lossRatios(report)];
}

function publishRatios({ publish }: ClusterReport): ClusterRatio[] {
  const ratios: ClusterRatio[] = [];
  for (const goal of publishGoals) {
    const rows = publish.filter((row) => row.work === goal.work && row.bodyBytes === goal.bodyBytes);
    const peer = rows.find(({ system }) => system.startsWith(goal.peer));
    if (peer === undefined) continue;
    for (const ours of rows.filter(({ system }) => system.startsWith("Synod"))) {
      ratios.push({
        what: `${goal.work}, ${goal.bodyBytes} B, ${goal.of}`,
        system: ours.system,
        peer: peer.system,
        value: numberOf(ours.median, goal.of) / numberOf(peer.median, goal.of),
        atLeast: goal.atLeast,
        aim: goal.aim,
        better: goal.of === "rate" ? "more" : "less",
        unit: "×",
        counts: ours.median.errors === 0 && peer.median.errors === 0,
      });
    }
  }
  return ratios;
}

const worst = (values: readonly number[]): number => Math.max(...values);

function silenceRatios({ silences }: ClusterReport): ClusterRatio[] {
  const ratios: ClusterRatio[] = [];
  const etcd = silences.find(({ system, harm }) => system.startsWith("etcd") && harm === "killed");
  const theirs = etcd === undefined ? null : median(etcd.silencesMs);
  for (const { system, harm, silencesMs, error } of silences) {
    if (!system.startsWith("Synod") || silencesMs.length === 0) continue;
    const middle = median(silencesMs)!;
    const common = { system, better: "less", counts: error === null } as const;
    if (harm !== "killed") {
      const own = { ...common, peer: null, unit: "ms" } as const;
      ratios.push({ ...own, what: `leader ${harm}, median`, value: middle, atLeast: 1_500, aim: 800 });
      ratios.push({ ...own, what: `leader ${harm}, worst`, value: worst(silencesMs), atLeast: 3_000, aim: 1_500 });
    } else if (etcd !== undefined && theirs !== null) {
      const beside = { ...common, peer: `${etcd.system}, median`, unit: "×" } as const;
      ratios.push({ ...beside, what: "leader killed, median", value: middle / theirs, atLeast: 0.5, aim: 0.15 });
      ratios.push({ ...beside, what: "leader killed, worst", value: worst(silencesMs) / theirs, atLeast: 1, aim: 0.4 });
    }
  }
  return ratios;
}

function returnRatios({ returns }: ClusterReport): ClusterRatio[] {
  const ours = returns.find(({ system }) => system.startsWith("Synod"));
  const theirs = returns.find(({ system }) => system.startsWith("JetStream"));
  const [own, other] = [median(ours?.returnsMs ?? []), median(theirs?.returnsMs ?? [])];
  if (ours === undefined || theirs === undefined || own === null || other === null) return [];
  const what = `server back after ${ours.messages.toLocaleString("en-US")} missed messages`;
  const beside = { system: ours.system, peer: theirs.system, value: own / other };
  const counts = ours.error === null && theirs.error === null;
  return [{ what, ...beside, atLeast: 1, aim: 0.3, better: "less", unit: "×", counts }];
}

function lossRatios({ losses }: ClusterReport): ClusterRatio[] {
  const first = losses[0];
  const value = median(losses.map(({ whole, without }) => (without.p99Ms ?? Number.NaN) / (whole.p99Ms ?? Number.NaN)));
  if (first === undefined || value === null) return [];
  const counts = losses.every(({ whole, without }) => whole.errors + without.errors === 0);
  const bounds = { atLeast: 1.2, aim: 1, better: "less", unit: "×" } as const;
  const what = "one follower lost, p99";
  return [{ what, system: first.system, peer: "the same with all servers", value, ...bounds, counts }];
}

/** `null`: it can't be said. */
export function clusterMet({ value, atLeast, aim, better, counts }: ClusterRatio): "aim" | "at least" | "no" | null {
  if (!counts || Number.isNaN(value)) return null;
  const reaches = (bound: number): boolean => (better === "more" ? value >= bound : value <= bound);
  return reaches(aim) ? "aim" : reaches(atLeast) ? "at least" : "no";
}

/** The report's part for docs/benchmarks.md. */
export function clusterMarkdown(report: ClusterReport): string[] {
  const lines: string[] = [];
  const section = (title: string, table: readonly string[]): void => {
    lines.push(`### ${title}`, "", ...table, "");
  };
  if (report.publish.length > 0) section("Several servers: publish", publishTable(report.publish));
  if (report.silences.length > 0) {
    section("Several servers: silence when the leader goes", silenceTable(report.silences));
  }
  if (report.returns.length > 0) section("Several servers: a server comes back", returnTable(report.returns));
  if (report.losses.length > 0) section("Several servers: one follower lost", lossTable(report.losses));
  if (report.growth.length > 0) section("Several servers: more followers", publishTable(report.growth));
  if (report.readers.length > 0) section("Several servers: readers on followers", publishTable(report.readers));
  const ratios = clusterRatios(report);
  if (ratios.length > 0) section("Several servers: what is to be reached", ratioTable(ratios));
  return lines;
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  `| ${head.join(" | ")} |`,
  `| ${head.map(() => "---").join(" | ")} |`,
  ...rows.map((cells) => `| ${cells.join(" | ")} |`),
];

function publishTable(rows: readonly ReportRow[]): string[] {
  const head = ["work", "body", "system", "per second", "p50 ms", "p99 ms", "servers' CPU s/M", "servers' MiB"];
  return table(
    [...head, "generator ceiling", "counts"],
    rows.map((row) => {
      const { median: middle } = row;
      const memory = middle.serverResidentBytes === null ? null : middle.serverResidentBytes / 1024 / 1024;
      return [
        row.work,
        `${row.bodyBytes} B`,
        row.system,
        count(middle.ratePerSecond),
        short(middle.p50Ms),
        short(middle.p99Ms),
        short(middle.serverCpuSecondsPerMillion),
        count(memory),
        count(row.ceilingPerSecond),
        row.counts ? "yes" : whyNot(row),
      ];
    }),
  );
}

function silenceTable(rows: readonly SilenceRow[]): string[] {
  return table(
    ["the leader is", "system", "times", "least ms", "median ms", "worst ms", "errors"],
    rows.map(({ harm, system, silencesMs, error }) => {
      const least = silencesMs.length === 0 ? null : Math.min(...silencesMs);
      const most = silencesMs.length === 0 ? null : worst(silencesMs);
      const cells = [harm, system, `${silencesMs.length}`, short(least), short(median(silencesMs)), short(most)];
      return [...cells, error ?? ""];
    }),
  );
}

function returnTable(rows: readonly ReturnRow[]): string[] {
  return table(
    ["missed", "system", "ms, each run", "median ms", "errors"],
    rows.map(({ messages, system, returnsMs, error }) => {
      const each = returnsMs.map((ms) => short(ms)).join(", ");
      return [count(messages), system, each, short(median(returnsMs)), error ?? ""];
    }),
  );
}

function lossTable(rows: readonly LossRow[]): string[] {
  const cells = (run: RunResult): string[] => [short(run.p50Ms), short(run.p99Ms)];
  return table(
    ["due per second", "p50 ms with all", "p99 ms with all", "p50 ms without one", "p99 ms without one", "errors"],
    rows.map(({ ratePerSecond, whole, without }) => {
      const errors = [whole.firstError, without.firstError].filter((one) => one !== null);
      return [count(ratePerSecond), ...cells(whole), ...cells(without), errors.join("; ")];
    }),
  );
}

function ratioTable(ratios: readonly ClusterRatio[]): string[] {
  return table(
    ["what", "system / peer", "ratio", "at least", "aim", "met"],
    ratios.map((ratio) => {
      const { what, system, peer, value, atLeast, aim, better, unit } = ratio;
      const bound = (limit: number): string =>
        `${better === "less" ? "≤ " : ""}${limit}${unit === "ms" ? " ms" : unit}`;
      const shown = unit === "ms" ? `${Math.round(value)} ms` : `${short(value)}×`;
      return [
        what,
        peer === null ? system : `${system} / ${peer}`,
        shown,
        bound(atLeast),
        bound(aim),
        clusterMet(ratio) ?? "",
      ];
    }),
  );
}
