import { count, short, table } from "../markdown-table.ts";
import type { RunResult } from "./measure.ts";

/** What the numbers of a row are of. With the shipped SDK it is server and client together: whichever is slower shows. */
export type Measured = "server" | "server and SDK";

/** What one system reached in one work: the runs, and the middle of them. */
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
  readonly measures: Measured;
  /** Whether the generator reaches at least twice the row, where it is not measured itself, and nothing went wrong. */
  readonly counts: boolean;
}

/** The middle one, or the mean of the two in the middle; `null` when there is none. */
export function median(values: readonly (number | null)[]): number | null {
  const sorted = values.filter((value) => value !== null).sort((left, right) => left - right);
  if (sorted.length === 0) return null;
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * A row counts only if the generator reaches twice of it where the server costs nothing, and without any error. Where the
 * client is measured, too, there is no such ceiling.
 */
export function rowOf(
  row: Pick<ReportRow, "system" | "work" | "bodyBytes" | "runs">,
  ceilingPerSecond: number | null,
  measures: Measured = "server",
): ReportRow {
  const middle = medianRun(row.runs);
  const reached =
    measures === "server and SDK" || (ceilingPerSecond !== null && ceilingPerSecond >= 2 * middle.ratePerSecond);
  return { ...row, median: middle, ceilingPerSecond, measures, counts: reached && middle.errors === 0 };
}

/** A table of rows. `work` and `cpu` head their columns, and `more` is a column of its own. */
export function rowTable(
  rows: readonly ReportRow[],
  names: { readonly work: string; readonly cpu: string; readonly more: string },
  more: (run: RunResult) => string,
): string[] {
  const numbers = ["per second", "p50 ms", "p99 ms", `${names.cpu} CPU s/M`, names.more, "generator ceiling"];
  return table(
    [names.work, "body", "system", ...numbers, "counts"],
    rows.map((row) => {
      const { median: middle } = row;
      return [
        row.work,
        `${row.bodyBytes} B`,
        row.system,
        count(middle.ratePerSecond),
        short(middle.p50Ms),
        short(middle.p99Ms),
        short(middle.serverCpuSecondsPerMillion),
        more(middle),
        count(row.ceilingPerSecond),
        row.counts ? (row.measures === "server" ? "yes" : `yes: ${row.measures}`) : whyNot(row),
      ];
    }),
  );
}

/** Median of each number; errors are added up. */
function medianRun(runs: readonly RunResult[]): RunResult {
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

function whyNot(row: ReportRow): string {
  if (row.median.errors > 0) return `no: ${row.median.errors} errors (${row.median.firstError ?? ""})`;
  if (row.ceilingPerSecond === null) return "no: no ceiling measured";
  return `no: ceiling is ${(row.ceilingPerSecond / row.median.ratePerSecond).toFixed(1)}×`;
}
