import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AssertionFailure } from "../../src/base/assert.ts";
import { equalBytes } from "../../src/base/compare-bytes.ts";
import { entryTypes } from "../../src/base/entry.ts";
import { groupId, logIndex, term } from "../../src/base/ids.ts";
import type { ClusterId, Incarnation, Mark } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { day, millis, timestamp } from "../../src/base/units.ts";
import { nodeFileSystem } from "../../src/platform/node/node-file-system.ts";
import { type CrashMode, crashModes } from "../../src/sim/crash-modes.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { openDisk } from "../../src/storage/disk.ts";
import type { FileSystem } from "../../src/storage/file-system.ts";
import type { Journal } from "../../src/storage/journal/journal.ts";
import { batchKinds, sealBatch, sectorBytes } from "../../src/storage/journal/layout.ts";
import { openJournal } from "../../src/storage/journal/open.ts";
import type { OpenedJournal } from "../../src/storage/journal/open.ts";
import { scanSegment } from "../../src/storage/journal/scan.ts";
import { JournalWorld, StillClock, cluster, incarnation, never, quiet, tinySettings } from "./journal-world.ts";

/** Opens what is there, without a model: for journals that are damaged or somebody else's. */
function openPlain(
  fileSystem: SimFileSystem,
  options: { acceptLoss?: boolean; cluster?: ClusterId; incarnation?: Incarnation; expected?: boolean } = {},
): Promise<OpenedJournal> {
  return openJournal({
    disk: openDisk(fileSystem),
    clock: new StillClock(),
    random: seededRandom(9),
    cluster: options.cluster ?? cluster,
    incarnation: options.incarnation ?? incarnation,
    settings: tinySettings,
    from: new Map(),
    acceptLoss: options.acceptLoss ?? false,
    ...(options.expected === undefined ? {} : { expected: options.expected }),
    onFlushed: () => undefined,
    onFailed: () => undefined,
  });
}

const group0 = groupId(0);

describe("writing", () => {
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

  test("[JRN1] one write is in flight; what arrives meanwhile is the next batch", async () => {
    const clock = new StillClock();
    const fileSystem = new SimFileSystem({ clock, latency: (call) => millis(call === "writeDurable" ? 5 : 0) });
    const world = new JournalWorld({ fileSystem });
    world.clock = clock;
    const opening = world.open({ clock });
    for (let turn = 0; turn < 10; turn++) await clock.advance(5);
    await opening;
    const before = world.journal.stats().batches;
    world.entry(0, 1);
    await quiet();
    expect(world.journal.busy).toBe(true);
    world.entry(0, 2);
    await quiet();
    world.entry(0, 3);
    await quiet();
    expect(world.flushed).toBe(0);
    // The first write settles with the first entry alone; the other two are one batch.
    await clock.advance(5);
    expect(world.flushed).toBe(1);
    await clock.advance(5);
    expect(world.flushed).toBe(3);
    expect(world.journal.stats().batches - before).toBe(2);
  });

  test("[JRN1] what is handed in when a write settles is on its way to the disk before the report", async () => {
    // Deferred tasks get a turn of their own, as they do in production.
    const clock = new StillClock();
    clock.defer = (task) => void setImmediate(task);
    const fileSystem = new SimFileSystem({ clock, latency: (call) => millis(call === "writeDurable" ? 5 : 0) });
    const world = new JournalWorld({ fileSystem });
    const opening = world.open({ clock });
    for (let turn = 0; turn < 20; turn++) await clock.advance(5);
    await opening;
    const flushedAtWrite: number[] = [];
    fileSystem.onCall = ({ name }) => {
      if (name === "writeDurable") flushedAtWrite.push(world.flushed);
    };
    world.entry(0, 1);
    for (let turn = 0; turn < 4; turn++) await quiet();
    world.settled = () => {
      world.settled = () => undefined;
      world.entry(0, 2);
    };
    await clock.advance(5);
    for (let turn = 0; turn < 4; turn++) await quiet();
    // The second write began when nothing was reported yet, and the report of the first did not wait for it.
    expect(flushedAtWrite).toEqual([0, 0]);
    expect(world.flushed).toBe(1);
    await clock.advance(5);
    for (let turn = 0; turn < 4; turn++) await quiet();
    expect(world.flushed).toBe(2);
  });

  test("[JRN1] a batch takes no more than it may hold, and each one is a write and a report of its own", async () => {
    const world = new JournalWorld();
    await world.open();
    await quiet();
    const before = world.journal.stats().batches;
    for (let index = 1; index <= 6; index++) world.entry(0, index, { bytes: 400 });
    world.entry(0, 7, { bytes: 1400 });
    await world.settle();
    expect(world.promised).toBe(7);
    // Two of 448 bytes fit in 1024; the large one is alone; the third batch rolls.
    expect(world.journal.stats().batches - before - world.journal.stats().rolls).toBe(4);
  });

  test("[JRN2] with a time set, a batch waits for it; with a size too, for whichever comes first", async () => {
    const world = new JournalWorld({ settings: { flushAfterMs: 10, flushAfterBytes: 500 } });
    await world.open();
    world.entry(0, 1);
    await world.advance(6);
    world.entry(0, 2);
    await world.advance(3);
    expect(world.flushed).toBe(0);
    // Ten milliseconds after the first, not after the last.
    await world.advance(1);
    expect(world.flushed).toBe(2);
    world.entry(0, 3, { bytes: 600 });
    await world.settle();
    expect(world.flushed).toBe(3);
  });

  test("[JRN2] flushNow writes whatever the settings say, and so does a stop", async () => {
    const world = new JournalWorld({ settings: { flushAfterMs: 1000, flushAfterBytes: 0 } });
    await world.open();
    world.entry(0, 1);
    await world.settle();
    expect(world.flushed).toBe(0);
    world.journal.flushNow();
    await world.settle();
    expect(world.flushed).toBe(1);
    world.entry(0, 2);
    await world.close();
    expect(world.flushed).toBe(2);
    expect(world.clock.timers).toBe(0);
  });

  test("[JRN2] a size without a time is refused: the last messages would wait for ever", async () => {
    const world = new JournalWorld({ settings: { flushAfterBytes: 100 } });
    await expect(world.open()).rejects.toThrow(AssertionFailure);
  });

  test("[JRN14] a mark certifies the last batch once the journal has been idle, and only then", async () => {
    const world = new JournalWorld();
    await world.open();
    await quiet();
    world.entry(0, 1);
    await world.settle();
    await world.advance(15);
    world.entry(0, 2);
    await world.settle();
    await world.advance(15);
    expect(world.journal.stats().marks).toBe(0);
    await world.advance(5);
    expect(world.journal.stats().marks).toBe(1);
    await world.advance(1000);
    expect(world.journal.stats().marks).toBe(1);
    expect(world.clock.timers).toBe(0);
  });

  test("[JRN15] the chain names a log: equal for equal entries, another one after any change", async () => {
    const chains: string[] = [];
    for (const bytes of [40, 40, 41]) {
      const world = new JournalWorld();
      await world.open();
      for (let index = 1; index <= 3; index++) world.entry(0, index, { bytes: index === 2 ? bytes : 40 });
      chains.push(Buffer.from(world.journal.chainAt(group0, logIndex(3))!).toString("hex"));
      await world.settle();
      await world.close();
      await world.open();
      expect(Buffer.from(world.journal.chainAt(group0, logIndex(3))!).toString("hex")).toBe(chains.at(-1));
    }
    expect(chains[0]).toBe(chains[1]);
    expect(chains[0]).not.toBe(chains[2]);
  });

  test("[JRN16] a hole, a released entry and a vote that goes back stop the program", async () => {
    const world = new JournalWorld();
    await world.open();
    world.entry(0, 1);
    world.entry(0, 2);
    world.vote(0, 5, "n1");
    await world.settle();
    world.release(0, 1);
    expect(() => world.entry(0, 4)).toThrow(AssertionFailure);
    expect(() => world.entry(0, 1)).toThrow(AssertionFailure);
    expect(() => world.vote(0, 4, "n1")).toThrow(AssertionFailure);
    expect(() => world.vote(0, 5, "n2")).toThrow(AssertionFailure);
  });
});

describe("segments", () => {
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
    expect(world.opened!.groups.get(group0)!.entries[0]!.index).toBe(logIndex(296));
  });

  test("[JRN6] one group that is not released keeps every segment from its entry on", async () => {
    const world = new JournalWorld();
    await world.open();
    world.entry(1, 1);
    for (let index = 1; index <= 200; index++) {
      world.entry(0, index);
      if (index % 10 === 0) await world.settle();
    }
    world.release(0, 195);
    await world.settle();
    expect(world.fileSystem.files().has("journal/0000000001.wal")).toBe(true);
    expect(world.journal.stats().segments).toBeGreaterThan(3);
    world.release(1, 1);
    await world.settle();
    expect(world.journal.stats().segments).toBeLessThan(3);
    await world.open();
  });

  test("[JRN7] what is left in a recycled segment never counts as a batch of it", async () => {
    const generation = seededRandom(1).bytes(8);
    const image = new Uint8Array(4096);
    const batch = { kind: batchKinds.records, recordCount: 0, recordBytes: 900 };
    const older = { ...batch, generation: seededRandom(2).bytes(8) };
    // The segment was full before; now it holds one batch, and the old ones carry on with just the right numbers.
    let checksum = sealBatch(image, sectorBytes, { ...batch, generation, number: 1, previousChecksum: 0 });
    for (let number = 2; number <= 3; number++) {
      checksum = sealBatch(image, sectorBytes + (number - 1) * 1024, { ...older, number, previousChecksum: checksum });
    }
    const scan = scanSegment(image, { generation, previous: null });
    expect(scan.parts.length).toBe(1);
    expect(scan.lastNumber).toBe(1);
  });

  test("[JRN11] the vote of a quiet group outlives the segments it was written in", async () => {
    const world = new JournalWorld();
    await world.open();
    world.vote(7, 3, "n3");
    world.entry(5, 1);
    await world.settle();
    world.release(5, 1);
    for (let index = 1; index <= 300; index++) {
      world.entry(0, index);
      if (index % 10 === 0) await world.settle();
      if (index % 20 === 0) world.release(0, index);
    }
    await world.settle();
    expect(world.journal.stats().segments).toBeLessThan(4);
    const chain = world.journal.chainAt(groupId(5), logIndex(1));
    await world.open();
    expect(world.opened!.groups.get(groupId(7))!.vote).toEqual({ term: 3, votedFor: "n3" });
    // And the place of a quiet group's log, with its chain.
    expect(world.journal.chainAt(groupId(5), logIndex(1))).toEqual(chain);
    world.entry(5, 2);
    await world.settle();
    await world.open();
  });

  test("[JRN11] the same for a vote that a start has copied, with entries that fill more than one segment", async () => {
    const world = new JournalWorld();
    await world.open();
    world.vote(0, 3, "n3");
    for (let index = 1; index <= 200; index++) {
      world.entry(0, index, { term: 3 });
      if (index % 10 === 0) await world.settle();
    }
    world.crash(seededRandom(1), "lost");
    await world.open();
    // The vote is in the first segment of the copy, which is the first to be given back.
    expect(world.journal.stats().segments).toBeGreaterThan(3);
    world.release(0, 200);
    await world.settle();
    expect(world.journal.stats().segments).toBeLessThan(3);
    await world.close();
    await world.open();
    expect(world.opened!.groups.get(group0)!.vote).toEqual({ term: 3, votedFor: "n3" });
  });

  test("[JRN10] an entry at or below the last one replaces it and all after it, also across segments", async () => {
    const world = new JournalWorld();
    await world.open();
    for (let index = 1; index <= 60; index++) {
      world.entry(0, index, { term: 1 });
      if (index % 10 === 0) await world.settle();
    }
    for (let index = 15; index <= 20; index++) world.entry(0, index, { term: 2 });
    await world.settle();
    await world.open();
    const { entries } = world.opened!.groups.get(group0)!;
    expect(entries.map((entry) => entry.term).join("")).toBe("1".repeat(14) + "2".repeat(6));
    world.entry(0, 18, { term: 3 });
    world.entry(0, 19, { term: 3 });
    await world.close();
    await world.open();
    expect(world.opened!.groups.get(group0)!.entries.at(-1)).toMatchObject({ index: 19, term: 3 });
  });

  test("[JRN10] after an installed snapshot the log goes on behind it", async () => {
    const world = new JournalWorld();
    await world.open();
    world.entry(0, 1);
    await world.settle();
    world.from.set(group0, logIndex(5000));
    world.journal.release(group0, logIndex(5000));
    world.entry(0, 5001);
    await world.settle();
    await world.open();
    expect(world.opened!.groups.get(group0)!.entries.map((entry) => entry.index)).toEqual([5001]);
  });
});

describe("opening", () => {
  test("[JRN9] a clean stop and a start keep everything in its place", async () => {
    const world = new JournalWorld();
    await world.open();
    expect(world.opened!.clean).toBe(false);
    for (let index = 1; index <= 100; index++) world.entry(index % 2, Math.ceil(index / 2));
    world.vote(1, 2, "n1");
    await world.settle();
    expect(world.promised).toBe(101);
    await world.close();
    const before = world.fileSystem.files();
    await world.open();
    expect(world.opened!.clean).toBe(true);
    // Nothing had to be copied.
    for (const [file, bytes] of before)
      if (file.endsWith(".wal")) expect(world.fileSystem.files().get(file)).toEqual(bytes);
    world.entry(0, 51);
    await world.settle();
    await world.open();
    expect(world.opened!.clean).toBe(false);
    expect(world.promised).toBe(102);
  });

  test("[JRN9] after a kill everything alive is in a fresh segment before anything else happens", async () => {
    const world = new JournalWorld();
    await world.open();
    for (let index = 1; index <= 30; index++) world.entry(0, index, { bytes: 100 });
    await world.settle();
    const old = [...world.fileSystem.files().keys()].filter((file) => file.endsWith(".wal"));
    await world.open();
    for (const file of old) if (world.fileSystem.files().has(file)) world.fileSystem.lose(file);
    await world.open();
    expect(world.promised).toBe(30);
  });

  test("[JRN9] a torn last batch is cut, said, and never appended to", async () => {
    const world = new JournalWorld();
    await world.open();
    world.entry(0, 1);
    await world.settle();
    world.entry(0, 2, { bytes: 900 });
    world.fileSystem.crashAt(world.fileSystem.calls + 1, "half");
    await quiet();
    world.crash(seededRandom(1), "half");
    await world.open();
    expect(world.opened!.torn).toMatchObject({ file: "journal/0000000001.wal", offset: 1536 });
    expect(world.opened!.groups.get(group0)!.entries.length).toBe(1);
    world.entry(0, 2);
    await world.settle();
    expect(world.fileSystem.files().has("journal/0000000002.wal")).toBe(true);
  });

  test("[JRN12] damage is refused, with the range and what it hides, and nothing on the disk is touched", async () => {
    const world = await damagedWorld();
    const before = world.fileSystem.files();
    const opened = await openPlain(world.fileSystem);
    expect(opened.damage).toMatchObject([
      {
        file: "journal/0000000001.wal",
        offset: 1536,
        length: 512,
        what: "1 batches with a later one behind: unreadable",
        groups: [
          { group: 0, from: 3, through: 3 },
          { group: 1, from: 2, through: null },
        ],
        votes: [0],
      },
    ]);
    expect(world.fileSystem.files()).toEqual(before);
    expect(() => opened.journal.appendVote(group0, { term: 9, votedFor: "" } as never)).toThrow(AssertionFailure);
    expect(opened.groups.get(group0)!.entries.length).toBe(2);
  });

  test("[JRN12] an accepted loss is moved aside, the place is kept, and everything else is there", async () => {
    const world = await damagedWorld();
    const before = world.fileSystem.files();
    const opened = await openPlain(world.fileSystem, { acceptLoss: true });
    expect(opened.damage.length).toBe(1);
    const { entries } = opened.groups.get(group0)!;
    expect(entries.map((entry) => entry.index)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(entries.map((entry) => entry.type === entryTypes.noop)).toEqual([false, false, true, false, false, false]);
    // The damaged bytes are still there for whoever wants to look at them.
    expect(world.fileSystem.files().get("quarantine/journal-0000000001.wal")).toEqual(
      before.get("journal/0000000001.wal"),
    );
    await opened.journal.close();
    const again = await openPlain(world.fileSystem);
    expect(again.damage).toEqual([]);
    expect(again.groups.get(group0)!.entries).toEqual(entries);
  });

  test("[JRN12] a crash at any call of accepting a loss keeps the damaged file and what was saved", async () => {
    for (let call = 1; ; call++) {
      const world = await damagedWorld();
      const damaged = world.fileSystem.files().get("journal/0000000001.wal")!;
      world.fileSystem.crashAt(world.fileSystem.calls + call, "subset");
      const opened = await Promise.race([
        openPlain(world.fileSystem, { acceptLoss: true }),
        world.fileSystem.whenStopped().then(() => null),
      ]);
      if (opened !== null) break;
      world.fileSystem.crash(seededRandom(call), "subset");
      const again = await openPlain(world.fileSystem, { acceptLoss: true });
      expect(again.groups.get(group0)!.entries.map((entry) => entry.index)).toEqual([1, 2, 3, 4, 5, 6]);
      const kept = [...world.fileSystem.files()].filter(([file]) => file.startsWith("quarantine/"));
      expect(kept.some(([, bytes]) => Buffer.from(bytes).equals(damaged))).toBe(true);
    }
  });

  test("[JRN12] accepting a loss may be broken off twice: the damaged file is kept, and what was saved", async () => {
    const damaged = (await damagedWorld()).fileSystem.files().get("journal/0000000001.wal")!;
    let rounds = 0;
    /** False when the start came to its end before the call. */
    const brokenOff = async (fileSystem: SimFileSystem, call: number, mode: CrashMode): Promise<boolean> => {
      fileSystem.crashAt(fileSystem.calls + call, mode);
      const opening = openPlain(fileSystem, { acceptLoss: true });
      const opened = await Promise.race([opening, fileSystem.whenStopped().then(() => null)]);
      if (opened === null) fileSystem.crash(seededRandom(call), mode);
      return opened === null;
    };
    for (let first = 1; ; first++) {
      const mode = crashModes[first % crashModes.length]!;
      const once = await damagedWorld();
      if (!(await brokenOff(once.fileSystem, first, mode))) break;
      for (let second = 2 - (first % 2); ; second += 2) {
        const fileSystem = once.fileSystem.fork();
        if (!(await brokenOff(fileSystem, second, crashModes[(first + second) % crashModes.length]!))) break;
        rounds++;
        const again = await openPlain(fileSystem, { acceptLoss: true });
        expect(again.groups.get(group0)!.entries.map((entry) => entry.index)).toEqual([1, 2, 3, 4, 5, 6]);
        const kept = [...fileSystem.files()].filter(([file]) => file.startsWith("quarantine/"));
        expect([first, second, kept.some(([, bytes]) => equalBytes(bytes, damaged))]).toEqual([first, second, true]);
      }
    }
    expect(rounds).toBeGreaterThan(100);
  });

  test("[JRN13] another cluster, another incarnation, a newer format: refused by name, untouched", async () => {
    const world = new JournalWorld();
    await world.open();
    await world.close();
    const before = world.fileSystem.files();
    const otherCluster = "ffffffffffffffffffffffffffffffff";
    const wrongCluster = openPlain(world.fileSystem, { cluster: otherCluster as ClusterId });
    await expect(wrongCluster).rejects.toThrow(
      `journal/0000000001.wal is not for this server: its cluster is ${cluster}, this server's is ${otherCluster}`,
    );
    const wrongLife = openPlain(world.fileSystem, { incarnation: otherCluster as Incarnation });
    await expect(wrongLife).rejects.toThrow(`its incarnation is ${incarnation}`);
    expect(world.fileSystem.files()).toEqual(before);
  });

  test("[JRN13] a journal that should be there and is not is damage", async () => {
    const opened = await openPlain(new SimFileSystem(), { expected: true });
    expect(opened.damage[0]!.what).toBe("the journal is missing");
    const world = new JournalWorld();
    await world.open();
    await quiet();
    world.fileSystem.lose("journal/0000000001.wal");
    expect((await openPlain(world.fileSystem)).damage.length).toBe(1);
  });

  test("[JRN9] segments of another size are read, and are not reused", async () => {
    const world = new JournalWorld();
    await world.open();
    for (let index = 1; index <= 30; index++) world.entry(0, index, { bytes: 100 });
    await world.settle();
    await world.close();
    world.settings = { ...world.settings, segmentBytes: 8192, batchBytesMax: 3000 };
    await world.open();
    for (let index = 31; index <= 90; index++) world.entry(0, index, { bytes: 100 });
    await world.settle();
    world.release(0, 80);
    await world.settle();
    await world.open();
    expect(world.promised).toBe(90);
  });
});

test("[JRN9] on the real disk: what was flushed is there after a stop, and after none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "synod-journal-"));
  const start = async (expected: number): Promise<{ append: (index: number) => Mark; process: RealProcess }> => {
    const process = realProcess(folder);
    const { journal, groups, damage } = await openJournal({
      disk: openDisk(process.fileSystem),
      clock: new StillClock(),
      random: seededRandom(4),
      cluster,
      incarnation,
      settings: tinySettings,
      from: new Map(),
      acceptLoss: false,
      onFlushed: (mark) => process.tellFlushed(mark),
      onFailed: (cause) => expect.unreachable(String(cause)),
    });
    process.journal = journal;
    expect(damage).toEqual([]);
    const entries = groups.get(group0)?.entries ?? [];
    expect(entries.length).toBe(expected);
    expect(entries.every((entry, at) => entry.index === at + 1 && entry.payload[99] === at + 1)).toBe(true);
    const append = (index: number): Mark =>
      journal.appendEntry({
        group: group0,
        index: logIndex(index),
        term: term(1),
        type: entryTypes.commands,
        ts: timestamp(index),
        day: day(20261123),
        payload: new Uint8Array(100).fill(index),
      });
    return { append, process };
  };
  let last = 0;
  for (const stop of ["clean", "none", "clean", "none"]) {
    const { append, process } = await start(last);
    let mark = append(last + 1);
    for (let count = 2; count <= 40; count++) mark = append(last + count);
    last += 40;
    await process.flushed(mark);
    if (stop === "clean") await process.journal!.close();
    else await process.kill();
  }
  const { process } = await start(160);
  await process.journal!.close();
  await rm(folder, { recursive: true });
});

interface RealProcess {
  readonly fileSystem: FileSystem;
  journal: Journal | null;
  tellFlushed: (mark: Mark) => void;
  flushed(upTo: Mark): Promise<void>;
  /** From now on no call is made; settles when those under way have ended. */
  kill(): Promise<void>;
}

/** The real file system as a process has it that may be killed without a trace, while others go on. */
function realProcess(folder: string): RealProcess {
  const real = nodeFileSystem(folder);
  const underWay = new Set<Promise<unknown>>();
  let alive = true;
  const call = <T>(make: () => Promise<T>): Promise<T> => {
    if (!alive) return never;
    const made = make();
    const ended: Promise<unknown> = made.catch(() => null).then(() => underWay.delete(ended));
    underWay.add(ended);
    return made;
  };
  const process: RealProcess = {
    fileSystem: {
      list: (path) => call(() => real.list(path)),
      makeFolder: (path) => call(() => real.makeFolder(path)),
      removeFolder: (path) => call(() => real.removeFolder(path)),
      syncFolder: (path) => call(() => real.syncFolder(path)),
      rename: (from, to) => call(() => real.rename(from, to)),
      unlink: (path) => call(() => real.unlink(path)),
      space: () => call(() => real.space()),
      open: async (path, mode) => {
        const file = await call(() => real.open(path, mode));
        return {
          read: (into, position) => call(() => file.read(into, position)),
          write: (bytes, position) => call(() => file.write(bytes, position)),
          sync: () => call(() => file.sync()),
          size: () => call(() => file.size()),
          close: () => call(() => file.close()),
        };
      },
    },
    journal: null,
    tellFlushed: () => undefined,
    flushed: (upTo) =>
      new Promise((resolve) => {
        process.tellFlushed = (mark) => {
          if (mark >= upTo) resolve();
        };
      }),
    kill: async () => {
      alive = false;
      await Promise.all(underWay);
    },
  };
  return process;
}

/** Six entries of group 0 in three batches, the second of which has rotted; it also held an entry of group 1. */
async function damagedWorld(): Promise<JournalWorld> {
  const world = new JournalWorld();
  await world.open();
  await quiet();
  world.entry(0, 1);
  world.entry(0, 2);
  world.entry(1, 1);
  await world.settle();
  world.entry(0, 3);
  world.entry(0, 4);
  world.vote(0, 2, "n2");
  world.entry(1, 2);
  await world.settle();
  world.entry(0, 5);
  world.entry(0, 6);
  world.vote(1, 2, "n2");
  await world.settle();
  world.fileSystem.flip("journal/0000000001.wal", 1536 + 100, 3);
  return world;
}
