import { describe, expect, test } from "vitest";
import { MemoryStore } from "./memory-store.ts";
import { collect, tell, world } from "./world.ts";

describe("direct messages", () => {
  test("[SDK31] what came while away, what comes now, and rooms that begin later, each once", async () => {
    const { clock, server, chat } = world();
    server.post("@alice,bob", "bob", "b1");
    server.post("@alice,bob", "bob", "b2");
    server.room("@alice,bob").read.set("alice", 1);
    const client = chat();
    const read = collect(client.directMessages());
    await clock.advance(20);
    server.post("@alice,bob", "bob", "b3");
    server.post("@alice,carol", "carol", "c1");
    server.post("@alice,carol", "carol", "c2");
    await clock.advance(20);
    expect(read.seen.toSorted()).toEqual(["b2", "b3", "c1", "c2"]);
  });

  test("[SDK31] a room that had no news, and was not named, is found by its message", async () => {
    const { clock, server, chat } = world();
    server.post("@alice,bob", "bob", "old");
    server.room("@alice,bob").read.set("alice", 1);
    let lists = 0;
    // The list is not answered at first, so that only the message tells of the room.
    server.intercept = (frame) =>
      frame.t === "rooms" && lists++ === 0 ? [{ t: "ok", of: "rooms", id: frame.id, rooms: [] }] : null;
    const read = collect(chat().directMessages());
    await clock.advance(20);
    server.post("@alice,bob", "bob", "new");
    await clock.advance(20);
    expect(read.seen).toEqual(["new"]);
  });

  test("[SDK31] a room that no list names begins with its message", async () => {
    const { clock, server, chat } = world();
    server.post("@alice,bob", "bob", "old");
    server.room("@alice,bob").read.set("alice", 1);
    server.intercept = (frame) => (frame.t === "rooms" ? [{ t: "ok", of: "rooms", id: frame.id, rooms: [] }] : null);
    const read = collect(chat().directMessages());
    await clock.advance(20);
    server.post("@alice,bob", "bob", "new");
    server.post("@alice,bob", "bob", "newer");
    await clock.advance(20);
    expect(read.seen).toEqual(["new", "newer"]);
  });

  test("[SDK31] a room one was let into is told of, and is none of them", async () => {
    const { clock, server, chat } = world();
    server.post("den", "bob", "in the den");
    const client = chat();
    const told: string[] = [];
    client.on("room", ({ room, head }) => told.push(`${room} ${head}`));
    const read = collect(client.directMessages());
    await clock.advance(20);
    server.letIn("alice", "den");
    server.post("den", "bob", "more");
    await clock.advance(20);
    expect(told).toEqual(["den 1"]);
    expect(read.seen).toEqual([]);
  });

  test("[SDK31] over breaks, none is missed and none comes twice", async () => {
    const { clock, server, chat } = world();
    const read = collect(chat({ readAheadMax: 3 }, ["ws://a", "ws://b"]).directMessages());
    const sent: string[] = [];
    for (let i = 0; i < 40; i++) {
      const from = i % 3 === 0 ? "bob" : "carol";
      server.post(`@alice,${from}`, from, `${from}${i}`);
      sent.push(`${from}${i}`);
      if (i % 7 === 0) server.cutAll();
      await clock.advance(i % 5 === 0 ? 300 : 1);
    }
    await clock.advance(20_000);
    for (const from of ["bob", "carol"]) {
      expect(read.seen.filter((body) => body.startsWith(from))).toEqual(sent.filter((body) => body.startsWith(from)));
    }
    expect(read.seen).toHaveLength(40);
  });

  test("[SDK31] as events, as long as somebody listens", async () => {
    const { clock, server, chat } = world();
    const client = chat();
    const heard: string[] = [];
    const rooms: string[] = [];
    const off = client.on("direct", ({ body }) => heard.push(body));
    client.on("room", ({ room }) => rooms.push(room));
    await clock.advance(20);
    server.post("@alice,bob", "bob", "b1");
    await clock.advance(20);
    off();
    server.post("@alice,bob", "bob", "b2");
    await clock.advance(20);
    expect(heard).toEqual(["b1"]);
    expect(rooms).toEqual(["@alice,bob"]);
  });

  test("[SDK32] with a store, the next page continues where this one was", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    for (const body of ["b1", "b2"]) server.post("@alice,bob", "bob", body);
    const first = chat({ outbox });
    const before = collect(first.directMessages());
    await clock.advance(50);
    await first.close();
    server.post("@alice,bob", "bob", "b3");
    const after = collect(chat({ outbox }).directMessages());
    await clock.advance(50);
    expect([before.seen, after.seen]).toEqual([["b1", "b2"], ["b3"]]);
  });

  test("[SDK32] a position of another cluster is not used", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    outbox.positions.push({
      cluster: "c0" as never,
      room: "@alice,bob" as never,
      line: "l1" as never,
      seq: 2 as never,
    });
    for (const body of ["b1", "b2"]) server.post("@alice,bob", "bob", body);
    const read = collect(chat({ outbox }).directMessages());
    await clock.advance(50);
    expect(read.seen).toEqual(["b1", "b2"]);
  });
});

describe("the outbox over a reload", () => {
  test("[SDK28] saved before it is sent, removed after it is stored", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    let open = (): void => undefined;
    outbox.gate = new Promise((resolve) => {
      open = resolve;
    });
    const client = chat({ outbox });
    const room = client.room("lobby");
    room.send("a");
    await clock.advance(50);
    expect(client.state.name).toBe("online");
    expect(server.frames("send")).toEqual([]);
    open();
    await clock.advance(50);
    expect(server.bodies("lobby")).toEqual(["a"]);
    expect(outbox.log).toEqual(["save a", "remove a"]);
  });

  test("[SDK28] what had no answer is sent again at the next start, before anything new, with the same cid", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    const first = chat({ outbox });
    await clock.advance(20);
    server.fates = ["store, then cut"];
    server.down.add("*");
    const sent = ["a", "b"].map((body) => first.room("lobby").send(body));
    await clock.advance(100);
    await first.close();
    expect(sent.map(tell)).toEqual(["unknown", "unknown"]);

    server.down.clear();
    const second = chat({ outbox });
    const late = second.room("lobby").send("c");
    const told: string[] = [];
    second.on("send", (message) => told.push(`${message.content.body} ${tell(message)}`));
    await clock.advance(100);
    expect(server.bodies("lobby")).toEqual(["a", "b", "c"]);
    expect(server.cids("lobby")).toEqual([...sent, late].map(({ cid }) => cid));
    expect(told).toEqual([
      "a queued",
      "b queued",
      "a sending",
      "b sending",
      "c sending",
      "a stored 1",
      "b stored 2",
      "c stored 3",
    ]);
    expect(second.pending()).toEqual([]);
    expect(outbox.sends.size).toBe(0);
  });

  test("[SDK28] what an earlier life may have stored is never told as refused unasked", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    const first = chat({ outbox });
    server.fates = ["store, then cut", "forbidden"];
    first.room("lobby").send("a");
    await clock.advance(5);
    await first.close();
    const second = chat({ outbox });
    const told: string[] = [];
    second.on("send", (message) => told.push(tell(message)));
    await clock.advance(100);
    expect(told).toEqual(["queued", "sending", "queued", "sending", "stored 1"]);
  });

  test("[SDK28] what cannot be saved is refused, and what follows is sent", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    outbox.failing = true;
    const room = chat({ outbox }).room("lobby");
    const sent = room.send("a");
    await clock.advance(50);
    outbox.failing = false;
    const next = room.send("b");
    await clock.advance(50);
    expect([tell(sent), tell(next)]).toEqual(["refused storage_full", "stored 1"]);
    expect(server.bodies("lobby")).toEqual(["b"]);
  });

  test("[SDK28] a store that cannot be read is told, and the client works without its content", async () => {
    const { clock, chat } = world();
    const outbox = new MemoryStore();
    outbox.load = () => Promise.reject(new Error("damaged"));
    const client = chat({ outbox });
    expect(client.state.name).toBe("idle");
    const errors: string[] = [];
    client.on("error", ({ message }) => errors.push(message));
    const sent = client.room("lobby").send("a");
    await clock.advance(50);
    expect(tell(sent)).toBe("stored 1");
    expect(errors).toEqual(["the outbox of an earlier life cannot be read: damaged"]);
  });

  test("[SDK29] what was refused comes back with every life until it is dismissed", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    const first = chat({ outbox });
    server.fates = ["forbidden"];
    const sent = first.room("lobby").send("a");
    await clock.advance(50);
    expect(tell(sent)).toBe("refused forbidden");
    await first.close();

    const second = chat({ outbox });
    const told: string[] = [];
    second.on("send", (message) => told.push(`${message.content.body} ${tell(message)}`));
    await clock.advance(50);
    expect(told).toEqual(["a refused forbidden"]);
    const [back] = second.refused();
    expect(back).toMatchObject({ cid: sent.cid, room: "lobby" });
    expect(server.frames("send")).toHaveLength(1);
    await expect(Promise.resolve(back)).rejects.toMatchObject({ name: "SendRefused", code: "forbidden" });
    back!.dismiss();
    expect(second.refused()).toEqual([]);
    await clock.advance(50);
    await second.close();
    expect(outbox.sends.size).toBe(0);
  });

  test("[SDK29] what was too large to be queued is kept too, and never sent", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    const first = chat({ outbox });
    await clock.advance(20);
    first.room("lobby").send("x".repeat(70_000));
    first.room("lobby").send("x".repeat(2_000_000));
    first.room("lobby").send("x", { signal: AbortSignal.abort() });
    await clock.advance(20);
    await first.close();
    const second = chat({ outbox });
    await clock.advance(20);
    expect(second.refused().map(tell)).toEqual(["refused too_large"]);
    expect(server.frames("send")).toEqual([]);
  });

  test("[SDK29] refused messages that nobody dismisses are bounded, and a new one under the same id takes the place", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    const client = chat({ outbox });
    const room = client.room("lobby");
    server.fates = Array.from({ length: 203 }, () => "forbidden" as const);
    for (let n = 0; n < 203; n++) room.send(`m${n}`, { cid: `c${n}` });
    await clock.advance(20_000);
    expect(client.refused().map(({ content }) => content.body)).toEqual(
      Array.from({ length: 200 }, (_, at) => `m${at + 3}`),
    );
    expect(outbox.sends.size).toBe(200);
    const again = room.send("m7 once more", { cid: "c7" });
    await clock.advance(100);
    expect(tell(again)).toBe("stored 1");
    expect(client.refused()).toHaveLength(199);
    expect(outbox.sends.size).toBe(199);
  });

  /** A life in which "a" was given up after an attempt that broke off, and a server that has nothing of it. */
  async function lifeWithUnknown() {
    const life = world();
    const outbox = new MemoryStore();
    const client = life.chat({ outbox });
    await life.clock.advance(20);
    life.server.fates = ["cut"];
    const sent = client.room("lobby").send("a");
    await life.clock.advance(1);
    sent.giveUp();
    await life.clock.advance(5_000);
    expect(tell(sent)).toBe("unknown");
    expect(client.unknown()).toEqual([sent]);
    return { ...life, outbox, client, sent };
  }

  test("[SDK29] what nobody can tell of comes back with every life until it is dismissed, and is never sent again", async () => {
    const { clock, server, chat, outbox, client, sent } = await lifeWithUnknown();
    await client.close();
    for (let life = 0; life < 3; life++) {
      const next = chat({ outbox });
      const told: string[] = [];
      next.on("send", (message) => told.push(`${message.content.body} ${tell(message)}`));
      const late = next.room("lobby").send(`later ${life}`);
      await clock.advance(5_000);
      expect(tell(late)).toBe(`stored ${life + 1}`);
      expect(told[0]).toBe("a unknown");
      const [back] = next.unknown();
      expect(back).toMatchObject({ cid: sent.cid, room: "lobby", content: { body: "a" } });
      await expect(Promise.resolve(back)).rejects.toMatchObject({ name: "SendUnknown", cid: sent.cid });
      expect(next.pending()).toEqual([]);
      // Asked as anybody may ask: it is not there, and that changes nothing.
      const found = next.room("lobby").lookup(sent.cid);
      await clock.advance(50);
      expect(await found).toMatchObject({ seq: null });
      if (life === 2) back!.dismiss();
      expect(next.unknown()).toHaveLength(life === 2 ? 0 : 1);
      await clock.advance(50);
      await next.close();
    }
    expect(server.frames("send").filter(({ body }) => body === "a")).toHaveLength(1);
    expect(server.bodies("lobby")).toEqual(["later 0", "later 1", "later 2"]);
    expect(outbox.sends.size).toBe(0);
  });

  test("[SDK29] what was dismissed while it is still asked about is not kept, whatever comes of it", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    const client = chat({ outbox });
    await clock.advance(20);
    server.fates = ["cut", "cut"];
    server.down.add("*");
    const room = client.room("lobby");
    const sent = ["a", "b"].map((body) => room.send(body));
    await clock.advance(100);
    for (const one of sent) one.giveUp();
    await clock.advance(10);
    expect(outbox.sends.size).toBe(2);
    for (const one of sent) one.dismiss();
    await clock.advance(10);
    expect(outbox.sends.size).toBe(0);
    server.down.clear();
    client.reconnect();
    await clock.advance(5_000);
    expect(sent.map(tell)).toEqual(["unknown", "unknown"]);
    expect([client.pending(), client.unknown(), outbox.sends.size]).toEqual([[], [], 0]);
    expect(server.bodies("lobby")).toEqual([]);
  });

  test("[SDK29] unknown messages that nobody dismisses are bounded; one that is sent anew under its id takes the place", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    const client = chat({ outbox });
    await clock.advance(20);
    server.sendsInFlightMax = 1_024;
    server.fates = ["cut"];
    server.down.add("*");
    const room = client.room("lobby");
    const sent = Array.from({ length: 203 }, (_, n) => room.send(`m${n}`, { cid: `c${n}`, isNewCid: true }));
    await clock.advance(100);
    for (const one of sent) one.giveUp();
    await clock.advance(10);
    server.down.clear();
    client.reconnect();
    await clock.advance(60_000);
    const kept = client.unknown().map(({ content }) => content.body);
    expect(kept.length + client.refused().length).toBeGreaterThan(0);
    expect(kept.length).toBeLessThanOrEqual(200);
    expect(kept.at(-1)).toBe("m202");
    expect(outbox.sends.size).toBe(kept.length + client.refused().length);
    const again = room.send("m202", { cid: "c202" });
    await clock.advance(1_000);
    expect(tell(again)).toBe("stored 1");
    expect(client.unknown().map(({ content }) => content.body)).not.toContain("m202");
    expect(server.bodies("lobby")).toEqual(["m202"]);
  });

  test("[SDK17] what an earlier life left can be given up: it is asked about, never sent, in later lives too", async () => {
    const { clock, server, chat } = world();
    const outbox = new MemoryStore();
    const first = chat({ outbox });
    await clock.advance(20);
    server.fates = ["cut"];
    server.down.add("*");
    first.room("lobby").send("a");
    await clock.advance(100);
    await first.close();

    const second = chat({ outbox });
    await clock.advance(10);
    const [left] = second.pending();
    left!.giveUp();
    left!.giveUp();
    expect(left!.state).toBe("unknown");
    await clock.advance(10);
    await second.close();

    const third = chat({ outbox });
    await clock.advance(10);
    expect(third.pending().map(tell)).toEqual(["unknown"]);
    server.down.clear();
    third.reconnect();
    await clock.advance(1_000);
    expect(third.pending()).toEqual([]);
    expect(server.bodies("lobby")).toEqual([]);
    expect(server.frames("send").map(({ body }) => body)).toEqual(["a"]);
    // Asked about and not there: it stays unknown, for its attempt may still lie in the connection that broke.
    expect(third.refused()).toEqual([]);
    expect(third.unknown().map(tell)).toEqual(["unknown"]);
  });
});
