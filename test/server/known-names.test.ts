import { expect, test } from "vitest";
import type { RoomName, UserName } from "../../src/base/ids.ts";
import type { ClientFrameOf } from "../../src/protocol/schema.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const user = "alice" as UserName;
const nobody = { code: "not_found", definite: true };

test("where names are proved, nobody writes to one that nobody has, whatever the request", async () => {
  const { server } = await startTestServer({ settings: { openNames: false } });
  const alice = await TestClient.open(server, "alice");
  const send = { t: "send", cid: "c1", body: "hi" };
  const room = "@alice,ghost" as RoomName;
  expect(await alice.ask({ ...send, to: "ghost" })).toMatchObject(nobody);
  expect(await alice.ask({ ...send, room })).toMatchObject(nobody);
  expect(await alice.ask({ t: "join", room })).toMatchObject(nobody);
  const caller = { user, userBytes: utf8("alice"), answer: () => undefined };
  const frame = { t: "send", id: 1, cid: "c1", body: "hi" } as ClientFrameOf<"send">;
  await expect(server.singleSends.send(caller, { ...frame, room })).rejects.toMatchObject(nobody);
  await expect(server.singleSends.send(caller, { ...frame, to: "ghost" as UserName })).rejects.toMatchObject(nobody);
  expect(await alice.ask({ t: "rooms" })).toMatchObject({ rooms: [] });
  // To oneself, and to who is connected, one may; and goes on when the other has left.
  expect(await alice.ask({ ...send, to: "alice" })).toMatchObject({ room: "@alice,alice", seq: 1 });
  const bob = await TestClient.open(server, "bob");
  expect(await alice.ask({ ...send, to: "bob" })).toMatchObject({ room: "@alice,bob", seq: 1 });
  bob.hangUp();
  expect(await alice.ask({ ...send, cid: "c2", room: "@alice,bob" })).toMatchObject({ seq: 2 });
  await server.stop(0);
});

test("where names are believed, one may write to somebody who has not come yet", async () => {
  const { server } = await startTestServer();
  const alice = await TestClient.open(server, "alice");
  expect(await alice.ask({ t: "send", to: "ghost", cid: "c1", body: "hi" })).toMatchObject({ t: "ok", seq: 1 });
  expect(await alice.ask({ t: "send", room: "@alice,spirit", cid: "c1", body: "hi" })).toMatchObject({ seq: 1 });
  await server.stop(0);
});
