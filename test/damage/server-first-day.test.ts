import { AssertionError } from "node:assert";
import { beforeAll, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { lossLines } from "../../src/server/loss.ts";
import { DataDamaged } from "../../src/server/data-refused.ts";
import { batchesOf, damaged, filesOf, flipInRecord, letIn, readable, wordsIn } from "./damaged-batches.ts";
import { begun, brokenOffAnywhere, damageWords, numbersOf, roundOfTalk } from "./lost-talk.ts";
import { Ledger } from "./server-ledger.ts";
import type { ServerLife } from "./server-life.ts";

/** Room for the whole first day in one segment, and in one open chunk. */
const limits = { segmentBytes: 64 * 1024, chunkBytes: 48 * 1024, unsealedBytesMax: 192 * 1024 } as const;

/** A server on its first day: nothing is sealed yet, and there is no state but in its journal. */
let stopped: ServerLife;
/** The same, killed and started again: its journal begins with a copy of all that was there. */
let copied: ServerLife;

async function talk(life: ServerLife, numbers: readonly number[]): Promise<void> {
  for (const n of numbers) for (const { user, frame } of roundOfTalk(n)) await life.send(user, frame);
}

beforeAll(async () => {
  stopped = await begun({ limits });
  await talk(stopped, [1, 2, 3]);
  const killed = stopped.fork(2);
  await stopped.stop();

  killed.crash("after");
  await killed.start();
  await talk(killed, [4, 5]);
  await killed.stop();
  copied = killed;
  for (const life of [stopped, copied]) {
    expect(filesOf(life, "history")).toEqual([]);
    expect(filesOf(life, "snapshot")).toEqual([]);
  }
});

const rooms = ["lobby", "ops", "den", "@alice,bob"];
const roomOf = (words: string): string => (words.startsWith("direct") ? "@alice,bob" : words.split(" ")[0]!);

const acceptance = { acceptLoss: true, openRooms: new Set(["lobby", "ops"]) };

test.each(["stopped in good order", "killed and started again"])(
  "one batch of the first day is damaged, of a server that was %s: the refusal tells what goes, and all else stays",
  async (how) => {
    const origin = how.startsWith("stopped") ? stopped : copied;
    const whole = origin.fork(3);
    await whole.start();
    await letIn(whole);
    const told = await numbersOf(whole, rooms);
    const heads = new Map(rooms.map((room) => [room, whole.server.state.room(room)!.head]));
    await whole.stop();
    const batches = batchesOf(origin);
    expect(batches.length).toBeGreaterThan(12);
    let refused = 0;
    for (const [at, batch] of batches.entries()) {
      const life = origin.fork(100 + at);
      const refusal = await damaged(life, batch, 70);
      if (refusal === null) {
        // The last one: a mark, which nothing follows.
        expect(at).toBe(batches.length - 1);
        await letIn(life);
        expect(await numbersOf(life, rooms)).toEqual(told);
        await life.stop();
        continue;
      }
      refused++;
      expect(refusal).toBeInstanceOf(DataDamaged);
      const { loss, message } = refusal as DataDamaged;
      for (const line of lossLines(loss)) expect(message).toContain(line);
      const { rebuilt } = loss;
      if (rebuilt === null) throw new AssertionError({ message: "nothing is kept of what can be read" });
      const gone = new Set(wordsIn(origin, batch));
      // Damage costs one batch at most, as in ordinary running.
      expect(wordsIn(origin, { ...batch, firstRecordBytes: batch.length - 40 }).length).toBeLessThan(6);

      await life.start(acceptance);
      await letIn(life);
      expect(rebuilt.lostMax).toBeGreaterThanOrEqual(gone.size);
      for (const room of rooms) {
        const said = rebuilt.rooms.find((one) => one.room === room);
        const items = await readable(life, room);
        const expected = [...told.keys()].filter((words) => roomOf(words) === room && !gone.has(words));
        // All that is in sound batches is there, each once, in its order.
        expect([at, room, items.map(({ body }) => body)]).toEqual([at, room, expected]);
        const lostHere = [...gone].filter((words) => roomOf(words) === room).length;
        if (said === undefined) {
          expect(items).toEqual([]);
          continue;
        }
        // What was said before is what is then there, and what is then gone.
        const { first, last, lost, lacking } = said;
        expect(items.length).toBe(last - first + 1 - lacking);
        expect(items.every(({ seq }) => seq >= first && seq <= last)).toBe(true);
        expect(lostHere).toBeLessThanOrEqual(lost?.messagesMax ?? 0);
        // No number stands for another message than before.
        for (const { seq, body } of items) {
          const isBefore = lost === null || seq < lost.first;
          if (isBefore) expect([body, seq]).toEqual([body, told.get(body)]);
          else expect(seq).toBeGreaterThan(heads.get(room)!);
        }
      }
      life.ledger = new Ledger();
      for (const room of rooms) {
        if (life.server.state.room(room) === undefined) continue;
        const to = room.startsWith("@") ? { to: "bob" } : { room };
        const [next] = await life.send("alice", { ...to, cid: "x1", body: "x" });
        expect(next).toMatchObject({ t: "ok", dup: false });
        const isNew = rebuilt.rooms.some((one) => one.room === room);
        if (isNew) expect(next!["seq"]).toBeGreaterThan(heads.get(room)!);
      }
      const after = await numbersOf(life, rooms);
      await life.stop();
      // From here on it is a directory like any other.
      await life.start();
      expect(await numbersOf(life, rooms)).toEqual(after);
      await life.stop();
    }
    expect(refused).toBe(batches.length - 1);
  },
);

test("several batches of the first day are damaged: what is sound stays, in its order, and no number stands for another message", async () => {
  const whole = copied.fork(4);
  await whole.start();
  await letIn(whole);
  const told = await numbersOf(whole, rooms);
  const heads = new Map(rooms.map((room) => [room, whole.server.state.room(room)!.head]));
  await whole.stop();
  const batches = batchesOf(copied);
  const random = seededRandom(6);
  for (let round = 0; round < 16; round++) {
    const life = copied.fork(200 + round);
    const gone = new Set<string>();
    for (let count = 2 + random.whole(3); count > 0; count--) {
      const batch = batches[random.whole(batches.length - 1)]!;
      for (const words of wordsIn(copied, batch)) gone.add(words);
      flipInRecord(life, batch, random);
    }
    expect(await life.start().catch((cause: unknown) => cause)).toBeInstanceOf(DataDamaged);
    await life.start(acceptance);
    await letIn(life);
    for (const room of rooms) {
      const items = await readable(life, room);
      const expected = [...told.keys()].filter((words) => roomOf(words) === room && !gone.has(words));
      expect([round, room, items.map(({ body }) => body)]).toEqual([round, room, expected]);
      for (const { seq, body } of items) if (seq !== told.get(body)) expect(seq).toBeGreaterThan(heads.get(room)!);
    }
    await life.stop();
  }
});

test("of one server that others may join, and nobody has, a loss on the first day costs no more", async () => {
  const toldBy = async (isOneOfMany: boolean): Promise<Map<string, number>> => {
    const life = copied.fork(400);
    damageWords(life, "lobby 2");
    expect(await life.start({ isOneOfMany }).catch((cause: unknown) => cause)).toBeInstanceOf(DataDamaged);
    await life.start({ isOneOfMany, ...acceptance });
    // Until it leads, and has said that the rooms have another line.
    await life.advance(5_000);
    await life.stop();
    // Nobody has what is lost: a server that others may join waits for it, and one that is alone is told so once more.
    await life.start({ acceptLoss: true });
    await letIn(life);
    const numbers = await numbersOf(life, rooms);
    await life.stop();
    return numbers;
  };
  const alone = await toldBy(false);
  expect(alone.size).toBeGreaterThan(10);
  expect(await toldBy(true)).toEqual(alone);
});

test("broken off in any call, a loss on the first day is accepted again and comes to the same", async () => {
  await brokenOffAnywhere({
    begin: () => {
      const life = copied.fork(300);
      damageWords(life, "lobby 2");
      return life;
    },
    acceptance,
    look: async (life) => {
      await letIn(life);
      return numbersOf(life, rooms);
    },
  });
});
