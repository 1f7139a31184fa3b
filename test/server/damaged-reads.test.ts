import { expect, test } from "vitest";
import type { Millis } from "../../src/base/units.ts";
import { nodeClock } from "../../src/platform/node/node-clock.ts";
import type { Room } from "../../src/rooms/room.ts";
import { DamagedReads } from "../../src/server/damaged-reads.ts";
import { HistoryDamaged } from "../../src/server/history-damaged.ts";
import { fileName } from "../../src/storage/disk.ts";
import { ChunkDamage } from "../../src/storage/chunk/chunk-damage.ts";
import { quietLog } from "./server-world.ts";

const cause = new ChunkDamage({ file: fileName("history"), offset: 0, length: 0, what: "a test" });
const damaged = new HistoryDamaged({ from: 1, to: 9 }, "a test", cause);

test("the log is bounded: 20 lines a minute, the rest as a number; a place is told again after an hour", () => {
  let now = 0;
  const lines: Record<string, unknown>[] = [];
  const clock = { ...nodeClock(), now: () => now as Millis };
  const log = { ...quietLog, error: (_event: string, fields?: object) => lines.push({ ...fields }) };
  const reads = new DamagedReads({ clock, log });
  const meet = (name: string): void => reads.met({ name } as Room, 7, damaged);

  for (let i = 0; i < 50; i++) meet(`r${i}`);
  expect([lines.length, reads.reads, reads.places]).toEqual([20, 50, 50]);
  now = 60_000;
  meet("another");
  expect(lines[20]).toMatchObject({ room: "another", from: 1, to: 9, unsaid: 30 });
  meet("r0");
  expect([lines.length, reads.reads, reads.places]).toEqual([21, 52, 51]);
  now = 3_600_000;
  meet("r0");
  expect([lines.length, reads.places]).toEqual([22, 51]);
  expect(lines[21]).not.toHaveProperty("unsaid");
});
