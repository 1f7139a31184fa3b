import { expect, test } from "vitest";

import type { UserName } from "../../src/base/ids.ts";
import { SendRates } from "../../src/server/send-rates.ts";
import type { SingleSends } from "../../src/server/single-sends.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const alice = "alice" as UserName;

test("a second's worth at once, then at the rate", () => {
  const rates = new SendRates({ sendsPerSecondMax: 10, sendBytesPerSecondMax: 1_000 });
  const rate = rates.of(alice, 0);
  for (let i = 0; i < 10; i++) expect(rates.take(rate, 10, 0)).toBe(0);
  const wait = rates.take(rate, 10, 0);
  expect(wait).toBeGreaterThan(90);
  expect(rates.take(rate, 10, wait)).toBe(0);
  expect(rates.take(rate, 10, wait)).toBeGreaterThan(0);
});

test("bytes count too, and a message larger than the rate waits for a full bucket instead of for ever", () => {
  const rates = new SendRates({ sendsPerSecondMax: 1_000, sendBytesPerSecondMax: 100 });
  const rate = rates.of(alice, 0);
  expect(rates.take(rate, 90, 0)).toBe(0);
  const wait = rates.take(rate, 50, 0);
  expect(rates.take(rate, 50, wait)).toBe(0);
  expect(rates.take(rate, 500, wait + 2_000)).toBe(0);
  expect(rates.take(rate, 1, wait + 2_000)).toBeGreaterThan(4_000);
});

test("refusals have a rate of their own, for all connections of a user together", () => {
  const rates = new SendRates({ sendsPerSecondMax: 1, sendBytesPerSecondMax: 1_000 });
  const rate = rates.of(alice, 1_000);
  for (let i = 0; i < 100; i++) expect(rates.refuse(rate, 1_000 + i / 100)).toBe(0);
  expect(rates.refuse(rate, 1_004)).toBe(6);
  expect(rates.refuse(rate, 1_009.5)).toBe(1);
  // What had to wait was not counted.
  for (let i = 0; i < 100; i++) expect(rates.refuse(rate, 1_010)).toBe(0);
  expect(rates.refuse(rate, 1_010)).toBe(10);
});

test("who goes on though it is refused is read no faster than it is told so; each send has its answer, in order", async () => {
  const { server } = await startTestServer({ limits: { sendsPerSecondMax: 5 } });
  const flooder = await TestClient.open(server, "alice");
  let pauses = 0;
  flooder.pause = () => void pauses++;
  for (let id = 1; id <= 350; id++) flooder.say({ t: "send", id, room: "lobby", cid: `c${id}`, body: "x" });
  // What came in this turn was not all refused in it.
  expect(pauses).toBeGreaterThan(0);
  await flooder.next((frame) => "id" in frame && frame.id === 350);
  const refused = flooder.frames.filter((frame) => frame.t === "err").map((frame) => Number(frame.id));
  const stored = flooder.frames.filter((frame) => frame.t === "ok").map((frame) => Number(frame.id));
  expect(refused).toEqual([...refused].sort((a, b) => a - b));
  expect(stored.slice(0, 5)).toEqual([1, 2, 3, 4, 5]);
  expect([...refused, ...stored].sort((a, b) => a - b)).toEqual(Array.from({ length: 349 }, (_, n) => n + 1));
  await server.stop(0);
});

test("a flooding user is refused with a time to come again, on all connections alike; others are not", async () => {
  const { server } = await startTestServer({ limits: { sendsPerSecondMax: 5 } });
  const first = await TestClient.open(server, "alice");
  const second = await TestClient.open(server, "alice");
  const bob = await TestClient.open(server, "bob");
  const answers = [];
  for (let i = 0; i < 10; i++) {
    answers.push(await (i % 2 === 0 ? first : second).ask({ t: "send", room: "lobby", cid: `c${i}`, body: "x" }));
  }
  const refused = answers.filter((answer) => answer.t === "err");
  expect(answers.filter((answer) => answer.t === "ok").length).toBeGreaterThanOrEqual(5);
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]).toMatchObject({ code: "rate_limited", definite: true, retryable: true });
  expect(refused[0]!["retryAfterMs"]).toBeGreaterThan(0);
  expect(await bob.ask({ t: "send", room: "lobby", cid: "b", body: "x" })).toMatchObject({ t: "ok" });
  await server.stop(0);
});

test("a room has a rate of its own, whoever sends into it by whatever door; other rooms are not asked", async () => {
  const { server } = await startTestServer({ limits: { roomSendsPerSecondMax: 1 } });
  const [alice, bob] = [await TestClient.open(server, "alice"), await TestClient.open(server, "bob")];
  await alice.ask({ t: "join", room: "desk" });
  expect(await alice.ask({ t: "send", room: "lobby", cid: "a1", body: "x" })).toMatchObject({ t: "ok" });
  const refused = await bob.ask({ t: "send", room: "lobby", cid: "b1", body: "x" });
  expect(refused).toMatchObject({ code: "rate_limited", definite: true, retryable: true });
  expect(refused["retryAfterMs"]).toBeGreaterThan(0);
  const caller = { user: "bob" as UserName, userBytes: utf8("bob"), answer: () => undefined };
  const frame = { t: "send", id: 1, room: "lobby", cid: "b2", body: "x" } as Parameters<SingleSends["send"]>[1];
  await expect(server.singleSends.send(caller, frame)).rejects.toMatchObject({ code: "rate_limited" });
  expect(await alice.ask({ t: "send", room: "desk", cid: "a2", body: "x" })).toMatchObject({ t: "ok" });
  await server.stop(0);
});

test("what a room's rate refuses is not taken from its sender's", async () => {
  const { server } = await startTestServer({ limits: { roomSendsPerSecondMax: 1, sendsPerSecondMax: 3 } });
  const alice = await TestClient.open(server, "alice");
  for (const room of ["one", "two", "three"]) await alice.ask({ t: "join", room });
  const answers = [];
  for (const [n, room] of ["one", "one", "one", "two", "three"].entries())
    answers.push((await alice.ask({ t: "send", room, cid: `c${n}`, body: "x" })).t);
  expect(answers).toEqual(["ok", "err", "err", "ok", "ok"]);
  await server.stop(0);
});
