import { expect, test } from "vitest";
import { HeldDisk, turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

// The window holds the ids of the newest 16 messages only; all others are looked for in memory and in the chunks.
const limits = { chunkBytes: 4_096, unsealedBytesMax: 1 << 20, idWindowEntries: 16, ringSlots: 64 };
const count = 40;

/** A server that was started anew and reads the newest messages back into memory, as soon as the disk is let go. */
async function startedAnew() {
  const disk = new HeldDisk();
  const { fileSystem } = disk;
  const before = await startTestServer({ limits, fileSystem });
  const writer = await TestClient.open(before.server, "alice");
  for (let i = 1; i <= count; i++) {
    await writer.ask({ t: "send", room: "lobby", cid: `c${i}`, body: `m${i} ${"x".repeat(200)}` });
  }
  await before.server.sealer.idle();
  await before.server.stop(0);
  // The newest chunk is looked at by the start itself.
  const [oldest] = [...fileSystem.files().keys()].filter((file) => file.endsWith(".chunk")).sort();
  disk.hold(["read"], oldest!);
  const { server } = await startTestServer({ limits, fileSystem });
  const room = server.state.room("lobby")!;
  const alice = await TestClient.open(server, "alice");
  await turns();
  return { disk, server, room, live: server.memory.live(room), alice };
}

const again = (i: number) => ({ t: "send", room: "lobby", cid: `c${i}`, body: `m${i} ${"x".repeat(200)}` });

test("ids that were looked for before memory was filled are found when it is", async () => {
  const { disk, server, room, live, alice } = await startedAnew();
  const firstBefore = live.memoryFirst;
  expect(firstBefore).toBeGreaterThan(3);
  expect(disk.waiting).toBeGreaterThan(0);
  // It has to be looked for in a chunk; memory was looked through first, as far as it goes by now.
  const asked = alice.ask(again(1));
  await turns();
  disk.letGo();
  expect(await asked).toMatchObject({ t: "ok", seq: 1, dup: true });
  await turns();
  expect(live.memoryFirst).toBeLessThan(firstBefore);

  for (let i = 1; i <= count; i++) expect(await alice.ask(again(i))).toMatchObject({ t: "ok", seq: i, dup: true });
  for (let i = 1; i <= count; i++) {
    expect(await alice.ask({ t: "lookup", room: "lobby", cid: `c${i}` })).toMatchObject({ t: "ok", seq: i });
  }
  const other = await alice.ask({ t: "send", room: "lobby", cid: "c2", body: "something else" });
  expect(other).toMatchObject({ t: "err", code: "id_conflict" });
  // What names a message before itself is stored behind it.
  const behind = await alice.ask({ t: "send", room: "lobby", cid: "new", prev: "c2", body: "behind" });
  expect(behind).toMatchObject({ t: "ok", seq: count + 1 });
  expect(room.head).toBe(count + 1);
  await server.stop(0);
});
