import { expect, test } from "vitest";

import { startTestServer, TestClient } from "./server-world.ts";

test("push by count: readers are given nothing before so many messages wait, and then all of them at once", async () => {
  const { server } = await startTestServer({ settings: { push: { afterMs: 60_000, afterCount: 3 } } });
  const alice = await TestClient.open(server, "alice");
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  // An acknowledgement does not wait for the push.
  for (const cid of ["a", "b"])
    expect(await alice.ask({ t: "send", room: "lobby", cid, body: cid })).toMatchObject({ t: "ok" });
  await bob.ask({ t: "ping" });
  expect(bob.messages("lobby")).toEqual([]);
  await alice.ask({ t: "send", room: "lobby", cid: "c", body: "c" });
  await bob.next((frame) => frame.t === "msg" && frame.body === "c");
  expect(bob.messages("lobby")).toEqual(["1 a", "2 b"]);
  await server.stop(0);
});

test("push by time: what waits goes out once the time is over, though the count is not reached", async () => {
  const { server } = await startTestServer({ settings: { push: { afterMs: 30, afterCount: 1_000 } } });
  const alice = await TestClient.open(server, "alice");
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  await alice.ask({ t: "send", room: "lobby", cid: "a", body: "a" });
  expect(await bob.next((frame) => frame.t === "msg")).toMatchObject({ seq: 1, body: "a" });
  await server.stop(0);
});

test("a reader who comes while pushes wait is given each message once", async () => {
  const { server } = await startTestServer({ settings: { push: { afterMs: 50, afterCount: 0 } } });
  const alice = await TestClient.open(server, "alice");
  for (const cid of ["a", "b"]) await alice.ask({ t: "send", room: "lobby", cid, body: cid });
  const bob = await TestClient.open(server, "bob");
  await bob.ask({ t: "sub", room: "lobby", after: 0 });
  await alice.ask({ t: "send", room: "lobby", cid: "c", body: "c" });
  await bob.next((frame) => frame.t === "msg" && frame.body === "c");
  await server.stop(0);
  expect(bob.messages("lobby")).toEqual(["1 a", "2 b"]);
});
