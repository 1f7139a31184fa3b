import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { millis } from "../../src/base/units.ts";
import { FaultInjector, safetyThenLiveness } from "../../src/sim/fault-injector.ts";
import { drawSchedule, drawSwarm, type FaultKind } from "../../src/sim/faults.ts";
import type { SimHost } from "../../src/sim/host.ts";
import { Network } from "../../src/sim/network.ts";
import { Oracle, type Verdict } from "../../src/sim/oracle.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { directRoom, drawWorkload } from "../../src/sim/workload.ts";
import { WorkloadPlayer } from "../../src/sim/workload-player.ts";
import { serveToy, type ToyBugs, ToyClient, type ToyState } from "./toy-chat.ts";

const allowed: readonly FaultKind[] = [
  "cut",
  "clog",
  "block",
  "half-open",
  "kill",
  "power-loss",
  "pause",
  "slow",
  "clock-jump",
  "clock-midnight",
  "clock-strobe",
];

interface Run {
  readonly verdict: Verdict;
  readonly tookMs: number | null;
  readonly hash: string;
  readonly events: number;
}

/** A toy server and five toy clients, 20 virtual seconds under whatever the seed draws, then healed and judged. */
async function run(seed: number, bugs: ToyBugs = {}): Promise<Run> {
  const scheduler = new Scheduler({ random: seededRandom(seed * 10) });
  const network = new Network({ scheduler, random: seededRandom(seed * 10 + 1) });
  const random = seededRandom(seed * 10 + 2);
  const server = scheduler.host("server");
  const state: ToyState = { rooms: new Map(), storedAt: new Map() };
  const boot = (host: SimHost): void => serveToy({ host, network, state, bugs, trueNow: () => scheduler.now() });
  boot(server);
  const workload = drawWorkload({ random: seededRandom(seed * 10 + 3), clients: 5, rooms: 3, forMs: 20_000 });
  const clients = workload.users.map((user, index) => {
    const host = scheduler.host(`client${index}`);
    return { host, client: new ToyClient({ user, host, network }) };
  });
  const swarm = drawSwarm(random, allowed);
  network.shape(swarm.link);
  const injector = new FaultInjector({
    scheduler,
    network,
    boot,
    disk: () => null,
    stop: () => undefined,
    wipe: () => false,
    felt: () => undefined,
    leader: () => scheduler.hostNamed("server"),
  });
  const targets = { servers: ["server"], clients: clients.map(({ host }) => host.name) };
  injector.inject(drawSchedule(random, { swarm, targets, forMs: 20_000 }));
  // The toy never gives up, so its requests may take as long as the faults do.
  const oracle = new Oracle({ sendWithinMs: null, requestWithinMs: null });
  const player = new WorkloadPlayer({ scheduler, oracle, workload, mayLag: false, client: (index) => clients[index]! });
  player.play();
  // One client in two runs is killed in the middle and begins anew, with nothing in its hands.
  if (seed % 2 === 1) {
    scheduler.after(millis(8_000), "client crash", () => {
      const { host, client } = clients[0]!;
      host.crash("killed");
      player.clientCrashed(0);
      host.start();
      clients[0] = { host, client: new ToyClient({ user: client.user, host, network }) };
    });
  }
  const tookMs = await safetyThenLiveness({
    scheduler,
    injector,
    safetyMs: millis(20_000),
    livenessMs: millis(20_000),
    afterHealing: () => {
      for (const { client } of clients) client.reconnect();
      for (const index of clients.keys()) player.beginCatchUp(index);
    },
    done: () => player.isCaughtUp,
    eventsMax: 2_000_000,
  });
  player.endCatchUp();
  const verdict = oracle.finish({ at: scheduler.now() });
  return { verdict, tookMs, hash: scheduler.traceHash(), events: scheduler.events };
}

describe("the world in a box", () => {
  test("a right server under every swarm: no anomaly, and everybody catches up", async () => {
    let sends = 0;
    let resumes = 0;
    for (let seed = 1; seed <= 16; seed++) {
      const { verdict, tookMs } = await run(seed);
      expect(verdict.anomalies, `seed ${seed}`).toEqual([]);
      expect(tookMs, `seed ${seed}`).not.toBeNull();
      sends += verdict.seen.acknowledged;
      resumes += verdict.seen.resumes;
    }
    expect(sends).toBeGreaterThan(3_000);
    expect(resumes).toBeGreaterThan(100);
  });

  test("twice the same seed gives the same hash and the same verdict", async () => {
    for (const seed of [3, 4]) expect(await run(seed)).toEqual(await run(seed));
  });

  const bugs: readonly { readonly bugs: ToyBugs; readonly finds: readonly string[] }[] = [
    { bugs: { forgetsIds: true }, finds: ["duplicate", "repeat disagrees", "repeat not marked"] },
    {
      bugs: { losesTail: true },
      finds: ["inconsistent offsets", "unseen", "repeat disagrees"],
    },
    { bugs: { skipsPush: true }, finds: ["poll skip"] },
    { bugs: { trustsClock: true }, finds: ["decreasing ts"] },
    { bugs: { reorders: true }, finds: ["nonmonotonic send", "real-time order", "acknowledgement disagrees"] },
    { bugs: { resumesTooEarly: true }, finds: ["nonmonotonic poll"] },
  ];
  for (const { bugs: asked, finds } of bugs) {
    test(`a server that ${Object.keys(asked).join()} is found out`, async () => {
      const found = new Set<string>();
      // As many seeds as it takes, at most twelve.
      for (let seed = 1; seed <= 12 && !finds.every((name) => found.has(name)); seed++) {
        for (const name of Object.keys((await run(seed, asked)).verdict.counts)) found.add(name);
      }
      expect([...found]).toEqual(expect.arrayContaining([...finds]));
    });
  }
});

describe("a workload", () => {
  const draw = (seed: number) => drawWorkload({ random: seededRandom(seed), clients: 6, rooms: 4, forMs: 300_000 });

  test("is the same for the same seed, in order, within its time, and does everything", () => {
    const { intents, rooms, users } = draw(5);
    expect(draw(5).intents).toEqual(intents);
    expect(intents.every((intent, at) => at === 0 || intents[at - 1]!.at <= intent.at)).toBe(true);
    expect(intents.every(({ at }) => at < 300_000 + 1)).toBe(true);
    expect(new Set(intents.map(({ act }) => act)).size).toBe(10);
    expect(rooms[0]).toBe("lobby");
    expect(users.length).toBe(6);
    const sends = intents.filter((intent) => intent.act === "send");
    expect(new Set(sends.map(({ kind }) => kind))).toEqual(new Set(["text", "edit", "delete", "react", "unreact"]));
    expect(sends.some(({ room }) => room.startsWith("@"))).toBe(true);
  });

  test("repeats about two in a hundred sends, and gives about one in a hundred another body", () => {
    let first = 0;
    let repeats = 0;
    let conflicts = 0;
    for (let seed = 0; seed < 5; seed++) {
      const bodies = new Map<string, string>();
      for (const intent of draw(seed).intents) {
        if (intent.act !== "send") continue;
        const before = bodies.get(intent.cid);
        if (before === undefined) first++;
        else if (before === intent.body) repeats++;
        else conflicts++;
        bodies.set(intent.cid, before ?? intent.body);
      }
    }
    expect(repeats / first).toBeGreaterThan(0.01);
    expect(repeats / first).toBeLessThan(0.03);
    expect(conflicts / first).toBeGreaterThan(0.004);
    expect(conflicts / first).toBeLessThan(0.02);
  });

  test("keeps bodies within their bound, and nobody in a direct room that is not theirs", () => {
    const { intents, users } = drawWorkload({
      random: seededRandom(2),
      clients: 6,
      rooms: 2,
      forMs: 100_000,
      bodyBytesMax: 64,
    });
    for (const intent of intents) {
      if (intent.act === "send") expect(new TextEncoder().encode(intent.body).length).toBeLessThanOrEqual(64);
      if ("room" in intent && intent.room.startsWith("@")) {
        expect(intent.room.slice(1).split(",")).toContain(users[intent.client]);
      }
    }
    expect(directRoom("bob", "alice")).toBe("@alice,bob");
    expect(directRoom("bob", "bob")).toBe("@bob,bob");
  });
});
