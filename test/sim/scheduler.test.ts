import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { millis } from "../../src/base/units.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";

const world = (seed = 1): Scheduler => new Scheduler({ random: seededRandom(seed) });

/** A world with promises, timers, deferrals, crashes and pauses; answers what happened, in order. */
async function busyWorld(seed: number): Promise<{ log: string[]; hash: string; events: number }> {
  const scheduler = world(seed);
  const random = seededRandom(seed + 1);
  const log: string[] = [];
  for (let at = 0; at < 4; at++) {
    const host = scheduler.host(`n${at}`);
    const beat = (): void => {
      const { clock } = host;
      log.push(`${host.name} beat ${clock.wall()}`);
      clock.defer(() => log.push(`${host.name} end`));
      void Promise.resolve()
        .then(() => log.push(`${host.name} micro`))
        .then(() => clock.after(millis(random.whole(50) + 1), beat));
    };
    host.onStart(beat);
    beat();
    scheduler.after(millis(300 + at), "crash", () => host.crash("killed"));
    scheduler.after(millis(400 + at), "start", () => host.start());
    scheduler.after(millis(600), "pause", () => host.pause(random.whole(100)));
  }
  await scheduler.run({ until: millis(1_000) });
  return { log, hash: scheduler.traceHash(), events: scheduler.events };
}

describe("time", () => {
  test("stands still while a task runs and jumps from event to event", async () => {
    const scheduler = world();
    const seen: number[] = [];
    scheduler.after(millis(7.5), "b", () => seen.push(scheduler.now()));
    scheduler.after(millis(2), "a", () => {
      seen.push(scheduler.now());
      scheduler.after(millis(0), "now", () => seen.push(scheduler.now()));
    });
    await scheduler.run({ until: millis(100) });
    expect(seen).toEqual([2, 2, 7.5]);
    expect(scheduler.now()).toBe(100);
    expect(scheduler.events).toBe(3);
  });

  test("an event that is due after the end of a run waits for the next run", async () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    let fired = 0;
    host.clock.after(millis(10), () => fired++);
    await scheduler.run({ until: millis(9.9) });
    expect(fired).toBe(0);
    await scheduler.run({ until: millis(10) });
    expect(fired).toBe(1);
  });

  test("a timer that was called off never fires, and a thousand of them are not kept", async () => {
    const scheduler = world();
    const { clock } = scheduler.host("n1");
    let fired = 0;
    for (let round = 0; round < 5_000; round++) clock.after(millis(10_000), () => fired++).cancel();
    expect(scheduler.waiting).toBeLessThan(2_100);
    clock.after(millis(1), () => fired++);
    await scheduler.run({ until: millis(20_000) });
    expect(fired).toBe(1);
  });

  test("chance decides between events of one instant: every order comes up, and each equally often within reason", async () => {
    const orders = new Map<string, number>();
    for (let seed = 0; seed < 600; seed++) {
      const scheduler = world(seed);
      let order = "";
      for (const name of ["a", "b", "c"]) scheduler.after(millis(5), name, () => (order += name));
      await scheduler.run({ until: millis(5) });
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    expect(orders.size).toBe(6);
    for (const count of orders.values()) expect(count).toBeGreaterThan(60);
  });

  test("a chain of promises of any length has ended before the next event", async () => {
    const scheduler = world();
    const log: string[] = [];
    scheduler.after(millis(1), "one", () => {
      let chain = Promise.resolve();
      for (let hop = 0; hop < 200; hop++) chain = chain.then(() => undefined);
      void chain.then(() => log.push(`microtasks of one at ${scheduler.now()}`));
    });
    scheduler.after(millis(1.001), "two", () => log.push("two"));
    await scheduler.run({ until: millis(2) });
    expect(log).toEqual(["microtasks of one at 1", "two"]);
  });

  test("a world that never lets time pass is stopped", async () => {
    const scheduler = world();
    const again = (): void => void scheduler.after(millis(0), "again", again);
    again();
    await expect(scheduler.run({ until: millis(1), eventsMax: 1_000 })).rejects.toThrow("more than 1000 events");
  });

  test("what a task throws ends the run, or goes to whoever asked for it", async () => {
    const first = world();
    first.host("n1").clock.after(millis(1), () => expect.fail("on purpose"));
    await expect(first.run({ until: millis(2) })).rejects.toThrow("on purpose");

    const thrown: string[] = [];
    const second = new Scheduler({
      random: seededRandom(1),
      onThrow: (host, error) => {
        thrown.push(`${host.name}: ${String(error)}`);
        host.crash("killed");
      },
    });
    const host = second.host("n1");
    host.clock.after(millis(1), () => {
      throw new Error("broken");
    });
    host.clock.after(millis(5), () => thrown.push("never"));
    await second.run({ until: millis(10) });
    expect(thrown).toEqual(["n1: Error: broken"]);
  });
});

describe("turns", () => {
  test("what is deferred runs after everything of this host that is due at the same instant, in the order given", async () => {
    for (let seed = 0; seed < 50; seed++) {
      const scheduler = world(seed);
      const host = scheduler.host("n1");
      const log: string[] = [];
      for (const name of ["a", "b", "c"]) {
        host.input(3, "input", () => {
          log.push(name);
          host.clock.defer(() => log.push(`end ${name}`));
        });
      }
      await scheduler.run({ until: millis(5) });
      const begun = log.slice(0, 3);
      expect([...begun].sort()).toEqual(["a", "b", "c"]);
      expect(log.slice(3)).toEqual(begun.map((name) => `end ${name}`));
    }
  });

  test("input that comes close together is one turn", async () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    let turns = 0;
    let inputs = 0;
    for (const delay of [3.01, 3.04, 3.09]) {
      host.input(delay, "input", () => {
        if (inputs++ === 0) host.clock.defer(() => turns++);
        expect(turns).toBe(0);
      });
    }
    await scheduler.run({ until: millis(5) });
    expect([inputs, turns]).toEqual([3, 1]);
  });

  test("a slow host acts seldom, and loses nothing", async () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    const times: number[] = [];
    for (let at = 1; at <= 30; at++) host.input(at, "input", () => times.push(scheduler.now()));
    scheduler.after(millis(10.5), "slow", () => host.slow(100));
    await scheduler.run({ until: millis(100) });
    expect(times.length).toBe(30);
    expect(new Set(times.slice(10))).toEqual(new Set([20, 30]));
  });
});

describe("a crash", () => {
  test("takes timers, deferred tasks and input with it, and the next life starts clean", async () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    const log: string[] = [];
    const old = host.clock;
    old.after(millis(5), () => log.push("timer"));
    host.input(5, "input", () => log.push("input"));
    scheduler.after(millis(2), "crash", () => {
      old.defer(() => log.push("deferred"));
      host.crash("killed");
    });
    scheduler.after(millis(3), "start", () => {
      host.start();
      host.clock.after(millis(1), () => log.push("new life"));
      // The clock of the old life is dead also after the new one began.
      old.after(millis(0), () => log.push("ghost"));
      old.defer(() => log.push("ghost"));
    });
    await scheduler.run({ until: millis(20) });
    expect(log).toEqual(["new life"]);
    expect(host.life).toBe(2);
  });

  test("in the middle of an end of turn ends it there", async () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    const log: string[] = [];
    host.input(1, "input", () => {
      host.clock.defer(() => log.push("first"));
      host.clock.defer(() => host.crash("powerLoss"));
      host.clock.defer(() => log.push("third"));
    });
    await scheduler.run({ until: millis(2) });
    expect(log).toEqual(["first"]);
  });

  test("leaves the clock of its devices, which serves whichever life runs", async () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    const device = host.deviceClock;
    const log: string[] = [];
    device.after(millis(5), () => log.push("first life"));
    host.crash("killed");
    device.after(millis(5), () => log.push("nobody"));
    device.defer(() => log.push("nobody"));
    host.start();
    device.after(millis(5), () => log.push("second life"));
    device.defer(() => log.push("turn ends"));
    await scheduler.run({ until: millis(10) });
    expect(log).toEqual(["turn ends", "second life"]);
  });

  test("is told to the host's network and disk once", () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    const told: string[] = [];
    host.onCrash((kind) => told.push(kind));
    host.crash("powerLoss");
    host.crash("killed");
    expect(told).toEqual(["powerLoss"]);
  });
});

describe("a pause", () => {
  test("delays everything; overdue timers come first in their order, then queued input", async () => {
    for (let seed = 0; seed < 30; seed++) {
      const scheduler = world(seed);
      const host = scheduler.host("n1");
      const log: string[] = [];
      scheduler.after(millis(1), "pause", () => host.pause(500));
      host.input(10, "input", () => log.push(`input ${scheduler.now()}`));
      host.clock.after(millis(300), () => log.push(`late timer ${scheduler.now()}`));
      host.clock.after(millis(20), () => log.push(`early timer ${scheduler.now()}`));
      await scheduler.run({ until: millis(1_000) });
      expect(log).toEqual(["early timer 501", "late timer 501", "input 501"]);
    }
  });

  test("in the middle of a turn lets the turn end before anything else", async () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    const log: string[] = [];
    host.input(1, "input", () => {
      host.clock.defer(() => log.push("end of turn"));
      host.clock.after(millis(1), () => log.push("timer"));
      host.pause(100);
    });
    await scheduler.run({ until: millis(200) });
    expect(log).toEqual(["end of turn", "timer"]);
  });

  test("can end early, be prolonged, and be cut off by a crash", async () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    const log: number[] = [];
    host.pause(1_000);
    host.clock.after(millis(1), () => log.push(scheduler.now()));
    scheduler.after(millis(50), "resume", () => host.resume());
    await scheduler.run({ until: millis(100) });
    expect(log).toEqual([50]);

    host.pause(100);
    host.pause(300);
    host.clock.after(millis(1), () => log.push(scheduler.now()));
    await scheduler.run({ until: millis(1_500) });
    expect(log).toEqual([50, 400]);

    host.pause(100);
    host.clock.after(millis(1), () => log.push(scheduler.now()));
    scheduler.after(millis(10), "crash", () => host.crash("killed"));
    await scheduler.run({ until: millis(3_000) });
    expect(log).toEqual([50, 400]);
  });
});

describe("wall clocks", () => {
  test("jump, drift, freeze and swing without moving virtual time, each host its own", async () => {
    const scheduler = world();
    const one = scheduler.host("n1");
    const other = scheduler.host("n2");
    const start = one.clock.wall();
    const nowBefore = one.clock.now();
    one.wall.jump(-3_600_000);
    expect(one.clock.wall()).toBe(start - 3_600_000);
    expect(other.clock.wall()).toBe(start);
    one.wall.freeze();
    other.wall.drift(500_000);
    await scheduler.run({ until: millis(1_000) });
    expect(one.clock.wall()).toBe(start - 3_600_000);
    expect(other.clock.wall()).toBe(start + 1_500);
    expect(one.clock.now() - nowBefore).toBeCloseTo(1_000, 3);
    one.wall.heal();
    one.wall.jumpToMidnight(500);
    expect(new Date(one.clock.wall()).toISOString()).toBe("2026-11-23T23:59:59.500Z");
    await scheduler.run({ until: millis(2_000) });
    expect(new Date(one.clock.wall()).toISOString()).toBe("2026-11-24T00:00:00.500Z");
    one.wall.strobe({ byMs: -200, periodMs: 100 });
    const shown = new Set<number>();
    for (let at = 2_010; at < 2_100; at += 10) {
      await scheduler.run({ until: millis(at) });
      shown.add(one.clock.wall() - Date.UTC(2026, 10, 24) - 500 - (at - 2_000));
    }
    expect(shown).toEqual(new Set([0, -200]));
    one.wall.jump(-1e15);
    expect(one.clock.wall()).toBeGreaterThanOrEqual(0);
  });

  test("the monotonic clock of a new life starts anywhere and never goes back within a life", async () => {
    const scheduler = world();
    const host = scheduler.host("n1");
    const first = host.clock.now();
    await scheduler.run({ until: millis(10) });
    expect(host.clock.now()).toBeGreaterThanOrEqual(first + 9.999);
    host.crash("killed");
    host.start();
    expect(Math.abs(host.clock.now() - first)).toBeGreaterThan(100);
  });
});

describe("determinism", () => {
  test("the same seed gives the same events and the same hash; another seed does not", async () => {
    const first = await busyWorld(7);
    const second = await busyWorld(7);
    const third = await busyWorld(8);
    expect(second).toEqual(first);
    expect(first.log.length).toBeGreaterThan(200);
    expect(third.hash).not.toBe(first.hash);
  });

  test("a fact that differs makes another hash", () => {
    const one = world();
    const other = world();
    one.trace("delivered", 5);
    other.trace("delivered", 6);
    expect(one.traceHash()).not.toBe(other.traceHash());
  });
});
