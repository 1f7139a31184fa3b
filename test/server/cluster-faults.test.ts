import { expect, test } from "vitest";
import { type Cid, groupId, type NodeName, type RoomName } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { RequestId } from "../../src/protocol/schema.ts";
import { openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { caller, cluster, type Resident, Town } from "./town.ts";

const lobby = "lobby" as RoomName;
let lastId = 0;

function send(resident: Resident, cid: string): Promise<unknown> {
  lastId++;
  const frame = { t: "send", id: lastId as RequestId, room: lobby, cid: cid as Cid, body: `body of ${cid}` } as const;
  return resident.now.singleSends.send(caller("alice"), frame);
}

function cidsOf(resident: Resident): Promise<string[]> {
  const { now } = resident;
  const room = now.state.room(lobby)!;
  const page = { from: 1, to: room.head, direction: "up", itemsMax: 10_000, bytesMax: 10_000_000 } as const;
  return now.history.page(room, page).then((records) =>
    records.map(({ seq, bytes, offset }) => {
      const roomLength = bytes[offset + 42]!;
      const fromLength = bytes[offset + 43]!;
      const start = offset + 54 + roomLength + fromLength;
      return `${seq} ${Buffer.from(bytes.subarray(start, start + bytes[offset + 44]!)).toString()}`;
    }),
  );
}

test("a leader that is cut off says no_quorum within two seconds; what it had in its log makes way", async () => {
  const town = await Town.founded();
  await town.after("stored", send(town.of("n1"), "first"));
  town.partition(["n1"]);
  const before = town.scheduler.now();
  const lost = send(town.of("n1"), "of the minority");
  await expect(town.after("told", lost)).rejects.toMatchObject({ code: "no_quorum", definite: false });
  expect(town.scheduler.now() - before).toBeLessThanOrEqual(2_300);
  await town.until("the majority has a leader", () => town.leader !== null && town.leader.name !== "n1");
  await town.after("stored", send(town.leader!, "of the majority"));
  // The minority goes on reading what it has, and refuses to say what is newest.
  const asked = { t: "hist", id: 9 as RequestId, room: lobby, level: "linearizable" } as const;
  const refused = town.of("n1").now.requests.handle(caller("alice"), asked);
  await expect(town.after("told", refused)).rejects.toMatchObject({ code: "no_quorum" });
  const asOfThen = { ...asked, level: "local" } as const;
  const old = await town.after("answered", town.of("n1").now.requests.handle(caller("alice"), asOfThen));
  expect(old).toMatchObject({ head: 1 });
  expect((old as { ageMs?: number }).ageMs).toBeGreaterThan(500);
  const late = send(town.of("n1"), "late");
  await expect(town.after("told", late)).rejects.toMatchObject({ code: "no_quorum" });
  town.heal();
  await town.settled();
  for (const resident of town.residents) expect(await cidsOf(resident)).toEqual(["1 first", "2 of the majority"]);
  expect(new Set(town.hashes()).size).toBe(1);
});

test("a batch on its way to a leader that dies is given up, and its origin told that nobody knows", async () => {
  const town = await Town.founded();
  await town.after("stored", send(town.of("n2"), "first"));
  const lost = send(town.of("n2"), "on its way");
  town.kill(town.of("n1"));
  await expect(town.after("told", lost)).rejects.toMatchObject({ definite: false });
  await town.until("there is a leader", () => town.leader !== null);
  const again = await town.after("stored", send(town.of("n2"), "on its way"));
  expect(again).toMatchObject({ seq: 2 });
});

test("a read that must see everything does so on every server, also while messages are on their way", async () => {
  const town = await Town.founded();
  for (let at = 1; at <= 5; at++) {
    await town.after("stored", send(town.of("n2"), `m${at}`));
    for (const resident of town.residents) {
      const asked = { t: "hist", id: at as RequestId, room: lobby, level: "linearizable" } as const;
      const answer = await town.after("answered", resident.now.requests.handle(caller("alice"), asked));
      expect(answer).toMatchObject({ head: at });
    }
  }
});

test("a leader that stops hands over first: nobody waits for an election", async () => {
  const town = await Town.founded();
  const alice = town.client("alice");
  await town.after("stored", alice.room("lobby").send("one"));
  const before = town.scheduler.now();
  await town.after("stopped", town.of("n1").now.stop(1_000));
  expect(["n2", "n3"].filter((name) => town.of(name).now.driver.leads)).toHaveLength(1);
  town.kill(town.of("n1"));
  await town.until("another leads", () => town.leader !== null);
  expect(town.scheduler.now() - before).toBeLessThan(500);
  expect(await town.after("stored", alice.room("lobby").send("two"))).toMatchObject({ seq: 2 });
});

test("the leadership is handed to whom an operator names", async () => {
  const town = await Town.founded();
  await town.after("handed over", town.of("n1").now.transfer("n3" as NodeName));
  await town.until("n3 leads", () => town.leader?.name === "n3");
  await expect(town.after("refused", town.of("n1").now.transfer(null))).rejects.toMatchObject({ code: "no_quorum" });
  expect(await town.after("stored", send(town.of("n1"), "x"))).toMatchObject({ seq: 1, leader: "n3", node: "n1" });
});

test("a wiped server comes back as another life, and takes the place of its former one", async () => {
  const town = await Town.founded();
  await town.after("stored", send(town.of("n2"), "first"));
  const wiped = town.of("n2");
  town.wipe(wiped);
  await town.after("stored", send(town.of("n3"), "second"));
  town.restart(wiped);
  await town.until("its new life votes", () =>
    (town.leader?.now.driver.engine.members ?? []).every(
      ({ replica, role }) => role === "voter" && (!replica.startsWith("n2") || replica.endsWith("2")),
    ),
  );
  await town.settled();
  expect(town.voters.sort()).toEqual(["n1", "n2", "n3"]);
  expect(new Set(town.hashes()).size).toBe(1);
});

test("a member is taken out, and the rest goes on without it", async () => {
  const town = await Town.founded();
  await town.after("removed", town.of("n1").now.cluster!.remove("n3" as NodeName));
  expect(town.voters.sort()).toEqual(["n1", "n2"]);
  town.kill(town.of("n3"));
  expect(await town.after("stored", send(town.of("n2"), "x"))).toMatchObject({ seq: 1 });
});

test("chunks that three servers build of one log have one root", async () => {
  const limits = { chunkBytes: 8 * 1024, unsealedBytesMax: 64 * 1024 };
  const town = await Town.founded({ limits });
  for (let at = 1; at <= 400; at++) await town.after("stored", send(town.residents[at % 3]!, `message number ${at}`));
  await town.settled();
  await town.rest(2_000);
  const roots: string[] = [];
  for (const { disk } of town.residents) {
    const copy = openDisk(disk.fileSystem.durableCopy());
    const chunks = await openChunkStore({
      disk: copy,
      cluster,
      group: groupId(0),
    });
    const footers = await Promise.all(chunks.list().map(({ chunk }) => chunks.footer(chunk)));
    roots.push(footers.map(({ root }) => Buffer.from(root).toString("hex")).join(" "));
  }
  expect(roots[0]!.split(" ").length).toBeGreaterThan(2);
  expect(new Set(roots).size).toBe(1);
});

/** A few people keep talking on all servers while these are killed, cut off, frozen and lose power. */
async function life(seed: number): Promise<void> {
  const limits = seed % 2 === 0 ? { chunkBytes: 8 * 1024, unsealedBytesMax: 64 * 1024 } : {};
  const town = await Town.founded({ seed, limits, servers: seed % 3 === 0 ? 5 : 3 });
  const random = seededRandom(seed);
  const people = [1, 2, 3].map((at) => town.client(`user${at}`));
  const acknowledged = new Map<string, number>();
  const sent: Promise<unknown>[] = [];
  let number = 0;
  for (let round = 0; round < 12; round++) {
    for (const chat of people) {
      for (let at = 0; at < 5; at++) {
        const body = `message ${++number}`;
        sent.push(Promise.resolve(chat.room("lobby").send(body)).then((stored) => acknowledged.set(body, stored.seq!)));
      }
    }
    await town.rest(random.whole(400));
    const victim = town.residents[random.whole(town.residents.length)]!;
    switch (random.whole(5)) {
      case 0:
        if (victim.runs) town.kill(victim);
        break;
      case 1:
        if (victim.runs) town.powerLoss(victim);
        break;
      case 2:
        town.partition([victim.name]);
        break;
      case 3:
        victim.host.pause(random.whole(3_000));
        break;
      default:
        break;
    }
    await town.rest(random.whole(2_500));
    town.heal();
    for (const resident of town.residents) if (!resident.host.alive) town.restart(resident);
  }
  town.heal();
  await town.after("everything is acknowledged", Promise.all(sent), 60_000);
  await town.until("everybody runs", () => town.residents.every(({ runs }) => runs));
  await town.settled();
  expect(new Set(town.hashes()).size, `seed ${seed}`).toBe(1);
  expect(acknowledged.size).toBe(number);
  expect(new Set(acknowledged.values()).size).toBe(number);
  expect(town.of("n1").now.state.room("lobby")?.head).toBe(number);
}

test("whatever happens to servers, what was acknowledged is there once, and all replicas are equal", async () => {
  for (let seed = 1; seed <= 12; seed++) await life(seed);
}, 60_000);
