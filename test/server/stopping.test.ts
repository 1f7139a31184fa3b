import { expect, test, vi } from "vitest";
import type { Server } from "../../src/server/server.ts";
import { HeldDisk, turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

/** Stops a server whose disk does not answer yet, then lets it answer: nothing may be proposed any more. */
async function stopBeforeFlush(server: Server, disk: HeldDisk): Promise<void> {
  const stopped = server.stop(0);
  const proposed = vi.spyOn(server.journal, "appendEntry");
  await turns();
  disk.letGo();
  await stopped;
  await turns();
  expect(proposed).not.toHaveBeenCalled();
}

test("a stop in the middle of a direct message's first flush ends in good order, and both people know the room", async () => {
  const disk = new HeldDisk();
  const { server } = await startTestServer({ fileSystem: disk.fileSystem });
  const alice = await TestClient.open(server, "alice");
  disk.hold(["writeDurable"], "journal/");
  const answer = alice.ask({ t: "send", to: "bob", cid: "d1", body: "psst" });
  await turns();
  // What follows from it, that both are to be told of their room, is proposed once it is flushed: by then it is too late.
  await stopBeforeFlush(server, disk);
  expect(await answer).toMatchObject({ t: "ok", seq: 1 });

  const again = await startTestServer({ fileSystem: disk.fileSystem });
  const bob = await TestClient.open(again.server, "bob");
  // It is told when he comes, or a moment later, when that has been put in order.
  expect(await bob.next((frame) => frame.t === "room")).toMatchObject({ room: "@alice,bob", head: 1 });
  await again.server.stop(0);
});

test("a stop in the middle of the flush that fills a chunk ends in good order", async () => {
  const disk = new HeldDisk();
  const limits = { chunkBytes: 4 * 1024, unsealedBytesMax: 1 << 20 };
  const { server } = await startTestServer({ fileSystem: disk.fileSystem, limits });
  const alice = await TestClient.open(server, "alice");
  disk.hold(["writeDurable"], "journal/");
  const answer = alice.ask({ t: "send", room: "lobby", cid: "c1", body: "x".repeat(5_000) });
  await turns();
  await stopBeforeFlush(server, disk);
  expect(await answer).toMatchObject({ t: "ok", seq: 1 });

  const again = await startTestServer({ fileSystem: disk.fileSystem, limits });
  const bob = await TestClient.open(again.server, "bob");
  expect(await bob.ask({ t: "hist", room: "lobby" })).toMatchObject({ head: 1, items: [{ cid: "c1" }] });
  await again.server.stop(0);
});

test("once a stop has settled nothing looks at the disk any more", async () => {
  const disk = new HeldDisk();
  const { server } = await startTestServer({ fileSystem: disk.fileSystem });
  const alice = await TestClient.open(server, "alice");
  for (let n = 1; n <= 20; n++) await alice.ask({ t: "send", room: "lobby", cid: `c${n}`, body: "x" });
  disk.hold(["space"], "");
  // Upkeep looks once a second.
  while (disk.waiting === 0) await turns();
  const trimmed = server.trimmer
    .trim(server.state.room("lobby")!, 10)
    .catch((cause: unknown) => (cause as Error).message);
  let hasStopped = false;
  const stopped = server.stop(0).then(() => {
    hasStopped = true;
  });
  for (let n = 0; n < 20; n++) await turns();
  expect(hasStopped).toBe(false);
  disk.letGo();
  await stopped;
  expect(await trimmed).toContain("stopping");
  const { calls } = disk.fileSystem;
  for (let n = 0; n < 20; n++) await turns();
  expect(disk.fileSystem.calls).toBe(calls);
});
