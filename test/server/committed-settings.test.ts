import { expect, test } from "vitest";
import { statusOf } from "../../src/server/status.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const facts = { version: "0", rss: 0, fds: 0, uptimeMs: 0, loopDelayP99Ms: 0 };

test("what a start does not give stays as it was committed; what it gives is committed, and status tells it", async () => {
  const given = { timeZone: "Europe/Berlin", retentionDays: 30 };
  const first = await startTestServer({ settings: given, limits: { roomsMax: 2 } });
  expect(statusOf(first.server, facts)).toMatchObject({ groups: [{ ...given, bounds: { roomsMax: 2 } }] });
  await first.server.stop(0);

  // No flag, and no configuration file.
  const nothing = { timeZone: null, retentionDays: null, keptBounds: ["roomsMax"] } as const;
  const { fileSystem } = first;
  const second = await startTestServer({ settings: nothing, fileSystem });
  expect(statusOf(second.server, facts)).toMatchObject({ groups: [{ ...given, bounds: { roomsMax: 2 } }] });
  const alice = await TestClient.open(second.server, "alice");
  for (const room of ["one", "two"]) expect(await alice.ask({ t: "join", room })).toMatchObject({ t: "ok" });
  expect(await alice.ask({ t: "join", room: "three" })).toMatchObject({ t: "err", code: "too_large" });
  await second.server.stop(0);

  // Zero and UTC can be asked for.
  const third = await startTestServer({ settings: { timeZone: "UTC", retentionDays: 0 }, fileSystem });
  expect(statusOf(third.server, facts)).toMatchObject({ groups: [{ timeZone: "UTC", retentionDays: 0 }] });
  await third.server.stop(0);
});

test("a new server to which nothing is given begins with UTC, keeps for ever, and has the configured bounds", async () => {
  const settings = { timeZone: null, retentionDays: null, keptBounds: ["roomsMax"] } as const;
  const { server } = await startTestServer({ settings, limits: { roomsMax: 7 } });
  const committed = { timeZone: "UTC", retentionDays: 0, bounds: { roomsMax: 7 } };
  expect(statusOf(server, facts)).toMatchObject({ groups: [committed] });
  await server.stop(0);
});
