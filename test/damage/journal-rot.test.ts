import { expect, test } from "vitest";
import type { GroupId } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { batchKinds, sealBatch, sectorBytes } from "../../src/storage/journal/layout.ts";
import { readJournal } from "../../src/storage/journal/read-journal.ts";
import type { ReadJournal } from "../../src/storage/journal/read-journal.ts";
import type { RecoveredGroup } from "../../src/storage/journal/replay.ts";
import { scanSegment } from "../../src/storage/journal/scan.ts";
import { JournalWorld, cluster, incarnation, tinySettings } from "../storage/journal-world.ts";

type End = "marked" | "unmarked" | "clean";

/** Three full segments and a part of a fourth, with entries of two groups, votes, and whatever end is asked for. */
async function journalAtRest(end: End): Promise<JournalWorld> {
  const world = new JournalWorld();
  await world.open();
  await world.settle();
  for (let index = 1; world.journal.stats().rolls < 3; index++) {
    world.entry(0, index, { bytes: 30 + (index % 5) * 40 });
    world.entry(1, index, { bytes: 20 });
    if (index % 7 === 0) world.vote(index % 2, index, "n1");
    if (index % 4 === 0) await world.settle();
  }
  await world.settle();
  world.entry(0, world.lastIndex(0) + 1);
  world.vote(1, 1000, "n2");
  await world.settle();
  if (end === "marked") await world.advance(25);
  if (end === "clean") await world.close();
  return world;
}

/** What a process that opens these files concludes. Opening goes on from there, or refuses if there is damage. */
function read(files: SimFileSystem): Promise<ReadJournal> {
  const disk = openDisk(files);
  return readJournal({ disk, cluster, incarnation, settings: tinySettings, from: new Map(), acceptLoss: false });
}

/** Entries and votes, without where they stood. */
function content(groups: ReadonlyMap<GroupId, RecoveredGroup>): string {
  const plain = [...groups].map(([id, { vote, entries }]) => ({ id, vote, entries }));
  return JSON.stringify(plain, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value,
  );
}

/** The content before the last batch of `journalAtRest`, which nothing certifies when it is unmarked. */
async function withoutLastBatch(): Promise<string> {
  const world = await journalAtRest("unmarked");
  const { groups } = await read(world.fileSystem);
  const one = groups.get(1 as GroupId)!;
  const zero = groups.get(0 as GroupId)!;
  const votes = one.entries.length - (one.entries.length % 7);
  const lastVote = votes % 2 === 1 ? votes : votes - 7;
  return content(
    new Map<GroupId, RecoveredGroup>([
      [0 as GroupId, { vote: zero.vote, entries: zero.entries.slice(0, -1) }],
      [1 as GroupId, { vote: { term: lastVote, votedFor: "n1" } as RecoveredGroup["vote"], entries: one.entries }],
    ]),
  );
}

for (const end of ["marked", "clean", "unmarked"] as const) {
  test(`[JRN3] one bit of every byte, all bits of headers, ${end}: detected, or nothing is missing`, async () => {
    const { fileSystem } = await journalAtRest(end);
    const whole = content((await read(fileSystem)).groups);
    const cut = await withoutLastBatch();
    const random = seededRandom(5);
    let detected = 0;
    let cuts = 0;
    for (const [file, image] of fileSystem.files()) {
      // The two other ends differ in the last segment only.
      if (end !== "marked" && file !== "journal/0000000004.wal") continue;
      for (let offset = 0; offset < image.length; offset++) {
        // Spares are not read at all, and of a prepared segment only the start.
        if (file.endsWith(".spare") || (file.endsWith(".next") && offset >= 1024)) break;
        const all = offset < 76 || offset % sectorBytes < 40;
        for (const bit of all ? [0, 1, 2, 3, 4, 5, 6, 7] : [random.whole(8)]) {
          fileSystem.flip(file, offset, bit);
          const found = await read(fileSystem);
          fileSystem.flip(file, offset, bit);
          if (found.damage.length > 0) {
            detected++;
            // The damage names the byte.
            if (!covers(found, file, offset)) expect.unreachable(`${file} ${offset}: ${JSON.stringify(found.damage)}`);
          } else if (content(found.groups) !== whole) {
            // Only the one batch that nothing certifies may be taken for a torn write, and it is said that it was.
            expect(end).toBe("unmarked");
            expect(content(found.groups)).toBe(cut);
            expect(found.torn).not.toBe(null);
            cuts++;
          }
        }
      }
    }
    expect(detected).toBeGreaterThan(end === "marked" ? 10_000 : 1000);
    expect(cuts > 0).toBe(end === "unmarked");
  });
}

test("[JRN3] every shorter length of every segment: detected", async () => {
  const { fileSystem } = await journalAtRest("marked");
  for (const [file, image] of fileSystem.files()) {
    if (!file.endsWith(".wal")) continue;
    for (let size = image.length - 1; size >= 0; size -= size > 600 && size % 512 > 8 ? 3 : 1) {
      fileSystem.plant(file, image.subarray(0, size));
      const found = await read(fileSystem);
      if (!covers(found, file, size)) expect.unreachable(`${file} cut to ${size}: ${JSON.stringify(found.damage)}`);
    }
    fileSystem.lose(file);
    expect((await read(fileSystem)).damage.length).toBeGreaterThan(0);
    fileSystem.plant(file, image);
  }
  expect((await read(fileSystem)).damage).toEqual([]);
});

test("[JRN3] a file in the place of another, and an older copy of a file: detected", async () => {
  const world = await journalAtRest("marked");
  const { fileSystem } = world;
  const files = [...fileSystem.files()].filter(([file]) => file.endsWith(".wal"));
  for (const [file, image] of files) {
    for (const [other, otherImage] of files) {
      if (other === file) continue;
      fileSystem.plant(file, otherImage);
      const found = await read(fileSystem);
      expect(found.damage.length, `${other} in the place of ${file}`).toBeGreaterThan(0);
    }
    fileSystem.plant(file, image);
  }
  // The segment as it was before its last batches, which were reported flushed and certified by the roll.
  const [file, image] = files[1]!;
  fileSystem.plant(
    file,
    image.map((byte, at) => (at < 2048 ? byte : 0)),
  );
  const found = await read(fileSystem);
  expect(found.damage.length).toBeGreaterThan(0);
});

test("[JRN3] one bit of every byte of a segment of 64 KiB: no batch that differs is ever taken for whole", () => {
  const random = seededRandom(8);
  const generation = random.bytes(8);
  const image = new Uint8Array(65_536);
  let checksum = 17;
  let number = 40;
  let at = sectorBytes;
  while (at + 1536 + sectorBytes <= image.length) {
    const recordBytes = 200 + random.whole(1200);
    image.set(random.bytes(recordBytes), at + 40);
    number++;
    const kind = batchKinds.records;
    checksum = sealBatch(image, at, {
      number,
      kind,
      generation,
      previousChecksum: checksum,
      recordCount: 1,
      recordBytes,
    });
    at += Math.ceil((40 + recordBytes + 4) / sectorBytes) * sectorBytes;
  }
  const end = at;
  const previous = { number: 40, checksum: 17 };
  const count = scanSegment(image, { generation, previous }).parts.length;
  expect(count).toBe(number - 40);
  for (let offset = sectorBytes; offset < end; offset++) {
    const bit = 1 << random.whole(8);
    image[offset] = image[offset]! ^ bit;
    const scan = scanSegment(image, { generation, previous });
    image[offset] = image[offset]! ^ bit;
    const gap = scan.parts.find((part) => "gap" in part);
    const batches = scan.parts.filter((part) => "batch" in part).length;
    if (batches !== count - 1) expect.unreachable(`byte ${offset}: ${batches} of ${count} batches are whole`);
    const place = gap !== undefined && "gap" in gap ? gap.gap : scan.torn;
    if (place === null || offset < place.offset || offset >= place.offset + place.length) {
      expect.unreachable(`byte ${offset} is not named`);
    }
  }
});

function covers(found: ReadJournal, file: string, offset: number): boolean {
  return found.damage.some(
    (damage) => damage.file === file && offset >= damage.offset && offset < damage.offset + damage.length,
  );
}
