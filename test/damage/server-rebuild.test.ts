import { beforeAll, expect, test } from "vitest";
import { equalBytes } from "../../src/base/compare-bytes.ts";
import type { RoomName, UserName } from "../../src/base/ids.ts";
import { knownChunks, neededChunks } from "../../src/server/needed-chunks.ts";
import { operate } from "../../src/server/operator.ts";
import { DataDamaged } from "../../src/server/data-refused.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { verifyDirectory } from "../../src/storage/verify.ts";
import { brokenOffAnywhere } from "./lost-talk.ts";
import { ServerLife } from "./server-life.ts";
import { acts, lateEvening } from "./server-story.ts";

const open = new Set(["lobby", "ops"]);

/** A server that was stopped in good order, with messages that only its journal holds. */
let stopped: ServerLife;
let line: unknown;
/** Where every message was, by room and words; and where what only the journal holds begins. */
const places = new Map<string, Map<string, number>>();
const openFirsts = new Map<string, number>();

beforeAll(async () => {
  stopped = new ServerLife({ seed: 1, wall: lateEvening });
  await acts[0]!.play(stopped);
  await acts[1]!.play(stopped);
  await stopped.start();
  await stopped.send("alice", { room: "lobby", cid: "t1", body: "only in the journal", prev: "l24" });
  await stopped.send("alice", { room: "lobby", cid: "t2", body: "behind it", prev: "t1" });
  await stopped.send("bob", { to: "alice", cid: "d9", body: "and so is this" });
  await stopped.send("dora", { to: "alice", cid: "e1", body: "a room of two that no file knows" });
  await stopped.check();
  line = (await stopped.ask("alice", { t: "hist", room: "lobby", limit: 1 }))["line"];
  expect(stopped.server.state.openChunk.messages).toBeGreaterThan(3);
  for (const { name, openFirst } of stopped.server.state.rooms()) {
    openFirsts.set(name, openFirst === 0 ? Infinity : openFirst);
    if (stopped.ledger.roomNames().includes(name))
      places.set(name, new Map((await history(stopped, "alice", name)).map(({ body, seq }) => [body, seq])));
  }
  await stopped.stop();
});

const filesOf = (life: ServerLife, folder: string): string[] =>
  [...life.fileSystem.files().keys()].filter((file) => file.startsWith(`${folder}/`)).sort();

/** The same server without its state. */
function withoutState(seed: number): ServerLife {
  const life = stopped.fork(seed);
  for (const file of filesOf(life, "snapshot")) life.fileSystem.lose(file);
  return life;
}

/** Operators let alice into what is private, so that she can read it all. */
async function letIn(life: ServerLife, user: string): Promise<void> {
  for (const { name, isDirect, isPrivate } of life.server.state.rooms()) {
    if (isPrivate && !isDirect)
      await life.until(operate(life.server, { type: "invite", room: name, user: user as UserName }));
  }
}

interface Item {
  readonly seq: number;
  readonly body: string;
}

async function history(life: ServerLife, user: string, room: string): Promise<Item[]> {
  const items: Item[] = [];
  for (let after = 0; ; ) {
    const page = await life.ask(user, { t: "hist", room, after, limit: 50 });
    if (page.t === "err") throw new Error(`${room}: ${JSON.stringify(page)}`);
    items.push(...(page["items"] as Item[]));
    if (page["more"] !== true) return items;
    after = items.at(-1)!.seq;
  }
}

/** Everything that was promised is in its place, is known when it is sent again, and the next message comes behind it. */
async function isWhole(life: ServerLife): Promise<void> {
  await letIn(life, "alice");
  for (const room of life.ledger.roomNames()) {
    const items = await history(life, "alice", room);
    for (const [i, item] of items.entries()) {
      life.ledger.checkItem(room, item as never, { seq: i + 1, isSameLine: true });
    }
    expect(items.length).toBe(life.ledger.knownIn(room).length);
  }
  for (const user of ["bob", "dora"]) await letIn(life, user);
  await life.resend();
}

test("without any state, all of the chunks and of the journal behind them is kept in its place, and ids still guard", async () => {
  const life = withoutState(2);
  await life.start({ acceptLoss: true, openRooms: open });
  await isWhole(life);
  const after = (await life.ask("alice", { t: "hist", room: "lobby", limit: 1 }))["line"];
  expect(after).not.toBe(line);
  const head = Math.max(...life.ledger.knownIn("lobby"));
  const [next] = await life.send("alice", { room: "lobby", cid: "n1", body: "goes on" });
  expect(next).toMatchObject({ t: "ok", seq: head + 1, dup: false });
  await life.sealed();
  await life.stop();

  // From here on it is a directory like any other.
  await life.start();
  await isWhole(life);
  expect((await life.ask("alice", { t: "hist", room: "lobby", limit: 1 }))["line"]).toBe(after);
  await life.stop();
  const { damage } = await verifyDirectory({
    disk: openDisk(life.fileSystem.attach()),
    segmentBytes: life.limits.segmentBytes,
    neededChunks: ({ state }, entries) => neededChunks(state, entries),
    knownChunks: ({ state }, entries) => knownChunks(state, entries),
  });
  expect(damage).toEqual([]);
});

test("a private room never becomes open, a direct one stays its two people's, and nobody is let in who was not named", async () => {
  const life = withoutState(3);
  await life.start({ acceptLoss: true });
  for (const room of ["den", "ops", "lobby"]) {
    for (const user of ["alice", "bob", "mallory"]) {
      for (const frame of [
        { t: "hist", room },
        { t: "sub", room, after: 0 },
        { t: "send", room, cid: "x", body: "x" },
        { t: "join", room },
        { t: "join", room, private: true },
        { t: "members", room },
      ]) {
        expect({ user, frame, ...(await life.ask(user, frame)) }).toMatchObject({ t: "err", code: "not_found" });
      }
    }
  }
  expect((await history(life, "alice", "@alice,bob")).length).toBe(life.ledger.knownIn("@alice,bob").length);
  expect(await life.ask("carol", { t: "hist", room: "@alice,bob" })).toMatchObject({ t: "err", code: "not_found" });
  // Both are told of it, on every device.
  await life.advance(1_000);
  for (const user of ["alice", "bob"]) {
    const { rooms } = (await life.ask(user, { t: "rooms" })) as unknown as { rooms: { room: string }[] };
    expect(rooms.map(({ room }) => room)).toContain("@alice,bob");
  }
  // Whom the operator lets in first rules the room, and may let others in.
  const invited = { type: "invite", room: "den" as RoomName, user: "alice" as UserName } as const;
  await life.until(operate(life.server, invited));
  expect((await history(life, "alice", "den")).length).toBe(life.ledger.knownIn("den").length);
  expect(await life.ask("alice", { t: "invite", room: "den", user: "bob" })).toMatchObject({ t: "ok" });
  expect(await life.ask("mallory", { t: "hist", room: "den" })).toMatchObject({ t: "err", code: "not_found" });
  await life.stop();
});

test("what it costs and what it keeps is said before: files, rooms with their seqs, and what no message tells", async () => {
  const life = withoutState(4);
  const before = life.fileSystem.files();
  const refusal = await life.start().then(
    () => null,
    (cause: unknown) => cause as DataDamaged,
  );
  expect(refusal).toBeInstanceOf(DataDamaged);
  const after = life.fileSystem.files();
  expect([...after.keys()]).toEqual([...before.keys()]);
  expect([...before].every(([file, bytes]) => equalBytes(bytes, after.get(file)!))).toBe(true);
  const { loss, message } = refusal!;
  expect(loss).toMatchObject({ isWhole: true, chunks: [], rebuilt: { unreadable: [], absent: [] } });
  expect(loss.rebuilt!.chunks).toBe(filesOf(life, "history").length);
  expect(loss.rebuilt!.messages + loss.rebuilt!.unsealed).toBe(life.ledger.promised);
  for (const { room, first, last, lacking } of loss.rebuilt!.rooms) {
    expect([room, first, last, lacking]).toEqual([room, 1, Math.max(...life.ledger.knownIn(room)), 0]);
  }
  expect(message).toContain("who is in which room");
  expect(message).toContain("--open-room");
  expect(message).toContain('"den": 1 to');
});

test("chunks that can't be read or are not there leave places that can't be read; nothing else moves into them", async () => {
  const chunks = filesOf(stopped, "history");
  expect(chunks.length).toBeGreaterThan(3);
  for (const [at, file] of chunks.entries()) {
    for (const how of ["lost", "header", "footer", "rooms"] as const) {
      const life = withoutState(5);
      const { length } = life.fileSystem.files().get(file)!;
      if (how === "lost") life.fileSystem.lose(file);
      else life.fileSystem.flip(file, how === "header" ? 20 : how === "footer" ? length - 10 : length - 400, 3);
      await life.start({ acceptLoss: true, openRooms: open });
      await letIn(life, "alice");
      let given = 0;
      for (const room of life.ledger.roomNames()) {
        const { first, head } = life.server.state.room(room) ?? { first: 1, head: 0 };
        for (let seq = first; seq <= head; seq++) {
          const page = await life.ask("alice", { t: "hist", room, after: seq - 1, limit: 1 });
          const [item] = (page["items"] ?? []) as Item[];
          if (page.t === "err" || item === undefined) continue;
          life.ledger.checkItem(room, item as never, { seq, isSameLine: false });
          // The journal says which messages there are and not their seqs: where a file that came before is gone, they go
          // behind what is known of the room.
          const place = places.get(room)!.get(item.body)!;
          const isFromJournal = place >= openFirsts.get(room)! || at === chunks.length - 1;
          if (!isFromJournal) expect([room, item.body, seq]).toEqual([room, item.body, place]);
          given++;
        }
      }
      expect(given).toBeGreaterThan(10);
      // An id made after all that is known here: what can't be read can't hold it.
      const { head } = life.server.state.room("lobby")!;
      const next = await life.ask("alice", { t: "send", room: "lobby", cid: "n1", body: "goes on", since: head });
      expect(next).toMatchObject({ t: "ok", seq: head + 1 });
      await life.stop();
      await life.start();
      await life.stop();
      const kept = [...life.fileSystem.files().values()];
      const bytes = stopped.fileSystem.files().get(file)!;
      // What can't be read is kept, under its name or in quarantine.
      if (how !== "lost") expect(kept.some((one) => one.length === bytes.length)).toBe(true);
    }
  }
});

test("broken off in any call, a rebuild is done again and comes to the same", async () => {
  await brokenOffAnywhere({
    begin: () => withoutState(6),
    acceptance: { acceptLoss: true, openRooms: open },
    look: isWhole,
  });
});
