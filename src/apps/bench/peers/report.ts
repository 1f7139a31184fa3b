import type { IdleRun, RunResult } from "./measure.ts";

/** What a run of the peers benchmark found: for machines as JSON, for people as Markdown. */
export interface PeersReport {
  readonly startedAt: string;
  readonly machine: {
    readonly cpus: number;
    readonly cpuModel: string;
    readonly node: string;
    readonly kernel: string;
  };
  readonly versions: Readonly<Record<string, string>>;
  readonly runs: number;
  /** What could not be measured here, and why. */
  readonly missing: readonly string[];
  readonly publish: readonly ReportRow[];
  readonly fanOut: readonly ReportRow[];
  readonly idle: readonly IdleReportRow[];
}

export interface ReportRow {
  readonly system: string;
  /** Clients × window, or 1 → readers. */
  readonly work: string;
  readonly bodyBytes: number;
  /** Medians of the runs, number by number. */
  readonly median: RunResult;
  readonly runs: readonly RunResult[];
  /** What the generator reaches against a server that answers without working. */
  readonly ceilingPerSecond: number | null;
  /** Whether the generator reaches at least twice the row, and nothing went wrong. */
  readonly counts: boolean;
}

export interface IdleReportRow {
  readonly system: string;
  readonly connections: number;
  readonly roomsPerConnection: number;
  readonly bytesPerConnection: number | null;
  readonly connectsPerSecond: number;
  readonly runs: readonly IdleRun[];
}

/** The middle one, or the mean of the two in the middle; `null` when there is none. */
export function median(values: readonly (number | null)[]): number | null {
  const sorted = values.filter((value) => value !== null).sort((left, right) => left - right);
  if (sorted.length === 0) return null;
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median of each number; errors are added up. */
export function medianRun(runs: readonly RunResult[]): RunResult {
  return {
    ratePerSecond: median(runs.map((run) => run.ratePerSecond)) ?? 0,
    p50Ms: median(runs.map((run) => run.p50Ms)),
    p99Ms: median(runs.map((run) => run.p99Ms)),
    serverCpuSecondsPerMillion: median(runs.map((run) => run.serverCpuSecondsPerMillion)),
    serverResidentBytes: median(runs.map((run) => run.serverResidentBytes)),
    clientCpuSecondsPerMillion: median(runs.map((run) => run.clientCpuSecondsPerMillion)),
    errors: runs.reduce((sum, run) => sum + run.errors, 0),
    firstError: runs.find((run) => run.firstError !== null)?.firstError ?? null,
  };
}

/** A row counts only if the generator reaches twice of it where the server costs nothing, and without any error. */
export function rowOf(
  row: Pick<ReportRow, "system" | "work" | "bodyBytes" | "runs">,
  ceilingPerSecond: number | null,
): ReportRow {
  const middle = medianRun(row.runs);
  const reached = ceilingPerSecond !== null && ceilingPerSecond >= 2 * middle.ratePerSecond;
  return { ...row, median: middle, ceilingPerSecond, counts: reached && middle.errors === 0 };
}

interface Goal {
  readonly work: string;
  readonly bodyBytes: number;
  readonly peer: RegExp;
  readonly of: "rate" | "p50";
  readonly atLeast: number;
  readonly aim: number;
}

const redisAlways = /^Redis Streams, appendfsync always$/;

/** The ratios that Synod is held to: rates as Synod / peer, more is better; p50 likewise, less is better. */
export const goals: readonly Goal[] = [
  { work: "4 × 1000", bodyBytes: 128, peer: redisAlways, of: "rate", atLeast: 0.5, aim: 1 },
  { work: "4 × 1000", bodyBytes: 128, peer: /sync_interval always$/, of: "rate", atLeast: 40, aim: 100 },
  { work: "64 × 1", bodyBytes: 128, peer: redisAlways, of: "rate", atLeast: 0.5, aim: 0.7 },
  { work: "1 × 1", bodyBytes: 128, peer: redisAlways, of: "p50", atLeast: 1.5, aim: 1.1 },
  { work: "1 → 1000, 8 outstanding", bodyBytes: 128, peer: /^Socket\.IO$/, of: "rate", atLeast: 4, aim: 8 },
  { work: "1 → 1000, 8 outstanding", bodyBytes: 128, peer: /^NATS core$/, of: "rate", atLeast: 0.7, aim: 1.3 },
  { work: "1 → 1000, 8 outstanding", bodyBytes: 128, peer: /^Redis pub\/sub$/, of: "rate", atLeast: 0.4, aim: 0.9 },
  { work: "1 → 5000, 8 outstanding", bodyBytes: 128, peer: /^Socket\.IO$/, of: "rate", atLeast: 5, aim: 10 },
  { work: "1 → 5000, 8 outstanding", bodyBytes: 128, peer: /^NATS core$/, of: "rate", atLeast: 0.7, aim: 1.5 },
];

/** Bytes that an idle connection of Synod may cost. */
export const idleGoalKiB = { atMost: 24, aim: 12 } as const;

export interface Ratio {
  readonly work: string;
  readonly bodyBytes: number;
  readonly system: string;
  readonly peer: string;
  readonly of: "rate" | "p50";
  readonly ratio: number;
  readonly goal: Goal | null;
  /** `null` when there is no goal or one of the two rows does not count. */
  readonly met: "aim" | "at least" | "no" | null;
}

/** Synod beside every peer that did the same work. */
export function ratiosOf(rows: readonly ReportRow[]): readonly Ratio[] {
  const ratios: Ratio[] = [];
  for (const ours of rows.filter((row) => row.system.startsWith("Synod"))) {
    for (const theirs of rows) {
      if (theirs.system.startsWith("Synod") || theirs.work !== ours.work || theirs.bodyBytes !== ours.bodyBytes)
        continue;
      const place = { work: ours.work, bodyBytes: ours.bodyBytes, system: ours.system, peer: theirs.system };
      const of = ours.work === "1 × 1" ? "p50" : "rate";
      const [mine, other] =
        of === "p50"
          ? [ours.median.p50Ms ?? Number.NaN, theirs.median.p50Ms ?? Number.NaN]
          : [ours.median.ratePerSecond, theirs.median.ratePerSecond];
      const ratio = mine / other;
      const goal = ours.system === "Synod" ? goalOf(place, of) : null;
      ratios.push({ ...place, of, ratio, goal, met: ours.counts && theirs.counts ? metBy(ratio, goal) : null });
    }
  }
  return ratios;
}

const goalOf = (place: { work: string; bodyBytes: number; peer: string }, of: "rate" | "p50"): Goal | null =>
  goals.find(
    (goal) =>
      goal.work === place.work && goal.bodyBytes === place.bodyBytes && goal.of === of && goal.peer.test(place.peer),
  ) ?? null;

function metBy(ratio: number, goal: Goal | null): Ratio["met"] {
  if (goal === null || Number.isNaN(ratio)) return null;
  const reaches = (bound: number): boolean => (goal.of === "p50" ? ratio <= bound : ratio >= bound);
  return reaches(goal.aim) ? "aim" : reaches(goal.atLeast) ? "at least" : "no";
}

/** The report for docs/benchmarks.md. */
export function markdownOf(report: PeersReport): string {
  const { machine } = report;
  const lines = [
    `Measured ${report.startedAt.slice(0, 10)} on ${machine.cpus} × ${machine.cpuModel}, Linux ${machine.kernel}, Node ${machine.node}; ` +
      `${Object.entries(report.versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(", ")}. ` +
      `Medians of ${report.runs} ${report.runs === 1 ? "run" : "runs"}, in turns.`,
    "",
    ...report.missing.map((what) => `- ${what}`),
    ...(report.missing.length === 0 ? [] : [""]),
  ];
  if (report.publish.length > 0) {
    lines.push("### Publish: acknowledgements in a second", "", ...tableOf(report.publish, "clients × window"), "");
  }
  if (report.fanOut.length > 0) {
    lines.push(
      "### Fan-out: deliveries in a second, latency of the last reader",
      "",
      ...tableOf(report.fanOut, "readers"),
      "",
    );
  }
  if (report.idle.length > 0) lines.push("### Memory of an idle connection", "", ...idleTable(report.idle), "");
  const ratios = [...ratiosOf(report.publish), ...ratiosOf(report.fanOut)];
  if (ratios.length > 0) lines.push("### Synod / peer", "", ...ratioTable(ratios), "");
  return lines.join("\n");
}

function tableOf(rows: readonly ReportRow[], work: string): string[] {
  const head = `| ${work} | body | system | per second | p50 ms | p99 ms | server CPU s/M | generator CPU s/M | generator ceiling | counts |`;
  return [
    head,
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => {
      const { median: middle } = row;
      const cells = [
        row.work,
        `${row.bodyBytes} B`,
        row.system,
        count(middle.ratePerSecond),
        short(middle.p50Ms),
        short(middle.p99Ms),
        short(middle.serverCpuSecondsPerMillion),
        short(middle.clientCpuSecondsPerMillion),
        count(row.ceilingPerSecond),
        row.counts ? "yes" : whyNot(row),
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  ];
}

/** Why a row does not count. */
export function whyNot(row: ReportRow): string {
  if (row.median.errors > 0) return `no: ${row.median.errors} errors (${row.median.firstError ?? ""})`;
  if (row.ceilingPerSecond === null) return "no: no ceiling measured";
  return `no: ceiling is ${(row.ceilingPerSecond / row.median.ratePerSecond).toFixed(1)}×`;
}

function idleTable(rows: readonly IdleReportRow[]): string[] {
  return [
    "| connections | rooms each | system | KiB each | connects/s | errors |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows.map((row) => {
      const each = row.bytesPerConnection === null ? null : row.bytesPerConnection / 1024;
      const errors = row.runs.reduce((sum, run) => sum + run.errors, 0);
      const cells = [
        row.connections,
        row.roomsPerConnection,
        row.system,
        short(each),
        count(row.connectsPerSecond),
        errors,
      ];
      return `| ${cells.join(" | ")} |`;
    }),
    "",
    `Synod: at most ${idleGoalKiB.atMost} KiB, aim ${idleGoalKiB.aim} KiB, at 10,000 connections.`,
  ];
}

function ratioTable(ratios: readonly Ratio[]): string[] {
  return [
    "| work | body | system / peer | ratio | at least | aim | met |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...ratios.map((each) => {
      const sign = each.of === "p50" ? "≤ " : "";
      const bound = (value: number | undefined): string => (value === undefined ? "" : `${sign}${value}×`);
      const what = each.of === "p50" ? `${each.work}, p50` : each.work;
      const cells = [what, `${each.bodyBytes} B`, `${each.system} / ${each.peer}`, `${each.ratio.toPrecision(2)}×`];
      return `| ${[...cells, bound(each.goal?.atLeast), bound(each.goal?.aim), each.met ?? ""].join(" | ")} |`;
    }),
  ];
}

/** Whole numbers with thin groups: 1,234,567. */
export const count = (value: number | null): string =>
  value === null ? "" : Math.round(value).toLocaleString("en-US");

/** Three digits that count. */
export const short = (value: number | null): string =>
  value === null ? "" : value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
