import { expect, test } from "vitest";
import type { ClusterId } from "../../src/base/ids.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { Aggregates } from "../../src/rooms/aggregates.ts";
import { RoomNumbers } from "../../src/rooms/room-numbers.ts";
import { boundsOf } from "../../src/rooms/setting.ts";
import { bytesOf } from "./group-log.ts";

/** A room's newest id, and what is asked for. */
class Ids {
  readonly numbers = new RoomNumbers(1);

  note(place: number, entry: number, from: string, cid: string): void {
    this.numbers.noteLast(place, entry, bytesOf(`..${from}${cid}`), 2, from.length, cid.length);
  }

  entry(place: number, from: string, cid: string): number {
    const b = bytesOf(`${cid}.${from}`);
    return this.numbers.lastEntry(place, b, cid.length + 1, from.length, 0, cid.length);
  }
}

test("a room's newest id is found by its sender and its cid, each to the last byte", () => {
  const ids = new Ids();
  for (let place = 0; place < 3; place++) ids.numbers.begin(place);
  expect(ids.entry(0, "alice", "a1")).toBe(-1);
  ids.note(0, 0, "alice", "a1");
  ids.note(2, 9, "bob", "a1");
  expect(ids.entry(0, "alice", "a1")).toBe(0);
  expect(ids.entry(2, "bob", "a1")).toBe(9);
  expect(ids.entry(1, "alice", "a1")).toBe(-1);
  // The same bytes with the border elsewhere, another sender, another cid, another length.
  expect(ids.entry(0, "alicea", "1")).toBe(-1);
  expect(ids.entry(0, "alicf", "a1")).toBe(-1);
  expect(ids.entry(0, "alice", "b1")).toBe(-1);
  expect(ids.entry(0, "alice", "a12")).toBe(-1);
  ids.note(0, 12, "alice", "a2");
  expect(ids.entry(0, "alice", "a1")).toBe(-1);
  expect(ids.entry(0, "alice", "a2")).toBe(12);
});

test("an id that is too long to be kept is not found, and neither is the one before it", () => {
  const ids = new Ids();
  ids.numbers.begin(0);
  ids.note(0, 1, "alice", "c".repeat(57));
  expect(ids.entry(0, "alice", "c".repeat(57))).toBe(1);
  ids.note(0, 2, "alice", "c".repeat(58));
  expect(ids.entry(0, "alice", "c".repeat(58))).toBe(-1);
  expect(ids.entry(0, "alice", "c".repeat(57))).toBe(-1);
});

test("rooms keep their numbers while more come, and a place that is given again begins anew", () => {
  const ids = new Ids();
  const all = new Aggregates("00112233445566778899aabbccddeeff" as ClusterId, boundsOf(defaultLimits), 7);
  const rooms = Array.from({ length: 1_000 }, (_, place) => {
    ids.numbers.begin(place);
    ids.note(place, place + 7, `u${place}`, `c${place}`);
    const room = all.addRoom(bytesOf(`r${place}`));
    Object.assign(room, { head: place, floor: place, lastTs: place + 2 ** 40, openFirst: place, openBytes: place });
    return room;
  });
  for (const [place, room] of rooms.entries()) {
    const numbers = { head: place, first: 1, floor: place, lastTs: place + 2 ** 40, openFirst: place };
    expect(room).toMatchObject({ ...numbers, openBytes: place });
    expect(ids.entry(place, `u${place}`, `c${place}`)).toBe(place + 7);
  }
  ids.numbers.begin(5);
  expect(ids.entry(5, "u5", "c5")).toBe(-1);
  // Room 0 has said nothing: it goes, another takes its place, and whoever still holds it does not read that one's numbers.
  const [gone] = rooms;
  all.close(gone!);
  const next = all.addRoom(bytesOf("next"));
  expect(next.place).toBe(gone!.place);
  next.head = 20;
  next.first = 3;
  expect(gone).toMatchObject({ head: 0, first: 1, lastTs: 2 ** 40 });
  gone!.head = 99;
  expect(next).toMatchObject({ head: 20, first: 3, lastTs: 0 });
  expect(rooms[1]!.head).toBe(1);
});
