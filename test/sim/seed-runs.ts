import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AttributedRun, runAttributed } from "../../src/apps/cli/attributed-run.ts";
import { clusterMarkMeanings, type MarkName, markMeanings } from "../../src/sim/run-marks.ts";
import { seedOfSources } from "../seed-of-sources.ts";
import { pinnedSeeds } from "./pinned-seeds.ts";

interface Share {
  /** Fresh seeds of each of the two files. */
  readonly freshSeeds: number;
  readonly seedsOfOneTest: number;
  /** How many servers the fresh seed at this place has. */
  readonly servers: (at: number) => 1 | 3 | 5;
  /** What a run must come through. */
  readonly marks: readonly MarkName[];
}

/** One server alone has two virtual minutes of faults, several have five. */
const shares = {
  solo: { freshSeeds: 100, seedsOfOneTest: 10, servers: () => 1, marks: Object.keys(markMeanings) as MarkName[] },
  cluster: {
    freshSeeds: 50,
    seedsOfOneTest: 5,
    servers: (at) => (at % 5 === 4 ? 5 : 3),
    marks: Object.keys({ ...markMeanings, ...clusterMarkMeanings }) as MarkName[],
  },
} satisfies Readonly<Record<string, Share>>;

/** One seed of so many is run twice: the same seed must give the same run. */
const twiceEvery = 20;

/** What is so rare that a hundred seeds may miss it. Counted and printed all the same. */
const rare: ReadonlySet<MarkName> = new Set<MarkName>(["chunk rewritten"]);

/**
 * The tests of one of two files, so that two cores share the work: half of the pinned seeds, then fresh ones. Every
 * change of the sources draws other seeds, and the same sources draw the same: what failed once fails again for whoever
 * looks into it, and what passed before a merge passes after it. SYNOD_SIM_SEED sets the first; campaigns draw by chance.
 */
export function seedTests(half: 0 | 1, kind: keyof typeof shares): void {
  const { freshSeeds, seedsOfOneTest, servers, marks }: Share = shares[kind];
  const pinned = pinnedSeeds.filter((seed) => (seed.servers ?? 1) > 1 === (kind === "cluster"));
  const base = Number(process.env["SYNOD_SIM_SEED"] ?? seedOfSources()) + half * freshSeeds;
  const totals = new Totals();
  // What a client library throws and catches by the thousand needs no stack here; who repeats a seed gets it.
  const { stackTraceLimit } = Error;
  beforeAll(() => {
    Error.stackTraceLimit = 0;
  });

  describe("pinned seeds", () => {
    for (const [at, { seed, taught, ...options }] of pinned.entries()) {
      if (at % 2 !== half) continue;
      test(`${seed}: ${taught}`, async () => {
        totals.expectGood(await runAttributed({ seed, ...options }));
      });
    }
  });

  describe("fresh seeds", () => {
    for (let from = 0; from < freshSeeds; from += seedsOfOneTest) {
      test(`${from + 1} to ${from + seedsOfOneTest}`, async () => {
        for (let at = from; at < from + seedsOfOneTest; at++) {
          const run = await runAttributed({ seed: base + at, servers: servers(at) });
          totals.expectGood(run);
          if (at % twiceEvery !== 0) continue;
          const again = await runAttributed({ seed: base + at, servers: servers(at) });
          expect(again.traceHash, `seed ${base + at} gave two different runs`).toBe(run.traceHash);
          totals.twice++;
        }
      });
    }

    test("came through everything a run must come through", () => {
      const missed = marks.filter((name) => !rare.has(name) && (totals.marks.get(name) ?? 0) === 0);
      expect(missed).toEqual([]);
    });
  });

  afterAll(() => {
    Error.stackTraceLimit = stackTraceLimit;
    process.stdout.write(totals.lines(kind, base));
  });
}

/** What all runs of one file amount to. */
class Totals {
  readonly marks = new Map<MarkName, number>();
  readonly #faults = new Map<string, number>();
  #seeds = 0;
  #virtualSeconds = 0;
  #cpuSeconds = 0;
  #events = 0;
  #seals = 0;
  #starts = 0;
  #acknowledged = 0;
  #observed = 0;
  twice = 0;

  expectGood(run: AttributedRun): void {
    this.#seeds++;
    this.#virtualSeconds += run.virtualSeconds;
    this.#cpuSeconds += run.cpuSeconds;
    this.#events += run.events;
    this.#seals += run.seals;
    this.#starts += run.starts;
    this.#acknowledged += run.seen.acknowledged;
    this.#observed += run.seen.observed;
    for (const [kind, count] of Object.entries(run.faults)) {
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count);
    }
    for (const [name, count] of Object.entries(run.marks) as [MarkName, number][]) {
      this.marks.set(name, (this.marks.get(name) ?? 0) + count);
    }
    const topology = run.servers === 1 ? "" : `--topology leader --servers ${run.servers} `;
    const repeat = `repeat with: npm run build && node dist/apps/cli/synod.cjs sim ${topology}--seed ${run.seed} --shrink`;
    expect(run.violations, `seed ${run.seed}; ${repeat}`).toEqual([]);
  }

  lines(kind: string, base: number): string {
    const hours = this.#virtualSeconds / 3_600;
    const perCoreMinute = hours / (this.#cpuSeconds / 60);
    const list = (counts: ReadonlyMap<string, number>): string =>
      [...counts]
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([name, count]) => `${name} ${count}`)
        .join(", ");
    return [
      `simulator, ${kind}: ${this.#seeds} seeds from ${base}, ${this.twice} of them twice, ${hours.toFixed(1)} virtual hours, ` +
        `${perCoreMinute.toFixed(2)} virtual hours a core minute (${Math.round(perCoreMinute * 60)} times real time)`,
      `  ${this.#events} events, ${this.#starts} starts, ${this.#seals} seals, ${this.#acknowledged} stored, ${this.#observed} read`,
      `  faults: ${list(this.#faults)}`,
      `  marks: ${list(this.marks)}`,
      "",
    ].join("\n");
  }
}
