import { expect, test } from "vitest";
import type { RoomMessage } from "../../src/client/reader.ts";
import { Town } from "./town.ts";

/** Somebody who reads the lobby at one server, and what they were given when. */
function reader(town: Town, server: string): { readonly given: { readonly body: string; readonly at: number }[] } {
  const given: { body: string; at: number }[] = [];
  const room = town.client("bob", [server]).room("lobby");
  const read = async (): Promise<void> => {
    for await (const item of room.messages({ after: 0 })) {
      given.push({ body: (item as RoomMessage).body, at: town.scheduler.now() });
    }
  };
  void read();
  return { given };
}

test("push.afterMs holds on a follower: its readers are given what waits once the time is over, and the sender does not wait", async () => {
  const town = await Town.founded({ push: { afterMs: 500, afterCount: 0 } });
  const { given } = reader(town, "n3");
  const alice = town.client("alice", ["n1"]).room("lobby");
  await town.after("stored", alice.send("first"));
  await town.until("bob has the first", () => given.length === 1);
  const sentAt = town.scheduler.now();
  for (const body of ["a", "b", "c"]) await town.after("stored", alice.send(body));
  expect(town.scheduler.now() - sentAt).toBeLessThan(400);
  expect(given.length).toBe(1);
  await town.until("bob has all", () => given.length === 4);
  expect(given.slice(1).map(({ body }) => body)).toEqual(["a", "b", "c"]);
  // The first of them waited for the whole time, and those behind it came along.
  const waited = given.slice(1).map(({ at }) => at - sentAt);
  expect(Math.min(...waited)).toBeGreaterThanOrEqual(500);
  expect(Math.max(...waited)).toBeLessThan(700);
});

test("push.afterCount holds on a follower: so many messages go out at once, before the time is over", async () => {
  const town = await Town.founded({ push: { afterMs: 60_000, afterCount: 4 } });
  const { given } = reader(town, "n2");
  const alice = town.client("alice", ["n2"]).room("lobby");
  for (const body of ["a", "b", "c"]) await town.after("stored", alice.send(body));
  await town.rest(2_000);
  expect(given).toEqual([]);
  const sentAt = town.scheduler.now();
  await town.after("stored", alice.send("d"));
  await town.until("bob has all", () => given.length === 4, 2_000);
  expect(given.map(({ body }) => body)).toEqual(["a", "b", "c", "d"]);
  expect(given.at(-1)!.at - sentAt).toBeLessThan(500);
});

test("a reader who moves while pushes wait, because its server stops, has each message once and in order", async () => {
  const town = await Town.founded({ push: { afterMs: 5_000, afterCount: 100 } });
  const given: number[] = [];
  const room = town.client("bob", ["n2", "n3"]).room("lobby");
  const read = async (): Promise<void> => {
    for await (const item of room.messages({ after: 0 })) given.push((item as RoomMessage).seq);
  };
  void read();
  const alice = town.client("alice", ["n1"]).room("lobby");
  for (let at = 1; at <= 5; at++) await town.after("stored", alice.send(`${at}`));
  await town.rest(1_000);
  const server = town.followers.find(({ now }) => now.connections.all.size > 0)!;
  await town.after("stopped", server.now.stop(0));
  await town.until("bob has all", () => given.length >= 5);
  expect(given).toEqual([1, 2, 3, 4, 5]);
});
