import { describe, expect, test } from "vitest";
import { Cluster } from "./cluster.ts";
import { randomLife } from "./schedule.ts";

/** Seeds that found something once, with what they taught. */
const pinned: readonly { seed: number; taught: string }[] = [
  { seed: 10, taught: "a leader that is vouched for once is followed again after an attempt in vain" },
  { seed: 1416, taught: "a leader of a term that is over is told, or it refuses for ever who can't follow it" },
  { seed: 168, taught: "what was on its way when the log was compacted beyond it needs a snapshot" },
  { seed: 5230, taught: "who was taken for lost and answers is served again" },
  { seed: 1900, taught: "a leader that restarts has to take back what its last life vouched for" },
  { seed: 3750, taught: "a snapshot is needed though its entry is there, when entries before it are damaged" },
  { seed: 16060, taught: "entries taken for damaged ones are not verified before the ones behind are" },
  { seed: 16485, taught: "a lost branch may be damaged in a range that no other log reaches across" },
  { seed: 29373, taught: "damage that everybody else has let go is in their snapshot" },
  { seed: 1149, taught: "a snapshot that ends among damaged entries must not take the acknowledged ones behind" },
  { seed: 7341, taught: "who has voted asks itself when nobody leads in time" },
];

/** More of them, or others: LIVES=20000 LIVES_FROM=1. A failure names its seed, and that is all it takes to repeat it. */
const lives = Number(process.env["LIVES"] ?? 1_500);
const firstSeed = Number(process.env["LIVES_FROM"] ?? 100_000);

describe("random lives", () => {
  test.each(pinned)("[LIFE3] seed $seed: $taught", ({ seed }) => {
    randomLife(seed);
  });

  test("[LIFE2] thousands of short lives", () => {
    for (let seed = firstSeed; seed < firstSeed + lives; seed++) {
      try {
        randomLife(seed);
      } catch (failure) {
        throw new Error(`seed ${seed}: ${(failure as Error).message}`, { cause: failure });
      }
    }
  });

  test("[LIFE1] the same seed gives the same effects, all of them", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const [first, second]: [string[], string[]] = [[], []];
      randomLife(seed, first);
      randomLife(seed, second);
      expect(first.length).toBeGreaterThan(50);
      expect(second).toEqual(first);
    }
  });

  test("[ELE14] an idle group sends nothing, for hours", () => {
    const cluster = new Cluster({ servers: 5, seed: 3 });
    cluster.run(5_000);
    const { messages } = cluster;
    cluster.run(60_000);
    expect(cluster.leaders()).toHaveLength(1);
    expect(cluster.messages).toBe(messages);
  });
});
