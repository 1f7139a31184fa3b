import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { day, timestamp } from "../../src/base/units.ts";
import { term } from "../../src/base/ids.ts";
import { type Command, roles } from "../../src/rooms/commands.ts";
import { GroupState } from "../../src/rooms/group-state.ts";
import { commands, roomNames, userNames } from "./arbitrary-commands.ts";
import { command, GroupLog, type Post, record } from "./group-log.ts";
import { NaiveRooms } from "./naive-rooms.ts";

const windowMax = 8;
/** Fewer than there are names, so that rooms are refused a place; and fewer than one user tries to make. */
const [groupRoomsMax, madeRoomsMax] = [4, 2];
const bounds = { idWindowEntries: windowMax, groupRoomsMax, madeRoomsMax };
type Step =
  | { step: "commands"; commands: (Command | Post)[] }
  | { step: "clock"; ts: number; days: number; terms: number }
  | { step: "seal" }
  | { step: "restart" };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        step: fc.constant("commands" as const),
        commands: fc.array(commands, { minLength: 1, maxLength: 6 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        step: fc.constant("clock" as const),
        ts: fc.integer({ min: -500, max: 1_000 }),
        days: fc.constantFrom(0, 0, 1, -1),
        terms: fc.nat(1),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ step: "seal" as const }) },
    { weight: 2, arbitrary: fc.constant({ step: "restart" as const }) },
  ),
  { minLength: 1, maxLength: 60, size: "max" },
);

function describeReal(state: GroupState, name: string): unknown {
  const room = state.room(name);
  if (room === undefined) return null;
  return {
    head: room.head,
    first: room.first,
    floor: room.floor,
    lastTs: room.lastTs,
    isPrivate: room.isPrivate,
    members: room.members.sorted().map((member) => [member.name, member.role, member.read, member.isInvited]),
    marks: [...room.visitorMarks].sort(([a], [b]) => (a < b ? -1 : 1)),
    outbox: [...room.outbox.values()],
    runs: Array.from({ length: room.runs.length }, (_, i) => [
      room.runs.chunk(i),
      room.runs.firstSeq(i),
      room.runs.lastSeq(i),
    ]),
  };
}

/** Private rooms with members and no owner, but for direct rooms, which nobody rules. Into an open one nobody needs to be let. */
function ownerless(state: GroupState): string[] {
  const ruled = [...state.rooms()].filter(({ isPrivate, isDirect }) => isPrivate && !isDirect);
  const inhabited = ruled.filter(({ members }) => members.size > 0);
  return inhabited
    .filter(({ members }) => [...members].every(({ role }) => role < roles.owner))
    .map(({ name }) => name);
}

/** Runs the steps on the real rooms and the naive ones, and compares after each. */
function run(all: readonly Step[]): void {
  const log = new GroupLog(bounds, 1);
  // Fed the same entries, never restarted, and hashing otherwise.
  const peer = new GroupLog(bounds, 4_711);
  const naive = new NaiveRooms(windowMax, groupRoomsMax, madeRoomsMax);
  const begin = (): void => naive.begin(log.ts, log.day, log.term);
  begin();
  log.set({ kind: "founding" });
  naive.found();
  const first = [
    command.join("ops", "alice"),
    command.join("club", "alice", true),
    command.invite("club", "alice", "bob"),
  ];
  log.batch(...first);
  for (const one of first) naive.do(one);
  for (const step of all) {
    switch (step.step) {
      case "commands": {
        // What the lookup says is asked before the entry is proposed, as an orderer does.
        const next = step.commands[0]!;
        const needed = "cid" in next ? log.state.lookupNeeded(record(next), 0) : null;
        begin();
        log.batch(...step.commands);
        const expected = step.commands.map((one) =>
          "cid" in one ? naive.post(one) : { code: naive.do(one), seq: 0, ts: 0, epoch: 0 },
        );
        expect(log.heard.outcomes).toEqual(expected.map((outcome, position) => ({ position, ...outcome })));
        if (needed === null && "cid" in next && next.kind !== "edit") expect(expected[0]!.code).not.toBe("recheck");
        break;
      }
      case "clock":
        log.ts = timestamp(Math.max(0, log.ts + step.ts));
        log.day = day(Math.min(20250330, Math.max(20250301, log.day + step.days)));
        log.term = term(log.term + step.terms);
        break;
      case "seal":
        begin();
        // A change of day came first: then this seal names a chunk that is sealed already.
        if (log.seal().events.filter((event) => event.type === "sealed").length > 0) {
          if (naive.chunk < log.state.lastChunk) naive.seal();
        }
        break;
      case "restart": {
        const before = log.state.snapshot();
        log.restart(all.length);
        expect(Buffer.compare(log.state.snapshot(), before)).toBe(0);
        break;
      }
    }
    expect(ownerless(log.state)).toEqual([]);
    for (const name of roomNames) expect([name, describeReal(log.state, name)]).toEqual([name, naive.describe(name)]);
    for (const user of userNames) {
      for (const [room, told] of log.state.user(user)?.told ?? []) {
        expect({ kind: told.kind, number: told.number }).toEqual(naive.told.get(`${user} ${room}`));
      }
    }
  }
  for (const entry of log.entries) peer.apply(entry);
  expect(peer.state.hash()).toBe(log.state.hash());
}

describe("the rules said twice", () => {
  test("[ORDER4] random commands lead to what a naive model says, over restarts, and to equal states", () => {
    fc.assert(fc.property(steps, run), { seed: 1123, numRuns: 120 });
  });

  test("[SNAP2] a state restored in the middle and given the rest is the state that never stopped", () => {
    fc.assert(
      fc.property(steps, fc.nat(100), (all, percent) => {
        const log = new GroupLog({ idWindowEntries: windowMax });
        log.set({ kind: "founding" });
        for (const step of all) if (step.step === "commands") log.batch(...step.commands);
        const whole = new GroupLog({ idWindowEntries: windowMax }, 5);
        const half = Math.floor((log.entries.length * percent) / 100);
        let resumed = new GroupLog({ idWindowEntries: windowMax }, 9).state;
        log.entries.forEach((entry, i) => {
          const heard = whole.apply(entry).heard;
          const other = new GroupLog();
          other.state = resumed;
          // The same is heard, word for word, also after the restore.
          expect(other.apply(entry).heard).toEqual(heard);
          if (i === half) resumed = GroupState.restore(resumed.snapshot(), { hashSeed: 3 });
        });
        expect(resumed.hash()).toBe(whole.state.hash());
      }),
      { seed: 42, numRuns: 60 },
    );
  });
});
