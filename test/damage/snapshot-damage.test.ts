import { expect, test } from "vitest";
import { groupId, type Incarnation, logIndex, term } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { buildSnapshot, readSnapshot, type SnapshotOwner } from "../../src/storage/snapshot-file.ts";
import { cluster, finished } from "../storage/chunk-messages.ts";

const group = groupId(0);
const index = logIndex(120);
const owner: SnapshotOwner = { cluster, incarnation: "11".repeat(16) as Incarnation };
const state = seededRandom(1).bytes(100_000);
const image = finished(
  buildSnapshot(owner, { group, index, term: term(3), chunk: 12, chain: seededRandom(2).bytes(8), state: [state] }),
);
const whole = new Uint8Array(Buffer.concat(image.parts));

test("every byte of a snapshot: one random bit, all bits where the file describes itself: detected", async () => {
  expect(whole.length).toBeGreaterThan(64 * 1024);
  const random = seededRandom(3);
  const fileSystem = new SimFileSystem();
  fileSystem.plant(image.file, whole);
  const disk = openDisk(fileSystem);
  const starts: number[] = [];
  let offset = 0;
  for (const part of image.parts) {
    starts.push(offset);
    offset += part.length;
  }
  for (let at = 0; at < whole.length; at++) {
    const describes = starts.some((start) => at >= start && at < start + 64) || at > whole.length - 64;
    for (const bit of describes ? [0, 1, 2, 3, 4, 5, 6, 7] : [random.whole(8)]) {
      fileSystem.flip(image.file, at, bit);
      const found = await readSnapshot(disk, owner, { file: image.file, group, index });
      if ("state" in found) expect.fail(`bit ${bit} of byte ${at} was not detected`);
      const holds = found.offset <= at && at < found.offset + found.length;
      // A length that was changed moves the end of what is read.
      if (!holds && !describes) expect.fail(`bit ${bit} of byte ${at}: said to be at ${found.offset}`);
      fileSystem.flip(image.file, at, bit);
    }
  }
  expect(await readSnapshot(disk, owner, { file: image.file, group, index })).toMatchObject({ index: 120, state });
});

test("every shorter length of a snapshot, and bytes behind its end: detected", async () => {
  for (let length = 0; length < whole.length + 100; length++) {
    if (length === whole.length) continue;
    const fileSystem = new SimFileSystem();
    const changed = new Uint8Array(length);
    changed.set(whole.subarray(0, length));
    fileSystem.plant(image.file, changed);
    const found = await readSnapshot(openDisk(fileSystem), owner, { file: image.file, group, index });
    if ("state" in found) expect.fail(`a snapshot of ${length} bytes was not detected`);
  }
});
