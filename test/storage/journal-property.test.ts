import fc from "fast-check";
import { expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import type { CrashMode } from "../../src/sim/crash-modes.ts";
import { JournalWorld, ProcessEnded } from "./journal-world.ts";

type Step =
  | { do: "append"; group: number; count: number; bytes: number }
  | { do: "replace"; group: number; back: number }
  | { do: "vote"; group: number }
  | { do: "release"; group: number; back: number }
  | {
      do: "read";
      group: number;
      back: number;
      bytesMax: number;
      meanwhile: "nothing" | "replace" | "release" | "append";
    }
  | { do: "keep"; bytes: number }
  | { do: "settle" }
  | { do: "idle" }
  | { do: "stop" }
  | { do: "crash"; inCalls: number; mode: CrashMode; seed: number }
  | { do: "fail"; inCalls: number; code: string };

const group = fc.integer({ min: 0, max: 2 });

const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("append" as const),
      group,
      count: fc.integer({ min: 1, max: 6 }),
      bytes: fc.integer({ min: 0, max: 500 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("replace" as const), group, back: fc.integer({ min: 0, max: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("vote" as const), group }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("release" as const), group, back: fc.integer({ min: 0, max: 3 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("read" as const),
      group,
      back: fc.integer({ min: 0, max: 20 }),
      bytesMax: fc.integer({ min: 0, max: 3000 }),
      meanwhile: fc.constantFrom("nothing", "replace", "release", "append"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("keep" as const), bytes: fc.constantFrom(0, 8192, 20_000) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("settle" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("idle" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("stop" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("crash" as const),
      inCalls: fc.integer({ min: 0, max: 30 }),
      mode: fc.constantFrom(...crashModes),
      seed: fc.nat(1000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("fail" as const),
      inCalls: fc.integer({ min: 1, max: 20 }),
      code: fc.constantFrom("EIO", "ENOSPC", "EMFILE", "short"),
    }),
  },
);

/** Runs steps; when the process dies on the way, it is started again and goes on with the next step. */
async function live(world: JournalWorld, list: readonly Step[]): Promise<void> {
  let term = 1;
  let pending: { mode: CrashMode; seed: number } = { mode: "lost", seed: 1 };
  await world.open();
  for (const step of list) {
    const done = take(world, step, () => ++term).then(
      () => "done" as const,
      (cause: unknown) => {
        if (!(cause instanceof ProcessEnded)) throw cause;
        return "failed" as const;
      },
    );
    if (step.do === "crash") pending = step;
    const outcome = await Promise.race([done, world.fileSystem.whenStopped().then(() => "died" as const)]);
    if (outcome === "done") continue;
    world.notice();
    world.fileSystem.heal();
    world.crash(seededRandom(pending.seed), outcome === "failed" ? "lost" : pending.mode);
    await world.open();
  }
  world.fileSystem.heal();
  world.notice();
  world.crash(seededRandom(3), "lost");
  await world.open();
}

async function take(world: JournalWorld, step: Step, nextTerm: () => number): Promise<void> {
  const { fileSystem } = world;
  switch (step.do) {
    case "append":
      for (let n = 0; n < step.count; n++) {
        world.entry(step.group, world.lastIndex(step.group) + 1, { bytes: step.bytes });
      }
      return;
    case "replace": {
      const last = world.lastIndex(step.group);
      const released = world.released(step.group);
      const from = Math.max(released + 1, last - step.back);
      world.entry(step.group, from, { term: nextTerm() });
      return;
    }
    case "vote":
      world.vote(step.group, nextTerm(), "n1");
      return;
    case "release":
      world.notice();
      world.release(step.group, world.lastIndex(step.group) - step.back);
      return;
    case "read": {
      const { meanwhile } = step;
      const last = world.lastIndex(step.group);
      const first = Math.max(1, last - step.back);
      await world.read(step.group, first, {
        bytesMax: step.bytesMax,
        ...(meanwhile === "nothing" ? {} : { meanwhile: () => during(world, step, meanwhile, nextTerm) }),
      });
      return;
    }
    case "keep":
      world.journal.keepReleased(step.bytes);
      return;
    case "settle":
      await world.settle();
      return;
    case "idle":
      await world.advance(1500);
      return;
    case "stop":
      fileSystem.heal();
      await world.close();
      await world.open();
      return;
    case "crash":
      fileSystem.crashAt(fileSystem.calls + 1 + step.inCalls, step.mode);
      return;
    case "fail":
      fileSystem.failAt(fileSystem.calls + step.inCalls, step.code, { persistent: false });
  }
}

/** Any of them may take the place of what is being read, or let it go. */
function during(
  world: JournalWorld,
  { group: at, back }: { group: number; back: number },
  what: "replace" | "release" | "append",
  nextTerm: () => number,
): void {
  const last = world.lastIndex(at);
  const middle = Math.max(world.released(at) + 1, last - (back >> 1));
  if (what === "release") world.release(at, last - (back >> 2));
  else world.entry(at, what === "replace" ? middle : last + 1, { term: nextTerm() });
}

test("[JRN4] [JRN17] whatever is appended, released, crashed and failed in whatever order: the model holds", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 5, maxLength: 60 }), fc.nat(10_000), async (list, seed) => {
      const world = new JournalWorld({ seed });
      await live(world, list);
      expect(world.promised).toBe(world.operations);
    }),
    { numRuns: 500, seed: 20261123, endOnFailure: false },
  );
});
