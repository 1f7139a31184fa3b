import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { putU16, putU32 } from "../../src/base/byte-order.ts";
import { groupId } from "../../src/base/ids.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import type { ChunkImage } from "../../src/storage/chunk/build-chunk.ts";
import { chunkNumber, type ChunkNumber } from "../../src/storage/chunk/chunk-layout.ts";
import { type ChunkStore, openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { checkReceivedChunk } from "../../src/storage/chunk/received-chunk.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { NewerFormat } from "../../src/storage/newer-format.ts";
import { Scrub } from "../../src/storage/scrub.ts";
import { cluster, conversation, drained, imageOf, metaOf, utf8, wholeOf } from "./chunk-messages.ts";

const twelve = chunkNumber(12);
const messages = conversation({ rooms: 3, messages: 60, seed: 1 });
const image: ChunkImage = imageOf(metaOf({ chunk: twelve }), messages);

/** The same file as a newer version may leave it: of the header only magic, format and checksum are where they were. */
function newer(bytes: Uint8Array): Uint8Array {
  const other = bytes.slice();
  putU16(other, 8, 2);
  other.fill(0xee, 10, 60);
  putU32(other, 60, crc32(other.subarray(0, 60)));
  return other.subarray(0, 300);
}

async function newerStore(): Promise<{ store: ChunkStore; fileSystem: SimFileSystem; file: string }> {
  const fileSystem = new SimFileSystem();
  await (await openChunkStore({ disk: openDisk(fileSystem), cluster, group: groupId(0) })).publish(image);
  fileSystem.plant(image.file, newer(fileSystem.files().get(image.file)!));
  const store = await openChunkStore({ disk: openDisk(fileSystem), cluster, group: groupId(0) });
  return { store, fileSystem, file: image.file };
}

const room = utf8(messages[0]!.room);
const page = { from: 1, to: Infinity, direction: "up", itemsMax: 1, bytesMax: 1 } as const;

test.each<[string, (store: ChunkStore, chunk: ChunkNumber) => Promise<unknown>]>([
  ["footer", (store, chunk) => store.footer(chunk)],
  ["room", (store, chunk) => store.room(chunk, room)],
  ["read", (store, chunk) => store.read(chunk, room, page)],
  ["find", (store, chunk) => store.find(chunk, { room, from: utf8("a"), cid: utf8("c") })],
  ["rooms", (store, chunk) => store.rooms(chunk).next()],
  ["verify", (store, chunk) => store.verify(chunk)],
  ["rewrite", (store, chunk) => store.rewrite(chunk, () => true).next()],
])("%s of a chunk of a newer format says so, and calls nothing damaged", async (_what, meet) => {
  const { store, file } = await newerStore();
  const fault = await meet(store, twelve).then(
    () => null,
    (cause: unknown) => cause,
  );
  expect(fault).toBeInstanceOf(NewerFormat);
  expect(fault).toMatchObject({ code: "unavailable", file, format: 2 });
});

test("a scrub passes it by: no damage and no root, and it is told each time", async () => {
  const { store } = await newerStore();
  const scrub = new Scrub(store);
  const steps = [await scrub.step(), await scrub.step(), await scrub.step()];
  expect(steps.map(({ state }) => state)).toEqual(["newer", "passed", "newer"]);
});

test("an older generation stays beside one of a newer format", async () => {
  const { store, fileSystem } = await newerStore();
  const next = await drained(store.rewrite(twelve, () => true)).catch((cause: unknown) => cause);
  expect(next).toBeInstanceOf(NewerFormat);
  const later = imageOf(metaOf({ chunk: twelve, generation: 1 }), messages);
  fileSystem.plant(image.file, wholeOf(image));
  fileSystem.plant(later.file, newer(wholeOf(later)));
  const both = await openChunkStore({ disk: openDisk(fileSystem), cluster, group: groupId(0) });
  await expect(both.removeSuperseded(twelve)).rejects.toBeInstanceOf(NewerFormat);
  expect([...fileSystem.files().keys()].sort()).toEqual([image.file, later.file].sort());
});

test("one that another server sent is not taken", async () => {
  const name = { group: groupId(0), chunk: twelve, generation: 0, day: image.meta.day };
  const { from, to, day } = image.meta;
  const sealed = { from, to, day, messages: image.totals.messages, bytes: image.totals.recordBytes };
  const found = await drained(checkReceivedChunk(cluster, name, newer(wholeOf(image)), sealed));
  expect(found).toContain("newer than");
});
