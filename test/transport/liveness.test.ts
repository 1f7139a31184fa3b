import { describe, expect, test } from "vitest";
import type { NodeName } from "../../src/base/ids.ts";
import { type Millis, millis } from "../../src/base/units.ts";
import { decodeHeartbeat, encodeHeartbeat, type Heartbeat } from "../../src/transport/liveness/heartbeat.ts";
import { Liveness, type LivenessEvent } from "../../src/transport/liveness/liveness.ts";
import { checkLivenessTiming, defaultLivenessTiming } from "../../src/transport/liveness/liveness-timing.ts";
import { LoopWatch } from "../../src/transport/liveness/loop-watch.ts";
import { type LifeInput, type PeerLife, stepLife } from "../../src/transport/liveness/peer-liveness.ts";
import type { RunId } from "../../src/transport/remote-server.ts";
import { named } from "./link-town.ts";

const runOf = (name: string): RunId => Buffer.from(name.padEnd(16, "_")).toString("hex") as RunId;
const n2 = named("n2");
const n3 = named("n3");

interface BeatOptions {
  number?: number;
  run?: RunId;
  syncAgeMs?: number;
  hears?: readonly NodeName[];
}

/** Liveness of n1, its clock moved by hand. */
class Watch {
  readonly liveness = new Liveness({ self: named("n1"), run: runOf("n1"), timing: defaultLivenessTiming });
  readonly events: LivenessEvent[] = [];
  now = 5_000;
  #number = 0;

  constructor(...peers: NodeName[]) {
    this.liveness.tick(millis(this.now));
    for (const peer of peers) {
      this.liveness.watch(peer);
      this.liveness.linkUp(peer);
    }
  }

  /** Ticks on time. */
  pass(forMs: number): void {
    for (let left = forMs; left > 0; left -= 20) this.tickAfter(20);
  }

  tickAfter(elapsedMs: number): void {
    this.now += elapsedMs;
    this.events.push(...this.liveness.tick(millis(this.now)));
  }

  beat(peer: NodeName, options: BeatOptions = {}, via: NodeName | null = null): void {
    const { run = runOf(peer), number = ++this.#number, syncAgeMs = 0, hears = [] } = options;
    const beat = { run, number, syncAgeMs: millis(syncAgeMs), loopLagMs: millis(0), hears, vouched: new Uint8Array(0) };
    this.events.push(...this.liveness.heard(peer, via, beat));
  }

  /** What was told since the last time, heartbeats apart. */
  told(): string[] {
    return this.events
      .splice(0)
      .filter(({ type }) => type !== "heartbeat")
      .map((event) => ("peer" in event ? `${event.peer} ${event.type}` : event.type));
  }
}

describe("one server's life as another sees it", () => {
  const run = runOf("n2");
  const lives: Record<string, PeerLife> = {
    unknown: { state: "unknown", since: millis(1_000) },
    alive: { state: "alive", run, number: 5, heardAt: millis(1_000) },
    suspected: { state: "suspected", last: { run, number: 5 } },
    "suspected, never heard": { state: "suspected", last: null },
    dead: { state: "dead", last: { run, number: 5 } },
    "dead, never heard": { state: "dead", last: null },
  };
  const inputs: Record<string, LifeInput> = {
    "newer beat": { type: "heard", at: millis(1_100), run, number: 6 },
    "same beat": { type: "heard", at: millis(1_100), run, number: 5 },
    "another run": { type: "heard", at: millis(1_100), run: runOf("again"), number: 1 },
    "silence, short": { type: "judge", at: millis(1_599), suspectAfterMs: millis(600) },
    "silence, long": { type: "judge", at: millis(1_600), suspectAfterMs: millis(600) },
    refused: { type: "refused" },
  };
  const first = "alive: alive";
  const table: Record<string, Record<string, string>> = {
    unknown: {
      "newer beat": first,
      "same beat": first,
      "another run": first,
      "silence, short": "unknown: none",
      "silence, long": "suspected: suspected",
      refused: "dead: dead",
    },
    alive: {
      "newer beat": "alive: none",
      "same beat": "alive: stale",
      "another run": "alive: new-run",
      "silence, short": "alive: none",
      "silence, long": "suspected: suspected",
      refused: "dead: dead",
    },
    suspected: {
      "newer beat": "alive: back",
      "same beat": "suspected: stale",
      "another run": "alive: back",
      "silence, short": "suspected: none",
      "silence, long": "suspected: none",
      refused: "dead: dead",
    },
    "suspected, never heard": {
      "newer beat": first,
      "same beat": first,
      "another run": first,
      "silence, short": "suspected: none",
      "silence, long": "suspected: none",
      refused: "dead: dead",
    },
    dead: {
      "newer beat": "alive: back",
      "same beat": "dead: stale",
      "another run": "alive: back",
      "silence, short": "dead: none",
      "silence, long": "dead: none",
      refused: "dead: none",
    },
    "dead, never heard": {
      "newer beat": first,
      "same beat": first,
      "another run": first,
      "silence, short": "dead: none",
      "silence, long": "dead: none",
      refused: "dead: none",
    },
  };

  test("[PEER23] every input has an answer in every state", () => {
    const found = Object.fromEntries(
      Object.entries(lives).map(([name, life]) => [
        name,
        Object.fromEntries(
          Object.entries(inputs).map(([what, input]) => {
            const step = stepLife(life, input);
            return [what, `${step.life.state}: ${step.change}`];
          }),
        ),
      ]),
    );
    expect(found).toEqual(table);
  });

  test("[PEER24] suspected after 600 ms of silence, not sooner, and back with the next heartbeat", () => {
    const watch = new Watch(n2);
    watch.beat(n2);
    expect(watch.told()).toEqual(["n2 alive"]);
    watch.pass(580);
    expect(watch.told()).toEqual([]);
    watch.pass(20);
    expect(watch.told()).toEqual(["n2 suspected"]);
    watch.pass(200);
    watch.beat(n2);
    expect(watch.told()).toEqual(["n2 back"]);
  });

  test("[PEER24] a server that was never heard is suspected as well", () => {
    const watch = new Watch(n2);
    watch.pass(600);
    expect(watch.told()).toEqual(["n2 suspected"]);
    watch.beat(n2);
    expect(watch.told()).toEqual(["n2 alive"]);
  });

  test("[PEER24] heartbeats every 100 ms keep a server alive for as long as they come", () => {
    const watch = new Watch(n2);
    for (let count = 0; count < 500; count++) {
      watch.beat(n2);
      watch.pass(100);
    }
    expect(watch.told()).toEqual(["n2 alive"]);
  });

  test("[PEER25] a refused connection tells at once that the process is dead", () => {
    const watch = new Watch(n2);
    watch.beat(n2);
    watch.told();
    watch.events.push(...watch.liveness.refused(n2));
    expect(watch.told()).toEqual(["n2 dead"]);
    watch.events.push(...watch.liveness.refused(n2));
    watch.pass(2_000);
    expect(
      watch.told().filter((line) => line !== "n2 link-silent"),
      "told once",
    ).toEqual([]);
    watch.beat(n2, { run: runOf("n2 again"), number: 1 });
    expect(watch.told()).toEqual(["n2 back"]);
  });

  test("[PEER25] a firewall that refuses is no death of a server that is heard through another", () => {
    const watch = new Watch(n3);
    watch.liveness.watch(n2);
    watch.beat(n2, {}, n3);
    watch.told();
    watch.events.push(...watch.liveness.refused(n2));
    expect(watch.told()).toEqual([]);
    watch.pass(600);
    expect(watch.told(), "silence tells").toContain("n2 suspected");
    watch.events.push(...watch.liveness.refused(n2));
    expect(watch.told()).toEqual(["n2 dead"]);
  });

  test("[PEER29] a run that another followed does not come back, however late its heartbeats are", () => {
    const watch = new Watch(n2);
    watch.beat(n2, { number: 5 });
    watch.beat(n2, { run: runOf("n2 again"), number: 1 });
    expect(watch.told()).toEqual(["n2 alive", "n2 new-run"]);
    watch.pass(600);
    watch.told();
    watch.beat(n2, { number: 6 });
    expect(watch.told()).toEqual([]);
    expect(watch.liveness.lifeOf(n2)?.state).toBe("suspected");
  });
});

describe("a server that is slow itself", () => {
  test("[PEER26] after a stall it hears before it judges: nobody is suspected for its own silence", () => {
    const watch = new Watch(n2, n3);
    watch.beat(n2);
    watch.beat(n3);
    watch.told();
    watch.tickAfter(5_000);
    expect(watch.told()).toEqual(["stalled"]);
    // What waited in the sockets is heard now; n3 said nothing.
    watch.beat(n2);
    watch.pass(400);
    expect(watch.told()).toEqual([]);
  });

  test("[PEER26] stall after stall, each adds no more than one heartbeat's time to anybody's silence", () => {
    const watch = new Watch(n2);
    watch.beat(n2);
    watch.told();
    const before = watch.liveness.suspectAfterMs;
    for (let count = 0; count < 5; count++) watch.tickAfter(1_000);
    expect(watch.told()).toEqual(Array.from({ length: 5 }, () => "stalled"));
    expect(before).toBe(600);
    // It lags by a second, so 1,580 ms are waited for, of which each stall counts as 100; then it does suspect.
    for (let count = 0; count < 10; count++) watch.tickAfter(1_000);
    expect(watch.told().filter((line) => line !== "stalled")).toEqual([]);
    watch.tickAfter(1_000);
    expect(watch.told()).toEqual(["stalled", "n2 suspected"]);
    const loop = new LoopWatch({ tickMs: millis(20), creditMsMax: millis(100) });
    let now = 0;
    let steps = 0;
    for (const elapsed of [20, 25, 100, 101, 4_000, 20, 0]) {
      now += elapsed;
      loop.tick(millis(now));
      steps += Math.min(elapsed, 100);
      // The first tick only starts the watch.
      expect(loop.credited).toBe(steps - 20);
    }
  });

  test("[PEER26] a clock that stands still or is read twice in a turn charges nobody", () => {
    const loop = new LoopWatch({ tickMs: millis(20), creditMsMax: millis(100) });
    loop.tick(millis(500));
    expect(loop.tick(millis(500))).toBe(0);
    expect([loop.credited, loop.lagMs]).toEqual([0, 0]);
  });

  test("[PEER27] its own lag lengthens its suspicion, up to a bound, and wears off", () => {
    const watch = new Watch(n2);
    watch.tickAfter(20);
    expect(watch.liveness.suspectAfterMs).toBe(600);
    watch.tickAfter(90);
    expect(watch.liveness.suspectAfterMs).toBe(670);
    watch.tickAfter(520);
    expect(watch.liveness.suspectAfterMs).toBe(1_100);
    watch.tickAfter(60_000);
    expect(watch.liveness.suspectAfterMs).toBe(600 + defaultLivenessTiming.ownLagMsMax);
    watch.pass(119_960);
    expect(watch.liveness.suspectAfterMs).toBe(600);
  });

  test("[PEER27] a server that lags by 500 ms waits for that much longer before it suspects", () => {
    const watch = new Watch(n2);
    watch.tickAfter(520);
    watch.beat(n2);
    watch.told();
    watch.pass(700);
    expect(watch.told()).toEqual([]);
    watch.pass(100);
    expect(watch.told()).toEqual(["n2 suspected"]);
  });
});

describe("what heartbeats carry", () => {
  test("[PEER28] a disk whose oldest write waits for more than a second is told as stuck, once, and as well again", () => {
    const watch = new Watch(n2);
    for (const syncAgeMs of [0, 1_000, 1_001, 5_000, 1_000, 0]) watch.beat(n2, { syncAgeMs });
    expect(watch.told()).toEqual(["n2 alive", "n2 disk-stuck", "n2 disk-well"]);
  });

  test("[PEER29] come back as they were written; cut short anywhere before `vouched` they are none", () => {
    const beat: Heartbeat = {
      run: runOf("n2"),
      number: 2 ** 40 + 3,
      syncAgeMs: millis(70_000),
      loopLagMs: millis(12),
      hears: [named("n1"), named("n-3.x_y")],
      vouched: Uint8Array.of(1, 2, 3),
    };
    const bytes = encodeHeartbeat(beat);
    expect(decodeHeartbeat(bytes)).toEqual(beat);
    for (let length = 0; length < bytes.length - 3; length++) {
      expect(decodeHeartbeat(bytes.subarray(0, length)), `${length} bytes`).toBe(null);
    }
    expect(decodeHeartbeat(Uint8Array.of(2, ...bytes.subarray(1))), "another format").toBe(null);
  });

  test("[PEER29] a heartbeat that comes twice or late is no sign of life", () => {
    const watch = new Watch(n2);
    watch.beat(n2, { number: 9 });
    watch.pass(500);
    watch.beat(n2, { number: 9 });
    watch.beat(n2, { number: 3 });
    watch.told();
    watch.pass(100);
    expect(watch.told()).toEqual(["n2 suspected"]);
  });

  test("[PEER29] one is due every 100 ms, numbered, and those that a stall swallowed are not made up for", () => {
    const watch = new Watch(n2);
    const due: [number, number][] = [];
    const look = (): void => {
      const number = watch.liveness.beatDue(millis(watch.now));
      if (number !== null) due.push([number, watch.now - 5_000]);
    };
    look();
    for (let count = 0; count < 14; count++) {
      watch.now += 20 + (count % 3);
      look();
    }
    watch.now += 1_000;
    for (let count = 0; count < 5; count++) {
      look();
      watch.now += 20;
    }
    expect(due.map(([number]) => number)).toEqual([1, 2, 3, 4]);
    expect(due.at(-1)![1]).toBeGreaterThan(1_000);
    const beat = watch.liveness.beat(4, { syncAgeMs: millis(5), vouched: Uint8Array.of(9) });
    expect(beat).toMatchObject({ run: runOf("n1"), number: 4, syncAgeMs: 5 });
  });
});

describe("who hears whom", () => {
  test("[PEER30] a relayed heartbeat keeps a server alive, and it is not named among those heard", () => {
    const watch = new Watch(n3);
    watch.liveness.watch(n2);
    watch.beat(n3, { hears: [n2] });
    for (let count = 0; count < 20; count++) {
      watch.beat(n2, {}, n3);
      watch.beat(n3, { hears: [n2] });
      watch.pass(100);
    }
    expect(watch.liveness.lifeOf(n2)?.state).toBe("alive");
    expect(watch.liveness.isHeardDirectly(n2)).toBe(false);
    watch.liveness.beatDue(millis(watch.now));
    expect(watch.liveness.beat(1, { syncAgeMs: millis(0), vouched: new Uint8Array(0) }).hears).toEqual(["n3"]);
  });

  test("[PEER30] the relay for a server is one that is heard here and that hears it", () => {
    const n4 = named("n4");
    const watch = new Watch(n3, n4);
    watch.liveness.watch(n2);
    expect(watch.liveness.relayFor(n2)).toBe(null);
    watch.beat(n4, { hears: [n2, n3] });
    expect(watch.liveness.relayFor(n2)).toBe("n4");
    watch.beat(n3, { hears: [n2] });
    expect(watch.liveness.relayFor(n2), "the first by name, so that frames keep to one way").toBe("n3");
    watch.liveness.linkDown(n3);
    expect(watch.liveness.relayFor(n2)).toBe("n4");
    watch.beat(n4, { hears: [] });
    expect(watch.liveness.relayFor(n2)).toBe(null);
    expect(watch.liveness.relayFor(n4), "nobody relays for himself").toBe(null);
  });

  test("[PEER31] a link on which nothing comes is given up, though its server is heard through another", () => {
    const watch = new Watch(n2, n3);
    for (let count = 0; count < 19; count++) {
      watch.beat(n3, { hears: [n2] });
      watch.beat(n2, {}, n3);
      watch.pass(100);
    }
    watch.told();
    expect(watch.liveness.isHeardDirectly(n2), "frames take the other way long before").toBe(false);
    watch.beat(n3);
    watch.beat(n2, {}, n3);
    watch.pass(100);
    expect(watch.told()).toEqual(["n2 link-silent"]);
  });

  test("[PEER24] times that contradict each other are refused", () => {
    expect(() => checkLivenessTiming({ ...defaultLivenessTiming, suspectAfterMs: millis(200) })).toThrow("two lost");
    expect(() => checkLivenessTiming({ ...defaultLivenessTiming, silentLinkMs: 500 as Millis })).toThrow("given up");
  });
});
