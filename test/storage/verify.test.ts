import { beforeAll, describe, expect, test } from "vitest";
import { entryTypes } from "../../src/base/entry.ts";
import { Fault } from "../../src/base/error-codes.ts";
import { groupId, logIndex, type NodeName, term } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { day, timestamp } from "../../src/base/units.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { buildChunk } from "../../src/storage/chunk/build-chunk.ts";
import { type ChunkMeta, chunkNumber } from "../../src/storage/chunk/chunk-layout.ts";
import { openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { openDataDirectory } from "../../src/storage/data-directory.ts";
import { DiskFault, openDisk } from "../../src/storage/disk.ts";
import { openJournal } from "../../src/storage/journal/open.ts";
import { Scrub, type ScrubStep } from "../../src/storage/scrub.ts";
import { buildSnapshot, publishSnapshot, type Snapshot } from "../../src/storage/snapshot-file.ts";
import { type DirectoryReport, verifyDirectory } from "../../src/storage/verify.ts";
import { conversation, drained, finished, inputOf, utf8, wholeOf } from "./chunk-messages.ts";
import { quiet, StillClock, tinySettings } from "./journal-world.ts";

const group = groupId(0);
const segmentBytes = 16 * 1024;
const messages = conversation({ rooms: 4, messages: 900, seed: 1 });

/** The parts of the conversation that became chunks: which entries, which messages, on which day. */
const parts = [
  { chunk: 1, from: 0, to: 50, day: 20261121, first: 0, last: 300 },
  { chunk: 2, from: 50, to: 120, day: 20261122, first: 300, last: 700 },
  { chunk: 3, from: 120, to: 150, day: 20261122, first: 700, last: 900 },
];

/** A directory as a server leaves it: three chunks, two snapshots, and the log behind them. */
async function served(): Promise<SimFileSystem> {
  const fileSystem = new SimFileSystem();
  const disk = openDisk(fileSystem);
  const { identity } = await openDataDirectory({
    disk,
    lock: { acquire: () => Promise.resolve(), release: () => Promise.resolve() },
    random: seededRandom(1),
    node: "n1" as NodeName,
    groups: 1,
    found: true,
    now: timestamp(1),
  });
  const { cluster, incarnation } = identity;
  const opened = await openJournal({
    disk,
    clock: new StillClock(),
    random: seededRandom(2),
    cluster,
    incarnation,
    settings: { ...tinySettings, segmentBytes },
    from: new Map(),
    acceptLoss: false,
    onFlushed: () => undefined,
    onFailed: (cause) => expect.fail(String(cause)),
  });
  const store = await openChunkStore({ disk, cluster, group });
  let index = 0;
  const append = async (through: number): Promise<void> => {
    while (index < through) {
      index++;
      opened.journal.appendEntry({
        group,
        index: logIndex(index),
        term: term(1),
        type: entryTypes.commands,
        ts: timestamp(1_790_000_000_000 + index),
        day: day(20261122),
        payload: seededRandom(index).bytes(100),
      });
      if (index % 5 === 0) await quiet();
    }
    await quiet();
  };
  for (const part of parts) {
    await append(part.to + 1);
    const meta: ChunkMeta = {
      cluster,
      group,
      chunk: chunkNumber(part.chunk),
      from: logIndex(part.from),
      to: logIndex(part.to),
      day: day(part.day),
      format: 1,
      generation: 0,
    };
    await store.publish(finished(buildChunk(meta, inputOf(messages.slice(part.first, part.last)))));
    const sealed = logIndex(part.to + 1);
    const chain = opened.journal.chainAt(group, sealed)!;
    const snapshot = {
      group,
      index: sealed,
      term: term(1),
      chunk: part.chunk,
      chain,
      state: seededRandom(part.to).bytes(5_000),
    };
    await publishSnapshot(
      disk,
      finished(buildSnapshot({ cluster, incarnation }, { ...snapshot, state: [snapshot.state] })),
    );
    opened.journal.release(group, sealed);
  }
  await append(180);
  await opened.journal.close();
  return fileSystem;
}

const verify = (fileSystem: SimFileSystem): Promise<DirectoryReport> =>
  verifyDirectory({ disk: openDisk(fileSystem), segmentBytes });

describe("verify", () => {
  let whole: SimFileSystem;
  beforeAll(async () => {
    whole = await served();
  });

  test("a directory that is as it was left: nothing is wrong, and everything is counted", async () => {
    const fileSystem = whole.copy();
    const before = fileSystem.files();
    const calls = new Set<string>();
    fileSystem.onCall = (call) => calls.add(call.name);
    const report = await verify(fileSystem);
    expect(report.damage).toEqual([]);
    expect(report.totals).toEqual({
      messages: 900,
      rooms: 4,
      chunks: 3,
      days: [20261121, 20261122],
      snapshots: 2,
      entries: 29,
      firstIndex: 1,
      lastIndex: 180,
    });
    expect(report).toMatchObject({ torn: null, unknown: [], quarantined: [], identity: { node: "n1" } });
    // Verifying only reads.
    expect(fileSystem.files()).toEqual(before);
    expect([...calls].sort()).toEqual(["close", "list", "open", "read", "size"].filter((name) => calls.has(name)));
  });

  test("what is not Synod's and what is in quarantine is listed and no damage", async () => {
    const fileSystem = whole.copy();
    for (const file of ["notes.txt", "history/x", "snapshot/y", "journal/z", "quarantine/old", "lock.1"]) {
      fileSystem.plant(file, utf8("x"));
    }
    const report = await verify(fileSystem);
    expect(report.damage).toEqual([]);
    expect([...report.unknown].sort()).toEqual(["history/x", "journal/z", "notes.txt", "snapshot/y"]);
    expect(report.quarantined).toEqual(["quarantine/old"]);
  });

  test("a flipped bit in any file is found, in that file, in a range that holds it", async () => {
    const random = seededRandom(5);
    for (const [file, bytes] of whole.files()) {
      // What is in a spare segment, or behind the end of the log, means nothing.
      if (file.endsWith(".spare") || file.endsWith(".next")) continue;
      const end = file.startsWith("journal/") ? 1_024 : bytes.length;
      for (let round = 0; round < 25; round++) {
        const fileSystem = whole.copy();
        const offset = random.whole(end);
        const bit = random.whole(8);
        fileSystem.flip(file, offset, bit);
        const { damage } = await verify(fileSystem);
        const named = damage.some(
          (found) => found.file === file && found.offset <= offset && offset < found.offset + found.length,
        );
        if (!named) expect.fail(`bit ${bit} of byte ${offset} of ${file}: ${JSON.stringify(damage)}`);
      }
    }
  });

  test("a file that is gone is missed", async () => {
    for (const file of whole.files().keys()) {
      if (file.endsWith(".spare") || file.endsWith(".next")) continue;
      const fileSystem = whole.copy();
      fileSystem.lose(file);
      const { damage } = await verify(fileSystem);
      // The oldest chunk may have been removed by retention, and the older snapshot is one too many.
      const mayGo = file.endsWith("c000001-r0.chunk") || file.endsWith("121.state");
      if ((damage.length === 0) !== mayGo) expect.fail(`${file}: ${JSON.stringify(damage)}`);
    }
  });

  test("a hole between chunks is named, unless the state needs nothing of it", async () => {
    const fileSystem = whole.copy();
    fileSystem.lose("history/2026-11-22/g00-c000002-r0.chunk");
    expect((await verify(fileSystem)).damage).toMatchObject([
      { file: "history", what: "chunk 2 of group 0 is missing" },
    ]);
    const neededChunks = (chunks: number[]) => (snapshot: Snapshot) => {
      expect(snapshot.index).toBe(151);
      return chunks.map((chunk) => ({ chunk, generation: 0 }));
    };
    const report = (chunks: number[]): Promise<DirectoryReport> =>
      verifyDirectory({ disk: openDisk(fileSystem), segmentBytes, neededChunks: neededChunks(chunks) });
    expect((await report([1, 3])).damage).toEqual([]);
    expect((await report([1, 2, 3])).damage).toMatchObject([{ what: "chunk 2 of group 0 is missing" }]);
    expect((await report([1, 3, 4])).damage).toMatchObject([{ what: "chunk 4 of group 0 is missing" }]);
  });

  test("files of groups that this server does not have are listed; a generation that was replaced is checked too", async () => {
    const fileSystem = whole.copy();
    fileSystem.plant("history/2026-11-22/g07-c000001-r0.chunk", utf8("x"));
    fileSystem.plant("snapshot/g07-000000000001.state", utf8("x"));
    const { cluster } = (await verify(fileSystem)).identity!;
    const store = await openChunkStore({ disk: openDisk(fileSystem), cluster, group });
    await store.publish(await drained(store.rewrite(chunkNumber(2), (_, seq) => seq > 110)));
    const report = await verify(fileSystem);
    expect(report.damage).toEqual([]);
    expect(report.unknown).toEqual(["snapshot/g07-000000000001.state", "history/2026-11-22/g07-c000001-r0.chunk"]);
    fileSystem.flip("history/2026-11-22/g00-c000002-r0.chunk", 5_000, 1);
    expect((await verify(fileSystem)).damage[0]).toMatchObject({ file: "history/2026-11-22/g00-c000002-r0.chunk" });
  });

  test("of a journal that is not there only what is known is said: how far the snapshot goes", async () => {
    const fileSystem = whole.copy();
    for (const file of fileSystem.files().keys()) if (file.startsWith("journal/")) fileSystem.lose(file);
    const { damage } = await verify(fileSystem);
    expect(damage).toMatchObject([{ file: "journal", offset: 0, length: 0 }]);
    expect(damage[0]!.what).toContain("group 0 is known up to entry 151, by its snapshot");
    expect(damage[0]!.what).toContain("from 152 to the end");
  });

  test("a state that this version can't read is named with its code, and the rest is checked", async () => {
    const { damage, totals } = await verifyDirectory({
      disk: openDisk(whole.copy()),
      segmentBytes,
      neededChunks: () => {
        throw new Fault("unsupported", "the state has format 9");
      },
    });
    expect(damage).toMatchObject([
      { file: "snapshot/g00-000000000151.state", what: "the state has format 9 (unsupported)" },
    ]);
    expect(totals.chunks).toBe(3);
  });

  test("a chunk of an older generation than the state needs is named", async () => {
    const { damage } = await verifyDirectory({
      disk: openDisk(whole.copy()),
      segmentBytes,
      neededChunks: () => [{ chunk: 2, generation: 1 }],
    });
    expect(damage).toMatchObject([{ file: "history/2026-11-22/g00-c000002-r0.chunk" }]);
    expect(damage[0]!.what).toContain("generation 0");
  });

  test.each<[string, Partial<ChunkMeta>, string]>([
    ["begins behind the end of the one before it", { from: logIndex(51) }, "begins behind entry 51"],
    ["begins before the end of the one before it", { from: logIndex(49) }, "begins behind entry 49"],
    ["is of an earlier day", { day: day(20261120) }, "its day is before"],
  ])("a chunk that %s is named", async (_, change, what) => {
    const fileSystem = whole.copy();
    const { identity } = await verify(fileSystem);
    fileSystem.lose("history/2026-11-22/g00-c000002-r0.chunk");
    const meta: ChunkMeta = {
      cluster: identity!.cluster,
      group,
      chunk: chunkNumber(2),
      from: logIndex(50),
      to: logIndex(120),
      day: day(20261122),
      format: 1,
      generation: 0,
      ...change,
    };
    const image = finished(buildChunk(meta, inputOf(messages.slice(300, 700))));
    fileSystem.plant(image.file, wholeOf(image));
    const { damage } = await verify(fileSystem);
    expect(damage.map((found) => found.what).join()).toContain(what);
  });

  test("a journal that ends before what is sealed is named", async () => {
    const fileSystem = whole.copy();
    const { identity } = await verify(fileSystem);
    const { cluster, incarnation } = identity!;
    const snapshot = {
      group,
      index: logIndex(500),
      term: term(1),
      chunk: 3,
      chain: new Uint8Array(8),
      state: new Uint8Array(0),
    };
    const image = finished(buildSnapshot({ cluster, incarnation }, { ...snapshot, state: [snapshot.state] }));
    fileSystem.plant(image.file, Buffer.concat(image.parts));
    const { damage } = await verify(fileSystem);
    expect(damage).toMatchObject([
      { file: "journal", what: "the journal of group 0 ends with entry 180, what is sealed ends with 500" },
    ]);
  });

  test("without an identity nothing can be believed, and that is said", async () => {
    const fileSystem = whole.copy();
    fileSystem.lose("identity");
    const report = await verify(fileSystem);
    expect(report.identity).toBe(null);
    expect(report.damage).toMatchObject([{ file: "identity" }]);
  });

  test("whatever can't be read is listed or thrown, never passed over", async () => {
    for (let at = 1; ; at++) {
      const fileSystem = whole.copy();
      fileSystem.failAt(at, "EIO", { persistent: false });
      const report: unknown = await verify(fileSystem).catch((cause: unknown) => cause);
      if (fileSystem.calls < at) {
        expect((report as DirectoryReport).damage).toEqual([]);
        break;
      }
      if (report instanceof DiskFault) continue;
      const { damage } = report as DirectoryReport;
      // An error of closing says nothing about any byte.
      if (damage.length === 0) {
        const again = whole.copy();
        let failed = "";
        again.onCall = (call) => {
          if (call.number === at) failed = call.name;
        };
        await verify(again);
        expect(failed).toBe("close");
      }
    }
  });
});

describe("scrub", () => {
  async function pass(scrub: Scrub): Promise<ScrubStep[]> {
    const steps: ScrubStep[] = [];
    for (;;) {
      const step = await scrub.step();
      steps.push(step);
      if (step.state === "passed" || step.state === "idle") return steps;
    }
  }

  async function scrubbed(fileSystem: SimFileSystem) {
    const { identity } = await verify(fileSystem);
    const store = await openChunkStore({ disk: openDisk(fileSystem), cluster: identity!.cluster, group });
    return { store, scrub: new Scrub(store) };
  }

  test("goes through all chunks, one piece a step, and begins again", async () => {
    const fileSystem = await served();
    const { store, scrub } = await scrubbed(fileSystem);
    for (let round = 0; round < 2; round++) {
      let most = 0;
      const checked: number[] = [];
      for (;;) {
        let reads = 0;
        fileSystem.onCall = (call) => {
          if (call.name === "read") reads++;
        };
        const step = await scrub.step();
        most = Math.max(most, reads);
        if (step.state === "passed") {
          expect(step.chunks).toBe(3);
          break;
        }
        if (step.state !== "checked") continue;
        checked.push(step.chunk);
        expect(step.damage).toEqual([]);
        expect(step.root).toEqual((await store.footer(step.chunk)).root);
      }
      expect(checked).toEqual([1, 2, 3]);
      expect(most).toBeLessThanOrEqual(1);
    }
  });

  test("finds what has rotten since the chunk was last read, and goes on behind it", async () => {
    const fileSystem = await served();
    const { store, scrub } = await scrubbed(fileSystem);
    await pass(scrub);
    await store.footer(chunkNumber(2));
    fileSystem.flip("history/2026-11-22/g00-c000002-r0.chunk", 1_000, 1);
    const found = (await pass(scrub)).filter((step) => step.state === "checked");
    expect(found.map((step) => [step.chunk, step.damage.length > 0])).toEqual([
      [1, false],
      [2, true],
      [3, false],
    ]);
  });

  test("a chunk that is removed or replaced while it is checked is no damage", async () => {
    const fileSystem = await served();
    const { store, scrub } = await scrubbed(fileSystem);
    await scrub.step();
    await store.remove(chunkNumber(1));
    const steps = await pass(scrub);
    expect(steps.filter((step) => step.state === "checked").map((step) => [step.chunk, step.damage])).toEqual([
      [2, []],
      [3, []],
    ]);
    for (const chunk of [2, 3]) await store.remove(chunkNumber(chunk));
    expect(await scrub.step()).toEqual({ state: "idle" });
  });

  test("a disk that fails is told, and the chunk is checked again later", async () => {
    const fileSystem = await served();
    const { scrub } = await scrubbed(fileSystem);
    fileSystem.failAt(fileSystem.calls + 1, "EMFILE", { persistent: false });
    await expect(scrub.step()).rejects.toThrow(DiskFault);
    const checked = (await pass(scrub)).filter((step) => step.state === "checked");
    expect(checked.map((step) => [step.chunk, step.damage])).toEqual([
      [1, []],
      [2, []],
      [3, []],
    ]);
  });
});
