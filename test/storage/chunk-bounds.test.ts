import fc from "fast-check";
import { expect, test } from "vitest";
import { buildChunk } from "../../src/storage/chunk/build-chunk.ts";
import { ByteCache } from "../../src/storage/chunk/byte-cache.ts";
import { ReadGate } from "../../src/storage/chunk/read-gate.ts";
import { conversation, inputOf, metaOf } from "./chunk-messages.ts";

test("[CHK11] a cache never holds more than its bound, and gives up what was used longest ago", () => {
  const operation = fc.record({ key: fc.nat(20), bytes: fc.nat(60), put: fc.boolean() });
  fc.assert(
    fc.property(fc.nat(200), fc.array(operation, { maxLength: 200 }), (bytesMax, operations) => {
      const cache = new ByteCache<number>(bytesMax);
      // The same as a list, most recently used last.
      let model: { key: string; value: number; bytes: number }[] = [];
      for (const [value, { key: number, bytes, put }] of operations.entries()) {
        const key = `k${number}`;
        const known = model.find((entry) => entry.key === key);
        if (put) {
          cache.put(key, value, bytes);
          model = model.filter((entry) => entry.key !== key);
          if (bytes <= bytesMax) model.push({ key, value, bytes });
          while (model.reduce((sum, entry) => sum + entry.bytes, 0) > bytesMax) model.shift();
        } else {
          expect(cache.get(key)).toBe(known?.value);
          if (known !== undefined) model = [...model.filter((entry) => entry !== known), known];
        }
        expect(cache.bytes).toBe(model.reduce((sum, entry) => sum + entry.bytes, 0));
      }
    }),
    { numRuns: 300 },
  );
});

test("[CHK11] reads go in the order they were asked for, and one that fails gives its place on", async () => {
  const gate = new ReadGate({ inFlightMax: 2, waitingMax: 3 });
  const begun: number[] = [];
  const ends: ((how: "well" | "badly") => void)[] = [];
  const read = (number: number): Promise<number> =>
    gate.run(() => {
      begun.push(number);
      return new Promise((resolve, reject) => {
        ends[number] = (how) => (how === "well" ? resolve(number) : reject(new Error(`read ${number}`)));
      });
    });
  const settled = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  const reads = [0, 1, 2, 3, 4].map(read);
  await expect(read(5)).rejects.toMatchObject({ code: "overloaded" });
  expect(begun).toEqual([0, 1]);
  ends[1]!("badly");
  await expect(reads[1]).rejects.toThrow("read 1");
  await settled();
  expect(begun).toEqual([0, 1, 2]);
  ends[0]!("well");
  ends[2]!("well");
  await settled();
  expect(begun).toEqual([0, 1, 2, 3, 4]);
  ends[3]!("well");
  ends[4]!("well");
  expect(await Promise.all([reads[0], reads[2], reads[3], reads[4]])).toEqual([0, 2, 3, 4]);
  // All places are free again.
  void read(6);
  void read(7);
  expect(begun).toEqual([0, 1, 2, 3, 4, 6, 7]);
  ends[6]!("well");
  ends[7]!("well");
});

test("[CHK12] between two pauses a bounded number of records is touched, with one room and with many", () => {
  for (const rooms of [1, 4_000]) {
    const input = inputOf(conversation({ rooms, messages: 12_000, seed: 3, bodyBytes: 10 }));
    let touched = 0;
    const steps = buildChunk(metaOf(), {
      ...input,
      bytes: (i) => {
        touched++;
        return input.bytes(i);
      },
    });
    let most = 0;
    for (let step = steps.next(); step.done !== true; step = steps.next()) {
      most = Math.max(most, touched);
      touched = 0;
    }
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(2_048);
  }
});
