import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { groupId } from "../../src/base/ids.ts";
import { putU32 } from "../../src/base/byte-order.ts";
import { day } from "../../src/base/units.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import type { ChunkImage } from "../../src/storage/chunk/build-chunk.ts";
import { ChunkDamage } from "../../src/storage/chunk/chunk-damage.ts";
import {
  chunkNumber,
  type ChunkMeta,
  encodeFooter,
  encodeTrailer,
  decodeTrailer,
  decodeFooter,
} from "../../src/storage/chunk/chunk-layout.ts";
import type { ChunkName } from "../../src/storage/chunk/chunk-name.ts";
import { checkReceivedChunk } from "../../src/storage/chunk/received-chunk.ts";
import { type ChunkStore, openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { type Disk, fileName, openDisk } from "../../src/storage/disk.ts";
import { pieceKinds, sealPiece } from "../../src/storage/piece.ts";
import {
  cluster,
  conversation,
  drained,
  imageOf,
  type Message,
  metaOf,
  otherCluster,
  storedOf,
  text,
  utf8,
  wholeOf,
} from "./chunk-messages.ts";

type Proven = Pick<ChunkImage, "meta" | "file" | "parts">;
const twelve = chunkNumber(12);
const everything = { from: 1, to: Infinity, direction: "up", itemsMax: Infinity, bytesMax: Infinity } as const;
const idOf = ({ room, from, cid }: Pick<Message, "room" | "from" | "cid">) => ({
  room: utf8(room),
  from: utf8(from),
  cid: utf8(cid),
});

async function storeWith(image: ChunkImage): Promise<{ store: ChunkStore; disk: Disk; fileSystem: SimFileSystem }> {
  const fileSystem = new SimFileSystem();
  const disk = openDisk(fileSystem);
  const store = await openChunkStore({ disk, cluster, group: groupId(0) });
  await store.publish(image);
  return { store, disk, fileSystem };
}

const storeOf = (fileSystem: SimFileSystem): Promise<ChunkStore> =>
  openChunkStore({ disk: openDisk(fileSystem), cluster, group: groupId(0) });

/** What a read must answer, from the messages themselves. */
function expectedPage(
  messages: readonly Message[],
  room: string,
  range: { from: number; to: number; direction: "up" | "down"; itemsMax: number; bytesMax: number },
): { records: Uint8Array[]; more: boolean } {
  const wanted = messages
    .filter((message) => message.room === room && message.seq >= range.from && message.seq <= range.to)
    .map(storedOf);
  if (range.direction === "down") wanted.reverse();
  let bytes = 0;
  let count = 0;
  for (const record of wanted) {
    if (count > 0 && (count >= range.itemsMax || bytes + record.length > range.bytesMax)) break;
    bytes += record.length;
    count++;
  }
  return { records: wanted.slice(0, count), more: count < wanted.length };
}

describe("reading a chunk", () => {
  test("[CHK2] any page of any room is what the log had", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          rooms: fc.integer({ min: 1, max: 30 }),
          messages: fc.integer({ min: 1, max: 1_500 }),
          seed: fc.nat(1_000_000),
          firstSeq: fc.integer({ min: 1, max: 1_000 }),
          bodyBytes: fc.constantFrom(0, 60, 400),
        }),
        fc.array(
          fc.record({
            room: fc.nat(31),
            from: fc.integer({ min: -5, max: 1_600 }),
            span: fc.integer({ min: -2, max: 500 }),
            up: fc.boolean(),
            itemsMax: fc.integer({ min: 1, max: 60 }),
            bytesMax: fc.constantFrom(1, 500, 5_000, 1_000_000),
          }),
          { minLength: 10, maxLength: 20 },
        ),
        async (talk, pages) => {
          const messages = conversation(talk);
          const { store } = await storeWith(imageOf(metaOf(), messages));
          for (const page of pages) {
            const range = {
              from: page.from,
              to: page.from + page.span,
              direction: page.up ? "up" : "down",
              itemsMax: page.itemsMax,
              bytesMax: page.bytesMax,
            } as const;
            const found = await store.read(twelve, utf8(`room-${page.room}`), range);
            expect(found).toEqual(expectedPage(messages, `room-${page.room}`, range));
          }
        },
      ),
      { numRuns: 25 },
    );
  }, 60_000);

  test("[CHK2] a room of many blocks is read from its middle without reading its beginning", async () => {
    const messages = conversation({ rooms: 1, messages: 3_000, seed: 1, bodyBytes: 300 });
    const { store, fileSystem } = await storeWith(imageOf(metaOf(), messages));
    await store.footer(twelve);
    const range = { from: 1_500, to: 1_549, direction: "up", itemsMax: 50, bytesMax: 1e6 } as const;
    const before = fileSystem.calls;
    expect(await store.read(twelve, utf8("room-0"), range)).toEqual(expectedPage(messages, "room-0", range));
    // One piece of the room index and at most two blocks; the file is open already.
    expect(fileSystem.calls - before).toBeLessThanOrEqual(3);
  });

  test("[CHK2] a message as large as a block, and one larger, are read whole", async () => {
    const bodies = ["small", "y".repeat(65_536), "z".repeat(70_000), "small again"];
    const messages = bodies.map((body, i) => ({ room: "ops", from: "ann", cid: `c${i}`, seq: i + 1, body }));
    const { store } = await storeWith(imageOf(metaOf(), messages));
    const page = await store.read(twelve, utf8("ops"), everything);
    expect(page.records).toEqual(messages.map(storedOf));
    expect(await store.verify(twelve)).toEqual([]);
  });

  test("[CHK2] the rows of the room index count what the rooms hold", async () => {
    const messages = conversation({ rooms: 700, messages: 5_000, seed: 8 });
    const { store } = await storeWith(imageOf(metaOf(), messages));
    const rows = new Map<string, { firstSeq: number; lastSeq: number; count: number; bytes: number; lastTs: number }>();
    for await (const row of store.rooms(twelve)) {
      const { firstSeq, lastSeq, count, bytes, lastTs } = row;
      rows.set(text(row.room), { firstSeq, lastSeq, count, bytes, lastTs });
    }
    const expected = new Map<
      string,
      { firstSeq: number; lastSeq: number; count: number; bytes: number; lastTs: number }
    >();
    for (const message of messages) {
      const row = expected.get(message.room) ?? { firstSeq: message.seq, lastSeq: 0, count: 0, bytes: 0, lastTs: 0 };
      row.lastSeq = message.seq;
      row.count++;
      row.bytes += storedOf(message).length;
      row.lastTs = 1_790_000_000_000 + message.seq;
      expected.set(message.room, row);
    }
    expect(rows).toEqual(expected);
    expect((await store.room(twelve, utf8("room-3")))?.count).toBe(expected.get("room-3")?.count);
    expect(await store.room(twelve, utf8("nobody was here"))).toBe(null);
  });

  test("[CHK3] every id is found, and none that was not sent", async () => {
    const messages = conversation({ rooms: 20, messages: 4_000, seed: 9 });
    const { store } = await storeWith(imageOf(metaOf(), messages));
    for (const message of messages) {
      expect(await store.find(twelve, idOf(message))).toEqual(storedOf(message));
    }
    for (const message of messages.slice(0, 300)) {
      const { room, from, cid } = message;
      expect(await store.find(twelve, idOf({ room, from, cid: `${cid}x` }))).toBe(null);
      expect(await store.find(twelve, idOf({ room, from: `${from}x`, cid }))).toBe(null);
      // Bytes that only move from one field to the next make another id.
      expect(await store.find(twelve, idOf({ room, from: from + cid[0]!, cid: cid.slice(1) }))).toBe(null);
      expect(await store.find(twelve, idOf({ room: `${room}-not`, from, cid }))).toBe(null);
    }
  });

  test("[CHK3] an id that was used again after retention finds the newer message", async () => {
    const messages = [
      { room: "ops", from: "ann", cid: "same", seq: 7, body: "first" },
      { room: "ops", from: "bob", cid: "same", seq: 8, body: "another's" },
      { room: "ops", from: "ann", cid: "same", seq: 9, body: "second" },
    ];
    const { store } = await storeWith(imageOf(metaOf(), messages));
    expect(await store.find(twelve, idOf(messages[0]!))).toEqual(storedOf(messages[2]!));
  });

  test("[CHK3] a lookup reads the same few pieces however large the chunk is", async () => {
    const reads: number[] = [];
    for (const count of [2_000, 20_000]) {
      const messages = conversation({ rooms: 10, messages: count, seed: 10, bodyBytes: 20 });
      const { store, fileSystem } = await storeWith(imageOf(metaOf(), messages));
      await store.footer(twelve);
      const before = fileSystem.calls;
      await store.find(twelve, idOf(messages[count / 2]!));
      reads.push(fileSystem.calls - before);
    }
    expect(reads[1]).toBeLessThanOrEqual(3);
    expect(Math.abs(reads[1]! - reads[0]!)).toBeLessThanOrEqual(1);
  });

  test("[CHK8] opening reads no content", async () => {
    const fileSystem = new SimFileSystem();
    for (let date = 1; date <= 9; date++) {
      fileSystem.plant(`history/2026-11-0${date}/g00-c00000${date}-r0.chunk`, utf8("this is no chunk"));
    }
    const calls: string[] = [];
    fileSystem.onCall = (call) => calls.push(call.name);
    const store = await storeOf(fileSystem);
    // One name is made durable, however many there are.
    expect(calls.filter((call) => call !== "list")).toEqual(["unlink", "syncFolder"]);
    expect(store.list().map((listed) => listed.chunk)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(store.list()[8]!.day).toBe(20261109);
    await expect(store.footer(chunkNumber(1))).rejects.toThrow(ChunkDamage);
  });

  test("[CHK11] no more reads at the same time than allowed, and no queue without end", async () => {
    const messages = conversation({ rooms: 50, messages: 3_000, seed: 11, bodyBytes: 400 });
    const { disk } = await storeWith(imageOf(metaOf(), messages));
    let running = 0;
    let most = 0;
    const slow: Disk = {
      removeEmptyFolder: (folder) => disk.removeEmptyFolder(folder),
      list: (folder) => disk.list(folder),
      folders: (folder) => disk.folders(folder),
      sizeOf: (file) => disk.sizeOf(file),
      read: async (file, offset, length) => {
        running++;
        most = Math.max(most, running);
        const bytes = await disk.read(file, offset, length);
        await Promise.resolve();
        running--;
        return bytes;
      },
      allocate: (file, size) => disk.allocate(file, size),
      writeDurable: (file, offset, bytes) => disk.writeDurable(file, offset, bytes),
      publish: (file, parts) => disk.publish(file, parts),
      rename: (from, to) => disk.rename(from, to),
      remove: (file) => disk.remove(file),
      space: () => disk.space(),
      close: () => disk.close(),
    };
    const settings = { readsInFlightMax: 3, readsWaitingMax: 10, blockCacheBytes: 0 };
    const store = await openChunkStore({ disk: slow, cluster, group: groupId(0), settings });
    const few = await Promise.all(
      Array.from({ length: 10 }, (_, i) => store.read(twelve, utf8(`room-${i}`), everything)),
    );
    expect(few.every((page) => page.records.length > 0)).toBe(true);
    expect(most).toBe(3);
    const many = await Promise.allSettled(messages.slice(0, 200).map((message) => store.find(twelve, idOf(message))));
    const refused = many.filter((result) => result.status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    for (const result of refused) expect(result.reason).toMatchObject({ code: "overloaded" });
    // Who was refused is served later.
    expect((await store.read(twelve, utf8("room-1"), everything)).more).toBe(false);
  });
});

describe("a chunk that is not what its name says", () => {
  const messages = conversation({ rooms: 4, messages: 400, seed: 20 });
  const name = "history/2026-11-23/g00-c000012-r0.chunk";

  async function refusal(plant: Uint8Array, file = name): Promise<ChunkDamage> {
    const fileSystem = new SimFileSystem();
    fileSystem.plant(file, plant);
    const store = await storeOf(fileSystem);
    const chunk = store.list()[0]!.chunk;
    const read = await store.read(chunk, utf8("room-1"), everything).catch((cause: unknown) => cause);
    const find = await store.find(chunk, idOf(messages[0]!)).catch((cause: unknown) => cause);
    expect(read).toBeInstanceOf(ChunkDamage);
    expect(find).toBeInstanceOf(ChunkDamage);
    const damage = await store.verify(chunk);
    expect(damage.length).toBeGreaterThan(0);
    expect(damage[0]!.file).toBe(file);
    return read as ChunkDamage;
  }

  test.each<[string, Partial<ChunkMeta>]>([
    ["cluster", { cluster: otherCluster }],
    ["group", { group: groupId(1) }],
    ["number", { chunk: chunkNumber(13) }],
    ["day", { day: day(20261122) }],
    ["generation", { generation: 1 }],
  ])("[CHK6] another %s: refused", async (_, change) => {
    await refusal(wholeOf(imageOf(metaOf(change), messages)));
  });

  test("[CHK6] the right footer behind the blocks of another chunk: the blocks are refused", async () => {
    const own = wholeOf(imageOf(metaOf(), messages));
    const twin = messages.map((message) => ({ ...message, body: message.body.replaceAll("x", "y") }));
    const other = imageOf(metaOf(), twin);
    const fileSystem = new SimFileSystem();
    // Its header, its length, its checksum: all in order. Only the footer knows that it is not the one.
    own.set(other.parts[1]!, 64);
    fileSystem.plant(name, own);
    const store = await storeOf(fileSystem);
    await expect(store.read(twelve, utf8("room-1"), everything)).rejects.toThrow("not the one the footer names");
    expect((await store.verify(twelve))[0]).toMatchObject({ file: name, offset: 64, length: other.parts[1]!.length });
  });

  test("[CHK14] damage names the rooms and seqs that were in the block", async () => {
    const many = conversation({ rooms: 2, messages: 2_000, seed: 21, bodyBytes: 200 });
    const image = imageOf(metaOf(), many);
    const { fileSystem } = await storeWith(image);
    const second = image.parts[0]!.length + image.parts[1]!.length;
    fileSystem.flip(name, second + 5_000, 3);
    const damage = await (await storeOf(fileSystem)).verify(twelve);
    const expected = new Map<string, [number, number]>();
    const block = image.parts[2]!;
    for (let o = 32; o < block.length; o += block[o]! | (block[o + 1]! << 8)) {
      const room = text(block.subarray(o + 54, o + 54 + block[o + 42]!));
      const seq = block[o + 6]! | (block[o + 7]! << 8);
      expected.set(room, [expected.get(room)?.[0] ?? seq, seq]);
    }
    expect(damage.map((found) => [found.room, found.seqs])).toEqual([...expected]);
    for (const found of damage) expect(found).toMatchObject({ file: name, offset: second, length: block.length });
  });

  test("[CHK5] a file that was lost after its name was read is damage, not emptiness", async () => {
    const { store, fileSystem } = await storeWith(imageOf(metaOf(), messages));
    fileSystem.lose(name);
    await expect(store.read(twelve, utf8("room-1"), everything)).rejects.toThrow(/gone/);
    await expect(store.find(twelve, idOf(messages[0]!))).rejects.toThrow(ChunkDamage);
    expect(await store.verify(twelve)).toMatchObject([{ file: name, what: "the file is gone" }]);
  });

  test("[CHK5] a chunk that is not there at all is a fault, not emptiness", async () => {
    const { store } = await storeWith(imageOf(metaOf(), messages));
    await expect(store.read(chunkNumber(99), utf8("room-1"), everything)).rejects.toMatchObject({
      code: "unavailable",
    });
  });
});

/** Changes the id index of a chunk and puts every checksum right again, as damage never would and a bug might. */
function withForgedIds(image: ChunkImage, forge: (payload: Uint8Array) => void): Uint8Array {
  const whole = wholeOf(image);
  const trailer = decodeTrailer(whole.slice(-40), whole.length, image.meta.chunk, image.meta.generation);
  if (typeof trailer === "string") throw new Error(trailer);
  const { footerOffset, footerLength } = trailer;
  const footer = decodeFooter(whole.slice(footerOffset + 32, footerOffset + footerLength), footerOffset);
  if (typeof footer === "string") throw new Error(footer);
  const owner = { group: image.meta.group, number: image.meta.chunk, generation: image.meta.generation };
  const idPieces = footer.idPieces.map((ref, number) => {
    const piece = whole.subarray(ref.offset, ref.offset + ref.length);
    forge(piece.subarray(32));
    return { ...ref, crc: sealPiece(piece, owner, { kind: pieceKinds.ids, number, offset: ref.offset }) };
  });
  const piece = encodeFooter({ ...footer, idPieces });
  const footerCrc = sealPiece(piece, owner, { kind: pieceKinds.footer, number: 0, offset: footerOffset });
  whole.set(piece, footerOffset);
  whole.set(encodeTrailer(image.meta, { ...trailer, footerCrc }), whole.length - 40);
  return whole;
}

describe("an index that is wrong under right checksums", () => {
  const messages = conversation({ rooms: 2, messages: 300, seed: 30 });
  const image = imageOf(metaOf(), messages);

  async function answers(forge: (payload: Uint8Array) => void): Promise<unknown[]> {
    const fileSystem = new SimFileSystem();
    fileSystem.plant(image.file, withForgedIds(image, forge));
    const store = await storeOf(fileSystem);
    expect((await store.verify(twelve)).length).toBeGreaterThan(0);
    return Promise.all(messages.map((message) => store.find(twelve, idOf(message)).catch((cause: unknown) => cause)));
  }

  test("[CHK4] nothing forged: everything is found", async () => {
    const fileSystem = new SimFileSystem();
    fileSystem.plant(
      image.file,
      withForgedIds(image, () => undefined),
    );
    const store = await storeOf(fileSystem);
    expect(await store.verify(twelve)).toEqual([]);
  });

  test("[CHK4] an entry that points to another message is damage, not that message and not null", async () => {
    // Every entry now points where the next one did.
    const found = await answers((payload) => {
      const first = payload.slice(8, 16);
      for (let o = 0; o + 32 <= payload.length; o += 16) payload.set(payload.slice(o + 24, o + 32), o + 8);
      payload.set(first, payload.length - 8);
    });
    for (const answer of found) expect(answer).toBeInstanceOf(ChunkDamage);
  });

  test("[CHK4] an entry that points into a record or out of the chunk is damage", async () => {
    const inside = await answers((payload) => {
      for (let o = 0; o < payload.length; o += 16) payload[o + 12]! ^= 1;
    });
    for (const answer of inside) expect(answer).toBeInstanceOf(ChunkDamage);
    const outside = await answers((payload) => {
      for (let o = 0; o < payload.length; o += 16) putU32(payload, o + 8, 7);
    });
    for (const answer of outside) expect(answer).toBeInstanceOf(ChunkDamage);
  });
});

describe("rewriting a chunk", () => {
  const messages = conversation({ rooms: 6, messages: 2_500, seed: 40, bodyBytes: 150 });
  const kept = (room: string, seq: number): boolean =>
    room !== "room-2" && (room !== "room-3" || seq % 5 !== 0) && seq > 20;
  const keep = (room: Uint8Array, seq: number): boolean => kept(text(room), seq);

  test("[CHK10] what is kept is read as before, what is dropped is gone, everywhere alike", async () => {
    const { store } = await storeWith(imageOf(metaOf(), messages));
    const first = await store.footer(twelve);
    const image = await drained(store.rewrite(twelve, keep));
    expect(image.meta).toEqual({ ...metaOf(), generation: 1 });
    expect(Buffer.compare(image.root, first.root)).not.toBe(0);
    const again = await drained(store.rewrite(twelve, keep));
    expect(Buffer.compare(wholeOf(again), wholeOf(image))).toBe(0);

    await store.publish(image);
    const left = messages.filter((message) => kept(message.room, message.seq));
    for (const room of ["room-0", "room-1", "room-2", "room-3"]) {
      for (const direction of ["up", "down"] as const) {
        const range = { from: 1, to: 400, direction, itemsMax: 150, bytesMax: 1e6 };
        expect(await store.read(twelve, utf8(room), range)).toEqual(expectedPage(left, room, range));
      }
    }
    for (const message of messages) {
      const found = await store.find(twelve, idOf(message));
      expect(found).toEqual(kept(message.room, message.seq) ? storedOf(message) : null);
    }
    expect(await store.verify(twelve)).toEqual([]);
  });

  test("[CHK10] keeping everything changes the generation and no record", async () => {
    const { store } = await storeWith(imageOf(metaOf(), messages));
    const before = await store.footer(twelve);
    const image = await drained(store.rewrite(twelve, () => true));
    expect(image.totals).toEqual(before.totals);
  });

  test("[CHK10] the older generation goes only after the newer was checked whole", async () => {
    const { store, fileSystem } = await storeWith(imageOf(metaOf(), messages));
    await store.publish(await drained(store.rewrite(twelve, keep)));
    expect(store.supersededChunks()).toEqual([12]);
    fileSystem.flip("history/2026-11-23/g00-c000012-r1.chunk", 40_000, 1);
    await expect(store.removeSuperseded(twelve)).rejects.toThrow(ChunkDamage);
    expect([...fileSystem.files().keys()].length).toBe(2);
    fileSystem.flip("history/2026-11-23/g00-c000012-r1.chunk", 40_000, 1);
    await store.removeSuperseded(twelve);
    expect([...fileSystem.files().keys()]).toEqual(["history/2026-11-23/g00-c000012-r1.chunk"]);
    expect(store.supersededChunks()).toEqual([]);
  });

  test("[CHK10] after a crash between the two, the newer generation is read", async () => {
    const { store, fileSystem } = await storeWith(imageOf(metaOf(), messages));
    await store.publish(await drained(store.rewrite(twelve, keep)));
    const other = await storeOf(fileSystem);
    expect(other.list()).toMatchObject([{ chunk: 12, generation: 1 }]);
    expect(other.supersededChunks()).toEqual([12]);
    expect((await other.read(twelve, utf8("room-2"), everything)).records).toEqual([]);
  });

  test("[CHK10] an old seal applied anew does not bring an older generation back", async () => {
    const { store, fileSystem } = await storeWith(imageOf(metaOf(), messages));
    await store.publish(await drained(store.rewrite(twelve, keep)));
    await store.removeSuperseded(twelve);
    await store.publish(imageOf(metaOf(), messages));
    expect([...fileSystem.files().keys()]).toEqual(["history/2026-11-23/g00-c000012-r1.chunk"]);
    expect(store.generationOf(twelve)).toBe(1);
  });

  test("[CHK10] damage stops a rewrite: it never loses what it was not told to drop", async () => {
    const { store, fileSystem } = await storeWith(imageOf(metaOf(), messages));
    fileSystem.flip("history/2026-11-23/g00-c000012-r0.chunk", 90_000, 1);
    await expect(drained(store.rewrite(twelve, keep))).rejects.toThrow(ChunkDamage);
  });
});

describe("what stays and what goes", () => {
  test("[CHK9] files nobody knows and chunks nobody mentions stay, and are listed", async () => {
    const fileSystem = new SimFileSystem();
    const strangers = ["history/notes.txt", "history/2026-11-23/g00-c000012-r0.chunk.bak", "history/old/readme"];
    const orphans = [5, 6, 9, 40].map((chunk) => imageOf(metaOf({ chunk: chunkNumber(chunk) }), []));
    for (const file of strangers) fileSystem.plant(file, utf8("mine"));
    for (const image of orphans) fileSystem.plant(image.file, wholeOf(image));
    const foreign = imageOf(metaOf({ group: groupId(3) }), []);
    fileSystem.plant(foreign.file, wholeOf(foreign));
    const before = new Map(fileSystem.files());
    const store = await storeOf(fileSystem);
    expect([...store.unknownFiles()].sort()).toEqual([...strangers].sort());
    expect(store.list().map((listed) => listed.chunk)).toEqual([5, 6, 9, 40]);
    await store.publish(imageOf(metaOf({ chunk: chunkNumber(41) }), []));
    for (const [file, bytes] of before) expect(fileSystem.files().get(file)).toEqual(bytes);
  });

  test("[CHK9] one chunk under two days: one is read, the other stays and is listed", async () => {
    const image = imageOf(metaOf(), []);
    const fileSystem = new SimFileSystem();
    fileSystem.plant(image.file, wholeOf(image));
    fileSystem.plant("history/2026-11-24/g00-c000012-r0.chunk", wholeOf(image));
    const store = await storeOf(fileSystem);
    expect(store.unknownFiles()).toEqual(["history/2026-11-24/g00-c000012-r0.chunk"]);
    expect((await store.footer(twelve)).meta).toEqual(metaOf());
  });

  test("[CHK9] a chunk under a wrong day does not stand in the way of the right one", async () => {
    const image = imageOf(metaOf(), []);
    const fileSystem = new SimFileSystem();
    const wrong = "history/2026-11-22/g00-c000012-r0.chunk";
    fileSystem.plant(wrong, wholeOf(image));
    const store = await storeOf(fileSystem);
    await expect(store.footer(twelve)).rejects.toThrow("filed under 2026-11-22");
    await store.publish(image);
    expect((await store.footer(twelve)).meta).toEqual(metaOf());
    expect(store.unknownFiles()).toEqual([wrong]);
    expect(fileSystem.files().has(wrong)).toBe(true);
  });

  test("[CHK9] a removed chunk is gone, with all its generations, and removing it again does nothing", async () => {
    const { store, fileSystem } = await storeWith(imageOf(metaOf(), conversation({ rooms: 1, messages: 5, seed: 1 })));
    await store.publish(await drained(store.rewrite(twelve, () => true)));
    await store.remove(twelve);
    expect(store.has(twelve)).toBe(false);
    expect([...fileSystem.files().keys()]).toEqual([]);
    await store.remove(twelve);
    await expect(store.footer(twelve)).rejects.toMatchObject({ code: "unavailable" });
  });

  test("[CHK15] what another server sends is taken when it is the chunk that was sealed, sound in every byte", async () => {
    const messages = conversation({ rooms: 3, messages: 60, seed: 2 });
    const image = imageOf(metaOf(), messages);
    const bytes = wholeOf(image);
    const { meta, totals } = image;
    const sealed = { from: 1000, to: 2000, day: 20261123, messages: totals.messages, bytes: totals.recordBytes };
    const received = (sent: Uint8Array, said = sealed, name: ChunkName = meta): Promise<Proven | string> =>
      drained(checkReceivedChunk(cluster, name, sent, said));
    const found = await received(bytes);
    if (typeof found === "string") expect.fail(found);
    const fileSystem = new SimFileSystem();
    const store = await storeOf(fileSystem);
    await store.publish(found);
    expect(fileSystem.files().get(fileName(image.file))).toEqual(bytes);
    expect(await store.verify(twelve)).toEqual([]);
    for (let bit = 0; bit < bytes.length * 8; bit += 97) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(typeof (await received(flipped))).toBe("string");
    }
    for (let length = 0; length < bytes.length; length += 501) {
      expect(typeof (await received(bytes.slice(0, length)))).toBe("string");
    }
    for (const said of [
      { ...sealed, to: 2001 },
      { ...sealed, messages: 61 },
      { ...sealed, day: 20261122 },
    ]) {
      expect(await received(bytes, said)).toContain("the log sealed");
    }
    expect(typeof (await received(bytes, sealed, { ...meta, generation: 1 }))).toBe("string");
  });

  test("[CHK15] parts of a chunk put together are the chunk; another generation is not here", async () => {
    const image = imageOf(metaOf(), conversation({ rooms: 2, messages: 80, seed: 2 }));
    const { store } = await storeWith(image);
    const whole = wholeOf(image);
    const parts: Uint8Array[] = [];
    for (let offset = 0; offset < whole.length; offset += 1_000) {
      const part = await store.part(twelve, 0, { offset, length: 1_000 });
      expect(part?.total).toBe(whole.length);
      parts.push(part!.bytes);
    }
    expect(Buffer.compare(Buffer.concat(parts), whole)).toBe(0);
    expect(await store.part(twelve, 1, { offset: 0, length: 10 })).toBeNull();
    expect(await store.part(chunkNumber(13), 0, { offset: 0, length: 10 })).toBeNull();
    expect((await store.part(twelve, 0, { offset: whole.length + 5, length: 10 }))?.bytes).toHaveLength(0);
  });

  test("[CHK7] publishing again what is there changes nothing, and puts a damaged file right", async () => {
    const messages = conversation({ rooms: 2, messages: 50, seed: 2 });
    const image = imageOf(metaOf(), messages);
    const { store, fileSystem } = await storeWith(image);
    await store.publish(image);
    expect(store.supersededChunks()).toEqual([]);
    fileSystem.flip(image.file, 300, 1);
    expect((await store.verify(twelve)).length).toBeGreaterThan(0);
    await store.publish(image);
    expect(await store.verify(twelve)).toEqual([]);
    expect(fileSystem.files().get(fileName(image.file))).toEqual(wholeOf(image));
  });
});
