import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { root } from "../../scripts/repository.mjs";
import { nodeChunkBuilder } from "../../src/platform/node/node-chunk-builder.ts";
import { arenaBytes, type RecordPart } from "../../src/storage/chunk/record-parts.ts";
import { conversation, imageOf, type Message, metaOf, recordOf, wholeOf } from "../storage/chunk-messages.ts";

const program = pathToFileURL(join(root, "dist/apps/cli/chunk-thread.js"));

/** The records of messages as the tail holds them: in arenas of shared memory, each in its own place. */
function partOf(messages: readonly Message[], perArena: number): RecordPart {
  const arenas: Uint8Array[] = [];
  const addresses = new Uint32Array(messages.length);
  for (let first = 0; first < messages.length; first += perArena) {
    const records = messages.slice(first, first + perArena).map(recordOf);
    const arena = new Uint8Array(new SharedArrayBuffer(records.reduce((sum, { length }) => sum + length + 3, 0)));
    let at = 0;
    for (const [i, record] of records.entries()) {
      arena.set(record, at);
      addresses[first + i] = arenas.length * arenaBytes + at;
      at += record.length + 3;
    }
    arenas.push(arena);
  }
  return { arenas, addresses };
}

describe("chunks built on another thread", () => {
  test("the image is the same, bit by bit, as one built here", async () => {
    const messages = conversation({ rooms: 40, messages: 12_000, seed: 7 });
    const here = imageOf(metaOf(), messages);
    const builder = nodeChunkBuilder(program);
    const parts = [partOf(messages.slice(0, 5_000), 700), partOf(messages.slice(5_000), 20_000)];
    const there = await builder.build(metaOf(), parts);
    expect(Buffer.compare(wholeOf(there), wholeOf(here))).toBe(0);
    expect({ ...there, parts: [], root: [...there.root] }).toEqual({ ...here, parts: [], root: [...here.root] });
    // What was shared is still there: readers go on reading it.
    expect(parts[0]!.arenas[0]!.length).toBeGreaterThan(0);
  });

  test("an image is whole until the next is built, which lies in the same memory", async () => {
    const builder = nodeChunkBuilder(program);
    for (const [seed, rooms, count] of [
      [1, 40, 9_000],
      [2, 3, 600],
      [3, 500, 12_000],
    ] as const) {
      const messages = conversation({ rooms, messages: count, seed });
      const there = await builder.build(metaOf(), [partOf(messages, 700)]);
      expect(there.parts.every(({ buffer }) => buffer instanceof SharedArrayBuffer)).toBe(true);
      expect(Buffer.compare(wholeOf(there), wholeOf(imageOf(metaOf(), messages)))).toBe(0);
    }
  });

  test("a thread that fails is told as such, and the next chunk is built by another", async () => {
    const messages = conversation({ rooms: 3, messages: 500, seed: 8 });
    const builder = nodeChunkBuilder(program);
    // A hole in a room: `buildChunk` stops, and the thread with it.
    const torn = messages.filter((_, i) => i !== 100);
    await expect(builder.build(metaOf(), [partOf(torn, 100)])).rejects.toThrow("hole");
    const built = await builder.build(metaOf(), [partOf(messages, 100)]);
    expect(Buffer.compare(wholeOf(built), wholeOf(imageOf(metaOf(), messages)))).toBe(0);
  });

  test("a thread that can't even begin is no end of waiting", async () => {
    const builder = nodeChunkBuilder(new URL("data:text/javascript,process.exit(3)"));
    await expect(builder.build(metaOf(), [])).rejects.toThrow("ended with 3");
  });

  test("a thread that can't be had is told each time anew, and nobody waits for it", async () => {
    const builder = nodeChunkBuilder(new URL("http://127.0.0.1/no-thread"));
    for (let order = 0; order < 2; order++) await expect(builder.build(metaOf(), [])).rejects.toThrow("URL");
  });
});
