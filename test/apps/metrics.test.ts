import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../../scripts/repository.mjs";
import { serverMetrics } from "../../src/apps/cli/metrics.ts";
import { startTestServer, TestClient } from "../server/server-world.ts";

test("every value of the first metrics is a number, and each is there at most once", async () => {
  const { server } = await startTestServer();
  const text = await serverMetrics(server)();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  expect(lines.some((line) => line.startsWith("synod_ready{"))).toBe(true);
  for (const line of lines) expect(line).toMatch(/^[a-z0-9_]+(\{[^}]*\})? -?[0-9][0-9.e+-]*$/u);
  expect(new Set(lines.map((line) => line.slice(0, line.lastIndexOf(" ")))).size).toBe(lines.length);
  await server.stop(0);
});

test("every metric is in docs/operations.md, and none that is not told", async () => {
  const { server } = await startTestServer();
  const text = await serverMetrics(server)();
  await server.stop(0);
  const names = (from: string, pattern: RegExp): string[] => [
    ...new Set([...from.matchAll(pattern)].map(([, name]) => name!).sort()),
  ];
  const told = names(text, /^# TYPE (synod_\w+) /gm);
  expect(told.length).toBeGreaterThan(20);
  expect(names(readFileSync(join(root, "docs/operations.md"), "utf8"), /`(synod_\w+)`/g)).toEqual(told);
});

test("what was stored and how long flushes took is told", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  for (const cid of ["a", "b", "c"]) await alice.ask({ t: "send", room: "lobby", cid, body: cid });
  const text = await serverMetrics(server)();
  await server.stop(0);
  expect(text).toMatch(/^synod_messages_stored_total\{.*\} 3$/m);
  expect(text).toMatch(/^synod_flush_p99_seconds\{.*\} \d/m);
});
