import { expect, test } from "vitest";
import { groupId, type NodeName } from "../../../src/base/ids.ts";
import type { Item } from "../../../src/server/catch-up/catch-up-frames.ts";
import { Checkpoints } from "../../../src/server/catch-up/checkpoints.ts";

const [a, b, c, d] = ["a", "b", "c", "d"] as NodeName[] as [NodeName, NodeName, NodeName, NodeName];
const chunk = (number: number): Item => ({ kind: "chunk", group: groupId(0), number, generation: 0 });
const digest = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

test("[CATCH15] the same is no difference, in whatever order it is heard", () => {
  const checkpoints = new Checkpoints();
  expect(checkpoints.heard(a, chunk(1), digest(1))).toBeNull();
  expect(checkpoints.made(chunk(1), digest(1))).toBeNull();
  expect(checkpoints.heard(b, chunk(1), digest(1))).toBeNull();
  // Another chunk, another generation, another kind: nothing to compare with.
  expect(checkpoints.heard(a, chunk(2), digest(2))).toBeNull();
  expect(checkpoints.heard(a, { ...chunk(1), generation: 1 }, digest(2))).toBeNull();
  expect(checkpoints.heard(a, { ...chunk(1), kind: "snapshot" }, digest(2))).toBeNull();
});

test("[CATCH15] one against one is a difference; two against one say who is wrong", () => {
  const checkpoints = new Checkpoints();
  checkpoints.made(chunk(1), digest(1));
  expect(checkpoints.heard(a, chunk(1), digest(2))).toMatchObject({ item: chunk(1), isOutvoted: false });
  const difference = checkpoints.heard(b, chunk(1), digest(2));
  expect(difference).toMatchObject({ own: "01".repeat(32), isOutvoted: true });
  expect([...difference!.others]).toEqual([
    [a, "02".repeat(32)],
    [b, "02".repeat(32)],
  ]);
  // Somebody agrees: then it is two against two, and nobody knows.
  checkpoints.heard(c, chunk(1), digest(1));
  expect(checkpoints.made(chunk(1), digest(1))?.isOutvoted).toBe(false);
  // Those who are against this server need not be with each other.
  const other = new Checkpoints();
  other.heard(a, chunk(1), digest(2));
  other.heard(b, chunk(1), digest(3));
  other.heard(d, chunk(1), digest(4));
  expect(other.made(chunk(1), digest(1))?.isOutvoted).toBe(false);
});

test("[CATCH15] what is remembered is bounded, and the newest is told", () => {
  const checkpoints = new Checkpoints();
  for (let number = 1; number <= 1_000; number++) checkpoints.made(chunk(number), digest(number & 0xff));
  expect(checkpoints.newest().map(({ item }) => item.number)).toEqual(Array.from({ length: 16 }, (_, at) => 985 + at));
  expect(checkpoints.newest().at(-1)!.digest).toEqual(digest(1_000 & 0xff));
  expect(checkpoints.heard(a, chunk(1), digest(9))).toBeNull();
  for (let server = 0; server < 100; server++) checkpoints.heard(`s${server}` as NodeName, chunk(1_000), digest(232));
  expect(checkpoints.heard("late" as NodeName, chunk(1_000), digest(7))).toBeNull();
});
