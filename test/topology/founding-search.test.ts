import { describe, expect, test } from "vitest";
import type { ClusterId, NodeName } from "../../src/base/ids.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { founding } from "../../src/topology/founding.ts";

/** A server that runs: what it says to those who greet it, and what others have said to it. */
interface Life {
  says: ClusterId | null;
  readonly said: Map<NodeName, ClusterId | null>;
  /** Decided, and not durable yet. */
  making: ClusterId | null;
}

/** What one server is about to hear, in a link's order: nothing of a link is known to both its ends at one moment. */
interface Word {
  readonly to: NodeName;
  readonly life: Life;
  readonly from: NodeName;
  /** undefined: the link is gone. */
  readonly says: ClusterId | null | undefined;
}

/** Servers that were all given one list, of which links, processes and directories come and go. */
class World {
  readonly names: readonly NodeName[];
  readonly founded = new Set<ClusterId>();
  readonly #random: Random;
  readonly #founders: ReadonlySet<NodeName>;
  readonly #directories = new Map<NodeName, ClusterId>();
  readonly #lives = new Map<NodeName, Life>();
  readonly #links = new Set<string>();
  readonly #words: Word[] = [];
  #made = 0;

  /** `strangers` were given the same list, in which they are not. */
  constructor(random: Random, servers: number, strangers: number) {
    this.#random = random;
    const names = Array.from({ length: servers + strangers }, (_, at) => `n${at}` as NodeName);
    // Strangers have lower names than all, and would be first.
    this.names = names;
    this.#founders = new Set(names.slice(strangers));
  }

  get clusters(): ReadonlySet<ClusterId | undefined> {
    return new Set(this.names.map((name) => this.#directories.get(name)));
  }

  step(): void {
    const random = this.#random;
    const name = this.names[random.whole(this.names.length)]!;
    const other = this.names[random.whole(this.names.length)]!;
    switch (random.whole(10)) {
      case 0:
        this.#start(name);
        return;
      case 1:
        if (random.whole(4) === 0) this.#end(name);
        return;
      case 2:
        if (random.whole(4) === 0) this.#wipe(name);
        return;
      case 3:
      case 4:
        this.#link(name, other);
        return;
      case 5:
        this.#cut(name, other);
        return;
      case 6:
        this.#durable(name);
        return;
      default:
        this.#deliver(random.whole(Math.max(1, this.#words.length)));
    }
  }

  /** Everybody runs and reaches everybody. */
  settle(): void {
    for (let round = 0; round < 20; round++) {
      for (const name of this.names) this.#start(name);
      for (const one of this.names) for (const other of this.names) this.#link(one, other);
      while (this.#words.length > 0) this.#deliver(0);
      for (const name of this.names) this.#durable(name);
    }
  }

  #start(name: NodeName): void {
    if (this.#lives.has(name)) return;
    const life = { says: this.#directories.get(name) ?? null, said: new Map(), making: null };
    this.#lives.set(name, life);
    this.#decide(name, life);
  }

  #end(name: NodeName): void {
    for (const other of this.names) this.#cut(name, other);
    this.#lives.delete(name);
  }

  /** Only while the rest holds a majority of the list, as an operator is told. */
  #wipe(name: NodeName): void {
    const cluster = this.#directories.get(name);
    if (cluster === undefined) return;
    const holders = [...this.#founders].filter((one) => one !== name && this.#directories.get(one) === cluster);
    if (holders.length * 2 <= this.#founders.size) return;
    this.#end(name);
    this.#directories.delete(name);
  }

  #link(one: NodeName, other: NodeName): void {
    const key = keyOf(one, other);
    const [a, b] = [this.#lives.get(one), this.#lives.get(other)];
    if (one === other || a === undefined || b === undefined || this.#links.has(key)) return;
    // Greetings refuse another cluster.
    if (a.says !== null && b.says !== null && a.says !== b.says) return;
    this.#links.add(key);
    this.#tell(one, other, b.says);
    this.#tell(other, one, a.says);
  }

  #cut(one: NodeName, other: NodeName): void {
    if (!this.#links.delete(keyOf(one, other))) return;
    this.#tell(one, other, undefined);
    this.#tell(other, one, undefined);
  }

  #tell(to: NodeName, from: NodeName, says: Word["says"]): void {
    this.#words.push({ to, life: this.#lives.get(to)!, from, says });
  }

  /** The oldest of those between the same two, so that a link keeps its order. */
  #deliver(at: number): void {
    const some = this.#words[at];
    if (some === undefined) return;
    const first = this.#words.findIndex(({ to, from }) => to === some.to && from === some.from);
    const [{ to, from, life, says }] = this.#words.splice(first, 1) as [Word];
    if (this.#lives.get(to) !== life) return;
    if (says === undefined) life.said.delete(from);
    else life.said.set(from, says);
    this.#decide(to, life);
  }

  #decide(self: NodeName, life: Life): void {
    if (life.making !== null) return;
    const directory = this.#directories.get(self) ?? null;
    const verdict = founding({ self, directory, listed: [...this.#founders], said: life.said });
    if (verdict.type === "found") life.making = `cluster${++this.#made}` as ClusterId;
    else if (verdict.type === "join") {
      life.making = verdict.cluster;
      this.#says(self, life, verdict.cluster);
    }
    expect(verdict.type).not.toBe("refuse");
  }

  #durable(name: NodeName): void {
    const life = this.#lives.get(name);
    if (life === undefined || life.making === null) return;
    const cluster = life.making;
    life.making = null;
    this.#directories.set(name, cluster);
    if (life.says === null) this.founded.add(cluster);
    this.#says(name, life, cluster);
  }

  /** Every link greets anew. */
  #says(name: NodeName, life: Life, cluster: ClusterId): void {
    if (life.says === cluster) return;
    life.says = cluster;
    for (const other of this.names) this.#cut(name, other);
  }
}

const keyOf = (one: NodeName, other: NodeName): string => [one, other].sort().join(" ");

describe("servers that were given one list", () => {
  test("[FND8] [FND7] [FND9] never found two clusters, and end in one", () => {
    let lives = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const random = seededRandom(seed);
      const world = new World(random, 1 + random.whole(5), random.whole(2));
      for (let step = 0; step < 600; step++) {
        world.step();
        if (world.founded.size > 1) expect.fail(`seed ${seed} step ${step}: ${[...world.founded].join(" and ")}`);
      }
      lives += world.founded.size;
      world.settle();
      expect({ seed, founded: world.founded.size, clusters: world.clusters.size }).toEqual({
        seed,
        founded: 1,
        clusters: 1,
      });
      expect(world.clusters.has(undefined)).toBe(false);
    }
    // Most of them were founded while all this went on, and not only once it was over.
    expect(lives).toBeGreaterThan(150);
  });
});
