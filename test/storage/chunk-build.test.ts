import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { groupId, logIndex } from "../../src/base/ids.ts";
import { getU48 } from "../../src/base/byte-order.ts";
import { day } from "../../src/base/units.ts";
import { recordSeq, textLength } from "../../src/rooms/message-record.ts";
import { buildChunk } from "../../src/storage/chunk/build-chunk.ts";
import { chunkNumber } from "../../src/storage/chunk/chunk-layout.ts";
import { chunkFileName, parseChunkFileName } from "../../src/storage/chunk/chunk-name.ts";
import { slotOf } from "../../src/base/slot.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { type FileName, openDisk } from "../../src/storage/disk.ts";
import {
  cluster,
  conversation,
  finished,
  imageOf,
  inputOf,
  metaOf,
  otherCluster,
  scatteredInput,
  storedOf,
  utf8,
  wholeOf,
} from "./chunk-messages.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("building a chunk", () => {
  test("[CHK1] a known conversation has a known root, on every machine and in every version of this format", () => {
    const image = imageOf(metaOf(), conversation({ rooms: 5, messages: 2_000, seed: 1 }));
    expect({ bytes: image.bytes, root: hex(image.root), totals: image.totals }).toMatchInlineSnapshot(`
      {
        "bytes": 300204,
        "root": "ee20a3bb8e7fb7172e6b6ea9be0faa8077f2335e1b1594e0c70015c3372d15df",
        "totals": {
          "firstTs": 1790000000001,
          "lastTs": 1790000000425,
          "messages": 2000,
          "recordBytes": 267319,
          "rooms": 5,
        },
      }
    `);
  });

  test("[CHK1] where records stand in memory changes no byte", () => {
    const messages = conversation({ rooms: 40, messages: 3_000, seed: 2 });
    const first = wholeOf(imageOf(metaOf(), messages));
    for (let seed = 0; seed < 5; seed++) {
      const image = finished(buildChunk(metaOf(), scatteredInput(messages, 1 + seed * 3, seed)));
      expect(Buffer.compare(wholeOf(image), first)).toBe(0);
    }
  });

  test("[CHK1] two builds that take turns do not disturb each other", () => {
    const messages = conversation({ rooms: 40, messages: 6_000, seed: 3 });
    const alone = imageOf(metaOf(), messages);
    const one = buildChunk(metaOf(), inputOf(messages));
    const other = buildChunk(
      metaOf({ chunk: chunkNumber(13) }),
      inputOf(conversation({ rooms: 3, messages: 6_000, seed: 4 })),
    );
    for (;;) {
      other.next();
      const step = one.next();
      if (step.done !== true) continue;
      expect(hex(step.value.root)).toBe(hex(alone.root));
      break;
    }
  });

  test("[CHK1] whatever the seal says is bound into the root", () => {
    const messages = conversation({ rooms: 3, messages: 30, seed: 5 });
    const roots = [
      metaOf(),
      metaOf({ cluster: otherCluster }),
      metaOf({ chunk: chunkNumber(13) }),
      metaOf({ from: logIndex(999) }),
      metaOf({ to: logIndex(2001) }),
      metaOf({ day: day(20261124) }),
      metaOf({ generation: 1 }),
    ].map((meta) => hex(imageOf(meta, messages).root));
    expect(new Set(roots).size).toBe(roots.length);
  });

  test("[CHK1] records stand by slot, room and seq", () => {
    const messages = conversation({ rooms: 300, messages: 4_000, seed: 6 });
    const image = imageOf(metaOf(), messages);
    const found: { slot: number; room: string; seq: number }[] = [];
    for (const part of image.parts) {
      // Blocks are pieces of kind 1.
      if (part.length < 86 || part[8] !== 1) continue;
      for (let o = 32; o < part.length; ) {
        const room = part.subarray(o + 54, o + 54 + textLength(part, o, 0));
        found.push({ slot: slotOf(room), room: Buffer.from(room).toString("latin1"), seq: recordSeq(part, o) });
        o += part[o]! | (part[o + 1]! << 8) | (part[o + 2]! << 16);
      }
    }
    expect(found.length).toBe(messages.length);
    const sorted = [...found].sort(
      (a, b) => a.slot - b.slot || (a.room < b.room ? -1 : a.room > b.room ? 1 : 0) || a.seq - b.seq,
    );
    expect(found).toEqual(sorted);
  });

  test("[CHK1] a day on which nobody spoke is a chunk too", () => {
    const image = imageOf(metaOf(), []);
    expect(image.totals).toEqual({ messages: 0, rooms: 0, recordBytes: 0, firstTs: 0, lastTs: 0 });
    expect(hex(imageOf(metaOf(), []).root)).toBe(hex(image.root));
  });

  test("[CHK12] the build pauses, and what it has made by then is nowhere to be seen", () => {
    const messages = conversation({ rooms: 500, messages: 20_000, seed: 7 });
    const steps = buildChunk(metaOf(), inputOf(messages));
    let pauses = 0;
    for (let step = steps.next(); step.done !== true; step = steps.next()) pauses++;
    expect(pauses).toBeGreaterThan(20_000 / 4_096);
  });

  test("[CHK13] a hole, a repeat or a step back within a room stops the build", () => {
    const message = (seq: number) => ({ room: "ops", from: "ann", cid: `c${seq}`, seq, body: "" });
    expect(() => imageOf(metaOf(), [message(4), message(6)])).toThrow("hole");
    expect(() => imageOf(metaOf(), [message(4), message(4)])).toThrow();
    expect(() => imageOf(metaOf(), [message(4), message(3)])).toThrow();
    expect(() => imageOf(metaOf(), [message(0)])).toThrow("ascend");
  });

  test("[CHK13] an unknown format is not built", () => {
    expect(() => imageOf(metaOf({ format: 2 }), [])).toThrow("format");
  });

  test("[CHK1] the header carries cluster and number, and no incarnation", () => {
    const whole = wholeOf(imageOf(metaOf(), []));
    expect(Buffer.from(whole.subarray(0, 8)).toString()).toBe("SYNODCHK");
    expect(hex(whole.subarray(12, 28))).toBe("0123456789abcdef0123456789abcdef");
    expect(hex(whole.subarray(28, 44))).toBe("0".repeat(32));
    expect(getU48(whole, 46)).toBe(12);
  });
});

describe("the name of a chunk file", () => {
  test("[CHK6] only the exact spelling names a chunk", () => {
    expect(chunkFileName(metaOf())).toBe("history/2026-11-23/g00-c000012-r0.chunk");
    for (const name of [
      "history/2026-11-23/g00-c00012-r0.chunk",
      "history/2026-11-23/g00-c0000012-r0.chunk",
      "history/2026-11-23/g00-c000000-r0.chunk",
      "history/2026-11-23/g00-c000012-r00.chunk",
      "history/2026-11-23/g0-c000012-r0.chunk",
      "history/2026-11-23/g00-c000012-r0.chunk.1.tmp",
      "history/20261123/g00-c000012-r0.chunk",
      "g00-c000012-r0.chunk",
    ]) {
      expect(parseChunkFileName(name as FileName)).toBe(null);
    }
  });

  test("[CHK6] what rooms are called has no part in it, and is read back byte by byte", async () => {
    const rooms = ["../../etc/passwd", "a\u0000b", "CON", "\u202Etxt", "Ops", "ops", "%2e%2e%2f", "é".repeat(120)];
    const messages = rooms.map((room, i) => ({ room, from: "ann", cid: `c${i}`, seq: 1, body: room }));
    const fileSystem = new SimFileSystem();
    const store = await openChunkStore({ disk: openDisk(fileSystem), cluster, group: groupId(0) });
    await store.publish(imageOf(metaOf(), messages));
    expect([...fileSystem.files().keys()]).toEqual(["history/2026-11-23/g00-c000012-r0.chunk"]);
    for (const message of messages) {
      const range = { from: 1, to: 9, direction: "up", itemsMax: 9, bytesMax: 9_999 } as const;
      const page = await store.read(chunkNumber(12), utf8(message.room), range);
      expect(page.records).toEqual([storedOf(message)]);
    }
  });

  test("[CHK6] names say what they were made of", () => {
    fc.assert(
      fc.property(fc.nat(65_535), fc.integer({ min: 1, max: 2 ** 40 }), fc.nat(1_000), (group, chunk, generation) => {
        const name = { group: groupId(group), chunk: chunkNumber(chunk), day: day(20240229), generation };
        expect(parseChunkFileName(chunkFileName(name))).toEqual(name);
      }),
      { numRuns: 200 },
    );
  });

  test("[CHK1] a slot is the first 12 bits of SHA-256", () => {
    // sha256("lobby") begins with these bits on every machine.
    expect(slotOf(utf8("lobby"))).toMatchInlineSnapshot(`1205`);
  });
});
