import { expect, test } from "vitest";
import type { RoomName } from "../../src/base/ids.ts";
import { sealReasons } from "../../src/rooms/seal.ts";
import { operate } from "../../src/server/operator.ts";
import { HeldDisk, turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const names = (frame: Record<string, unknown>): string[] =>
  (frame.rooms as { room: string }[]).map(({ room }) => room).sort();

test("a private room: its owner lets people in, and puts them out; nobody else may", async () => {
  const { server } = await startTestServer();
  const [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((user) => TestClient.open(server, user)));
  await alice!.ask({ t: "join", room: "den", private: true });
  const asked = (client: TestClient, t: string, user: string) => client.ask({ t, room: "den", user });
  // Who is outside learns nothing, not even that there is such a room.
  for (const t of ["invite", "remove"]) expect(await asked(bob!, t, "carol")).toMatchObject({ code: "not_found" });
  expect(await bob!.ask({ t: "members", room: "den" })).toMatchObject({ code: "not_found" });

  expect(await asked(alice!, "invite", "bob")).toMatchObject({ t: "ok", of: "done" });
  expect(names(await bob!.ask({ t: "rooms" }))).toEqual(["den"]);
  expect(await bob!.ask({ t: "sub", room: "den", after: 0 })).toMatchObject({ t: "ok", of: "sub" });
  expect(await bob!.ask({ t: "send", room: "den", cid: "c1", body: "hi" })).toMatchObject({ seq: 1 });
  // A plain member reads who is there and rules nobody.
  expect(await bob!.ask({ t: "members", room: "den" })).toMatchObject({
    of: "members",
    count: 2,
    more: false,
    members: [
      { user: "alice", role: "owner" },
      { user: "bob", role: "member" },
    ],
  });
  expect(await asked(bob!, "invite", "carol")).toMatchObject({ code: "forbidden", definite: true });
  expect(await asked(bob!, "remove", "alice")).toMatchObject({ code: "forbidden" });

  // Again is no mistake; who is not there can't be put out.
  expect(await asked(alice!, "invite", "bob")).toMatchObject({ t: "ok" });
  expect(await asked(alice!, "remove", "carol")).toMatchObject({ code: "not_found" });

  expect(await asked(alice!, "remove", "bob")).toMatchObject({ t: "ok", of: "done" });
  expect(names(await bob!.ask({ t: "rooms" }))).toEqual([]);
  expect(bob!.frames.filter(({ t }) => t === "gap")).toMatchObject([{ room: "den", reason: "removed" }]);
  expect(await bob!.ask({ t: "send", room: "den", cid: "c2", body: "still?" })).toMatchObject({ code: "not_found" });
  await alice!.ask({ t: "send", room: "den", cid: "c1", body: "without bob" });
  expect(await carol!.ask({ t: "members", room: "den" })).toMatchObject({ code: "not_found" });
  expect(bob!.messages("den")).toEqual(["1 hi"]);
  await server.stop(0);
});

test("who is let in learns it on all connections; the room's messages wait to be asked for", async () => {
  const { server } = await startTestServer();
  const open = (user: string): Promise<TestClient> => TestClient.open(server, user);
  const [alice, phone, desk, eve] = [await open("alice"), await open("bob"), await open("bob"), await open("eve")];
  await alice.ask({ t: "join", room: "den", private: true });
  await alice.ask({ t: "send", room: "den", cid: "c1", body: "before bob" });
  expect(await alice.next((frame) => frame.t === "room")).toMatchObject({ room: "den", head: 0 });

  await alice.ask({ t: "invite", room: "den", user: "bob" });
  for (const device of [phone, desk]) {
    expect(await device.next((frame) => frame.t === "room")).toMatchObject({ room: "den", first: 1, head: 1, read: 0 });
  }
  await alice.ask({ t: "send", room: "den", cid: "c2", body: "with bob" });
  await desk.ask({ t: "sub", room: "den", after: 0 });
  await desk.next((frame) => frame.t === "caught-up");
  expect(desk.messages("den")).toEqual(["1 before bob", "2 with bob"]);
  expect(phone.messages("den")).toEqual([]);

  // To be put out, and to be asked in again by somebody who has no say in it, is no such news.
  await alice.ask({ t: "remove", room: "den", user: "bob" });
  await phone.ask({ t: "invite", room: "den", user: "bob" });
  await phone.ask({ t: "rooms" });
  for (const client of [phone, desk, eve]) expect(client.frames.filter(({ t }) => t === "room")).toEqual([]);
  // A greeting names direct rooms with news only.
  await alice.ask({ t: "invite", room: "den", user: "bob" });
  await phone.next((frame) => frame.t === "room");
  const later = await open("bob");
  expect(names(await later.ask({ t: "rooms" }))).toEqual(["den"]);
  expect(later.frames.filter(({ t }) => t === "room")).toEqual([]);
  await server.stop(0);
});

test("members come in pages, in the order of their names, without a hole; of an open room for everybody", async () => {
  const { server } = await startTestServer();
  const people = ["ann", "Bob", "zoe", "éva", "bob", "Ånn"];
  for (const user of people) await (await TestClient.open(server, user)).ask({ t: "join", room: "hall" });
  const guest = await TestClient.open(server, "guest");
  const found: string[] = [];
  for (let after: string | undefined; ; after = found.at(-1)) {
    const page = await guest.ask({ t: "members", room: "hall", limit: 4, ...(after === undefined ? {} : { after }) });
    found.push(...(page.members as { user: string }[]).map(({ user }) => user));
    if (page.more !== true) break;
  }
  expect(found).toEqual(["Bob", "ann", "bob", "zoe", "Ånn", "éva"]);
  await guest.ask({ t: "send", to: "ann", cid: "c1", body: "psst" });
  expect(await guest.ask({ t: "members", room: "@ann,guest" })).toMatchObject({
    count: 2,
    members: [
      { user: "ann", role: "member" },
      { user: "guest", role: "member" },
    ],
  });
  await server.stop(0);
});

test("one room too many is refused, however fast one asks, and leaving makes room for another", async () => {
  const { server, fileSystem } = await startTestServer({ limits: { roomsMax: 3, invitedRoomsMax: 1 } });
  const alice = await TestClient.open(server, "alice");
  const answers = await Promise.all(["a", "b", "c", "d", "e"].map((room) => alice.ask({ t: "join", room })));
  expect(answers.map((answer) => answer.code ?? answer.of)).toEqual(["join", "join", "join", "too_large", "too_large"]);
  // What one is in already costs nothing, and a direct room is no membership.
  expect(await alice.ask({ t: "join", room: "b" })).toMatchObject({ of: "join" });
  expect(await alice.ask({ t: "join", room: "@alice,bob" })).toMatchObject({ of: "join" });
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "join", room: "den", private: true });
  // Others can let her into more, up to a bound of its own: that takes none of her places.
  expect(await bob.ask({ t: "invite", room: "den", user: "alice" })).toMatchObject({ of: "done" });
  await bob.ask({ t: "join", room: "cave", private: true });
  expect(await bob.ask({ t: "invite", room: "cave", user: "alice" })).toMatchObject({
    code: "too_large",
    message: "alice is invited to as many rooms as one may be (limits.invitedRoomsMax, 1)",
  });
  expect(await alice.ask({ t: "join", room: "den" })).toMatchObject({
    code: "too_large",
    message: "alice is in as many rooms as one may be (limits.roomsMax, 3)",
  });
  await alice.ask({ t: "leave", room: "a" });
  expect(await alice.ask({ t: "join", room: "den" })).toMatchObject({ of: "join" });
  // What was an invitation is her own now, so there may be another one.
  expect(await bob.ask({ t: "invite", room: "cave", user: "alice" })).toMatchObject({ of: "done" });
  expect(names(await alice.ask({ t: "rooms" }))).toEqual(["@alice,bob", "b", "c", "cave", "den"]);
  await server.stop(0);
  const next = await startTestServer({ limits: { roomsMax: 3 }, fileSystem });
  const again = await TestClient.open(next.server, "alice");
  expect(await again.ask({ t: "join", room: "f" })).toMatchObject({ code: "too_large" });
  await next.server.stop(0);
});

test("whoever has joined or left sees it in the list of rooms, at once and after a restart", async () => {
  const disk = new HeldDisk();
  const first = await startTestServer({ fileSystem: disk.fileSystem });
  const alice = await TestClient.open(first.server, "alice");
  await alice.ask({ t: "join", room: "old" });
  await turns();
  const joined = alice.ask({ t: "join", room: "new" });
  const left = alice.ask({ t: "leave", room: "old" });
  await Promise.all([joined, left]);
  // What the rooms have to tell her is still on its way to the disk.
  disk.hold(["writeDurable"], "journal/");
  expect(names(await alice.ask({ t: "rooms" }))).toEqual(["new"]);
  disk.letGo();
  await first.server.stop(0);
  const second = await startTestServer({ fileSystem: disk.fileSystem });
  const again = await TestClient.open(second.server, "alice");
  expect(names(await again.ask({ t: "rooms" }))).toEqual(["new"]);
  await second.server.stop(0);
});

test("a connection that reads many rooms finds each of them again", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  const rooms = Array.from({ length: 40 }, (_, i) => `room${i}`);
  for (const room of rooms) {
    await alice.ask({ t: "join", room });
    await alice.ask({ t: "sub", room, after: "latest" });
  }
  for (const room of rooms.slice(0, 30)) await alice.ask({ t: "unsub", room });
  // The second takes the place of the first.
  await alice.ask({ t: "sub", room: "room35", after: 0 });
  for (const room of rooms) await alice.ask({ t: "send", room, cid: `c-${room}`, body: room });
  await turns();
  const told = alice.frames.flatMap((frame) => (frame.t === "msg" ? [frame.room as string] : []));
  expect(told).toEqual(rooms.slice(30));
  await server.stop(0);
});

test("the name of who is in many rooms is kept once, also after a restart", async () => {
  const { server, fileSystem } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  await Promise.all(["a", "b", "c"].map((room) => alice.ask({ t: "join", room })));
  await turns();
  const copies = ({ state }: typeof server) =>
    new Set(["a", "b", "c"].map((room) => state.room(room)!.member("alice")!.nameBytes)).add(
      state.user("alice")!.nameBytes,
    );
  expect(copies(server).size).toBe(1);
  // The next start has a snapshot to begin with.
  server.proposals.seal(sealReasons.full);
  await turns();
  await server.stop(0);
  const next = await startTestServer({ fileSystem });
  expect(copies(next.server).size).toBe(1);
  expect(names(await (await TestClient.open(next.server, "alice")).ask({ t: "rooms" }))).toEqual(["a", "b", "c"]);
  await next.server.stop(0);
});

test("rooms that nobody is in and in which nothing was said give their places back; one user makes so many, and the answer names the bound", async () => {
  const { server } = await startTestServer({ limits: { groupRoomsMax: 4, madeRoomsMax: 2 } });
  const eve = await TestClient.open(server, "eve");
  for (let i = 0; i < 50; i++) {
    expect(await eve.ask({ t: "join", room: `r${i}` })).toMatchObject({ of: "join" });
    expect(await eve.ask({ t: "leave", room: `r${i}` })).toMatchObject({ of: "done" });
    await turns();
  }
  for (const room of ["a", "b"]) await eve.ask({ t: "join", room });
  expect(await eve.ask({ t: "join", room: "c" })).toMatchObject({
    code: "too_large",
    message: expect.stringContaining("limits.madeRoomsMax") as unknown,
  });
  const bob = await TestClient.open(server, "bob");
  expect(await bob.ask({ t: "join", room: "c" })).toMatchObject({ of: "join" });
  expect(await bob.ask({ t: "join", room: "d" })).toMatchObject({
    code: "too_large",
    message: expect.stringContaining("limits.groupRoomsMax") as unknown,
  });
  // An operator's deletion gives a place back, whatever was said there.
  await eve.ask({ t: "send", room: "a", cid: "1", body: "hello" });
  await operate(server, { type: "delete", room: "a" as RoomName });
  await turns();
  expect(await bob.ask({ t: "join", room: "d" })).toMatchObject({ of: "join" });
  await server.stop(0);
});

test("a room that somebody reads is not given back, and one that was left is when the last reader has gone", async () => {
  const { server } = await startTestServer();
  const [eve, bob] = [await TestClient.open(server, "eve"), await TestClient.open(server, "bob")];
  await eve.ask({ t: "join", room: "hall" });
  await bob.ask({ t: "sub", room: "hall", after: 0 });
  await eve.ask({ t: "leave", room: "hall" });
  await turns();
  await eve.ask({ t: "send", room: "hall", cid: "1", body: "still here" });
  await turns();
  expect(bob.frames.some((frame) => frame["t"] === "msg" && frame["body"] === "still here")).toBe(true);
  await eve.ask({ t: "join", room: "cellar" });
  await bob.ask({ t: "sub", room: "cellar", after: 0 });
  await eve.ask({ t: "leave", room: "cellar" });
  await turns();
  server.tellAgain();
  await turns();
  expect(server.state.room("cellar")).toBeDefined();
  await bob.ask({ t: "unsub", room: "cellar" });
  server.tellAgain();
  await turns();
  expect(server.state.room("cellar")).toBeUndefined();
  expect(server.state.room("hall")).toBeDefined();
  await server.stop(0);
});

test("whoever asks for more joins and invitations than allowed is told when to come again", async () => {
  const { server } = await startTestServer({ limits: { joinsPerSecondMax: 1 } });
  const eve = await TestClient.open(server, "eve");
  const bob = await TestClient.open(server, "bob");
  await eve.ask({ t: "join", room: "den", private: true });
  for (let i = 0; i < 4; i++) expect(await eve.ask({ t: "join", room: `r${i}` })).toMatchObject({ of: "join" });
  const refused = await eve.ask({ t: "invite", room: "den", user: "bob" });
  expect(refused).toMatchObject({ code: "rate_limited", definite: true, retryable: true });
  expect(refused["retryAfterMs"]).toBeGreaterThan(0);
  // What is so already costs nothing, and others are not held up.
  expect(await eve.ask({ t: "join", room: "r0" })).toMatchObject({ of: "join" });
  expect(await bob.ask({ t: "join", room: "r0" })).toMatchObject({ of: "join" });
  await server.stop(0);
});
