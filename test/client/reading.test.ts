import { describe, expect, test } from "vitest";
import type { RoomName, Seq } from "../../src/base/ids.ts";
import { jsonEncoding } from "../../src/client/json-encoding.ts";
import type { Encoding } from "../../src/client/ports.ts";
import type { ClientFrame } from "../../src/protocol/schema.ts";
import { error } from "./model-server.ts";
import { collect, world } from "./world.ts";

const range = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, i) => `m${from + i}`);

describe("reading a room", () => {
  test("[SDK40] from the beginning, from a place, and from now on", async () => {
    const { clock, server, chat } = world();
    for (const body of range(1, 4)) server.post("lobby", "bob", body);
    const room = chat().room("lobby");
    const all = collect(room.messages({ after: 0 }));
    const some = collect(room.messages({ after: 2 }));
    const late = collect(room.messages({ after: "latest" }));
    await clock.advance(20);
    server.post("lobby", "bob", "m5");
    await clock.advance(20);
    expect([all.seen, some.seen, late.seen]).toEqual([range(1, 5), range(3, 5), ["m5"]]);
  });

  test("[SDK40] `latest` joins a stream that runs, and is not given its past", async () => {
    const { clock, server, chat } = world();
    for (const body of range(1, 4)) server.post("lobby", "bob", body);
    const room = chat().room("lobby");
    const all = collect(room.messages({ after: 0 }));
    await clock.advance(20);
    const late = collect(room.messages({ after: "latest" }));
    server.post("lobby", "bob", "m5");
    await clock.advance(20);
    expect([all.seen, late.seen]).toEqual([range(1, 5), ["m5"]]);
  });

  test("[SDK41] a link that breaks is followed by the rest, without gap or repeat", async () => {
    const { clock, server, chat } = world();
    const read = collect(chat({}, ["ws://a", "ws://b"]).room("lobby").messages({ after: 0 }));
    await clock.advance(10);
    for (const body of range(1, 3)) server.post("lobby", "bob", body);
    await clock.advance(10);
    server.post("lobby", "bob", "m4");
    server.cutAll();
    for (const body of range(5, 6)) server.post("lobby", "bob", body);
    await clock.advance(3_000);
    expect(read.seen).toEqual(range(1, 6));
    expect(server.frames("sub").at(-1)).toMatchObject({ after: 3, line: "l1" });
  });

  test("[SDK42] what comes twice is dropped; what jumps is never handed on", async () => {
    const { clock, server, chat } = world();
    const read = collect(chat().room("lobby").messages({ after: 0 }));
    await clock.advance(10);
    for (const body of range(1, 3)) server.post("lobby", "bob", body);
    await clock.advance(10);
    const [, second] = server.room("lobby").log;
    server.say({ t: "msg", ...second!, room: "lobby" as never });
    server.say({ t: "msg", ...second!, room: "lobby" as never, seq: 9 as never, body: "jump" });
    await clock.advance(5);
    expect(read.seen).toEqual(range(1, 3));
    server.post("lobby", "bob", "m4");
    await clock.advance(3_000);
    expect(read.seen).toEqual(range(1, 4));
    expect(server.dialled).toHaveLength(2);
  });

  test("[SDK43] what cannot be given is an item in its place", async () => {
    const { clock, server, chat } = world();
    for (const body of range(1, 6)) server.post("lobby", "bob", body);
    server.room("lobby").first = 4;
    const room = chat().room("lobby");
    const all = collect(room.messages({ after: 0 }));
    const some = collect(room.messages({ after: 2 }));
    await clock.advance(20);
    expect(all.seen).toEqual(["gap 1-3 retention", ...range(4, 6)]);
    expect(some.seen).toEqual(["gap 3-3 retention", ...range(4, 6)]);
  });

  test("[SDK44] another line: told once, then the room from the start, or from now on for who began there", async () => {
    const { clock, server, chat } = world();
    for (const body of range(1, 4)) server.post("lobby", "bob", body);
    const client = chat();
    const resets: (string | null)[] = [];
    client.on("reset", ({ room }) => resets.push(room));
    const all = collect(client.room("lobby").messages({ after: 0 }));
    const late = collect(client.room("lobby").messages({ after: "latest" }));
    await clock.advance(20);
    server.loseHistory("lobby", 2);
    server.cutAll();
    await clock.advance(3_000);
    server.post("lobby", "bob", "other");
    await clock.advance(20);
    expect(all.seen).toEqual([...range(1, 4), "gap 1-4 reset", "m1", "m2", "other"]);
    expect(late.seen).toEqual(["gap 1-4 reset", "other"]);
    expect(resets.length).toBeGreaterThan(0);
  });

  test("[SDK44] another cluster: every position is void", async () => {
    const { clock, server, chat } = world();
    server.post("lobby", "bob", "m1");
    const read = collect(chat().room("lobby").messages({ after: 0 }));
    await clock.advance(20);
    server.cluster = "c2" as never;
    server.rooms.clear();
    server.post("lobby", "bob", "new");
    server.cutAll();
    await clock.advance(3_000);
    expect(read.seen).toEqual(["m1", "gap 1-1 reset", "new"]);
    expect(server.frames("sub").at(-1)).toEqual({
      t: "sub",
      id: expect.any(Number) as number,
      room: "lobby",
      after: 0,
    });
  });

  test("[SDK45] a consumer that does not read is bounded, resumes from its place, and holds up nobody", async () => {
    const { clock, server, chat } = world();
    const room = chat({ readAheadMax: 4 }).room("lobby");
    const slow = room.messages({ after: 0 });
    const fast = collect(room.messages({ after: 0 }));
    await clock.advance(20);
    for (const body of range(1, 30)) server.post("lobby", "bob", body);
    await clock.advance(50);
    expect(fast.seen).toEqual(range(1, 30));
    const read: string[] = [];
    while (read.length < 30) {
      const next = slow.next();
      await clock.advance(10);
      const { value } = await next;
      read.push(value?.gap === undefined ? (value?.body ?? "end") : "gap");
    }
    expect(read).toEqual(range(1, 30));
    expect(fast.seen).toEqual(range(1, 30));
  });

  test("[SDK45] alone and not reading, it unsubscribes", async () => {
    const { clock, server, chat } = world();
    const room = chat({ readAheadMax: 4 }).room("lobby");
    const slow = room.messages({ after: 0 });
    await clock.advance(20);
    for (const body of range(1, 30)) server.post("lobby", "bob", body);
    await clock.advance(50);
    expect(server.frames("unsub")).toHaveLength(1);
    const [link] = server.links;
    expect(link!.subs.size).toBe(0);
    const rest = collect(slow);
    await clock.advance(200);
    expect(rest.seen).toEqual(range(1, 30));
  });

  test("[SDK46] put out and let in again before it was heard: reading goes on where it was, and nothing is missing", async () => {
    const { clock, server, chat } = world();
    server.post("lobby", "bob", "m1");
    const room = chat().room("lobby");
    const read = collect(room.messages({ after: 0 }));
    await clock.advance(20);
    const to = 3 as Seq;
    server.say({ t: "gap", room: "lobby" as RoomName, from: 2 as Seq, to, reason: "removed" });
    server.post("lobby", "bob", "m2");
    server.post("lobby", "bob", "m3");
    await clock.advance(20);
    server.post("lobby", "bob", "m4");
    await clock.advance(20);
    expect(read.seen).toEqual(range(1, 4));
  });

  test("[SDK46] put out for good: told where, and then by the refusal", async () => {
    const { clock, server, chat } = world();
    server.post("lobby", "bob", "m1");
    const room = chat().room("lobby");
    const read = collect(room.messages({ after: 0 }));
    await clock.advance(20);
    server.intercept = (frame) => (frame.t === "sub" ? [error(frame.id, "not_found", true, false)] : null);
    server.say({ t: "gap", room: "lobby" as RoomName, from: 2 as Seq, to: 1 as Seq, reason: "removed" });
    await clock.advance(20);
    expect(read).toMatchObject({ seen: ["m1", "gap 2-1 removed"], ended: true, error: { code: "not_found" } });
  });

  test("[SDK46] a room that cannot be read ends the iteration with the code", async () => {
    const { clock, server, chat } = world();
    server.intercept = (frame) => (frame.t === "sub" ? [error(frame.id, "forbidden", true, false)] : null);
    const read = collect(chat().room("lobby").messages({ after: 0 }));
    await clock.advance(20);
    expect(read).toMatchObject({ ended: true, error: { code: "forbidden" } });
  });

  test("[SDK46] breaking off, or a signal, ends the iteration and the subscription", async () => {
    const { clock, server, chat } = world();
    server.post("lobby", "bob", "m1");
    const room = chat().room("lobby");
    const stop = new AbortController();
    const read = collect(room.messages({ after: 0, signal: stop.signal }));
    await clock.advance(20);
    stop.abort();
    await clock.advance(20);
    expect(read).toEqual({ seen: ["m1"], ended: true, error: null });
    expect(server.frames("unsub")).toHaveLength(1);
  });

  test("[SDK47] a server that is behind is waited for, then left for the one it names", async () => {
    const { clock, server, chat } = world();
    for (const body of range(1, 3)) server.post("lobby", "bob", body);
    const client = chat({}, ["ws://a", "ws://b", "ws://c", "ws://d"]);
    await clock.advance(2_500);
    const [first] = server.dialled;
    const hint = ["ws://a", "ws://b"].find((url) => url !== first)!;
    server.intercept = (frame, link) =>
      frame.t === "sub" && link.url === first
        ? [{ ...error(frame.id, "behind", true, true, 10), hint } as never]
        : null;
    const read = collect(client.room("lobby").messages({ after: 2 }));
    await clock.advance(500);
    expect(server.dialled).toEqual([first, hint]);
    expect(read.seen).toEqual(["m3"]);
  });

  test("[SDK48] after an own message, reading asks for at least its place, on whatever server", async () => {
    const { clock, server, chat } = world();
    for (const body of range(1, 6)) server.post("lobby", "bob", body);
    const client = chat();
    const room = client.room("lobby");
    room.send("mine");
    await clock.advance(20);
    server.cutAll();
    await clock.advance(3_000);
    const page = room.history({ limit: 2 });
    collect(room.messages({ after: 3 }));
    collect(client.room("other").messages({ after: 3 }));
    await clock.advance(20);
    expect((await page).items.map(({ body }) => body)).toEqual(["m6", "mine"]);
    expect(server.frames("hist")[0]).toMatchObject({ atLeast: 7 });
    expect(server.frames("sub").map(({ room: name, atLeast }) => [name, atLeast])).toEqual([
      ["lobby", 7],
      ["other", undefined],
    ]);
  });

  test("[SDK48] what was read on one server is asked for of the next one, in pages and by readers from the start", async () => {
    const { server, clock, chat } = world();
    for (const body of range(1, 6)) server.post("lobby", "bob", body);
    const room = chat().room("lobby");
    collect(room.messages({ after: 4 }));
    await clock.advance(20);
    server.cutAll();
    await clock.advance(3_000);
    const page = room.history({ limit: 2 });
    await clock.advance(20);
    expect((await page).items.map(({ body }) => body)).toEqual(["m5", "m6"]);
    expect(server.frames("hist")[0]).toMatchObject({ atLeast: 6 });
    // A page tells as much as a reader.
    const other = chat().room("lobby");
    const first = other.history({ limit: 3 });
    await clock.advance(20);
    await first;
    collect(other.messages({ after: 0 }));
    await clock.advance(20);
    expect(server.frames("sub").at(-1)).toMatchObject({ after: 0, atLeast: 6 });
  });

  test("[SDK48] a list of rooms is of no earlier log than any answer was, until there is another log", async () => {
    const { server, clock, chat } = world();
    const client = chat();
    const positions = { join: 7, read: 9, leave: 8 };
    let lastOfLog = 9;
    server.intercept = (frame) => {
      if (frame.t === "rooms" && (frame.atLeast ?? 0) > lastOfLog) return [error(frame.id, "behind", true, true, 10)];
      const place = { room: "den", line: "l1", head: 3, epoch: 1 };
      if (frame.t === "join")
        return [{ t: "ok", of: "join", id: frame.id, ...place, position: positions.join } as never];
      if (frame.t !== "read" && frame.t !== "leave") return null;
      return [{ t: "ok", of: "done", id: frame.id, position: positions[frame.t] } as never];
    };
    const asked = async (): Promise<unknown> => {
      const list = client.rooms();
      await clock.advance(50);
      await list;
      return server.frames("rooms").at(-1)!.atLeast;
    };
    const done = async (change: Promise<unknown>): Promise<void> => {
      await clock.advance(50);
      await change;
    };
    expect(await asked()).toBe(undefined);
    const room = client.room("den");
    await done(room.join());
    expect(await asked()).toBe(7);
    await done(room.markRead(3));
    await done(room.leave());
    expect(await asked()).toBe(9);
    // A log that lost its end: it is asked for once more, until the request ends, and not again.
    lastOfLog = 5;
    const refused = client.rooms().catch((cause: unknown) => cause);
    await clock.advance(20_000);
    expect(await refused).toMatchObject({ code: "behind", retryable: true });
    expect(await asked()).toBe(undefined);
    // Another cluster has another log.
    lastOfLog = 9;
    await done(room.join());
    expect(await asked()).toBe(7);
    server.cluster = "c2" as never;
    server.cutAll();
    await clock.advance(5_000);
    expect(await asked()).toBe(undefined);
  });
});

describe("requests", () => {
  test("[SDK50] a request that a broken link left unanswered is asked again on the next", async () => {
    const { clock, server, chat } = world();
    server.post("lobby", "bob", "m1");
    server.intercept = (frame, link) => {
      if (frame.t === "hist" && server.frames("hist").length === 1) link.cut("cut");
      return null;
    };
    const page = chat().room("lobby").history();
    await clock.advance(3_000);
    expect((await page).items.map(({ body }) => body)).toEqual(["m1"]);
  });

  test("[SDK50] every request ends, with a code when nobody answers", async () => {
    const { clock, server, chat } = world();
    server.down.add("*");
    const page = chat()
      .room("lobby")
      .history()
      .catch((error: unknown) => error);
    await clock.advance(10_001);
    expect(await page).toMatchObject({ name: "ChatError", code: "unavailable" });
  });

  test("[SDK50] a passing error is tried again, a lasting one is told, a signal ends it", async () => {
    const { clock, server, chat } = world();
    const codes = ["overloaded", "overloaded"];
    server.intercept = (frame) => {
      if (frame.t === "lookup") return [error(frame.id, "not_found", true, false)];
      const code = frame.t === "join" ? codes.pop() : undefined;
      return code === undefined || frame.t !== "join" ? null : [error(frame.id, code, true, true, 50)];
    };
    const client = chat();
    const room = client.room("lobby");
    const stop = new AbortController();
    const joined = room.join();
    const looked = room.lookup("x").catch((error: unknown) => error);
    await clock.advance(10);
    const given = room.presence({ signal: stop.signal }).catch((error: unknown) => error);
    stop.abort();
    await clock.advance(500);
    expect(await joined).toEqual({ line: "l1", head: 0 });
    expect(await looked).toMatchObject({ code: "not_found" });
    expect(await given).toMatchObject({ code: "unavailable" });
  });

  test("[SDK50] what has no form on the wire is refused where it is asked, and harms no other request", async () => {
    const { clock, chat } = world();
    const plain = jsonEncoding();
    const strict: Encoding = {
      ...plain,
      encode: (frames, unspeakable) => {
        const isBad = (frame: ClientFrame): boolean => frame.t === "lookup" && frame.cid === "two words";
        for (const frame of frames) if (isBad(frame)) unspeakable(frame, "no cid");
        return plain.encode(
          frames.filter((frame) => !isBad(frame)),
          unspeakable,
        );
      },
    };
    const room = chat({ encodings: { "json-websocket": strict } }).room("lobby");
    const bad = room.lookup("two words").catch((error: unknown) => error);
    const good = room.lookup("word");
    await expect(room.history({ before: -1 })).rejects.toMatchObject({ code: "bad_request" });
    await expect(room.markRead(1.5)).rejects.toMatchObject({ code: "bad_request" });
    await clock.advance(20);
    expect(await bad).toMatchObject({ code: "bad_request", message: "no cid" });
    expect(await good).toEqual({ seq: null, head: 0, first: 1 });
  });

  test("[SDK50] the rest of a room: lookup, leave, read mark, presence, typing, and what others do", async () => {
    const { clock, server, chat } = world();
    const client = chat();
    const room = client.room("lobby");
    const sent = room.send("a");
    await clock.advance(10);
    const heard: unknown[] = [];
    room.on("read", (event) => heard.push(event));
    client.room("other").on("typing", (event) => heard.push(event));
    const answers = Promise.all([
      room.lookup(sent.cid),
      room.lookup("none"),
      room.markRead(1),
      room.leave(),
      room.presence(),
    ]);
    room.typing();
    const room1 = { room: "lobby" as never, user: "bob" as never };
    server.say({ t: "read", ...room1, seq: 1 as never });
    server.say({ t: "typing", ...room1 });
    await clock.advance(10);
    expect(await answers).toMatchObject([
      { seq: 1, head: 1 },
      { seq: null, head: 1 },
      undefined,
      undefined,
      { users: ["alice"] },
    ]);
    expect(heard).toMatchObject([{ room: "lobby", user: "bob", seq: 1 }]);
    expect(server.frames("typing")).toHaveLength(1);
    expect(server.frames("read")[0]).toMatchObject({ seq: 1 });
    const rooms = client.rooms();
    await clock.advance(10);
    expect(await rooms).toMatchObject([{ room: "lobby", head: 1, read: 1 }]);
  });
});
