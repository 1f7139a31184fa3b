import { describe, expect, test } from "vitest";
import { type Entry, entryTypes } from "../../src/base/entry.ts";
import { type ClusterId, groupId, logIndex, term } from "../../src/base/ids.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { day, timestamp } from "../../src/base/units.ts";
import type { ApplySink } from "../../src/rooms/apply-sink.ts";
import { encodeCommand } from "../../src/rooms/commands.ts";
import { GroupState } from "../../src/rooms/group-state.ts";
import { outcomes } from "../../src/rooms/outcome.ts";
import { RebuiltState } from "../../src/rooms/rebuilt-state.ts";
import { firstKept } from "../../src/rooms/retention.ts";
import { encodeSeal, sealReasons } from "../../src/rooms/seal.ts";
import { boundsOf, encodeSettings, type Setting } from "../../src/rooms/setting.ts";
import { bytesOf, command, type Post, record } from "./group-log.ts";

const cluster = "0123456789abcdef0123456789abcdef" as ClusterId;
const bounds = boundsOf(defaultLimits);

function begun(): RebuiltState {
  return RebuiltState.empty({ group: groupId(0), cluster, hashSeed: 7 });
}

const chunk = (number: number, from: number, to: number, generation = 0) => ({
  chunk: number,
  generation,
  from,
  to,
  day: day(20_261_123),
  messages: 10,
  bytes: 1_000,
  lastTs: to * 10,
});

const run = (room: string, firstSeq: number, lastSeq: number) => ({
  room: bytesOf(room),
  firstSeq,
  lastSeq,
  bytes: 100,
  lastTs: lastSeq,
});

type Line = readonly (Post | Uint8Array)[];

/** The next entry of posts or other commands. */
function entryAt(index: number, commands: Line, on = 20_261_123): Entry {
  const parts = commands.map((one) => (one instanceof Uint8Array ? one : record(one)));
  const payload = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    payload.set(part, end);
    end += part.length;
  }
  const place = { group: groupId(0), index: logIndex(index), term: term(4), ts: timestamp(5_000), day: day(on) };
  return { ...place, type: entryTypes.commands, payload };
}

/** Applies one entry; answers what became of each post. */
function appliedEntry(state: Pick<RebuiltState, "apply">, entry: Entry): [number, number][] {
  const told: [number, number][] = [];
  const sink: ApplySink = {
    outcome: (_position, code, seq) => void told.push([code, seq]),
    stored: () => undefined,
    changed: () => undefined,
  };
  state.apply(entry, entry.payload.slice(), sink);
  return told;
}

const applied = (state: Pick<RebuiltState, "apply" | "appliedIndex">, commands: Line, on?: number) =>
  appliedEntry(state, entryAt(state.appliedIndex + 1, commands, on));

const finished = (state: RebuiltState, open: readonly string[] = []): GroupState =>
  GroupState.restore(state.bytes({ bounds, line: 9, open: new Set(open) }), { hashSeed: 3 });

const runsOf = (state: GroupState, room: string): number[][] => {
  const { runs } = state.room(room)!;
  return Array.from({ length: runs.length }, (_, i) => [runs.chunk(i), runs.firstSeq(i), runs.lastSeq(i)]);
};

describe("from chunks", () => {
  test("rooms have their seqs, and go on behind the highest", () => {
    const state = begun();
    state.chunk(chunk(3, 20, 30));
    state.run(run("a", 11, 20));
    state.chunk(chunk(4, 30, 45));
    state.run(run("a", 21, 25));
    state.run(run("b", 1, 5));
    const group = finished(state);
    expect(group.room("a")).toMatchObject({ first: 11, head: 25, floor: 25 });
    expect(group.room("b")).toMatchObject({ first: 1, head: 5 });
    expect(runsOf(group, "a")).toEqual([
      [3, 11, 20],
      [4, 21, 25],
    ]);
    expect([group.appliedIndex, group.lastChunk, group.openChunk.from, group.bounds]).toEqual([45, 4, 45, bounds]);
    expect([...group.chunks()].map(({ chunk: number, rooms }) => [number, rooms])).toEqual([
      [3, 1],
      [4, 2],
    ]);
  });

  test("what lies in a lacking chunk is a place of that chunk; of several the first stands for all", () => {
    const state = begun();
    state.chunk(chunk(1, 0, 10));
    state.run(run("a", 1, 5));
    state.lacking({ chunk: 2, generation: 0 });
    state.lacking({ chunk: 3, generation: 1 });
    state.chunk(chunk(4, 30, 40));
    state.run(run("a", 9, 12));
    state.run(run("b", 4, 6));
    const group = finished(state);
    expect(runsOf(group, "a")).toEqual([
      [1, 1, 5],
      [2, 6, 8],
      [4, 9, 12],
    ]);
    // Of b nothing is known before: it began in a chunk that is there no more.
    expect(runsOf(group, "b")).toEqual([
      [2, 1, 3],
      [4, 4, 6],
    ]);
    // Nothing lies in the other, as far as anybody knows.
    expect([...group.chunks()].map(({ chunk: number }) => number)).toEqual([1, 2, 4]);
  });

  test("a hole with all chunks there is what was removed, and so is what came before it", () => {
    const state = begun();
    state.chunk(chunk(1, 0, 10));
    state.run(run("a", 1, 5));
    state.run(run("b", 1, 1));
    state.chunk(chunk(2, 10, 20));
    state.run(run("a", 9, 12));
    const group = finished(state);
    expect(group.room("a")).toMatchObject({ first: 9, head: 12 });
    expect(runsOf(group, "a")).toEqual([[2, 9, 12]]);
  });

  test("seqs that a room has already are not taken twice", () => {
    const state = begun();
    state.chunk(chunk(1, 0, 10));
    expect(state.run(run("a", 1, 5))).toBe(true);
    state.chunk(chunk(2, 10, 20));
    expect(state.run(run("a", 4, 9))).toBe(false);
    expect(finished(state).room("a")!.head).toBe(5);
  });
});

describe("from the journal behind them", () => {
  function withChunk(): RebuiltState {
    const state = begun();
    state.chunk(chunk(1, 0, 10));
    state.run(run("a", 1, 5));
    return state;
  }

  test("messages go on behind the chunks, once each, in the order of their sender", () => {
    const state = withChunk();
    expect(
      applied(state, [
        { room: "a", from: "u", cid: "1", checked: 5 },
        { room: "a", from: "u", cid: "1", checked: 5 },
        { room: "a", from: "u", cid: "3", checked: 5, prev: "2" },
        { room: "a", from: "u", cid: "2", checked: 5, prev: "1" },
        { room: "a", from: "u", cid: "3", checked: 5, prev: "2" },
      ]),
    ).toEqual([
      [outcomes.stored, 6],
      [outcomes.repeat, 6],
      [outcomes.recheck, 0],
      [outcomes.stored, 7],
      [outcomes.stored, 8],
    ]);
    const sealed = state.seal()!;
    expect(sealed).toMatchObject({ chunk: 2, from: 10, to: 11, messages: 3 });
    const group = finished(state);
    expect(runsOf(group, "a")).toEqual([
      [1, 1, 5],
      [2, 6, 8],
    ]);
    // The window knows them: the same again is a repeat.
    expect(group.seqInWindow(bytesOf("a"), bytesOf("u"), bytesOf("2"))).toBe(7);
  });

  test("an id that may be in a chunk is not taken before it was looked for there", () => {
    const state = withChunk();
    const post = record({ room: "a", from: "u", cid: "1" });
    expect(state.lookupNeeded(post, 0)).toMatchObject({ id: { from: 1, to: 5 }, checked: 5 });
    expect(state.chunksOf(post, 0)).toEqual([1]);
    expect(applied(state, [post])).toEqual([[outcomes.recheck, 0]]);
  });

  test("a room that no chunk knows begins with its first message; one without messages is not there", () => {
    const state = withChunk();
    const joins = [command.join("c", "u"), command.join("d", "u", true)].map((one) => encodeCommand(one));
    expect(applied(state, [...joins, { room: "c", from: "u", cid: "1" }])).toEqual([[outcomes.stored, 1]]);
    expect(applied(state, [{ room: "e", from: "u", cid: "1", kind: "sys.x" }])).toEqual([[outcomes.forbidden, 0]]);
    state.seal();
    const group = finished(state);
    expect([...group.rooms()].map(({ name }) => name).sort()).toEqual(["a", "c"]);
  });

  test("an edit by its author is kept, and one of another's message is not", () => {
    const state = withChunk();
    const edit = { room: "a", kind: "edit", ref: 3, refFrom: "u", refKind: "text", checked: 5 };
    expect(applied(state, [{ ...edit, from: "u", cid: "1" }])).toEqual([[outcomes.stored, 6]]);
    expect(applied(state, [{ ...edit, from: "v", cid: "2" }])).toEqual([[outcomes.forbidden, 0]]);
  });

  test("what a later day brings is not filed with what is open", () => {
    const state = withChunk();
    applied(state, [{ room: "a", from: "u", cid: "1", checked: 5 }]);
    const next = { group: groupId(0), index: logIndex(12), term: term(1), ts: timestamp(6_000), type: entryTypes.noop };
    const payload = new Uint8Array(0);
    expect(state.isOfLaterDay({ ...next, payload, day: day(20_261_123) })).toBe(false);
    expect(state.isOfLaterDay({ ...next, payload, day: day(20_261_124) })).toBe(true);
    expect(state.seal()).toMatchObject({ day: 20_261_123 });
    expect(applied(state, [{ room: "a", from: "u", cid: "2", checked: 5 }], 20_261_124)).toEqual([
      [outcomes.stored, 7],
    ]);
    expect(state.seal()).toMatchObject({ chunk: 3, day: 20_261_124, messages: 1 });
    expect(state.seal()).toBeNull();
  });
});

test("nobody is in any room; only rooms that were named are open; a direct room is its two people's, who are told of it", () => {
  const state = begun();
  state.chunk(chunk(1, 0, 10));
  for (const room of ["lobby", "ops", "den", "@alice,bob"]) state.run(run(room, 1, 2));
  applied(state, [
    encodeCommand(command.join("ops", "mallory")),
    encodeCommand(command.join("fresh", "mallory")),
    { room: "fresh", from: "mallory", cid: "1" },
    { room: "@bob,carol", from: "bob", cid: "1" },
  ]);
  state.seal();
  const group = finished(state, ["lobby", "@alice,bob"]);
  for (const room of group.rooms()) {
    expect([room.name, room.isPrivate, room.members.size, room.maker]).toEqual([
      room.name,
      room.name !== "lobby",
      0,
      "",
    ]);
    for (const user of ["mallory", "alice", "carol"]) {
      const isReader = room.name === "lobby" || room.people.some((person) => person === user);
      expect([room.name, user, room.mayRead(user)]).toEqual([room.name, user, isReader]);
    }
  }
  const told = [...group.outboxes()].flatMap(({ name, outbox }) => [...outbox.keys()].map((user) => `${name} ${user}`));
  expect(told.sort()).toEqual(["@alice,bob alice", "@alice,bob bob", "@bob,carol bob", "@bob,carol carol"]);
  expect(group.line).not.toBe(GroupState.empty({ group: groupId(0), cluster, hashSeed: 1 }).line);
});

describe("behind a snapshot", () => {
  /** Ten messages of one sender in room "a", of which the window knows eight, and none in room "b", both sealed. */
  function sealed(): RebuiltState {
    const small = { ...bounds, idWindowEntries: 8 };
    const group = GroupState.empty({ group: groupId(0), cluster, bounds: small, hashSeed: 1 });
    applied(group, [encodeCommand(command.join("a", "u")), encodeCommand(command.join("b", "u"))]);
    for (let n = 1; n <= 10; n++) applied(group, [{ room: "a", from: "u", cid: `${n}`, checked: n - 1 }]);
    const seal = { chunk: 1, from: 0, to: 0, day: day(20_261_123), format: 1, reason: sealReasons.full };
    const payload = encodeSeal(seal);
    appliedEntry(group, { ...entryAt(group.appliedIndex + 1, []), type: entryTypes.seal, payload });
    expect(group.lastChunk).toBe(1);
    return RebuiltState.restored(group.snapshot(), { hashSeed: 2 });
  }

  /** Three messages of each room may be lost in front of these entries, one empty one in their place. */
  function lose(state: RebuiltState, ...behind: readonly Line[]): [number, number][] {
    const hole = state.appliedIndex + 1;
    const entries = [[], ...behind].map((line, at) => entryAt(hole + at, line));
    state.seal();
    state.lost({ day: day(20_261_123), messagesMax: () => 3, behind: entries });
    return entries.flatMap((entry) => appliedEntry(state, entry));
  }

  test("ids of before the loss are known behind it, and so are those behind it", () => {
    const state = sealed();
    expect(applied(state, [{ room: "a", from: "u", cid: "11", checked: 10 }])).toEqual([[outcomes.stored, 11]]);
    const told = lose(
      state,
      [{ room: "a", from: "u", cid: "5", checked: 10 }],
      [{ room: "a", from: "u", cid: "11", checked: 10 }],
      [{ room: "a", from: "u", cid: "13", prev: "12", checked: 10 }],
      [{ room: "a", from: "u", cid: "13", prev: "12", checked: 10 }],
    );
    // Eleven are known, three are lost, and four were sent behind them.
    expect(told).toEqual([
      [outcomes.repeat, 5],
      [outcomes.repeat, 11],
      [outcomes.stored, 11 + 3 + 4 + 1],
      [outcomes.repeat, 11 + 3 + 4 + 1],
    ]);
    state.seal();
    state.finish();
    const group = finished(state);
    expect(group.seqInWindow(bytesOf("a"), bytesOf("u"), bytesOf("13"))).toBe(19);
    expect(group.bounds.idWindowEntries).toBe(8);
    expect(group.room("a")!.mayRead("u")).toBe(true);
  });

  test("no room gets a number that a lost message may have had, also one that nothing was sent to, or that is deleted then", () => {
    const state = sealed();
    const told = lose(
      state,
      [{ room: "a", from: "u", cid: "12", checked: 10 }],
      [encodeCommand(command.deleteRoom("a", "u"))],
      [{ room: "b", from: "u", cid: "1" }],
    );
    expect(told).toEqual([
      [outcomes.stored, 15],
      [outcomes.stored, 5],
    ]);
    state.seal();
    state.finish();
    const group = finished(state);
    expect(group.room("a")).toBeUndefined();
    expect(runsOf(group, "b")).toEqual([
      [2, 1, 4],
      [3, 5, 5],
    ]);
    expect([...group.chunks()].map(({ chunk: number, rooms }) => [number, rooms])).toEqual([
      [2, 1],
      [3, 1],
    ]);
  });

  test("a room that keeps so many messages does not count those that nobody can read", () => {
    const state = sealed();
    expect(lose(state, [{ room: "a", from: "u", cid: "11", checked: 10 }])).toEqual([[outcomes.stored, 15]]);
    state.seal();
    state.finish();
    const { first, head, lastTs, openBytes, runs } = finished(state).room("a")!;
    const kept = (messages: number): number => {
      const room = { first, head, lastTs, openBytes, runs, retention: { ageMs: 0, messages, bytes: 0 } };
      return firstKept(room, { now: 0, keptFromDay: 0, dayOf: () => 0 });
    };
    expect([1, 2, 4, 11, 12].map(kept)).toEqual([15, 10, 8, 1, 1]);
  });

  test("settings behind the loss count, and who belongs to the group", () => {
    const state = sealed();
    lose(state);
    const settings: Setting[] = [
      { kind: "bound", bound: "idWindowEntries", value: 9 },
      { kind: "retentionDays", days: 7 },
    ];
    const next = (): Entry => entryAt(state.appliedIndex + 1, []);
    appliedEntry(state, { ...next(), type: entryTypes.setting, payload: encodeSettings(settings) });
    appliedEntry(state, { ...next(), type: entryTypes.configuration, payload: bytesOf("n1") });
    const { appliedIndex } = state;
    expect(applied(state, [{ room: "a", from: "u", cid: "6", checked: 10 }])).toEqual([[outcomes.repeat, 6]]);
    state.seal();
    state.finish();
    const group = finished(state);
    expect([group.bounds.idWindowEntries, group.retentionDays]).toEqual([9, 7]);
    expect(group.configuration).toEqual({ index: appliedIndex, bytes: bytesOf("n1") });
  });
});
