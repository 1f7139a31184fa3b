import { short, table } from "../markdown-table.ts";

/** What Synod is held to: the least that will do, and what is aimed at. */
export interface Goal {
  readonly atLeast: number;
  readonly aim: number;
}

/** One number of Synod beside one of a peer, or beside a bound of its own. */
export interface Ratio {
  readonly what: string;
  readonly system: string;
  /** `null`: the value itself is bounded. */
  readonly peer: string | null;
  readonly value: number;
  /** More is better, or less is. */
  readonly better: "more" | "less";
  /** In what the value is: times the peer's, or milliseconds. */
  readonly unit: "×" | "ms";
  readonly goal: Goal | null;
  /** `null` when there is no goal, or it can't be said whether it is met. */
  readonly met: "aim" | "at least" | "no" | null;
}

/** `counts`: the rows of both do. A ratio of what does not count meets nothing. */
export function ratioOf({ counts, ...ratio }: Omit<Ratio, "met"> & { readonly counts: boolean }): Ratio {
  return { ...ratio, met: counts ? metBy(ratio) : null };
}

function metBy({ value, better, goal }: Pick<Ratio, "value" | "better" | "goal">): Ratio["met"] {
  if (goal === null || Number.isNaN(value)) return null;
  const reaches = (bound: number): boolean => (better === "more" ? value >= bound : value <= bound);
  return reaches(goal.aim) ? "aim" : reaches(goal.atLeast) ? "at least" : "no";
}

export function ratioTable(ratios: readonly Ratio[]): string[] {
  return table(
    ["what", "system / peer", "ratio", "at least", "aim", "met"],
    ratios.map(({ what, system, peer, value, better, unit, goal, met }) => {
      const sign = better === "less" ? "≤ " : "";
      const bound = (limit: number | undefined): string =>
        limit === undefined ? "" : `${sign}${limit}${unit === "ms" ? " ms" : unit}`;
      const shown = unit === "ms" ? `${Math.round(value)} ms` : `${short(value)}×`;
      const beside = peer === null ? system : `${system} / ${peer}`;
      return [what, beside, shown, bound(goal?.atLeast), bound(goal?.aim), met ?? ""];
    }),
  );
}
