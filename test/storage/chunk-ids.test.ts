import fc from "fast-check";
import { expect, test } from "vitest";
import { getU32, putU32 } from "../../src/base/byte-order.ts";
import { hashId, hashRecordId, type IdHash } from "../../src/storage/chunk/id-hash.ts";
import { sortIds } from "../../src/storage/chunk/id-sort.ts";
import { finished, recordOf, utf8 } from "./chunk-messages.ts";

/** HalfSipHash with 64 bits of output, written from its description: slow, plain, and any count of rounds. */
function halfSipHash(key: Uint8Array, message: Uint8Array, rounds: { word: number; end: number }): [number, number] {
  const rotate = (value: number, by: number): number => ((value << by) | (value >>> (32 - by))) >>> 0;
  const k0 = getU32(key, 0);
  const k1 = getU32(key, 4);
  let v = [k0, k1 ^ 0xee, 0x6c796765 ^ k0, 0x74656462 ^ k1].map((value) => value >>> 0) as [
    number,
    number,
    number,
    number,
  ];
  const mix = (count: number): void => {
    for (let round = 0; round < count; round++) {
      let [v0, v1, v2, v3] = v;
      v0 = (v0 + v1) >>> 0;
      v1 = (rotate(v1, 5) ^ v0) >>> 0;
      v0 = rotate(v0, 16);
      v2 = (v2 + v3) >>> 0;
      v3 = (rotate(v3, 8) ^ v2) >>> 0;
      v0 = (v0 + v3) >>> 0;
      v3 = (rotate(v3, 7) ^ v0) >>> 0;
      v2 = (v2 + v1) >>> 0;
      v1 = (rotate(v1, 13) ^ v2) >>> 0;
      v2 = rotate(v2, 16);
      v = [v0, v1, v2, v3];
    }
  };
  const padded = new Uint8Array(Math.floor(message.length / 4) * 4 + 4);
  padded.set(message);
  padded[padded.length - 1] = message.length & 0xff;
  for (let o = 0; o < padded.length; o += 4) {
    const word = getU32(padded, o);
    v[3] = (v[3] ^ word) >>> 0;
    mix(rounds.word);
    v[0] = (v[0] ^ word) >>> 0;
  }
  v[2] ^= 0xee;
  v[2] >>>= 0;
  mix(rounds.end);
  const low = (v[1] ^ v[3]) >>> 0;
  v[1] = (v[1] ^ 0xdd) >>> 0;
  mix(rounds.end);
  return [(v[1] ^ v[3]) >>> 0, low];
}

test("[CHK3] the description these tests go by is the published one", () => {
  // The first vectors that the authors publish for HalfSipHash-2-4 with 64 bits: key 00 … 07, messages "" and 00.
  const key = Uint8Array.from({ length: 8 }, (_, i) => i);
  const hex = ([high, low]: [number, number]): string => {
    const b = new Uint8Array(8);
    putU32(b, 0, low);
    putU32(b, 4, high);
    return Buffer.from(b).toString("hex");
  };
  expect(hex(halfSipHash(key, new Uint8Array(0), { word: 2, end: 4 }))).toBe("218d1f59b9b83cc8");
});

test("[CHK3] an id is hashed as documented, in parts and in its record alike", () => {
  const name = fc.string({ minLength: 1, maxLength: 40, unit: "grapheme-ascii" });
  fc.assert(
    fc.property(name, name, name, fc.uint8Array({ minLength: 8, maxLength: 8 }), (room, from, cid, secret) => {
      const key = { k0: getU32(secret, 0), k1: getU32(secret, 4) };
      const texts = [room, from, cid].map(utf8);
      const message = Buffer.concat([Uint8Array.from([...texts.map((one) => one.length), 0]), ...texts]);
      const found: IdHash = { high: 0, low: 0 };
      hashId(key, texts[0]!, texts[1]!, texts[2]!, found);
      expect([found.high, found.low]).toEqual(halfSipHash(secret, message, { word: 1, end: 3 }));
      const record = recordOf({ room, from, cid, seq: 1, body: "b" });
      const again: IdHash = { high: 0, low: 0 };
      hashRecordId(key, record, 0, again);
      expect(again).toEqual(found);
    }),
    { numRuns: 300 },
  );
});

test("[CHK1] ids are sorted by both halves, and equal ones keep their order", () => {
  const few = fc.integer({ min: 0, max: 5 });
  const half = fc.oneof(few, fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(0x1_0000, 0xffff, 0xffff_ffff));
  fc.assert(
    fc.property(fc.array(fc.tuple(half, half), { maxLength: 300 }), (ids) => {
      const high = Uint32Array.from(ids, ([first]) => first);
      const low = Uint32Array.from(ids, ([, second]) => second);
      const order = [...finished(sortIds(high, low, ids.length))];
      const expected = ids.map((_, i) => i).sort((a, b) => high[a]! - high[b]! || low[a]! - low[b]! || a - b);
      expect(order).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

test("[CHK1] a long list is sorted across the pauses", () => {
  const count = 150_000;
  const high = Uint32Array.from({ length: count }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 20);
  const low = Uint32Array.from({ length: count }, (_, i) => Math.imul(i, 0x85ebca6b) >>> 0);
  const order = finished(sortIds(high, low, count));
  expect(new Set(order).size).toBe(count);
  for (let i = 1; i < count; i++) {
    const before = order[i - 1]!;
    const after = order[i]!;
    if (high[before]! > high[after]! || (high[before] === high[after] && low[before]! > low[after]!)) {
      expect.fail(`place ${i} is out of order`);
    }
  }
});
