import { describe, expect, test } from "vitest";
import { groupId } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { recordSeq } from "../../src/rooms/message-record.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { ChunkDamage } from "../../src/storage/chunk/chunk-damage.ts";
import { ChunkFile } from "../../src/storage/chunk/chunk-file.ts";
import { type ChunkFooter, chunkNumber } from "../../src/storage/chunk/chunk-layout.ts";
import type { ChunkPage } from "../../src/storage/chunk/chunk-reader.ts";
import { openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { pieceKinds } from "../../src/storage/piece.ts";
import { cluster, conversation, imageOf, metaOf, storedOf, utf8, wholeOf } from "../storage/chunk-messages.ts";

const twelve = chunkNumber(12);
const messages = conversation({ rooms: 5, messages: 360, seed: 3, bodyBytes: 160 });
const image = imageOf(metaOf(), messages);
const whole = wholeOf(image);
const disk = (fileSystem: SimFileSystem) => openDisk(fileSystem);

function planted(bytes: Uint8Array = whole): SimFileSystem {
  const fileSystem = new SimFileSystem();
  fileSystem.plant(image.file, bytes);
  return fileSystem;
}

/** Every piece read once, straight from the file: throws if any byte is not as written. */
async function readAll(chunk: ChunkFile): Promise<ChunkFooter> {
  await chunk.checkHeader();
  const { footer } = await chunk.readFooter();
  for (const [number, ref] of footer.blocks.entries()) await chunk.readPiece(pieceKinds.records, number, ref);
  for (const [number, ref] of footer.roomPieces.entries()) await chunk.readPiece(pieceKinds.rooms, number, ref);
  for (const [number, ref] of footer.idPieces.entries()) await chunk.readPiece(pieceKinds.ids, number, ref);
  return footer;
}

const name = { group: groupId(0), chunk: twelve, day: metaOf().day, generation: 0 };
const chunkOf = (fileSystem: SimFileSystem): ChunkFile => new ChunkFile(disk(fileSystem), cluster, name, image.file);

describe(`every byte of a chunk of ${whole.length} bytes`, () => {
  test("[CHK5] the image is large enough to mean something", async () => {
    expect(whole.length).toBeGreaterThan(64 * 1024);
    const footer = await readAll(chunkOf(planted()));
    expect(footer.blocks.length).toBeGreaterThan(1);
  });

  test("[CHK5] one random bit of every byte, all bits where the file describes itself: detected", async () => {
    const random = seededRandom(1);
    const { footer } = await chunkOf(planted()).readFooter();
    const last = footer.idPieces.at(-1)!;
    // Headers of file and pieces, the footer and the trailer.
    const starts = [...footer.blocks, ...footer.roomPieces, ...footer.idPieces].map((ref) => ref.offset);
    const describes = (offset: number): boolean =>
      offset < 64 ||
      offset >= last.offset + last.length ||
      starts.some((start) => offset >= start && offset < start + 32);
    const fileSystem = planted();
    const chunk = chunkOf(fileSystem);
    let flips = 0;
    for (let offset = 0; offset < whole.length; offset++) {
      const bits = describes(offset) ? [0, 1, 2, 3, 4, 5, 6, 7] : [random.whole(8)];
      for (const bit of bits) {
        fileSystem.flip(image.file, offset, bit);
        const found: unknown = await readAll(chunk).catch((cause: unknown) => cause);
        if (!(found instanceof ChunkDamage)) expect.fail(`bit ${bit} of byte ${offset} was not detected`);
        fileSystem.flip(image.file, offset, bit);
        flips++;
      }
    }
    expect(flips).toBeGreaterThan(whole.length);
    await readAll(chunk);
  });

  test("[CHK5] one random bit of every byte: a page and a lookup are right or damage, never wrong and never empty", async () => {
    const random = seededRandom(2);
    const fileSystem = planted();
    const settings = { blockCacheBytes: 0, footerCacheBytes: 0 };
    const store = await openChunkStore({ disk: disk(fileSystem), cluster, group: groupId(0), settings });
    const rooms = [0, 1, 2, 3, 4].map((room) => utf8(`room-${room}`));
    const expected = rooms.map((_, room) =>
      messages.filter((message) => message.room === `room-${room}`).map(storedOf),
    );
    let served = 0;
    let refused = 0;
    let shortened = 0;
    for (let offset = 0; offset < whole.length; offset++) {
      const bit = random.whole(8);
      fileSystem.flip(image.file, offset, bit);
      const room = random.whole(5);
      const range = {
        from: 1,
        to: 1e6,
        direction: random.whole(2) === 0 ? "up" : "down",
        itemsMax: 20,
        bytesMax: 1e6,
      } as const;
      const page = await store.read(twelve, rooms[room]!, range).catch((cause: unknown) => cause);
      if (page instanceof ChunkDamage) refused++;
      else {
        const wanted = range.direction === "up" ? expected[room]!.slice(0, 20) : expected[room]!.slice(-20).reverse();
        const { records, more } = page as ChunkPage;
        const same = records.every((record, i) => Buffer.compare(record, wanted[i]!) === 0);
        if (!same || records.length === 0) expect.fail(`bit ${bit} of byte ${offset}: a wrong page was served`);
        if (records.length < wanted.length) {
          // It ended before a damaged block: then it says so, and what comes next is damage.
          const next = recordSeq(wanted[records.length]!, 0);
          const rest = range.direction === "up" ? { ...range, from: next } : { ...range, to: next };
          const damage: unknown = await store.read(twelve, rooms[room]!, rest).catch((cause: unknown) => cause);
          expect([more, damage], `bit ${bit} of byte ${offset}`).toEqual([true, expect.any(ChunkDamage)]);
          shortened++;
        }
        served++;
      }
      const message = messages[random.whole(messages.length)]!;
      const id = { room: utf8(message.room), from: utf8(message.from), cid: utf8(message.cid) };
      const found: unknown = await store.find(twelve, id).catch((cause: unknown) => cause);
      if (!(found instanceof ChunkDamage)) {
        if (found === null || Buffer.compare(found as Uint8Array, storedOf(message)) !== 0) {
          expect.fail(`bit ${bit} of byte ${offset}: a wrong answer to a lookup`);
        }
      }
      fileSystem.flip(image.file, offset, bit);
    }
    // Both happened often enough for the test to mean something.
    expect(served).toBeGreaterThan(1_000);
    expect(refused).toBeGreaterThan(1_000);
    expect(shortened).toBeGreaterThan(1_000);
  });

  test("[CHK5] verify names the byte: the damaged range holds it", async () => {
    const random = seededRandom(4);
    const fileSystem = planted();
    const store = await openChunkStore({ disk: disk(fileSystem), cluster, group: groupId(0) });
    for (let offset = 0; offset < whole.length; offset += 1 + random.whole(60)) {
      const bit = random.whole(8);
      fileSystem.flip(image.file, offset, bit);
      const damage = await store.verify(twelve);
      const holds = damage.some((found) => found.offset <= offset && offset < found.offset + found.length);
      if (!holds) expect.fail(`bit ${bit} of byte ${offset}: verify found ${JSON.stringify(damage)}`);
      fileSystem.flip(image.file, offset, bit);
    }
    expect(await store.verify(twelve)).toEqual([]);
  });

  test("[CHK5] every shorter length, and bytes behind the end: detected", async () => {
    for (let length = 0; length < whole.length; length++) {
      const fileSystem = planted(whole.subarray(0, length));
      const found: unknown = await chunkOf(fileSystem)
        .readFooter()
        .catch((cause: unknown) => cause);
      if (!(found instanceof ChunkDamage)) expect.fail(`a chunk cut to ${length} bytes was not detected`);
    }
    for (let more = 1; more < 200; more++) {
      const longer = new Uint8Array(whole.length + more);
      longer.set(whole);
      if (more % 2 === 0) longer.set(whole.subarray(-more), whole.length);
      const found: unknown = await chunkOf(planted(longer))
        .readFooter()
        .catch((cause: unknown) => cause);
      if (!(found instanceof ChunkDamage)) expect.fail(`${more} more bytes were not detected`);
    }
  });

  test("[CHK5] a stretch of zeros, of another stretch, or of an older chunk: detected, or not a change", async () => {
    const random = seededRandom(5);
    const older = wholeOf(imageOf(metaOf({ chunk: chunkNumber(11) }), messages));
    for (let round = 0; round < 3_000; round++) {
      const from = random.whole(whole.length);
      const length = 1 + random.whole(Math.min(8_192, whole.length - from));
      const changed = whole.slice();
      const kind = random.whole(3);
      if (kind === 0) changed.fill(0, from, from + length);
      else if (kind === 1) changed.set(whole.subarray(random.whole(whole.length - length)).subarray(0, length), from);
      else changed.set(older.subarray(from, from + length), from);
      if (Buffer.compare(changed, whole) === 0) continue;
      const found: unknown = await readAll(chunkOf(planted(changed))).catch((cause: unknown) => cause);
      if (!(found instanceof ChunkDamage))
        expect.fail(`round ${round}: bytes ${from} to ${from + length} were not detected`);
    }
  });
});
