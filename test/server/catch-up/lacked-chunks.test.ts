import { expect, test } from "vitest";
import type { NodeName } from "../../../src/base/ids.ts";
import { LackedChunks } from "../../../src/server/catch-up/lacked-chunks.ts";

const [n2, n3, n4] = ["n2", "n3", "n4"].map((name) => name as NodeName) as [NodeName, NodeName, NodeName];
const lacks = (...chunks: readonly number[]) => ({ count: chunks.length, chunks: new Set(chunks) });

test("[CATCH16] complete is who has said so, and lacks nothing that anybody is known to have", () => {
  const lacked = new LackedChunks();
  expect(lacked.isComplete(n2)).toBe(false);
  lacked.heard(n2, lacks());
  expect(lacked.isComplete(n2)).toBe(true);
  lacked.heard(n2, lacks(7));
  expect(lacked.isComplete(n2)).toBe(false);
  // This server has lost it too: nobody is known to have it, and waiting brings nothing.
  lacked.own = lacks(7);
  expect(lacked.isComplete(n2)).toBe(true);
  lacked.heard(n3, lacks(8));
  expect(lacked.isComplete(n2)).toBe(false);
  lacked.lost(n3);
  expect(lacked.isComplete(n2)).toBe(true);
  // More than can be told.
  lacked.heard(n2, { count: 2, chunks: new Set([7]) });
  expect(lacked.isComplete(n2)).toBe(false);
});

test("[CATCH16] what only one has is what it has, and nobody of those who stay", () => {
  const lacked = new LackedChunks();
  lacked.own = lacks(7, 8, 9);
  expect(lacked.onlyHeldBy(n4, [n2, n3])).toEqual([]);
  lacked.heard(n4, lacks(9));
  lacked.heard(n2, lacks(7, 9));
  expect(lacked.onlyHeldBy(n4, [n2, n3])).toEqual([7]);
  // A copy that is not known to be there is none.
  lacked.heard(n3, { count: 2, chunks: new Set([9]) });
  expect(lacked.onlyHeldBy(n4, [n2, n3])).toEqual([7]);
  lacked.heard(n3, lacks(9));
  expect(lacked.onlyHeldBy(n4, [n2, n3])).toEqual([]);
});
