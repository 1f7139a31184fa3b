import { describe, expect, test } from "vitest";
import { type Entry, entryTypes } from "../../src/base/entry.ts";
import { groupId, type Incarnation, logIndex, type NodeName, term } from "../../src/base/ids.ts";
import { day, millis, timestamp } from "../../src/base/units.ts";
import { configurationOf, encodeConfiguration } from "../../src/consensus/configuration.ts";
import { replicaId } from "../../src/consensus/replica.ts";
import { ConsensusWatch } from "../../src/sim/consensus-watch.ts";
import type { Engine, EngineEffect, EngineEvent, RememberedLog } from "../../src/topology/engine.ts";

const [n1, n2, n3] = ["n1", "n2", "n3"].map((name) => replicaId(name as NodeName, "00".repeat(16) as Incarnation)) as [
  ReturnType<typeof replicaId>,
  ReturnType<typeof replicaId>,
  ReturnType<typeof replicaId>,
];
const now = millis(0);

function entry(index: number, inTerm: number, text = ""): Entry {
  const payload = new TextEncoder().encode(text);
  const stamp = { ts: timestamp(0), day: day(20260101) };
  return {
    group: groupId(0),
    index: logIndex(index),
    term: term(inTerm),
    type: entryTypes.commands,
    ...stamp,
    payload,
  };
}

function log(options: { term?: number; votedFor?: typeof n1 | null; entries?: readonly Entry[] } = {}): RememberedLog {
  return {
    term: term(options.term ?? 0),
    votedFor: options.votedFor ?? null,
    baseIndex: logIndex(0),
    baseTerm: term(0),
    entries: options.entries ?? [],
    committed: logIndex(0),
    configuration: { index: logIndex(0), bytes: encodeConfiguration(configurationOf([n1, n2, n3])) },
    isJoiner: false,
    ts: timestamp(0),
    day: day(20260101),
    damaged: [],
  };
}

/** Three engines that ask for whatever the test says. */
class Puppets {
  readonly found: string[] = [];
  readonly watch = new ConsensusWatch((what) => this.found.push(what));
  readonly #asks = new Map<typeof n1, readonly EngineEffect[]>();
  readonly #engines = new Map<typeof n1, Engine>();

  constructor() {
    for (const id of [n1, n2, n3]) this.start(id, log());
  }

  start(id: typeof n1, remembered: RememberedLog): void {
    const engine = { step: () => this.#asks.get(id) ?? [] } as unknown as Engine;
    this.#engines.set(id, this.watch.watched(id, engine));
    this.asks(id, [], { type: "recovered", now, log: remembered });
  }

  asks(id: typeof n1, effects: readonly EngineEffect[], event: EngineEvent = { type: "tick", now }): void {
    this.#asks.set(id, effects);
    this.#engines.get(id)!.step(event);
  }

  durable(id: typeof n1, ticket: number): void {
    this.asks(id, [], { type: "durable", now, ticket });
  }

  /** Written, and durable at once. */
  writes(id: typeof n1, effect: Extract<EngineEffect, { type: "append" | "persist-vote" }>): void {
    this.asks(id, [effect]);
    this.durable(id, effect.ticket);
  }

  leads(id: typeof n1, inTerm: number): void {
    const standing = {
      role: "leader",
      term: term(inTerm),
      leader: null,
      isAuthoritative: true,
      transfersTo: null,
    } as const;
    this.asks(id, [{ type: "standing", standing }]);
  }
}

const vote = (inTerm: number, votedFor: typeof n1, ticket: number): Extract<EngineEffect, { type: "persist-vote" }> => {
  return { type: "persist-vote", term: term(inTerm), votedFor, ticket };
};
const append = (entries: readonly Entry[], ticket: number): Extract<EngineEffect, { type: "append" }> => {
  return { type: "append", entries, ticket };
};

describe("the watch over the engines of a group", () => {
  test("finds nothing where a term has one leader, and what it commits is durable on two of three", () => {
    const puppets = new Puppets();
    for (const id of [n1, n2]) puppets.writes(id, vote(1, n1, 1));
    puppets.leads(n1, 1);
    for (const id of [n1, n2]) puppets.writes(id, append([entry(1, 1)], 2));
    puppets.asks(n1, [{ type: "committed", through: logIndex(1) }]);
    expect(puppets.found).toEqual([]);
    expect([puppets.watch.leaders, puppets.watch.decided]).toEqual([1, 1]);
  });

  test("two leaders of one term", () => {
    const puppets = new Puppets();
    puppets.leads(n1, 1);
    puppets.leads(n2, 1);
    expect(puppets.found).toEqual([expect.stringContaining("lead in term 1")]);
  });

  test("a commit of what is durable on one of three only", () => {
    const puppets = new Puppets();
    puppets.writes(n1, vote(1, n1, 1));
    puppets.leads(n1, 1);
    puppets.writes(n1, append([entry(1, 1)], 2));
    puppets.writes(n2, vote(1, n1, 1));
    // Asked to be written, and not durable yet.
    puppets.asks(n2, [append([entry(1, 1)], 2)]);
    puppets.asks(n1, [{ type: "committed", through: logIndex(1) }]);
    expect(puppets.found).toEqual([expect.stringContaining("without a quorum of durable copies")]);
  });

  test("a vote that a start has forgotten, and the second one in its term", () => {
    const puppets = new Puppets();
    puppets.writes(n3, vote(4, n1, 1));
    puppets.start(n3, log({ term: 4 }));
    expect(puppets.found).toEqual([expect.stringContaining("was durable, and is nobody")]);
    puppets.writes(n3, vote(5, n2, 2));
    puppets.asks(n3, [vote(5, n1, 3)]);
    expect(puppets.found.at(-1)).toContain("votes twice in term 5");
  });

  test("an entry that a crash took, though it was durable", () => {
    const puppets = new Puppets();
    puppets.writes(n2, vote(1, n1, 1));
    puppets.writes(n2, append([entry(1, 1), entry(2, 1)], 2));
    puppets.start(n2, log({ term: 1, votedFor: n1, entries: [entry(1, 1)] }));
    expect(puppets.found).toEqual([expect.stringContaining("entry 2 was durable")]);
  });

  test("an entry that was about to be replaced may be gone after a crash", () => {
    const puppets = new Puppets();
    puppets.writes(n2, vote(1, n1, 1));
    puppets.writes(n2, append([entry(1, 1), entry(2, 1)], 2));
    puppets.writes(n2, vote(2, n3, 3));
    puppets.asks(n2, [append([entry(2, 2)], 4)]);
    puppets.start(n2, log({ term: 2, votedFor: n3, entries: [entry(1, 1), entry(2, 2)] }));
    expect(puppets.found).toEqual([]);
  });

  test("an index and a term that name two entries", () => {
    const puppets = new Puppets();
    for (const id of [n1, n2]) puppets.writes(id, vote(1, n1, 1));
    puppets.writes(n1, append([entry(1, 1, "one")], 2));
    puppets.writes(n2, append([entry(1, 1, "other")], 2));
    expect(puppets.found).toEqual([expect.stringContaining("there are two entries 1/1")]);
  });

  test("a leader that lacks what was decided, and one that decides otherwise", () => {
    const puppets = new Puppets();
    for (const id of [n1, n2]) puppets.writes(id, vote(1, n1, 1));
    puppets.leads(n1, 1);
    for (const id of [n1, n2]) puppets.writes(id, append([entry(1, 1)], 2));
    puppets.asks(n1, [{ type: "committed", through: logIndex(1) }]);
    puppets.writes(n3, vote(2, n3, 1));
    puppets.leads(n3, 2);
    expect(puppets.found).toEqual([expect.stringContaining("without the decided entry 1")]);
    puppets.writes(n3, append([entry(1, 2)], 2));
    puppets.asks(n3, [{ type: "committed", through: logIndex(1) }]);
    expect(puppets.found).toContainEqual(expect.stringContaining("decided as of term 1 and of term 2"));
  });
});
