import { expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import type { CrashMode } from "../../src/sim/crash-modes.ts";
import { JournalWorld } from "../storage/journal-world.ts";
import { journalStory } from "./journal-story.ts";

/** Runs the story until the process dies at call `at`. Null when the story ended before. */
async function crashedAt(at: number, mode: CrashMode, seed: number): Promise<JournalWorld | null> {
  const world = new JournalWorld({ seed });
  world.fileSystem.crashAt(at, mode);
  const ended = await Promise.race([
    journalStory(world).then(() => true),
    world.fileSystem.whenStopped().then(() => false),
  ]);
  world.notice();
  if (ended && world.fileSystem.calls < at) return null;
  return world;
}

/** The journal opens, shows a state that may be, takes appends, and keeps them through a power loss. */
async function goesOn(world: JournalWorld, seed: number): Promise<void> {
  await world.open();
  world.entry(0, world.lastIndex(0) + 1, { term: 9 });
  await world.settle();
  expect(world.promised).toBe(world.operations);
  world.crash(seededRandom(seed), "lost");
  await world.open();
}

test("[JRN4] a crash at any call, of any kind, loses nothing that was reported flushed", async () => {
  let at = 1;
  for (; ; at++) {
    let ended = false;
    for (const [seed, mode] of crashModes.entries()) {
      const world = await crashedAt(at, mode, seed + 1);
      if (world === null) {
        ended = true;
        break;
      }
      world.crash(seededRandom(at * 31 + seed), mode);
      await goesOn(world, at);
    }
    if (ended) break;
  }
  expect(at).toBeGreaterThan(100);
});

test("[JRN4] a crash at any call of a recovery after a crash is a crash like any other", async () => {
  let recoveries = 0;
  // Every fifth crash point of the story; for each, every call of the recovery that follows, in a mode that goes round.
  for (let at = 3; ; at += 5) {
    const mode = crashModes[at % crashModes.length]!;
    if ((await crashedAt(at, mode, at)) === null) break;
    for (let call = 1; ; call++) {
      const world = (await crashedAt(at, mode, at))!;
      world.crash(seededRandom(at), mode);
      const again = crashModes[(at + call) % crashModes.length]!;
      world.fileSystem.crashAt(world.fileSystem.calls + call, again);
      const opened = await Promise.race([
        world.open().then(() => true),
        world.fileSystem.whenStopped().then(() => false),
      ]);
      if (opened) break;
      recoveries++;
      world.crash(seededRandom(call), again);
      await goesOn(world, call);
    }
  }
  expect(recoveries).toBeGreaterThan(500);
});

test("[JRN9] power lost after a recovery that followed a kill takes nothing that the recovery showed", async () => {
  for (const mode of ["cached", "half"] as const) {
    for (let at = 1; ; at++) {
      const world = await crashedAt(at, mode, at);
      if (world === null) break;
      world.crash(seededRandom(at), mode);
      await world.open();
      const shown = world.promised;
      world.crash(seededRandom(at), "lost");
      await world.open();
      expect(world.promised).toBe(shown);
    }
  }
});
