import { describe, expect, test } from "vitest";
import { isJoint } from "../../src/consensus/configuration.ts";
import { nodeOf } from "../../src/consensus/replica.ts";
import { Cluster } from "./cluster.ts";

/** Proposes all the time, at whoever leads, while something else goes on. Answers what was taken. */
function underLoad(cluster: Cluster): { taken: Set<string>; stop: () => void } {
  const taken = new Set<string>();
  let isOver = false;
  const propose = (): void => {
    if (isOver) return;
    const leader = cluster.leader();
    const command = leader === null ? null : cluster.propose(leader.name, 20);
    if (command !== null) taken.add(command);
    cluster.after(5, propose);
  };
  propose();
  return { taken, stop: () => (isOver = true) };
}

function votersOf(cluster: Cluster): string[] {
  const { configuration } = cluster.leader()!.group!;
  return isJoint(configuration) ? [] : configuration.voters.map(nodeOf).sort();
}

/** Makes these the voters: who is new learns first, then all votes change at once. */
function become(cluster: Cluster, names: readonly string[]): void {
  for (const name of names) {
    const learn = [{ type: "learner" as const, replica: cluster.replica(name) }];
    const isMember = (): boolean => {
      const { voters, learners } = cluster.leader()!.group!.configuration;
      return [...voters, ...learners].includes(cluster.replica(name));
    };
    if (!isMember())
      expect(cluster.runUntil(() => isMember() || cluster.change(cluster.leader()!.name, learn), 5_000)).toBe(true);
  }
  const gone = votersOf(cluster).filter((name) => !names.includes(name));
  const swap = [
    ...names.map((name) => ({ type: "voter" as const, replica: cluster.replica(name) })),
    ...gone.map((name) => ({ type: "remove" as const, replica: cluster.replica(name) })),
  ];
  expect(cluster.runUntil(() => cluster.change(cluster.leader()!.name, swap), 5_000)).toBe(true);
  const isDone = (): boolean => cluster.leader() !== null && votersOf(cluster).join() === [...names].sort().join();
  expect(cluster.runUntil(isDone, 5_000)).toBe(true);
  cluster.run(500);
}

describe("members under load", () => {
  test("[MEM3] 1 to 3 to 5 to 3, while somebody talks: nothing that was taken by a leader that stayed is lost", () => {
    const cluster = new Cluster({ servers: 1, seed: 31, spares: 4 });
    expect(cluster.runUntil(() => cluster.leader()?.group?.standing.role === "leader", 5_000)).toBe(true);
    const { taken, stop } = underLoad(cluster);
    become(cluster, ["n1", "n2", "n3"]);
    become(cluster, ["n1", "n2", "n3", "n4", "n5"]);
    become(cluster, ["n1", "n4", "n5"]);
    stop();
    cluster.run(2_000);
    expect(taken.size).toBeGreaterThan(20);
    for (const command of taken) for (const name of ["n1", "n4", "n5"]) expect(cluster.has(name, command)).toBe(true);
  });

  test("[MEM5] a leader that replaces itself by all others is followed at once", () => {
    const cluster = new Cluster({ servers: 3, seed: 32, spares: 2 });
    expect(cluster.runUntil(() => cluster.leader()?.group?.standing.role === "leader", 5_000)).toBe(true);
    const { taken, stop } = underLoad(cluster);
    const first = cluster.leader()!.name;
    const others = [...cluster.servers.keys()].filter((name) => name !== first).slice(0, 3);
    become(cluster, others);
    expect(cluster.leader()!.name).not.toBe(first);
    // The former leader told its successor; nobody had to wait for a silence to be noticed.
    expect(cluster.leader()!.group!.standing.term).toBe(2);
    stop();
    cluster.run(1_000);
    const kept = [...taken].filter((command) => others.every((name) => cluster.has(name, command)));
    expect(kept.length).toBeGreaterThan(10);
  });

  test("[MEM3] a change that is interrupted at any moment is finished or undone by who leads next", () => {
    let [finished, undone] = [0, 0];
    for (let seed = 0; seed < 60; seed++) {
      const cluster = new Cluster({ servers: 3, seed, spares: 1 });
      expect(cluster.runUntil(() => cluster.leader()?.group?.standing.role === "leader", 5_000)).toBe(true);
      const leader = cluster.leader()!;
      const gone = [...cluster.servers.keys()].find((name) => name !== leader.name && name !== "n4")!;
      expect(cluster.change(leader.name, [{ type: "learner", replica: cluster.replica("n4") }])).toBe(true);
      cluster.run(1_000);
      const swap = [
        { type: "voter" as const, replica: cluster.replica("n4") },
        { type: "remove" as const, replica: cluster.replica(gone) },
      ];
      // Sometimes nobody hears of it, and sometimes it is well under way.
      if (seed % 3 === 0) cluster.disconnect(leader.name);
      expect(cluster.change(leader.name, swap)).toBe(true);
      cluster.run(cluster.random.whole(160) / 10);
      cluster.crash(leader.name, true);
      const isSettled = (): boolean => {
        const next = cluster.leader();
        return next !== null && next.group?.standing.role === "leader" && votersOf(cluster).length === 3;
      };
      expect(cluster.runUntil(isSettled, 5_000)).toBe(true);
      if (votersOf(cluster).includes("n4")) finished++;
      else undone++;
    }
    expect(finished).toBeGreaterThan(0);
    expect(undone).toBeGreaterThan(0);
  });
});
