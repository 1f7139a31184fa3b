import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { freePorts } from "../../src/platform/node/free-ports.ts";

test("ports that are given can be had, each is another, and no system gives them to whoever names none", async () => {
  const ports = await freePorts(40);
  expect(new Set(ports).size).toBe(40);
  // The lowest that any of the systems we know begins at.
  expect(Math.max(...ports)).toBeLessThan(32_768);
  const servers = ports.map((port) => createServer().listen(port, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  // Those that somebody has are not given.
  const others = await freePorts(40);
  expect(others.filter((port) => ports.includes(port))).toEqual([]);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
});
