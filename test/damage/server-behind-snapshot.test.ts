import { beforeAll, expect, test } from "vitest";
import { entryTypes } from "../../src/base/entry.ts";
import { groupId, logIndex, type NodeName, type RoomName, type Seq, type UserName } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { timestamp } from "../../src/base/units.ts";
import { DataDamaged } from "../../src/server/data-refused.ts";
import { type ReadableLog, readableLog } from "../../src/server/log-behind.ts";
import { lossLines } from "../../src/server/loss.ts";
import { operate } from "../../src/server/operator.ts";
import { type Rebuilt, rebuild } from "../../src/server/rebuild.ts";
import { openChunkStore } from "../../src/storage/chunk/chunk-store.ts";
import { openDataDirectory } from "../../src/storage/data-directory.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { latestSnapshot } from "../../src/storage/snapshot-file.ts";
import {
  type Batch,
  batchesOf,
  damaged,
  filesOf,
  flipInRecord,
  letIn,
  readable,
  wordsIn,
  wordsOf,
} from "./damaged-batches.ts";
import { batchWith, begun, brokenOffAnywhere, damageWords, numbersOf, roundOfTalk, type Said } from "./lost-talk.ts";
import { Ledger } from "./server-ledger.ts";
import type { ServerLife } from "./server-life.ts";

/** What is said here is noted here. */
class NoLedger extends Ledger {
  override notice(): void {
    return;
  }
}

/** Some chunks, and one segment for all that is behind them. The window of ids holds sixteen. */
const limits = { segmentBytes: 64 * 1024, chunkBytes: 5 * 1024, unsealedBytesMax: 96 * 1024 } as const;

interface Told {
  readonly user: string;
  readonly room: string;
  readonly frame: Said;
  readonly seq: number;
}

/** A server with sealed chunks, two snapshots, and some batches behind them. */
let behind: ServerLife;
/** The same without its newest snapshot: a chunk stands behind the one that it starts from. */
let older: ServerLife;
/** What clients were told of each message, by its words. */
const told = new Map<string, Told>();
/** Of each room its head and where it begins. */
const heads = new Map<string, number>();
const firsts = new Map<string, number>();

const rooms = ["lobby", "ops", "den", "@alice,bob", "late"];
const acceptance = { acceptLoss: true, openRooms: new Set(["late"]) };

async function say(life: ServerLife, user: string, frame: Said): Promise<number> {
  const answer = await life.ask(user, { t: "send", ...frame });
  expect(answer).toMatchObject({ t: "ok" });
  const seq = answer["seq"] as number;
  told.set(wordsOf(frame.body), { user, room: frame.room ?? "@alice,bob", frame, seq });
  return seq;
}

/** Answers the seq of what is said in the lobby. */
async function talk(life: ServerLife, n: number, more = ""): Promise<number> {
  const seqs: number[] = [];
  for (const { user, frame } of roundOfTalk(n, more)) seqs.push(await say(life, user, frame));
  return seqs[0]!;
}

beforeAll(async () => {
  const life = await begun({ limits, ledger: new NoLedger() });
  let n = 1;
  for (; filesOf(life, "snapshot").length < 2; n++) {
    await talk(life, n, ` ${"x".repeat(300)}`);
    await life.sealed();
  }
  n += n % 2 === 0 ? 1 : 0;
  // Behind the newest snapshot.
  const seq = await talk(life, n);
  await life.join("carol", "late");
  await say(life, "carol", { room: "late", cid: "c1", body: "late 1" });
  await talk(life, n + 1);
  await life.until(operate(life.server, { type: "trim", room: "ops" as RoomName, first: 3 as Seq }));
  await say(life, "carol", { room: "late", cid: "c2", prev: "c1", body: "late 2" });
  const edit = { room: "lobby", cid: "e1", kind: "edit", ref: seq, body: "edit 1" };
  await say(life, "alice", edit);
  await life.join("bob", "lobby");
  await say(life, "bob", { room: "lobby", cid: "r1", kind: "react", ref: seq + 1, body: "react 1" });
  await life.until(operate(life.server, { type: "invite", room: "den" as RoomName, user: "bob" as UserName }));
  await talk(life, n + 2);
  expect(filesOf(life, "history").length).toBeGreaterThan(1);
  for (const room of rooms) {
    const { head, first } = life.server.state.room(room)!;
    heads.set(room, head);
    firsts.set(room, first);
  }
  await life.stop();
  behind = life;
  older = life.fork(2);
  older.fileSystem.lose(filesOf(older, "snapshot").at(-1)!);
});

async function letAllIn(life: ServerLife): Promise<void> {
  await letIn(life);
  const isThere = life.server.state.room("late") !== undefined;
  if (isThere) await life.join("carol", "late");
}

/** All that is not gone is there, each once and in its order, and no number is another message's than before. */
async function checkKept(life: ServerLife, gone: ReadonlySet<string>, what: unknown): Promise<Map<string, number>> {
  const numbers = new Map<string, number>();
  for (const room of rooms) {
    const items = await readable(life, room);
    const first = life.server.state.room(room)?.first ?? 1;
    // What was trimmed is trimmed still, unless nobody can tell any more that it was.
    expect(first).toBeLessThanOrEqual(Math.max(firsts.get(room)!, 1));
    const expected = [...told].filter(([words, one]) => one.room === room && one.seq >= first && !gone.has(words));
    expect([what, room, items.map(({ body }) => wordsOf(body))]).toEqual([
      what,
      room,
      expected.map(([words]) => words),
    ]);
    const bySeq = new Map(items.map((item) => [item.seq, wordsOf(item.body)]));
    for (const { seq, body, ref } of items) {
      const words = wordsOf(body);
      numbers.set(words, seq);
      if (seq !== told.get(words)!.seq) expect(seq).toBeGreaterThan(heads.get(room)!);
      // What an edit or a reaction is of can't be read any more, or is what it was.
      const meant = [...told].find(([, one]) => one.room === room && one.seq === ref);
      if (ref !== undefined) expect([undefined, meant![0]]).toContain(bySeq.get(ref));
    }
  }
  return numbers;
}

/** Whatever is sent once more finds its first, wherever that lies now. */
async function checkOnce(life: ServerLife, numbers: ReadonlyMap<string, number>): Promise<void> {
  for (const [words, { user, frame }] of told) {
    const seq = numbers.get(words);
    if (seq === undefined) continue;
    // An edit is asked first what it is of.
    const { ref } = frame;
    if (ref !== undefined && ![...numbers].some(([, one]) => one === ref)) continue;
    expect([words, await life.ask(user, { t: "send", ...frame })]).toMatchObject([words, { t: "ok", dup: true, seq }]);
  }
}

test.each(["the newest snapshot is sound", "the newest snapshot is gone, and a chunk stands behind the one before"])(
  "one batch behind a snapshot is damaged, and %s: the refusal tells what goes, and all else stays",
  async (how) => {
    const origin = how.endsWith("sound") ? behind : older;
    const whole = origin.fork(3);
    await whole.start();
    await checkKept(whole, new Set(), how);
    await whole.stop();
    const batches = batchesOf(origin);
    let refused = 0;
    for (const [at, batch] of batches.entries()) {
      const life = origin.fork(100 + at);
      const refusal = await damaged(life, batch, 70);
      const gone = new Set(wordsIn(origin, batch));
      if (refusal === null) {
        // The last one, a mark, or one that no snapshot needs.
        await checkKept(life, new Set(), at);
        await life.stop();
        continue;
      }
      expect(refusal).toBeInstanceOf(DataDamaged);
      const { loss, message } = refusal as DataDamaged;
      for (const line of lossLines(loss)) expect(message).toContain(line);
      const { rebuilt } = loss;
      if (rebuilt === null) {
        // Damage in what is durable elsewhere hides nothing.
        expect(loss.hidden).toEqual([]);
        await life.start(acceptance);
        await checkKept(life, new Set(), at);
        await life.stop();
        continue;
      }
      refused++;
      expect(rebuilt.isKnown).toBe(true);
      expect(rebuilt.lostMax).toBeGreaterThanOrEqual(gone.size);
      expect(rebuilt.refused).toBe(0);

      await life.start(acceptance);
      // Who was in a room that was known is in it still.
      const { rooms: hers } = (await life.ask("alice", { t: "rooms" })) as unknown as { rooms: { room: string }[] };
      expect(hers.map(({ room }) => room)).toEqual(expect.arrayContaining(["lobby", "den"]));
      await letAllIn(life);
      const numbers = await checkKept(life, gone, at);
      for (const room of rooms) {
        const said = rebuilt.rooms.find((one) => one.room === room);
        const kept = [...numbers].filter(([words]) => told.get(words)!.room === room);
        if (said === undefined) expect(kept).toEqual([]);
        else {
          const { first, last, lacking, lost } = said;
          expect([at, room, kept.length]).toEqual([at, room, last - first + 1 - lacking]);
          const lostHere = [...gone].filter((words) => told.get(words)!.room === room).length;
          expect(lostHere).toBeLessThanOrEqual(lost?.messagesMax ?? 0);
        }
      }
      if (at % 3 === 0) await checkOnce(life, numbers);
      life.ledger = new Ledger();
      for (const [room, head] of heads) {
        if (life.server.state.room(room) === undefined) continue;
        const to = room.startsWith("@") ? { to: "bob" } : { room };
        const [next] = await life.send("alice", { ...to, cid: "x1", body: "x" });
        expect(next).toMatchObject({ t: "ok", dup: false });
        expect(next!["seq"]).toBeGreaterThan(head);
      }
      await life.stop();
      // From here on it is a directory like any other.
      await life.start();
      for (const [words, seq] of numbers) {
        const { user, room } = told.get(words)!;
        const page = await life.ask(user, { t: "hist", room, after: seq - 1, limit: 1 });
        expect(wordsOf((page["items"] as { body: string }[])[0]!.body)).toBe(words);
      }
      await life.stop();
    }
    expect(refused).toBeGreaterThan(15);
  },
);

const sizeOf = (batches: readonly Batch[]): number => batches.reduce((sum, { length }) => sum + length, 0);

/** The batches behind the newest snapshot, but for the mark at the end. */
const batchesBehind = (life: ServerLife): Batch[] => {
  const batches = batchesOf(life);
  const first = batches.findIndex((batch) => wordsIn(life, batch).some((words) => told.get(words)!.room === "late"));
  return batches.slice(first, -1);
};

test("several batches behind a snapshot are damaged: what is sound stays, in its order, and no number stands for another message", async () => {
  const batches = batchesBehind(behind);
  expect(sizeOf(batches)).toBeLessThan(limits.segmentBytes);
  const random = seededRandom(6);
  for (let round = 0; round < 8; round++) {
    const life = behind.fork(200 + round);
    const gone = new Set<string>();
    for (let count = 2 + random.whole(3); count > 0; count--) {
      const batch = batches[random.whole(batches.length)]!;
      for (const words of wordsIn(behind, batch)) gone.add(words);
      flipInRecord(life, batch, random);
    }
    expect(await life.start().catch((cause: unknown) => cause)).toBeInstanceOf(DataDamaged);
    await life.start(acceptance);
    await letAllIn(life);
    const numbers = await checkKept(life, gone, round);
    await checkOnce(life, numbers);
    await life.stop();
  }
});

test("behind an accepted loss the next one, before anything is sealed, takes no more with it than is damaged", async () => {
  const life = behind.fork(500);
  life.ledger = new NoLedger();
  damageWords(life, "late 1");
  await life.start(acceptance);
  const said = ["den 901", "den 902", "den 903"];
  let seq = 0;
  for (const [at, body] of said.entries()) {
    const prev = at === 0 ? {} : { prev: `again${at - 1}` };
    const answer = await life.ask("alice", { t: "send", room: "den", cid: `again${at}`, ...prev, body });
    seq = answer["seq"] as number;
  }
  await life.stop();
  damageWords(life, "den 902");
  expect(await life.start().catch((cause: unknown) => cause)).toBeInstanceOf(DataDamaged);
  await life.start(acceptance);
  const items = (await readable(life, "den")).slice(-2);
  expect(items.map(({ body }) => body)).toEqual(["den 901", "den 903"]);
  expect(items[0]!.seq).toBe(seq - 2);
  expect(items[1]!.seq).toBeGreaterThan(seq);
  await life.stop();
});

test.each(["it was written anew", "it was not yet written anew"])(
  "what was removed behind a snapshot is not asked for, and a chunk without it, %s, is what the state says",
  async (how) => {
    const life = behind.fork(600);
    life.ledger = new NoLedger();
    await life.start();
    const [first, second] = filesOf(life, "history");
    for (const { name, runs } of life.server.state.rooms()) {
      if (runs.length === 0) continue;
      const at = runs.ofChunk(2) as 0 | 1;
      const keptFrom = (at < 0 ? runs.lastSeq(0) + 1 : runs.lastSeq(at)) as Seq;
      await life.until(operate(life.server, { type: "trim", room: name, first: keptFrom }));
    }
    await life.advance(120_000);
    await life.sealed();
    expect(life.server.state.chunk(2)!.generation).toBe(1);
    const kept = await numbersOf(life, rooms);
    expect((await life.ask("alice", { t: "send", room: "den", cid: "y1", body: "den 901" })).t).toBe("ok");
    expect((await life.ask("alice", { t: "send", room: "den", cid: "y2", body: "den 902" })).t).toBe("ok");
    await life.stop();
    expect(filesOf(life, "history")).not.toContain(first);
    expect(filesOf(life, "history")).not.toContain(second);
    const [anew] = filesOf(life, "history");
    if (how.includes("not yet")) {
      life.fileSystem.lose(anew!);
      life.fileSystem.plant(second!, behind.fileSystem.files().get(second!)!);
      // Nor is what is emptied removed yet.
      life.fileSystem.plant(first!, behind.fileSystem.files().get(first!)!);
    }
    const refusal = (await damaged(life, batchWith(life, "den 901"), 70)) as DataDamaged;
    expect(refusal).toBeInstanceOf(DataDamaged);
    expect(refusal.loss.rooms).toEqual([]);
    await life.start(acceptance);
    expect(filesOf(life, "history")).not.toContain(first);
    expect(life.server.state.chunk(1)).toBeUndefined();
    expect(life.server.state.chunk(2)!.generation).toBe(how.includes("not yet") ? 0 : 1);
    expect([...(await numbersOf(life, rooms))].filter(([words]) => words !== "den 902")).toEqual([...kept]);
    // What was not yet done is done now.
    await life.advance(120_000);
    await life.sealed();
    expect(filesOf(life, "history")).toContain(anew);
    await life.stop();
  },
);

test("broken off in any call, a loss behind a snapshot is accepted again and comes to the same", async () => {
  await brokenOffAnywhere({
    begin: () => {
      const life = older.fork(300);
      damageWords(life, "edit 1");
      return life;
    },
    acceptance,
    look: async (life) => {
      await letAllIn(life);
      return numbersOf(life, rooms);
    },
    everyCalls: 3,
  });
});

test("what stands behind the damage a second time is taken once, also when its id has left the window", async () => {
  const life = older.fork(700);
  const disk = openDisk(life.fileSystem.attach());
  const lock = { acquire: () => Promise.resolve(), release: () => Promise.resolve() };
  const options = {
    random: seededRandom(1),
    node: "n1" as NodeName,
    groups: 1,
    found: true,
    now: timestamp(life.wall),
  };
  const { identity: owner } = await openDataDirectory({ disk, lock, ...options });
  const ground = { disk, owner, random: seededRandom(2), limits: life.limits };
  const group = groupId(0);
  const chunks = await openChunkStore({ disk, cluster: owner.cluster, group });
  const { snapshot } = await latestSnapshot(disk, owner, group);
  const { entries } = await readableLog(ground, group, snapshot!.index);
  const last = entries.at(-1)!;
  const hole = { ...last, index: logIndex(last.index + 1), type: entryTypes.noop, payload: new Uint8Array(0) };
  const again = entries
    .filter(({ type }) => type === entryTypes.commands)
    .map((entry, at) => ({ ...last, index: logIndex(hole.index + 1 + at), type: entry.type, payload: entry.payload }));
  const built = async (log: Pick<ReadableLog, "entries" | "lost">): Promise<Rebuilt> => {
    const logBehind = (): Promise<ReadableLog> => Promise.resolve({ ...log, chainBefore: null });
    return rebuild(ground, { group, snapshot, chunks, logBehind });
  };
  const once = await built({ entries, lost: null });
  const lost = { from: hole.index, bytes: 512, isGone: false };
  const twice = await built({ entries: [...entries, hole, ...again], lost });
  expect(once.told.unsealed).toBeGreaterThan(life.limits.idWindowEntries);
  expect(twice.told.unsealed).toBe(once.told.unsealed);
  expect(twice.told.refused).toBe(once.told.unsealed);
});
