import { afterEach, describe, expect, test } from "vitest";
import { serverLog } from "../../src/apps/cli/server-log.ts";
import { Fault } from "../../src/base/error-codes.ts";
import type { RoomName, UserName } from "../../src/base/ids.ts";
import { sealReasons } from "../../src/rooms/seal.ts";
import { operate } from "../../src/server/operator.ts";
import { until } from "./fake-server.ts";
import { closeTown, type Json, overTcp, overWebSocket, type Talker, town } from "./town.ts";

// What somebody may who is not trusted, whatever they are called and whatever they say.

afterEach(closeTown);

const ranks = ["owner", "moderator", "member", "stranger"] as const;
type Rank = (typeof ranks)[number];
type Outcome = "ok" | "forbidden" | "not_found";

/** Each request about a private room of the owner's, and what it is answered: to the owner, a moderator, a member, a stranger. */
const rights: readonly [string, object, readonly [Outcome, Outcome, Outcome, Outcome]][] = [
  ["join", {}, ["ok", "ok", "ok", "not_found"]],
  ["sub", { after: 0 }, ["ok", "ok", "ok", "not_found"]],
  ["hist", {}, ["ok", "ok", "ok", "not_found"]],
  ["hist", { level: "linearizable", around: 1 }, ["ok", "ok", "ok", "not_found"]],
  ["lookup", { cid: "o1", from: "owner" }, ["ok", "ok", "ok", "not_found"]],
  ["read", { seq: 1 }, ["ok", "ok", "ok", "not_found"]],
  ["presence", {}, ["ok", "ok", "ok", "not_found"]],
  ["members", {}, ["ok", "ok", "ok", "not_found"]],
  ["send", { cid: "s1", body: "text" }, ["ok", "ok", "ok", "not_found"]],
  ["send", { cid: "s2", body: "👍", kind: "react", ref: 1 }, ["ok", "ok", "ok", "not_found"]],
  ["send", { cid: "s3", body: "other words", kind: "edit", ref: 1 }, ["ok", "ok", "forbidden", "not_found"]],
  ["send", { cid: "s4", body: "", kind: "delete", ref: 1 }, ["ok", "ok", "forbidden", "not_found"]],
  ["send", { cid: "s5", body: "x", kind: "sys.say" }, ["forbidden", "forbidden", "forbidden", "not_found"]],
  ["invite", { user: "guest" }, ["ok", "ok", "forbidden", "not_found"]],
  ["remove", { user: "guest" }, ["ok", "ok", "forbidden", "not_found"]],
  ["remove", { user: "owner" }, ["ok", "forbidden", "forbidden", "not_found"]],
  ["leave", {}, ["ok", "ok", "ok", "not_found"]],
];

/** A private room with one of each rank, and a message of its owner. */
async function den() {
  const there = await town();
  const people = {} as Record<Rank, Talker>;
  for (const rank of ranks) people[rank] = await overTcp(there.tcpPort, rank);
  const { owner } = people;
  await owner.ask({ t: "join", room: "den", private: true });
  for (const user of ["moderator", "member", "guest"]) await owner.ask({ t: "invite", room: "den", user });
  await operate(there.server, {
    type: "role",
    room: "den" as RoomName,
    user: "moderator" as UserName,
    role: "moderator",
  });
  await owner.ask({ t: "send", room: "den", cid: "o1", body: "first words" });
  return { ...there, people };
}

const outcomeOf = (answer: Json): unknown => (answer["t"] === "ok" ? "ok" : answer["code"]);

describe("[DOOR17] rights in a room", () => {
  test.each(rights)("[DOOR17] %s %j: to owner, moderator, member, stranger", async (t, fields, outcomes) => {
    for (const [at, rank] of ranks.entries()) {
      // In a room as it was made: what one did is not what the next finds.
      const { people } = await den();
      const answer = await people[rank].ask({ t, room: "den", ...fields });
      expect([rank, outcomeOf(answer)]).toEqual([rank, outcomes[at]]);
      await closeTown();
    }
  });

  test("[DOOR17] a stranger is told of a private room what everybody is told of none", async () => {
    const { people, http } = await den();
    const { stranger } = people;
    for (const [t, fields] of rights) {
      if (t === "join") continue;
      const [hidden, none] = await Promise.all(["den", "nowhere"].map((room) => stranger.ask({ t, room, ...fields })));
      expect({ t, ...hidden, id: 0 }).toEqual({ t, ...none, id: 0 });
    }
    const asStranger = { "synod-user": "stranger" };
    for (const [method, path, body] of [
      ["GET", "messages"],
      ["GET", "messages/by-cid/owner/o1"],
      ["GET", "stream"],
      ["GET", "digest"],
      ["GET", "members"],
      ["PUT", "read", { seq: 1 }],
      ["PUT", "members/guest"],
      ["DELETE", "members/guest"],
      ["DELETE", ""],
      ["POST", "messages", { body: "x", kind: "edit", ref: 1 }],
    ] as const) {
      const [hidden, none] = await Promise.all(
        ["den", "nowhere"].map((room) =>
          http(method, `/v1/rooms/${room}/${path}`.replace(/\/$/, ""), body, asStranger),
        ),
      );
      expect([path, hidden!.status, hidden!.json]).toEqual([path, none!.status, none!.json]);
      expect([path, hidden!.status]).toEqual([path, 404]);
    }
  });

  test("[DOOR17] a stranger's typing is told to nobody, and the list of rooms names no room of others", async () => {
    const { people } = await den();
    await people.owner.ask({ t: "sub", room: "den", after: 0 });
    people.stranger.say({ t: "typing", room: "den" });
    people.member.say({ t: "typing", room: "den" });
    await people.owner.hears(({ t, user }) => t === "typing" && user === "member");
    expect(people.owner.heard.filter(({ user }) => user === "stranger")).toEqual([]);
    expect(await people.stranger.ask({ t: "rooms" })).toMatchObject({ rooms: [] });
  });

  test("[DOOR17] the sender is who greeted, whatever a message says of itself", async () => {
    const { people, http } = await den();
    await people.stranger.ask({
      t: "send",
      room: "lobby",
      cid: "c1",
      body: "b",
      from: "owner",
      user: "owner",
      ts: 1,
      seq: 9,
    });
    const fields = { body: "b", from: "owner", user: "owner", room: "den", seq: 9 };
    const posted = await http("POST", "/v1/rooms/lobby/messages", fields, { "synod-user": "stranger" });
    expect(posted).toMatchObject({ status: 201, json: { room: "lobby", seq: 2 } });
    const page = await people.owner.ask({ t: "hist", room: "lobby" });
    expect((page["items"] as Json[]).map(({ seq, from }) => [seq, from])).toEqual([
      [1, "stranger"],
      [2, "stranger"],
    ]);
    // And an id of another's is not found as one's own.
    expect(await people.owner.ask({ t: "lookup", room: "lobby", cid: "c1" })).toMatchObject({ seq: null });
  });

  test("[DOOR17] no name is a pattern of another", async () => {
    const { people } = await den();
    const { stranger, owner } = people;
    for (const room of [
      ".en",
      "d.n",
      "den|lobby",
      "(den)",
      "[a-z]",
      "^den$",
      "d{1}en",
      "den+",
      "$den",
      "den.",
      "_en",
    ]) {
      expect(outcomeOf(await stranger.ask({ t: "join", room }))).toBe("ok");
      expect(outcomeOf(await owner.ask({ t: "send", room, cid: "c", body: room }))).toBe("ok");
    }
    expect(outcomeOf(await stranger.ask({ t: "hist", room: "den" }))).toBe("not_found");
    expect(await owner.ask({ t: "hist", room: "den" })).toMatchObject({ head: 1 });
    const like = await overTcp((await town()).tcpPort, ".*".replace("*", "+"));
    expect(await like.ask({ t: "rooms" })).toMatchObject({ rooms: [] });
  });
});

const oddNames = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf", "__defineGetter__"];

test("[DOOR18] what every object has by itself is a name like any other: users, rooms, ids, kinds, fields", async () => {
  const { tcpPort, httpPort, http } = await town();
  const before = Object.getOwnPropertyNames(Object.prototype);
  for (const name of oddNames) {
    for (const enter of [() => overTcp(tcpPort, name), () => overWebSocket(httpPort, name)]) {
      const odd = await enter();
      expect(await odd.ask({ t: "rooms" })).toMatchObject({ t: "ok" });
      expect(outcomeOf(await odd.ask({ t: "join", room: name }))).toBe("ok");
      await odd.ask({ t: "sub", room: name, after: "latest" });
      expect(await odd.ask({ t: "presence", room: name })).toMatchObject({ users: [name] });
    }
    const odd = await overTcp(tcpPort, name);
    const message = { room: name, cid: name, body: name, kind: name, [name]: { polluted: true } };
    expect(await odd.ask({ t: "send", ...message })).toMatchObject({ t: "ok", seq: 1, dup: false });
    expect(await odd.ask({ t: "send", ...message })).toMatchObject({ t: "ok", seq: 1, dup: true });
    expect(await odd.ask({ t: "send", room: name, cid: "other", body: "", prev: name })).toMatchObject({ seq: 2 });
    expect(await odd.ask({ t: "send", room: name, cid: "third", body: "", prev: "valueOf-none" })).toMatchObject({
      code: "order",
    });
    expect(await odd.ask({ t: "lookup", room: name, cid: name, from: name })).toMatchObject({ seq: 1, kind: name });
    expect(outcomeOf(await odd.ask({ t: "read", room: name, seq: 1 }))).toBe("ok");
    expect(await odd.ask({ t: "members", room: name })).toMatchObject({ members: [{ user: name, role: "owner" }] });
    const mine = await odd.ask({ t: "rooms" });
    expect(mine["rooms"]).toMatchObject([{ room: name, head: 2, read: 1 }]);
    // A field of that name, as text: JSON would make a prototype of it where objects are merged.
    expect(await odd.ask({ t: "constructor" })).toMatchObject({ code: "unsupported" });
    const asOdd = { "synod-user": name, "idempotency-key": "over-http" };
    expect(await http("POST", `/v1/rooms/${name}/messages`, { body: "b", kind: name }, asOdd)).toMatchObject({
      status: 201,
    });
    expect(await http("GET", `/v1/rooms/${name}/messages/by-cid/${name}/${name}`, undefined, asOdd)).toMatchObject({
      status: 200,
      json: { seq: 1 },
    });
    expect(await http("GET", `/v1/rooms/${name}/messages?${name}=1&__proto__[x]=1`, undefined, asOdd)).toMatchObject({
      status: 200,
    });
    const direct = await http("POST", `/v1/users/${name}/messages`, { body: "b" }, { "synod-user": "zoe" });
    expect(direct).toMatchObject({ status: 201, json: { seq: 1 } });
  }
  expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
  expect(({} as Json)["polluted"]).toBeUndefined();
});

/** Everything a client can write anywhere, said by every door. Answers what was said that a log must not repeat. */
async function sayEverywhere(there: Awaited<ReturnType<typeof town>>, text: string): Promise<void> {
  const { tcpPort, httpPort, http } = there;
  const alice = await overTcp(tcpPort, "alice");
  for (const t of ["join", "leave", "sub", "hist", "lookup", "read", "presence", "members", "invite", "remove", text]) {
    const names = { room: text, user: text, cid: text, from: text, line: text, level: text };
    await alice.ask({ t, after: 0, seq: 1, ...names });
    await alice.ask({ t, after: 0, seq: 1, ...names, room: "lobby" });
  }
  await alice.ask({ t: "send", room: text, to: text, cid: text, kind: text, body: text });
  await alice.ask({ t: "send", room: "lobby", cid: "c1", kind: "note", body: text });
  await alice.ask({ t: "send", to: text, cid: "c2", body: text });
  await alice.ask({ t: "refresh", token: text });
  alice.say({ t: "typing", room: text });
  for (const user of [text, "bob"]) {
    const refused = await overWebSocket(httpPort, "carol");
    refused.say({ t: "hello", v: 1, user, token: text });
    await refused.hears(({ t }) => t === "err");
  }
  const inPath = encodeURIComponent(text);
  const inHeader = Buffer.from(text)
    .toString("latin1")
    .replaceAll(/\p{Cc}/gu, "");
  for (const path of [`rooms/${inPath}/messages`, `rooms/lobby/messages/by-cid/${inPath}/${inPath}`, `${inPath}`]) {
    await http("GET", `/v1/${path}?before=${inPath}`, undefined, { "synod-user": inHeader, authorization: inHeader });
    await http("POST", `/v1/${path}`, { body: text, [text]: text }, { "idempotency-key": inHeader });
  }
}

const lineBreakers =
  'plain\r\nline {"level":"error"}\u0000\u001b[2J\u001b]0;title\u0007\u0085\u2028\u2029\u202e\u009b31m';

describe.each(["json", "text"] as const)("[DOOR19] the log as %s", (format) => {
  test("[DOOR19] a text of strangers makes no line and no command, wherever it is said", async () => {
    const logged = async (text: string): Promise<string> => {
      let all = "";
      const log = serverLog({ format, colour: false, write: (line) => void (all += line) });
      const there = await town({ log });
      await sayEverywhere(there, text);
      await closeTown();
      return all;
    };
    const [plain, odd] = [await logged("plain"), await logged(lineBreakers)];
    expect(odd.split("\n").length).toBe(plain.split("\n").length);
    expect(odd.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u);
    if (format === "json") for (const line of odd.trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("event");
  });

  test("[DOOR19] no token, accepted or not, and no body stands in it, whatever goes wrong", async () => {
    let all = "";
    const log = serverLog({ format, colour: false, write: (line) => void (all += line) });
    const secrets = ["good-secret-token", "wrong-secret-token", "secret-body"];
    const there = await town({
      log,
      settings: {
        authenticate: async ({ user, token }) => {
          if (token !== secrets[0]) throw new Fault("unauthorized", "the token is not accepted");
          return { user: user ?? ("alice" as UserName), expiresAt: null };
        },
      },
    });
    const { http, url, httpPort } = there;
    const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
    const stored = await http("POST", "/v1/rooms/lobby/messages", { body: secrets[2] }, bearer(secrets[0]!));
    expect(stored.status).toBe(201);
    expect((await http("GET", "/v1/rooms", undefined, bearer(secrets[1]!))).status).toBe(401);
    // Where a token has no business, it is not taken from, and not repeated either.
    expect((await fetch(`${url}/v1/rooms?access_token=${secrets[0]}&token=${secrets[0]}`)).status).toBe(401);
    expect((await fetch(`${url}/v1/rooms`, { headers: { cookie: `token=${secrets[0]}` } })).status).toBe(401);
    const { WebSocket } = await import("ws");
    for (const token of secrets.slice(0, 2)) {
      const socket = new WebSocket(`ws://127.0.0.1:${httpPort}/v1/ws?token=${token}`);
      const said: string[] = [];
      socket.on("message", (data: Buffer) => said.push(data.toString()));
      await new Promise((resolve) => {
        socket.on("open", resolve);
      });
      socket.send(JSON.stringify({ t: "hello", v: 1, user: "alice", token }));
      socket.send(`{"t":"send","id":1,"room":"lobby","cid":"c","body":"${secrets[2]}`);
      await new Promise((resolve) => {
        socket.on("close", resolve);
        setTimeout(() => socket.terminate(), 200);
      });
      expect(said.join("")).not.toContain(secrets[1]);
    }
    await closeTown();
    for (const secret of secrets) expect(all).not.toContain(secret);
  });
});

test("[DOOR20] no name is ever a file: files are called by number, whatever rooms and people are called", async () => {
  const { tcpPort, server, fileSystem } = await town();
  const alice = await overTcp(tcpPort, "CON");
  const names = [
    "CON",
    "con",
    "aux",
    "NUL.txt",
    "..a",
    "Ops",
    "ops",
    "оps",
    "journal",
    "history",
    "ops.wal",
    "مرحبا",
    "🚪",
  ];
  const long = "é".repeat(64);
  for (const room of [...names, long, "x".repeat(128)]) {
    expect(outcomeOf(await alice.ask({ t: "join", room }))).toBe("ok");
    for (const cid of ["..", "C:", "con", "~", "a.b"]) {
      expect(outcomeOf(await alice.ask({ t: "send", room, cid, body: `${room} ${cid}` }))).toBe("ok");
    }
  }
  // What is not the same to the letter is another room: case, and letters that look alike.
  for (const room of ["Ops", "ops", "оps"]) {
    const page = await alice.ask({ t: "hist", room, limit: 1 });
    expect(page).toMatchObject({ head: 5, items: [{ body: `${room} a.b` }] });
  }
  server.proposals.seal(sealReasons.full);
  // What is sealed is written while the server goes on: the chunk, then the state behind it.
  await until(() => [...fileSystem.files().keys()].some((file) => file.endsWith(".state")));
  await server.stop(1_000);
  const files = [...fileSystem.files().keys()];
  for (const folder of ["journal/", "history/", "snapshot/"]) {
    expect([folder, files.some((file) => file.startsWith(folder))]).toEqual([folder, true]);
  }
  const shapes =
    /^(?:[a-z.-]+|journal\/\d{10}\.(?:wal|spare|next)|history\/\d{4}-\d\d-\d\d\/g\d+-c\d+-r\d+\.chunk|snapshot\/g\d+-\d+\.state)$/;
  expect(files.filter((file) => !shapes.test(file))).toEqual([]);
});
