import { describe, expect, test } from "vitest";
import type { ClusterId } from "../../src/base/ids.ts";
import { millis } from "../../src/base/units.ts";
import { putU32, getU32 } from "../../src/base/byte-order.ts";
import { type Citizen, incarnationOf, LinkTown, named } from "./link-town.ts";

function number(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  putU32(bytes, 0, value);
  return bytes;
}

/** Both know each other and have a link. */
function pair(town: LinkTown): [Citizen, Citizen] {
  const one = town.start("n1");
  const two = town.start("n2");
  town.know(one, "n2");
  town.know(two, "n1");
  town.settle();
  town.pass(100);
  return [one, two];
}

function expectOneLink(one: Citizen, two: Citizen): void {
  expect([one.links.isLinked(two.name), two.links.isLinked(one.name)]).toEqual([true, true]);
  const near = one.links.connectionOf(two.name)!;
  const far = two.links.connectionOf(one.name)!;
  expect(one.out.get(near)!.connection, "both mean the same connection").toBe(far);
  expect(two.out.get(far)!.connection).toBe(near);
}

/** Every up is followed by a down before the next up. */
function expectAlternating(citizen: Citizen): void {
  const story = citizen.news.filter(({ type }) => type === "up" || type === "down").map(({ type }) => type);
  expect(story.filter((type, at) => type !== (at % 2 === 0 ? "up" : "down"))).toEqual([]);
}

describe("one link for each pair", () => {
  test("[PEER11] whatever the order in which two dials at once arrive, exactly one link stands and no frame is lost unsaid", () => {
    let replacedOrBroken = 0;
    for (let seed = 0; seed < 1_000; seed++) {
      const town = new LinkTown({ seed, limits: { redialMsMin: 20, redialMsMax: 60 } });
      const citizens = [town.start("n1"), town.start("n2")] as const;
      town.know(citizens[0], "n2");
      town.know(citizens[1], "n1");
      const accepted: [number[], number[]] = [[], []];
      for (let step = 0; step < 120; step++) {
        const who = town.random.whole(2) as 0 | 1;
        const citizen = citizens[who];
        const dice = town.random.whole(20);
        if (dice < 4) {
          const tag = step + 1;
          const outcome = town.send(citizen, citizens[1 - who]!.name, { tag, payload: number(tag) });
          if (outcome === "taken") accepted[who].push(tag);
        } else if (dice < 7) {
          town.flush(citizen);
        } else if (dice === 7 && town.random.whole(4) === 0) {
          if (town.breakLink(citizen, citizens[1 - who]!.name)) replacedOrBroken++;
        } else if (dice === 8) {
          town.now = millis(town.now + town.random.whole(40));
          town.step(citizen, { type: "tick", now: town.now });
        } else {
          town.deliverOne();
        }
      }
      town.settle();
      town.pass(400);
      expectOneLink(...citizens);
      for (const one of citizens) expectAlternating(one);
      for (const who of [0, 1] as const) {
        const arrived = town.frames(citizens[1 - who]!).map(({ payload }) => getU32(payload, 0));
        expect(new Set(arrived).size, `seed ${seed}: nothing arrives twice`).toBe(arrived.length);
        expect(arrived, `seed ${seed}: in order`).toEqual([...arrived].sort((a, b) => a - b));
        const lost = new Set(town.told(citizens[who], "down").flatMap((down) => down.lost.append));
        const unsaid = accepted[who].filter((tag) => !lost.has(tag) && !arrived.includes(tag));
        expect(unsaid, `seed ${seed}: delivered or told`).toEqual([]);
      }
    }
    expect(replacedOrBroken).toBeGreaterThan(300);
  });

  test("[PEER11] two dials at once leave one link in every one of their interleavings, without time passing", () => {
    const ends = new Set<string>();
    for (let seed = 0; seed < 1_000; seed++) {
      const town = new LinkTown({ seed });
      const [one, two] = [town.start("n1"), town.start("n2")];
      town.know(one, "n2");
      town.know(two, "n1");
      town.settle();
      expectOneLink(one, two);
      expect(town.told(one, "up")).toHaveLength(1);
      expect(town.told(two, "up")).toHaveLength(1);
      ends.add(town.told(one, "up")[0]!.dialledBy);
    }
    expect([...ends].sort(), "either side's dial may win").toEqual(["them", "us"]);
  });

  test("[PEER13] through crashes, restarts and streams that only one side loses, one link comes to stand", () => {
    const ups = { us: 0, them: 0 };
    for (let seed = 0; seed < 500; seed++) {
      const town = new LinkTown({ seed, limits: { redialMsMin: 20, redialMsMax: 60, greetWithinMs: 300 } });
      const names = ["n1", "n2"] as const;
      const all: Citizen[] = [];
      const begin = (name: string): Citizen => {
        const citizen = town.start(name);
        all.push(citizen);
        town.know(citizen, name === "n1" ? "n2" : "n1");
        return citizen;
      };
      const citizens = [begin("n1"), begin("n2")];
      for (let step = 0; step < 150; step++) {
        const who = town.random.whole(2);
        const citizen = citizens[who]!;
        const other = names[1 - who]!;
        const dice = town.random.whole(60);
        if (dice === 0) {
          // Half of the crashes nobody is told of.
          if (town.random.whole(2) === 0) town.kill(citizen);
          citizen.isRunning = false;
          for (const channel of citizen.out.values()) channel.isOpen = false;
          citizens[who] = begin(names[who]!);
        } else if (dice === 1 && citizen.links.isLinked(named(other))) {
          town.breakFor(citizen, other);
        } else if (dice < 12) {
          town.now = millis(town.now + town.random.whole(60));
          town.step(citizen, { type: "tick", now: town.now });
        } else if (dice < 20) {
          town.send(citizen, other, { payload: number(step) });
          town.flush(citizen);
        } else {
          town.deliverOne();
        }
      }
      town.settle();
      town.pass(1_500);
      expectOneLink(citizens[0]!, citizens[1]!);
      for (const citizen of all) expectAlternating(citizen);
      for (const { dialledBy } of town.told(citizens[0]!, "up")) ups[dialledBy]++;
    }
    expect(Math.min(ups.us, ups.them)).toBeGreaterThan(50);
  });

  test("[PEER12] a server that was started again replaces what its former run had", () => {
    const town = new LinkTown({ seed: 1 });
    const [one, two] = pair(town);
    // The machine lost power: nobody was told.
    two.isRunning = false;
    for (const channel of two.out.values()) channel.isOpen = false;
    const again = town.start("n2");
    town.know(again, "n1");
    town.settle();
    expectOneLink(one, again);
    expect(town.told(one, "down")).toMatchObject([{ end: { refusal: { code: "replaced", by: "us" } } }]);
    expect(town.told(one, "up").map(({ remote }) => remote.run)).toEqual([
      two.links.identity.run,
      again.links.identity.run,
    ]);
  });

  test.each(["n1", "n2"])("[PEER13] a link that only the other side believes in is replaced: lost by %s", (loser) => {
    const town = new LinkTown({ seed: 2, limits: { redialMsMin: 20, redialMsMax: 60 } });
    const [one, two] = pair(town);
    const [mine, other] = loser === "n1" ? [one, two] : [two, one];
    town.breakFor(mine, other.name);
    expect([mine.links.isLinked(other.name), other.links.isLinked(mine.name)]).toEqual([false, true]);
    town.pass(400);
    expectOneLink(one, two);
    expectAlternating(one);
    expectAlternating(two);
  });

  test("[PEER11] a frame handed over while there is no link is refused, not kept", () => {
    const town = new LinkTown({ seed: 3 });
    const one = town.start("n1");
    town.know(one, "n2");
    expect(town.send(one, "n2", {})).toBe("no-link");
    expect(town.send(one, "n9", {})).toBe("no-link");
  });
});

describe("dialling again", () => {
  test("[PEER14] a process that does not run is told at once, and dialled again after random, growing waits", () => {
    const town = new LinkTown({ seed: 4 });
    const one = town.start("n1");
    town.know(one, "n2");
    town.settle();
    // No time has passed, and it is known.
    expect(town.told(one, "not-running")).toHaveLength(1);
    town.pass(10_000);
    const dials = town.told(one, "no-link").length;
    expect(dials).toBeGreaterThan(10);
    expect(dials).toBeLessThan(60);
    const other = new LinkTown({ seed: 5 });
    const elsewhere = other.start("n1");
    other.know(elsewhere, "n2");
    other.pass(10_000);
    expect(other.told(elsewhere, "no-link").length, "chance spreads the waits").not.toBe(dials);
  });

  test("[PEER14] after a link is lost the first dial goes out at once, so that a crash is known by its refusal", () => {
    const town = new LinkTown({ seed: 6 });
    const [one, two] = pair(town);
    town.pass(1_500);
    town.kill(two);
    const before = town.now;
    town.settle();
    expect(town.told(one, "down")).toMatchObject([{ end: { how: "stream", why: "reset" } }]);
    expect(town.told(one, "not-running")).toHaveLength(1);
    expect(town.now, "without time passing").toBe(before);
  });

  test("[PEER14] a dial that ends otherwise is no sign of death", () => {
    const town = new LinkTown({ seed: 7 });
    const one = town.start("n1");
    town.perform(
      one,
      one.links.addPeer(town.now, named("n2"), { host: "n2", port: 1 }).filter(({ type }) => type !== "dial"),
    );
    town.step(one, { type: "closed", now: town.now, connection: 1, why: "failed" });
    expect(one.news.map(({ type }) => type)).toEqual(["no-link"]);
    town.pass(5_000);
    expect(town.told(one, "not-running").length, "it is dialled again all the same").toBeGreaterThan(0);
  });
});

describe("the list of peers", () => {
  test("[PEER15] a server may be added and taken off while the others talk", () => {
    const town = new LinkTown({ seed: 8 });
    const [one, two] = pair(town);
    const three = town.start("n3");
    town.know(one, "n3");
    town.settle();
    expectOneLink(one, three);
    town.send(one, "n3", { tag: 7, payload: number(7) });
    town.perform(one, one.links.removePeer(town.now, named("n3")));
    town.pass(3_000);
    expect(three.links.isLinked(one.name)).toBe(false);
    expect(town.told(one, "down")).toMatchObject([{ end: { refusal: { code: "removed" } }, lost: { append: [7] } }]);
    expect(town.told(three, "down")).toMatchObject([{ end: { refusal: { code: "removed", by: "them" } } }]);
    expectOneLink(one, two);
    expect(one.links.status().map(({ name }) => name)).toEqual(["n2"]);
  });

  test("[PEER15] a server that is on nobody's list may dial, and leaves no trace when it goes", () => {
    const town = new LinkTown({ seed: 9 });
    const one = town.start("n1");
    const joiner = town.start("n5", { cluster: null });
    town.know(joiner, "n1");
    town.settle();
    expectOneLink(one, joiner);
    expect(town.told(one, "up")[0]!.remote.cluster).toBe(null);
    town.kill(joiner);
    town.pass(2_000);
    expect(one.links.status()).toEqual([]);
    expect(one.links.connectionCount).toBe(0);
  });

  test("[PEER15] a server that joins a cluster greets anew, and the other learns of it", () => {
    const town = new LinkTown({ seed: 10 });
    const one = town.start("n1");
    const two = town.start("n2", { cluster: null });
    town.know(two, "n1");
    town.settle();
    town.perform(two, two.links.joinCluster(town.now, one.links.identity.cluster!));
    town.settle();
    expectOneLink(one, two);
    expect(town.told(one, "up").map(({ remote }) => remote.cluster)).toEqual([null, one.links.identity.cluster]);
  });

  test("[PEER15] a retired directory loses its link at once and is refused from then on", () => {
    const town = new LinkTown({ seed: 11 });
    const [one, two] = pair(town);
    town.perform(one, one.links.setRetired(town.now, new Set([incarnationOf("n2")])));
    town.pass(2_000);
    expect(one.links.isLinked(two.name)).toBe(false);
    const told = town.told(two, "no-link").map(({ end }) => (end.how === "refusal" ? end.refusal.code : end.why));
    expect(told).toContain("old_incarnation");
    expect(town.told(two, "up")).toHaveLength(1);
  });

  test("[PEER15] beyond peersMax nobody is taken", () => {
    const town = new LinkTown({ seed: 12, limits: { peersMax: 2 } });
    const one = town.start("n1");
    const others = ["n2", "n3", "n4"].map((name) => town.start(name));
    for (const other of others) {
      town.know(other, "n1");
      town.settle();
    }
    expect(others.map((other) => other.links.isLinked(one.name))).toEqual([true, true, false]);
    expect(town.told(others[2]!, "no-link")).toMatchObject([{ end: { refusal: { code: "too_many", by: "them" } } }]);
  });

  test("[PEER15] a server that stops says so and is dialled until it is back", () => {
    const town = new LinkTown({ seed: 13 });
    const [one, two] = pair(town);
    town.perform(two, two.links.stop(town.now));
    town.settle();
    expect(town.told(one, "down")).toMatchObject([{ end: { refusal: { code: "stopping", by: "them" } } }]);
    town.pass(1_200);
    expect(two.links.connectionCount, "nothing is left of what lingered").toBe(0);
    two.isRunning = false;
    const again = town.start("n2");
    town.pass(1_500);
    expectOneLink(one, again);
  });
});

describe("refusals reach both sides", () => {
  const otherCluster = "c2".repeat(16) as ClusterId;
  test.each([
    ["wrong_cluster", { cluster: otherCluster }, "n2", "n2"],
    ["version", { versions: { min: 2, max: 3 } }, "n2", "n2"],
    ["same_node", {}, "n1", "n2"],
    ["wrong_node", {}, "n3", "n2"],
  ] as const)("[PEER6] %s", (code, options, ownName, dialledName) => {
    for (const dialler of ["one", "two"] as const) {
      const town = new LinkTown({ seed: 20 });
      const one = town.start("n1");
      // What answers at that address is called `ownName`.
      const two = town.start(ownName === "n1" ? "n1b" : ownName, options);
      const answering = ownName === "n1" ? new LinkTown({ seed: 21 }).start("n1") : two;
      const citizen: Citizen = { ...two, links: answering.links };
      town.citizens.set(dialledName, citizen);
      if (dialler === "two" && code !== "version" && code !== "wrong_cluster") continue;
      if (dialler === "one") town.know(one, dialledName);
      else town.know(citizen, "n1");
      town.settle();
      const codes = (which: Citizen): (string | null)[] =>
        town.told(which, "no-link").map(({ end }) => (end.how === "refusal" ? end.refusal.code : null));
      expect(codes(one), `${dialler} dials`).toContain(code);
      expect(codes(citizen)).toContain(code);
      expect([town.told(one, "up"), town.told(citizen, "up")]).toEqual([[], []]);
    }
  });

  test("[PEER7] a greeting that goes no further ends in time and says why; too many at once are refused", () => {
    const town = new LinkTown({ seed: 22, limits: { greetingConnectionsMax: 3 } });
    const one = town.start("n1");
    for (let count = 0; count < 5; count++) {
      town.step(one, { type: "accepted", now: town.now, connection: one.links.nextConnection(), address: "x" });
    }
    expect(town.told(one, "no-link").map(({ end }) => (end.how === "refusal" ? end.refusal.code : ""))).toEqual([
      "too_many",
      "too_many",
    ]);
    expect(one.links.connectionCount).toBe(5);
    town.pass(town.limits.greetWithinMs + town.limits.lingerMs + 20);
    expect(
      town.told(one, "no-link").filter(({ end }) => end.how === "refusal" && end.refusal.code === "slow"),
    ).toHaveLength(3);
    expect(one.links.connectionCount).toBe(0);
  });

  test("[PEER7] however many come and stay, what is held is bounded", () => {
    const town = new LinkTown({ seed: 23, limits: { greetingConnectionsMax: 4, peersMax: 2 } });
    const one = town.start("n1");
    for (let count = 0; count < 1_000; count++) {
      town.step(one, { type: "accepted", now: town.now, connection: one.links.nextConnection(), address: "x" });
    }
    expect(one.links.connectionCount).toBeLessThanOrEqual(4 + 3 * 2);
  });
});
