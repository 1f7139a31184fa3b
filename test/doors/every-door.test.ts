import { setTimeout as pause } from "node:timers/promises";
import { createHash } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import { errorCodes, Fault } from "../../src/base/error-codes.ts";
import { closeTown, endWith, type Json, overTcp, overWebSocket, type Talker, type Town, town, wires } from "./town.ts";

// Every request, answer and refusal of the protocol's page, with every field, as clients of each door meet them.

afterEach(closeTown);

/** Exactly these fields, besides `t`, `of` and `id`; a name with "?" may be missing. */
function fieldsOf(frame: Json, names: string): Json {
  const wanted = names.split(" ").filter((name) => name !== "");
  const found = Object.keys(frame).filter((name) => !["t", "of", "id"].includes(name));
  const missing = wanted.filter((name) => !name.endsWith("?") && !found.includes(name));
  const strange = found.filter((name) => !wanted.some((one) => one.replace("?", "") === name));
  expect([frame, missing, strange]).toEqual([frame, [], []]);
  return frame;
}

const fields = {
  welcome: "v user session node cluster topology heartbeatMs servers limits",
  limits: "bodyBytesMax frameBytesMax histItemsMax subsMax roomsMax sendsInFlightMax",
  send: "room cid seq ts epoch line leader node dup",
  sub: "room line first head epoch node",
  join: "room line head epoch position",
  done: "position?",
  hist: "room line items first head node more",
  item: "seq cid from ts epoch kind ref? body",
  found: "room cid seq head first ts epoch kind ref? body",
  absent: "room cid seq head first",
  rooms: "rooms position",
  listed: "room line first head read unread",
  members: "room count more members",
  err: "code message definite retryable retryAfterMs? hint?",
  msg: "room seq cid from ts epoch kind ref? body",
  room: "room line first head read",
  gap: "room from to reason line?",
} as const;

const ok = (frame: Json, of: string, names: string): Json => {
  expect(frame).toMatchObject({ t: "ok", of });
  return fieldsOf(frame, names);
};

/** A refusal of this code, with what the table says of it. */
function refused(frame: Json, code: keyof typeof errorCodes): Json {
  const { definite, retryable } = errorCodes[code];
  expect(frame).toMatchObject({ t: "err", code, definite, retryable });
  return fieldsOf(frame, fields.err);
}

const send = (cid: string, more: object = {}): object => ({ t: "send", room: "lobby", cid, body: cid, ...more });

describe.each(wires)("[DOOR15] $wire", ({ enter }) => {
  const two = async (options = {}): Promise<{ there: Town; alice: Talker; bob: Talker }> => {
    const there = await town(options);
    return { there, alice: await enter(there, "alice"), bob: await enter(there, "bob") };
  };

  test("[DOOR15] a greeting tells everything about the server, and is said once", async () => {
    const { alice } = await two();
    const welcome = fieldsOf(alice.heard[0]!, fields.welcome);
    expect(welcome).toMatchObject({ t: "welcome", v: 1, user: "alice", node: "n1", topology: "solo", servers: [] });
    const limits = fieldsOf(welcome["limits"] as Json, fields.limits);
    expect(limits).toMatchObject({ bodyBytesMax: 65_536 });
    expect(limits["sendsInFlightMax"]).toBeGreaterThanOrEqual(1_024);
    alice.say({ t: "hello", v: 1, user: "mallory" });
    refused(await alice.hears(({ t }) => t === "err"), "bad_request");
    expect(await alice.ask({ t: "ping" })).toMatchObject({ t: "pong" });
  });

  test("[DOOR15] an id is a number or a text, and comes back as it was", async () => {
    const { alice } = await two();
    for (const id of [7, "seven", "x".repeat(64)]) {
      alice.say({ t: "ping", id });
      expect(fieldsOf(await alice.answer(id), "")).toEqual({ t: "pong", id });
    }
  });

  test("[DOOR15] send, repeat, conflict, and the order of one sender", async () => {
    const { alice, bob } = await two();
    const first = ok(await alice.ask(send("c1", { since: 0 })), "send", fields.send);
    expect(first).toMatchObject({ room: "lobby", cid: "c1", seq: 1, leader: "n1", node: "n1", dup: false });
    const again = ok(await alice.ask(send("c1")), "send", fields.send);
    expect(again).toMatchObject({ seq: 1, ts: first["ts"], epoch: first["epoch"], dup: true });
    refused(await alice.ask(send("c1", { body: "other" })), "id_conflict");
    // The key is the sender's own.
    expect(await bob.ask(send("c1"))).toMatchObject({ seq: 2, dup: false });
    refused(await alice.ask(send("c3", { since: 2, prev: "c2" })), "order");
    expect(await alice.ask(send("c2", { since: 2, prev: "c1" }))).toMatchObject({ seq: 3 });
    expect(await alice.ask(send("c3", { since: 2, prev: "c2" }))).toMatchObject({ seq: 4 });
    // Edits and reactions name what they refer to; only its author may change it.
    expect(await alice.ask(send("c4", { kind: "edit", ref: 1 }))).toMatchObject({ seq: 5 });
    expect(await bob.ask(send("c5", { kind: "react", ref: 1 }))).toMatchObject({ seq: 6 });
    refused(await bob.ask(send("c6", { kind: "delete", ref: 1 })), "forbidden");
    refused(await bob.ask(send("c7", { kind: "edit", ref: 99 })), "not_found");
    refused(await bob.ask(send("c8", { kind: "sys.join" })), "forbidden");
    const ts = [first["ts"], (await alice.ask(send("c9")))["ts"]] as number[];
    expect(ts[1]!).toBeGreaterThanOrEqual(ts[0]!);
  });

  test("[DOOR15] a page of history from every side, and where a message is", async () => {
    const { alice } = await two();
    for (let n = 1; n <= 5; n++) await alice.ask(send(`c${n}`, n === 5 ? { kind: "react", ref: 2 } : {}));
    const page = async (where: object): Promise<[unknown[], unknown]> => {
      const answer = ok(await alice.ask({ t: "hist", room: "lobby", ...where }), "hist", fields.hist);
      expect(answer).toMatchObject({ room: "lobby", first: 1, head: 5, node: "n1" });
      const items = answer["items"] as Json[];
      for (const item of items) fieldsOf(item, fields.item);
      return [items.map(({ seq }) => seq), answer["more"]];
    };
    expect(await page({})).toEqual([[1, 2, 3, 4, 5], false]);
    expect(await page({ limit: 2 })).toEqual([[4, 5], true]);
    expect(await page({ before: 3 })).toEqual([[1, 2], false]);
    expect(await page({ after: 2, limit: 2 })).toEqual([[3, 4], true]);
    expect(await page({ around: 3, limit: 2 })).toEqual([[2, 3], true]);
    expect(await page({ level: "local", atLeast: 5 })).toEqual([[1, 2, 3, 4, 5], false]);
    expect(await page({ level: "linearizable", after: 4 })).toEqual([[5], false]);
    refused(await alice.ask({ t: "hist", room: "nowhere" }), "not_found");
    const found = ok(await alice.ask({ t: "lookup", room: "lobby", cid: "c5" }), "lookup", fields.found);
    expect(found).toMatchObject({ room: "lobby", cid: "c5", seq: 5, head: 5, kind: "react", ref: 2, body: "c5" });
    const absent = await alice.ask({ t: "lookup", room: "lobby", cid: "c5", from: "bob" });
    expect(ok(absent, "lookup", fields.absent)).toMatchObject({ seq: null, head: 5 });
  });

  test("[DOOR15] rooms: in, out, read and counted; a private one is not there for others", async () => {
    const { alice, bob } = await two();
    const join = ok(await alice.ask({ t: "join", room: "den", private: true }), "join", fields.join);
    expect(join).toMatchObject({ room: "den", head: 0 });
    refused(await bob.ask({ t: "join", room: "den" }), "not_found");
    refused(await bob.ask(send("x", { room: "den" })), "not_found");
    ok(await alice.ask({ t: "invite", room: "den", user: "bob" }), "done", fields.done);
    expect(fieldsOf(await bob.hears(({ t }) => t === "room"), fields.room)).toMatchObject({ room: "den" });
    const members = ok(await bob.ask({ t: "members", room: "den" }), "members", fields.members);
    expect(members).toMatchObject({ count: 2, more: false, members: [{ user: "alice" }, { user: "bob" }] });
    for (const cid of ["c1", "c2", "c3"]) await alice.ask(send(cid, { room: "den" }));
    const marked = ok(await bob.ask({ t: "read", room: "den", seq: 2 }), "done", fields.done);
    const list = ok(await bob.ask({ t: "rooms", atLeast: marked["position"] }), "rooms", fields.rooms);
    const listed = (list["rooms"] as Json[]).find(({ room }) => room === "den")!;
    expect(fieldsOf(listed, fields.listed)).toMatchObject({ first: 1, head: 3, read: 2, unread: 1 });
    expect(list["position"]).toBeGreaterThanOrEqual(marked["position"] as number);
    // A seq of one of the rooms will do, as it does for a page.
    expect(await bob.ask({ t: "rooms", atLeast: 3 })).toMatchObject({ t: "ok", of: "rooms" });
    ok(await alice.ask({ t: "remove", room: "den", user: "bob" }), "done", fields.done);
    refused(await bob.ask({ t: "hist", room: "den" }), "not_found");
    ok(await alice.ask({ t: "leave", room: "den" }), "done", fields.done);
    expect((await alice.ask({ t: "rooms" }))["rooms"]).not.toContainEqual(expect.objectContaining({ room: "den" }));
  });

  test("[DOOR15] what is said behind a join, without waiting for it, comes behind it", async () => {
    const { alice, bob } = await two();
    const said = (from: number, room: string): object[] => [
      { t: "join", room, private: true, id: from },
      send(`${room}-a`, { room, id: from + 1 }),
      send(`${room}-b`, { room, id: from + 2 }),
      { t: "sub", room, after: 0, id: from + 3 },
      { t: "members", room, id: from + 4 },
      { t: "hist", room, id: from + 5 },
      { t: "invite", room, user: "bob", id: from + 6 },
      send(`${room}-c`, { room, id: from + 7 }),
    ];
    // A server that was never asked for anything does some things later than one that was.
    for (const [from, room] of [
      [1, "first"],
      [11, "second"],
      [21, "third"],
    ] as const) {
      alice.say(...said(from, room));
      for (const [by, seq] of [
        [1, 1],
        [2, 2],
        [7, 3],
      ] as const)
        expect(await alice.answer(from + by)).toMatchObject({ t: "ok", seq });
      ok(await alice.answer(from + 3), "sub", fields.sub);
      ok(await alice.answer(from + 4), "members", fields.members);
      ok(await alice.answer(from + 5), "hist", fields.hist);
      ok(await alice.answer(from + 6), "done", fields.done);
      await alice.hears(({ t, room: where, seq }) => t === "msg" && where === room && seq === 3);
      expect(alice.heard.filter((one) => one["t"] === "msg" && one["room"] === room).map(({ seq }) => seq)).toEqual([
        1, 2, 3,
      ]);
    }
    // Who is not let in is told so, and goes on; a room beside it waits for nobody.
    alice.say({ t: "join", room: "closed", private: true, id: 31 });
    ok(await alice.answer(31), "join", fields.join);
    bob.say(
      { t: "join", room: "closed", id: 1 },
      { t: "sub", room: "closed", after: 0, id: 2 },
      send("x", { room: "closed", id: 3 }),
    );
    for (const id of [1, 2, 3]) refused(await bob.answer(id), "not_found");
    bob.say({ t: "join", room: "closed", id: 4 }, { t: "sub", room: "nowhere", after: 0, id: 5 }, { t: "ping", id: 6 });
    for (const id of [4, 5]) refused(await bob.answer(id), "not_found");
    expect(await bob.answer(6)).toMatchObject({ t: "pong" });
  });

  test("[DOOR15] a message, its edit, and what is said behind them keep their order without waiting", async () => {
    const { alice } = await two();
    for (const kind of ["edit", "delete"]) {
      // In a room that is there, and in one that is made in the same go.
      for (const [from, room, first] of [
        [1, "lobby", kind === "edit" ? 1 : 6],
        [51, `${kind}-room`, 1],
      ] as const) {
        const ids = [1, 2, 3, 4, 5].map((n) => `${kind}-${from + n}`);
        const said = (n: number, more: object = {}): object =>
          send(`${kind}-${from + n}`, { room, id: ids[n - 1], ...more });
        alice.say(
          { t: "join", room, id: `${kind}-${from}` },
          said(1),
          said(2, { kind, ref: first }),
          said(3),
          said(4, { kind, ref: first + 2 }),
          said(5),
        );
        const told = await Promise.all(ids.map((id) => alice.answer(id)));
        expect(told).toMatchObject(ids.map((_, n) => ({ t: "ok", seq: first + n })));
      }
    }
    // One that was never said is refused; what comes behind it is not.
    alice.say(send("a", { id: 1 }), send("b", { id: 2, kind: "edit", ref: 99 }), send("c", { id: 3 }));
    expect(await alice.answer(1)).toMatchObject({ seq: 11 });
    refused(await alice.answer(2), "not_found");
    expect(await alice.answer(3)).toMatchObject({ seq: 12 });
  });

  test("[DOOR15] a subscription is dense from where it was asked for, and says what else goes on", async () => {
    const { alice, bob } = await two();
    for (const cid of ["c1", "c2", "c3"]) await alice.ask(send(cid));
    const sub = ok(await bob.ask({ t: "sub", room: "lobby", after: 1, atLeast: 3 }), "sub", fields.sub);
    expect(sub).toMatchObject({ room: "lobby", first: 1, head: 3, node: "n1" });
    await alice.ask({ t: "sub", room: "lobby", after: "latest" });
    expect(fieldsOf(await bob.hears(({ t }) => t === "caught-up"), "room seq")).toMatchObject({ seq: 3 });
    await alice.ask(send("c4"));
    const messages = (): Json[] => bob.heard.filter(({ t }) => t === "msg");
    await bob.hears(({ t, seq }) => t === "msg" && seq === 4);
    expect(messages().map((message) => fieldsOf(message, fields.msg)["seq"])).toEqual([2, 3, 4]);
    bob.say({ t: "typing", room: "lobby" });
    const typing = await alice.hears(({ t, user }) => t === "typing" && user === "bob");
    expect(fieldsOf(typing, "room user")).toMatchObject({ room: "lobby" });
    await bob.ask({ t: "read", room: "lobby", seq: 4 });
    expect(fieldsOf(await alice.hears(({ t }) => t === "read"), "room user seq")).toMatchObject({
      user: "bob",
      seq: 4,
    });
    const here = ok(await bob.ask({ t: "presence", room: "lobby" }), "presence", "room users? count?");
    expect(here).toMatchObject({ users: ["alice", "bob"] });
    // Whoever asked hears of changes.
    ok(await alice.ask({ t: "unsub", room: "lobby" }), "done", fields.done);
    const left = await bob.hears(({ t }) => t === "presence");
    expect(fieldsOf(left, "room users? count?")).toMatchObject({ room: "lobby", users: ["bob"] });
    // A second one replaces the first; one of another line begins anew, and says so first.
    const before = bob.heard.length;
    await bob.ask({ t: "sub", room: "lobby", after: 4, line: "another" });
    const gap = await bob.hears(({ t }) => t === "gap");
    expect(fieldsOf(gap, fields.gap)).toMatchObject({ reason: "reset", line: sub["line"] });
    await bob.hears((frame) => frame["t"] === "caught-up" && bob.heard.indexOf(frame) > before);
    const anew = bob.heard.slice(before).filter(({ t }) => t === "msg");
    expect(anew.map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    ok(await bob.ask({ t: "unsub", room: "lobby" }), "done", fields.done);
    await alice.ask(send("c5"));
    await bob.ask({ t: "ping" });
    expect(bob.heard.filter(({ seq }) => seq === 5)).toEqual([]);
  });

  test("[DOOR15] a direct message comes without a subscription, and never twice", async () => {
    const { there, alice, bob } = await two();
    const direct = (cid: string): object => ({ t: "send", to: "bob", cid, body: cid });
    expect(ok(await alice.ask(direct("d1")), "send", fields.send)).toMatchObject({ room: "@alice,bob", seq: 1 });
    const news = fieldsOf(await bob.hears(({ t }) => t === "room"), fields.room);
    expect(news).toMatchObject({ room: "@alice,bob", first: 1, read: 0 });
    await alice.ask(direct("d2"));
    await bob.hears(({ t, cid }) => t === "msg" && cid === "d2");
    await bob.ask({ t: "sub", room: "@alice,bob", after: news["head"] as number });
    await alice.ask(direct("d3"));
    await bob.hears(({ t, cid }) => t === "msg" && cid === "d3");
    await bob.ask({ t: "ping" });
    expect(bob.heard.filter(({ t, cid }) => t === "msg" && cid === "d3")).toHaveLength(1);
    // Nobody else can see it.
    const eve = await enter(there, "eve");
    refused(await eve.ask({ t: "hist", room: "@alice,bob" }), "not_found");
    // And who was away is told of it by the greeting.
    const late = await enter(there, "bob");
    expect(await late.hears(({ t }) => t === "room")).toMatchObject({ room: "@alice,bob", head: 3, read: 0 });
  });

  test("[DOOR15] a token is renewed on the way, and nothing else changes", async () => {
    const { alice } = await two();
    ok(await alice.ask({ t: "refresh", token: "another" }), "done", fields.done);
    expect(await alice.ask(send("c1"))).toMatchObject({ seq: 1 });
  });

  test("[DOOR15] what is too large or too much is refused with its code, and the connection goes on", async () => {
    const limits = { subsMax: 1, roomsMax: 1, sendsPerSecondMax: 1, sendsBurstMax: 1 };
    const { alice } = await two({ limits });
    refused(await alice.ask(send("c1", { body: "x".repeat(65_537) })), "too_large");
    await alice.ask({ t: "join", room: "den" });
    refused(await alice.ask({ t: "join", room: "den2" }), "too_large");
    await alice.ask(send("c2"));
    await alice.ask({ t: "sub", room: "lobby", after: 0 });
    refused(await alice.ask({ t: "sub", room: "den", after: 0 }), "too_large");
    expect(await alice.ask({ t: "ping" })).toMatchObject({ t: "pong" });
  });

  test("[DOOR15] a server that stops says so before it goes", async () => {
    const { there, alice } = await two();
    const stopped = there.server.stop(50);
    const drain = fieldsOf(await alice.hears(({ t }) => t === "drain"), "withinMs");
    expect(drain["withinMs"]).toBeLessThanOrEqual(50);
    await stopped;
  });
});

test("[DOOR15] who is ahead of this server waits two seconds and is told, by every door, while others are answered", async () => {
  const there = await town();
  const ahead: Promise<void>[] = [];
  const behind = async (asked: Promise<Json>): Promise<void> => void refused(await asked, "behind");
  const reader = await overTcp(there.tcpPort, "reader");
  await reader.ask(send("c1"));
  for (const { wire, enter } of wires) {
    // Each question on a connection of its own: nobody's answer comes before the one to what they asked first.
    for (const question of ["hist", "sub", "rooms"]) {
      const client = await enter(there, `${wire.split(" ")[0]}-${question}`);
      const where = question === "rooms" ? {} : question === "sub" ? { room: "lobby", after: 0 } : { room: "lobby" };
      ahead.push(behind(client.ask({ t: question, ...where, atLeast: 1_000_000 })));
    }
  }
  const overHttp = async (path: string): Promise<void> => {
    const { status, json } = await there.http("GET", path);
    expect([path, status, json]).toMatchObject([path, 503, { code: "behind", definite: true, retryable: true }]);
    expect(json["retryAfterMs"]).toBeGreaterThan(0);
  };
  for (const path of ["rooms/lobby/messages?", "rooms/lobby/stream?after=0&", "rooms?"]) {
    ahead.push(overHttp(`/v1/${path}atLeast=1000000`));
  }
  // [DOOR16] All of them wait, and pages are given meanwhile: before the first of them is told anything.
  let told = 0;
  for (const one of ahead) void one.then(() => told++);
  // Until the server has all of them before it.
  await pause(200);
  expect(await reader.ask({ t: "hist", room: "lobby" })).toMatchObject({ t: "ok", of: "hist", head: 1 });
  expect((await there.http("GET", "/v1/rooms/lobby/messages")).status).toBe(200);
  expect(told).toBe(0);
  await Promise.all(ahead);
});

test("[DOOR15] frames come alone or as an array, with fields nobody knows; a request nobody knows is refused", async () => {
  const there = await town();
  for (const alice of [await overTcp(there.tcpPort, "alice"), await overWebSocket(there.httpPort, "alice")]) {
    alice.say([
      { t: "ping", id: 1, colour: "green" },
      { ...send("c1", { colour: { deep: [1] } }), id: 2 },
    ]);
    expect(await alice.answer(1)).toMatchObject({ t: "pong" });
    expect(await alice.answer(2)).toMatchObject({ t: "ok", seq: 1 });
    alice.say({ t: "dance", id: 3 });
    refused(await alice.answer(3), "unsupported");
    for (const [id, frame] of [
      [4, { t: "send", room: "lobby", cid: "not an id", body: "" }],
      [5, { t: "send", cid: "c", body: "" }],
      [6, { t: "send", room: "lobby", to: "bob", cid: "c", body: "" }],
      [7, { t: "hist", room: "lobby", before: 3, after: 1 }],
      [8, { t: "sub", room: "lobby" }],
      [9, { t: "join", room: "two words" }],
    ] as const) {
      alice.say({ ...frame, id });
      refused(await alice.answer(id), "bad_request");
    }
  }
});

test("[DOOR15] who does not greet, or greets wrongly, is told why and let go", async () => {
  const there = await town({ settings: { authenticate: refuseAll } });
  const { WebSocket } = await import("ws");
  const endOf = (first: string): Promise<{ code: number; said: Json[] }> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${there.httpPort}/v1/ws`);
      endWith(() => socket.terminate());
      const said: Json[] = [];
      socket.on("open", () => socket.send(first));
      socket.on("message", (data: Buffer) => said.push(JSON.parse(data.toString()) as Json));
      socket.on("close", (code) => resolve({ code, said }));
    });
  const greeting = await endOf('{"t":"hello","v":1,"user":"alice","token":"wrong"}');
  refused(greeting.said[0]!, "unauthorized");
  expect(greeting.code).toBe(4401);
  const none = await endOf('{"t":"ping","id":1}');
  refused(none.said[0]!, "unauthorized");
  expect(none.code).toBe(4401);
  const newer = await endOf('{"t":"hello","v":2,"user":"alice"}');
  refused(newer.said[0]!, "unsupported");
  expect(newer.code).toBe(1008);
});

const refuseAll = (): Promise<never> => Promise.reject(new Fault("unauthorized", "the token is not accepted"));

const problem = "type title status detail code definite retryable retryAfterMs?";

test("[DOOR15] every request over HTTP, with every field, and every refusal as a problem", async () => {
  const { http, url } = await town();
  const as = async (user: string, method: string, path: string, body?: object, key?: string) =>
    http(method, path, body, { "synod-user": user, ...(key === undefined ? {} : { "idempotency-key": key }) });
  const stored = await as("alice", "POST", "/v1/rooms/lobby/messages", { body: "one" }, "k1");
  expect(stored.status).toBe(201);
  expect(fieldsOf(stored.json, fields.send)).toMatchObject({ room: "lobby", cid: "k1", seq: 1, dup: false });
  const again = await as("alice", "POST", "/v1/rooms/lobby/messages", { body: "one" }, "k1");
  expect([again.status, again.json]).toMatchObject([200, { seq: 1, ts: stored.json["ts"], dup: true }]);
  const plain = await fetch(`${url}/v1/rooms/lobby/messages`, {
    method: "POST",
    headers: { "synod-user": "bob", "content-type": "text/plain" },
    body: "two",
  });
  expect(plain.status).toBe(201);
  expect(fieldsOf((await plain.json()) as Json, `${fields.send} note`)["note"]).toContain("second message");
  const changed = await as("alice", "POST", "/v1/rooms/lobby/messages", { body: "ONE", kind: "edit", ref: 1 }, "k2");
  expect(changed.status).toBe(201);
  const direct = await as("alice", "POST", "/v1/users/bob/messages", { body: "psst" }, "d1");
  expect(fieldsOf(direct.json, fields.send)).toMatchObject({ room: "@alice,bob", seq: 1 });

  const page = await as("bob", "GET", "/v1/rooms/lobby/messages?after=1&limit=1&level=linearizable&atLeast=3");
  expect([page.status, fieldsOf(page.json, fields.hist)]).toMatchObject([200, { head: 3, more: true }]);
  expect((page.json["items"] as Json[]).map((item) => fieldsOf(item, fields.item)["seq"])).toEqual([2]);
  expect((await as("bob", "GET", "/v1/rooms/lobby/messages?before=3&limit=1")).json["items"]).toMatchObject([
    { seq: 2 },
  ]);
  expect((await as("bob", "GET", "/v1/rooms/lobby/messages?around=2&limit=1")).json["items"]).toMatchObject([
    { seq: 2 },
  ]);
  const found = await as("bob", "GET", "/v1/rooms/lobby/messages/by-cid/alice/k2");
  expect([found.status, fieldsOf(found.json, fields.found)]).toMatchObject([200, { seq: 3, head: 3, ref: 1 }]);
  const absent = await as("bob", "GET", "/v1/rooms/lobby/messages/by-cid/bob/k2");
  expect([absent.status, absent.json]).toMatchObject([404, { code: "not_found", head: 3 }]);

  const joined = await as("alice", "PUT", "/v1/rooms/den", { private: true });
  expect([joined.status, fieldsOf(joined.json, fields.join)]).toMatchObject([200, { room: "den", head: 0 }]);
  const marked = await as("alice", "PUT", "/v1/rooms/lobby/read", { seq: 2 });
  expect(marked.status).toBe(204);
  const position = marked.headers.get("synod-position")!;
  const rooms = await as("alice", "GET", `/v1/rooms?atLeast=${position}`);
  expect(rooms.status).toBe(200);
  const listed = fieldsOf(rooms.json, fields.rooms)["rooms"] as Json[];
  expect(listed.map((one) => fieldsOf(one, fields.listed)["room"])).toEqual(["@alice,bob", "den"]);
  for (const [method, path] of [
    ["PUT", "/v1/rooms/den/members/bob"],
    ["DELETE", "/v1/rooms/den/members/bob"],
    ["DELETE", "/v1/rooms/den"],
  ] as const) {
    const answer = await as("alice", method, path);
    expect([path, answer.status, Number(answer.headers.get("synod-position")) > Number(position)]).toEqual([
      path,
      204,
      true,
    ]);
  }
  const refusals: [string, string, string, object | undefined, number, keyof typeof errorCodes][] = [
    ["alice", "POST", "/v1/rooms/lobby/messages", { body: "other" }, 409, "id_conflict"],
    ["alice", "POST", "/v1/rooms/lobby/messages", { body: "x", prev: "no-such" }, 409, "order"],
    ["alice", "POST", "/v1/rooms/lobby/messages", { body: "x".repeat(65_537) }, 413, "too_large"],
    ["alice", "POST", "/v1/rooms/lobby/messages", { text: "no body" }, 400, "bad_request"],
    ["bob", "POST", "/v1/rooms/lobby/messages", { body: "", kind: "delete", ref: 1 }, 403, "forbidden"],
    ["bob", "GET", "/v1/rooms/nowhere/messages", undefined, 404, "not_found"],
    ["bob", "GET", "/v1/rooms/lobby/messages?limit=many", undefined, 400, "bad_request"],
    ["bob", "GET", "/v1/rooms/lobby/messages?limit=1&limit=2", undefined, 400, "bad_request"],
    ["bob", "GET", "/v1/rooms/lobby/members?after=a&after=b", undefined, 400, "bad_request"],
    ["bob", "GET", "/v1/rooms/lobby/stream?after=1&after=2", undefined, 400, "bad_request"],
    ["two words", "GET", "/v1/rooms", undefined, 401, "unauthorized"],
    ["bob", "POST", "/v1/rooms", {}, 405, "unsupported"],
    ["bob", "GET", "/v1/nothing", undefined, 404, "not_found"],
  ];
  for (const [user, method, path, body, status, code] of refusals) {
    const key = code === "id_conflict" ? "k1" : undefined;
    const answer = await as(user, method, path, body, key);
    const { definite, retryable } = errorCodes[code];
    expect([path, answer.status, answer.json]).toMatchObject([path, status, { code, definite, retryable, status }]);
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
    fieldsOf(answer.json, problem);
  }
});

test("[DOOR15] a digest is what the page of the protocol says, to the byte", async () => {
  const { http } = await town();
  const bodies = Array.from({ length: 3 }, (_, at) => `message ${at} ✓`);
  for (const [at, body] of bodies.entries()) {
    const more = at === 2 ? { kind: "react", ref: 1 } : {};
    await http("POST", "/v1/rooms/lobby/messages", { body, ...more }, { "idempotency-key": `k${at}` });
  }
  const page = (await http("GET", "/v1/rooms/lobby/messages")).json;
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const whole = (value: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value));
    return bytes;
  };
  const hash = createHash("sha256").update(Buffer.alloc(32));
  for (const item of page["items"] as Json[]) {
    const { seq, ts, from, cid, kind, ref = 0, body } = item as Record<string, string & number>;
    for (const part of [whole(seq!), whole(ts!), text(from!), text(cid!), text(kind!), whole(ref), text(body!)]) {
      hash.update(part);
    }
  }
  const digest = (await http("GET", "/v1/rooms/lobby/digest?upto=3")).json;
  expect(fieldsOf(digest, "room line upto digest node")).toMatchObject({ upto: 3, digest: hash.digest("hex") });
});
