import { expect, test } from "vitest";
import type { Room } from "../../src/rooms/room.ts";
import { KnownAbsent } from "../../src/server/known-absent.ts";

const unbounded = Number.MAX_SAFE_INTEGER;
const [lobby, ops] = [{ name: "lobby" } as Room, { name: "ops" } as Room];

test("each room has the lowest of its own, until nothing is under way", () => {
  const known = new KnownAbsent();
  expect(known.of(lobby)).toBe(unbounded);
  for (const seq of [20, 13, 14]) known.add(lobby, seq);
  known.add(ops, 900);
  known.add(ops, 901);
  expect([known.of(lobby), known.of(ops)]).toEqual([13, 900]);
  known.clear();
  expect([known.of(lobby), known.of(ops)]).toEqual([unbounded, unbounded]);
});

test("a post to a room that was not there yet bounds every room: it may be any", () => {
  const first = new KnownAbsent();
  first.add(undefined, 0);
  expect(first.of(lobby)).toBe(0);
  const later = new KnownAbsent();
  later.add(lobby, 13);
  later.add(undefined, 7);
  expect([later.of(lobby), later.of(ops)]).toEqual([7, 7]);
});
