import { expect, test } from "vitest";
import type { ClusterId } from "../../src/base/ids.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { Aggregates } from "../../src/rooms/aggregates.ts";
import type { Room } from "../../src/rooms/room.ts";
import { boundsOf } from "../../src/rooms/setting.ts";
import { RoomRates } from "../../src/server/room-rates.ts";

const town = (): Aggregates =>
  new Aggregates("00112233445566778899aabbccddeeff" as ClusterId, boundsOf(defaultLimits), 7);
const added = (all: Aggregates, name: string): Room => all.addRoom(new TextEncoder().encode(name));

/** How many find room at this moment, ten at most. */
function taken(rates: RoomRates, room: Room, now: number): number {
  let count = 0;
  while (count < 10 && rates.waitMs(room, now) === 0) {
    rates.take(room);
    count++;
  }
  return count;
}

test("each room has a second's worth at once, and as much again in a second, whatever the others do", () => {
  const all = town();
  const rates = new RoomRates({ roomSendsPerSecondMax: 4 });
  const rooms = Array.from({ length: 500 }, (_, i) => added(all, `r${i}`));
  for (const room of rooms) expect(taken(rates, room, 100)).toBe(4);
  for (const room of rooms) expect(rates.waitMs(room, 100)).toBe(250);
  // When it was told to come there is room for one; a minute later for no more than a second's worth.
  expect(taken(rates, rooms[3]!, 350)).toBe(1);
  expect(taken(rates, rooms[3]!, 60_000)).toBe(4);
  expect(taken(rates, rooms[499]!, 350)).toBe(1);
  // What came to nothing may come again; an earlier moment gives nothing.
  rates.giveBack(rooms[499]!);
  expect(taken(rates, rooms[499]!, 300)).toBe(1);
});

test("a room that is given another's place begins with a second's worth of its own", () => {
  const all = town();
  const rates = new RoomRates({ roomSendsPerSecondMax: 2 });
  const gone = added(all, "gone");
  expect(taken(rates, gone, 0)).toBe(2);
  all.close(gone);
  const next = added(all, "next");
  expect(next.place).toBe(gone.place);
  expect(taken(rates, next, 0)).toBe(2);
  // What the one before had under way is not the next one's.
  rates.giveBack(gone);
  expect(taken(rates, next, 0)).toBe(0);
});
