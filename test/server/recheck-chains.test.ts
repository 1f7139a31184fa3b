import { expect, test } from "vitest";
import { fraction, type Random, seededRandom } from "../../src/base/random.ts";
import { equalBytes } from "../../src/base/compare-bytes.ts";
import type { RequestId } from "../../src/protocol/schema.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import { putRecord, recordBytes, type RecordParts } from "../../src/rooms/message-record.ts";
import { outcomes } from "../../src/rooms/outcome.ts";
import type { Room } from "../../src/rooms/room.ts";
import type { Origin } from "../../src/server/batch.ts";
import { RecheckChains, type Rechecked } from "../../src/server/recheck-chains.ts";
import { HeldDisk, turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const small = { chunkBytes: 4_096, unsealedBytesMax: 1 << 20, idWindowEntries: 8, ringSlots: 64 };

const told = (frame: Record<string, unknown>): string =>
  frame.t === "ok" ? `${String(frame.cid)} at ${String(frame.seq)}` : String(frame.code);

/** Bob's posts stand before alice's in the log and push the window past the head that alice knew. */
function crowd(bob: TestClient, count: number): Promise<unknown>[] {
  return Array.from({ length: count }, (_, i) =>
    bob.ask({ t: "send", room: "lobby", cid: `b${i}`, body: "x", since: 1_000 }),
  );
}

test("chained posts that all come back undecided are stored in their order", async () => {
  const { server } = await startTestServer({ limits: small });
  const [alice, bob] = [await TestClient.open(server, "alice"), await TestClient.open(server, "bob")];
  const crowded = crowd(bob, 20);
  const chain = ["a1", "a2", "a3", "a4"].map((cid, i) =>
    alice.ask({ t: "send", room: "lobby", cid, body: "x", since: 0, ...(i === 0 ? {} : { prev: `a${i}` }) }),
  );
  expect((await Promise.all(chain)).map(told)).toEqual(["a1 at 21", "a2 at 22", "a3 at 23", "a4 at 24"]);
  await Promise.all(crowded);
  await server.stop(0);
});

test("what follows a chain that was sent again waits for it, and a chain behind a refused post is refused", async () => {
  const disk = new HeldDisk();
  const { server } = await startTestServer({ limits: small, fileSystem: disk.fileSystem });
  const [alice, bob] = [await TestClient.open(server, "alice"), await TestClient.open(server, "bob")];
  const sent = (cid: string, prev: string | null, since = 0) =>
    alice.ask({ t: "send", room: "lobby", cid, body: "x", since, ...(prev === null ? {} : { prev }) });
  disk.hold(["writeDurable"], "journal/");
  const crowded = crowd(bob, 20);
  const early = [sent("a1", null), sent("a2", "a1")];
  await turns();
  // These are in the next entry: by the time it is applied, the two before were proposed again behind it.
  const late = [sent("a3", "a2"), sent("a4", "a3"), sent("a9", "nothing"), sent("a10", "a9")];
  await turns();
  disk.letGo();
  const answers = await Promise.all([...early, ...late]);
  expect(answers.map(told)).toEqual(["a1 at 21", "a2 at 22", "a3 at 23", "a4 at 24", "order", "order"]);
  await Promise.all(crowded);
  await server.stop(0);
});

test("a chain whose first is a repeat finds it where it is stored", async () => {
  const { server } = await startTestServer({ limits: small });
  const [alice, bob] = [await TestClient.open(server, "alice"), await TestClient.open(server, "bob")];
  await alice.ask({ t: "send", room: "lobby", cid: "a1", body: "x" });
  const crowded = crowd(bob, 20);
  const again = alice.ask({ t: "send", room: "lobby", cid: "a1", body: "x" });
  const next = alice.ask({ t: "send", room: "lobby", cid: "a2", prev: "a1", body: "x", since: 1 });
  expect([await again, await next].map(told)).toEqual(["a1 at 1", "a2 at 22"]);
  await Promise.all(crowded);
  await server.stop(0);
});

test("what is sent without prev, and with a head long past, keeps the order it came in", async () => {
  const { server } = await startTestServer({ limits: { ...small, idWindowEntries: 32 } });
  const alice = await TestClient.open(server, "alice");
  const seqs: unknown[] = [];
  let next = 0;
  // Ten are always on their way: while some are looked up and proposed again, those behind them come.
  const stream = async (): Promise<void> => {
    while (next < 200) {
      const i = next++;
      const answer = await alice.ask({ t: "send", room: "lobby", cid: `a${i}`, body: "x", since: 0 });
      seqs[i] = answer.seq;
    }
  };
  await Promise.all(Array.from({ length: 10 }, stream));
  expect(seqs).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
  await server.stop(0);
});

test("what knew a later head does not pass what knew an earlier one, when the window goes by between the two", async () => {
  const { server } = await startTestServer({ limits: small });
  const [alice, bob] = [await TestClient.open(server, "alice"), await TestClient.open(server, "bob")];
  await Promise.all(crowd(bob, 20));
  expect(server.state.room("lobby")!.floor).toBe(12);
  // Five of bob's stand before alice's: when hers are applied, the window begins behind 13 and before 20.
  const crowded = Array.from({ length: 5 }, (_, i) =>
    bob.ask({ t: "send", room: "lobby", cid: `late${i}`, body: "x", since: 20 }),
  );
  const sent = [13, 20, 14, 20].map((since, i) =>
    alice.ask({ t: "send", room: "lobby", cid: `a${i + 1}`, body: "x", since }),
  );
  const answers = await Promise.all(sent);
  expect(answers.map(told)).toEqual(["a1 at 26", "a2 at 27", "a3 at 28", "a4 at 29"]);
  await Promise.all(crowded);
  await server.stop(0);
});

/** A record of a post without `prev`. */
function recordOf(cid: string): Uint8Array {
  const none = utf8("");
  const texts = { room: utf8("lobby"), from: utf8("alice"), cid: utf8(cid), kind: none, body: utf8("x") };
  const numbers = { ref: 0, checked: 0, prevSeq: 0, seq: 0, ts: 0, epoch: 0 };
  const parts: RecordParts = { ...texts, ...numbers, prev: none, refFrom: none, refKind: none };
  const record = new Uint8Array(recordBytes(parts));
  putRecord(record, 0, parts);
  return record;
}

test("one that comes back once more goes before those behind it, which wait for it when the window has passed it", async () => {
  const room = { name: "lobby" } as Room;
  const decided: string[] = [];
  const origin = {
    decided: (request: RequestId) => decided.push(String(request)),
    undecided: () => decided.push("undecided"),
  } as unknown as Origin;
  let [head, floor] = [20, 12];
  const proposals: { cid: string; post: Rechecked; checkedMax: number }[] = [];
  const chains = new RecheckChains(async (post, checkedMax) => {
    if (checkedMax < floor) return "behind";
    const cid = ["a1", "a2", "a3"].find((one) => equalBytes(recordOf(one), post.record))!;
    proposals.push({ cid, post, checkedMax });
    return Math.min(head, checkedMax);
  });
  chains.add(origin, "a1", room, recordOf("a1"));
  chains.add(origin, "a2", room, recordOf("a2"));
  await turns();
  // The second may claim no more than the first, though the room has grown.
  expect(proposals.map(({ cid }) => cid)).toEqual(["a1", "a2"]);
  expect(proposals[1]!.checkedMax).toBe(20);

  // The window has passed both, and the first is back. A third that was sent behind them waits for the second.
  [head, floor] = [40, 32];
  chains.add(origin, "a3", room, recordOf("a3"));
  const [first, second] = proposals.splice(0);
  chains.add(first!.post, 0, room, recordOf("a1"));
  await turns();
  expect(proposals.map(({ cid }) => cid)).toEqual([]);
  chains.add(second!.post, 0, room, recordOf("a2"));
  await turns();
  expect(proposals.map(({ cid }) => cid)).toEqual(["a1", "a2", "a3"]);
  for (const { post } of proposals) post.decided(0, outcomes.stored, 41, 0, 0, recordOf("a1"), 0);
  expect(decided).toEqual(["a1", "a2", "a3"]);
  expect(chains.hold(origin, room)).toBe(false);
});

const wholeBelow = (random: Random, end: number): number => Math.floor(fraction(random) * end);

test.each([1, 2, 3, 4, 5, 6])(
  "seed %i: whatever heads a client names, its posts are stored in their order",
  async (seed) => {
    const random = seededRandom(seed);
    const { server } = await startTestServer({ limits: { ...small, idWindowEntries: 8 } });
    const people = await Promise.all(["alice", "bob", "carol"].map((name) => TestClient.open(server, name)));
    const answers: Promise<Record<string, unknown>>[][] = people.map(() => []);
    for (let round = 0; round < 60; round++) {
      for (let i = wholeBelow(random, 12); i > 0; i--) {
        const who = wholeBelow(random, people.length);
        const head = server.state.room("lobby")!.head;
        // A head of long ago, of just now, or none at all; now and then with a `ref`, which is looked up.
        const since = [0, head, Math.max(0, head - wholeBelow(random, 12))][wholeBelow(random, 3)]!;
        const about = head > 0 && wholeBelow(random, 10) === 0 ? { kind: "react", ref: head } : {};
        const cid = `${who}-${answers[who]!.length}`;
        answers[who]!.push(people[who]!.ask({ t: "send", room: "lobby", cid, body: "x", since, ...about }));
      }
      if (wholeBelow(random, 3) === 0) await turns();
    }
    for (const own of answers) {
      const seqs = (await Promise.all(own)).filter(({ t }) => t === "ok").map(({ seq }) => seq as number);
      expect(seqs.length).toBeGreaterThan(own.length * 0.9);
      expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    }
    await server.stop(0);
  },
);
