import { expect, test } from "vitest";
import type { GroupId, LogIndex } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { type CrashMode, crashModes } from "../../src/sim/crash-modes.ts";
import { DiskFault, openDisk } from "../../src/storage/disk.ts";
import { mendTail } from "../../src/storage/journal/mend-tail.ts";
import { readJournal } from "../../src/storage/journal/read-journal.ts";
import { SegmentPool } from "../../src/storage/journal/segments.ts";
import { cluster, incarnation, JournalWorld, ProcessEnded } from "../storage/journal-world.ts";

/** From here on no file can grow, and none can be made. */
function fill(world: JournalWorld): void {
  let used = 0;
  for (const bytes of world.fileSystem.files().values()) used += bytes.length;
  world.fileSystem.quotaBytes = used;
}

/**
 * A journal with messages of clients, over several segments of which some are given back, until the disk has been full
 * long enough for a roll to wait. The disk becomes full at call `fullAt` and the process dies at call `die.at`; false when
 * it came to its end before.
 */
async function filledAt(
  world: JournalWorld,
  { fullAt, die }: { fullAt: number; die: { at: number; mode: CrashMode } | null },
): Promise<boolean> {
  await world.open();
  await world.settle();
  // Its owner has looked at the disk: there is space.
  world.journal.useReserve(false);
  await world.settle();
  const { fileSystem } = world;
  const before = fileSystem.calls;
  fileSystem.onCall = ({ number }) => {
    if (number === before + fullAt) fill(world);
  };
  if (die !== null) fileSystem.crashAt(before + die.at, die.mode);
  const story = async (): Promise<void> => {
    world.vote(0, 1, "n1");
    for (let index = 1; index <= 60 && !world.journal.stats().waitsForSpace; index++) {
      world.entry(0, index, { bytes: 100 + ((index * 131) % 700) });
      if (index % 7 === 0) world.entry(1, index / 7);
      await world.settle();
      if (index === 30) world.release(0, 20);
    }
  };
  const ended = await Promise.race([story().then(() => true), fileSystem.whenStopped().then(() => false)]);
  world.notice();
  return fileSystem.calls >= before + fullAt && !(ended && die !== null);
}

/**
 * Starts on the full disk, shows what was reported, takes what a start writes, and once more after power was lost: what
 * was shown must be there. With space the journal goes on over several segments.
 */
async function startsFull(world: JournalWorld, mode: CrashMode, seed: number): Promise<void> {
  for (let again = 1; again <= 2; again++) {
    world.crash(seededRandom(seed + again), again === 1 ? mode : "lost");
    fill(world);
    await world.open();
    world.entry(0, world.lastIndex(0) + 1, { term: 1 + again });
    await world.settle();
    expect(world.promised).toBe(world.operations);
    expect(world.journal.stats().waitsForSpace).toBe(false);
  }
  world.fileSystem.quotaBytes = Infinity;
  world.journal.useReserve(false);
  const { rolls } = world.journal.stats();
  for (let more = 1; more <= 14; more++) {
    world.entry(0, world.lastIndex(0) + 1, { term: 3, bytes: 800 });
    await world.settle();
  }
  expect(world.promised).toBe(world.operations);
  expect(world.journal.stats().rolls).toBeGreaterThan(rolls + 2);
}

test("[JRN20] wherever the disk becomes full, a start after a kill finds the space that it needs", async () => {
  let starts = 0;
  for (let fullAt = 1; ; fullAt += 3) {
    const mode = crashModes[fullAt % crashModes.length]!;
    const world = new JournalWorld({ seed: fullAt });
    if (!(await filledAt(world, { fullAt, die: null }))) break;
    await startsFull(world, mode, fullAt);
    starts++;
  }
  expect(starts).toBeGreaterThan(30);
});

test("[JRN20] the same when it is killed at any call on the full disk", async () => {
  let kills = 0;
  for (let fullAt = 1; ; fullAt += 31) {
    let isOver = true;
    for (let dieAt = fullAt + 1; ; dieAt += 4) {
      const world = new JournalWorld({ seed: dieAt });
      const mode = crashModes[dieAt % crashModes.length]!;
      if (!(await filledAt(world, { fullAt, die: { at: dieAt, mode } }))) break;
      isOver = false;
      await startsFull(world, mode, dieAt);
      kills++;
    }
    if (isOver) break;
  }
  expect(kills).toBeGreaterThan(50);
});

test("[JRN20] one spare segment is enough for a start, wherever the process was killed", async () => {
  let starts = 0;
  for (let dieAt = 1; ; dieAt += 2) {
    const world = new JournalWorld({ seed: dieAt });
    const mode = crashModes[dieAt % crashModes.length]!;
    if (!(await filledAt(world, { fullAt: 0, die: { at: dieAt, mode } }))) break;
    const spares = [...world.fileSystem.files().keys()].filter((file) => file.endsWith(".spare"));
    for (const spare of spares.slice(1)) world.fileSystem.lose(spare);
    if (spares.length === 0) continue;
    await startsFull(world, mode, dieAt);
    starts++;
  }
  expect(starts).toBeGreaterThan(40);
});

test("[JRN20] the only segment is replaced under its name, whatever stops that", async () => {
  let calls = 0;
  for (; ; calls++) {
    const mode = crashModes[calls % crashModes.length]!;
    const world = new JournalWorld({ seed: calls + 1 });
    await world.open();
    for (let index = 1; index <= 3; index++) {
      world.entry(0, index, { bytes: 300 });
      await world.settle();
    }
    world.crash(seededRandom(1), "cached");
    world.fileSystem.crashAt(world.fileSystem.calls + calls + 1, mode);
    const mending = mendOnly(world).then(() => true);
    const ended = await Promise.race([mending, world.fileSystem.whenStopped().then(() => false)]);
    world.crash(seededRandom(calls), ended ? "lost" : mode);
    await world.open();
    expect(world.promised).toBe(3);
    if (ended) break;
  }
  expect(calls).toBeGreaterThan(8);
});

async function mendOnly(world: JournalWorld): Promise<void> {
  const disk = openDisk(world.fileSystem.attach());
  const { settings, clock, random } = world;
  const from = new Map<GroupId, LogIndex>();
  const { end, spares } = await readJournal({ disk, cluster, incarnation, settings, from, acceptLoss: false });
  expect(end).toMatchObject({ isFirst: true, next: null });
  const pool = new SegmentPool({ disk, clock, random, cluster, incarnation, ...settings }, spares);
  await mendTail({ disk, pool, end: end! });
}

test("[JRN20] a start on a full disk that dies at any call is found again by the next", async () => {
  const filled = async (): Promise<JournalWorld> => {
    const world = new JournalWorld({ seed: 7 });
    await filledAt(world, { fullAt: 1, die: null });
    world.crash(seededRandom(7), "cached");
    fill(world);
    return world;
  };
  let calls = 0;
  for (; ; calls++) {
    let ended = false;
    for (const mode of crashModes) {
      const world = await filled();
      world.fileSystem.crashAt(world.fileSystem.calls + calls + 1, mode);
      const opening = world.open().then(() => true);
      ended = await Promise.race([opening, world.fileSystem.whenStopped().then(() => false)]);
      if (ended) break;
      await startsFull(world, mode, calls);
    }
    if (ended) break;
  }
  expect(calls).toBeGreaterThan(20);
});

/** Nothing but a refusal of the disk, or a journal that failed and said so, may end what is tried. */
async function tried(steps: () => Promise<unknown>): Promise<void> {
  await steps().catch((cause: unknown) => {
    if (!(cause instanceof DiskFault) && !(cause instanceof ProcessEnded)) throw cause;
  });
}

async function goesOn(world: JournalWorld, entries: number): Promise<void> {
  for (let more = 1; more <= entries; more++) {
    world.entry(0, world.lastIndex(0) + 1, { term: 5, bytes: 800 });
    await world.settle();
  }
}

const startErrors = [
  { code: "ENOSPC", persistent: false },
  { code: "EIO", persistent: false },
  { code: "ENOSPC", persistent: true },
] as const;

for (const isFull of [false, true]) {
  for (const isStartedAgain of [false, true]) {
    const disk = isFull ? "a full disk" : "a disk with space";
    const then = isStartedAgain ? "another start, and then power lost" : "power lost";
    test(`[JRN5] an error in any call of a start after a kill, on ${disk}, and behind it ${then}: all is there`, async () => {
      for (const { code, persistent } of startErrors) {
        let at = 1;
        for (; ; at++) {
          const world = new JournalWorld({ seed: 11 });
          await filledAt(world, { fullAt: 20, die: null });
          world.crash(seededRandom(11), "cached");
          if (isFull) fill(world);
          else world.fileSystem.quotaBytes = Infinity;
          const { fileSystem } = world;
          fileSystem.failAt(fileSystem.calls + at, code, { persistent });
          const last = fileSystem.calls + at;
          await tried(async () => {
            await world.open();
            world.journal.useReserve(isFull);
            await goesOn(world, isFull ? 1 : 8);
          });
          const isOver = fileSystem.calls < last;
          fileSystem.heal();
          if (isStartedAgain) {
            world.crash(seededRandom(at), "after");
            await world.open();
            await goesOn(world, 1);
          }
          world.crash(seededRandom(at), "lost");
          await world.open();
          await goesOn(world, 1);
          expect(world.promised).toBe(world.operations);
          if (isOver) break;
        }
        expect(at).toBeGreaterThan(60);
      }
    });
  }
}

test("[JRN4] where the disk does not keep the name of a copy, nothing is given back for it", async () => {
  for (let failing = 1; failing <= 2; failing++) {
    const world = new JournalWorld({ seed: 11 });
    await filledAt(world, { fullAt: 20, die: null });
    world.crash(seededRandom(11), "cached");
    const { fileSystem } = world;
    fileSystem.quotaBytes = Infinity;
    let renames = 0;
    let failedAt = 0;
    fileSystem.onCall = ({ number, name, path }) => {
      if (name !== "rename" || !path.endsWith(".wal") || ++renames !== failing) return;
      failedAt = number + 1;
      fileSystem.failAt(failedAt, "ENOSPC", { persistent: false });
    };
    // No space for the copy, as it seems: the end alone is written anew.
    await world.open();
    expect(failedAt).toBeGreaterThan(0);
    await goesOn(world, 8);
    fileSystem.onCall = null;
    world.crash(seededRandom(failing), "lost");
    await world.open();
    await goesOn(world, 1);
    expect(world.promised).toBe(world.operations);
  }
});
