import { expect, test } from "vitest";
import { groupId } from "../../src/base/ids.ts";
import { History } from "../../src/server/history.ts";
import type { Server } from "../../src/server/server.ts";
import type { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import type { PieceRef } from "../../src/storage/chunk/chunk-layout.ts";
import { type ChunkStore, openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const limits = { chunkBytes: 384 * 1024, unsealedBytesMax: 4 << 20, idWindowEntries: 16, ringSlots: 8 };
const rooms = ["left", "right"] as const;
const perRoom = 60;

/** The sealed files as they stand, read by nobody's cache. */
const storeOf = (server: Server, fileSystem: SimFileSystem): Promise<ChunkStore> =>
  openChunkStore({
    disk: openDisk(fileSystem),
    cluster: server.state.cluster,
    group: groupId(0),
    readOnly: true,
  });

/** A server on which two rooms were talked in by turns, and were sealed; one message is larger than a block. */
async function talkedServer() {
  const { server, fileSystem } = await startTestServer({ limits });
  const alice = await TestClient.open(server, "alice");
  for (const room of rooms) await alice.ask({ t: "join", room });
  for (let n = 1; n <= perRoom; n++) {
    for (const room of rooms) {
      const bytes = room === "left" && n === 8 ? 65_500 : 5_000;
      const sent = { t: "send", room, cid: `c${n}`, body: `${n} `.padEnd(bytes, "x") };
      expect(await alice.ask(sent)).toMatchObject({ t: "ok", seq: n });
    }
  }
  await server.sealer.idle();
  return { server, fileSystem, alice };
}

const seqsFrom = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const itemSeqs = (answer: Record<string, unknown>): number[] =>
  (answer["items"] as { seq: number }[]).map(({ seq }) => seq);

interface Walk {
  given: number[];
  /** What could not be given: first and last seq. */
  refused: [number, number][];
}

async function subscribed(server: Server, room: string): Promise<Walk> {
  const reader = await TestClient.open(server, "sam");
  await reader.ask({ t: "sub", room, after: 0 });
  await reader.next((frame) => frame.t === "caught-up");
  const refused = reader.frames.flatMap((frame): [number, number][] => {
    if (frame.t !== "gap") return [];
    expect(frame.reason).toBe("damaged");
    return [[frame.from, frame.to]];
  });
  return { given: reader.messages(room).map((text) => Number(text.split(" ")[0])), refused };
}

/** All pages in one direction; what is refused is passed as its answer says. */
async function paged(server: Server, room: string, direction: "after" | "before"): Promise<Walk> {
  const reader = await TestClient.open(server, "pat");
  const walk: Walk = { given: [], refused: [] };
  let place = direction === "after" ? 0 : perRoom + 1;
  for (;;) {
    const answer = await reader.ask({ t: "hist", room, limit: 7, [direction]: place });
    if (answer.t === "err") {
      expect(answer).toMatchObject({ code: "unavailable", definite: true, retryable: false });
      const [from, to] = [answer["from"] as number, answer["to"] as number];
      walk.refused.push([from, to]);
      place = direction === "after" ? to : from;
      continue;
    }
    const seqs = itemSeqs(answer);
    if (seqs.length === 0) return walk;
    if (direction === "after") walk.given.push(...seqs);
    else walk.given.unshift(...seqs);
    place = direction === "after" ? seqs.at(-1)! : seqs[0]!;
  }
}

/** A page around each place holds that place, and ends before what is damaged on both sides; or names what it begins with. */
async function around(server: Server, room: string, lost: readonly number[]): Promise<void> {
  const reader = await TestClient.open(server, "ada");
  for (const place of seqsFrom(1, perRoom)) {
    const answer = await reader.ask({ t: "hist", room, limit: 6, around: place });
    const below = seqsFrom(Math.max(1, place - 3), place - 1);
    if (lost.includes(place)) {
      expect(answer).toMatchObject({ code: "unavailable", from: place, to: lost.at(-1) });
    } else {
      const lowest = below.findLast((seq) => lost.includes(seq)) ?? below[0]! - 1;
      const sound = below.filter((seq) => seq > lowest);
      const above: number[] = [];
      for (let seq = place; seq <= perRoom && !lost.includes(seq) && sound.length + above.length < 6; seq++)
        above.push(seq);
      expect([place, itemSeqs(answer)]).toEqual([place, [...sound, ...above]]);
    }
  }
}

/** Ids in the damaged block are not said to be absent; all others, and those that nobody used, are answered. */
async function lookedUp(server: Server, room: string, lost: readonly number[]): Promise<void> {
  const reader = await TestClient.open(server, "lou");
  for (const n of seqsFrom(1, perRoom)) {
    const answer = await reader.ask({ t: "lookup", room, from: "alice", cid: `c${n}` });
    if (!lost.includes(n)) expect(answer).toMatchObject({ t: "ok", seq: n });
    else expect(answer).toMatchObject({ t: "err", code: "unavailable", retryable: false });
    // One that the id window knows is asked for by its seq.
    if (lost.includes(n) && answer["from"] !== n) expect(answer).toMatchObject({ from: lost[0], to: lost.at(-1) });
  }
  expect(await reader.ask({ t: "lookup", room, from: "alice", cid: "never" })).toMatchObject({ t: "ok", seq: null });
}

test("one damaged block of a chunk costs its own messages: every other is given, from either side and around", async () => {
  const { server, fileSystem } = await talkedServer();
  await server.stop(0);
  const [chunk] = (await storeOf(server, fileSystem)).list();
  const { blocks } = await (await storeOf(server, fileSystem)).footer(chunk!.chunk);
  expect(blocks.length).toBeGreaterThan(4);
  let shared = 0;
  for (const block of blocks) {
    const flipped = (ref: PieceRef): void => fileSystem.flip(chunk!.file, ref.offset + 1_000, 3);
    flipped(block);
    const damage = await (await storeOf(server, fileSystem)).verify(chunk!.chunk);
    if (damage.length > 1) shared++;
    const again = await startTestServer({ limits, fileSystem });
    for (const room of rooms) {
      const seqs = damage.find((one) => one.room === room)?.seqs;
      const lost = seqs === undefined ? [] : seqsFrom(...seqs);
      const given = seqsFrom(1, perRoom).filter((seq) => !lost.includes(seq));
      const wanted = { given, refused: seqs === undefined ? [] : [[...seqs]] };
      expect(await subscribed(again.server, room)).toEqual(wanted);
      expect(await paged(again.server, room, "after")).toEqual(wanted);
      expect(await paged(again.server, room, "before")).toEqual(wanted);
      await around(again.server, room, lost);
      await lookedUp(again.server, room, lost);
    }
    await again.server.stop(0);
    flipped(block);
  }
  // Rooms stand one behind the other, so one block has the end of the first and the beginning of the second.
  expect(shared).toBe(1);
});

test("what is in memory too is given from there: the messages that can't be given end before it", async () => {
  const { server, fileSystem, alice } = await talkedServer();
  const last = (await storeOf(server, fileSystem)).list().at(-1)!;
  const { blocks } = await (await storeOf(server, fileSystem)).footer(last.chunk);
  for (const block of blocks) fileSystem.flip(last.file, block.offset + 1_000, 3);
  let inBoth = 0;
  for (const room of rooms) {
    const { runs } = server.state.room(room)!;
    const run = runs.ofChunk(last.chunk);
    const { memoryFirst } = server.memory.live(server.state.room(room)!);
    inBoth += Math.max(0, runs.lastSeq(run) - memoryFirst + 1);
    const { given } = await subscribed(server, room);
    expect(given).toEqual(seqsFrom(1, perRoom).filter((seq) => seq < runs.firstSeq(run) || seq >= memoryFirst));
    const page = await alice.ask({ t: "hist", room, after: memoryFirst - 2 });
    expect(page).toMatchObject({ code: "unavailable", from: memoryFirst - 1, to: memoryFirst - 1 });
  }
  expect(inBoth).toBeGreaterThan(0);
  await server.stop(0);
});

test("a page that runs into a damaged block is whole when another server has the chunk, and ends there when none has", async () => {
  const { server, fileSystem } = await talkedServer();
  const chunks = await storeOf(server, fileSystem);
  const [chunk] = chunks.list();
  const { blocks } = await chunks.footer(chunk!.chunk);
  const flip = (): void => fileSystem.flip(chunk!.file, blocks[2]!.offset + 1_000, 3);
  flip();
  const [damage] = await chunks.verify(chunk!.chunk);
  const [room, before] = [damage!.room!, damage!.seqs![0] - 1];
  const asked: string[] = [];
  let isToBeHad = false;
  const others = {
    isLacking: () => asked.includes("damaged") && !isToBeHad,
    damaged: () => void asked.push("damaged"),
    fetch: (): Promise<boolean> => {
      asked.push("fetch");
      if (isToBeHad) flip();
      return Promise.resolve(isToBeHad);
    },
  };
  const { memory, damagedReads } = server;
  const history = new History({ memory, chunks, damagedReads, others });
  const wanted = { from: 1, to: perRoom, direction: "up", itemsMax: perRoom, bytesMax: 10_000_000 } as const;
  const page = async (): Promise<number[]> =>
    (await history.page(server.state.room(room)!, wanted)).map(({ seq }) => seq);

  expect(await page()).toEqual(seqsFrom(1, before));
  expect([asked, damagedReads.reads]).toEqual([["damaged", "fetch"], 1]);
  isToBeHad = true;
  expect(await page()).toEqual(seqsFrom(1, perRoom));
  expect([asked.length, damagedReads.reads]).toEqual([4, 1]);
  await server.stop(0);
});

test("each damaged block is a place of its own: told once, whoever reads it and from wherever", async () => {
  const { server, fileSystem, alice } = await talkedServer();
  const [chunk] = (await storeOf(server, fileSystem)).list();
  const { blocks } = await (await storeOf(server, fileSystem)).footer(chunk!.chunk);
  // Two of the one room, side by side, and one of the other that is not in memory.
  for (const at of [0, 1, -2]) fileSystem.flip(chunk!.file, blocks.at(at)!.offset + 1_000, 3);
  for (let i = 0; i < 2; i++) for (const room of rooms) await subscribed(server, room);
  await alice.ask({ t: "hist", room: "left", after: 0 });
  await alice.ask({ t: "lookup", room: "left", cid: "c1" });
  expect(server.damagedReads.places).toBe(3);
  await server.stop(0);
});
