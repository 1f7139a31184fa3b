import { expect, test } from "vitest";
import type { Clock } from "../../src/base/clock.ts";
import { type Millis, millis } from "../../src/base/units.ts";
import { nodeClock } from "../../src/platform/node/node-clock.ts";
import type { Server } from "../../src/server/server.ts";
import { statusOf } from "../../src/server/status.ts";
import { turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

/** Who of these was told of a frame like this, since they were last asked. */
function told(clients: Readonly<Record<string, TestClient>>, t: string): string[] {
  const names = Object.entries(clients).filter(([, { frames }]) => frames.some((frame) => frame.t === t));
  for (const { frames } of Object.values(clients)) frames.length = 0;
  return names.map(([name]) => name);
}

/** A room, its maker, and two more who read it; one of them on two devices. */
async function hall(server: Server, members: number): Promise<Record<string, TestClient>> {
  const owner = await TestClient.open(server, "owner");
  const clients: Record<string, TestClient> = { owner };
  for (const [name, user] of [
    ["bob", "bob"],
    ["carol", "carol"],
    ["bob's other", "bob"],
  ] as const) {
    clients[name] = await TestClient.open(server, user);
  }
  await owner.ask({ t: "join", room: "hall" });
  for (let i = 1; i < members; i++) {
    const member = await TestClient.open(server, `m${i}`);
    await member.ask({ t: "join", room: "hall" });
    member.hangUp();
  }
  for (const client of Object.values(clients)) await client.ask({ t: "sub", room: "hall", after: 0 });
  await owner.ask({ t: "send", room: "hall", cid: "1", body: "x" });
  await owner.ask({ t: "send", room: "hall", cid: "2", body: "x" });
  await turns();
  told(clients, "");
  return clients;
}

test("among few, all who read a room are told who is there, who types and who has read", async () => {
  const { server } = await startTestServer();
  const clients = await hall(server, 100);
  expect(await clients["owner"]!.ask({ t: "presence", room: "hall" })).toMatchObject({
    users: ["bob", "carol", "owner"],
  });
  clients["bob"]!.say({ t: "typing", room: "hall" });
  await turns();
  expect(told(clients, "typing")).toEqual(["owner", "carol", "bob's other"]);
  await clients["bob"]!.ask({ t: "read", room: "hall", seq: 1 });
  expect(told(clients, "read")).toEqual(["owner", "bob", "carol", "bob's other"]);
  await server.stop(0);
});

test("in rooms of more than 100 members marks and typing go to their owner only, and presence is a count", async () => {
  const { server } = await startTestServer();
  const clients = await hall(server, 101);
  const presence = await clients["owner"]!.ask({ t: "presence", room: "hall" });
  expect([presence["count"], presence["users"]]).toEqual([3, undefined]);
  clients["bob"]!.say({ t: "typing", room: "hall" });
  await turns();
  expect(told(clients, "typing")).toEqual(["bob's other"]);
  await clients["bob"]!.ask({ t: "read", room: "hall", seq: 1 });
  expect(told(clients, "read")).toEqual(["bob", "bob's other"]);
  await server.stop(0);
});

test("with more than 100 readers it is the same, and typing is still told to one's own devices", async () => {
  const { server } = await startTestServer();
  const clients = await hall(server, 1);
  for (let i = 0; i < 100; i++) {
    const reader = await TestClient.open(server, `r${i}`);
    await reader.ask({ t: "sub", room: "hall", after: "latest" });
  }
  clients["bob"]!.say({ t: "typing", room: "hall" });
  await turns();
  expect(told(clients, "typing")).toEqual(["bob's other"]);
  await server.stop(0);
});

test("what one session types in one room is told once a second, other sessions and rooms apart", async () => {
  const machine = nodeClock();
  let stopped: Millis | null = null;
  const clock: Clock = { ...machine, now: () => stopped ?? machine.now() };
  const { server } = await startTestServer({ clock });
  const { owner, bob, "bob's other": other } = await hall(server, 2);
  await owner!.ask({ t: "join", room: "yard" });
  await owner!.ask({ t: "sub", room: "yard", after: 0 });
  // From here on time stands where the test puts it.
  const start = machine.now();
  const types = async (at: number, who: TestClient, room: string): Promise<number> => {
    stopped = millis(start + at);
    owner!.frames.length = 0;
    who.say({ t: "typing", room });
    await turns();
    return owner!.frames.filter((frame) => frame.t === "typing" && frame.room === room).length;
  };
  expect(await types(0, bob!, "hall")).toBe(1);
  expect(await types(0, bob!, "hall")).toBe(0);
  expect(await types(999, bob!, "hall")).toBe(0);
  // Another device, and another room, have a second of their own.
  expect(await types(999, other!, "hall")).toBe(1);
  expect(await types(999, bob!, "yard")).toBe(1);
  // What was not told has put nothing off.
  expect(await types(1_000, bob!, "hall")).toBe(1);
  expect(await types(1_998, bob!, "yard")).toBe(0);
  expect(await types(1_999, bob!, "hall")).toBe(0);
  expect(await types(2_001, bob!, "hall")).toBe(1);
  stopped = null;
  await server.stop(0);
});

test("in a direct room the other hears of a mark without having subscribed, on every device; nobody else does", async () => {
  const { server } = await startTestServer();
  const clients: Record<string, TestClient> = {};
  for (const [name, user] of [
    ["alice", "alice"],
    ["bob", "bob"],
    ["bob's other", "bob"],
    ["eve", "eve"],
  ] as const) {
    clients[name] = await TestClient.open(server, user);
  }
  await clients["bob"]!.ask({ t: "send", to: "alice", cid: "1", body: "psst" });
  await turns();
  told(clients, "");
  await clients["alice"]!.ask({ t: "read", room: "@alice,bob", seq: 1 });
  expect(told(clients, "read")).toEqual(["alice", "bob", "bob's other"]);
  await server.stop(0);
});

test("status tells how many bytes the sealed chunks hold", async () => {
  const { server } = await startTestServer();
  const facts = { version: "0", rss: 0, fds: 0, uptimeMs: 0, loopDelayP99Ms: 0 };
  const bytes = (): number => (statusOf(server, facts) as { storage: { chunkBytes: number } }).storage.chunkBytes;
  expect(bytes()).toBe(0);
  const alice = await TestClient.open(server, "alice");
  for (let i = 0; i < 10; i++) await alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: "x".repeat(1_000) });
  server.proposals.seal(1);
  await turns();
  expect(bytes()).toBeGreaterThan(10_000);
  await server.stop(0);
});
