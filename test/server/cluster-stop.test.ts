import { expect, test } from "vitest";
import { Town } from "./town.ts";

test("a leader whose successor finds too few votes steps down for it, and stops all the same", async () => {
  const town = await Town.founded({ servers: 5 });
  const leader = town.of("n1");
  for (const name of ["n2", "n3", "n4"]) town.powerLoss(town.of(name));
  // Nobody has noticed yet. Only n5 takes this, so it is the fittest to hand over to.
  const outcomes: string[] = [];
  const note = (what: string) => (): void => void outcomes.push(what);
  town.client("alice", ["n1"]).room("lobby").send("hello").then(note("stored"), note("failed"));
  await town.rest(100);
  expect(town.leader).toBe(leader);
  await town.after("stopped", leader.now.stop(1_000), 10_000);
  expect(leader.now.isRunning).toBe(false);
  expect(outcomes).toEqual([]);
});
