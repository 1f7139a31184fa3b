import { expect, test } from "vitest";
import { utf8 } from "../../src/protocol/utf8.ts";
import { commandTypes } from "../../src/rooms/commands.ts";
import { startTestServer, TestClient } from "./server-world.ts";

test("a message is stored, answered and delivered", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  const bob = await TestClient.open(server, "bob");
  expect(await bob.ask({ t: "sub", room: "lobby", after: 0 })).toMatchObject({ t: "ok", of: "sub", head: 0 });

  const ok = await alice.ask({ t: "send", room: "lobby", cid: "c1", body: "hello" });
  expect(ok).toMatchObject({ t: "ok", of: "send", room: "lobby", cid: "c1", seq: 1, dup: false, node: "n1" });
  expect(await bob.next((frame) => frame.t === "msg")).toMatchObject({
    room: "lobby",
    seq: 1,
    from: "alice",
    body: "hello",
  });

  // The same cid again is the same message.
  expect(await alice.ask({ t: "send", room: "lobby", cid: "c1", body: "hello" })).toMatchObject({ seq: 1, dup: true });
  expect(await alice.ask({ t: "send", room: "lobby", cid: "c1", body: "other" })).toMatchObject({
    code: "id_conflict",
  });
  await server.stop(0);
});

test.each(["edit", "delete", "react", "unreact"])("%s without ref is told which field is missing", async (kind) => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  const answer = await alice.ask({ t: "send", room: "lobby", cid: "c1", kind, body: "x" });
  expect(answer).toMatchObject({ t: "err", code: "bad_request", definite: true, retryable: false });
  expect(answer["message"]).toContain('"ref" is missing');
  await server.stop(0);
});

test("the longest token and name that the protocol knows fit into a greeting", async () => {
  const { server } = await startTestServer();
  const client = new TestClient(server);
  client.say({ t: "hello", v: 1, user: "a".repeat(60), token: "t".repeat(4_096) });
  expect(await client.next(() => true)).toMatchObject({ t: "welcome" });
  await server.stop(0);
});

test("after a restart everything is in its place", async () => {
  const { server, fileSystem } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  for (let i = 1; i <= 50; i++)
    await alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: `m${i}`, since: i - 1 });
  await server.stop(0);

  const again = await startTestServer({ fileSystem });
  const bob = await TestClient.open(again.server, "bob");
  const page = await bob.ask({ t: "hist", room: "lobby", limit: 500 });
  expect(page["items"]).toHaveLength(50);
  expect(
    await (await TestClient.open(again.server, "alice")).ask({ t: "send", room: "lobby", cid: "c7", body: "m7" }),
  ).toMatchObject({
    seq: 7,
    dup: true,
  });
  await again.server.stop(0);
});

test("messages outlive the memory they were in: sealed chunks serve history, ids and subscriptions", async () => {
  const small = { chunkBytes: 4_096, unsealedBytesMax: 1 << 20, idWindowEntries: 16, ringSlots: 8 };
  const { server, fileSystem } = await startTestServer({ limits: small });
  const alice = await TestClient.open(server, "alice");
  for (let i = 1; i <= 200; i++)
    await alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: `m${i} ${"x".repeat(100)}` });
  await server.sealer.idle();
  expect(server.state.lastChunk).toBeGreaterThan(3);
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  await bob.next((frame) => frame.t === "caught-up");
  expect(bob.messages("lobby").map((text) => text.split(" ", 2).join(" "))).toEqual(
    Array.from({ length: 200 }, (_, i) => `${i + 1} m${i + 1}`),
  );
  expect(await alice.ask({ t: "send", room: "lobby", cid: "c3", body: `m3 ${"x".repeat(100)}` })).toMatchObject({
    seq: 3,
    dup: true,
  });
  expect(await alice.ask({ t: "lookup", room: "lobby", cid: "c5" })).toMatchObject({ seq: 5 });
  await server.stop(0);

  const again = await startTestServer({ limits: small, fileSystem });
  const carol = await TestClient.open(again.server, "carol");
  const page = await carol.ask({ t: "hist", room: "lobby", after: 10, limit: 3 });
  expect(page).toMatchObject({ head: 200, more: true, items: [{ seq: 11 }, { seq: 12 }, { seq: 13 }] });
  await again.server.stop(0);
});

test("direct messages reach both people's devices and wait for the absent", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  expect(await alice.ask({ t: "send", to: "bob", cid: "d1", body: "psst" })).toMatchObject({
    room: "@alice,bob",
    seq: 1,
  });

  const bob = await TestClient.open(server, "bob");
  expect(await bob.next((frame) => frame.t === "room")).toMatchObject({ room: "@alice,bob", head: 1 });
  await alice.ask({ t: "send", to: "bob", cid: "d2", body: "there?" });
  expect(await bob.next((frame) => frame.t === "msg")).toMatchObject({ room: "@alice,bob", seq: 2, body: "there?" });
  const carol = await TestClient.open(server, "carol");
  expect(await carol.ask({ t: "hist", room: "@alice,bob" })).toMatchObject({ code: "not_found" });
  expect(await bob.ask({ t: "rooms" })).toMatchObject({ rooms: [{ room: "@alice,bob", head: 2, unread: 2 }] });
  await server.stop(0);
});

test("a slow reader is paused and goes on from its position", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  bob.reading = false;
  for (let i = 1; i <= 40; i++) await alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: "y".repeat(20_000) });
  expect(bob.queued).toBeLessThan(server.limits.socketQueueBytesMax * 2);
  bob.reading = true;
  bob.drain();
  await bob.next((frame) => frame.t === "msg" && frame.seq === 40);
  expect(bob.messages("lobby").map((text) => Number(text.split(" ")[0]))).toEqual(
    Array.from({ length: 39 }, (_, i) => i + 1),
  );
  await server.stop(0);
});

test("what lies in memory is given step by step too: no reader has all of it queued at once", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  for (let i = 1; i <= 60; i++) await alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: "y".repeat(20_000) });
  const bob = await TestClient.open(server, "bob");
  bob.reading = false;
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  await alice.ask({ t: "ping" });
  expect(bob.queued).toBeGreaterThan(0);
  expect(bob.queued).toBeLessThan(server.limits.catchUpBytesMax * 3);
  bob.reading = true;
  bob.drain();
  await bob.next((frame) => frame.t === "caught-up");
  expect(bob.messages("lobby")).toHaveLength(60);
  await server.stop(0);
});

test("a pipelined chain of prev goes through, also once ids have left the window", async () => {
  const { server } = await startTestServer({ limits: { idWindowEntries: 512 } });
  const alice = await TestClient.open(server, "alice");
  const send = (i: number, since: number) =>
    alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: "x", since, ...(i > 1 ? { prev: `c${i - 1}` } : {}) });
  let head = 0;
  for (let round = 0; round < 5; round++) {
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => send(head + 1 + i, head)));
    expect(answers.map(({ seq }) => seq)).toEqual(answers.map((_, i) => head + 1 + i));
    head += 300;
  }
  // A chain that is continued after a pause: the message that prev names has long left the window.
  const bob = await TestClient.open(server, "bob");
  for (let i = 1; i <= 600; i++) await bob.ask({ t: "send", room: "lobby", cid: `b${i}`, body: "y" });
  expect(await send(head + 1, head)).toMatchObject({ t: "ok", seq: head + 601 });
  expect(await alice.ask({ t: "send", room: "lobby", cid: "z2", body: "x", prev: "z1" })).toMatchObject({
    code: "order",
  });
  await server.stop(0);
});

test("a page around a place has no hole, though the room grows between its two halves", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  for (let i = 1; i <= 5; i++) await alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: `m${i}` });
  const room = server.state.room("lobby")!;
  // Asked for a place above the head; by the time the upper half is read, the room has grown over it.
  const page = server.requests.historyPage(room, { around: 8 as never, limit: 10 });
  for (let i = 6; i <= 12; i++) alice.say({ t: "send", id: `s${i}`, room: "lobby", cid: `c${i}`, body: `m${i}` });
  const { records } = await page;
  const seqs = records.map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, i) => seqs[0]! + i));
  await server.stop(0);
});

test("a lookup that finds nothing names the oldest place that is kept", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  const look = (cid: string) => alice.ask({ t: "lookup", room: "den", cid });
  const [room, by] = [utf8("den"), utf8("alice")];
  await alice.ask({ t: "join", room: "den" });
  for (let i = 1; i <= 2; i++) await alice.ask({ t: "send", room: "den", cid: `c${i}`, body: "x" });
  expect(await look("c2")).toMatchObject({ seq: 2, head: 2, first: 1 });
  // A room that begins again goes on counting.
  await server.requests.command({ type: commandTypes.deleteRoom, room, by });
  await alice.ask({ t: "join", room: "den" });
  expect(await look("never")).toMatchObject({ seq: null, head: 2, first: 3 });
  // What was removed says the same to a lookup as to a repeat: it was stored, as 2.
  const removed = await look("c2");
  expect([removed["seq"], removed["head"], removed["first"], removed["body"]]).toEqual([2, 2, 3, undefined]);
  const repeat = await alice.ask({ t: "send", room: "den", cid: "c2", body: "x" });
  expect([repeat["seq"], repeat["dup"]]).toEqual([2, true]);
  await server.stop(0);
});

test("a refused edit, deletion or reaction is told why", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  let cid = 0;
  const say = (kind: string, ref?: number) =>
    alice.ask({ t: "send", room: "lobby", cid: `c${cid++}`, body: "x", kind, ...(ref === undefined ? {} : { ref }) });
  await say("text");
  await say("react", 1);
  for (const kind of ["edit", "delete"]) {
    expect(await say(kind, 2)).toMatchObject({
      code: "bad_request",
      message: "only messages of people can be edited or deleted: ref names an edit, a deletion or a reaction",
    });
  }
  for (const kind of ["react", "unreact"]) {
    const empty = { t: "send", room: "lobby", cid: `c${cid++}`, body: "", kind, ref: 1 };
    expect(await alice.ask(empty)).toMatchObject({
      code: "bad_request",
      message: '"body" is empty: it is what a reaction shows, and what is taken back',
      definite: true,
    });
  }
  // A deletion needs no words.
  expect(
    await alice.ask({ t: "send", room: "lobby", cid: `c${cid++}`, body: "", kind: "delete", ref: 1 }),
  ).toMatchObject({ seq: 3 });
  for (const kind of ["edit", "delete", "react", "unreact"]) {
    expect(await say(kind)).toMatchObject({
      code: "bad_request",
      message: '"ref" is missing: the seq of the message that is edited, deleted or reacted to',
    });
  }
  await server.stop(0);
});
