import { expect, test } from "vitest";
import { groupId } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { ChunkDamage } from "../../src/storage/chunk/chunk-damage.ts";
import { chunkNumber } from "../../src/storage/chunk/chunk-layout.ts";
import { type ChunkStore, openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { DiskFault, openDisk } from "../../src/storage/disk.ts";
import { cluster, conversation, drained, imageOf, metaOf, storedOf, text, utf8 } from "./chunk-messages.ts";

const twelve = chunkNumber(12);
const messages = conversation({ rooms: 2, messages: 40, seed: 1 });
const image = imageOf(metaOf(), messages);
const keep = (_: Uint8Array, seq: number): boolean => seq % 2 === 0;
const stranger = "history/2026-11-23/keep.me";

const storeOf = (fileSystem: SimFileSystem): Promise<ChunkStore> =>
  openChunkStore({ disk: openDisk(fileSystem), cluster, group: groupId(0) });

function prepared(seed: number): SimFileSystem {
  const fileSystem = new SimFileSystem({ random: seededRandom(seed) });
  fileSystem.plant(stranger, utf8("not yours"));
  return fileSystem;
}

type Step = "published" | "rewritten" | "superseded removed" | "removing" | "removed";

/** The life of a chunk, told step by step. */
async function life(fileSystem: SimFileSystem, reached: (step: Step) => void): Promise<void> {
  const store = await storeOf(fileSystem);
  await store.publish(image);
  reached("published");
  await store.publish(await drained(store.rewrite(twelve, keep)));
  reached("rewritten");
  await store.removeSuperseded(twelve);
  reached("superseded removed");
  reached("removing");
  await store.remove(twelve);
  reached("removed");
}

/** What a process that comes later must find. */
async function check(fileSystem: SimFileSystem, reached: ReadonlySet<Step>): Promise<void> {
  const store = await storeOf(fileSystem);
  expect(fileSystem.files().get(stranger)).toEqual(utf8("not yours"));
  if (reached.has("removed")) expect(store.has(twelve)).toBe(false);
  if (reached.has("published") && !reached.has("removing")) expect(store.has(twelve)).toBe(true);
  if (!store.has(twelve)) return;
  const { generation } = store.list()[0]!;
  if (reached.has("rewritten") && !reached.has("removing")) expect(generation).toBe(1);
  // Whatever generation it is, it is whole.
  expect(await store.verify(twelve)).toEqual([]);
  const range = { from: 1, to: 100, direction: "up", itemsMax: 100, bytesMax: 1e6 } as const;
  const expected = messages.filter(
    (message) => message.room === "room-1" && (generation === 0 || message.seq % 2 === 0),
  );
  expect((await store.read(twelve, utf8("room-1"), range)).records).toEqual(expected.map(storedOf));
}

test("[CHK7] [CHK10] a crash at any call, in any mode, leaves a chunk whole or absent, and what settled stays", async () => {
  let points = 0;
  for (let at = 1; ; at++) {
    let whole = false;
    for (const [seed, mode] of crashModes.entries()) {
      const fileSystem = prepared(seed);
      const reached = new Set<Step>();
      fileSystem.crashAt(at, mode);
      whole = await Promise.race([
        life(fileSystem, (step) => reached.add(step)).then(() => true),
        fileSystem.whenStopped().then(() => false),
      ]);
      if (whole) break;
      fileSystem.heal();
      fileSystem.crash(seededRandom(at * 10 + seed), mode);
      await check(fileSystem, reached);
      points++;
      // The next process ends what was begun, and dies in the middle of that too.
      for (const [again, secondMode] of crashModes.entries()) {
        const second = fileSystem.copy();
        const store = await storeOf(second);
        if (store.supersededChunks().length === 0) continue;
        second.crashAt(second.calls + 4 + ((at + again) % 6), secondMode);
        await Promise.race([store.removeSuperseded(twelve), second.whenStopped()]);
        second.heal();
        second.crash(seededRandom(at + again), secondMode);
        await check(second, reached);
      }
      // Killed once, then the power goes: what only the cache had is gone too.
      fileSystem.heal();
      fileSystem.crash(seededRandom(at), "lost");
      await check(fileSystem, reached);
    }
    if (whole) break;
  }
  expect(points).toBeGreaterThan(150);
});

test("[CHK8] a name that a killed process left unsynced is durable once the next one has opened", async () => {
  let left = 0;
  for (const mode of ["before", "after"] as const) {
    for (let at = 1; at < 60; at++) {
      const fileSystem = prepared(1);
      fileSystem.crashAt(at, mode);
      const first = storeOf(fileSystem).then((store) => store.publish(image));
      const whole = await Promise.race([first.then(() => true), fileSystem.whenStopped().then(() => false)]);
      if (whole) break;
      // The process was killed; the page cache is still there, and shows the name or does not.
      fileSystem.heal();
      fileSystem.crash(seededRandom(1), mode);
      const unsynced = fileSystem.unsynced > 0;
      const store = await storeOf(fileSystem);
      if (!store.has(twelve)) continue;
      if (unsynced) left++;
      fileSystem.crash(seededRandom(1), "lost");
      const later = await storeOf(fileSystem);
      expect(later.has(twelve)).toBe(true);
      expect(await later.verify(twelve)).toEqual([]);
    }
  }
  expect(left).toBeGreaterThan(0);
});

test("[CHK10] removing the older generation loses nothing when the name of the newer was never synced", async () => {
  for (const mode of crashModes) {
    for (let at = 1; at < 80; at++) {
      const fileSystem = prepared(at);
      const store = await storeOf(fileSystem);
      await store.publish(image);
      const next = await drained(store.rewrite(twelve, keep));
      // Killed at the very moment the newer name appeared.
      fileSystem.onCall = (call) => {
        if (call.name === "rename") fileSystem.crashAt(call.number + 1, "before");
      };
      await Promise.race([store.publish(next), fileSystem.whenStopped()]);
      fileSystem.onCall = null;
      fileSystem.heal();
      fileSystem.crash(seededRandom(at), "after");
      const second = await storeOf(fileSystem);
      expect(second.supersededChunks()).toEqual([12]);
      fileSystem.crashAt(fileSystem.calls + at, mode);
      const whole = await Promise.race([
        second.removeSuperseded(twelve).then(() => true),
        fileSystem.whenStopped().then(() => false),
      ]);
      fileSystem.heal();
      fileSystem.crash(seededRandom(at), mode);
      const third = await storeOf(fileSystem);
      expect(third.has(twelve)).toBe(true);
      expect(await third.verify(twelve)).toEqual([]);
      if (whole) break;
    }
  }
});

test("[CHK7] an error at any call, once or for good, is told, and leaves a chunk whole or absent", async () => {
  for (const code of ["EIO", "ENOSPC", "EMFILE", "short"]) {
    for (const persistent of [false, true]) {
      if (code === "short" && persistent) continue;
      for (let at = 1; ; at++) {
        const fileSystem = prepared(at);
        fileSystem.failAt(at, code, { persistent });
        const reached = new Set<Step>();
        const fault: unknown = await life(fileSystem, (step) => reached.add(step)).catch((cause: unknown) => cause);
        const calls = fileSystem.calls;
        fileSystem.heal();
        // A check that meets a range the device can't read calls it damage; everything else is the disk's own fault.
        if (!(fault instanceof ChunkDamage) && fault !== undefined) expect(fault).toBeInstanceOf(DiskFault);
        if (code === "short") expect(fault).toBe(undefined);
        await check(fileSystem, reached);
        fileSystem.heal();
        fileSystem.crash(seededRandom(at), "lost");
        await check(fileSystem, reached);
        if (at > calls) break;
      }
    }
  }
});

test("[CHK9] a removal that fails can be done again", async () => {
  for (let at = 1; ; at++) {
    const fileSystem = prepared(at);
    const store = await storeOf(fileSystem);
    await store.publish(image);
    await store.publish(await drained(store.rewrite(twelve, keep)));
    const before = fileSystem.calls;
    fileSystem.failAt(before + at, "EIO", { persistent: false });
    const fault: unknown = await store.remove(twelve).catch((cause: unknown) => cause);
    const calls = fileSystem.calls - before;
    fileSystem.heal();
    if (fault !== undefined) expect(fault).toBeInstanceOf(DiskFault);
    await store.remove(twelve);
    expect([...fileSystem.files().keys()]).toEqual([stranger]);
    expect(store.has(twelve)).toBe(false);
    if (at > calls) break;
  }
});

test("[CHK2] a read that fails is a fault, and the same read is answered when the disk can again", async () => {
  const fileSystem = prepared(1);
  await (await storeOf(fileSystem)).publish(image);
  const range = { from: 1, to: 100, direction: "up", itemsMax: 100, bytesMax: 1e6 } as const;
  const expected = messages.filter((message) => message.room === "room-0").map(storedOf);
  for (let at = 1; ; at++) {
    const store = await storeOf(fileSystem);
    const before = fileSystem.calls;
    fileSystem.failAt(before + at, "EIO", { persistent: false });
    const first: unknown = await store.read(twelve, utf8("room-0"), range).catch((cause: unknown) => cause);
    const calls = fileSystem.calls - before;
    fileSystem.heal();
    if (first instanceof Error) expect(first).toBeInstanceOf(DiskFault);
    else expect(first).toEqual({ records: expected, more: false });
    expect((await store.read(twelve, utf8("room-0"), range)).records.map((record) => text(record))).toEqual(
      expected.map((record) => text(record)),
    );
    if (at > calls) break;
  }
});
