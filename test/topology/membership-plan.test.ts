import { expect, test } from "vitest";
import { type Incarnation, logIndex, type NodeName } from "../../src/base/ids.ts";
import { replicaId } from "../../src/consensus/replica.ts";
import type { Member } from "../../src/topology/engine.ts";
import { nextChanges } from "../../src/topology/membership-plan.ts";

const replica = (node: string, life: string) => replicaId(node as NodeName, life.repeat(32) as Incarnation);
const member = (node: string, life: string, role: Member["role"], matched: number): Member => ({
  replica: replica(node, life),
  role,
  matched: logIndex(matched),
});
const present = (node: string, life: string, isComplete = true) => ({
  node: node as NodeName,
  replica: replica(node, life),
  isComplete,
});
const lastIndex = logIndex(1_000);
const leader = member("n1", "a", "voter", 1_000);

test("whoever is there and listed becomes a learner, and a voter once it has the log and what was sealed", () => {
  const step = (members: readonly Member[], ...others: readonly ReturnType<typeof present>[]) =>
    nextChanges({ members, lastIndex, present: others });
  expect(step([leader])).toEqual([]);
  expect(step([leader], present("n2", "b", false))).toEqual([{ type: "learner", replica: replica("n2", "b") }]);
  const learner = (matched: number): Member[] => [leader, member("n2", "b", "learner", matched)];
  expect(step(learner(0), present("n2", "b"))).toEqual([]);
  expect(step(learner(900), present("n2", "b"))).toEqual([]);
  expect(step(learner(990), present("n2", "b", false))).toEqual([]);
  expect(step(learner(990))).toEqual([]);
  expect(step(learner(990), present("n2", "b"))).toEqual([{ type: "voter", replica: replica("n2", "b") }]);
});

test("a former life keeps its vote until the present one is complete, and loses it in the same step", () => {
  const members = [leader, member("n2", "b", "voter", 400), member("n2", "c", "learner", 1_000)];
  expect(nextChanges({ members, lastIndex, present: [present("n2", "c", false)] })).toEqual([]);
  expect(nextChanges({ members, lastIndex, present: [present("n2", "c")] })).toEqual([
    { type: "voter", replica: replica("n2", "c") },
    { type: "remove", replica: replica("n2", "b") },
  ]);
  // A learner that was wiped once more has nothing to wait for.
  expect(nextChanges({ members, lastIndex, present: [present("n2", "d")] })).toEqual([
    { type: "remove", replica: replica("n2", "c") },
  ]);
});
