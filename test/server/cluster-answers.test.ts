import { expect, test } from "vitest";
import { type Cid, logIndex, type RoomName } from "../../src/base/ids.ts";
import { millis } from "../../src/base/units.ts";
import type { RequestId } from "../../src/protocol/schema.ts";
import { Batch } from "../../src/server/batch.ts";
import { TestClient } from "./server-world.ts";
import { caller, type Resident, Town } from "./town.ts";

let lastId = 0;

function nextId(): RequestId {
  return ++lastId;
}

function send(resident: Resident, cid: string): Promise<unknown> {
  const frame = {
    t: "send",
    id: nextId(),
    room: "lobby" as RoomName,
    cid: cid as Cid,
    body: `body of ${cid}`,
  } as const;
  return resident.now.singleSends.send(caller("alice"), frame);
}

test("empty directories that were made to join never found a cluster of their own", async () => {
  const town = new Town();
  for (const name of ["n2", "n3"]) town.boot(town.of(name));
  await town.rest(10_000);
  expect(town.residents.map(({ server }) => server?.driver.engine.standing.term ?? 0)).toEqual([0, 0, 0]);
  // Nor do they once they have begun to hear of the log, and are started again.
  town.boot(town.of("n1"));
  await town.until("they have something of the log", () =>
    ["n2", "n3"].every((name) => (town.of(name).server?.driver.lastIndex ?? 0) > 0),
  );
  for (const resident of town.residents) town.kill(resident);
  for (const name of ["n2"]) town.restart(town.of(name));
  await town.rest(10_000);
  expect(town.of("n2").now.driver.leads).toBe(false);
});

test("a server that may be behind does not say that a room is not there", async () => {
  const town = await Town.founded();
  town.partition(["n3"]);
  const room = "made-elsewhere" as RoomName;
  const join = { t: "join", id: nextId(), room } as const;
  await town.after("made", town.of("n1").now.requests.handle(caller("alice"), join));
  // It can't know of the room, and can ask nobody.
  const page = { t: "hist", id: nextId(), room } as const;
  const asked = town.of("n3").now.requests.handle(caller("alice"), page);
  await expect(town.after("told", asked)).rejects.toMatchObject({ code: "no_quorum" });
  town.heal();
  const again = town.of("n3").now.requests.handle(caller("alice"), page);
  expect(await town.after("answered", again)).toMatchObject({ of: "hist", head: 0 });
  const nowhere = { ...page, room: "nowhere" as RoomName };
  const refused = town.of("n3").now.requests.handle(caller("alice"), nowhere);
  await expect(town.after("told", refused)).rejects.toMatchObject({ code: "not_found" });
});

test("what is said behind a join, without waiting for it, comes behind it on every server", async () => {
  const town = await Town.founded();
  for (const name of ["n1", "n2", "n3"]) {
    const room = `by-${name}`;
    const alice = await town.after("welcome", TestClient.open(town.of(name).now, "alice"));
    alice.say({ t: "join", id: 1, room });
    for (const id of [2, 3]) alice.say({ t: "send", id, room, cid: `${name}-${id}`, body: "x" });
    alice.say({ t: "sub", id: 4, room, after: 0 });
    alice.say({ t: "leave", id: 5, room });
    const answers = [1, 2, 3, 4, 5].map((id) => alice.next((frame) => "id" in frame && frame.id === id));
    const told = await town.after("answers", Promise.all(answers));
    expect(told).toMatchObject([{ of: "join" }, { seq: 1 }, { seq: 2 }, { of: "sub" }, { of: "done" }]);
  }
});

test("an edit of what a server does not have yet keeps its place before what is sent behind it", async () => {
  const town = await Town.founded();
  const elsewhere = await town.after("welcome", TestClient.open(town.of("n1").now, "alice"));
  await town.after("stored", elsewhere.ask({ t: "send", room: "lobby", cid: "a", body: "a" }));
  await town.settled();
  const lagging = await town.after("welcome", TestClient.open(town.of("n3").now, "alice"));
  town.partition(["n3"]);
  await town.after("stored", elsewhere.ask({ t: "send", room: "lobby", cid: "b", body: "b" }));
  town.heal();
  expect(town.of("n3").now.state.room("lobby")?.head).toBe(1);
  const sent = [
    lagging.ask({ t: "send", room: "lobby", cid: "c", body: "B", kind: "edit", ref: 2 }),
    lagging.ask({ t: "send", room: "lobby", cid: "d", body: "d" }),
  ];
  expect(await town.after("stored", Promise.all(sent))).toMatchObject([{ seq: 3 }, { seq: 4 }]);
});

test("who comes back is given what was said, and not what was said after it", async () => {
  const town = await Town.founded();
  town.partition(["n3"]);
  // By now nothing is sent to it any more: what it lacks is kept for it.
  await town.rest(1_000);
  for (let at = 1; at <= 50; at++) await town.after("stored", send(town.of("n1"), `while n3 is away ${at}`));
  town.heal();
  await town.settled();
  expect(new Set(town.hashes()).size).toBe(1);
  const room = town.of("n3").now.state.room("lobby")!;
  const page = { from: 1, to: 50, direction: "up", itemsMax: 50, bytesMax: 1_000_000 } as const;
  const records = await town.of("n3").now.history.page(room, page);
  const bodies = records.map(({ bytes, offset }, at) =>
    Buffer.from(bytes.subarray(offset, offset + 300)).includes(`body of while n3 is away ${at + 1}`),
  );
  expect(bodies).toEqual(Array.from({ length: 50 }, () => true));
});

test("a read on a follower waits until it has applied what the leader had committed", async () => {
  const town = await Town.founded();
  const follower = town.of("n3");
  let behind = 0;
  for (let at = 1; at <= 30; at++) {
    await town.after("stored", send(town.of("n1"), `m${at}`));
    if (follower.now.state.room("lobby")!.head < at) behind++;
    const page = { t: "hist", id: nextId(), room: "lobby" as RoomName, level: "linearizable" } as const;
    const answer = await town.after("answered", follower.now.requests.handle(caller("alice"), page));
    expect(answer).toMatchObject({ head: at });
  }
  expect(behind).toBeGreaterThan(0);
});

test("what is on its way to a leader that is lost is told at once, not after a time-out", async () => {
  const town = await Town.founded();
  await town.after("stored", send(town.of("n2"), "first"));
  const before = town.scheduler.now();
  const lost = send(town.of("n2"), "on its way");
  town.kill(town.of("n1"));
  await expect(town.after("told", lost)).rejects.toMatchObject({ code: "no_quorum", definite: false });
  expect(town.scheduler.now() - before).toBeLessThan(500);
});

test("while the leader hands over, whoever sends to another server only waits a little longer", async () => {
  const town = await Town.founded();
  const sent: Promise<unknown>[] = [];
  let count = 0;
  const sendSome = (): void => {
    if (++count > 60) return;
    sent.push(send(town.of("n2"), `m${count}`), send(town.of("n3"), `n${count}`));
    town.scheduler.after(millis(1), "send", sendSome);
  };
  sendSome();
  await town.rest(20);
  const stopped = town.of("n1").now.stop(1_000);
  await town.after("all are stored", Promise.all(sent));
  await town.after("stopped", stopped);
  await town.until("all were sent", () => count > 60);
  await town.after("all are stored", Promise.all(sent));
  expect(town.leader!.now.state.room("lobby")!.head).toBe(120);
});

test("what a leader took and nobody has any more is given up when the next one's first entry is there", async () => {
  const town = await Town.founded();
  const { applier, engine, lastIndex } = town.of("n2").now.driver;
  // The answer of n1 came, and the entry never did: nothing of this term will stand so far behind.
  applier.place(new Batch(), logIndex(lastIndex + 5), engine.standing.term);
  town.kill(town.of("n1"));
  await town.until("another leads, and has said so", () => town.leader !== null);
  await town.settled();
  expect(town.leader!.now.driver.lastIndex).toBeLessThan(lastIndex + 5);
  expect(applier.isAwaited).toBe(false);
});
