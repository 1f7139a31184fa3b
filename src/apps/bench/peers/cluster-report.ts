import type { LossRow, ReturnRow, SilenceRow } from "./cluster-measure.ts";
import { count, short, table } from "../markdown-table.ts";
import type { RunResult } from "./measure.ts";
import { type Goal, type Ratio, ratioOf, ratioTable } from "./ratio.ts";
import { median, type ReportRow, rowTable } from "./report-row.ts";

/** The clustered rows: what Synod with three servers does beside JetStream R3 and etcd. */
export interface ClusterReport {
  readonly publish: readonly ReportRow[];
  readonly silences: readonly SilenceRow[];
  readonly returns: readonly ReturnRow[];
  readonly losses: readonly LossRow[];
  readonly growth: readonly ReportRow[];
  readonly readers: readonly ReportRow[];
}

interface PublishGoal extends Goal {
  readonly work: string;
  readonly bodyBytes: number;
  readonly peer: "JetStream" | "etcd";
  readonly of: "rate" | "p50" | "p99" | "CPU";
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
export function clusterRatios(report: ClusterReport): Ratio[] {
  return [...publishRatios(report), ...silenceRatios(report), ...returnRatios(report), ...lossRatios(report)];
}

function publishRatios({ publish }: ClusterReport): Ratio[] {
  const ratios: Ratio[] = [];
  for (const goal of publishGoals) {
    const rows = publish.filter((row) => row.work === goal.work && row.bodyBytes === goal.bodyBytes);
    const peer = rows.find(({ system }) => system.startsWith(goal.peer));
    if (peer === undefined) continue;
    for (const ours of rows.filter(({ system }) => system.startsWith("Synod"))) {
      ratios.push(
        ratioOf({
          what: `${goal.work}, ${goal.bodyBytes} B, ${goal.of}`,
          system: ours.system,
          peer: peer.system,
          value: numberOf(ours.median, goal.of) / numberOf(peer.median, goal.of),
          goal: { atLeast: goal.atLeast, aim: goal.aim },
          better: goal.of === "rate" ? "more" : "less",
          unit: "×",
          counts: ours.median.errors === 0 && peer.median.errors === 0,
        }),
      );
    }
  }
  return ratios;
}

const worst = (values: readonly number[]): number => Math.max(...values);

/** Beside etcd's median when the leader was killed, in milliseconds when it fell silent. */
const silenceGoals = {
  killed: { median: { atLeast: 0.5, aim: 0.15 }, worst: { atLeast: 1, aim: 0.4 } },
  silent: { median: { atLeast: 1_500, aim: 800 }, worst: { atLeast: 3_000, aim: 1_500 } },
} as const;

function silenceRatios({ silences }: ClusterReport): Ratio[] {
  const etcd = silences.find(({ system, harm }) => system.startsWith("etcd") && harm === "killed");
  const theirs = median(etcd?.silencesMs ?? []);
  const ours = silences.filter(({ system, silencesMs }) => system.startsWith("Synod") && silencesMs.length > 0);
  return ours.flatMap(({ system, harm, silencesMs, error }) => {
    const isKilled = harm === "killed";
    if (isKilled && theirs === null) return [];
    const beside: Pick<Ratio, "peer" | "unit"> = isKilled
      ? { peer: `${etcd!.system}, median`, unit: "×" }
      : { peer: null, unit: "ms" };
    const goals = silenceGoals[isKilled ? "killed" : "silent"];
    const values = { median: median(silencesMs)!, worst: worst(silencesMs) };
    return (["median", "worst"] as const).map((which) =>
      ratioOf({
        ...beside,
        what: `leader ${harm}, ${which}`,
        system,
        value: isKilled ? values[which] / theirs! : values[which],
        better: "less",
        goal: goals[which],
        counts: error === null,
      }),
    );
  });
}

function returnRatios({ returns }: ClusterReport): Ratio[] {
  const ours = returns.find(({ system }) => system.startsWith("Synod"));
  const theirs = returns.find(({ system }) => system.startsWith("JetStream"));
  const [own, other] = [median(ours?.returnsMs ?? []), median(theirs?.returnsMs ?? [])];
  if (ours === undefined || theirs === undefined || own === null || other === null) return [];
  const what = `server back after ${ours.messages.toLocaleString("en-US")} missed messages`;
  const beside = { system: ours.system, peer: theirs.system, value: own / other };
  const counts = ours.error === null && theirs.error === null;
  return [ratioOf({ what, ...beside, goal: { atLeast: 1, aim: 0.3 }, better: "less", unit: "×", counts })];
}

function lossRatios({ losses }: ClusterReport): Ratio[] {
  const first = losses[0];
  const value = median(losses.map(({ whole, without }) => (without.p99Ms ?? Number.NaN) / (whole.p99Ms ?? Number.NaN)));
  if (first === undefined || value === null) return [];
  const counts = losses.every(({ whole, without }) => whole.errors + without.errors === 0);
  const bounds = { goal: { atLeast: 1.2, aim: 1 }, better: "less", unit: "×" } as const;
  const what = "one follower lost, p99";
  return [ratioOf({ what, system: first.system, peer: "the same with all servers", value, ...bounds, counts })];
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

function publishTable(rows: readonly ReportRow[]): string[] {
  const mebibytes = ({ serverResidentBytes: bytes }: RunResult): number | null =>
    bytes === null ? null : bytes / 2 ** 20;
  return rowTable(rows, { work: "work", cpu: "servers'", more: "servers' MiB" }, (run) => count(mebibytes(run)));
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
