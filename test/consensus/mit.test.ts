import { describe, expect, test } from "vitest";
import { Cluster } from "./cluster.ts";

/**
 * The scenarios of MIT 6.5840's Raft labs, by their names there. Every step is held to the invariants as well, which is
 * stricter than the labs are.
 */
const soon = 5_000;

function oneLeader(cluster: Cluster): string {
  const isSo = cluster.runUntil(() => {
    const leaders = cluster.leaders();
    return (
      leaders.length > 0 &&
      cluster.leader()?.group?.standing.authoritative === true &&
      leaders.includes(cluster.leader()!)
    );
  }, soon);
  expect(isSo).toBe(true);
  return cluster.leader()!.name;
}

/** Has one command agreed on, at whoever leads, and applied by at least `servers` of them. */
function one(cluster: Cluster, servers: number, bytes = 0): string {
  const agreed = new Set<string>();
  let proposed: { command: string; at: number } | null = null;
  const isSo = cluster.runUntil(() => {
    if (proposed === null || cluster.now - proposed.at > 2_000) {
      const leader = cluster.leaders().find(({ name }) => !isCutOff(cluster, name));
      const command = leader === undefined ? null : cluster.propose(leader.name, bytes);
      if (command !== null) {
        proposed = { command, at: cluster.now };
        agreed.add(command);
      }
    }
    return [...agreed].some((command) => hasIt(cluster, command) >= servers);
  }, 10_000);
  expect(isSo).toBe(true);
  return [...agreed].find((command) => hasIt(cluster, command) >= servers)!;
}

function hasIt(cluster: Cluster, command: string): number {
  return [...cluster.servers.keys()].filter((name) => cluster.has(name, command)).length;
}

function isCutOff(cluster: Cluster, name: string): boolean {
  return [...cluster.servers.keys()].every((other) => other === name || cluster.isCut(name, other));
}

function others(cluster: Cluster, ...names: string[]): string[] {
  return [...cluster.servers.keys()].filter((name) => !names.includes(name));
}

describe("3A", () => {
  test("[LIFE4] InitialElection: one leader, and its term stays when nothing happens", () => {
    const cluster = new Cluster({ servers: 3, seed: 1 });
    oneLeader(cluster);
    const { term } = cluster.leader()!.group!.standing;
    cluster.run(20_000);
    expect(cluster.leader()!.group!.standing.term).toBe(term);
  });

  test("[LIFE4] ReElection: without a leader another; without a quorum none; with one again", () => {
    const cluster = new Cluster({ servers: 3, seed: 2 });
    const first = oneLeader(cluster);
    cluster.disconnect(first);
    cluster.run(2_000);
    const second = oneLeader(cluster);
    expect(second).not.toBe(first);
    cluster.connect(first);
    cluster.run(1_000);
    expect(oneLeader(cluster)).toBe(second);
    cluster.disconnect(second);
    cluster.disconnect(others(cluster, second)[0]!);
    cluster.run(3_000);
    expect(cluster.leaders()).toEqual([]);
    cluster.connect(others(cluster, second)[0]!);
    oneLeader(cluster);
    cluster.connect(second);
    cluster.run(1_000);
    expect(cluster.leaders()).toHaveLength(1);
  });

  test("[LIFE4] ManyElections: three of seven away, again and again", () => {
    const cluster = new Cluster({ servers: 7, seed: 3 });
    oneLeader(cluster);
    for (let round = 0; round < 10; round++) {
      const names = [...cluster.servers.keys()];
      const away = new Set([
        names[cluster.random.whole(7)]!,
        names[cluster.random.whole(7)]!,
        names[cluster.random.whole(7)]!,
      ]);
      for (const name of away) cluster.disconnect(name);
      oneLeader(cluster);
      cluster.heal();
    }
    oneLeader(cluster);
  });
});

describe("3B", () => {
  test("[LIFE4] BasicAgree", () => {
    const cluster = new Cluster({ servers: 3, seed: 4 });
    for (let i = 0; i < 3; i++) one(cluster, 3);
  });

  test("[LIFE4] RPCBytes: each byte goes once to each peer", () => {
    const cluster = new Cluster({ servers: 3, seed: 5 });
    one(cluster, 3);
    const before = cluster.entryBytesSent;
    for (let i = 0; i < 10; i++) one(cluster, 3, 5_000);
    expect(cluster.entryBytesSent - before).toBe(10 * 5_000 * 2);
  });

  test("[LIFE4] FollowerFailure: one away is nothing, two away is the end of it", () => {
    const cluster = new Cluster({ servers: 3, seed: 6 });
    one(cluster, 3);
    const leader = oneLeader(cluster);
    const [first, second] = others(cluster, leader) as [string, string];
    cluster.disconnect(first);
    one(cluster, 2);
    cluster.run(1_000);
    one(cluster, 2);
    cluster.disconnect(second);
    const command = cluster.propose(leader);
    cluster.run(3_000);
    expect(hasIt(cluster, command!)).toBe(0);
  });

  test("[LIFE4] LeaderFailure: one after the other", () => {
    const cluster = new Cluster({ servers: 3, seed: 7 });
    one(cluster, 3);
    cluster.disconnect(oneLeader(cluster));
    one(cluster, 2);
    const second = cluster.leaders().find(({ name }) => !isCutOff(cluster, name))!.name;
    cluster.disconnect(second);
    const command = cluster.propose(second);
    cluster.run(3_000);
    expect(command === null ? 0 : hasIt(cluster, command)).toBe(0);
  });

  test("[LIFE4] FailAgree: who comes back catches up", () => {
    const cluster = new Cluster({ servers: 3, seed: 8 });
    one(cluster, 3);
    const follower = others(cluster, oneLeader(cluster))[0]!;
    cluster.disconnect(follower);
    for (let i = 0; i < 4; i++) one(cluster, 2);
    cluster.connect(follower);
    for (let i = 0; i < 2; i++) one(cluster, 3);
  });

  test("[LIFE4] FailNoAgree: without a quorum nothing, and afterwards everything", () => {
    const cluster = new Cluster({ servers: 5, seed: 9 });
    one(cluster, 5);
    const leader = oneLeader(cluster);
    for (const name of others(cluster, leader).slice(0, 3)) cluster.disconnect(name);
    const command = cluster.propose(leader)!;
    cluster.run(2_000);
    expect(hasIt(cluster, command)).toBe(0);
    cluster.heal();
    one(cluster, 5);
  });

  test("[LIFE4] ConcurrentStarts: many at once, each once and in order", () => {
    const cluster = new Cluster({ servers: 3, seed: 10 });
    const leader = oneLeader(cluster);
    const commands = Array.from({ length: 50 }, () => cluster.propose(leader)!);
    expect(cluster.runUntil(() => commands.every((command) => hasIt(cluster, command) === 3), soon)).toBe(true);
  });

  test("[LIFE4] Rejoin: a leader with entries that nobody has comes back, twice", () => {
    const cluster = new Cluster({ servers: 3, seed: 11 });
    one(cluster, 3);
    const first = oneLeader(cluster);
    cluster.disconnect(first);
    const lost = [cluster.propose(first), cluster.propose(first), cluster.propose(first)];
    one(cluster, 2);
    const second = cluster.leaders().find(({ name }) => !isCutOff(cluster, name))!.name;
    cluster.disconnect(second);
    cluster.connect(first);
    one(cluster, 2);
    cluster.connect(second);
    one(cluster, 3);
    for (const command of lost) if (command !== null) expect(hasIt(cluster, command)).toBe(0);
  });

  test("[LIFE4] Backup: long wrong logs are put right quickly", () => {
    const cluster = new Cluster({ servers: 5, seed: 12 });
    one(cluster, 5);
    const first = oneLeader(cluster);
    const [second, ...rest] = others(cluster, first) as [string, ...string[]];
    cluster.partition([first, second], rest);
    for (let i = 0; i < 50; i++) cluster.propose(first);
    cluster.run(1_500);
    const third = cluster.leaders().find(({ name }) => rest.includes(name))!.name;
    for (let i = 0; i < 50; i++) cluster.propose(third);
    cluster.run(1_000);
    const away = rest.find((name) => name !== third)!;
    cluster.partition([third, second], [first, away, ...rest.filter((name) => name !== third && name !== away)]);
    for (let i = 0; i < 50; i++) cluster.propose(third);
    cluster.run(3_000);
    cluster.heal();
    const { messages } = cluster;
    one(cluster, 5);
    expect(cluster.messages - messages).toBeLessThan(150);
  });

  test("[LIFE4] Count: an election and an agreement take few messages", () => {
    const cluster = new Cluster({ servers: 3, seed: 13 });
    oneLeader(cluster);
    cluster.run(1_000);
    expect(cluster.messages).toBeLessThan(30);
    const before = cluster.messages;
    for (let i = 0; i < 10; i++) one(cluster, 3);
    // For each entry and follower: the entry, its answer, the commit; now and then it is asked whether that arrived.
    expect(cluster.messages - before).toBeLessThan(10 * 2 * 5);
  });
});

describe("3C", () => {
  test("[LIFE4] Persist1: all restart, then some", () => {
    const cluster = new Cluster({ servers: 3, seed: 14 });
    one(cluster, 3);
    for (const name of cluster.servers.keys()) cluster.restart(name);
    one(cluster, 3);
    cluster.restart(oneLeader(cluster));
    one(cluster, 3);
    const leader = oneLeader(cluster);
    cluster.disconnect(leader);
    one(cluster, 2);
    cluster.connect(leader);
    one(cluster, 3);
    cluster.restart(others(cluster, oneLeader(cluster))[0]!);
    one(cluster, 3);
  });

  test("[LIFE4] Persist2: a majority changes all the time", () => {
    const cluster = new Cluster({ servers: 5, seed: 15 });
    for (let round = 0; round < 5; round++) {
      one(cluster, 5);
      const leader = oneLeader(cluster);
      const rest = others(cluster, leader);
      cluster.crash(rest[0]!);
      cluster.crash(rest[1]!);
      one(cluster, 3);
      for (const name of [leader, rest[2]!, rest[3]!]) cluster.crash(name);
      cluster.start(rest[0]!);
      cluster.start(rest[1]!);
      cluster.run(500);
      cluster.start(rest[3]!);
      one(cluster, 3);
      cluster.start(leader);
      cluster.start(rest[2]!);
    }
    one(cluster, 5);
  });

  test("[LIFE4] Persist3: a leader and a follower are parted, the leader restarts", () => {
    const cluster = new Cluster({ servers: 3, seed: 16 });
    one(cluster, 3);
    const leader = oneLeader(cluster);
    const [first, second] = others(cluster, leader) as [string, string];
    cluster.disconnect(second);
    one(cluster, 2);
    cluster.crash(leader);
    cluster.crash(first);
    cluster.connect(second);
    cluster.start(leader);
    one(cluster, 2);
    cluster.start(first);
    one(cluster, 3);
  });

  test("[LIFE4] Figure8: leaders crash after they have proposed, with the disk behind", () => {
    const cluster = new Cluster({ servers: 5, seed: 17 });
    one(cluster, 5);
    for (let round = 0; round < 60; round++) {
      for (const { name } of cluster.leaders()) cluster.propose(name);
      cluster.run(cluster.random.whole(10) === 0 ? 500 : cluster.random.whole(13));
      const leader = cluster.leader();
      if (leader !== null) cluster.crash(leader.name);
      const names = [...cluster.servers.keys()];
      const up = names.filter((name) => cluster.server(name).group !== null);
      if (up.length < 3) cluster.start(names[cluster.random.whole(5)]!);
      cluster.run(200);
    }
    for (const name of cluster.servers.keys()) cluster.start(name);
    one(cluster, 5);
  });

  test("[LIFE4] UnreliableAgree: one message in ten is lost, others come late or twice", () => {
    const cluster = new Cluster({ servers: 5, seed: 18 });
    Object.assign(cluster.weather, { dropPercent: 10, doublePercent: 5, delayMs: 10, lateMs: 27 });
    for (let i = 0; i < 50; i++) {
      one(cluster, 1);
      for (let more = 0; more < 4; more++) for (const { name } of cluster.leaders()) cluster.propose(name);
    }
    one(cluster, 5);
  });

  test("[LIFE4] Figure8Unreliable: messages come in any order, long after", () => {
    const cluster = new Cluster({ servers: 5, seed: 19 });
    Object.assign(cluster.weather, { dropPercent: 10, delayMs: 10, lateMs: 2_000 });
    one(cluster, 1);
    for (let round = 0; round < 150; round++) {
      for (const { name } of cluster.leaders()) cluster.propose(name);
      cluster.run(cluster.random.whole(10) === 0 ? 500 : cluster.random.whole(13));
      const leader = cluster.leader();
      if (leader !== null && cluster.random.whole(2) === 0) cluster.disconnect(leader.name);
      const names = [...cluster.servers.keys()];
      if (names.filter((name) => !isCutOff(cluster, name)).length < 3) cluster.connect(names[cluster.random.whole(5)]!);
    }
    cluster.heal();
    Object.assign(cluster.weather, { dropPercent: 0, lateMs: 0 });
    one(cluster, 5);
  });

  test.each([
    ["ReliableChurn", { dropPercent: 0, lateMs: 0 }],
    ["UnreliableChurn", { dropPercent: 10, lateMs: 100 }],
  ])("[LIFE4] %s: servers come and go while all propose", (_, weather) => {
    const cluster = new Cluster({ servers: 5, seed: 20 });
    Object.assign(cluster.weather, weather);
    const names = [...cluster.servers.keys()];
    const commands: string[] = [];
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 3; i++) {
        const command = cluster.propose(names[cluster.random.whole(5)]!);
        if (command !== null) commands.push(command);
        cluster.run(cluster.random.whole(50));
      }
      if (cluster.random.whole(1000) < 200) cluster.disconnect(names[cluster.random.whole(5)]!);
      if (cluster.random.whole(1000) < 500) cluster.restart(names[cluster.random.whole(5)]!);
      if (cluster.random.whole(1000) < 200) cluster.connect(names[cluster.random.whole(5)]!);
      cluster.run(200);
    }
    cluster.heal();
    Object.assign(cluster.weather, { dropPercent: 0, lateMs: 0 });
    one(cluster, 5);
    // What anybody has, everybody has: the invariants have looked at each entry. That something was done is left to say.
    expect(commands.filter((command) => hasIt(cluster, command) === 5).length).toBeGreaterThan(5);
  });
});

describe("3D", () => {
  const snapshots = (seed: number, how: { disconnects: boolean; isReliable: boolean; crashes: boolean }): void => {
    const cluster = new Cluster({ servers: 3, seed, settings: { tailEntriesMax: 8 } });
    if (!how.isReliable) Object.assign(cluster.weather, { dropPercent: 10, lateMs: 50 });
    one(cluster, 3);
    for (let round = 0; round < 12; round++) {
      const leader = oneLeader(cluster);
      const victim = round % 3 === 1 ? leader : others(cluster, leader)[round % 2]!;
      if (how.disconnects) cluster.disconnect(victim);
      if (how.crashes) cluster.crash(victim);
      for (let i = 0; i < 10; i++) one(cluster, how.disconnects || how.crashes ? 2 : 3);
      for (const name of cluster.servers.keys()) cluster.compact(name);
      cluster.run(200);
      if (how.disconnects) cluster.connect(victim);
      if (how.crashes) cluster.start(victim);
      one(cluster, 3);
    }
    const bases = [...cluster.servers.values()].map(({ disk }) => disk.durable.baseIndex);
    expect(Math.min(...bases)).toBeGreaterThan(20);
  };

  test("[LIFE4] SnapshotBasic", () => snapshots(21, { disconnects: false, isReliable: true, crashes: false }));
  test("[LIFE4] SnapshotInstall", () => snapshots(22, { disconnects: true, isReliable: true, crashes: false }));
  test("[LIFE4] SnapshotInstallUnreliable", () =>
    snapshots(23, { disconnects: true, isReliable: false, crashes: false }));
  test("[LIFE4] SnapshotInstallCrash", () => snapshots(24, { disconnects: false, isReliable: true, crashes: true }));
  test("[LIFE4] SnapshotInstallUnCrash", () => snapshots(25, { disconnects: false, isReliable: false, crashes: true }));

  test("[LIFE4] SnapshotAllCrash: the log begins where the snapshot ends, after a restart too", () => {
    const cluster = new Cluster({ servers: 3, seed: 26 });
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 5; i++) one(cluster, 3);
      for (const name of cluster.servers.keys()) cluster.compact(name);
      const { decided } = cluster.invariants;
      for (const name of cluster.servers.keys()) cluster.crash(name);
      for (const name of cluster.servers.keys()) cluster.start(name);
      one(cluster, 3);
      expect(cluster.invariants.decided).toBeGreaterThan(decided);
    }
  });

  test("[LIFE4] SnapshotInit: after a snapshot and a restart, entries follow as before", () => {
    const cluster = new Cluster({ servers: 3, seed: 27 });
    for (let i = 0; i < 5; i++) one(cluster, 3);
    for (const name of cluster.servers.keys()) cluster.compact(name);
    for (const name of cluster.servers.keys()) cluster.restart(name);
    one(cluster, 3);
    for (const name of cluster.servers.keys()) cluster.restart(name);
    for (let i = 0; i < 5; i++) one(cluster, 3);
  });
});
