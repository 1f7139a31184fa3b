import { describe, expect, test } from "vitest";
import { error } from "./model-server.ts";
import { tell, world } from "./world.ts";

describe("sending", () => {
  test("[SDK10] an awaited message gives its place after `ok`, and not before", async () => {
    const { clock, server, chat } = world();
    const sent = chat().room("lobby").send("hello");
    expect(sent.state).toBe("queued");
    let place: unknown = null;
    void sent.then((stored) => {
      place = stored.seq;
    });
    await clock.advance(3);
    expect(place).toBeNull();
    await clock.advance(10);
    expect(place).toBe(1);
    expect(server.bodies("lobby")).toEqual(["hello"]);
    expect(await sent).toMatchObject({ seq: 1, dup: false, room: "lobby", cid: sent.cid });
  });

  test("[SDK11] every send carries `since`, kept on retries, and `prev` from the second on", async () => {
    const { clock, server, chat } = world();
    server.post("lobby", "bob", "one");
    const room = chat().room("lobby");
    const joined = room.join();
    await clock.advance(10);
    expect(await joined).toMatchObject({ head: 1 });
    server.fates = ["store", "store, then cut"];
    const first = room.send("a");
    room.send("b");
    await clock.advance(2_000);
    // The head is 3 by now, and "b" still says what was known when its cid was made.
    expect(server.frames("send").map(({ body, since, prev }) => [body, since, prev])).toEqual([
      ["a", 1, undefined],
      ["b", 1, first.cid],
      ["a", 1, undefined],
      ["b", 1, first.cid],
    ]);
  });

  test("[SDK12] sends are pipelined up to what the server allows", async () => {
    const { clock, server, chat } = world();
    server.sendsInFlightMax = 3;
    server.intercept = (frame) => (frame.t === "send" ? [] : null);
    const client = chat();
    const sent = [1, 2, 3, 4, 5].map((n) => client.room("lobby").send(`m${n}`));
    await clock.advance(100);
    expect(server.frames("send").map(({ body }) => body)).toEqual(["m1", "m2", "m3"]);
    expect(sent.map(({ state }) => state)).toEqual(["sending", "sending", "sending", "queued", "queued"]);
  });

  test("[SDK13] a link that breaks is followed by everything unanswered, in order, with the same cids", async () => {
    const { clock, server, chat } = world();
    server.fates = ["store, then cut"];
    const room = chat().room("lobby");
    const sent = ["a", "b", "c"].map((body) => room.send(body));
    await clock.advance(2_000);
    expect(server.bodies("lobby")).toEqual(["a", "b", "c"]);
    expect(sent.map(tell)).toEqual(["stored 1", "stored 2", "stored 3"]);
    expect((await sent[0]!).dup).toBe(true);
    const [, ...again] = server.frames("send").map(({ cid }) => cid);
    expect(again).toEqual(sent.map(({ cid }) => cid));
  });

  test("[SDK14] what is refused for good is linked past, and what follows is stored", async () => {
    const { clock, server, chat } = world();
    server.fates = ["store", "forbidden"];
    const room = chat().room("lobby");
    const sent = ["a", "b", "c", "d"].map((body) => room.send(body));
    await clock.advance(500);
    expect(sent.map(tell)).toEqual(["stored 1", "refused forbidden", "stored 2", "stored 3"]);
    expect(server.bodies("lobby")).toEqual(["a", "c", "d"]);
    await expect(Promise.resolve(sent[1])).rejects.toMatchObject({
      name: "SendRefused",
      code: "forbidden",
      cid: sent[1]!.cid,
    });
    expect(server.frames("send").at(-2)).toMatchObject({ body: "c", prev: sent[0]!.cid });
  });

  test("[SDK15] an error that passes is waited out for as long as the server says, and nothing overtakes", async () => {
    const { clock, server, chat } = world();
    server.intercept = (frame) =>
      frame.t === "send" && server.frames("send").length === 1
        ? [error(frame.id, "overloaded", true, true, 400)]
        : null;
    const room = chat().room("lobby");
    const sent = ["a", "b"].map((body) => room.send(body));
    await clock.advance(399);
    expect(sent.map(tell)).toEqual(["queued", "queued"]);
    await clock.advance(300);
    expect(server.bodies("lobby")).toEqual(["a", "b"]);
  });

  test("[SDK15] what all of a burst is told counts as one failure: the wait does not grow with the burst", async () => {
    const { clock, server, chat } = world();
    server.intercept = (frame) =>
      frame.t === "send" && server.frames("send").length <= 100 ? [error(frame.id, "unavailable", false, true)] : null;
    const room = chat().room("lobby");
    const bodies = Array.from({ length: 100 }, (_, n) => `message ${n}`);
    const sent = bodies.map((body) => room.send(body));
    await clock.advance(200);
    expect(server.bodies("lobby")).toEqual(bodies);
    expect(sent.map(tell)).toEqual(bodies.map((_, n) => `stored ${n + 1}`));
  });

  test("[SDK18] what waits tells why, since when, and when it is tried next, until it is stored", async () => {
    const { clock, server, chat } = world();
    let isFull = true;
    server.intercept = (frame) =>
      frame.t === "send" && frame.room === "lobby" && isFull
        ? [{ ...error(frame.id, "storage_full", true, true, 1_000), hint: "ws://b" }]
        : null;
    const client = chat();
    const reasons: (string | null)[] = [];
    client.on("send", ({ wait }) => reasons.push(wait?.code ?? null));
    const sent = client.room("lobby").send("a");
    expect(sent.wait).toBeNull();
    await clock.advance(50);
    const first = sent.wait!;
    expect(first).toMatchObject({ code: "storage_full", message: "storage_full by the model", hint: "ws://b" });
    expect(first.since).toBeGreaterThan(clock.wall() - 50);
    expect(first.retryAt - first.since).toBeGreaterThanOrEqual(1_000);
    // What is said later waits for the same, and another room does not.
    const [next, other] = [client.room("lobby").send("b"), client.room("ops").send("c")];
    await clock.advance(3_000);
    expect(other.wait).toBeNull();
    for (const { wait } of [sent, next]) {
      expect(wait).toMatchObject({ code: "storage_full", since: first.since });
      expect(wait!.retryAt).toBeGreaterThan(first.retryAt);
    }
    isFull = false;
    await clock.advance(3_000);
    expect([sent, next].map(tell)).toEqual(["stored 1", "stored 2"]);
    expect([sent.wait, next.wait]).toEqual([null, null]);
    expect(new Set(reasons)).toEqual(new Set([null, "storage_full"]));
  });

  test("[SDK15] another room does not wait for one that has to", async () => {
    const { clock, server, chat } = world();
    server.intercept = (frame) =>
      frame.t === "send" && frame.room === "slow" ? [error(frame.id, "overloaded", true, true, 5_000)] : null;
    const client = chat();
    const slow = client.room("slow").send("a");
    const fast = client.room("fast").send("b");
    await clock.advance(100);
    expect([tell(slow), tell(fast)]).toEqual(["queued", "stored 1"]);
  });

  test("[SDK16] a preceding message that the server has lost for good does not hold up its successors for ever", async () => {
    const { clock, server, chat } = world();
    const room = chat().room("lobby");
    room.send("a");
    await clock.advance(20);
    server.loseHistory("lobby", 0);
    const sent = room.send("b");
    await clock.advance(20);
    // At first the server may only be behind: it is asked again.
    expect(sent.state).toBe("queued");
    await clock.advance(5_000);
    expect(tell(sent)).toBe("stored 1");
  });

  test("[SDK16] a preceding message that is gone costs less than half a second, also after long trouble, and no link", async () => {
    const { clock, server, chat } = world();
    const room = chat({}, ["ws://a", "ws://b", "ws://c"]).room("lobby");
    room.send("a");
    await clock.advance(20);
    // The room waits longer each time, and the link moves; meanwhile retention removes what was stored.
    server.intercept = (frame) => (frame.t === "send" ? [error(frame.id, "unavailable", true, true)] : null);
    const sent = room.send("b");
    const next = room.send("c");
    await clock.advance(60_000);
    server.loseHistory("lobby", 0);
    server.intercept = () => null;
    const asked = server.frames("send").length;
    while (server.frames("send").length === asked) await clock.advance(1);
    const { length } = server.dialled;
    await clock.advance(500);
    expect([tell(sent), tell(next)]).toEqual(["stored 1", "stored 2"]);
    expect(server.dialled).toHaveLength(length);
  });

  test("[SDK20] after a lost answer, a refusal is asked about before it is told: it was stored", async () => {
    const { clock, server, chat } = world();
    server.fates = ["store, then cut", "forbidden"];
    const sent = chat().room("lobby").send("a");
    await clock.advance(2_000);
    expect(server.frames("lookup")).toHaveLength(1);
    expect(tell(sent)).toBe("stored 1");
    expect(await sent).toMatchObject({ seq: 1, ts: server.room("lobby").log[0]!.ts, dup: true });
  });

  test("[SDK20] what a lookup finds under the id may be another message: refused, not stored", async () => {
    const { clock, server, chat } = world();
    const room = chat().room("lobby");
    room.send("a", { cid: "mine" });
    await clock.advance(20);
    server.fates = ["cut", "forbidden"];
    const sent = room.send("another", { cid: "mine" });
    await clock.advance(2_000);
    expect(server.frames("lookup")).toHaveLength(1);
    expect(tell(sent)).toBe("refused id_conflict");
  });

  test("[SDK20] after a lost answer, a refusal is asked about before it is told: it may yet be stored", async () => {
    const { clock, server, chat } = world();
    server.fates = ["cut", "forbidden"];
    const room = chat().room("lobby");
    const sent = room.send("a");
    const next = room.send("b");
    await clock.advance(2_000);
    expect([tell(sent), tell(next)]).toEqual(["unknown", "stored 1"]);
    // While it is asked, what follows waits: what the answer says decides what it follows.
    const told = server.received.flatMap((frame) =>
      frame.t === "send" ? [frame.body] : frame.t === "lookup" ? ["?"] : [],
    );
    expect(told).toEqual(["a", "a", "b", "?", "b"]);
  });

  test("[SDK20] an error that is not definite is never told as a refusal", async () => {
    const { clock, server, chat } = world();
    server.fates = ["no_quorum, stored"];
    const sent = chat().room("lobby").send("a");
    await clock.advance(15);
    expect(sent.state).toBe("queued");
    await clock.advance(100);
    expect(tell(sent)).toBe("stored 1");
  });

  test("[SDK20] a cid that belongs to another body is a refusal, whatever happened before", async () => {
    const { clock, server, chat } = world();
    const room = chat().room("lobby");
    room.send("a", { cid: "mine" });
    await clock.advance(20);
    const sent = room.send("another", { cid: "mine" });
    await clock.advance(20);
    expect(tell(sent)).toBe("refused id_conflict");
    expect(server.bodies("lobby")).toEqual(["a"]);
  });

  test("[SDK17] every change of state is told: out, waiting again, stored", async () => {
    const { clock, server, chat } = world();
    server.fates = ["overloaded", "store, then cut"];
    const client = chat();
    const told: string[] = [];
    client.on("send", (message) => told.push(tell(message)));
    client.room("lobby").send("a");
    await clock.advance(2_000);
    expect(told).toEqual(["sending", "queued", "sending", "queued", "sending", "stored 1"]);
  });

  test("[SDK21] given up without a signal: as with one", async () => {
    const { clock, server, chat } = world();
    server.down.add("*");
    const client = chat();
    const [first, second] = ["a", "b"].map((body) => client.room("lobby").send(body));
    first!.giveUp();
    expect(tell(first!)).toBe("refused aborted");
    server.down.clear();
    client.reconnect();
    await clock.advance(2_000);
    expect(tell(second!)).toBe("stored 1");
    // What has an outcome keeps it, and what is stored is not to be dismissed.
    second!.giveUp();
    second!.dismiss();
    expect(tell(second!)).toBe("stored 1");
    expect(server.bodies("lobby")).toEqual(["b"]);
  });

  test("[SDK21] given up before any attempt: refused, and never sent", async () => {
    const { clock, server, chat } = world();
    server.down.add("*");
    const stop = new AbortController();
    const room = chat().room("lobby");
    const sent = room.send("a", { signal: stop.signal });
    const next = room.send("b");
    await clock.advance(100);
    stop.abort();
    expect(tell(sent)).toBe("refused aborted");
    server.down.clear();
    await clock.advance(30_000);
    expect(server.bodies("lobby")).toEqual(["b"]);
    expect(tell(next)).toBe("stored 1");
  });

  test("[SDK21] given up after attempts that were all refused: refused, with what was said last", async () => {
    const { clock, server, chat } = world();
    const isFull = (frame: { t: string }): boolean => frame.t === "send" && server.frames("send").length > 1;
    server.intercept = (frame) =>
      frame.t === "send" && isFull(frame) ? [error(frame.id, "storage_full", true, true, 1_000)] : null;
    const client = chat();
    const first = client.room("lobby").send("a");
    await clock.advance(50);
    const sent = client.room("lobby").send("b");
    await clock.advance(50);
    // It has not been attempted: what makes it wait is not what it was told.
    const never = client.room("lobby").send("c");
    never.giveUp();
    sent.giveUp();
    expect([first, sent, never].map(tell)).toEqual(["stored 1", "refused storage_full", "refused aborted"]);
    // At the end of the client too.
    const last = client.room("lobby").send("d");
    await clock.advance(50);
    await client.close();
    expect(tell(last)).toBe("refused storage_full");
  });

  test("[SDK21] given up while the answer is out: unknown, and what it became is told later", async () => {
    const { clock, server, chat } = world();
    server.fates = ["store, then cut"];
    const stop = new AbortController();
    const room = chat().room("lobby");
    const sent = room.send("a", { signal: stop.signal });
    const next = room.send("b");
    const failure = Promise.resolve(sent).then(
      () => null,
      (error: unknown) => error,
    );
    await clock.advance(5);
    stop.abort();
    expect(sent.state).toBe("unknown");
    await clock.advance(2_000);
    expect(await failure).toMatchObject({ name: "SendUnknown", cid: sent.cid });
    expect([tell(sent), tell(next)]).toEqual(["stored 1", "stored 2"]);
    // It was asked about, and not sent again: nobody wants it any more.
    expect(server.frames("lookup").map(({ cid }) => cid)).toEqual([sent.cid]);
    expect(server.frames("send").map(({ body }) => body)).toEqual(["a", "b"]);
  });

  test("[SDK22] a message nobody awaits may be refused without an unhandled rejection", async () => {
    const { clock, server, chat } = world();
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", listen);
    server.fates = ["forbidden"];
    const told: string[] = [];
    const client = chat();
    client.on("send", (sent) => told.push(tell(sent)));
    client.room("lobby").send("a");
    await clock.advance(50);
    process.off("unhandledRejection", listen);
    expect(unhandled).toEqual([]);
    expect(told).toEqual(["sending", "refused forbidden"]);
  });

  test("[SDK23] what cannot be queued is refused at once, with its code", async () => {
    const { clock, chat } = world();
    const client = chat({ outboxMessagesMax: 2, outboxBytesMax: 10 });
    const room = client.room("lobby");
    expect(tell(room.send("\ud800"))).toBe("refused bad_request");
    expect(tell(room.send("a", { cid: "no spaces" }))).toBe("refused bad_request");
    expect(tell(room.send("a", { kind: "k".repeat(33) }))).toBe("refused bad_request");
    expect(tell(room.send("a", { ref: 0 }))).toBe("refused bad_request");
    expect(tell(room.send("a", { signal: AbortSignal.abort() }))).toBe("refused aborted");
    expect(tell(room.send("more than ten"))).toBe("refused overloaded");
    const sent = [room.send("a"), room.send("b"), room.send("c")];
    expect(sent.map(tell)).toEqual(["queued", "queued", "refused overloaded"]);
    await clock.advance(100);
    expect(tell(room.send("x".repeat(70_000)))).toBe("refused too_large");
    expect(tell(room.send("d"))).toBe("queued");
  });

  test("[SDK23] what turns out to be larger than the server takes is refused, and the link lives", async () => {
    const { clock, server, chat } = world();
    server.bodyBytesMax = 10;
    const room = chat().room("lobby");
    const sent = [room.send("short"), room.send("longer than ten"), room.send("fine")];
    await clock.advance(100);
    expect(sent.map(tell)).toEqual(["stored 1", "refused too_large", "stored 2"]);
    expect(server.dialled).toHaveLength(1);
  });

  test("[SDK24] cids of two clients, and of one, are never the same", () => {
    const { chat } = world();
    const cids = [chat(), chat()].flatMap((client) => [1, 2, 3].map(() => client.room("lobby").send("x").cid));
    expect(new Set(cids).size).toBe(6);
    for (const cid of cids) expect(cid).toMatch(/^[0-9a-f]{16}-[0-9a-z]+$/);
  });

  test("[SDK25] an answer that does not come in time gives up the link, and another server is asked", async () => {
    const { clock, server, chat } = world();
    server.intercept = (frame, link) => (frame.t === "send" && link.url === server.dialled[0] ? [] : null);
    const sent = chat({}, ["ws://a", "ws://b"]).room("lobby").send("a");
    await clock.advance(9_900);
    expect(server.dialled).toHaveLength(1);
    await clock.advance(2_000);
    expect(new Set(server.dialled)).toEqual(new Set(["ws://a", "ws://b"]));
    expect(tell(sent)).toBe("stored 1");
  });

  test("[SDK26] a full buffer holds back what is queued", async () => {
    const { clock, server, chat } = world();
    const client = chat();
    await clock.advance(10);
    const [link] = server.links;
    link!.buffered = 300_000;
    const sent = client.room("lobby").send("a");
    await clock.advance(100);
    expect(tell(sent)).toBe("queued");
    link!.buffered = 0;
    await clock.advance(100);
    expect(tell(sent)).toBe("stored 1");
  });

  test("[SDK30] a direct message goes to the user, and lands in the room of both", async () => {
    const { clock, server, chat } = world();
    const direct = chat().direct("bob");
    const sent = direct.send("psst");
    await clock.advance(20);
    expect(direct.name).toBe("@alice,bob");
    expect(server.frames("send")[0]).toMatchObject({ to: "bob" });
    expect(await sent).toMatchObject({ room: "@alice,bob", seq: 1 });
  });

  test("[SDK23] the name of a room or user that cannot be is refused where it is used", () => {
    const { chat } = world();
    const client = chat();
    expect(() => client.room("a b")).toThrow(expect.objectContaining({ code: "bad_request" }) as Error);
    expect(() => client.direct("@")).toThrow(expect.objectContaining({ code: "bad_request" }) as Error);
    expect(client.room("#lobby").name).toBe("lobby");
  });

  test("[SDK27] a head of another line is not told as `since`", async () => {
    const { clock, server, chat } = world();
    for (let i = 0; i < 9; i++) server.post("lobby", "bob", "x");
    const room = chat().room("lobby");
    const joined = room.join();
    await clock.advance(10);
    await joined;
    server.intercept = (frame) =>
      frame.t === "send" && server.frames("send").length === 1 ? [error(frame.id, "overloaded", true, true, 50)] : null;
    const sent = room.send("a");
    await clock.advance(10);
    server.loseHistory("lobby", 4);
    const page = room.history();
    await clock.advance(200);
    expect((await page).line).toBe("l1x");
    expect(tell(sent)).toBe("stored 5");
    expect(server.frames("send").map(({ since }) => since)).toEqual([9, 0]);
  });

  test("[SDK27] another cluster numbers anew: `since` is dropped, the message is sent", async () => {
    const { clock, server, chat } = world();
    for (let i = 0; i < 9; i++) server.post("lobby", "bob", "x");
    const client = chat();
    const joined = client.room("lobby").join();
    await clock.advance(10);
    await joined;
    server.down.add("*");
    server.cutAll();
    const sent = client.room("lobby").send("a");
    await clock.advance(3_000);
    server.cluster = "c2" as never;
    server.rooms.clear();
    server.down.clear();
    await clock.advance(30_000);
    expect(server.frames("send").map(({ since }) => since)).toEqual([0]);
    expect(await sent).toMatchObject({ seq: 1, room: "lobby", cid: sent.cid });
  });
});
