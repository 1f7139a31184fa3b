import { expect, test, vi } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import type { Server } from "../../src/server/server.ts";
import { HeldDisk, turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

/** So small that what was sent a moment ago is in a chunk only: ids left the window, rings are short. */
const tiny = {
  bodyBytesMax: 512,
  frameBytesMax: 8 * 1024,
  entryBytesMax: 1024,
  segmentBytes: 10 * 1024,
  chunkBytes: 4 * 1024,
  unsealedBytesMax: 1 << 20,
  idWindowEntries: 8,
  ringSlots: 8,
  ringBytesMax: 1024,
};

const upTo = (count: number, from = 1): number[] => Array.from({ length: count }, (_, i) => from + i);
const seqsOf = (client: TestClient): number[] => client.messages("lobby").map((text) => Number(text.split(" ")[0]));

async function sendAll(client: TestClient, numbers: readonly number[]): Promise<void> {
  for (const n of numbers) {
    await client.ask({ t: "send", room: "lobby", cid: `c${n}`, body: `${n} ${"x".repeat(200)}`, since: n - 1 });
  }
}

/** A server whose disk can be held, and alice, whose `count` messages are in chunks. */
async function sealedRoom(count: number): Promise<{ disk: HeldDisk; server: Server; alice: TestClient }> {
  const disk = new HeldDisk();
  const { server } = await startTestServer({ fileSystem: disk.fileSystem, limits: tiny });
  const alice = await TestClient.open(server, "alice");
  await sendAll(alice, upTo(count));
  await server.sealer.idle();
  return { disk, server, alice };
}

test("nobody hears of a message before it is on the disk", async () => {
  const disk = new HeldDisk();
  const { server } = await startTestServer({ fileSystem: disk.fileSystem });
  const alice = await TestClient.open(server, "alice");
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  await turns();

  disk.hold(["writeDurable"], "journal/");
  const answer = alice.ask({ t: "send", room: "lobby", cid: "c1", body: "hello" });
  await turns();
  expect(disk.waiting).toBe(1);
  // Neither the sender nor the reader; and who asks for history finds nothing.
  expect(seqsOf(bob)).toEqual([]);
  expect(await Promise.race([answer, alice.ask({ t: "ping" })])).toMatchObject({ t: "pong" });
  expect(await bob.ask({ t: "hist", room: "lobby" })).toMatchObject({ head: 0, items: [] });

  disk.letGo();
  expect(await answer).toMatchObject({ t: "ok", seq: 1 });
  await turns();
  expect(seqsOf(bob)).toEqual([1]);
  await server.stop(0);
});

test("whoever comes back is given what follows the last seq it had, and not that one again", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  await sendAll(alice, upTo(6));
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 4 });
  await bob.next((frame) => frame.t === "caught-up");
  await sendAll(alice, [7]);
  expect(seqsOf(bob)).toEqual([5, 6, 7]);
  await server.stop(0);
});

test("caught-up says where history ended, also to who asks for what comes behind a place that nobody has reached", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  await sendAll(alice, upTo(6));
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 8, atLeast: 0 });
  expect(await bob.next((frame) => frame.t === "caught-up")).toMatchObject({ seq: 6 });
  await sendAll(alice, [7, 8, 9]);
  expect(seqsOf(bob)).toEqual([9]);
  await server.stop(0);
});

test("read marks of one user in one room are merged: the highest stays, in whatever order they come", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  await sendAll(alice, upTo(6));
  const marked = [3, 6, 5, 4].map((seq) => alice.ask({ t: "read", room: "lobby", seq }));
  for (const answer of await Promise.all(marked)) expect(answer).toMatchObject({ t: "ok" });
  expect(server.state.room("lobby")?.readMark("alice")).toBe(6);
  await server.stop(0);
});

test("what is sent while a reader is given history comes behind it, without gap or repeat", async () => {
  const { disk, server, alice } = await sealedRoom(40);
  // The reader begins with what is in chunks only, and the disk takes its time.
  disk.hold(["read"], "history/");
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  await turns();
  expect(disk.waiting).toBeGreaterThan(0);
  await sendAll(alice, upTo(3, 41));
  expect(seqsOf(bob)).toEqual([]);

  disk.letGo();
  await bob.next((frame) => frame.t === "caught-up");
  await sendAll(alice, [44]);
  expect(seqsOf(bob)).toEqual(upTo(44));
  await server.stop(0);
});

test("a send waits behind an earlier one of its connection that needs a look into the chunks", async () => {
  const { disk, server, alice } = await sealedRoom(40);
  disk.hold(["read"], "history/");
  const head = 40;
  // The age of the first id is not told, so it is looked for in every chunk; the second is known to be fresh.
  const first = alice.ask({ t: "send", room: "lobby", cid: "first", body: "1" });
  const second = alice.ask({ t: "send", room: "lobby", cid: "second", body: "2", since: head });
  await turns();
  expect(disk.waiting).toBeGreaterThan(0);
  disk.letGo();
  expect([await first, await second].map(({ seq }) => seq)).toEqual([41, 42]);
  await server.stop(0);
});

test("messages can be read while their chunk is being written", async () => {
  const disk = new HeldDisk();
  const { server } = await startTestServer({ fileSystem: disk.fileSystem, limits: { ...tiny, chunkBytes: 8 * 1024 } });
  const alice = await TestClient.open(server, "alice");
  disk.hold(["write"], "history/");
  await sendAll(alice, upTo(40));
  await vi.waitFor(() => {
    expect(disk.waiting).toBe(1);
  });
  expect(server.state.lastChunk).toBeGreaterThan(0);
  const page = await alice.ask({ t: "hist", room: "lobby", after: 0, limit: 40 });
  expect(page).toMatchObject({ t: "ok", head: 40, more: false });
  expect((page["items"] as { seq: number }[]).map(({ seq }) => seq)).toEqual(upTo(40));
  disk.letGo();
  await server.stop(0);
});

test("the journal keeps what only it holds until the snapshot behind it is durable", async () => {
  const disk = new HeldDisk();
  // A chunk holds more than a segment, so that a seal lets go of whole segments.
  const limits = { ...tiny, chunkBytes: 20 * 1024 };
  const { server } = await startTestServer({ fileSystem: disk.fileSystem, limits });
  const alice = await TestClient.open(server, "alice");
  await sendAll(alice, upTo(80));
  await server.sealer.idle();
  disk.hold(["write"], "snapshot/");
  // Sealed again, and the journal goes on through several segments; the snapshot is still on its way.
  await sendAll(alice, upTo(140, 81));
  await vi.waitFor(() => {
    expect(disk.waiting).toBe(1);
  });
  disk.fileSystem.crash(seededRandom(1), "lost");
  disk.letGo();
  await server.upkeep.stop();

  const again = await startTestServer({ fileSystem: disk.fileSystem, limits });
  const bob = await TestClient.open(again.server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  await bob.next((frame) => frame.t === "caught-up");
  expect(seqsOf(bob)).toEqual(upTo(220));
  await again.server.stop(0);
});
