import { expect, test } from "vitest";
import { serverMetrics } from "../../src/apps/cli/metrics.ts";
import type { Server } from "../../src/server/server.ts";
import { statusOf } from "../../src/server/status.ts";
import { HeldDisk, turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const facts = { version: "0", rss: 0, fds: 0, uptimeMs: 0, loopDelayP99Ms: 0 };
const ringsOf = (server: Server): unknown => (statusOf(server, facts) as { rings: unknown }).rings;

test("status and metrics tell how far a ring is in order and how far it is saved, while the disk does not answer", async () => {
  const disk = new HeldDisk();
  const { server } = await startTestServer({ fileSystem: disk.fileSystem });
  const alice = await TestClient.open(server, "alice");
  await alice.ask({ t: "send", room: "lobby", cid: "c1", body: "saved" });
  expect(ringsOf(server)).toEqual({ rooms: 1, head: 1, savePoint: 1, kept: 0, unsaved: [] });

  disk.hold(["writeDurable"], "journal/");
  const answers = ["c2", "c3", "c4"].map((cid) => alice.ask({ t: "send", room: "lobby", cid, body: "in order" }));
  await turns();
  const unsaved = [{ room: "lobby", head: 4, savePoint: 1 }];
  expect(ringsOf(server)).toEqual({ rooms: 1, head: 4, savePoint: 1, kept: 0, unsaved });
  const text = await serverMetrics(server)();
  expect(text).toContain('synod_ring_head{node="n1"} 4');
  expect(text).toContain('synod_ring_save_point{node="n1"} 1');
  // Nobody is shown what is beyond the save point.
  const reader = await TestClient.open(server, "bob");
  expect(await reader.ask({ t: "hist", room: "lobby" })).toMatchObject({ head: 1, items: [{ seq: 1 }] });

  disk.letGo();
  for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ t: "ok" });
  expect(ringsOf(server)).toEqual({ rooms: 1, head: 4, savePoint: 4, kept: 0, unsaved: [] });
  await server.stop(0);
});
