import { expect, test } from "vitest";
import type { ChunkNumber } from "../../src/storage/chunk/chunk-layout.ts";
import { openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { type Cid, groupId, type NodeName, type RoomName } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { timestamp } from "../../src/base/units.ts";
import { replicaId } from "../../src/consensus/replica.ts";
import { removeServer } from "../../src/server/cluster-operations.ts";
import { serversOf } from "../../src/server/cluster-status.ts";
import { beginNewLife } from "../../src/storage/data-directory.ts";
import { caller, cluster, type Resident, Town } from "./town.ts";

/** Chunks of some dozens of messages, and a journal that keeps hardly more than it must. */
const small = {
  bodyBytesMax: 2_048,
  entryBytesMax: 16 * 1024,
  segmentBytes: 64 * 1024,
  chunkBytes: 32 * 1024,
  unsealedBytesMax: 128 * 1024,
  journalKeptBytes: 1,
  ringSlots: 64,
  ringBytesMax: 32 * 1024,
} as const;

async function talk(town: Town, count: number, servers: readonly string[]): Promise<void> {
  const room = town.client("zoe", servers).room("lobby");
  for (let at = 0; at < count; at += 20) {
    const sent = Array.from({ length: Math.min(20, count - at) }, (_, n) =>
      room.send(`${at + n} ${"x".repeat(1_000)}`),
    );
    await town.after("stored", Promise.all(sent));
  }
}

async function chunksOf({ disk }: Resident): Promise<Map<ChunkNumber, string>> {
  const store = await openChunkStore({ disk: disk.attach(), cluster, group: groupId(0), readOnly: true });
  const roots = new Map<ChunkNumber, string>();
  for (const { chunk } of store.list()) roots.set(chunk, Buffer.from((await store.footer(chunk)).root).toString("hex"));
  return roots;
}

async function everythingIsEverywhere(town: Town): Promise<void> {
  // Who takes a snapshot does not run for a moment.
  await town.until("everybody has everything", () => {
    const last = town.leader?.now.driver.lastIndex;
    return town.residents.every(({ runs, server }) => {
      if (!runs || server?.state.appliedIndex !== last) return false;
      return server?.cluster?.catchUp.progress.lacking === 0 && server.sealer.backlog === 0;
    });
  });
  expect(new Set(town.hashes()).size).toBe(1);
  const [first, ...others] = await town.after("roots", Promise.all(town.residents.map(chunksOf)));
  expect(first!.size).toBeGreaterThan(2);
  for (const other of others) expect(other).toEqual(first);
}

test("a server that missed more than the journals keep begins with a snapshot, and gets every chunk", async () => {
  const heard: string[] = [];
  const town = await Town.founded({ limits: small, heard: (line) => heard.push(line) });
  await talk(town, 100, ["n1"]);
  const away = town.of("n3");
  town.kill(away);
  await talk(town, 300, ["n1", "n2"]);
  town.restart(away);
  await town.until("n3 runs", () => away.runs);
  await everythingIsEverywhere(town);
  expect(heard.some((line) => line.includes(" n3 snapshot.taken"))).toBe(true);
  expect(away.now.state.room("lobby")?.head).toBe(400);
  // It is one of those who decide: another may be lost now.
  town.kill(town.of("n2"));
  await talk(town, 20, ["n3"]);
  expect(away.now.state.room("lobby")?.head).toBe(420);
});

test("a server whose disk was wiped gets all that the others have, as another member", async () => {
  const town = await Town.founded({ limits: small });
  await talk(town, 200, ["n1"]);
  const wiped = town.of("n2");
  town.wipe(wiped);
  await talk(town, 100, ["n1", "n3"]);
  town.restart(wiped);
  await town.until("n2 runs", () => wiped.runs);
  await town.until("n2 votes", () => town.voters.includes("n2"));
  await everythingIsEverywhere(town);
});

test("messages of a chunk that is not here yet are read all the same, and a page has no hole", async () => {
  const town = await Town.founded({ limits: small });
  await talk(town, 200, ["n1"]);
  const wiped = town.of("n2");
  town.wipe(wiped);
  town.restart(wiped);
  await town.until("n2 has a snapshot", () => wiped.runs && (wiped.now.state.room("lobby")?.head ?? 0) >= 100);
  const room = wiped.now.state.room("lobby")!;
  const wanted = { from: 1, to: 20, direction: "up", itemsMax: 20, bytesMax: 100_000 } as const;
  const page = await town.after("read", wiped.now.history.page(room, wanted));
  expect(page.map(({ seq }) => seq)).toEqual(Array.from({ length: page.length }, (_, at) => at + 1));
  expect(page.length).toBeGreaterThan(5);
});

test("an id in a chunk that is not here yet is found all the same: nothing is stored twice", async () => {
  const town = await Town.founded({ limits: { ...small, idWindowEntries: 16 } });
  const again = { t: "send", room: "lobby" as RoomName, cid: "once" as Cid, body: "hello" } as const;
  const first = await town.after("stored", town.of("n1").now.singleSends.send(caller("zoe"), { ...again, id: 1 }));
  expect(first).toMatchObject({ of: "send", seq: 1, dup: false });
  await talk(town, 200, ["n1"]);
  const wiped = town.of("n2");
  town.wipe(wiped);
  town.restart(wiped);
  await town.until("n2 has a snapshot", () => wiped.runs && (wiped.now.state.room("lobby")?.head ?? 0) >= 100);
  const second = await town.after("answered", wiped.now.singleSends.send(caller("zoe"), { ...again, id: 2 }));
  expect(second).toMatchObject({ of: "send", seq: 1, dup: true });
});

test("a chunk that rots is had from another server as soon as somebody reads it", async () => {
  const heard: string[] = [];
  const town = await Town.founded({ limits: small, heard: (line) => heard.push(line) });
  await talk(town, 200, ["n1"]);
  await everythingIsEverywhere(town);
  const { disk, now } = town.of("n3");
  const file = [...disk.fileSystem.files().keys()].find((name) => name.startsWith("history/"))!;
  for (let offset = 200; offset < 4_000; offset += 300) disk.fileSystem.flip(file, offset, 1);
  const wanted = { from: 1, to: 5, direction: "up", itemsMax: 5, bytesMax: 100_000 } as const;
  const page = await town.after("read", now.history.page(now.state.room("lobby")!, wanted));
  expect(page.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
  expect(heard.some((line) => line.includes("n3 catch-up.taken"))).toBe(true);
  await everythingIsEverywhere(town);
});

test("a server that begins another life keeps its chunks, and gets the rest as another member", async () => {
  const heard: string[] = [];
  const town = await Town.founded({ limits: small, heard: (line) => heard.push(line) });
  await talk(town, 300, ["n1"]);
  await everythingIsEverywhere(town);
  const reborn = town.of("n3");
  const { incarnation } = reborn.now;
  const chunks = reborn.now.chunkCount;
  town.kill(reborn);
  reborn.host.start();
  const before = { cluster, incarnation, node: "n3" as NodeName, groups: 1, created: timestamp(1), joined: true };
  const ground = { disk: reborn.disk.attach(), random: seededRandom(5), now: timestamp(2) };
  await town.after("another life", beginNewLife(before, ground));
  reborn.incarnation++;
  town.boot(reborn);
  await town.until("n3 votes", () => town.voters.filter((name) => name === "n3").length === 1 && reborn.runs);
  await everythingIsEverywhere(town);
  expect(reborn.now.incarnation).not.toBe(incarnation);
  expect(reborn.now.chunkCount).toBeGreaterThanOrEqual(chunks);
  expect(heard.filter((line) => line.includes("n3 snapshot.taken"))).toHaveLength(1);
  expect(heard.filter((line) => line.includes("n3 catch-up.taken") && line.includes('"chunk"'))).toEqual([]);
  // Once it has started, a journal that goes missing is damage again.
  expect([...reborn.disk.fileSystem.files().keys()]).not.toContain("newborn");
});

test("a server whose state has become another one stops, and says so; the others go on", async () => {
  const heard: string[] = [];
  const town = await Town.founded({ limits: small, heard: (line) => heard.push(line) });
  await talk(town, 200, ["n1"]);
  await everythingIsEverywhere(town);
  expect(heard.filter((line) => line.includes("state.differs"))).toEqual([]);
  // Memory that is not what the log made of it.
  const wrong = town.of("n3");
  wrong.now.state.room("lobby")!.visitorMarks.set("nobody", 3);
  await talk(town, 100, ["n1", "n2"]);
  await town.until("n3 has stopped", () => !wrong.runs);
  expect(heard.some((line) => / n3 state\.differs .*"isOutvoted":true/.test(line))).toBe(true);
  expect(heard.some((line) => / n[12] state\.differs .*"isOutvoted":true/.test(line))).toBe(false);
  await talk(town, 20, ["n1", "n2"]);
  await town.settled();
  expect(town.of("n2").now.state.room("lobby")?.head).toBe(320);
});

test("a server that was wiped votes again when it has all that was sealed, and not before", async () => {
  const town = await Town.founded({ limits: small });
  await talk(town, 300, ["n1"]);
  await everythingIsEverywhere(town);
  const wiped = town.of("n3");
  town.wipe(wiped);
  // It has the log long before it has what was sealed.
  for (const from of ["n1", "n2"]) town.network.shape({ bytesPerSecond: 60_000 }, { from, to: "n3" });
  town.restart(wiped);
  const life = (): string | undefined => {
    const members = town.leader?.now.driver.engine.members ?? [];
    return members.find(({ replica }) => wiped.runs && replica === replicaId("n3" as NodeName, wiped.now.incarnation))
      ?.role;
  };
  let most = 0;
  await town.until("it votes", () => {
    const { lacking = 0 } = wiped.runs ? (wiped.now.cluster?.catchUp.progress ?? {}) : {};
    most = Math.max(most, lacking);
    if (lacking > 0) expect(life()).not.toBe("voter");
    return life() === "voter";
  });
  expect(most).toBeGreaterThan(2);
  await everythingIsEverywhere(town);
  // Seen by operators, of each server.
  const leader = town.leader!.now;
  await town.until("all have said so", () => serversOf(leader).every(({ lackingChunks }) => lackingChunks === 0));
});

test("a server that runs and is the only one with something sealed is not removed", async () => {
  const town = await Town.founded();
  const leader = town.leader!.now;
  const [kept, removed] = town.followers.map(({ name }) => name as NodeName) as [NodeName, NodeName];
  const { lacked } = leader.cluster!.catchUp;
  await town.until("all have said so", () => lacked.countOf(removed) === 0 && lacked.countOf(kept) === 0);
  lacked.own = { count: 1, chunks: new Set([7]) };
  lacked.heard(kept, lacked.own);
  await expect(removeServer(leader, removed)).rejects.toMatchObject({ code: "behind", definite: true });
  lacked.heard(kept, { count: 0, chunks: new Set() });
  await town.after("removed", removeServer(leader, removed));
  expect(town.voters).toHaveLength(2);
});

test("what is kept for servers that lag goes when the disk is nearly full, and they begin with a snapshot", async () => {
  const heard: string[] = [];
  const limits = { ...small, journalKeptBytes: 64 * 1024 * 1024, diskReserveBytes: 1_000_000 };
  const town = await Town.founded({ limits, heard: (line) => heard.push(line) });
  const away = town.of("n3");
  town.kill(away);
  await talk(town, 300, ["n1", "n2"]);
  await town.until("all is sealed", () => town.residents.every((one) => !one.runs || one.now.sealer.backlog === 0));
  const [first, second] = [town.of("n1"), town.of("n2")];
  expect(first.now.journal.stats().segments).toBeGreaterThan(4);
  for (const { disk } of [first, second]) {
    let used = 0;
    for (const bytes of disk.fileSystem.files().values()) used += bytes.length;
    disk.fileSystem.quotaBytes = used + 1_500_000;
  }
  await town.until("it is given back", () => [first, second].every(({ now }) => now.journal.stats().segments < 4));
  expect(heard.filter((line) => line.includes("journal.kept.no.more"))).toHaveLength(2);
  // Nothing is refused for it.
  await talk(town, 20, ["n1", "n2"]);
  expect(heard.filter((line) => line.includes("disk.full"))).toEqual([]);
  town.restart(away);
  await everythingIsEverywhere(town);
  expect(heard.some((line) => line.includes("n3 snapshot.taken"))).toBe(true);
});
