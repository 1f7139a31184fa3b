import { expect, test } from "vitest";
import { entryTypes } from "../../src/base/entry.ts";
import { type GroupId, groupId, logIndex, term } from "../../src/base/ids.ts";
import { day, timestamp } from "../../src/base/units.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { batchHeaderAt, batchHeaderBytes } from "../../src/storage/journal/layout.ts";
import { entryOverheadBytes, noChain, putEntry } from "../../src/storage/journal/records.ts";
import { type ReadJournal, readJournal } from "../../src/storage/journal/read-journal.ts";
import { JournalWorld, cluster, incarnation, quiet, tinySettings } from "./journal-world.ts";

const file = "journal/0000000001.wal";
const group = groupId(0);

/** One batch with entries 1 and 2, one with 3 to 6, one with 7 and 8; of another group an entry in each. */
async function threeBatches(payloadOfThird = new Uint8Array(40)): Promise<JournalWorld> {
  const world = new JournalWorld();
  await world.open();
  await quiet();
  for (const [at, indexes] of [
    [1, 2],
    [3, 4, 5, 6],
    [7, 8],
  ].entries()) {
    for (const index of indexes) {
      if (index === 3) world.journal.appendEntry({ ...plainEntry, index: logIndex(3), payload: payloadOfThird });
      else world.journal.appendEntry({ ...plainEntry, index: logIndex(index), payload: world.random.bytes(40) });
    }
    world.journal.appendEntry({ ...plainEntry, group: groupId(1), index: logIndex(at + 1) });
    await quiet();
  }
  return world;
}

const plainEntry = {
  group,
  term: term(1),
  type: entryTypes.commands,
  ts: timestamp(1_700_000_000_000),
  day: day(20261123),
  payload: new Uint8Array(30),
};

function read(world: JournalWorld): Promise<ReadJournal> {
  const disk = openDisk(world.fileSystem);
  return readJournal({ disk, cluster, incarnation, settings: tinySettings, from: new Map(), acceptLoss: true });
}

/** Where the middle batch stands, and its records with their lengths. */
function middleOf(world: JournalWorld): { offset: number; length: number; records: { at: number; length: number }[] } {
  const image = world.fileSystem.files().get(file)!;
  const generation = image.slice(52, 60);
  let offset = 512;
  // Behind the mark of a new journal, and the first batch.
  for (let before = 0; before < 2; before++) offset += batchHeaderAt(image, offset, generation)!.length;
  const header = batchHeaderAt(image, offset, generation)!;
  const view = new DataView(image.buffer, image.byteOffset);
  const records: { at: number; length: number }[] = [];
  for (let at = offset + batchHeaderBytes; at < offset + batchHeaderBytes + header.recordBytes; ) {
    const length = view.getUint32(at, true);
    records.push({ at, length });
    at += length;
  }
  return { offset, length: header.length, records };
}

const lostOf = ({ groups }: ReadJournal, id: GroupId): number[] =>
  groups
    .get(id)!
    .entries.filter(({ type }) => type === entryTypes.noop)
    .map(({ index }) => index);

test("[JRN21] one bit of every byte of a batch costs the entry that it is in, and no other is ever another one", async () => {
  const whole = await read(await threeBatches());
  const { offset, length, records } = middleOf(await threeBatches());
  expect(records.length).toBe(5);
  let lostOne = 0;
  for (let at = offset; at < offset + length; at++) {
    const world = await threeBatches();
    world.fileSystem.flip(file, at, at % 8);
    const found = await read(world);
    expect(found.damage.length).toBe(1);
    for (const id of [group, groupId(1)]) {
      const { entries } = found.groups.get(id)!;
      const expected = whole.groups.get(id)!.entries;
      expect(entries.length).toBe(expected.length);
      for (const [i, entry] of entries.entries())
        if (entry.type !== entryTypes.noop) expect(entry).toEqual(expected[i]);
    }
    const lost = [...lostOf(found, group), ...lostOf(found, groupId(1))];
    const hit = records.findIndex((record) => at >= record.at && at < record.at + record.length);
    // Type, and what is not hashed, included: what can't be told from another type is none.
    const isLength = hit >= 0 && at < records[hit]!.at + 4;
    if (hit < 0) expect([at, lost]).toEqual([at, []]);
    else if (!isLength && at !== records[hit]!.at + 5) expect([at, lost]).toEqual([at, [hit === 4 ? 2 : hit + 3]]);
    // What is damaged says what it hides, and nothing that is there.
    const [first] = found.damage[0]!.groups;
    if (lost.length === 1) {
      expect(first).toMatchObject({ from: lost[0], through: lost[0] });
      lostOne++;
    }
  }
  expect(lostOne).toBeGreaterThan(400);
});

test("[JRN21] two damaged entries: what stands alone between them goes on from nothing, and is given up", async () => {
  const world = await threeBatches();
  const { records } = middleOf(world);
  for (const hit of [1, 3]) world.fileSystem.flip(file, records[hit]!.at + 60, 1);
  expect(lostOf(await read(world), group)).toEqual([4, 5, 6]);
});

test("[JRN21] nothing behind the damage: what stands before it in its batch is kept, what stands behind it is not", async () => {
  const world = new JournalWorld();
  await world.open();
  await quiet();
  for (let index = 1; index <= 3; index++) world.entry(0, index);
  await world.settle();
  // Certifies the batch.
  await world.advance(25);
  world.fileSystem.flip(file, 1024 + batchHeaderBytes + 88 + 60, 1);
  const { groups, damage } = await read(world);
  expect(groups.get(group)!.entries.map(({ index }) => index)).toEqual([1]);
  expect(damage[0]!.groups).toEqual([{ group, from: 2, through: null }]);
});

test("[JRN21] an entry that a client put into a message is none, wherever the way through a damaged batch leads", async () => {
  const forged = new Uint8Array(entryOverheadBytes + 10);
  const entry = { ...plainEntry, index: logIndex(4), payload: new Uint8Array(10).fill(7) };
  putEntry(forged, 0, entry, noChain);
  const world = await threeBatches(forged);
  const { records } = middleOf(world);
  const { at, length } = records[0]!;
  expect(length).toBe(entryOverheadBytes + forged.length);
  // The damaged length leads to the message.
  const image = world.fileSystem.files().get(file)!;
  new DataView(image.buffer, image.byteOffset).setUint32(at, entryOverheadBytes, true);
  world.fileSystem.plant(file, image);
  const found = await read(world);
  expect(lostOf(found, group)).toEqual([3]);
  expect(found.groups.get(group)!.entries[3]!.payload).not.toEqual(entry.payload);
});
