import { expect, test } from "vitest";
import { BytePool } from "../../src/base/byte-pool.ts";

test("a block is as large as what is asked for, and at most twice as large; from 1 KiB on", () => {
  const pool = new BytePool();
  for (let bytes = 1; bytes <= 200_000; bytes += bytes < 2_100 ? 1 : 977) {
    const { length } = pool.take(bytes);
    expect(length).toBeGreaterThanOrEqual(bytes);
    expect(length).toBeLessThan(Math.max(1_025, bytes * 2));
  }
  expect([1_024, 1_025, 65_536, 65_537].map((bytes) => pool.take(bytes).length)).toEqual([
    1_024, 2_048, 65_536, 65_537,
  ]);
});

test("a block serves again once it is given back, and nobody else before", () => {
  const pool = new BytePool();
  const one = pool.take(3_000);
  const two = pool.take(3_000);
  expect(two).not.toBe(one);
  pool.giveBack(one);
  expect(pool.spareBytes).toBe(4_096);
  // Another size is another block.
  expect(pool.take(5_000)).not.toBe(one);
  expect(pool.take(2_100)).toBe(one);
  expect(pool.spareBytes).toBe(0);
  expect(pool.take(2_100)).not.toBe(one);
});

test("what is kept is bounded, and very large blocks are not kept at all", () => {
  const pool = new BytePool();
  pool.giveBack(pool.take(70_000));
  expect(pool.spareBytes).toBe(0);
  for (const block of Array.from({ length: 100 }, () => pool.take(65_536))) pool.giveBack(block);
  expect(pool.spareBytes).toBe(4 * 1024 * 1024);
});
