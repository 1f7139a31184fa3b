import { expect, test } from "vitest";
import type { RoomName, Seq } from "../../src/base/ids.ts";
import { operate } from "../../src/server/operator.ts";
import { startTestServer, TestClient } from "./server-world.ts";

test("who sends while the disk is filled to the last byte is answered, and the message keeps its place", async () => {
  const limits = { bodyBytesMax: 1_024, entryBytesMax: 4_096, frameBytesMax: 16_384, segmentBytes: 16_384 };
  const { server, fileSystem } = await startTestServer({ limits });
  const alice = await TestClient.open(server, "alice");
  // The segments that are ready are used up; no other can be made.
  let used = 0;
  for (const bytes of fileSystem.files().values()) used += bytes.length;
  fileSystem.quotaBytes = used;
  const answers = [];
  for (let i = 1; i <= 60; i++) {
    answers.push(await alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: "x".repeat(1_000) }));
    if (answers.at(-1)!.t === "err") break;
  }
  const stored = answers.filter(({ t }) => t === "ok").length;
  const refused = answers.at(-1)!;
  expect(refused.t).toBe("err");
  // Either it was under way, and its outcome is open, or it came when the disk was known to be full.
  expect(refused).toMatchObject(
    refused["code"] === "unavailable" ? { definite: false } : { code: "storage_full", definite: true },
  );

  fileSystem.quotaBytes = Infinity;
  const cid = `c${answers.length}`;
  const body = "x".repeat(1_000);
  await expect
    .poll(async () => (await alice.ask({ t: "send", room: "lobby", cid, body })).t, { timeout: 20_000, interval: 300 })
    .toBe("ok");
  expect(await alice.ask({ t: "send", room: "lobby", cid, body })).toMatchObject({ seq: stored + 1, dup: true });
  await server.stop(0);
}, 60_000);

test("on a full disk a room can be made to keep less, and what goes with that makes room", async () => {
  const small = { bodyBytesMax: 4_096, entryBytesMax: 16_384, frameBytesMax: 65_536 };
  const limits = { ...small, chunkBytes: 16_384, segmentBytes: 65_536, diskReserveBytes: 100_000 };
  const { server, fileSystem } = await startTestServer({ limits });
  const alice = await TestClient.open(server, "alice");
  const send = (i: number) => alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: "x".repeat(2_000) });
  for (let i = 1; i <= 200; i++) expect(await send(i)).toMatchObject({ seq: i });
  await server.sealer.idle();
  let used = 0;
  for (const bytes of fileSystem.files().values()) used += bytes.length;
  fileSystem.quotaBytes = used + 20_000;
  let next = 1_000;
  await expect.poll(async () => (await send(next++)).code, { timeout: 20_000, interval: 100 }).toBe("storage_full");
  await operate(server, { type: "retention", room: "lobby" as RoomName, ageMs: 0, messages: 10, bytes: 0 });
  await operate(server, { type: "trim", room: "lobby" as RoomName, first: 150 as Seq });
  await expect.poll(async () => (await send(next++)).t, { timeout: 40_000, interval: 100 }).toBe("ok");
  await server.stop(0);
}, 90_000);

test("who is in a room already joins it on a full disk too: there is nothing to store; whoever is not, does not", async () => {
  const { server, fileSystem } = await startTestServer();
  const [alice, bob, eve] = await Promise.all(["alice", "bob", "eve"].map((user) => TestClient.open(server, user)));
  const join = (client: TestClient | undefined, room: string) => client!.ask({ t: "join", room });
  expect(await join(alice, "yard")).toMatchObject({ of: "join" });
  expect(await join(alice, "@alice,bob")).toMatchObject({ of: "join" });
  // Somebody else let bob in: that he wants to be in himself would have to be stored.
  expect(await alice!.ask({ t: "invite", room: "yard", user: "bob" })).toMatchObject({ t: "ok" });
  expect(await alice!.ask({ t: "send", room: "yard", cid: "c1", body: "hi" })).toMatchObject({ seq: 1 });
  let used = 0;
  for (const bytes of fileSystem.files().values()) used += bytes.length;
  fileSystem.quotaBytes = used;
  // Once it is known to be full; until then there is still space for a room or two.
  let rooms = 0;
  await expect
    .poll(async () => (await join(eve, `room-${++rooms}`)).code, { timeout: 20_000, interval: 100 })
    .toBe("storage_full");
  expect(await join(eve, "yard")).toMatchObject({ code: "storage_full" });
  expect(await join(alice, "yard")).toMatchObject({ t: "ok", of: "join", room: "yard", head: 1 });
  expect(await join(alice, "@alice,bob")).toMatchObject({ t: "ok", of: "join" });
  expect(await join(bob, "@alice,bob")).toMatchObject({ t: "ok", of: "join" });
  expect(await join(bob, "yard")).toMatchObject({ code: "storage_full", definite: true, retryable: true });
  expect(await join(alice, "elsewhere")).toMatchObject({ code: "storage_full" });
  fileSystem.quotaBytes = Infinity;
  await server.stop(0);
}, 60_000);

test("on a full disk a repeat is told where its message stands, however long ago that was; what is new is refused", async () => {
  const idWindowEntries = 8;
  const { server, fileSystem } = await startTestServer({ limits: { idWindowEntries } });
  const alice = await TestClient.open(server, "alice");
  const send = (cid: string, body: string) => alice.ask({ t: "send", room: "lobby", cid, body });
  for (let i = 1; i <= 20; i++) expect(await send(`c${i}`, `text ${i}`)).toMatchObject({ seq: i, dup: false });
  let used = 0;
  for (const bytes of fileSystem.files().values()) used += bytes.length;
  fileSystem.quotaBytes = used;
  let more = 0;
  await expect
    .poll(async () => (await send(`d${++more}`, "new")).code, { timeout: 20_000, interval: 100 })
    .toBe("storage_full");
  // One that the window of ids still holds, and one that left it long ago.
  expect(await send("c20", "text 20")).toMatchObject({ t: "ok", seq: 20, dup: true });
  expect(await send("c2", "text 2")).toMatchObject({ t: "ok", seq: 2, dup: true });
  expect(await send("c20", "another")).toMatchObject({ code: "id_conflict" });
  expect(await send("c2", "another")).toMatchObject({ code: "id_conflict" });
  expect(await send("e1", "new")).toMatchObject({ code: "storage_full", definite: true, retryable: true });
  fileSystem.quotaBytes = Infinity;
  await server.stop(0);
}, 60_000);
