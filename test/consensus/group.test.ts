import { describe, expect, test } from "vitest";
import { entryTypes } from "../../src/base/entry.ts";
import { groupId, logIndex, term } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { day, millis, timestamp } from "../../src/base/units.ts";
import { configurationOf } from "../../src/consensus/configuration.ts";
import { rankedCampaigns } from "../../src/consensus/election/campaign-policy.ts";
import type { GroupEffect } from "../../src/consensus/events.ts";
import { Group } from "../../src/consensus/group.ts";
import type { Message } from "../../src/consensus/messages.ts";
import { InFlight } from "../../src/consensus/replication/in-flight.ts";
import { Progress } from "../../src/consensus/replication/progress.ts";
import { incarnationOf, nodeOf } from "../../src/consensus/replica.ts";
import { checkGroupSettings, defaultGroupSettings } from "../../src/consensus/settings.ts";
import { Cluster } from "./cluster.ts";
import { replicaOf } from "./stage.ts";
import { Image } from "./virtual-disk.ts";
import { randomizedCampaigns } from "./randomized-campaigns.ts";

const [one, two, three, four] = ["1", "2", "3", "4"].map(replicaOf) as [
  ReturnType<typeof replicaOf>,
  ReturnType<typeof replicaOf>,
  ReturnType<typeof replicaOf>,
  ReturnType<typeof replicaOf>,
];

/** One replica of three whose every message the test writes. */
class Alone {
  readonly group: Group;
  #now = 0;
  #tickets = 0;

  constructor(change: (image: Image) => void = () => undefined) {
    const image = new Image(configurationOf([one, two, three]));
    change(image);
    this.group = new Group({
      group: groupId(0),
      self: one,
      settings: defaultGroupSettings,
      policy: rankedCampaigns(),
      random: seededRandom(1),
      memory: image.memory(),
    });
    this.tell({ type: "started" });
  }

  tell(event: object): readonly GroupEffect[] {
    const effects = this.group.step({ ...event, now: millis(this.#now) } as Parameters<Group["step"]>[0]);
    for (const effect of effects) if ("ticket" in effect) this.#tickets = effect.ticket;
    return effects;
  }

  hear(message: object): readonly GroupEffect[] {
    return this.tell({ type: "received", message: { group: groupId(0), to: one, ...message } as Message });
  }

  pass(forMs: number): readonly GroupEffect[] {
    this.#now += forMs;
    return this.tell({ type: "tick" });
  }

  flush(): readonly GroupEffect[] {
    return this.tell({ type: "durable", ticket: this.#tickets });
  }

  /** Leads term 1, of which nothing is committed yet. */
  lead(): void {
    this.tell({ type: "campaign" });
    this.hear({ type: "pre-vote-answer", from: two, term: term(0), asked: term(1), granted: true });
    this.flush();
    this.hear({ type: "vote-answer", from: two, term: term(1), granted: true });
    expect(this.group.standing.role).toBe("elected");
  }
}

function sent<T extends Message["type"]>(effects: readonly GroupEffect[], type: T): Extract<Message, { type: T }>[] {
  return effects.flatMap((effect) =>
    effect.type === "send" && effect.message.type === type ? [effect.message as Extract<Message, { type: T }>] : [],
  );
}

describe("votes", () => {
  test("[ELE6] a vote of who is no voter counts for nothing", () => {
    const alone = new Alone();
    alone.tell({ type: "campaign" });
    alone.hear({ type: "pre-vote-answer", from: four, term: term(0), asked: term(1), granted: true });
    expect(alone.group.standing.role).toBe("pre-candidate");
    alone.hear({ type: "pre-vote-answer", from: two, term: term(0), asked: term(1), granted: true });
    alone.flush();
    alone.hear({ type: "vote-answer", from: four, term: term(1), granted: true });
    expect(alone.group.standing.role).toBe("candidate");
    alone.hear({ type: "vote-answer", from: three, term: term(1), granted: true });
    expect(alone.group.standing.role).toBe("elected");
  });

  test("[ELE2] the own vote counts when it is durable: two others are needed before", () => {
    const alone = new Alone();
    alone.tell({ type: "campaign" });
    const asked = alone.hear({ type: "pre-vote-answer", from: two, term: term(0), asked: term(1), granted: true });
    expect(sent(asked, "vote")).toEqual([]);
    // An answer to an earlier life of this candidate, in the same term.
    alone.hear({ type: "vote-answer", from: two, term: term(1), granted: true });
    expect(alone.group.standing.role).toBe("candidate");
    expect(sent(alone.flush(), "vote")).toHaveLength(2);
    expect(alone.group.standing.role).toBe("elected");
  });

  test("[ELE1] who gives up leading has still voted for itself in that term", () => {
    const alone = new Alone();
    alone.lead();
    alone.flush();
    // Nobody hears it for long enough.
    const { electionTimeoutMs, stepDownAfterMs } = defaultGroupSettings;
    alone.pass(electionTimeoutMs + stepDownAfterMs);
    expect(alone.group.standing).toMatchObject({ role: "follower", term: 1 });
    const vote = {
      type: "vote",
      from: three,
      term: term(1),
      lastIndex: logIndex(9),
      lastTerm: term(1),
      handover: false,
    };
    const answers = [...alone.hear(vote), ...alone.flush()];
    expect(sent(answers, "vote-answer")).toMatchObject([{ granted: false, term: 1 }]);
  });

  test("[ELE16] who has voted does not wait for ever for the one it voted for", () => {
    for (const isAsking of [false, true]) {
      const alone = new Alone();
      if (isAsking) alone.tell({ type: "campaign" });
      const vote = {
        type: "vote",
        from: two,
        term: term(1),
        lastIndex: logIndex(0),
        lastTerm: term(0),
        handover: false,
      };
      alone.hear(vote);
      alone.flush();
      const { dueAt } = alone.group;
      expect(dueAt).toBeGreaterThanOrEqual(defaultGroupSettings.electionTimeoutMs);
      expect(dueAt).toBeLessThan(5_000);
      expect(sent(alone.pass(dueAt), "pre-vote")).toHaveLength(2);
    }
  });

  test("[ELE3] a longer log of an older term is older", () => {
    const alone = new Alone((image) => {
      image.term = 3;
      image.entries = [1, 3].map((ofTerm, at) => {
        const place = { group: groupId(0), index: logIndex(at + 1), term: term(ofTerm), type: entryTypes.commands };
        return { ...place, ts: timestamp(0), day: day(20260101), payload: new Uint8Array(0) };
      });
    });
    const asked = { type: "vote", from: two, handover: false };
    alone.hear({ ...asked, term: term(4), lastIndex: logIndex(9), lastTerm: term(2) });
    expect(sent(alone.flush(), "vote-answer")).toEqual([]);
    alone.hear({ ...asked, from: three, term: term(4), lastIndex: logIndex(1), lastTerm: term(3) });
    expect(sent(alone.flush(), "vote-answer")).toEqual([]);
    alone.hear({ ...asked, term: term(4), lastIndex: logIndex(2), lastTerm: term(3) });
    expect(sent(alone.flush(), "vote-answer")).toMatchObject([{ to: two, granted: true, term: 4 }]);
  });

  test("[ELE5] a vote for a later term is not even answered while a leader is heard", () => {
    const alone = new Alone();
    const nothing = { previousIndex: logIndex(0), previousTerm: term(0), entries: [], commit: logIndex(0) };
    alone.hear({ type: "append", from: two, term: term(1), ...nothing, authoritative: true, session: logIndex(0) });
    alone.flush();
    const vote = { type: "vote", from: three, term: term(9), lastIndex: logIndex(5), lastTerm: term(5) };
    expect(alone.hear({ ...vote, handover: false })).toEqual([]);
    expect(alone.group.standing).toMatchObject({ term: 1, leader: two });
    alone.hear({ ...vote, handover: true });
    expect(sent(alone.flush(), "vote-answer")).toMatchObject([{ granted: true, term: 9 }]);
  });

  test("[ELE12] a replica without a vote never campaigns", () => {
    const alone = new Alone((image) => {
      image.baseConfiguration = configurationOf([two, three], [one]);
    });
    expect(alone.group.dueAt).toBe(Infinity);
    expect(alone.tell({ type: "campaign" })).toEqual([]);
  });

  test("[ELE14] who is vouched for is believed until it is not", () => {
    const alone = new Alone();
    const hears = { type: "liveness", peer: two, supportedUntil: Infinity, diskOk: true, crashed: false };
    alone.tell({ ...hears, heardUntil: Infinity });
    alone.tell({ type: "vouched", leader: two, term: term(1), authoritative: true });
    alone.flush();
    // As long as it stands nothing is due, for ever.
    expect(alone.group.dueAt).toBe(Infinity);
    alone.pass(1_000_000);
    expect(alone.group.standing.leader).toBe(two);
    // It does not lead any more, though its server is well.
    alone.tell({ type: "vouched", leader: two, term: term(0), authoritative: false });
    alone.pass(defaultGroupSettings.electionTimeoutMs);
    expect(alone.group.standing.leader).toBeNull();
    expect(alone.group.dueAt).toBeLessThan(Infinity);
    // And the other way: it vouches, and its server falls silent.
    alone.tell({ type: "vouched", leader: two, term: term(1), authoritative: true });
    expect(alone.group.standing.leader).toBe(two);
    alone.tell({ ...hears, heardUntil: 1_000_000 });
    expect(alone.group.standing.leader).toBeNull();
  });

  test("[ELE13] a policy says when, and has no other say", () => {
    const random = seededRandom(7);
    const situation = { attempt: 0, rank: 0, electionTimeoutMs: 600 };
    const random1 = randomizedCampaigns();
    const delays = Array.from({ length: 100 }, () => random1.delayMs({ ...situation, cause: "silence" }, random));
    expect(new Set(delays).size).toBeGreaterThan(90);
    expect(Math.max(...delays)).toBeLessThan(600);
    const ranked = rankedCampaigns();
    const turns = [0, 1, 2].map((rank) => ranked.delayMs({ ...situation, rank, cause: "silence" }, random));
    expect(turns).toEqual([0, 50, 100]);
    for (const policy of [random1, ranked]) {
      const [crash, silence] = (["crash", "silence"] as const).map((cause) =>
        policy.delayMs({ ...situation, rank: 2, cause }, seededRandom(1)),
      );
      expect(crash).toBeLessThan(silence!);
    }
    // Two replicas with a policy that always says "now" still elect at most one in a term: the invariants look.
    for (let seed = 0; seed < 20; seed++) {
      const cluster = new Cluster({ servers: 3, seed, policy: { delayMs: () => 0 } });
      cluster.run(3_000);
    }
  });

  test("[ELE13] with ranks a silent leader is followed by the first in rank, and in one attempt", () => {
    for (let seed = 0; seed < 20; seed++) {
      const cluster = new Cluster({ servers: 5, seed, policy: rankedCampaigns() });
      expect(cluster.runUntil(() => cluster.leader()?.group?.standing.role === "leader", 5_000)).toBe(true);
      cluster.run(1_000);
      const { term: before } = cluster.leader()!.group!.standing;
      cluster.crash(cluster.leader()!.name);
      expect(cluster.runUntil(() => cluster.leader()?.group?.standing.role === "leader", 5_000)).toBe(true);
      expect(cluster.leader()!.group!.standing.term).toBe(before + 1);
    }
  });
});

describe("entries", () => {
  test("[REP16] entries are sent while the own disk writes them", () => {
    const alone = new Alone();
    alone.lead();
    const stamp = { ts: timestamp(1), day: day(20260101) };
    alone.hear({
      type: "append-ack",
      from: two,
      term: term(1),
      matched: logIndex(1),
      commit: logIndex(0),
      session: logIndex(0),
    });
    const effects = alone.tell({ type: "proposed", kind: entryTypes.commands, ...stamp, payload: new Uint8Array(3) });
    expect(effects.map(({ type }) => type)).toEqual(["append", "send"]);
  });

  test("[REP2] the leader counts itself when its own flush is done, and the payload is not touched", () => {
    const alone = new Alone();
    alone.lead();
    const ack = { type: "append-ack", from: two, term: term(1), commit: logIndex(0), session: logIndex(0) };
    expect(alone.hear({ ...ack, matched: logIndex(1) }).filter(({ type }) => type === "committed")).toEqual([]);
    expect(alone.flush()).toContainEqual({ type: "committed", through: 1 });
    const payload = Uint8Array.of(1, 2, 3);
    const effects = alone.tell({
      type: "proposed",
      kind: entryTypes.commands,
      ts: timestamp(1),
      day: day(20260101),
      payload,
    });
    const written = effects.find((effect) => effect.type === "append");
    expect(written?.type === "append" && written.entries[0]!.payload).toBe(payload);
    expect(sent(effects, "append")[0]!.entries[0]!.payload).toBe(payload);
  });

  test("[REP10] answers of another term, of strangers, or of more than there is count for nothing", () => {
    const alone = new Alone();
    alone.lead();
    alone.flush();
    const ack = { type: "append-ack", commit: logIndex(0), session: logIndex(0), matched: logIndex(1), term: term(1) };
    alone.hear({ ...ack, from: four });
    alone.hear({ ...ack, from: two, term: term(0) });
    alone.hear({ ...ack, from: two, session: logIndex(5) });
    alone.hear({ ...ack, from: two, matched: logIndex(2) });
    expect(alone.group.committed).toBe(0);
    alone.hear({ ...ack, from: two });
    expect(alone.group.committed).toBe(1);
  });

  test("[REP3] nothing is acknowledged before the term it is of is durable", () => {
    const alone = new Alone();
    const nothing = { previousIndex: logIndex(0), previousTerm: term(0), entries: [], commit: logIndex(0) };
    const append = { type: "append", from: two, term: term(4), ...nothing, authoritative: true, session: logIndex(0) };
    expect(sent(alone.hear(append), "append-ack")).toEqual([]);
    expect(sent(alone.flush(), "append-ack")).toMatchObject([{ matched: 0, term: 4 }]);
    expect(sent(alone.hear(append), "append-ack")).toMatchObject([{ matched: 0, term: 4 }]);
  });

  test("[REP3] what stands behind what was compared is not acknowledged, though it is there", () => {
    const alone = new Alone((image) => {
      image.term = 2;
      image.entries = [1, 1, 2].map((ofTerm, at) => {
        const place = { group: groupId(0), index: logIndex(at + 1), term: term(ofTerm), type: entryTypes.commands };
        return { ...place, ts: timestamp(0), day: day(20260101), payload: new Uint8Array(0) };
      });
    });
    const nothing = { previousIndex: logIndex(2), previousTerm: term(1), entries: [], commit: logIndex(3) };
    alone.hear({ type: "append", from: two, term: term(4), ...nothing, authoritative: true, session: logIndex(0) });
    expect(sent(alone.flush(), "append-ack")).toMatchObject([{ matched: 2, commit: 2 }]);
    expect(alone.group.committed).toBe(2);
  });

  test("[REP12] entries that were fetched for another question are not used", () => {
    const alone = new Alone();
    alone.lead();
    alone.flush();
    expect(alone.tell({ type: "fetched", context: 12345, entries: null })).toEqual([]);
  });
});

describe("progress", () => {
  test("[REP7] what a follower has acknowledged is never asked for again", () => {
    const inFlight = new InFlight({ messagesMax: 9, bytesMax: 99 });
    const progress = new Progress({ replica: two, session: logIndex(0), next: logIndex(8), inFlight });
    progress.matchedThrough(logIndex(5));
    progress.becomeProbe(logIndex(2));
    expect([progress.matched, progress.next]).toEqual([5, 6]);
    progress.becomeReplicate();
    progress.sent(logIndex(7), 10);
    expect(progress.matchedThrough(logIndex(4))).toBe(false);
    expect([progress.matched, progress.next]).toEqual([5, 8]);
    expect(progress.matchedThrough(logIndex(9))).toBe(true);
    expect([progress.matched, progress.next, inFlight.count]).toEqual([9, 10, 0]);
  });
});

describe("the whole", () => {
  test("[ELE15] a replica is a server and one life of its directory", () => {
    expect([nodeOf(two), incarnationOf(two)]).toEqual(["n2", "1"]);
    const alone = new Alone();
    const nothing = { previousIndex: logIndex(0), previousTerm: term(0), entries: [], commit: logIndex(0) };
    const append = { type: "append", from: two, term: term(4), ...nothing, authoritative: true, session: logIndex(0) };
    expect(alone.hear({ ...append, to: "n1#2" })).toEqual([]);
    expect(alone.hear({ ...append, group: groupId(1) })).toEqual([]);
    expect(alone.group.standing.term).toBe(0);
  });

  test("[MEM8] who belonged to the group at an entry is known as long as the entry is", () => {
    const alone = new Alone();
    alone.lead();
    const ack = { type: "append-ack", from: two, term: term(1), commit: logIndex(0), session: logIndex(0) };
    alone.flush();
    alone.hear({ ...ack, matched: logIndex(1) });
    const stamp = { ts: timestamp(1), day: day(20260101) };
    alone.tell({ type: "change-proposed", ...stamp, changes: [{ type: "remove", replica: three }] });
    expect(alone.group.configuration.voters).toEqual([one, two]);
    expect(alone.group.configurationAt(logIndex(1)).configuration.voters).toEqual([one, two, three]);
    expect(alone.group.configurationAt(logIndex(2))).toMatchObject({ index: 2, configuration: { voters: [one, two] } });
  });

  test("settings are checked against each other", () => {
    expect(() => checkGroupSettings(defaultGroupSettings)).not.toThrow();
    expect(() => checkGroupSettings({ ...defaultGroupSettings, resendAfterMs: 600 })).toThrow("before a vote");
    expect(() => checkGroupSettings({ ...defaultGroupSettings, inFlightBytesMax: 1 })).toThrow("one message");
    expect(() => checkGroupSettings({ ...defaultGroupSettings, readsMax: 0 })).toThrow("readsMax");
  });
});
