import { expect, test } from "vitest";
import type { Fault } from "../../src/base/error-codes.ts";
import type { RoomName, Seq, UserName } from "../../src/base/ids.ts";
import { problemOf } from "../../src/doors/problem.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import type { Caller } from "../../src/server/caller.ts";
import type { Log } from "../../src/server/log.ts";
import { ServerLife } from "../damage/server-life.ts";
import { lateEvening } from "../damage/server-story.ts";
import { quietLog, startTestServer, TestClient } from "./server-world.ts";

const small = { chunkBytes: 4_096, unsealedBytesMax: 1 << 20, idWindowEntries: 16, ringSlots: 8 };

/** A server with some sealed chunks, none of which is in memory any more, and the name of one of them. */
async function sealedServer(log: Log = quietLog) {
  const { server, fileSystem } = await startTestServer({ limits: small, log });
  const alice = await TestClient.open(server, "alice");
  for (let i = 1; i <= 120; i++) {
    await alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: `m${i} ${"x".repeat(100)}` });
  }
  await server.sealer.idle();
  const chunks = [...fileSystem.files().keys()].filter((file) => file.endsWith(".chunk")).sort();
  return { server, fileSystem, alice, chunks };
}

test("a reader is told which messages are damaged, and gets all others", async () => {
  const { server, fileSystem, chunks } = await sealedServer();
  const run = server.state.room("lobby")!.runs;
  const [first, last] = [run.firstSeq(1), run.lastSeq(1)];
  fileSystem.flip(chunks[1]!, 400, 3);

  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  await bob.next((frame) => frame.t === "caught-up");
  const gap = bob.frames.find((frame) => frame.t === "gap");
  expect(gap).toMatchObject({ reason: "damaged", from: first, to: last });
  const given = bob.messages("lobby").map((text) => Number(text.split(" ")[0]));
  const wanted = Array.from({ length: 120 }, (_, i) => i + 1).filter((seq) => seq < first || seq > last);
  expect(given).toEqual(wanted);

  // And what comes next is live.
  const carol = await TestClient.open(server, "carol");
  await carol.ask({ t: "send", room: "lobby", cid: "new", body: "still here" });
  expect(await bob.next((frame) => frame.t === "msg" && frame.body === "still here")).toMatchObject({ seq: 121 });
  await server.stop(0);
});

test("a page that would begin with what is damaged names it, is not to be tried again, and can be passed", async () => {
  const { server, fileSystem, chunks, alice } = await sealedServer();
  const run = server.state.room("lobby")!.runs;
  const [first, last] = [run.firstSeq(1), run.lastSeq(1)];
  fileSystem.flip(chunks[1]!, 400, 3);
  const page = (place: object) => alice.ask({ t: "hist", room: "lobby", limit: 200, ...place });
  const seqs = (answer: Record<string, unknown>) => (answer["items"] as { seq: number }[]).map(({ seq }) => seq);

  expect(seqs(await page({ after: 0 })).at(-1)).toBe(first - 1);
  const damaged = { t: "err", code: "unavailable", definite: true, retryable: false, from: first, to: last };
  const up = await page({ after: first - 1 });
  expect(up).toMatchObject(damaged);
  expect(up["message"]).toContain(`messages ${first} to ${last} of this room are damaged`);
  expect(await page({ before: last + 1 })).toMatchObject(damaged);
  expect(seqs(await page({ after: last }))[0]).toBe(last + 1);
  expect(seqs(await page({ before: first })).at(-1)).toBe(first - 1);
  // Over HTTP they have the same names.
  const caller: Caller = { user: "alice" as UserName, userBytes: utf8("alice"), answer: () => undefined };
  const asked = { t: "hist", id: 1, room: "lobby" as RoomName, after: (first - 1) as Seq } as const;
  const fault: unknown = await server.requests.handle(caller, asked).catch((cause: unknown) => cause);
  expect(problemOf(fault as Fault)).toMatchObject({ code: "unavailable", retryable: false, from: first, to: last });
  await server.stop(0);
});

test("a lookup, a repeat and an edit that need what is damaged are told which messages it is", async () => {
  const { server, fileSystem, chunks, alice } = await sealedServer();
  const run = server.state.room("lobby")!.runs;
  const [from, to] = [run.firstSeq(1), run.lastSeq(1)];
  for (let offset = 64; offset < fileSystem.files().get(chunks[1]!)!.length; offset += 64) {
    fileSystem.flip(chunks[1]!, offset, 3);
  }
  const damaged = { t: "err", code: "unavailable", definite: true, retryable: false, from, to };
  expect(await alice.ask({ t: "lookup", room: "lobby", cid: `c${from}` })).toMatchObject(damaged);
  const repeat = { t: "send", room: "lobby", cid: `c${from}`, body: "what was it?" };
  expect(await alice.ask(repeat)).toMatchObject(damaged);
  const edit = { t: "send", room: "lobby", cid: "e1", kind: "edit", ref: from, since: 120, body: "mended" };
  expect(await alice.ask(edit)).toMatchObject({ ...damaged, from });
  // What needs none of it is stored.
  const fresh = { t: "send", room: "lobby", cid: "new", since: 120, body: "fresh" };
  expect(await alice.ask(fresh)).toMatchObject({ t: "ok", seq: 121 });
  await server.stop(0);
});

test("each damaged place is told and counted once, however often clients ask for it; every read is counted", async () => {
  const lines: Record<string, unknown>[] = [];
  const log: Log = { ...quietLog, error: (event, fields) => lines.push({ event, ...fields }) };
  const { server, fileSystem, chunks, alice } = await sealedServer(log);
  const run = server.state.room("lobby")!.runs;
  const [from, to] = [run.firstSeq(1), run.lastSeq(1)];
  fileSystem.flip(chunks[1]!, 400, 3);
  for (let asked = 1; asked <= 5; asked++) {
    await alice.ask({ t: "hist", room: "lobby", after: from - 1 });
    expect([server.damagedReads.reads, server.damagedReads.places]).toEqual([asked, 1]);
  }
  expect(lines).toEqual([expect.objectContaining({ event: "history.damaged", room: "lobby", from, to })]);
  // A page that ends before it has met it as well.
  await alice.ask({ t: "hist", room: "lobby", after: from - 2 });
  expect([server.damagedReads.reads, lines.length]).toEqual([6, 1]);
  await server.stop(0);
});

test("the scrub finds damage that nobody has read, and counts it once, however often it comes by", async () => {
  const life = new ServerLife({ seed: 5, wall: lateEvening });
  await life.start();
  for (let n = 1; n <= 60; n++) await life.send("alice", { room: "lobby", cid: `c${n}`, body: "x".repeat(400) });
  await life.sealed();
  const chunks = [...life.fileSystem.files().keys()].filter((file) => file.startsWith("history/"));
  expect(chunks.length).toBeGreaterThan(2);
  life.fileSystem.flip(chunks[0]!, 300, 1);
  const { scrubbed } = life.server.upkeep;
  while (scrubbed.damaged === 0) await life.advance(1_000);
  const { whole } = scrubbed;
  while (scrubbed.whole - whole < 5 * life.server.chunkCount) await life.advance(1_000);
  expect(scrubbed.damaged).toBe(1);
  await life.stop();
});

test("the loss of a chunk is accepted once: later starts go on, in the same line, and say which messages are gone", async () => {
  const { server, fileSystem, chunks } = await sealedServer();
  const run = server.state.room("lobby")!.runs;
  const [first, last] = [run.firstSeq(1), run.lastSeq(1)];
  const before = server.state.line;
  await server.stop(0);
  fileSystem.lose(chunks[1]!);

  await expect(startTestServer({ limits: small, fileSystem })).rejects.toThrow(/missing/);
  const accepting = await startTestServer({ limits: small, fileSystem, acceptLoss: true });
  const { line } = accepting.server.state;
  expect(line).not.toBe(before);
  await accepting.server.stop(0);

  const again = await startTestServer({ limits: small, fileSystem });
  expect(again.server.state.line).toBe(line);
  const bob = await TestClient.open(again.server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  await bob.next((frame) => frame.t === "caught-up");
  expect(bob.frames.find((frame) => frame.t === "gap")).toMatchObject({ reason: "damaged", from: first, to: last });
  expect(bob.messages("lobby")).toHaveLength(120 - (last - first + 1));
  await again.server.stop(0);
});
