import { expect, test } from "vitest";
import type { RoomName, Seq } from "../../src/base/ids.ts";
import { sealReasons } from "../../src/rooms/seal.ts";
import { operate } from "../../src/server/operator.ts";
import { ServerLife } from "./server-life.ts";
import { acts, beginnings, lateEvening } from "./server-story.ts";

test("a chunk that retention removed is not missed at the next start", async () => {
  const lives = await beginnings();
  const life = lives.at(-1)!;
  const chunksOf = (day: string): string[] => [...life.fileSystem.files().keys()].filter((file) => file.includes(day));
  expect(chunksOf("history/2026-11-23").length).toBeGreaterThan(0);

  // The snapshot at hand when it is killed is older than the removal: only the log behind it tells that the chunk went.
  const { play, start } = acts.at(-1)!;
  await play(life);
  expect(chunksOf("history/2026-11-23")).toEqual([]);
  await life.start(start);
  await life.check();
  await life.stop();
});

test("a chunk is written again each time most of it was removed, and only then", async () => {
  const life = new ServerLife({
    seed: 5,
    wall: lateEvening,
    limits: { chunkBytes: 24 * 1024, unsealedBytesMax: 64 * 1024 },
  });
  await life.start();
  const lobby = "lobby" as RoomName;
  for (let n = 1; n <= 64; n++) await life.send("alice", { room: lobby, cid: `c${n}`, body: `message ${n}` });
  life.server.driver.seal(sealReasons.full);
  await life.advance(100);
  await life.sealed();
  const sizeOf = (): number => {
    const chunks = [...life.fileSystem.files()].filter(([file]) => file.startsWith("history/"));
    expect(chunks.length).toBe(1);
    return chunks[0]![1].length;
  };
  const generation = (): number => life.server.state.chunk(1)!.generation;
  const trim = async (first: number): Promise<void> => {
    await life.until(operate(life.server, { type: "trim", room: lobby, first: first as Seq }));
    // Two looks of retention: one writes what it finds, the next must find nothing.
    await life.advance(70_000);
    await life.sealed();
  };
  const sizes = [sizeOf()];
  // Half of it is left, not less.
  await trim(33);
  expect([generation(), sizeOf()]).toEqual([0, sizes[0]]);
  for (const [first, generations] of [
    [40, 1],
    // Most of what it held once is gone, but not of what it holds now.
    [48, 1],
    [55, 2],
    [63, 3],
  ] as const) {
    await trim(first);
    expect(generation(), `first ${first}`).toBe(generations);
    sizes.push(sizeOf());
  }
  expect(sizes.toSorted((a, b) => b - a)).toEqual(sizes);
  const before = await life.ask("bob", { t: "hist", room: lobby, after: 0 });
  expect(before).toMatchObject({ first: 63, items: [{ seq: 63 }, { seq: 64 }] });
  life.crash("lost");
  await life.start();
  expect([generation(), (await life.ask("alice", { t: "hist", room: lobby, after: 0 }))["items"]]).toEqual([
    3,
    before["items"],
  ]);
  expect(sizeOf()).toBe(sizes.at(-1));
  await life.stop();
});
