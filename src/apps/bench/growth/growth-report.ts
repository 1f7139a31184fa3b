import { table } from "../markdown-table.ts";

/** One cost, with few and with many of something. */
export interface GrowthRow {
  readonly what: string;
  readonly unit: string;
  readonly grows: string;
  readonly from: number;
  readonly to: number;
  readonly fewCost: number | null;
  readonly manyCost: number | null;
  readonly ratio: number | null;
  /** The ratio may be at most this. */
  readonly allowed: number;
  readonly met: boolean | null;
}

/** `values` are the cost with few and the cost with many. A ratio that cannot be told is `null`. */
export function growthRow(given: {
  readonly what: string;
  readonly unit: string;
  readonly grows: string;
  readonly from: number;
  readonly to: number;
  readonly values: readonly (number | null)[];
  readonly allowed: number;
}): GrowthRow {
  const { values, ...row } = given;
  const fewCost = values[0] ?? null;
  const manyCost = values[1] ?? null;
  const ratio = fewCost === null || manyCost === null || fewCost === 0 ? null : manyCost / fewCost;
  return { ...row, fewCost, manyCost, ratio, met: ratio === null ? null : ratio <= row.allowed };
}

/** A table for docs/benchmarks.md. */
export function growthMarkdown(rows: readonly GrowthRow[]): string {
  const whole = (value: number): string => value.toLocaleString("en-US");
  const cost = (value: number | null, unit: string): string =>
    value === null ? "" : `${Number(value.toPrecision(3))} ${unit}`;
  return table(
    ["cost", "grows", "from → to", "with few", "with many", "ratio", "allowed", "met"],
    rows.map((row) => {
      const costs = [cost(row.fewCost, row.unit), cost(row.manyCost, row.unit)];
      const ratio = row.ratio === null ? "" : `${row.ratio.toFixed(2)}×`;
      const met = row.met === null ? "" : row.met ? "yes" : "no";
      const range = `${whole(row.from)} → ${whole(row.to)}`;
      return [row.what, row.grows, range, ...costs, ratio, `≤ ${row.allowed}×`, met];
    }),
  ).join("\n");
}
