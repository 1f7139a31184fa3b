import { expect, test } from "vitest";
import { groupId, logIndex } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { DiskFault } from "../../src/storage/disk.ts";
import { JournalDamaged } from "../../src/storage/journal/read-entries.ts";
import { JournalWorld } from "./journal-world.ts";

const group0 = groupId(0);
const indexes = (entries: readonly { index: number }[] | null): number[] | null =>
  entries?.map(({ index }) => index) ?? null;

/** Entries 1 … `count` of group 0, a batch for each ten. */
async function filled(count: number, world = new JournalWorld()): Promise<JournalWorld> {
  await world.open();
  for (let index = 1; index <= count; index++) {
    world.entry(0, index);
    if (index % 10 === 0) await world.settle();
  }
  return world;
}

test("[JRN17] entries are read again, whether they are durable, being written or waiting, in pieces that are bounded", async () => {
  const world = new JournalWorld();
  await world.open();
  for (let index = 1; index <= 10; index++) world.entry(0, index, { bytes: 100 });
  await world.settle();
  // Ten more are on their way to the disk, and ten wait behind them.
  for (let index = 11; index <= 20; index++) world.entry(0, index, { bytes: 100 });
  await Promise.resolve();
  expect(world.journal.busy).toBe(true);
  for (let index = 21; index <= 30; index++) world.entry(0, index, { bytes: 100 });
  expect(indexes(await world.read(0, 1))).toEqual(Array.from({ length: 30 }, (_, at) => at + 1));
  expect(indexes(await world.read(0, 8, { last: 22, bytesMax: 450 }))).toEqual([8, 9, 10, 11]);
  expect(indexes(await world.read(0, 8, { last: 22, bytesMax: 1 }))).toEqual([8]);
  expect(indexes(await world.read(0, 19, { last: 22 }))).toEqual([19, 20, 21, 22]);
  expect(await world.read(0, 31)).toBeNull();
  expect(await world.read(1, 1)).toBeNull();
  await world.settle();
  expect(indexes(await world.read(0, 5, { last: 25 }))).toHaveLength(21);
});

test("[JRN17] what was replaced is not read, wherever either of them stands", async () => {
  const world = await filled(30);
  world.entry(0, 15, { term: 2 });
  const mixed = await world.read(0, 12);
  expect(mixed?.map(({ index, term }) => [index, term])).toEqual([
    [12, 1],
    [13, 1],
    [14, 1],
    [15, 2],
  ]);
  await world.settle();
  expect(await world.read(0, 12)).toEqual(mixed);
  expect(await world.read(0, 16)).toBeNull();
  // After a stop and a start too, and after a kill, when all of it has moved.
  await world.close();
  await world.open();
  expect(await world.read(0, 12)).toEqual(mixed);
  await world.open();
  expect(await world.read(0, 12)).toEqual(mixed);
  expect(indexes(await world.read(0, 1))).toHaveLength(15);
});

test("[JRN17] a replacement while the disk is read is not mixed with what it replaced", async () => {
  const world = await filled(40);
  const read = await world.read(0, 1, { meanwhile: () => world.entry(0, 7, { term: 2 }) });
  expect(read?.map(({ term }) => term)).toEqual([1, 1, 1, 1, 1, 1, 2]);
});

test("[JRN17] what is given back while it is read is nothing, and never something else", async () => {
  const world = await filled(100);
  expect(world.journal.baseOf(group0)).toBe(0);
  expect(await world.read(0, 1, { meanwhile: () => world.release(0, 95) })).toBeNull();
  await world.settle();
  expect(world.journal.baseOf(group0)).toBeGreaterThan(50);
  // The segments are used again, for other entries.
  for (let index = 101; index <= 200; index++) {
    world.entry(0, index);
    if (index % 10 === 0) await world.settle();
  }
  expect(await world.read(0, 40)).toBeNull();
  const base = world.journal.baseOf(group0);
  expect(indexes(await world.read(0, base + 1, { last: 200 }))?.at(-1)).toBe(200);
});

test("[JRN17] after an installed snapshot only what stands behind it is read", async () => {
  const world = await filled(10);
  world.entry(0, 11);
  world.from.set(group0, logIndex(50));
  world.journal.release(group0, logIndex(50));
  world.entry(0, 51);
  expect(world.journal.baseOf(group0)).toBe(50);
  expect(indexes(await world.journal.read(group0, logIndex(51), logIndex(60), 1_000))).toEqual([51]);
  expect(await world.journal.read(group0, logIndex(5), logIndex(60), 1_000)).toBeNull();
  await world.settle();
  expect(indexes(await world.journal.read(group0, logIndex(51), logIndex(60), 1_000))).toEqual([51]);
  expect(await world.journal.read(group0, logIndex(11), logIndex(60), 1_000)).toBeNull();
});

test("[JRN17] rot is told with its place, whatever bit of the batch it is, and the rest is read", async () => {
  const world = await filled(30);
  const whole = await world.read(0, 1);
  const file = "journal/0000000001.wal";
  // Behind the header of the segment, a mark and the first batch.
  const [begin, length] = [2_048, 1_024];
  for (let offset = begin; offset < begin + length; offset += 7) {
    world.fileSystem.flip(file, offset, offset % 8);
    await expect(world.journal.read(group0, logIndex(11), logIndex(12), 1_000)).rejects.toThrow(JournalDamaged);
    await expect(world.journal.read(group0, logIndex(11), logIndex(12), 1_000)).rejects.toMatchObject({
      damage: { file, offset: begin, length },
    });
    world.fileSystem.flip(file, offset, offset % 8);
  }
  expect(await world.read(0, 1)).toEqual(whole);
});

test("[JRN17] a disk that fails while entries are read is told as that, at every call", async () => {
  for (let inCalls = 1; inCalls <= 3; inCalls++) {
    const world = await filled(40);
    world.fileSystem.failAt(world.fileSystem.calls + inCalls, "EIO", { persistent: false });
    const outcome: unknown = await world.journal
      .read(group0, logIndex(1), logIndex(40), 10_000)
      .catch((cause: unknown) => cause);
    world.fileSystem.heal();
    if (!(outcome instanceof DiskFault)) expect(outcome).toHaveLength(40);
    expect(indexes(await world.read(0, 1))).toHaveLength(40);
  }
});

test("[JRN18] released entries stay readable within a bound of bytes, and count for no start", async () => {
  const world = new JournalWorld();
  await world.open();
  world.journal.keepReleased(5 * 4_096);
  await filledFurther(world, 1, 300);
  const { segments, bytes } = world.journal.stats();
  expect(segments).toBe(5);
  expect(bytes).toBe(5 * 4_096);
  const base = world.journal.baseOf(group0);
  expect(base).toBeLessThan(world.released(0) - 40);
  expect(indexes(await world.read(0, base + 1))?.at(-1)).toBe(300);
  expect(await world.read(0, base)).toBeNull();
  // Nobody needs them any more: they go with the next release.
  world.journal.keepReleased(0);
  await filledFurther(world, 301, 310);
  expect(world.journal.stats().segments).toBeLessThan(3);
  expect(world.journal.baseOf(group0)).toBeGreaterThan(250);
  await world.open();
  expect(world.opened!.groups.get(group0)!.entries[0]!.index).toBe(world.released(0) + 1);
});

async function filledFurther(world: JournalWorld, from: number, to: number): Promise<void> {
  for (let index = from; index <= to; index++) {
    world.entry(0, index);
    if (index % 10 === 0) await world.settle();
    if (index % 10 === 0) world.release(0, index - 5);
  }
  await world.settle();
}

const theirs = new Uint8Array(8).fill(7);

test("[JRN19] behind a taken snapshot the log goes on with the entries that the journal has of it", async () => {
  const world = await filled(30);
  const chain = world.journal.chainAt(group0, logIndex(20))!;
  await world.close();
  world.take(0, 20, chain);
  await world.open();
  expect(world.opened!.clean).toBe(true);
  expect(world.opened!.groups.get(group0)!.entries.map(({ index }) => index)).toEqual([
    21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
  ]);
});

test.each([
  { at: 20, stop: "clean", what: "another branch" },
  { at: 20, stop: "none", what: "another branch" },
  { at: 30, stop: "clean", what: "another branch, without anything behind" },
  { at: 500, stop: "clean", what: "a log that ends before" },
  { at: 500, stop: "none", what: "a log that ends before" },
])(
  "[JRN19] of $what nothing is left behind a taken snapshot at $at, nor after the next start ($stop)",
  async ({ at, stop }) => {
    const world = await filled(30);
    world.vote(0, 3, "n1#a");
    world.entry(1, 1);
    await world.settle();
    if (stop === "clean") await world.close();
    world.take(0, at, theirs);
    for (let life = 0; life < 3; life++) {
      await world.open();
      expect(world.opened!.groups.get(group0)).toMatchObject({ vote: { term: 3, votedFor: "n1#a" } });
      expect(world.opened!.groups.get(groupId(1))!.entries).toHaveLength(1);
      expect(world.journal.chainAt(group0, logIndex(at))).toEqual(theirs);
      expect(world.journal.baseOf(group0)).toBe(at);
      const last = Math.max(at, world.lastIndex(0));
      world.entry(0, last + 1, { term: 4 });
      await world.settle();
      expect(indexes(await world.read(0, at + 1))).toHaveLength(life + 1);
      if (life === 1) await world.close();
    }
  },
);

test("[JRN19] a crash at any call of giving up a branch leaves either journal whole", async () => {
  const calls = await countedCalls();
  for (let at = 1; at <= calls; at++) {
    const world = await filled(30);
    await world.close();
    world.take(0, 20, theirs);
    world.fileSystem.crashAt(world.fileSystem.calls + at, "lost");
    await Promise.race([world.open(), world.fileSystem.whenStopped()]);
    if (world.fileSystem.running) continue;
    world.crash(seededRandom(at), "lost");
    expect(await world.open()).toBe(true);
    expect(world.journal.chainAt(group0, logIndex(20))).toEqual(theirs);
    expect(world.opened!.groups.get(group0)!.entries).toEqual([]);
  }
});

async function countedCalls(): Promise<number> {
  const world = await filled(30);
  await world.close();
  world.take(0, 20, theirs);
  const before = world.fileSystem.calls;
  await world.open();
  await world.settle();
  return world.fileSystem.calls - before;
}
