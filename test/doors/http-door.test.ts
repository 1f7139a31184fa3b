import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { request, type IncomingHttpHeaders } from "node:http";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterEach, expect, test } from "vitest";
import { AssertionFailure } from "../../src/base/assert.ts";
import type { Clock } from "../../src/base/clock.ts";
import { Fault } from "../../src/base/error-codes.ts";
import { seededRandom } from "../../src/base/random.ts";
import { defaultHttpTimes } from "../../src/doors/http-listener.ts";
import type { Page } from "../../src/doors/page.ts";
import { PublicDoor, type PublicDoorOptions } from "../../src/doors/public-door.ts";
import { loopbackHosts } from "../../src/doors/trust.ts";
import { openApiDocument } from "../../src/protocol/openapi.ts";
import { FakeRequests } from "./fake-requests.ts";
import { realClock, RememberingLog, smallLimits, until } from "./fake-server.ts";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  json: Record<string, unknown>;
}

async function listening(options: Partial<PublicDoorOptions> = {}) {
  const server = new FakeRequests();
  const log = new RememberingLog();
  const door = new PublicDoor({
    server,
    clock: realClock,
    random: seededRandom(1),
    limits: smallLimits,
    log,
    trust: { origins: [], hosts: null },
    page: null,
    documents: new Map([["/openapi.json", '{"openapi":"3.1.0"}']]),
    ...options,
  });
  const port = await door.listen({ host: "127.0.0.1", port: 0 });
  closers.push(() => door.close());
  /** One request, as bytes of a client that no library mends. Alice asks, unless the headers say otherwise. */
  const ask = (
    method: string,
    path: string,
    given: { headers?: Record<string, string>; body?: string | Uint8Array; user?: string | null } = {},
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const user = given.user === null ? {} : { "synod-user": given.user ?? "alice" };
      const headers = {
        ...user,
        ...(given.body === undefined ? {} : { "content-type": "application/json" }),
        ...given.headers,
      };
      const outgoing = request({ port, host: "127.0.0.1", method, path, headers, agent: false }, (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () => {
          const text = Buffer.concat(chunks).toString("latin1");
          const isJson = incoming.headers["content-type"]?.includes("json") === true;
          const json = isJson ? (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>) : {};
          resolve({ status: incoming.statusCode!, headers: incoming.headers, text, json });
        });
      });
      outgoing.on("error", reject);
      outgoing.end(given.body);
    });
  const dial = (): Socket => {
    const socket = connect(port, "127.0.0.1");
    closers.unshift(() => void socket.destroy());
    return socket;
  };
  /** Writes these bytes and answers with everything that comes back until the connection ends. */
  const raw = (text: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1");
      let back = "";
      socket.on("data", (bytes) => (back += bytes.toString("latin1")));
      socket.on("error", () => socket.destroy());
      socket.on("close", () => resolve(back));
      socket.write(text);
    });
  return { server, log, door, port, ask, raw, dial };
}

test("[HTTP1] a message in JSON is sent with the key as its cid: 201, and 200 for a repeat", async () => {
  const { server, ask } = await listening();
  const body = JSON.stringify({ body: "hello", kind: "edit", ref: 3, unknown: 1 });
  const first = await ask("POST", "/v1/rooms/lobby/messages", { headers: { "idempotency-key": "c1" }, body });
  expect(first.status).toBe(201);
  expect(first.json).toEqual({
    room: "lobby",
    cid: "c1",
    seq: 7,
    ts: 1_764_000_000_000,
    epoch: 3,
    line: "l1",
    leader: "n1",
    node: "n1",
    dup: false,
  });
  expect(server.asked[0]).toEqual({
    user: "alice",
    frame: { t: "send", id: 0, room: "lobby", cid: "c1", kind: "edit", ref: 3, body: "hello" },
  });
  server.isDup = true;
  const again = await ask("POST", "/v1/rooms/lobby/messages", { headers: { "idempotency-key": '"c1"' }, body });
  expect(again.status).toBe(200);
  expect(again.json).toMatchObject({ cid: "c1", dup: true });
});

test("[HTTP1] plain text is the body, byte for byte; a direct message names the user", async () => {
  const { server, ask } = await listening();
  const headers = { "content-type": "text/plain; charset=utf-8", "idempotency-key": "c2" };
  const answer = await ask("POST", "/v1/users/b%C3%B6b/messages", { headers, body: ' {"a":1}\n' });
  expect(answer.json["room"]).toBe("@alice,böb");
  expect(server.asked[0]!.frame).toMatchObject({ to: "böb", body: ' {"a":1}\n' });
});

test("[HTTP2] without a key the server makes a cid, and says what a repeat would do", async () => {
  const { ask } = await listening();
  const one = await ask("POST", "/v1/rooms/lobby/messages", { body: '{"body":"x"}' });
  const other = await ask("POST", "/v1/rooms/lobby/messages", { body: '{"body":"x"}' });
  expect(one.status).toBe(201);
  expect(one.json["cid"]).toMatch(/^[0-9a-f]{32}$/);
  expect(one.json["cid"]).not.toBe(other.json["cid"]);
  expect(one.json["note"]).toContain("second message");
});

test("[HTTP3] who asks is the token's subject, or the named user; a wrong claim is 401", async () => {
  const { server, ask } = await listening();
  await ask("GET", "/v1/rooms", { headers: { authorization: "Bearer good" }, user: "mallory" });
  expect(server.asked.at(-1)!.user).toBe("tess");
  await ask("GET", "/v1/rooms", { user: encodeURIComponent("björn") });
  expect(server.asked.at(-1)!.user).toBe("björn");
  await ask("GET", "/v1/rooms", { user: Buffer.from("björn").toString("latin1") });
  expect(server.asked.at(-1)!.user).toBe("björn");
  const before = server.asked.length;
  const wrong = [
    { user: null },
    { user: "a b" },
    { user: "%" },
    { user: "a".repeat(61) },
    { user: "__proto__,x" },
    { headers: { authorization: "Bearer bad" } },
    { headers: { authorization: "Basic YTpi" } },
    { headers: { authorization: "Bearer" } },
  ];
  for (const claim of wrong) {
    const answer = await ask("GET", "/v1/rooms", claim);
    expect([claim, answer.status, answer.json["code"]]).toEqual([claim, 401, "unauthorized"]);
    expect(answer.headers["www-authenticate"]).toBe("Bearer");
  }
  expect(server.asked.length).toBe(before);
});

test("[HTTP4] history, lookup, digest, rooms, join, leave and read are the frames of the same name", async () => {
  const { server, ask } = await listening();
  const history = await ask("GET", "/v1/rooms/lobby/messages?after=3&limit=10&level=linearizable&atLeast=5&x=y");
  expect(history.status).toBe(200);
  expect(history.json).toMatchObject({ room: "lobby", line: "l1", first: 1, head: 9, node: "n1", more: true });
  expect(history.json["items"]).toHaveLength(1);
  expect(Object.keys(history.json)).not.toContain("t");
  expect(server.asked.at(-1)!.frame).toEqual({
    t: "hist",
    id: 0,
    room: "lobby",
    after: 3,
    limit: 10,
    level: "linearizable",
    atLeast: 5,
  });
  const found = await ask("GET", "/v1/rooms/%40alice%2Cbob/messages/by-cid/bob/c1");
  expect(found.json).toEqual({ room: "@alice,bob", cid: "c1", seq: 7, head: 9 });
  server.foundSeq = null;
  const missing = await ask("GET", "/v1/rooms/lobby/messages/by-cid/bob/c1");
  expect(missing.status).toBe(404);
  expect(missing.json).toMatchObject({ code: "not_found", head: 9 });
  const digest = await ask("GET", "/v1/rooms/lobby/digest?upto=4");
  expect(digest.json).toMatchObject({ room: "lobby", upto: 4, digest: "ab".repeat(32), node: "n1:alice" });
  expect((await ask("GET", "/v1/rooms?atLeast=2")).json).toEqual({ rooms: [] });
  expect((await ask("PUT", "/v1/rooms/den", { body: '{"private":true}' })).json).toMatchObject({
    room: "den",
    head: 9,
  });
  expect(server.asked.at(-1)!.frame).toEqual({ t: "join", id: 0, room: "den", private: true });
  expect((await ask("PUT", "/v1/rooms/den")).status).toBe(200);
  expect((await ask("DELETE", "/v1/rooms/den")).status).toBe(204);
  expect((await ask("PUT", "/v1/rooms/den/read", { body: '{"seq":4}' })).status).toBe(204);
  expect(server.asked.at(-1)!.frame).toEqual({ t: "read", id: 0, room: "den", seq: 4 });
});

test.each([
  ["a query that is no number", "GET", "/v1/rooms/lobby/messages?after=1e3", undefined, "bad_request"],
  ["two places at once", "GET", "/v1/rooms/lobby/messages?after=1&before=2", undefined, "bad_request"],
  ["a level that is none", "GET", "/v1/rooms/lobby/messages?level=eventual", undefined, "bad_request"],
  ["a path out of the room", "GET", "/v1/rooms/..%2Fetc/messages", undefined, "bad_request"],
  ["a name with a NUL", "GET", "/v1/rooms/a%00b/messages", undefined, "bad_request"],
  ["percent-encoding that is none", "GET", "/v1/rooms/%E0%A4%A/messages", undefined, "bad_request"],
  ["a name that is encoded twice", "GET", "/v1/rooms/%252e/messages", undefined, "bad_request"],
  ["a digest of no room", "GET", "/v1/rooms/a%20b/digest", undefined, "bad_request"],
  ["JSON that is none", "POST", "/v1/rooms/lobby/messages", "{", "bad_request"],
  ["JSON that is no object", "POST", "/v1/rooms/lobby/messages", '["body"]', "bad_request"],
  ["no body", "POST", "/v1/rooms/lobby/messages", '{"kind":"text"}', "bad_request"],
  ["a body that is no text", "POST", "/v1/rooms/lobby/messages", '{"body":{"__proto__":1}}', "bad_request"],
  ["a body with half a character", "POST", "/v1/rooms/lobby/messages", '{"body":"\\ud800"}', "bad_request"],
  [
    "a body that is too long",
    "POST",
    "/v1/rooms/lobby/messages",
    JSON.stringify({ body: "x".repeat(1_001) }),
    "too_large",
  ],
  ["JSON that is too deep", "POST", "/v1/rooms/lobby/messages", "[".repeat(5_000), "too_large"],
  [
    "a room that is none, whatever the body says",
    "POST",
    "/v1/rooms/a%2Fb/messages",
    '{"body":"x","room":"c"}',
    "bad_request",
  ],
  ["an address nobody answers", "GET", "/v2/rooms", undefined, "not_found"],
  ["an address that is too long", "GET", `/v1/rooms?x=${"y".repeat(2_100)}`, undefined, "too_large"],
])("[HTTP5] %s is a problem with a code, and nothing is asked", async (_name, method, path, body, code) => {
  const { server, ask } = await listening();
  const answer = await ask(method, path, body === undefined ? {} : { body });
  expect(answer.headers["content-type"]).toBe("application/problem+json");
  expect(answer.json).toMatchObject({ code, definite: true, retryable: false, status: answer.status });
  expect(answer.json["title"]).toEqual(expect.any(String));
  expect(answer.json["detail"]).toEqual(expect.any(String));
  expect(server.asked).toEqual([]);
});

test("[HTTP5] the names of UTF-8 are taken as charsets", async () => {
  const { ask } = await listening();
  for (const charset of ["UTF-8", '"utf-8"', "us-ascii"]) {
    const headers = { "content-type": `text/plain; format=flowed; charset=${charset}` };
    expect((await ask("POST", "/v1/rooms/lobby/messages", { headers, body: "x" })).json).not.toHaveProperty("code");
  }
});

test("[HTTP5] bytes that are no UTF-8 are refused, in text and in JSON", async () => {
  const { server, ask } = await listening();
  for (const type of ["text/plain", "application/json"]) {
    const body = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]);
    const answer = await ask("POST", "/v1/rooms/lobby/messages", { headers: { "content-type": type }, body });
    expect(answer.json).toMatchObject({ code: "bad_request" });
  }
  for (const type of ["text/html", "text/plain; charset=latin1", 'application/json;charset="utf-16"']) {
    const other = await ask("POST", "/v1/rooms/lobby/messages", {
      headers: { "content-type": type },
      body: '{"body":"x"}',
    });
    expect(other.json).toMatchObject({ code: "unsupported" });
  }
  expect(server.asked).toEqual([]);
});

test("[HTTP5] a Fault of the server keeps its words, and says when to come again", async () => {
  const { server, ask } = await listening();
  server.failure = new Fault("no_quorum", "not enough servers answer", { retryAfterMs: 2_100 });
  const answer = await ask("POST", "/v1/rooms/lobby/messages", { body: '{"body":"x"}' });
  expect(answer.status).toBe(503);
  expect(answer.headers["retry-after"]).toBe("3");
  expect(answer.json).toMatchObject({ code: "no_quorum", definite: false, retryable: true, retryAfterMs: 2_100 });
});

test("[DOOR9] an unexpected error is logged, tells the client nothing of itself, and is the end of that request only", async () => {
  const { server, ask, log } = await listening();
  server.failure = new TypeError("secret of /var/lib");
  const answer = await ask("GET", "/v1/rooms");
  expect(answer.json).toMatchObject({ code: "unavailable", definite: false });
  expect(answer.text).not.toContain("secret");
  expect(log.events).toEqual(["door.failed"]);
  server.failure = null;
  expect((await ask("GET", "/v1/rooms")).status).toBe(200);
});

test("[DOOR9] a broken assertion leaves the request and is not caught", async () => {
  const thrown: unknown[] = [];
  const clock: Clock = {
    ...realClock,
    defer: (task) => {
      try {
        task();
      } catch (cause) {
        thrown.push(cause);
      }
    },
  };
  const { server, ask } = await listening({ clock });
  server.failure = new AssertionFailure("two heads");
  expect((await ask("GET", "/v1/rooms")).status).toBe(503);
  expect(thrown).toEqual([server.failure]);
});

test("[HTTP6] a body that is declared too large is refused before it comes, one that grows too large while it comes", async () => {
  const { raw, server } = await listening();
  const head =
    "POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: x\r\nSynod-User: alice\r\nContent-Type: text/plain\r\nConnection: close\r\n";
  const declared = await raw(`${head}Content-Length: 1000000000\r\n\r\n`);
  expect(declared).toMatch(/^HTTP\/1\.1 413 /);
  expect(declared).toContain('"too_large"');
  const chunk = `200\r\n${"x".repeat(512)}\r\n`;
  const grown = await raw(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(4)}0\r\n\r\n`);
  expect(grown).toMatch(/^HTTP\/1\.1 413 /);
  expect(server.asked).toEqual([]);
});

test("[HTTP6] who may not ask is refused before the body is read", async () => {
  const { raw } = await listening();
  const head = "POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nConnection: close\r\n";
  expect(await raw(`${head}Content-Length: 900\r\n\r\n`)).toMatch(/^HTTP\/1\.1 401 /);
});

test.each([
  ["headers that never end", "GET /v1/rooms HTTP/1.1\r\nHost: x\r\n"],
  [
    "a body that never ends",
    "POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: x\r\nSynod-User: a\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nabc",
  ],
  ["a client that says nothing", ""],
])("[HTTP7] %s ends the connection by the clock", async (_name, text) => {
  const times = { headersWithinMs: 80, requestWithinMs: 120, idleMs: 80, stalledMs: 200, checkEveryMs: 20 };
  const { raw, server } = await listening({ times });
  await raw(text);
  expect(server.asked).toEqual([]);
});

test("[HTTP7] the clocks are set: 10 s for headers, 15 s for a request, and a bound on headers", async () => {
  const { door, raw } = await listening();
  const { server } = door.listener;
  expect(server.headersTimeout).toBe(10_000);
  expect(server.requestTimeout).toBe(15_000);
  expect(server.maxHeadersCount).toBe(100);
  expect(server.timeout).toBe(defaultHttpTimes.stalledMs);
  expect(defaultHttpTimes.checkEveryMs).toBeLessThanOrEqual(2_500);
  expect(await raw(`GET / HTTP/1.1\r\nHost: x\r\nCookie: ${"x".repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
  expect(await raw("GET / HTTP/1.1\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
  expect(await raw("nonsense\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
});

test("[HTTP8] livez says that the process runs, readyz whether sends can succeed, and why not", async () => {
  const { server, ask } = await listening();
  expect((await ask("GET", "/livez", { user: null })).status).toBe(200);
  expect((await ask("GET", "/readyz", { user: null })).json).toEqual({ ok: true, reason: null });
  server.ready = { ok: false, reason: "the disk is full" };
  const answer = await ask("GET", "/readyz", { user: null });
  expect(answer.status).toBe(503);
  expect(answer.json).toEqual({ ok: false, reason: "the disk is full" });
  expect((await ask("GET", "/healthz", { user: null })).status).toBe(503);
  expect((await ask("GET", "/livez", { user: null })).status).toBe(200);
});

test("[HTTP9] without listed origins nothing is shared with other pages, and they may change nothing", async () => {
  const { server, ask, port } = await listening();
  const own = await ask("GET", "/v1/rooms", { headers: { origin: `http://127.0.0.1:${port}` } });
  expect(own.status).toBe(200);
  expect(own.headers["access-control-allow-origin"]).toBeUndefined();
  const before = server.asked.length;
  for (const method of ["GET", "POST", "OPTIONS"]) {
    const headers = { origin: "https://evil.example", "access-control-request-method": "POST" };
    const answer = await ask(method, "/v1/rooms/lobby/messages", { headers });
    expect([method, answer.status]).toEqual([method, 403]);
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  }
  expect(server.asked.length).toBe(before);
});

test("[HTTP9] a listed origin may ask and read, and is told so before", async () => {
  const { ask } = await listening({ trust: { origins: ["https://friend.example"], hosts: null } });
  const headers = { origin: "https://friend.example" };
  const asked = await ask("GET", "/v1/rooms", { headers });
  expect(asked.status).toBe(200);
  expect(asked.headers["access-control-allow-origin"]).toBe("https://friend.example");
  expect(asked.headers["vary"]).toContain("origin");
  const before = await ask("OPTIONS", "/v1/rooms", {
    headers: { ...headers, "access-control-request-method": "PUT" },
    user: null,
  });
  expect(before.status).toBe(204);
  expect(before.headers["access-control-allow-headers"]).toContain("synod-user");
  expect(before.headers["access-control-allow-credentials"]).toBeUndefined();
});

test("[TRUST3] a loopback server answers to no name that was pointed at it", async () => {
  const { ask, server } = await listening({ trust: { origins: [], hosts: loopbackHosts } });
  expect((await ask("GET", "/v1/rooms")).status).toBe(200);
  const rebound = { host: "rebound.evil.example:7400", origin: "http://rebound.evil.example:7400" };
  expect((await ask("GET", "/v1/rooms", { headers: rebound })).status).toBe(403);
  expect(server.asked).toHaveLength(1);
});

const page: Page = new Map([
  [
    "/index.html",
    {
      contentType: "text/html; charset=utf-8",
      etag: '"e1"',
      isImmutable: false,
      bytes: Buffer.from("<p>page"),
      brotli: Buffer.from("BR"),
      gzip: Buffer.from("GZ"),
    },
  ],
  [
    "/assets/main-AbCd1234.js",
    {
      contentType: "text/javascript",
      etag: '"e2"',
      isImmutable: true,
      bytes: Buffer.from("1"),
      brotli: null,
      gzip: null,
    },
  ],
]);

test("[PAGE1] the page comes with a policy that lets it run its own scripts and nothing else", async () => {
  const { ask } = await listening({ page });
  const answer = await ask("GET", "/", { user: null });
  expect(answer.text).toBe("<p>page");
  const policy = answer.headers["content-security-policy"];
  for (const part of [
    "default-src 'self'",
    "script-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ]) {
    expect(policy).toContain(part);
  }
  expect(policy).not.toContain("unsafe");
  expect(answer.headers["x-content-type-options"]).toBe("nosniff");
  expect(answer.headers["cache-control"]).toBe("no-cache");
});

test("[PAGE2] what the browser takes is given, hashed files are kept for ever, and an etag saves the bytes", async () => {
  const { ask } = await listening({ page });
  const of = (accept: string) => ask("GET", "/index.html", { headers: { "accept-encoding": accept } });
  expect((await of("gzip, deflate, br")).text).toBe("BR");
  expect((await of("gzip, br;q=0")).text).toBe("GZ");
  expect((await of("identity")).headers["content-encoding"]).toBeUndefined();
  expect((await ask("GET", "/assets/main-AbCd1234.js")).headers["cache-control"]).toContain("immutable");
  const known = await ask("GET", "/", { headers: { "if-none-match": 'W/"e0", "e1"' } });
  expect(known.status).toBe(304);
  expect(known.text).toBe("");
  const head = await ask("HEAD", "/");
  expect([head.status, head.text, head.headers["content-length"]]).toEqual([200, "", "7"]);
});

test("[PAGE3] a path is looked up and never opened", async () => {
  const { ask } = await listening({ page });
  for (const path of [
    "/../package.json",
    "/%2e%2e/package.json",
    "/index.html%00",
    "/assets",
    "//index.html",
    "/__proto__",
  ]) {
    expect([path, (await ask("GET", path)).status]).toEqual([path, 404]);
  }
  expect((await ask("POST", "/index.html", { body: "{}" })).status).toBe(404);
});

test("[HTTP10] what is answered fits the document that is served", async () => {
  const { server, ask } = await listening();
  const document = openApiDocument({ version: "1" }) as { components: { schemas: Record<string, object> } };
  const ajv = new Ajv2020({ strict: false, formats: { uri: true } });
  ajv.addSchema({ $id: "doc", ...document });
  const fits = (name: string, value: unknown): void => {
    const validate = ajv.getSchema(`doc#/components/schemas/${name}`)!;
    expect([name, validate(value), validate.errors]).toEqual([name, true, null]);
  };
  fits("sent", (await ask("POST", "/v1/rooms/lobby/messages", { body: '{"body":"x"}' })).json);
  fits("page", (await ask("GET", "/v1/rooms/lobby/messages")).json);
  fits("found", (await ask("GET", "/v1/rooms/lobby/messages/by-cid/bob/c1")).json);
  fits("joined", (await ask("PUT", "/v1/rooms/den")).json);
  fits("rooms", (await ask("GET", "/v1/rooms")).json);
  fits("digest", (await ask("GET", "/v1/rooms/lobby/digest")).json);
  fits("health", (await ask("GET", "/readyz")).json);
  server.failure = new Fault("behind", "wait", { retryAfterMs: 10 });
  fits("problem", (await ask("GET", "/v1/rooms")).json);
  expect((await ask("GET", "/openapi.json", { user: null })).json).toEqual({ openapi: "3.1.0" });
});

test("[HTTP11] pipelined requests are answered in their order", async () => {
  const { raw, server } = await listening();
  const one = (after: number, more = ""): string =>
    `GET /v1/rooms/lobby/messages?after=${after} HTTP/1.1\r\nHost: x\r\nSynod-User: alice\r\n${more}\r\n`;
  const back = await raw(one(1) + one(2) + one(3, "Connection: close\r\n"));
  expect(back.match(/HTTP\/1\.1 200/g)).toHaveLength(3);
  await until(() => server.asked.length === 3);
});

test("[HTTP15] of many connections that come at once each is answered, whatever it asks first", async () => {
  const { server, ask, dial } = await listening();
  const sockets = Array.from({ length: 60 }, () => dial());
  const backs = sockets.map((socket) => {
    const back = { text: "" };
    socket.on("data", (bytes: Buffer) => (back.text += bytes.toString("latin1")));
    const get = "GET /v1/rooms HTTP/1.1\r\nHost: x\r\nSynod-User: alice\r\n\r\n";
    socket.write(get.repeat(5));
    return back;
  });
  sockets[7]!.destroy();
  await until(() => backs.every(({ text }, n) => n === 7 || text.match(/HTTP\/1\.1 200/g)?.length === 5));
  expect((await ask("GET", "/v1/rooms")).status).toBe(200);
  expect(server.asked.length).toBeGreaterThanOrEqual(59 * 5 + 1);
});

test("[HTTP16] of thousands that were silent for too long a few are told in each turn", async () => {
  let tasks: (() => void)[] = [];
  const endTurn = (): void => {
    for (const task of tasks.splice(0)) task();
  };
  const clock: Clock = { ...realClock, defer: (task) => void tasks.push(task) };
  const times = { headersWithinMs: 20, requestWithinMs: 20, idleMs: 5_000, stalledMs: 5_000, checkEveryMs: 10 };
  const { door, dial } = await listening({ clock, times });
  const late = new Set<Duplex>();
  door.listener.server.prependListener("clientError", (_cause, socket) => late.add(socket));
  for (let n = 0; n < 20; n++) dial().write("GET / HTTP/1.1\r\n");
  await until(() => {
    // Connections are read a few in each turn, too.
    if (late.size === 0) endTurn();
    return late.size === 20;
  });
  const told = (): number => [...late].filter(({ writableEnded }) => writableEnded).length;
  const counts = [told()];
  while (counts.at(-1)! < 20 && counts.length < 20) {
    endTurn();
    counts.push(told());
  }
  expect(counts).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
  tasks = [];
});

test("[HTTP13] who pipelines and does not read is answered as it reads, and refused beyond sixteen", async () => {
  const page = "z".repeat(6 * 1024 * 1024);
  const { server, dial } = await listening({ documents: new Map([["/openapi.json", page]]) });
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\nSynod-User: alice\r\n\r\n`;
  const socket = dial();
  socket.pause();
  socket.write(get("/openapi.json") + get("/v1/rooms").repeat(20));
  await until(() => [...server.holders].some((holder) => holder.heldBytes() > 0));
  await new Promise((resolve) => {
    setTimeout(resolve, 50);
  });
  expect(server.asked).toEqual([]);
  let back = "";
  socket.on("data", (bytes: Buffer) => (back += bytes.toString("latin1").replaceAll("z", "")));
  socket.resume();
  await until(() => socket.closed);
  expect(back.match(/HTTP\/1\.1 200/g)).toHaveLength(17);
  expect(back.match(/HTTP\/1\.1 503/g)).toHaveLength(1);
  expect(back).toContain('"code":"overloaded"');
  expect(server.asked).toHaveLength(16);
  expect(server.building).toBe(0);
});

test("[HTTP13] a client that goes before its turn leaves no turn taken", async () => {
  const { server, dial } = await listening({ documents: new Map([["/openapi.json", "z".repeat(6 * 1024 * 1024)]]) });
  const socket = dial();
  socket.pause();
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\nSynod-User: alice\r\n\r\n`;
  socket.write(get("/v1/rooms") + get("/openapi.json") + get("/v1/rooms").repeat(3));
  await until(() => [...server.holders].some((holder) => holder.heldBytes() > 0));
  socket.destroy();
  await until(() => [...server.holders].every((holder) => holder.heldBytes() === 0));
  expect(server.building).toBe(0);
});

test.each([
  ["headers that are too long", `GET / HTTP/1.1\r\nHost: x\r\nCookie: ${"x".repeat(20_000)}\r\n\r\n`, 431, "too_large"],
  ["no HTTP", "nonsense\r\n\r\n", 400, "bad_request"],
  [
    "two lengths",
    "POST /v1/rooms HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    400,
    "bad_request",
  ],
  ["no host", "GET / HTTP/1.1\r\n\r\n", 400, "bad_request"],
  ["a host of HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 400, "bad_request"],
  ["no path", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"],
  ["a proxy's method", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 400, "unsupported"],
  ["an expectation", "GET /livez HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n", 417, "unsupported"],
  [
    "a handshake without a key",
    "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
    400,
    "bad_request",
  ],
])("[HTTP12] %s: a problem with a code, and the end", async (_name, text, status, code) => {
  const { raw, server } = await listening();
  const back = await raw(text);
  expect(back).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(back).toContain("content-type: application/problem+json");
  expect(JSON.parse(back.slice(back.indexOf("\r\n\r\n")))).toMatchObject({ code, status, definite: true });
  expect(server.asked).toEqual([]);
});

test("[HTTP12] a request that does not come in time is told so, and what came before it is answered first", async () => {
  const times = { headersWithinMs: 80, requestWithinMs: 120, idleMs: 80, stalledMs: 5_000, checkEveryMs: 20 };
  const { raw } = await listening({ times });
  const get = "GET /v1/rooms HTTP/1.1\r\nHost: x\r\nSynod-User: alice\r\n\r\n";
  const post = "POST /v1/rooms/lobby/messages HTTP/1.1\r\nHost: x\r\nSynod-User: alice\r\nContent-Type: text/plain\r\n";
  const late = await raw(`${post}Content-Length: 9\r\n\r\nhalf`);
  expect(late).toMatch(/^HTTP\/1\.1 408 /);
  expect(late).toContain('"code":"bad_request"');
  const broken = await raw(`${get}${get}no request\r\n\r\n`);
  expect(broken.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 400"]);
});
