import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { clusterStatus } from "../../src/apps/cli/cluster.ts";

const servers: Server[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const server of servers.splice(0)) await once(server.close(), "close");
});

const seen = (node: string, more: object): object => ({
  node,
  role: "voter",
  isLeader: false,
  isSelf: false,
  address: `127.0.0.1:${7440 + Number(node.slice(1))}`,
  state: "alive",
  link: "linked",
  matched: null,
  lagEntries: null,
  lackingChunks: 0,
  ...more,
});

/** The rows of servers that are printed for what a server tells of its cluster. */
async function rowsOf(told: readonly object[]): Promise<string[]> {
  const server = createServer((_, outgoing) => {
    const pace = { messagesPerSecond: 0, deliveriesPerSecond: 0, flushMs: null };
    const standing = { leader: "n1", term: 1, appliedIndex: 9, lastIndex: 9, topology: "leader", cluster: "c" };
    outgoing.writeHead(200, { "content-type": "application/json", connection: "close" });
    outgoing.end(JSON.stringify({ node: "n2", ready: { ok: true, reason: null }, ...standing, pace, servers: told }));
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  let output = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    output += String(text);
    return true;
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await clusterStatus({ url, data: null, tokenFile: null, json: false }, null);
  vi.restoreAllMocks();
  return output
    .split("\n")
    .filter((line) => /^ {2}n\d/.test(line))
    .map((line) => line.trim().replaceAll(/ {2,}/g, " | "));
}

test("the server that was asked has its row, also before it is a member", async () => {
  expect(await rowsOf([seen("n1", { isLeader: true }), seen("n3", { role: null })])).toEqual([
    "n1 | leader | alive | - | 127.0.0.1:7441",
    "n3 | listed | alive | - | 127.0.0.1:7443",
    "n2 | listed | here | at 9 | -",
  ]);
});

test("a leader says how far the others are; of one that was dead before it could be heard, nothing", async () => {
  const rows = await rowsOf([
    seen("n1", { state: "dead", matched: 0, lagEntries: 9 }),
    seen("n2", { isSelf: true, isLeader: true, state: "here" }),
    seen("n3", { matched: 7, lagEntries: 2 }),
    seen("n4", { role: "learner", matched: 0, lagEntries: 9 }),
  ]);
  expect(rows).toEqual([
    "n1 | voter | dead | - | 127.0.0.1:7441",
    "n2 | leader | here | at 9 | 127.0.0.1:7442",
    "n3 | voter | alive | at 7, lacks 2 entries | 127.0.0.1:7443",
    "n4 | learner | alive | at 0, lacks 9 entries | 127.0.0.1:7444",
  ]);
});
