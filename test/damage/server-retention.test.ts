import { expect, test } from "vitest";
import type { RoomName, Seq } from "../../src/base/ids.ts";
import { sealReasons } from "../../src/rooms/seal.ts";
import { knownChunks, neededChunks } from "../../src/server/needed-chunks.ts";
import { operate } from "../../src/server/operator.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { verifyDirectory } from "../../src/storage/verify.ts";
import { ServerLife } from "./server-life.ts";
import { acts, beginnings, lateEvening } from "./server-story.ts";

/** What `synod verify` says of the directory as it lies there. */
async function verified(life: ServerLife): Promise<string[]> {
  const { damage } = await verifyDirectory({
    disk: openDisk(life.fileSystem.copy().attach()),
    segmentBytes: life.limits.segmentBytes,
    neededChunks: ({ state }, entries) => neededChunks(state, entries),
    knownChunks: ({ state }, entries) => knownChunks(state, entries),
  });
  return damage.map(({ what }) => what);
}

/** A started server whose chunks are small, so that a few messages fill one. */
async function smallChunks(seed: number): Promise<ServerLife> {
  const limits = { chunkBytes: 24 * 1024, unsealedBytesMax: 64 * 1024 };
  const life = new ServerLife({ seed, wall: lateEvening, limits });
  await life.start();
  return life;
}

test("a chunk that retention removed is not missed at the next start", async () => {
  const lives = await beginnings();
  const life = lives.at(-1)!;
  const chunksOf = (day: string): string[] => [...life.fileSystem.files().keys()].filter((file) => file.includes(day));
  expect(chunksOf("history/2026-11-23").length).toBeGreaterThan(0);

  // The snapshot at hand when it is killed is older than the removal: only the log behind it tells that the chunk went.
  const { play, start } = acts.at(-1)!;
  await play(life);
  expect(chunksOf("history/2026-11-23")).toEqual([]);
  // Nor is the folder of that day.
  expect(await openDisk(life.fileSystem.copy().attach()).folders("history")).not.toContain("2026-11-23");
  expect(await verified(life)).toEqual([]);
  await life.start(start);
  await life.check();
  await life.stop();
});

test("a chunk is written again each time most of it was removed, and only then", async () => {
  const life = await smallChunks(5);
  const lobby = "lobby" as RoomName;
  for (let n = 1; n <= 64; n++) await life.send("alice", { room: lobby, cid: `c${n}`, body: `message ${n}` });
  life.server.proposals.seal(sealReasons.full);
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

test("verify misses no chunk that retention emptied behind the snapshot, and none but those", async () => {
  const life = await smallChunks(6);
  const say = async (room: string, from: number, to: number): Promise<void> => {
    for (let n = from; n <= to; n++) await life.send("alice", { room, cid: `${room}${n}`, body: `message ${n}` });
  };
  const seal = async (): Promise<void> => {
    life.server.proposals.seal(sealReasons.full);
    await life.advance(100);
    await life.sealed();
  };
  const trim = (room: string, first: number): Promise<void> =>
    life.until(operate(life.server, { type: "trim", room: room as RoomName, first: first as Seq }));
  await life.ask("alice", { t: "join", room: "ops" });
  // One chunk of each room, then two in which both are.
  await say("lobby", 1, 9);
  await seal();
  await say("ops", 1, 9);
  await seal();
  for (const to of [12, 15]) {
    await say("lobby", to - 2, to);
    await say("ops", to - 2, to);
    await seal();
  }
  // Behind the newest snapshot a hole opens between the chunks that are left, and stays one after a kill.
  await trim("ops", 10);
  await life.sealed();
  const chunks = (): string[] => [...life.fileSystem.files().keys()].filter((file) => file.startsWith("history/"));
  expect(chunks().map((file) => file.slice(-15, -9))).toEqual(["000001", "000003", "000004"]);
  life.crash("lost");
  expect(await verified(life)).toEqual([]);
  // What is needed and gone is said, the newest as well as one in the middle.
  for (const [at, what] of [
    [0, "chunk 1 of group 0 is missing"],
    [1, "chunk 3 of group 0 is missing"],
    [2, "chunk 4 of group 0 is missing"],
  ] as const) {
    const fork = life.fork(at);
    fork.fileSystem.lose(chunks()[at]!);
    expect(await verified(fork)).toEqual([what]);
  }
  await life.start();
  await life.stop();
  expect(await verified(life)).toEqual([]);
});

test("a chunk that was sealed behind the snapshot is not missed: the journal has it", async () => {
  const life = await smallChunks(7);
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 5; n++) await life.send("alice", { room: "lobby", cid: `${round}.${n}`, body: "x" });
    life.server.proposals.seal(sealReasons.full);
    await life.advance(100);
    await life.sealed();
  }
  life.crash("lost");
  const files = [...life.fileSystem.files().keys()];
  const newest = (folder: string): string => files.filter((file) => file.startsWith(folder)).at(-1)!;
  // As it is when the process is killed between the seal and its chunk.
  life.fileSystem.lose(newest("snapshot/"));
  life.fileSystem.lose(newest("history/"));
  expect(await verified(life)).toEqual([]);
  await life.start();
  await life.check();
  await life.stop();
});
