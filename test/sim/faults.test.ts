import { describe, expect, test } from "vitest";
import { checkLimits } from "../../src/base/limits.ts";
import { seededRandom } from "../../src/base/random.ts";
import { millis } from "../../src/base/units.ts";
import { type DiskControl, FaultInjector, safetyThenLiveness } from "../../src/sim/fault-injector.ts";
import {
  aimedAtLeaders,
  drawSchedule,
  drawSwarm,
  type Fault,
  type FaultKind,
  faultKinds,
  type Schedule,
  whoeverLeads,
} from "../../src/sim/faults.ts";
import type { SimHost } from "../../src/sim/host.ts";
import { Network } from "../../src/sim/network.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { shrink } from "../../src/sim/shrink.ts";
import { drawTinyLimits } from "../../src/sim/tiny-limits.ts";

const targets = { servers: ["n1", "n2"], clients: ["c1", "c2"] };

function draw(seed: number): { shape: string; schedule: Schedule } {
  const random = seededRandom(seed);
  const swarm = drawSwarm(random);
  return { shape: swarm.shape, schedule: drawSchedule(random, { swarm, targets, forMs: 120_000 }) };
}

/** A world whose hosts tick every 10 ms, with disks that only keep a diary. */
function world(seed = 1): {
  scheduler: Scheduler;
  network: Network;
  injector: FaultInjector;
  diary: string[];
  ticks: Map<string, number>;
  host: (name: string) => SimHost;
} {
  const scheduler = new Scheduler({ random: seededRandom(seed) });
  const network = new Network({ scheduler, random: seededRandom(seed + 1) });
  const diary: string[] = [];
  const ticks = new Map<string, number>();
  const boot = (host: SimHost): void => {
    diary.push(`${host.name} boots`);
    if (host.name.startsWith("n"))
      network.listen(host, 1, (stream) => (stream.onData = (bytes) => stream.write(bytes)));
    const { clock } = host;
    const tick = (): void => {
      ticks.set(host.name, (ticks.get(host.name) ?? 0) + 1);
      clock.after(millis(10), tick);
    };
    tick();
  };
  const disks = new Map<SimHost, DiskControl>();
  for (const name of [...targets.servers, ...targets.clients]) {
    const host = scheduler.host(name);
    const write = (line: string): void => void diary.push(`${name} ${line}`);
    disks.set(host, {
      killed: () => write("killed"),
      powerLost: (mode) => write(`power lost: ${mode}`),
      fail: ({ operation, persistent }) => write(`fail ${operation} ${persistent ? "always" : "once"}`),
      slowBy: (ms) => write(`slow ${ms}`),
      full: (isFull) => write(`full ${isFull}`),
      stuckFor: (ms) => write(`stuck ${ms}`),
      heal: () => write("heal"),
    });
    boot(host);
  }
  diary.length = 0;
  const stop = (host: SimHost, ended: () => void): void => {
    diary.push(`${host.name} stops`);
    host.input(5, "stopped", ended);
  };
  const wipe = (host: SimHost): boolean => {
    diary.push(`${host.name} is wiped`);
    host.crash("powerLoss");
    return true;
  };
  const disk = (host: SimHost): DiskControl | null => disks.get(host) ?? null;
  const leader = (): SimHost => scheduler.hostNamed("n2");
  const injector = new FaultInjector({ scheduler, network, boot, disk, stop, wipe, leader, felt: () => undefined });
  return { scheduler, network, injector, diary, ticks, host: (name) => scheduler.hostNamed(name) };
}

describe("a swarm", () => {
  test("a seed draws the same schedule always; about a tenth of the seeds are calm, and every kind comes up", () => {
    const shapes = new Map<string, number>();
    const kinds = new Set<FaultKind>();
    for (let seed = 0; seed < 400; seed++) {
      const { shape, schedule } = draw(seed);
      if (seed % 20 === 0) expect(draw(seed)).toEqual({ shape, schedule });
      shapes.set(shape, (shapes.get(shape) ?? 0) + 1);
      if (shape === "calm") expect(schedule).toEqual([]);
      if (shape === "single") expect(new Set(schedule.map((fault) => fault.kind)).size).toBe(1);
      for (const fault of schedule) kinds.add(fault.kind);
    }
    expect(shapes.get("calm")).toBeGreaterThan(20);
    expect(shapes.get("calm")).toBeLessThan(70);
    expect(shapes.get("single")).toBeGreaterThan(40);
    expect([...kinds].sort()).toEqual([...faultKinds].sort());
  });

  test("a schedule is in order, ends when the phase ends, and harms only what it may", () => {
    for (let seed = 0; seed < 100; seed++) {
      let last = 0;
      for (const fault of draw(seed).schedule) {
        expect(fault.at).toBeGreaterThanOrEqual(last);
        last = fault.at;
        const lasts = "forMs" in fault ? fault.forMs : "downMs" in fault ? fault.downMs : 0;
        expect(fault.at + lasts).toBeLessThanOrEqual(120_000);
        if ("host" in fault) expect(targets.servers).toContain(fault.host);
        if ("from" in fault) expect(fault.from).not.toBe(fault.to);
      }
    }
  });

  test("only allowed kinds are drawn", () => {
    for (let seed = 0; seed < 50; seed++) {
      const swarm = drawSwarm(seededRandom(seed), ["cut", "kill"]);
      for (const kind of Object.keys(swarm.perMinute)) expect(["cut", "kill"]).toContain(kind);
    }
  });

  test("tiny limits keep every rule between limits", () => {
    for (let seed = 0; seed < 200; seed++) {
      const limits = drawTinyLimits(seededRandom(seed));
      checkLimits(limits);
      expect(limits.segmentBytes).toBeLessThanOrEqual(16 * 1024);
    }
  });
});

describe("faults", () => {
  test("a kill leaves the machine and starts a new process after the time it says", async () => {
    const { scheduler, injector, diary, host } = world();
    injector.inject([
      { at: 100, kind: "kill", host: "n1", downMs: 500 },
      { at: 200, kind: "kill", host: "n1", downMs: 50 },
      { at: 300, kind: "power-loss", host: "n2", downMs: 100, mode: "torn" },
    ]);
    await scheduler.run({ until: millis(599) });
    expect(host("n1").alive).toBe(false);
    await scheduler.run({ until: millis(601) });
    // The second kill found nobody alive and must not start the process early.
    expect(host("n1").life).toBe(2);
    expect(diary).toEqual(["n1 killed", "n2 power lost: torn", "n2 boots", "n1 boots"]);
    expect(injector.counts()).toEqual({ kill: 2, "power-loss": 1 });
  });

  test("what lasts ends by itself, and overlapping faults end with the last", async () => {
    const { scheduler, injector, diary } = world();
    injector.inject([
      { at: 10, kind: "disk-full", host: "n1", forMs: 100 },
      { at: 50, kind: "disk-full", host: "n1", forMs: 200 },
      { at: 60, kind: "disk-error", host: "n1", operation: "sync", forMs: 0 },
      { at: 70, kind: "disk-slow", host: "n1", byMs: 40, forMs: 5 },
    ]);
    await scheduler.run({ until: millis(240) });
    expect(diary).toEqual(["n1 full true", "n1 full true", "n1 fail sync once", "n1 slow 40", "n1 slow 0"]);
    await scheduler.run({ until: millis(260) });
    expect(diary.at(-1)).toBe("n1 full false");
  });

  test("a partition separates and heals; a pause stops the ticks; a slow host ticks less", async () => {
    const { scheduler, network, injector, host, ticks } = world();
    injector.inject([{ at: 0, kind: "partition", one: ["n1", "c1"], other: ["n2", "c2"], forMs: 1_000 }]);
    await scheduler.run({ until: millis(1) });
    let echoed = 0;
    const stream = network.dial(host("c2"), { host: "n1", port: 1 });
    stream.onData = (bytes) => (echoed += bytes.length);
    stream.write(new Uint8Array(3));
    await scheduler.run({ until: millis(999) });
    expect(echoed).toBe(0);
    await scheduler.run({ until: millis(3_000) });
    expect(echoed).toBe(3);

    injector.inject([
      { at: 0, kind: "pause", host: "n1", forMs: 500 },
      { at: 0, kind: "slow", host: "n2", factor: 1_000, forMs: 1_000 },
    ]);
    ticks.clear();
    await scheduler.run({ until: millis(4_000) });
    expect(ticks.get("n1")).toBeLessThan(60);
    expect(ticks.get("n2")).toBeLessThan(20);
    expect(ticks.get("c1")).toBeGreaterThan(90);
  });

  test("what is aimed at whoever leads befalls the leader of the moment, and a partition leaves that one alone", async () => {
    const drawn: Schedule = [
      { at: 0, kind: "kill", host: "n1", downMs: 5 },
      { at: 1, kind: "partition", one: ["n1", "c1"], other: ["n2", "c2"], forMs: 1_000 },
    ];
    const aimed = Array.from({ length: 20 }, (_, seed) => aimedAtLeaders(seededRandom(seed), drawn));
    expect(aimed).toContainEqual(drawn);
    const both = aimed.find((faults) => faults.every((fault) => JSON.stringify(fault).includes(whoeverLeads)))!;
    const { scheduler, network, injector, host, diary } = world();
    injector.inject(both);
    await scheduler.run({ until: millis(500) });
    expect(diary.filter((line) => line.includes("killed"))).toEqual(["n2 killed"]);
    const echoed: string[] = [];
    for (const [from, to] of [
      ["c1", "n1"],
      ["c2", "n1"],
      ["c1", "n2"],
    ] as const) {
      const stream = network.dial(host(from), { host: to, port: 1 });
      stream.onData = () => echoed.push(`${from} ${to}`);
      stream.write(new Uint8Array(1));
    }
    await scheduler.run({ until: millis(900) });
    expect(echoed.sort()).toEqual(["c1 n1", "c2 n1"]);
  });

  test("all but a few are healed: those stay cut off and as they were, until everybody is healed", async () => {
    const { scheduler, network, injector, host, ticks } = world();
    injector.inject([
      { at: 0, kind: "kill", host: "n1", downMs: 60_000 },
      { at: 0, kind: "slow", host: "n2", factor: 1_000, forMs: 60_000 },
      { at: 5_000, kind: "kill", host: "c1", downMs: 60_000 },
    ]);
    await scheduler.run({ until: millis(100) });
    injector.healAllBut([host("n2")]);
    ticks.clear();
    let echoed = 0;
    const stream = network.dial(host("c1"), { host: "n2", port: 1 });
    stream.onData = (bytes) => (echoed += bytes.length);
    stream.write(new Uint8Array(3));
    await scheduler.run({ until: millis(6_000) });
    expect([host("n1").alive, host("c1").alive, echoed]).toEqual([true, true, 0]);
    expect(ticks.get("n1")).toBeGreaterThan(500);
    expect(ticks.get("n2")).toBeLessThan(100);
    injector.heal({ resetClocks: false });
    await scheduler.run({ until: millis(9_000) });
    expect(echoed).toBe(3);
    expect(ticks.get("n2")).toBeGreaterThan(200);
  });

  test("after healing nothing planned happens, everybody runs, and progress is demanded", async () => {
    const { scheduler, injector, ticks, host } = world();
    const forever = 1_000_000;
    injector.inject([
      { at: 10, kind: "kill", host: "n1", downMs: forever },
      { at: 10, kind: "pause", host: "n2", forMs: forever },
      { at: 10, kind: "block", from: "c1", to: "n1", forMs: forever },
      { at: 10, kind: "clock-freeze", host: "n1", forMs: forever },
      { at: 5_000, kind: "kill", host: "n2", downMs: forever },
    ]);
    const tookMs = await safetyThenLiveness({
      scheduler,
      injector,
      safetyMs: millis(1_000),
      livenessMs: millis(10_000),
      afterHealing: () => ticks.clear(),
      done: () => [...targets.servers, ...targets.clients].every((name) => (ticks.get(name) ?? 0) > 100),
    });
    expect(tookMs).toBeGreaterThan(900);
    expect(tookMs).toBeLessThan(1_200);
    await scheduler.run({ until: millis(20_000) });
    expect([host("n1").life, host("n2").life]).toEqual([2, 1]);
  });

  test("a world that makes no progress is found out", async () => {
    const { scheduler, injector } = world();
    const tookMs = await safetyThenLiveness({
      scheduler,
      injector,
      safetyMs: millis(10),
      livenessMs: millis(1_000),
      afterHealing: () => undefined,
      done: () => false,
    });
    expect(tookMs).toBeNull();
    expect(scheduler.now()).toBe(1_010);
  });

  test("whatever is drawn can be done, and twice the same gives the same hash", async () => {
    const run = async (seed: number): Promise<string> => {
      const { scheduler, network, injector, host } = world(seed);
      const random = seededRandom(seed);
      const swarm = drawSwarm(random);
      network.shape(swarm.link);
      injector.inject(drawSchedule(random, { swarm, targets, forMs: 20_000 }));
      const talk = (): void => {
        const stream = network.dial(host("c1"), { host: "n1", port: 1 });
        stream.onOpen = () => stream.write(seededRandom(seed).bytes(200));
        stream.onClose = () => host("c1").clock.after(millis(100), talk);
      };
      talk();
      await scheduler.run({ until: millis(20_000), eventsMax: 1_000_000 });
      injector.heal({ resetClocks: seed % 2 === 0 });
      await scheduler.run({ until: millis(25_000) });
      for (const one of scheduler.hosts()) expect(one.alive).toBe(true);
      return scheduler.traceHash();
    };
    for (let seed = 0; seed < 25; seed++) {
      const hash = await run(seed);
      if (seed % 5 === 0) expect(await run(seed)).toBe(hash);
    }
  });
});

describe("shrinking", () => {
  test("leaves exactly the faults that it takes, in their order", async () => {
    const schedule: Fault[] = [];
    for (let at = 0; at < 200; at++)
      schedule.push({ at, kind: at % 3 === 0 ? "kill" : "power-loss", host: "n1", downMs: 1, mode: "lost" });
    let tries = 0;
    const needed = [17, 18, 150];
    const shrunken = await shrink(schedule, (candidate) => {
      tries++;
      return needed.every((at) => candidate.some((fault) => fault.at === at));
    });
    expect(shrunken.map(({ at }) => at)).toEqual(needed);
    expect(tries).toBeLessThan(150);
  });

  test("finds the empty schedule when the faults have nothing to do with it, and works with promises", async () => {
    expect(await shrink([1, 2, 3], () => Promise.resolve(true))).toEqual([]);
    expect(await shrink([], () => true)).toEqual([]);
  });

  test("refuses a schedule that does not fail, and stops when asked to", async () => {
    await expect(shrink([1], () => false)).rejects.toThrow("does not fail");
    const left = await shrink([1, 2, 3, 4, 5, 6, 7, 8], (candidate) => candidate.includes(8), { triesMax: 1 });
    expect(left).toContain(8);
    expect(left.length).toBeGreaterThan(1);
  });
});
