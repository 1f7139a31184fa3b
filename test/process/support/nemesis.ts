import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../../../src/base/random.ts";
import { type Name, names, type UnkindCluster } from "./unkind-cluster.ts";

const hour = 3_600_000;

/** Somebody who makes things go wrong, and knows whom to choose. */
interface Malice {
  readonly world: UnkindCluster;
  readonly random: Random;
  /** Who leads, or any one when nobody does. */
  readonly leader: Name;
  /** The two others. */
  readonly others: readonly [Name, Name];
  /** Waits for that long, or down to an eighth of it. */
  readonly lasts: (msMax: number) => Promise<void>;
}

/** What goes wrong, from its beginning to its end. It leaves the world as it was, but for what is coming back by itself. */
type Fault = (malice: Malice) => Promise<void>;

const faults = {
  "kill leader": async ({ world, leader, lasts }) => {
    await world.kill(leader);
    await lasts(2_000);
    world.start(leader);
  },
  "kill follower": async ({ world, others: [one], lasts }) => {
    await world.kill(one);
    await lasts(3_000);
    world.start(one);
  },
  "kill two": async ({ world, leader, others: [one], lasts }) => {
    await Promise.all([world.kill(leader), world.kill(one)]);
    await lasts(1_000);
    world.start(one);
    await lasts(1_000);
    world.start(leader);
  },
  "kill all": async ({ world, lasts }) => {
    await Promise.all(names.map((name) => world.kill(name)));
    await lasts(500);
    for (const name of names) world.start(name);
  },
  "freeze leader": async ({ world, leader, lasts }) => {
    world.freeze(leader);
    await lasts(4_000);
    world.thaw(leader);
  },
  "freeze follower": async ({ world, others: [one], lasts }) => {
    world.freeze(one);
    await lasts(4_000);
    world.thaw(one);
  },
  "freeze two": async ({ world, leader, others: [one], lasts }) => {
    world.freeze(leader);
    world.freeze(one);
    await lasts(2_000);
    world.thaw(leader);
    await lasts(1_000);
    world.thaw(one);
  },
  "cut link": async ({ world, leader, others: [one, two], random, lasts }) => {
    const [from, to] = random.whole(2) === 0 ? [leader, one] : [one, two];
    world.setBetween(from, to, "cut");
    await lasts(4_000);
    world.setBetween(from, to, "open");
  },
  "cut off": async ({ world, leader, others: [one, two], random, lasts }) => {
    const [alone, ...rest] = random.whole(2) === 0 ? [leader, one, two] : [one, leader, two];
    for (const other of rest) world.setBetween(alone, other, "cut");
    await lasts(4_000);
    for (const other of rest) world.setBetween(alone, other, "open");
  },
  "cut all": async ({ world, lasts }) => {
    eachPair((one, other) => world.setBetween(one, other, "cut"));
    await lasts(2_000);
    eachPair((one, other) => world.setBetween(one, other, "open"));
  },
  "silent link": async ({ world, leader, others: [one, two], random, lasts }) => {
    const [from, to] = random.whole(2) === 0 ? [leader, one] : [one, two];
    world.setBetween(from, to, "silent");
    await lasts(5_000);
    world.setBetween(from, to, "open", { reset: random.whole(2) === 0 });
  },
  "silenced off": async ({ world, leader, others: [one, two], random, lasts }) => {
    const [alone, ...rest] = random.whole(2) === 0 ? [leader, one, two] : [one, leader, two];
    for (const other of rest) world.setBetween(alone, other, "silent");
    await lasts(5_000);
    for (const other of rest) world.setBetween(alone, other, "open", { reset: random.whole(2) === 0 });
  },
  "one-way link": async ({ world, leader, others: [one, two], random, lasts }) => {
    const ways: readonly (readonly [Name, Name])[] = [
      [leader, one],
      [one, leader],
      [one, two],
    ];
    const [from, to] = ways[random.whole(ways.length)]!;
    world.silence(from, to);
    await lasts(5_000);
    world.setBetween(from, to, "open");
  },
  "cut clients": async ({ world, random, lasts }) => {
    const server = names[random.whole(names.length)]!;
    world.setClients(server, "cut");
    await lasts(2_000);
    world.setClients(server, "open");
  },
  "silent clients": async ({ world, random, lasts }) => {
    const server = names[random.whole(names.length)]!;
    world.setClients(server, random.whole(2) === 0 ? "silent" : "silent to the dialler");
    await lasts(4_000);
    world.setClients(server, "open", { reset: random.whole(2) === 0 });
  },
  "power loss": async ({ world, leader, others: [one], random, lasts }) => {
    const lost = random.whole(2) === 0 ? leader : one;
    await world.losePower([lost], maybe(random));
    await lasts(1_000);
    world.start(lost);
  },
  "power loss of two": async ({ world, leader, others: [one], random, lasts }) => {
    const lost = [leader, one];
    await world.losePower(lost, maybe(random));
    await lasts(500);
    for (const name of lost) world.start(name);
  },
  "power loss of all": async ({ world, random, lasts }) => {
    await world.losePower(names, maybe(random));
    await lasts(500);
    for (const name of names) world.start(name);
  },
  "power loss in recovery": async ({ world, random, lasts }) => {
    await Promise.all(names.map((name) => world.kill(name)));
    for (const name of names) world.start(name);
    await lasts(400);
    await world.losePower(names, maybe(random));
    for (const name of names) world.start(name);
  },
  "disk full": async ({ world, leader, others: [one], random, lasts }) => {
    const machine = world.machine(random.whole(2) === 0 ? leader : one);
    machine.fillDisk(true);
    await lasts(5_000);
    machine.fillDisk(false);
  },
  "all disks full": async ({ world, lasts }) => {
    for (const name of names) world.machine(name).fillDisk(true);
    await lasts(3_000);
    for (const name of names) world.machine(name).fillDisk(false);
  },
  "slow disk": async ({ world, leader, others: [one], random, lasts }) => {
    const machine = world.machine(random.whole(2) === 0 ? leader : one);
    machine.slowDisk(10 + random.whole(1_500));
    await lasts(4_000);
    machine.slowDisk(0);
  },
  "failed flush": async ({ world, leader, others: [one], random, lasts }) => {
    const name = random.whole(2) === 0 ? leader : one;
    world.machine(name).failFlushes(true);
    await lasts(1_000);
    world.machine(name).failFlushes(false);
  },
  "clock jump": async ({ world, random, lasts }) => {
    const machine = world.machine(names[random.whole(names.length)]!);
    machine.setClock([hour, -hour, 26 * hour, -26 * hour, 3_000, -3_000][random.whole(6)]!);
    await lasts(6_000);
    machine.setClock(0);
  },
} satisfies Record<string, Fault>;

export type FaultName = keyof typeof faults;
export const faultNames = Object.keys(faults) as FaultName[];

function eachPair(visit: (one: Name, other: Name) => void): void {
  visit("n1", "n2");
  visit("n1", "n3");
  visit("n2", "n3");
}

/** Everything that was not flushed is lost, or some of it. */
function maybe(random: Random): Random | null {
  return random.whole(2) === 0 ? null : random;
}

/** Makes one thing go wrong, from its beginning to its end. */
export async function afflict(world: UnkindCluster, name: FaultName, random: Random): Promise<void> {
  const leader = (await world.leader()) ?? names[random.whole(names.length)]!;
  const [one, two] = names.filter((other) => other !== leader) as [Name, Name];
  const others: [Name, Name] = random.whole(2) === 0 ? [one, two] : [two, one];
  const lasts = (msMax: number): Promise<void> => pause(msMax / 8 + random.whole(Math.ceil((msMax * 7) / 8)));
  await faults[name]({ world, random, leader, others, lasts });
}
