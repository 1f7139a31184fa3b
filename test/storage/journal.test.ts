import { describe, expect, test } from "vitest";
import { groupId, logIndex } from "../../src/base/ids.ts";
import { JournalWorld, quiet } from "./journal-world.ts";

describe("journal", () => {
  test("[JRN1] what is appended in one turn is one write, and is reported once", async () => {
    const world = new JournalWorld();
    await world.open();
    await quiet();
    const writes: string[] = [];
    world.fileSystem.onCall = ({ name, path }) => writes.push(`${name} ${path}`);
    for (let index = 1; index <= 5; index++) world.entry(0, index);
    world.vote(0, 3, "n2");
    expect(world.journal.stagedBytes).toBeGreaterThan(0);
    expect(world.journal.flushed).toBe(0);
    await world.settle();
    expect(writes.filter((call) => call.startsWith("writeDurable"))).toEqual(["writeDurable journal/0000000001.wal"]);
    expect(world.flushed).toBe(6);
    expect(world.promised).toBe(6);
  });

  test("[JRN9] a clean stop and a start keep everything in its place", async () => {
    const world = new JournalWorld();
    await world.open();
    expect(world.opened!.clean).toBe(false);
    for (let index = 1; index <= 100; index++) world.entry(index % 2, Math.ceil(index / 2));
    world.vote(1, 2, "n1");
    await world.settle();
    expect(world.promised).toBe(101);
    await world.journal.close();
    await world.open();
    expect(world.opened!.clean).toBe(true);
    expect(world.promised).toBe(101);
    expect(world.opened!.groups.get(groupId(0))!.entries.length).toBe(50);
    world.entry(0, 51);
    await world.settle();
    await world.open();
    expect(world.opened!.clean).toBe(false);
    expect(world.promised).toBe(102);
  });

  test("[JRN6] segments come back when their entries are released", async () => {
    const world = new JournalWorld();
    await world.open();
    for (let index = 1; index <= 300; index++) {
      world.entry(0, index);
      if (index % 10 === 0) await world.settle();
      if (index % 50 === 0) world.release(0, index - 5);
    }
    await world.settle();
    expect(world.journal.stats().rolls).toBeGreaterThan(4);
    expect(world.journal.stats().segments).toBeLessThan(5);
    expect(world.fileSystem.files().size).toBeLessThan(9);
    await world.open();
    expect(world.opened!.groups.get(groupId(0))!.entries[0]!.index).toBe(logIndex(296));
  });
});
