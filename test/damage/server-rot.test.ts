import { crc32 } from "node:zlib";
import { beforeAll, expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { equalBytes } from "../../src/base/compare-bytes.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { knownChunks, neededChunks } from "../../src/server/needed-chunks.ts";
import { DataDamaged } from "../../src/server/data-refused.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { verifyDirectory } from "../../src/storage/verify.ts";
import { Ledger } from "./server-ledger.ts";
import { ServerLife } from "./server-life.ts";
import { acts, lateEvening } from "./server-story.ts";

/** How many bytes of each file are looked at here; each kind of file is looked at byte by byte elsewhere. */
const flipsPerFile = 32;

/** A server that was stopped in good order, with every kind of file, and clients that have read everything. */
let stopped: ServerLife;
let line: unknown;

beforeAll(async () => {
  stopped = new ServerLife({ seed: 1, wall: lateEvening });
  await acts[0]!.play(stopped);
  await acts[1]!.play(stopped);
  await stopped.start();
  await stopped.check();
  line = await lineOf(stopped);
  await stopped.stop();
});

async function lineOf(life: ServerLife): Promise<unknown> {
  return (await life.ask("alice", { t: "hist", room: "lobby", limit: 1 }))["line"];
}

const filesOf = (life: ServerLife): string[] => [...life.fileSystem.files().keys()];
const chunksOf = (life: ServerLife): string[] => filesOf(life).filter((file) => file.startsWith("history/"));
const snapshotsOf = (life: ServerLife): string[] => filesOf(life).filter((file) => file.startsWith("snapshot/"));

/** Starts the server; answers why it refused, or null. Whatever it refuses for, it has changed nothing. */
async function refusalOf(life: ServerLife, options = {}): Promise<Error | null> {
  const before = life.fileSystem.files();
  try {
    await life.start(options);
    return null;
  } catch (cause) {
    if (!(cause instanceof Error) || cause.name === "AssertionFailure") throw cause;
    const after = life.fileSystem.files();
    expect([...after.keys()]).toEqual([...before.keys()]);
    expect([...before].filter(([file, bytes]) => !equalBytes(bytes, after.get(file)!))).toEqual([]);
    return cause;
  }
}

/**
 * Reads all that can be read. Every message is the right one in its place; where one can't be given the answer is an
 * error. Answers how many were given, and in how many rooms something could not be. In another line, after a loss that was
 * accepted, a message may have another place.
 */
async function readAll(life: ServerLife, isSameLine = true): Promise<{ given: number; refused: number }> {
  let given = 0;
  let refused = 0;
  for (const room of life.ledger.roomNames()) {
    for (let after = 0; ; ) {
      const page = await life.ask("alice", { t: "hist", room, after, limit: 50 });
      if (page.t === "err") {
        expect(["unavailable", "not_found"]).toContain(page["code"]);
        refused++;
        break;
      }
      const items = page["items"] as Parameters<typeof life.ledger.checkItem>[1][];
      for (const [i, item] of items.entries()) life.ledger.checkItem(room, item, { seq: after + 1 + i, isSameLine });
      given += items.length;
      if (page["more"] !== true) break;
      after = items.at(-1)!.seq;
    }
  }
  return { given, refused };
}

/** Offsets of a file: its header, and any others. */
function offsetsOf(size: number, random: Random): number[] {
  return Array.from({ length: Math.min(size, flipsPerFile) }, (_, i) =>
    i < 16 ? Math.min(size - 1, i * 4 + random.whole(4)) : random.whole(size),
  );
}

/** What came of a server with one bad bit in one file: it refuses, tells readers what it can't give, or lacks nothing. */
async function withBadBit(file: string, offset: number, bit: number): Promise<"refused" | "told" | "whole"> {
  const life = stopped.fork(offset);
  life.fileSystem.flip(file, offset, bit);
  const refusal = await refusalOf(life);
  if (refusal === null) {
    const { given, refused } = await readAll(life);
    if (refused > 0) return "told";
    expect(given).toBe(life.ledger.promised);
    return "whole";
  }
  expect(refusal.message).toContain(file);
  if (!(refusal instanceof DataDamaged)) return "refused";
  // Going on is a decision, and one that clients are told of.
  expect(await refusalOf(life, { acceptLoss: true })).toBeNull();
  await readAll(life, false);
  expect(await lineOf(life)).not.toBe(line);
  expect(filesOf(life).some((one) => one.startsWith("quarantine/"))).toBe(true);
  return "refused";
}

test("a flipped bit of any file is refused by name, or everything that is served is right", async () => {
  const random = seededRandom(3);
  const counts = { refused: 0, told: 0, whole: 0 };
  for (const [file, bytes] of stopped.fileSystem.files()) {
    for (const offset of offsetsOf(bytes.length, random)) {
      const bit = random.whole(8);
      try {
        counts[await withBadBit(file, offset, bit)]++;
      } catch (cause) {
        throw new Error(`${file} byte ${offset} bit ${bit}: ${String(cause)}`, { cause });
      }
    }
  }
  // All three happen: a journal that refuses, a chunk that says so when it is read, a snapshot or spare that is done without.
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(10);
});

test("the journal of a young server is gone, and nothing else tells that there was one: refused", async () => {
  const life = new ServerLife({ seed: 4, wall: lateEvening });
  await life.start();
  await life.send("alice", { room: "lobby", cid: "c1", body: "only in the journal" });
  await life.stop();
  expect([...chunksOf(life), ...snapshotsOf(life)]).toEqual([]);
  for (const file of filesOf(life)) if (file.startsWith("journal/")) life.fileSystem.lose(file);
  expect(await refusalOf(life)).toBeInstanceOf(DataDamaged);
});

test("a journal that is gone is damage and not a new server; going on without it starts another line", async () => {
  const life = stopped.fork(1);
  for (const file of filesOf(life)) if (file.startsWith("journal/")) life.fileSystem.lose(file);
  expect(await refusalOf(life)).toBeInstanceOf(DataDamaged);
  expect(await refusalOf(life, { acceptLoss: true })).toBeNull();
  const { given, refused } = await readAll(life, false);
  expect(refused).toBe(0);
  expect(given).toBeLessThan(life.ledger.promised);
  expect(await lineOf(life)).not.toBe(line);
});

test("a chunk that is gone is refused by name; going on without it, what it held is unavailable, and nothing takes its place", async () => {
  const life = stopped.fork(1);
  const [gone] = chunksOf(life);
  life.fileSystem.lose(gone!);
  const refusal = await refusalOf(life);
  expect(refusal).toBeInstanceOf(DataDamaged);
  expect(refusal!.message).toContain(gone);
  // The state knows what lay in it: of each room how much, and which.
  const { loss } = refusal as DataDamaged;
  expect(loss).toMatchObject({ isWhole: false, chunks: [], hidden: [] });
  const messages = Number(/this chunk of (\d+) messages is missing/.exec(refusal!.message)![1]);
  expect(loss.rooms.reduce((sum, { sealed }) => sum + sealed, 0)).toBe(messages);
  for (const { first, last, sealed } of loss.rooms) expect(last - first + 1).toBe(sealed);
  expect(await refusalOf(life, { acceptLoss: true })).toBeNull();
  expect((await readAll(life)).refused).toBeGreaterThan(0);
  expect(await lineOf(life)).not.toBe(line);
  // Its ids went with it; what is sent now comes behind all that was.
  const head = Math.max(...life.ledger.knownIn("lobby"));
  expect(await life.ask("alice", { t: "send", room: "lobby", cid: "l1", body: "x" })).toMatchObject({
    t: "ok",
    seq: head + 1,
    dup: false,
  });
});

test("a start that accepts a loss and is broken off in any call: the next that succeeds starts another line", async () => {
  const losses: ((life: ServerLife) => void)[] = [
    // The newest batch but one, so that entries behind it are known to have been there.
    (life) => {
      const journal = filesOf(life).filter((file) => file.startsWith("journal/") && file.endsWith(".wal"));
      life.fileSystem.flip(journal.at(-1)!, 512 + 70, 1);
    },
    (life) => {
      life.fileSystem.lose(chunksOf(life)[0]!);
    },
  ];
  for (const [kind, lose] of losses.entries()) {
    const damaged = (): ServerLife => {
      const life = stopped.fork(1);
      lose(life);
      return life;
    };
    const whole = damaged();
    expect(await refusalOf(whole)).toBeInstanceOf(DataDamaged);
    const before = whole.fileSystem.calls;
    await whole.start({ acceptLoss: true });
    const calls = whole.fileSystem.calls - before;
    await whole.stop();
    const random = seededRandom(5);
    for (let at = 1; at <= calls; at++) {
      const life = damaged();
      const mode = crashModes[random.whole(crashModes.length)]!;
      life.fileSystem.crashAt(life.fileSystem.calls + at, mode);
      await Promise.race([life.start({ acceptLoss: true }), life.fileSystem.whenStopped()]);
      if (life.fileSystem.running) life.crash("lost");
      else life.crash(mode);
      // Without the flag where nothing is left to accept: the operator may not know that it was broken off.
      if ((await refusalOf(life)) !== null) await life.start({ acceptLoss: true });
      expect([kind, at, mode, (await lineOf(life)) !== line]).toEqual([kind, at, mode, true]);
      expect(filesOf(life)).not.toContain("line-owed");
      await life.stop();
    }
  }
});

test("after a kill, too, a start that is refused for a missing chunk or journal has changed nothing", async () => {
  for (const alsoSnapshot of [false, true]) {
    const life = stopped.fork(1);
    await life.start();
    await life.send("alice", { room: "lobby", cid: "late", body: "the journal does not end in good order" });
    life.crash("lost");
    // The newest snapshot would be moved aside, and the journal copied forward, by a start that goes on.
    if (alsoSnapshot) life.fileSystem.flip(snapshotsOf(life).at(-1)!, 100, 0);
    life.fileSystem.lose(chunksOf(life)[0]!);
    expect(await refusalOf(life)).toBeInstanceOf(DataDamaged);
    expect(await refusalOf(life, { acceptLoss: true })).toBeNull();
    expect(filesOf(life).filter((file) => file.startsWith("quarantine/snapshot")).length).toBe(alsoSnapshot ? 1 : 0);
    await life.stop();
  }
});

test("two chunks in each other's place, and one of another server, are never read as what their names say", async () => {
  const files = stopped.fileSystem.files();
  const [first, second] = chunksOf(stopped);
  const swapped = stopped.fork(1);
  swapped.fileSystem.plant(first!, files.get(second!)!);
  swapped.fileSystem.plant(second!, files.get(first!)!);
  expect(await refusalOf(swapped)).toBeNull();
  expect((await readAll(swapped)).refused).toBeGreaterThan(0);

  const other = new ServerLife({ seed: 77, wall: lateEvening });
  await acts[0]!.play(other);
  const foreign = stopped.fork(2);
  foreign.fileSystem.plant(first!, other.fileSystem.files().get(first!)!);
  expect(await refusalOf(foreign)).toBeNull();
  expect((await readAll(foreign)).refused).toBeGreaterThan(0);
});

test("without its newest snapshot a server starts from the one before, and has everything", async () => {
  const life = stopped.fork(1);
  expect(snapshotsOf(life).length).toBe(2);
  life.fileSystem.lose(snapshotsOf(life).at(-1)!);
  expect(await refusalOf(life)).toBeNull();
  expect(await readAll(life)).toEqual({ given: life.ledger.promised, refused: 0 });
});

test("without any snapshot the journal alone is not the state: refused", async () => {
  const life = stopped.fork(1);
  for (const file of snapshotsOf(life)) life.fileSystem.lose(file);
  expect(await refusalOf(life)).toBeInstanceOf(DataDamaged);
});

test("before anybody gives it up, all that would go is said: the files, the rooms, and how many messages of each", async () => {
  const life = stopped.fork(1);
  const head = new Map<string, number>();
  await life.start();
  for (const room of life.server.state.rooms()) head.set(room.name, room.head - room.first + 1);
  // Behind the last seal, so that only the journal has it.
  expect((await life.send("alice", { room: "lobby", cid: "late", body: "not sealed" }))[0]).toMatchObject({ t: "ok" });
  head.set("lobby", head.get("lobby")! + 1);
  const unsealed = life.server.state.openChunk.messages;
  expect(unsealed).toBeGreaterThan(0);
  await life.stop();
  for (const file of snapshotsOf(life)) life.fileSystem.flip(file, 100, 0);

  const refusal = (await refusalOf(life)) as DataDamaged;
  expect(refusal).toBeInstanceOf(DataDamaged);
  for (const file of snapshotsOf(life)) expect(refusal.message).toContain(file);
  const { isWhole, rebuilt } = refusal.loss;
  expect(isWhole).toBe(true);
  const told = new Map(rebuilt!.rooms.map(({ room, first, last }) => [room, last - first + 1]));
  // What retention has taken since may still lie in a file.
  for (const [room, messages] of head) if (messages > 0) expect(told.get(room)).toBeGreaterThanOrEqual(messages);
  expect(rebuilt!.unsealed).toBeGreaterThanOrEqual(unsealed);
  expect(refusal.message).toContain(`"lobby": `);
  expect(refusal.message).toContain("who is in which room, roles, invitations, read marks");
});

test("a chunk of a newer format is not taken for damage: the start is refused, and nothing is changed", async () => {
  const life = stopped.fork(1);
  const newest = chunksOf(life)
    .toSorted((a, b) => (a.slice(-20) < b.slice(-20) ? -1 : 1))
    .at(-1)!;
  const bytes = life.fileSystem.files().get(newest)!.slice();
  const view = new DataView(bytes.buffer);
  view.setUint16(8, 99, true);
  view.setUint32(60, crc32(bytes.subarray(0, 60)), true);
  life.fileSystem.plant(newest, bytes);
  const refusal = await refusalOf(life);
  expect(refusal).toBeInstanceOf(Fault);
  expect(refusal).toMatchObject({ code: "unsupported" });
  expect(refusal!.message).toContain(`${newest} has format 99`);
});

test("an older chunk of a newer format is met when it is read: unavailable, no gap, and it stays where it is", async () => {
  const life = stopped.fork(1);
  const [oldest] = chunksOf(life);
  const bytes = life.fileSystem.files().get(oldest!)!.slice();
  // Nothing behind the header is as this version knows it, and the header names a codec.
  bytes.fill(0x5a, 64);
  bytes[10] = 7;
  const view = new DataView(bytes.buffer);
  view.setUint16(8, 2, true);
  view.setUint32(60, crc32(bytes.subarray(0, 60)), true);
  life.fileSystem.plant(oldest!, bytes);
  expect(await refusalOf(life)).toBeNull();
  const page = await life.ask("alice", { t: "hist", room: "lobby", after: 0 });
  expect(page).toMatchObject({ t: "err", code: "unavailable" });
  expect(page["message"]).toContain("has format 2, newer than");
  // Whether an old id was seen before lies in it, too.
  expect(await life.ask("alice", { t: "send", room: "lobby", cid: "l1", body: "x" })).toMatchObject({
    t: "err",
    code: "unavailable",
  });
  await life.advance(20_000);
  expect(life.server.upkeep.scrubbed.damaged).toBe(0);
  expect(filesOf(life)).toContain(oldest);
  await life.stop();
  const verified = await verifyDirectory({
    disk: openDisk(life.fileSystem.attach()),
    segmentBytes: life.limits.segmentBytes,
    neededChunks: ({ state }, entries) => neededChunks(state, entries),
    knownChunks: ({ state }, entries) => knownChunks(state, entries),
  });
  expect([verified.damage, verified.newer]).toEqual([[], [{ file: oldest, format: 2 }]]);
  // Not even an accepted loss gives it up.
  for (const file of snapshotsOf(life)) life.fileSystem.lose(file);
  for (const options of [{}, { acceptLoss: true }]) {
    const refusal = await refusalOf(life, options);
    expect(refusal).toMatchObject({ code: "unsupported" });
    expect(refusal!.message).toContain(oldest);
  }
});

test("of a directory in which a start got no further than the identity, verify says what a start says", async () => {
  const life = new ServerLife({ seed: 8, wall: lateEvening });
  life.fileSystem.plant("identity", stopped.fileSystem.files().get("identity")!);
  const { damage } = await verifyDirectory({ disk: openDisk(life.fileSystem.attach()) });
  expect(damage).toEqual([]);
  expect(await refusalOf(life)).toBeNull();
  await life.stop();
  const files = filesOf(life).filter((file) => file.startsWith("journal/"));
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) life.fileSystem.lose(file);
  const after = await verifyDirectory({ disk: openDisk(life.fileSystem.attach()) });
  expect(after.damage.map(({ what }) => what)).toEqual([expect.stringContaining("the journal is missing")]);
});

test("damage in the journal says which entries it hides", async () => {
  const life = stopped.fork(1);
  await life.start();
  for (let n = 1; n <= 3; n++) await life.send("alice", { room: "lobby", cid: `h${n}`, body: `hidden ${n}` });
  const { appliedIndex } = life.server.state;
  await life.stop();
  const files = life.fileSystem.files();
  const [file, at] = filesOf(life)
    .filter((one) => one.startsWith("journal/"))
    .map((one) => [one, Buffer.from(files.get(one)!).indexOf("hidden 2")] as const)
    .find(([, found]) => found > 0)!;
  life.fileSystem.flip(file, at, 0);
  const refusal = (await refusalOf(life)) as DataDamaged;
  expect(refusal.loss).toMatchObject({
    isWhole: false,
    hidden: [{ from: appliedIndex - 1, through: appliedIndex - 1 }],
  });
  expect(refusal.message).toContain(`entries of the journal: ${appliedIndex - 1}`);
});

test("what is lost behind a sound state takes nothing with it that can be read: each message stays, with a number of its own", async () => {
  const life = stopped.fork(1);
  await life.start();
  const said = [1, 2, 3].map((n) => ({ room: "lobby", cid: `p${n}`, body: `chained ${n}` }));
  for (const [at, message] of said.entries()) {
    await life.send("alice", at === 0 ? message : { ...message, prev: `p${at}` });
  }
  await life.join("dora", "ops");
  await life.join("dora", "after-all");
  await life.send("bob", { room: "lobby", cid: "free", body: "of nobody else" });
  const head = life.server.state.room("lobby")!.head;
  await life.stop();
  const files = life.fileSystem.files();
  const [file, at] = filesOf(life)
    .filter((one) => one.startsWith("journal/"))
    .map((one) => [one, Buffer.from(files.get(one)!).indexOf("chained 1")] as const)
    .find(([, found]) => found > 0)!;
  life.fileSystem.flip(file, at, 0);
  const { loss, message } = (await refusalOf(life)) as DataDamaged;
  const { lost } = loss.rebuilt!.rooms.find(({ room }) => room === "lobby")!;
  expect(lost!.first).toBe(head - 3);
  expect(lost!.messagesMax).toBeGreaterThanOrEqual(1);
  expect(loss.rebuilt).toMatchObject({ isKnown: true, refused: 0 });
  expect(message).toContain(`${lost!.first} to ${lost!.last} can't be read`);
  expect(await refusalOf(life, { acceptLoss: true })).toBeNull();
  expect(lost!.last).toBeGreaterThanOrEqual(head);
  const page = await life.ask("alice", { t: "hist", room: "lobby", after: lost!.last, limit: 50 });
  const kept = (page["items"] as { seq: number; body: string }[]).map(({ seq, body }) => [seq - lost!.last, body]);
  expect(kept).toEqual([
    [1, "chained 2"],
    [2, "chained 3"],
    [3, "of nobody else"],
  ]);
  const { rooms } = (await life.ask("dora", { t: "rooms" })) as unknown as { rooms: { room: string }[] };
  // Whether she made the other room, or somebody had before, nobody can tell.
  expect(rooms.map(({ room }) => room)).toEqual(["ops"]);
});

test("going on without the journal and the newest snapshot gives chunk numbers out again, and never to the old chunks", async () => {
  const life = stopped.fork(1);
  const newest = snapshotsOf(life).at(-1);
  const chunks = chunksOf(life).map((file) => life.fileSystem.files().get(file)!);
  for (const file of filesOf(life)) if (file.startsWith("journal/") || file === newest) life.fileSystem.lose(file);
  expect(await refusalOf(life)).toBeInstanceOf(DataDamaged);
  expect(await refusalOf(life, { acceptLoss: true })).toBeNull();
  // Nobody deleted what can't be named any more.
  const kept = [...life.fileSystem.files().values()];
  expect(chunks.every((chunk) => kept.some((bytes) => equalBytes(bytes, chunk)))).toBe(true);
  expect(filesOf(life).filter((file) => file.startsWith("quarantine/history")).length).toBeGreaterThan(0);

  life.ledger = new Ledger();
  await life.join("dora", "anew");
  for (let n = 1; n <= 60; n++) await life.send("dora", { room: "anew", cid: `a${n}`, body: "x".repeat(450) });
  await life.sealed();
  await life.stop();
  expect(chunksOf(life).length).toBeGreaterThan(1);
  await life.start();
  await life.check();
  expect(life.ledger.promised).toBe(60);
  await life.stop();
});

/** Two histories that part after the first chunks; the older files of one are copied over those of the other. */
async function withOlderLog(): Promise<{ mixed: ServerLife; strangers: Uint8Array[] }> {
  const older = new ServerLife({ seed: 7, wall: lateEvening });
  await older.start();
  await older.join("alice", "lobby");
  for (let n = 1; n <= 20; n++) await older.send("alice", { room: "lobby", cid: `c${n}`, body: "x".repeat(450) });
  await older.sealed();
  await older.stop();
  const newer = older.fork(2);
  newer.pass(60_000);
  await newer.start();
  await sendMany(newer, "bob", "a");
  await newer.stop();
  const mixed = older.fork(3);
  const strangers = chunksOf(newer).filter((file) => !chunksOf(mixed).includes(file));
  expect(strangers.length).toBeGreaterThan(0);
  for (const file of strangers) mixed.fileSystem.plant(file, newer.fileSystem.files().get(file)!);
  return { mixed, strangers: strangers.map((file) => newer.fileSystem.files().get(file)!) };
}

async function sendMany(life: ServerLife, user: string, run: string, count = 60): Promise<void> {
  await life.join(user, "lobby");
  for (let n = 1; n <= count; n++) await life.send(user, { room: "lobby", cid: `${run}${n}`, body: run.repeat(450) });
  await life.sealed();
}

test("an older log beside newer chunks: a number that is given out again never stands for the old chunk", async () => {
  const { mixed, strangers } = await withOlderLog();
  // Every message has its twin of the same size in an entry of the same number; only what they say and when differs.
  mixed.pass(120_000);
  expect(await refusalOf(mixed)).toBeNull();
  await sendMany(mixed, "eve", "b", 80);
  await mixed.stop();
  const aside = filesOf(mixed).filter((file) => file.startsWith("quarantine/history"));
  // What was still open when they parted is the first of them, and the same in both: that one was believed.
  expect(aside.length).toBe(strangers.length - 1);
  const kept = [...mixed.fileSystem.files().values()];
  expect(strangers.every((chunk) => kept.some((bytes) => equalBytes(bytes, chunk)))).toBe(true);
  await mixed.start();
  await mixed.check();
  expect(mixed.ledger.promised).toBe(100);
  await mixed.stop();
});

test("a chunk that a start meets again while the journal still holds it is read, and made anew when it is damaged", async () => {
  const life = stopped.fork(1);
  const newest = (files: string[]): string => files.toSorted().at(-1)!;
  // Without the newest snapshot the last seal is applied once more, and memory holds again what its chunk does.
  life.fileSystem.lose(newest(snapshotsOf(life)));
  const file = newest(chunksOf(life));
  const sound = life.fileSystem.files().get(file)!;
  life.fileSystem.flip(file, 100, 3);
  await life.start();
  await life.server.sealer.idle();
  expect(filesOf(life).filter((one) => one.startsWith("quarantine/history"))).toHaveLength(1);
  expect(equalBytes(life.fileSystem.files().get(file)!, sound)).toBe(true);
  await life.check();
  await life.stop();
});

test("verify names chunks that the log can't name, and those that are not what it sealed", async () => {
  const { mixed } = await withOlderLog();
  const verify = () =>
    verifyDirectory({
      disk: openDisk(mixed.fileSystem.attach()),
      segmentBytes: mixed.limits.segmentBytes,
      neededChunks: ({ state }, entries) => neededChunks(state, entries),
      knownChunks: ({ state }, entries) => knownChunks(state, entries),
    });
  const { damage } = await verify();
  expect(damage.map(({ what }) => what).join("\n")).toContain("the log can't name it");

  const healthy = stopped.fork(9);
  const own = await verifyDirectory({
    disk: openDisk(healthy.fileSystem.attach()),
    segmentBytes: healthy.limits.segmentBytes,
    neededChunks: ({ state }, entries) => neededChunks(state, entries),
    knownChunks: ({ state }, entries) => {
      const known = knownChunks(state, entries);
      return { ...known, sealed: known.sealed.map((chunk) => ({ ...chunk, messages: chunk.messages + 1 })) };
    },
  });
  expect(own.damage.length).toBeGreaterThan(0);
  expect(own.damage.every(({ what }) => what.startsWith("it is not the chunk that the log names: it holds"))).toBe(
    true,
  );
});

test("verify finds nothing strange in a directory of one history", async () => {
  const { damage } = await verifyDirectory({
    disk: openDisk(stopped.fork(9).fileSystem.attach()),
    segmentBytes: stopped.limits.segmentBytes,
    neededChunks: ({ state }, entries) => neededChunks(state, entries),
    knownChunks: ({ state }, entries) => knownChunks(state, entries),
  });
  expect(damage).toEqual([]);
});
