import { describe, expect, test } from "vitest";
import type { ClusterId, Incarnation, NodeName } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { millis } from "../../src/base/units.ts";
import { FoundingLinks } from "../../src/server/founding-links.ts";
import type { Log } from "../../src/server/log.ts";
import type { SimHost } from "../../src/sim/host.ts";
import { Network } from "../../src/sim/network.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { simPeerStream } from "../../src/sim/sim-peer-stream.ts";
import { defaultLinkLimits } from "../../src/transport/link-limits.ts";
import { defaultLivenessTiming } from "../../src/transport/liveness/liveness-timing.ts";
import { PeerTransport } from "../../src/transport/peer-transport.ts";

const peerPort = 7401;
const machines = ["n1", "n2", "n3", "n4", "n9"];
const x = "a".repeat(32) as ClusterId;

/** Servers before there is a cluster, and links of those who are in one, in virtual time. */
class Waiting {
  readonly scheduler = new Scheduler({ random: seededRandom(1) });
  readonly network = new Network({ scheduler: this.scheduler, random: seededRandom(2) });
  readonly heard: string[] = [];
  readonly outcomes = new Map<string, ClusterId | "found" | Error>();
  readonly #hosts = new Map(machines.map((name) => [name, this.scheduler.host(name)]));

  /** One whose directory is empty. */
  empty(name: string, listed: readonly string[]): FoundingLinks {
    const host = this.#host(name);
    const links = new FoundingLinks({
      ...this.#identity(name, host),
      log: this.#log(name),
      ground: this.#ground(host, listed),
    });
    this.network.listen(host, peerPort, (stream) => links.accept(simPeerStream(stream)));
    links.decided.then(
      (cluster) => this.outcomes.set(name, cluster ?? "found"),
      (cause: unknown) => this.outcomes.set(name, cause as Error),
    );
    return links;
  }

  /** One that is in a cluster; `saw` is told which cluster others say to it. */
  member(
    name: string,
    cluster: ClusterId,
    listed: readonly string[] = [],
    saw: (says: ClusterId | null) => void = () => undefined,
  ): void {
    const host = this.#host(name);
    const { dialler, limits, timing, addresses } = this.#ground(host, listed);
    const { node, ...identity } = this.#identity(name, host);
    const owner = {
      link: (news: { type: string; remote?: { cluster: ClusterId | null } }) => {
        if (news.type === "up" && news.remote !== undefined) saw(news.remote.cluster);
      },
      liveness: () => undefined,
      syncAgeMs: () => millis(0),
      vouched: () => new Uint8Array(0),
    };
    const transport = new PeerTransport({ ...identity, name: node, cluster, dialler, limits, timing, owner });
    for (const [peer, address] of addresses) if (peer !== node) transport.addPeer(peer, address);
    this.network.listen(host, peerPort, (stream) => transport.accept(simPeerStream(stream)));
  }

  async rest(ms: number): Promise<void> {
    await this.scheduler.run({ until: millis(this.scheduler.now() + ms) });
  }

  #host(name: string): SimHost {
    return this.#hosts.get(name)!;
  }

  #identity(name: string, host: SimHost) {
    const incarnation = name.slice(1).padStart(32, "0") as Incarnation;
    return { node: name as NodeName, incarnation, clock: host.clock, random: seededRandom(host.index) };
  }

  #ground(host: SimHost, listed: readonly string[]) {
    return {
      dialler: { dial: (to: { host: string; port: number }) => simPeerStream(this.network.dial(host, to)) },
      addresses: new Map(listed.map((name) => [name as NodeName, { host: name, port: peerPort }])),
      limits: defaultLinkLimits,
      timing: defaultLivenessTiming,
    };
  }

  #log(name: string): Log {
    const tell = (event: string, fields?: Readonly<Record<string, unknown>>): void => {
      this.heard.push(`${name} ${event} ${JSON.stringify(fields)}`);
    };
    return { info: tell, warn: tell, error: tell };
  }
}

const three = ["n1", "n2", "n3"];

describe("servers whose directories are empty", () => {
  test("the lowest founds once the last has come, and the others wait for it", async () => {
    const world = new Waiting();
    world.empty("n1", three);
    world.empty("n2", three);
    await world.rest(5_000);
    expect([...world.outcomes]).toEqual([]);
    expect(world.heard.filter((line) => line.includes("founding.waits")).sort()).toEqual([
      expect.stringContaining('n1 founding.waits {"for":["n3"]'),
      expect.stringContaining('n2 founding.waits {"for":["n1"]'),
    ]);
    world.empty("n3", three);
    await world.rest(5_000);
    expect([...world.outcomes]).toEqual([["n1", "found"]]);
  });

  test("one that hears of a cluster joins it, and says so at once", async () => {
    const world = new Waiting();
    const said: (ClusterId | null)[] = [];
    world.member("n2", x, [], (says) => said.push(says));
    world.empty("n1", three);
    await world.rest(5_000);
    expect([...world.outcomes]).toEqual([["n1", x]]);
    expect(said).toEqual([null, x]);
  });

  test("one that is dialled by a member joins too, though its list is silent", async () => {
    const world = new Waiting();
    world.empty("n4", ["n9", "n4"]);
    world.member("n1", x, ["n4"]);
    await world.rest(5_000);
    expect([...world.outcomes]).toEqual([["n4", x]]);
  });

  test("one that was stopped is silent, and decides nothing any more", async () => {
    const world = new Waiting();
    const links = world.empty("n2", three);
    await world.rest(10);
    const stopped = links.stop();
    world.member("n1", x, ["n2"]);
    await world.rest(5_000);
    await stopped;
    expect([...world.outcomes]).toEqual([]);
    expect(world.heard.filter((line) => line.includes("founding."))).toEqual([]);
  });
});
