import type { Change } from "../../src/consensus/configuration-change.ts";
import { nodeOf, type ReplicaId } from "../../src/consensus/replica.ts";
import { isJoint } from "../../src/consensus/configuration.ts";
import { type CampaignPolicy, rankedCampaigns } from "../../src/consensus/election/campaign-policy.ts";
import { Cluster } from "./cluster.ts";
import { ensure } from "./ensure.ts";
import { randomizedCampaigns } from "./randomized-campaigns.ts";

/**
 * One random life of a cluster, all from the seed: first anything may happen and nothing may go wrong, then all faults
 * end and everything must come to rest: a leader, equal logs, reads answered.
 */
export function randomLife(seed: number, trace: string[] | null = null): Cluster {
  const draw = seed % 7;
  const servers = [3, 3, 3, 5, 1, 3, 2][draw]!;
  const policy: CampaignPolicy = seed % 2 === 0 ? randomizedCampaigns() : rankedCampaigns();
  const isTight = seed % 3 === 0;
  const settings = isTight
    ? { tailEntriesMax: 4, inFlightMessagesMax: 2, appendBytesMax: 64, probeBytesMax: 32, inFlightBytesMax: 128 }
    : {};
  const cluster = new Cluster({ servers, seed, policy, settings, spares: 2 });
  cluster.trace = trace;
  const { random, weather } = cluster;
  // Each life has its own weather: all faults at once hide each other.
  if (random.whole(2) === 0) weather.dropPercent = random.whole(25);
  if (random.whole(2) === 0) weather.doublePercent = random.whole(20);
  if (random.whole(2) === 0) weather.lateMs = random.whole(400);
  weather.flushMs = 1 + random.whole(20);
  const isAllowed = Array.from({ length: 10 }, () => random.whole(2) === 0);
  // With two voters a damaged log that is the longer one can't be outvoted: that needs a word of the operator.
  if (servers < 3) isAllowed[7] = false;
  // One disk may be lost of three or five, and nothing else of that kind at the same time.
  if (servers < 3 || isAllowed[4] === true || isAllowed[7] === true) isAllowed[8] = false;
  const steps = 20 + random.whole(40);
  for (let i = 0; i < steps; i++) {
    disturb(cluster, isAllowed);
    cluster.run(random.whole(200));
  }
  comeToRest(cluster);
  return cluster;
}

function disturb(cluster: Cluster, isAllowed: readonly boolean[]): void {
  const { random } = cluster;
  const names = [...cluster.servers.keys()];
  const anybody = names[random.whole(names.length)]!;
  const leader = cluster.leader()?.name ?? anybody;
  switch (random.whole(18)) {
    case 0:
      if (isAllowed[0]) cluster.crash(random.whole(2) === 0 ? leader : anybody, random.whole(2) === 0);
      return;
    case 1:
    case 2:
      // Damage at one server at most: what two have lost nobody may have any more.
      if (isAllowed[7]) cluster.damage(names[0]!);
      for (const name of names) if (random.whole(2) === 0) cluster.start(name);
      return;
    case 3:
      if (isAllowed[1]) cluster.cut(leader, anybody);
      if (isAllowed[2]) cluster.cut(anybody, leader);
      return;
    case 4: {
      if (!isAllowed[3]) return;
      const left = names.filter(() => random.whole(2) === 0);
      cluster.partition(
        left,
        names.filter((name) => !left.includes(name)),
      );
      return;
    }
    case 5:
    case 6:
      cluster.heal();
      return;
    case 7:
      if (isAllowed[4]) changeMembers(cluster, leader, anybody, isAllowed[7] === true ? 3 : 2);
      return;
    case 8:
      cluster.transfer(leader, anybody);
      return;
    case 9:
      if (isAllowed[5]) cluster.compact(anybody);
      return;
    case 10:
      cluster.server(anybody).diskHangs = isAllowed[6] === true && random.whole(2) === 0;
      return;
    case 11:
      cluster.campaign(anybody);
      return;
    case 13:
      if (isAllowed[8] && cluster.server("n2").replica === "n2#1" && random.whole(4) === 0) cluster.wipe("n2");
      return;
    case 14:
      if (isAllowed[9]) cluster.pause(random.whole(2) === 0 ? leader : anybody, random.whole(2_000));
      return;
    case 12:
      cluster.read(anybody);
      cluster.read(leader);
      return;
    default:
      for (let i = random.whole(6); i >= 0; i--)
        cluster.propose(random.whole(4) === 0 ? anybody : leader, random.whole(40));
  }
}

function changeMembers(cluster: Cluster, leader: string, anybody: string, votersMin: number): void {
  const group = cluster.server(leader).group;
  if (group === null || isJoint(group.configuration)) return;
  const replica = cluster.replica(anybody);
  const { voters, learners } = group.configuration;
  const changes: Change[] = [];
  if (learners.includes(replica)) changes.push({ type: "voter", replica });
  else if (!voters.includes(replica)) changes.push({ type: "learner", replica });
  else if (voters.length > votersMin)
    changes.push({ type: cluster.random.whole(2) === 0 ? "remove" : "learner", replica });
  const learner = learners.find((other) => other !== replica);
  if (learner !== undefined && cluster.random.whole(2) === 0) changes.push({ type: "voter", replica: learner });
  if (changes.length > 0) cluster.change(leader, changes);
}

/** All faults end. Whoever belongs to the group must agree again, and soon. */
export function comeToRest(cluster: Cluster): void {
  cluster.heal();
  Object.assign(cluster.weather, { dropPercent: 0, doublePercent: 0, lateMs: 0, flushMs: 3 });
  for (const server of cluster.servers.values()) {
    server.diskHangs = false;
    if (server.pausedUntil > cluster.now) cluster.run(server.pausedUntil - cluster.now);
  }
  for (const name of cluster.servers.keys()) cluster.start(name);
  const elected = cluster.runUntil(() => cluster.leader()?.group?.standing.role === "leader", 10_000);
  ensure(elected, "liveness: nobody leads after all faults have ended");
  cluster.run(1_500);
  takeBack(cluster);
  let command: string | null = null;
  const proposed = cluster.runUntil(() => {
    command ??= cluster.propose(cluster.leader()!.name);
    return command !== null && cluster.has(cluster.leader()!.name, command);
  }, 5_000);
  ensure(proposed, "liveness: nothing is committed after all faults have ended");
  cluster.run(3_000);
  const leader = cluster.leader()!;
  const { configuration } = leader.group!;
  ensure(!isJoint(configuration), "liveness: a change of members is stuck");
  for (const server of cluster.servers.values()) {
    if (![...configuration.voters, ...configuration.learners].includes(server.replica)) continue;
    ensure(
      server.disk.durable.lastIndex === leader.disk.durable.lastIndex && server.applied === leader.applied,
      `liveness: ${server.replica} has ${server.applied} of ${server.disk.durable.lastIndex}, its leader ${leader.applied} of ${leader.disk.durable.lastIndex}`,
    );
    ensure(server.group!.standing.leader === leader.replica, `liveness: ${server.replica} does not know its leader`);
  }
  ensure(cluster.openReads().length === 0, `liveness: reads ${cluster.openReads().join(" ")} never end`);
}

/** A server that lost its disk comes in as a learner, and then for who it was before. */
function takeBack(cluster: Cluster): void {
  for (const { name, replica } of cluster.servers.values()) {
    const isVoter = (voter: ReplicaId): boolean => cluster.leader()!.group!.configuration.voters.includes(voter);
    const former = cluster
      .leader()!
      .group!.configuration.voters.find((voter) => voter !== replica && nodeOf(voter) === name);
    if (former === undefined || isVoter(replica)) continue;
    const learn: Change = { type: "learner", replica };
    ensure(
      cluster.runUntil(() => cluster.change(cluster.leader()!.name, [learn]), 3_000),
      "liveness: no learner is taken",
    );
    const swap: Change[] = [
      { type: "voter", replica },
      { type: "remove", replica: former },
    ];
    ensure(
      cluster.runUntil(() => cluster.change(cluster.leader()!.name, swap), 5_000),
      "liveness: no learner catches up",
    );
    cluster.run(1_000);
    ensure(isVoter(replica) && !isVoter(former), "liveness: a lost server is not replaced");
  }
}
