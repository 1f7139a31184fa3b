import { expect, test } from "vitest";
import { ServerLife } from "../damage/server-life.ts";
import { lateEvening } from "../damage/server-story.ts";

const minuteMs = 60_000;

const snapshotsOf = (life: ServerLife): string[] =>
  [...life.fileSystem.files().keys()].filter((file) => file.startsWith("snapshot/"));

test("midnight comes over a server where nobody talks: the day is sealed once, and then nothing is written until somebody writes", async () => {
  const life = new ServerLife({ seed: 2, wall: lateEvening });
  await life.start();
  for (let n = 1; n <= 3; n++) await life.send("alice", { room: "lobby", cid: `c${n}`, body: "good night" });
  const { state } = life.server;
  const before = { index: state.appliedIndex, chunk: state.lastChunk, day: state.lastDay };
  expect(state.openChunk.messages).toBe(3);

  await life.advance(minuteMs);
  await life.sealed();
  expect(state.lastChunk).toBe(before.chunk + 1);
  expect(state.chunk(state.lastChunk)).toMatchObject({ day: before.day, messages: 3 });
  expect(state.appliedIndex).toBe(before.index + 1);
  const snapshots = snapshotsOf(life);

  await life.advance(10 * minuteMs);
  await life.sealed();
  expect({ index: state.appliedIndex, chunk: state.lastChunk }).toEqual({
    index: before.index + 1,
    chunk: before.chunk + 1,
  });
  expect(snapshotsOf(life)).toEqual(snapshots);

  // The new day begins with its first message, which goes into a chunk of its own.
  await life.send("bob", { room: "lobby", cid: "c4", body: "good morning" });
  expect(state.lastDay).toBeGreaterThan(before.day);
  expect(state.lastChunk).toBe(before.chunk + 1);
  expect(state.openChunk.messages).toBe(1);
  await life.stop();
  await life.start();
  await life.advance(minuteMs);
  expect(life.server.state.lastChunk).toBe(before.chunk + 1);
  await life.check();
  await life.stop();
});

test("a day on which nobody wrote a message is no chunk, and costs a quiet server no entry a second either", async () => {
  const life = new ServerLife({ seed: 3, wall: lateEvening });
  await life.start();
  await life.advance(minuteMs);
  const { state } = life.server;
  // What founded the server is of that day: sealed once at most.
  const { appliedIndex, lastChunk } = state;
  expect(lastChunk).toBeLessThanOrEqual(1);
  await life.advance(26 * 60 * minuteMs);
  expect({ appliedIndex: state.appliedIndex, lastChunk: state.lastChunk }).toEqual({ appliedIndex, lastChunk });
  await life.stop();
});
