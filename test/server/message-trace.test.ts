import { expect, test } from "vitest";
import type { RoomName } from "../../src/base/ids.ts";
import { sealReasons } from "../../src/rooms/seal.ts";
import { type MessageTrace, traceMessage } from "../../src/server/message-trace.ts";
import { Town, type Resident } from "./town.ts";

const lobby = "lobby" as RoomName;

function traced(town: Town, resident: Resident, cid: string, named = false): Promise<MessageTrace> {
  const { node, clock, memory, driver, proposals, recent: entries, history } = resident.now;
  const sources = { node, clock, memory, applier: driver.applier, proposals, entries, history };
  const place = named ? { room: lobby, from: "alice" } : { room: null, from: null };
  return town.after("traced", traceMessage(sources, { cid, ...place }));
}

const stepsOf = (trace: MessageTrace): string[] => trace.messages[0]!.steps.map(({ step }) => step);

test("a message's way is told by every server, and only where it was sent from its beginning", async () => {
  const town = await Town.founded();
  const alice = town.client("alice", ["n2"]);
  const bob = town.client("bob", ["n3"]);
  const reading = bob.room("lobby").messages({ after: 0 })[Symbol.asyncIterator]();
  await town.after("stored", alice.room("lobby").send("hello", { cid: "where-am-i" }));
  await town.after("read", reading.next());
  await town.settled();
  const [leader, taker, reader] = [
    await traced(town, town.of("n1"), "where-am-i"),
    await traced(town, town.of("n2"), "where-am-i"),
    await traced(town, town.of("n3"), "where-am-i"),
  ];
  expect(leader.messages).toMatchObject([
    { room: "lobby", from: "alice", state: "stored", seq: 1, messagesInEntry: 1 },
  ]);
  expect(stepsOf(leader)).toEqual(["append", "flush", "commit", "deliver"]);
  expect(stepsOf(taker)).toEqual(["send", "append", "flush", "commit", "deliver"]);
  expect(stepsOf(reader)).toEqual(["append", "flush", "commit", "deliver"]);
  for (const { messages } of [taker, reader]) {
    const times = messages[0]!.steps.map(({ at }) => at);
    expect(times).toEqual([...times].sort((one, other) => one - other));
    expect(messages[0]!.entry).toBe(leader.messages[0]!.entry);
  }
  expect(await traced(town, town.of("n1"), "nobody-sent-this")).toMatchObject({ messages: [], searched: 1 });
});

test("a message that waits says for what", async () => {
  const town = await Town.founded();
  const alice = town.client("alice", ["n1"]);
  await town.after("stored", alice.room("lobby").send("hello"));
  const waiting = alice.room("lobby").send("hello?", { cid: "waits" });
  await town.until("it is in the log of its leader", () => {
    const { driver } = town.of("n1").now;
    return driver.lastIndex > driver.applier.state.appliedIndex;
  });
  for (const name of ["n2", "n3"]) town.kill(town.of(name));
  const inLog = await traced(town, town.of("n1"), "waits");
  expect(inLog.messages).toMatchObject([{ state: "in-log", seq: null, from: "alice" }]);
  expect(stepsOf(inLog).slice(0, 2)).toEqual(["send", "append"]);
  for (const name of ["n2", "n3"]) town.restart(town.of(name));
  await town.after("stored", waiting);
  expect((await traced(town, town.of("n1"), "waits")).messages).toMatchObject([{ state: "stored", seq: 2 }]);
});

test("a message that left memory is found in the room that is named, without the times that are not kept", async () => {
  const town = await Town.founded();
  const alice = town.client("alice", ["n1"]);
  await town.after("stored", alice.room("lobby").send("long ago", { cid: "long-ago" }));
  const { now } = town.of("n1");
  expect(now.proposals.seal(sealReasons.day)).toBe(true);
  await town.until("its chunk is durable", () => now.chunkCount === 1 && now.memory.unsealedBytes < 100);
  expect((await traced(town, town.of("n1"), "long-ago")).messages).toEqual([]);
  const found = await traced(town, town.of("n1"), "long-ago", true);
  expect(found.messages).toMatchObject([
    { state: "stored", seq: 1, room: "lobby", from: "alice", entry: null, steps: [] },
  ]);
});
