import { expect, test } from "vitest";
import type { Cid, RoomName } from "../../src/base/ids.ts";
import type { RequestId } from "../../src/protocol/schema.ts";
import { Town, caller } from "./town.ts";

const lobby = "lobby" as RoomName;

test("an empty directory joins, catches up and votes; everybody is equal", async () => {
  const town = await Town.founded();
  expect(town.voters.sort()).toEqual(["n1", "n2", "n3"]);
  expect(new Set(town.hashes()).size).toBe(1);
  expect(town.leader?.name).toBe("n1");
});

test("a message sent to a follower is stored by all, and answered with who leads", async () => {
  const town = await Town.founded();
  const alice = town.client("alice", ["n3"]);
  const stored = await town.after("stored", alice.room("lobby").send("hello"));
  expect(stored).toMatchObject({ seq: 1, dup: false });
  await town.settled();
  expect(new Set(town.hashes()).size).toBe(1);
  for (const { now } of town.residents) expect(now.state.room("lobby")?.head).toBe(1);
  const frame = { t: "send", id: 1 as RequestId, room: lobby, cid: "c1" as Cid, body: "again" } as const;
  const answer = await town.after("answered", town.of("n2").now.singleSends.send(caller("bob"), frame));
  expect(answer).toMatchObject({ of: "send", seq: 2, leader: "n1", node: "n2" });
});

test("the leader is killed: another leads within two seconds, and nothing that was acknowledged is lost", async () => {
  const town = await Town.founded();
  const alice = town.client("alice", ["n2", "n3"]);
  const room = alice.room("lobby");
  for (let at = 1; at <= 20; at++) await town.after("stored", room.send(`before ${at}`));
  const before = town.scheduler.now();
  town.kill(town.of("n1"));
  const during = room.send("during");
  const stored = await town.after("stored by the next leader", during);
  expect(stored.seq).toBe(21);
  expect(town.scheduler.now() - before).toBeLessThan(2_000);
  // It comes back, and is told what it missed from the others' journals.
  for (let at = 1; at <= 20; at++) await town.after("stored", room.send(`after ${at}`));
  town.restart(town.of("n1"));
  await town.until("n1 runs", () => town.of("n1").runs);
  await town.settled();
  expect(new Set(town.hashes()).size).toBe(1);
  expect(town.of("n1").now.state.room("lobby")?.head).toBe(41);
});
