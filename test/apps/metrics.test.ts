import { expect, test } from "vitest";
import { serverMetrics } from "../../src/apps/cli/metrics.ts";
import { startTestServer } from "../server/server-world.ts";

test("every value of the first metrics is a number, and each is there at most once", async () => {
  const { server } = await startTestServer();
  const text = await serverMetrics(server)();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  expect(lines.some((line) => line.startsWith("synod_ready{"))).toBe(true);
  for (const line of lines) expect(line).toMatch(/^[a-z0-9_]+(\{[^}]*\})? -?[0-9][0-9.e+-]*$/u);
  expect(new Set(lines.map((line) => line.slice(0, line.lastIndexOf(" ")))).size).toBe(lines.length);
  await server.stop(0);
});
