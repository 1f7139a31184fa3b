import { afterEach, describe, expect, test } from "vitest";
import { getU32, putU32 } from "../../src/base/byte-order.ts";
import { millis } from "../../src/base/units.ts";
import { MemoryWorld } from "./memory-world.ts";
import { bytesFrom, isSame, type PeerHost, type PeerWorld } from "./peer-world.ts";
import { simWorld } from "./sim-world.ts";
import { socketWorld } from "./socket-world.ts";
import { linkedServers, TransportServer } from "./transport-server.ts";

const worlds: Record<string, () => PeerWorld> = {
  memory: () => new MemoryWorld({ seed: 1 }),
  "chopped memory": () => new MemoryWorld({ seed: 2, chopped: true }),
  simulator: () => simWorld(3),
  sockets: () => socketWorld(),
};

function numbered(value: number, bytes: number): Uint8Array {
  const payload = bytesFrom(bytes);
  putU32(payload, 0, value);
  return payload;
}

const open: { world: PeerWorld; servers: TransportServer[] }[] = [];

async function town(
  make: () => PeerWorld,
  names: readonly string[],
): Promise<{ world: PeerWorld; servers: TransportServer[] }> {
  const world = make();
  const place = { world, servers: await linkedServers(world, names) };
  open.push(place);
  return place;
}

afterEach(async () => {
  for (const { world, servers } of open.splice(0)) {
    for (const { host } of servers) await host.crash();
    await world.close();
  }
});

describe.each(Object.entries(worlds))("servers that reach each other: %s", (_name, make) => {
  test("[PEER11] three that all dial each other have one link for each pair", async () => {
    const { world, servers } = await town(make, ["n1", "n2", "n3"]);
    await world.rest();
    for (const server of servers) {
      const states = server.transport.status().map(({ name, state }) => `${name} ${state}`);
      expect(states.sort()).toEqual(servers.filter((other) => other !== server).map(({ name }) => `${name} linked`));
      for (const other of servers) {
        const mine = server.transport.status().find(({ name }) => name === other.name)?.remote ?? null;
        if (other !== server) expect(mine).toEqual(other.transport.identity);
      }
    }
  });

  test("[PEER20] what is handed to a lane arrives whole and in its order, on all lanes at once", async () => {
    const { world, servers } = await town(make, ["n1", "n2"]);
    const [one, two] = servers as [TransportServer, TransportServer];
    const sizes = { control: 40, append: 9_000, bulk: 64 * 1024 };
    const sent = { control: 0, append: 0, bulk: 0 };
    const wanted = { control: 300, append: 120, bulk: 24 };
    const lanes = ["bulk", "append", "control"] as const;
    const next: Record<(typeof lanes)[number], Uint8Array | null> = { control: null, append: null, bulk: null };
    await world.until(() => {
      for (const lane of lanes) {
        while (sent[lane] < wanted[lane]) {
          next[lane] ??= numbered(sent[lane], sizes[lane]);
          if (one.send(two, { lane, kind: 7, payload: next[lane] }) !== "taken") break;
          next[lane] = null;
          sent[lane]++;
        }
      }
      return lanes.every((lane) => two.frames(lane).length === wanted[lane]);
    });
    for (const lane of lanes) {
      const frames = two.frames(lane);
      expect(frames.map(({ payload }) => getU32(payload, 0))).toEqual(
        Array.from({ length: wanted[lane] }, (_, at) => at),
      );
      expect(frames.every(({ from, via, kind }) => from === "n1" && via === null && kind === 7)).toBe(true);
      expect(isSame(frames.at(-1)!.payload, numbered(wanted[lane] - 1, sizes[lane]))).toBe(true);
    }
  });

  test("[PEER25] a process that dies is known dead without a silence", async () => {
    const { world, servers } = await town(make, ["n1", "n2"]);
    const [one, two] = servers as [TransportServer, TransportServer];
    one.told();
    await two.host.crash();
    await world.until(() => one.hasTold("n2 dead"));
    expect(one.told(), "it was not suspected first").toEqual(["n2 dead"]);
    expect(one.news.find(({ type }) => type === "down")).toMatchObject({ remote: { name: "n2" } });
  });

  test("[PEER15] one that stops says goodbye, and its stop settles", async () => {
    const { world, servers } = await town(make, ["n1", "n2"]);
    const [one, two] = servers as [TransportServer, TransportServer];
    let stopped = false;
    const stopping = two.transport.stop().then(() => {
      stopped = true;
    });
    await world.until(() => stopped && one.news.some(({ type }) => type === "down"));
    await stopping;
    expect(one.news.find(({ type }) => type === "down")).toMatchObject({
      end: { how: "refusal", refusal: { code: "stopping", by: "them" } },
    });
  });

  test("[PEER28] heartbeats bring what the layer above vouches for, and tell of a stuck disk", async () => {
    const { world, servers } = await town(make, ["n1", "n2"]);
    const [one, two] = servers as [TransportServer, TransportServer];
    two.vouched = Uint8Array.of(4, 2);
    two.syncAgeMs = millis(3_000);
    await world.until(() => one.hasTold("n2 disk-stuck"));
    const beats = one.life.filter((event) => event.type === "heartbeat");
    expect(beats.at(-1)).toMatchObject({ peer: "n2", via: null, beat: { hears: ["n1"], syncAgeMs: 3_000 } });
    expect([...(beats.at(-1)?.beat.vouched ?? [])]).toEqual([4, 2]);
    expect(one.transport.health()).toMatchObject([
      { peer: "n2", state: "alive", isHeardDirectly: true, diskIsStuck: true },
    ]);
  });
});

describe("in the simulator", () => {
  async function simTown(seed: number, names: readonly string[]) {
    const world = simWorld(seed);
    const place = { world, servers: await linkedServers(world, names) };
    open.push(place);
    return place;
  }
  const run = (world: ReturnType<typeof simWorld>, forMs: number): Promise<void> =>
    world.scheduler.run({ until: millis(world.scheduler.now() + forMs) });

  function isolate(world: ReturnType<typeof simWorld>, one: string, other: string): void {
    world.network.block({ from: one, to: other });
    world.network.block({ from: other, to: one });
  }

  test("[PEER30] around a broken link frames go through the third server; when it heals, directly again", async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { world, servers } = await simTown(seed, ["n1", "n2", "n3"]);
      const [one, two, three] = servers as [TransportServer, TransportServer, TransportServer];
      isolate(world, "n1", "n3");
      await run(world, 3_000);
      for (const server of servers) server.told();
      await run(world, 3_000);
      // Heartbeats come through n2, so nobody is taken for dead.
      expect([one.told(), two.told(), three.told()]).toEqual([[], [], []]);
      expect(one.send(three, { lane: "append", payload: numbered(1, 2_000) })).toBe("relayed");
      expect(one.send(three, { lane: "control", payload: numbered(2, 20) })).toBe("relayed");
      expect(one.send(three, { lane: "bulk", payload: numbered(3, 20) }), "bulk has no other way").toBe("no-link");
      await run(world, 100);
      const came = three.news.filter((one) => one.type === "frame");
      expect(came.map(({ from, via, lane }) => `${from} ${via} ${lane}`).sort()).toEqual([
        "n1 n2 append",
        "n1 n2 control",
      ]);
      world.network.heal({ resetDead: true });
      await run(world, 5_000);
      expect(one.send(three, {})).toBe("taken");
      await run(world, 100);
      expect(three.frames("append").at(-1)).toMatchObject({ from: "n1", via: null });
    }
  });

  test("[PEER24] a server that is cut off from all is suspected after 600 ms and not before", async () => {
    const { world, servers } = await simTown(5, ["n1", "n2", "n3"]);
    const [one, two, three] = servers as [TransportServer, TransportServer, TransportServer];
    for (const server of servers) server.told();
    isolate(world, "n1", "n3");
    isolate(world, "n2", "n3");
    await run(world, 490);
    expect([one.told(), two.told(), three.told()]).toEqual([[], [], []]);
    await run(world, 260);
    expect([one.told(), two.told()]).toEqual([["n3 suspected"], ["n3 suspected"]]);
    expect(three.told().sort()).toEqual(["n1 suspected", "n2 suspected"]);
  });

  test("[PEER26] a server that was stopped for seconds suspects nobody when it goes on, and is heard again", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { world, servers } = await simTown(seed, ["n1", "n2", "n3"]);
      const [one, two, three] = servers as [TransportServer, TransportServer, TransportServer];
      for (const server of servers) server.told();
      world.scheduler.hostNamed("n3").pause(1_500);
      await run(world, 1_400);
      expect([one.told(), two.told()]).toEqual([["n3 suspected"], ["n3 suspected"]]);
      await run(world, 1_000);
      expect([one.told(), two.told()]).toEqual([["n3 back"], ["n3 back"]]);
      const own = three.told();
      expect(own[0]).toBe("stalled");
      expect(own.filter((line) => line.endsWith("suspected"))).toEqual([]);
    }
  });

  test("[PEER31] a link that fell silent one way is replaced, and what it held is told as lost", async () => {
    const { world, servers } = await simTown(6, ["n1", "n2"]);
    const [one, two] = servers as [TransportServer, TransportServer];
    world.network.halfOpen({ from: "n1", to: "n2" });
    expect(one.send(two, { tag: 77, payload: numbered(1, 10) })).toBe("taken");
    await run(world, 5_000);
    expect(one.transport.isLinked(two.name)).toBe(true);
    expect(one.news.flatMap((news) => (news.type === "down" ? news.lost.append : []))).toEqual([77]);
    expect(two.news.filter(({ type }) => type === "down")).toMatchObject([{ end: { refusal: { code: "silent" } } }]);
    expect(two.frames("append")).toEqual([]);
  });

  test("[PEER20] what is sent in one turn goes out as one write", async () => {
    const { world, servers } = await simTown(7, ["n1", "n2"]);
    const [one, two] = servers as [TransportServer, TransportServer];
    const writes: number[] = [];
    const host = world.host("n3");
    const counting: PeerHost = {
      ...host,
      clock: host.clock,
      dialler: {
        dial: (address) => {
          const stream = host.dialler.dial(address);
          return {
            address: stream.address,
            bufferedBytes: 0,
            attach: (receiver) => stream.attach(receiver),
            write: (pieces) => {
              writes.push(pieces.length);
              stream.write(pieces);
            },
            end: () => stream.end(),
            destroy: () => stream.destroy(),
          };
        },
      },
    };
    const three = await TransportServer.startOn(counting, "n3");
    three.know(two);
    await world.until(() => three.transport.isLinked(two.name));
    await run(world, 210);
    // Between two ticks: nothing else is to be said.
    writes.length = 0;
    for (let count = 0; count < 50; count++) three.send(two, { payload: numbered(count, 100) });
    expect(writes, "not before the end of the turn").toEqual([]);
    await run(world, 1);
    expect(writes).toEqual([1]);
    await run(world, 100);
    expect(two.frames("append")).toHaveLength(50);
    expect(one.transport.isLinked(two.name)).toBe(true);
  });

  test("[PEER20] the same seed gives the same run, event by event", async () => {
    const hashes: string[] = [];
    for (const seed of [8, 8, 9]) {
      const { world, servers } = await simTown(seed, ["n1", "n2", "n3"]);
      const [one, two] = servers as [TransportServer, TransportServer];
      for (let count = 0; count < 20; count++) one.send(two, { payload: numbered(count, 5_000) });
      world.scheduler.hostNamed("n2").pause(700);
      await run(world, 3_000);
      hashes.push(world.scheduler.traceHash());
    }
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes[0]).not.toBe(hashes[2]);
  });
});
