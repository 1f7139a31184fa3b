import { expect, test } from "vitest";

import type { ClusterId } from "../../src/base/ids.ts";
import { Aggregates } from "../../src/rooms/aggregates.ts";
import { boundsOf } from "../../src/rooms/setting.ts";
import { defaultLimits } from "../../src/base/limits.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const cluster = "00112233445566778899aabbccddeeff" as ClusterId;

test("rooms are found by their names, one after the other and again and again, also by names one of which begins the other", () => {
  const all = new Aggregates(cluster, boundsOf(defaultLimits), 7);
  const names = ["a", "ab", "abc", ...Array.from({ length: 500 }, (_, i) => `room-${i}`)];
  for (const name of names) expect(all.addRoom(text(name)).name).toBe(name);
  for (const name of [...names, ...names.flatMap((one) => [one, one])]) {
    const bytes = text(`..${name}..`);
    expect(all.findRoom(bytes, 2, bytes.length - 4)?.name).toBe(name);
  }
  for (const name of ["", "b", "abcd", "room-500"]) expect(all.findRoom(text(name), 0, name.length)).toBeUndefined();
});

test("who looks for a room reads no other room", () => {
  const all = new Aggregates(cluster, boundsOf(defaultLimits), 7);
  const rooms = ["alpha", "gamma"].map((name) => all.addRoom(text(name)));
  let asked = 0;
  for (const room of rooms) {
    const { nameBytes } = room;
    Object.defineProperty(room, "nameBytes", {
      get: () => {
        asked++;
        return nameBytes;
      },
    });
  }
  for (let i = 0; i < 100; i++) expect(all.findRoom(text(["alpha", "gamma"][i % 2]!), 0, 5)).toBe(rooms[i % 2]);
  expect(asked).toBe(0);
});
