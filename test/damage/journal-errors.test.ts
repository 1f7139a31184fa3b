import { expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { JournalWorld, ProcessEnded } from "../storage/journal-world.ts";
import { journalStory } from "./journal-story.ts";

/** The story with an error at call `at`, told when it ends: by itself, by a failure, or by a stop that can not go on. */
async function storyWithError(world: JournalWorld, at: number, code: string, persistent: boolean): Promise<void> {
  world.fileSystem.failAt(at, code, { persistent });
  const ended = journalStory(world).then(
    // Nothing was in the way of any flush, or it was overcome.
    () => expect(world.promised).toBe(world.operations),
    (cause: unknown) => {
      // Opening rejects when the disk refuses: the server does not start.
      if (!(cause instanceof ProcessEnded)) expect(cause).toMatchObject({ name: "Fault" });
    },
  );
  await ended;
}

for (const code of ["EIO", "ENOSPC", "EMFILE", "short"]) {
  for (const persistent of [false, true]) {
    const times = persistent ? "from any call on" : "once, at any call";
    test(`[JRN5] ${code} ${times}: nothing is reported flushed that is not there`, async () => {
      let at = 1;
      for (; ; at++) {
        const world = new JournalWorld({ seed: at });
        await storyWithError(world, at, code, persistent);
        const whole = world.fileSystem.calls < at;
        expect(world.failures.length).toBeLessThanOrEqual(1);
        world.fileSystem.heal();
        world.crash(seededRandom(at), "lost");
        // Everything that was reported is there, and the disk is as good as before.
        await world.open();
        world.entry(0, world.lastIndex(0) + 1, { term: 9 });
        await world.settle();
        expect(world.promised).toBe(world.operations);
        if (whole) break;
      }
      expect(at).toBeGreaterThan(100);
    });
  }
}

test("[JRN5] a failed flush is final: told once, nothing written after it, nothing reported", async () => {
  const world = new JournalWorld();
  await world.open();
  await world.settle();
  world.entry(0, 1);
  await world.settle();
  world.fileSystem.failAt(world.fileSystem.calls + 1, "EIO", { persistent: false });
  world.entry(0, 2);
  await expect(world.settle()).rejects.toThrow(ProcessEnded);
  expect(world.failures.length).toBe(1);
  expect(world.flushed).toBe(1);
  const { calls } = world.fileSystem;
  world.entry(0, 3);
  world.journal.flushNow();
  await world.clock.advance(1000);
  expect(world.fileSystem.calls).toBe(calls);
  expect(world.flushed).toBe(1);
  expect(world.journal.stagedBytes).toBe(0);
  await world.journal.close();
  expect(world.failures.length).toBe(1);
});

test("[JRN8] on a full disk the journal lives on what it has in reserve, waits, and goes on when there is space", async () => {
  const world = new JournalWorld();
  await world.open();
  await world.settle();
  world.fileSystem.quotaBytes = 0;
  let index = 0;
  while (!world.journal.stats().waitsForSpace) {
    index++;
    world.entry(0, index, { bytes: 400 });
    await world.settle();
    expect(index).toBeLessThan(100);
  }
  // The current segment, the next one and the one in reserve were filled.
  expect(world.journal.stats().rolls).toBe(2);
  expect(world.promised).toBe(index - 1);
  expect(world.failures).toEqual([]);
  world.fileSystem.quotaBytes = Infinity;
  await world.advance(1000);
  expect(world.promised).toBe(index);
  expect(world.journal.stats().waitsForSpace).toBe(false);
});
