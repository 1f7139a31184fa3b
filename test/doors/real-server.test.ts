import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { until } from "./fake-server.ts";
import { closeTown, endWith, type Json, overBinaryTcp, overTcp, overWebSocket, town } from "./town.ts";

afterEach(closeTown);

const bodies = (heard: readonly Json[]): unknown[] => heard.filter(({ t }) => t === "msg").map(({ body }) => body);

test("[DOOR1] what comes in by one door goes out by all, in one order", async () => {
  const { tcpPort, httpPort, http, url } = await town();
  const alice = await overTcp(tcpPort, "alice");
  const bob = await overWebSocket(httpPort, "bob");
  const stream = await fetch(`${url}/v1/rooms/lobby/stream?after=0`, { headers: { "synod-user": "carol" } });
  let events = "";
  const reading = (async () => {
    for await (const bytes of stream.body!) events += Buffer.from(bytes).toString();
  })().catch((cause: unknown) => cause);
  alice.say({ t: "sub", id: 1, room: "lobby", after: 0 });
  bob.say({ t: "sub", id: 1, room: "lobby", after: 0 });
  alice.say({ t: "send", id: 2, room: "lobby", cid: "a1", body: "by tcp" });
  expect(await alice.answer(2)).toMatchObject({ t: "ok", of: "send", seq: 1, dup: false });
  bob.say({ t: "send", id: 2, room: "lobby", cid: "b1", body: "by websocket" });
  await bob.answer(2);
  const sent = await http("POST", "/v1/rooms/lobby/messages", { body: "by http" }, { "idempotency-key": "h1" });
  expect(sent).toMatchObject({ status: 201, json: { seq: 3, dup: false } });
  const again = await http("POST", "/v1/rooms/lobby/messages", { body: "by http" }, { "idempotency-key": "h1" });
  expect(again).toMatchObject({ status: 200, json: { seq: 3, dup: true } });
  const other = await http("POST", "/v1/rooms/lobby/messages", { body: "other" }, { "idempotency-key": "h1" });
  expect(other).toMatchObject({ status: 409, json: { code: "id_conflict", definite: true } });
  const all = ["by tcp", "by websocket", "by http"];
  await until(() => bodies(alice.heard).length === 3 && bodies(bob.heard).length === 3 && events.includes("id: 3\n"));
  expect(bodies(alice.heard)).toEqual(all);
  expect(bodies(bob.heard)).toEqual(all);
  expect(events.match(/^id: \d+$/gm)).toEqual(["id: 1", "id: 2", "id: 3"]);
  await stream.body!.cancel().catch((cause: unknown) => cause);
  expect(reading).toBeInstanceOf(Promise);
});

test("[SSE2] a stream is resumed behind the last event, with nothing twice and nothing left out", async () => {
  const { http, url } = await town();
  for (let n = 1; n <= 5; n++) await http("POST", "/v1/rooms/lobby/messages", { body: `m${n}` });
  const read = async (headers: Record<string, string>, until_: string): Promise<string> => {
    const stop = new AbortController();
    const response = await fetch(`${url}/v1/rooms/lobby/stream?after=0`, {
      headers: { "synod-user": "alice", ...headers },
      signal: stop.signal,
    });
    let text = "";
    for await (const bytes of response.body!) {
      text += Buffer.from(bytes).toString();
      if (text.includes(until_)) break;
    }
    stop.abort();
    return text;
  };
  expect((await read({}, "event: caught-up")).match(/^id: \d+$/gm)).toEqual([1, 2, 3, 4, 5].map((n) => `id: ${n}`));
  expect((await read({ "last-event-id": "3" }, "event: caught-up")).match(/^id: \d+$/gm)).toEqual(["id: 4", "id: 5"]);
});

test("[SSE3] a stream of a room that is not there, or of a position ahead of this server, is refused", async () => {
  const { http } = await town();
  expect(await http("GET", "/v1/rooms/nowhere/stream")).toMatchObject({ status: 404, json: { code: "not_found" } });
  expect(await http("GET", "/v1/rooms/lobby/stream?after=99")).toMatchObject({ status: 503, json: { code: "behind" } });
});

test("[HTTP4] rooms, history, lookup, read marks and digests over HTTP", async () => {
  const { http } = await town();
  expect(await http("PUT", "/v1/rooms/den", { private: true })).toMatchObject({
    status: 200,
    json: { room: "den", head: 0 },
  });
  await http("POST", "/v1/rooms/den/messages", { body: "one" }, { "idempotency-key": "k1" });
  await http("POST", "/v1/rooms/den/messages", { body: "two" }, { "idempotency-key": "k2" });
  const page = await http("GET", "/v1/rooms/den/messages?limit=1");
  expect(page.json).toMatchObject({ room: "den", head: 2, more: true, items: [{ seq: 2, cid: "k2", body: "two" }] });
  expect(await http("GET", "/v1/rooms/den/messages/by-cid/alice/k1")).toMatchObject({
    status: 200,
    json: { seq: 1, head: 2 },
  });
  expect(await http("GET", "/v1/rooms/den/messages/by-cid/alice/k3")).toMatchObject({ status: 404, json: { head: 2 } });
  expect((await http("PUT", "/v1/rooms/den/read", { seq: 1 })).status).toBe(204);
  const one = await http("GET", "/v1/rooms/den/digest?upto=1");
  const two = await http("GET", "/v1/rooms/den/digest");
  expect(one.json).toMatchObject({ room: "den", upto: 1, node: "n1" });
  expect(two.json["digest"]).toMatch(/^[0-9a-f]{64}$/);
  expect(two.json["digest"]).not.toBe(one.json["digest"]);
  // A private room is not there for others, however they ask.
  for (const path of ["messages", "digest", "stream", "messages/by-cid/alice/k1"]) {
    expect([path, await http("GET", `/v1/rooms/den/${path}`, undefined, { "synod-user": "eve" })]).toMatchObject([
      path,
      { status: 404, json: { code: "not_found" } },
    ]);
  }
  expect((await http("DELETE", "/v1/rooms/den")).status).toBe(204);
  expect((await http("GET", "/v1/rooms/den/messages")).status).toBe(404);
});

test("[HTTP1] a direct message reaches the other one without a subscription", async () => {
  const { tcpPort, http } = await town();
  const bob = await overTcp(tcpPort, "bob");
  const sent = await http("POST", "/v1/users/bob/messages", { body: "psst" });
  expect(sent).toMatchObject({ status: 201, json: { room: "@alice,bob", seq: 1 } });
  await http("POST", "/v1/users/bob/messages", { body: "again" });
  await until(() => bob.heard.some(({ body }) => body === "again"));
  expect(bob.heard.find(({ t }) => t === "room")).toMatchObject({ room: "@alice,bob" });
});

test("[TCP1] binary frames by thousands in one write are answered in their order", async () => {
  const { tcpPort } = await town();
  const alice = await overBinaryTcp(tcpPort, "alice");
  const frames = Array.from({ length: 1_000 }, (_, i) => ({
    t: "send",
    id: i + 1,
    room: "lobby",
    cid: `c${i}`,
    body: `m${i}`,
  }));
  alice.say(...frames);
  await until(() => alice.heard.length === 1_001);
  expect(alice.heard.slice(1).map(({ t, id, seq }) => [t, id, seq])).toEqual(
    Array.from({ length: 1_000 }, (_, i) => ["ok", i + 1, i + 1]),
  );
});

test("[DOOR4] a reader that never reads is not read and not buffered for; when it reads, it has everything", async () => {
  const { tcpPort, server } = await town({ limits: { socketQueueBytesMax: 70_000 } });
  const writer = await overTcp(tcpPort, "alice");
  const reader = await overTcp(tcpPort, "bob");
  reader.say({ t: "sub", id: 1, room: "lobby", after: 0 });
  await reader.answer(1);
  reader.socket.pause();
  const body = "x".repeat(20_000);
  const count = 600;
  for (let n = 1; n <= count; n++) {
    writer.say({ t: "send", id: n, room: "lobby", cid: `c${n}`, body });
    if (n % 50 === 0) await writer.answer(n);
  }
  const slow = [...server.connections.all].find(({ user }) => user === "bob")!;
  expect(slow.link.queuedBytes()).toBeGreaterThan(0);
  // A turn's messages may pass the bound once; twelve megabytes may not.
  expect(slow.link.queuedBytes()).toBeLessThan(70_000 + 64 * 20_200);
  reader.socket.resume();
  await until(() => bodies(reader.heard).length === count);
  expect(reader.heard.filter(({ t }) => t === "msg").map(({ seq }) => seq)).toEqual(
    Array.from({ length: count }, (_, i) => i + 1),
  );
});

test("[DOOR6] beyond the limit of greetings a client is told, by every door", async () => {
  const { tcpPort, httpPort } = await town({ limits: { greetingConnectionsMax: 1 } });
  const silent = connect(tcpPort, "127.0.0.1");
  endWith(() => void silent.destroy());
  await until(() => silent.readyState === "open");
  const second = connect(tcpPort, "127.0.0.1");
  endWith(() => void second.destroy());
  let text = "";
  second.on("data", (bytes: Buffer) => (text += bytes.toString()));
  await until(() => text.includes("\n"));
  expect(JSON.parse(text)).toMatchObject({ t: "err", code: "overloaded", retryable: true });
  const third = new WebSocket(`ws://127.0.0.1:${httpPort}/v1/ws`);
  let status = 0;
  third.on("unexpected-response", (_request, response) => (status = response.statusCode ?? 0));
  third.on("error", () => third.terminate());
  await until(() => status !== 0);
  expect(status).toBe(503);
  third.terminate();
});

test("[WS4] text that is no UTF-8 is refused by the codec, and the connection goes on", async () => {
  const { httpPort } = await town();
  const alice = await overWebSocket(httpPort, "alice");
  alice.socket.send(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), { binary: false });
  await until(() => alice.heard.some(({ t }) => t === "err"));
  expect(alice.heard.at(-1)).toMatchObject({ code: "bad_request" });
  alice.say({ t: "ping", id: 9 });
  expect(await alice.answer(9)).toMatchObject({ t: "pong" });
});

test("[HTTP4] members over HTTP, and a removal that a reader over WebSocket is told", async () => {
  const { http, httpPort } = await town();
  await http("PUT", "/v1/rooms/den", { private: true });
  const bob = await overWebSocket(httpPort, "bob");
  const asBob = (path: string) => http("GET", path, undefined, { "synod-user": "bob" });
  expect((await asBob("/v1/rooms/den/members")).status).toBe(404);
  expect((await http("PUT", "/v1/rooms/den/members/bob")).status).toBe(204);
  expect(await asBob("/v1/rooms/den/members?after=alice&limit=5")).toMatchObject({
    status: 200,
    json: { room: "den", count: 2, more: false, members: [{ user: "bob", role: "member" }] },
  });
  bob.say({ t: "sub", id: 1, room: "den", after: 0 });
  await until(() => bob.heard.some(({ of }) => of === "sub"));
  expect((await http("DELETE", "/v1/rooms/den/members/bob")).status).toBe(204);
  await until(() => bob.heard.some(({ t, reason }) => t === "gap" && reason === "removed"));
  expect((await asBob("/v1/rooms/den/members")).status).toBe(404);
  expect((await http("DELETE", "/v1/rooms/den/members/bob")).status).toBe(404);
});

/** All that a TCP client is answered that says this and closes its side. */
function answeredAtEnd(tcpPort: number, said: string): Promise<Json[]> {
  return new Promise<Json[]>((resolve, reject) => {
    const socket = connect({ port: tcpPort, host: "127.0.0.1", allowHalfOpen: true });
    endWith(() => void socket.destroy());
    let text = "";
    socket.on("data", (bytes: Buffer) => (text += bytes.toString()));
    socket.on("error", reject);
    socket.on("end", () =>
      resolve(
        text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as Json),
      ),
    );
    socket.end(said);
  });
}

const linesOf = (frames: readonly Json[]): string => frames.map((frame) => `${JSON.stringify(frame)}\n`).join("");

test("[DOOR13] a TCP client that says its last and closes its side still gets every answer, and then the end", async () => {
  const { tcpPort } = await town();
  const sends = [1, 2, 3].map((id) => ({ t: "send", id, room: "lobby", cid: `c${id}`, body: "bye" }));
  const frames = [{ t: "hello", v: 1, user: "alice" }, ...sends, { t: "hist", id: 4, room: "lobby" }];
  const heard = await answeredAtEnd(tcpPort, linesOf(frames));
  const answers = heard.filter(({ t }) => t === "ok").map(({ id }) => id as number);
  expect(new Set(answers)).toEqual(new Set([1, 2, 3, 4]));
  expect(heard.filter(({ t }) => t === "err")).toEqual([]);
});

test("[DOOR14] a stream that ends within a frame is told so, behind the answers that are due", async () => {
  const { tcpPort } = await town();
  const send = { t: "send", id: 1, room: "lobby", cid: "c1", body: "whole" };
  const whole = linesOf([{ t: "hello", v: 1, user: "alice" }, send]);
  const heard = await answeredAtEnd(tcpPort, `${whole}{"t":"send","id":2,"room":"lob`);
  expect(heard.map(({ t }) => t)).toEqual(["welcome", "ok", "err"]);
  expect(heard[2]).toMatchObject({ code: "bad_request", message: "the stream ended within a frame" });
});

test("[DOOR12] a frame that is never finished ends its connection, though bytes keep coming, by every door", async () => {
  const { tcpPort, httpPort } = await town({ limits: { heartbeatMs: 200 } });
  const slow = await overTcp(tcpPort, "alice");
  const other = await overWebSocket(httpPort, "bob");
  const ended = new Set<string>();
  slow.socket.on("close", () => ended.add("tcp"));
  other.socket.on("close", (code) => ended.add(`websocket ${code}`));
  // Bytes, pings and empty fragments, but never the end of a frame.
  other.socket.send("[", { fin: false });
  const drip = setInterval(() => {
    slow.socket.write("x");
    if (other.socket.readyState === WebSocket.OPEN) {
      other.socket.ping();
      other.socket.send("", { fin: false });
    }
  }, 200);
  endWith(() => clearInterval(drip));
  await until(() => ended.size === 2);
  expect([...ended].sort()).toEqual(["tcp", "websocket 1001"]);
});

test("[SSE7] a stream shows its own room, whatever else its reader is sent meanwhile", async () => {
  const { http, url } = await town();
  const stop = new AbortController();
  endWith(() => stop.abort());
  const stream = await fetch(`${url}/v1/rooms/lobby/stream?after=0`, {
    headers: { "synod-user": "bob" },
    signal: stop.signal,
  });
  await http("POST", "/v1/users/bob/messages", { body: "psst" });
  await http("POST", "/v1/users/bob/messages", { body: "again" });
  await http("POST", "/v1/rooms/lobby/messages", { body: "for all" });
  let text = "";
  for await (const bytes of stream.body!) {
    text += Buffer.from(bytes).toString();
    if (text.includes("for all")) break;
  }
  expect(text.match(/"room":"[^"]+"/g)?.filter((room) => room !== '"room":"lobby"')).toEqual([]);
  expect(text.match(/^id: \d+$/gm)).toEqual(["id: 1"]);
});
