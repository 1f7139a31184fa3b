import { request } from "node:http";
import { afterEach, expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import type { NodeName } from "../../src/base/ids.ts";
import { AdminDoor } from "../../src/doors/admin-door.ts";
import { adminDocuments } from "../../src/protocol/documents.ts";
import type { Page } from "../../src/doors/page.ts";
import type { ClusterPort, OperatorPort } from "../../src/doors/server-port.ts";
import type { Operation } from "../../src/server/operator.ts";
import { ToldEvents } from "../../src/server/told-events.ts";
import { realClock, RememberingLog, smallLimits } from "./fake-server.ts";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

class FakeOperator implements OperatorPort {
  readonly operations: Operation[] = [];
  readonly done: unknown[] = [];
  readonly events = new ToldEvents({ log: new RememberingLog(), clock: realClock });
  readonly cluster: ClusterPort = {
    status: () => ({ node: "n1", leader: "n1" }),
    add: async (node, address) => this.#did(["add", node, address]),
    remove: async (node) => this.#did(["remove", node]),
    transfer: async (to) => {
      this.#did(["transfer", to]);
      return to ?? ("n2" as NodeName);
    },
    told: this.events,
    trace: async (wanted) => ({ traced: wanted }),
  };
  readonly limits: number[] = [];
  failure: Fault | null = null;

  async operate(operation: Operation): Promise<void> {
    if (this.failure !== null) throw this.failure;
    this.operations.push(operation);
  }

  status(): object {
    return { node: "n1" };
  }

  sessionList(limit: number): readonly object[] {
    this.limits.push(limit);
    return [{ user: "alice", door: "tcp" }];
  }

  async metrics(): Promise<string> {
    return "synod_up 1\n";
  }

  #did(what: unknown): void {
    if (this.failure !== null) throw this.failure;
    this.done.push(what);
  }
}

async function listening(token: string | null = null, page: Page | null = null) {
  const server = new FakeOperator();
  const log = new RememberingLog();
  const documents = adminDocuments({ version: "1" });
  const door = new AdminDoor({ server, clock: realClock, limits: smallLimits, log, token, documents, page });
  const port = await door.listen({ host: "127.0.0.1", port: 0 });
  closers.push(() => door.close());
  const ask = (method: string, path: string, body?: string, headers: Record<string, string> = {}) =>
    new Promise<{ status: number; text: string; type: string; json: Record<string, unknown> }>((resolve, reject) => {
      const outgoing = request({ port, host: "127.0.0.1", method, path, headers, agent: false }, (incoming) => {
        let text = "";
        incoming.on("data", (bytes: Buffer) => (text += bytes.toString()));
        incoming.on("end", () => {
          const type = incoming.headers["content-type"] ?? "";
          const json = type.includes("json") ? (JSON.parse(text) as Record<string, unknown>) : {};
          resolve({ status: incoming.statusCode!, text, type, json });
        });
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  return { server, log, door, ask };
}

test("[ADMIN1] status, sessions and metrics are shown", async () => {
  const { server, ask } = await listening();
  expect((await ask("GET", "/admin/v1/status")).json).toEqual({ node: "n1" });
  expect((await ask("GET", "/admin/v1/sessions?limit=5")).json).toEqual({ sessions: [{ user: "alice", door: "tcp" }] });
  await ask("GET", "/admin/v1/sessions");
  expect(server.limits).toEqual([5, 1_000]);
  const metrics = await ask("GET", "/metrics");
  expect([metrics.text, metrics.type]).toEqual(["synod_up 1\n", "text/plain; version=0.0.4; charset=utf-8"]);
});

test.each([
  ["retention", '{"messages":100}', { type: "retention", ageMs: 0, messages: 100, bytes: 0 }],
  ["trim", '{"first":7}', { type: "trim", first: 7 }],
  ["delete", "", { type: "delete" }],
  ["kick", '{"user":"bob"}', { type: "kick", user: "bob" }],
  ["invite", '{"user":"bob"}', { type: "invite", user: "bob" }],
  ["role", '{"user":"bob","role":"moderator"}', { type: "role", user: "bob", role: "moderator" }],
])("[ADMIN2] %s is put in order, and logged", async (name, body, operation) => {
  const { server, ask, log } = await listening();
  const answer = await ask("POST", `/admin/v1/rooms/den/${name}`, body);
  expect(answer.status).toBe(200);
  expect(server.operations).toEqual([{ ...operation, room: "den" }]);
  expect(answer.json).toEqual({ done: server.operations[0] });
  expect(log.events).toEqual(["operation.done"]);
});

test.each([
  ["an operation that is none", "POST", "/admin/v1/rooms/den/explode", "{}", 404],
  ["a room that is none", "POST", "/admin/v1/rooms/..%2Fx/delete", "", 400],
  ["a retention without a bound", "POST", "/admin/v1/rooms/den/retention", "{}", 400],
  ["a bound below 0", "POST", "/admin/v1/rooms/den/retention", '{"ageMs":-1}', 400],
  ["a trim to nowhere", "POST", "/admin/v1/rooms/den/trim", '{"first":0}', 400],
  ["a user that is none", "POST", "/admin/v1/rooms/den/kick", '{"user":"a b"}', 400],
  ["a role that is none", "POST", "/admin/v1/rooms/den/role", '{"user":"bob","role":"__proto__"}', 400],
  ["JSON that is none", "POST", "/admin/v1/rooms/den/kick", "{", 400],
  ["a body that is too long", "POST", "/admin/v1/rooms/den/kick", " ".repeat(5_000), 413],
  ["a limit that is none", "GET", "/admin/v1/sessions?limit=-1", undefined, 400],
  ["two limits", "GET", "/admin/v1/sessions?limit=1&limit=2", undefined, 400],
  ["a look at an operation", "GET", "/admin/v1/rooms/den/delete", undefined, 405],
])("[ADMIN3] %s is a problem, and nothing is done", async (_name, method, path, body, status) => {
  const { server, ask } = await listening();
  const answer = await ask(method, path, body);
  expect([answer.status, answer.type]).toEqual([status, "application/problem+json"]);
  expect(server.operations).toEqual([]);
});

test.each([
  ["PUT", "servers/n4", '{"address":"10.0.0.4:7401"}', ["add", "n4", { host: "10.0.0.4", port: 7401 }]],
  ["PUT", "servers/n4", '{"address":"[fe80::1]:7401"}', ["add", "n4", { host: "fe80::1", port: 7401 }]],
  ["DELETE", "servers/n4", undefined, ["remove", "n4"]],
  ["POST", "transfer", '{"to":"n3"}', ["transfer", "n3"]],
  ["POST", "transfer", undefined, ["transfer", null]],
])("[ADMIN7] %s %s is done, logged, and answered with how the cluster stands", async (method, path, body, done) => {
  const { server, ask, log } = await listening();
  const answer = await ask(method, `/admin/v1/cluster/${path}`, body);
  expect(answer.status).toBe(200);
  expect(answer.json).toMatchObject({ node: "n1" });
  expect(server.done).toEqual([done]);
  expect(log.events).toEqual(["operation.done"]);
  server.failure = new Fault("no_quorum", "too few servers answer");
  expect((await ask(method, `/admin/v1/cluster/${path}`, body)).json).toMatchObject({ code: "no_quorum" });
});

test.each([
  ["PUT", "servers/n4", '{"address":"10.0.0.4"}', 400],
  ["PUT", "servers/n4", '{"address":"10.0.0.4:99999"}', 400],
  ["PUT", "servers/n4", "{}", 400],
  ["PUT", "servers/a%20b", '{"address":"10.0.0.4:7401"}', 400],
  ["DELETE", "servers/%2e%2e", undefined, 404],
  ["POST", "transfer", '{"to":7}', 400],
  ["POST", "transfer", '{"to":"a b"}', 400],
  ["GET", "events?after=x", undefined, 400],
  ["GET", "watch?after=-1", undefined, 400],
  ["POST", "servers/n4", "{}", 405],
])("[ADMIN3] %s %s %s is a problem, and nothing is done", async (method, path, body, status) => {
  const { server, ask } = await listening();
  const answer = await ask(method, `/admin/v1/cluster/${path}`, body);
  expect([answer.status, answer.type]).toEqual([status, "application/problem+json"]);
  expect(server.done).toEqual([]);
});

test("[ADMIN8] what happened is told by number, as a list and as it happens", async () => {
  const { server, ask, door } = await listening();
  const { events } = server;
  events.info("standing.changed", { leader: "n2" });
  events.info("door.opened", { of: "a single client" });
  events.warn("peer.lost", { cause: new Error("gone"), peer: "n3" });
  expect((await ask("GET", "/admin/v1/cluster")).json).toEqual({ node: "n1", leader: "n1" });
  const list = (await ask("GET", "/admin/v1/cluster/events?after=1")).json;
  expect(list).toMatchObject({
    last: 2,
    events: [{ number: 2, level: "warn", event: "peer.lost", fields: { cause: "gone", peer: "n3" } }],
  });
  const { port } = door.listener.server.address() as { port: number };
  const response = await fetch(`http://127.0.0.1:${port}/admin/v1/cluster/watch?after=1`);
  const reader = response.body!.getReader();
  let text = "";
  const until = async (word: string): Promise<void> => {
    while (!text.includes(word)) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`it ended before ${word}: ${text}`);
      text += Buffer.from(value).toString();
    }
  };
  await until("event: status");
  events.error("journal.failed");
  await until("journal.failed");
  expect(text).toMatch(/^event: status\ndata: .*"node":"n1".*\n\nid: 2\nevent: told\ndata: .*peer\.lost/);
  expect(text).not.toContain("standing.changed");
  // Numbers of another process are no place among these.
  const other = (await ask("GET", `/admin/v1/cluster/events?after=2&began=${events.began - 1}`)).json;
  expect(other).toMatchObject({ began: events.began, events: [{ number: 1 }, { number: 2 }, { number: 3 }] });
  const same = (await ask("GET", `/admin/v1/cluster/events?after=2&began=${events.began}`)).json;
  expect(same).toMatchObject({ events: [{ number: 3 }] });
  // Its end ends whoever still watches.
  await door.close();
  await expect(until("more")).rejects.toThrow();
});

test("[ADMIN8] what is kept of what happened is bounded, and a hole shows", () => {
  const events = new ToldEvents({ log: new RememberingLog(), clock: realClock });
  for (let n = 0; n < 1_500; n++) events.info("peer.lost", { n });
  expect(events.last).toBe(1_500);
  expect(events.after(0).map(({ number }) => number)).toEqual(Array.from({ length: 1_000 }, (_, at) => at + 501));
  expect(events.after(1_500)).toEqual([]);
});

test("[ADMIN3] a Fault of the server keeps its words", async () => {
  const { server, ask } = await listening();
  server.failure = new Fault("not_found", "there is no such room");
  expect((await ask("POST", "/admin/v1/rooms/den/delete")).json).toMatchObject({ code: "not_found", status: 404 });
});

test("[ADMIN4] without a token only loopback is listened on, and only by its own name", async () => {
  const { door, ask, server } = await listening();
  expect(() => door.listen({ host: "0.0.0.0", port: 0 })).toThrow("needs a token");
  expect((await ask("POST", "/admin/v1/rooms/den/delete", "", { host: "rebound.evil.example:7402" })).status).toBe(403);
  expect(server.operations).toEqual([]);
});

test("[ADMIN5] no page may use this port, whatever its origin says", async () => {
  const { ask, server } = await listening();
  for (const origin of ["https://evil.example", "null", "http://127.0.0.1"]) {
    expect((await ask("POST", "/admin/v1/rooms/den/delete", "", { origin })).status).toBe(403);
  }
  expect((await ask("POST", "/admin/v1/rooms/den/delete", "", { cookie: "a=b" })).status).toBe(403);
  expect(server.operations).toEqual([]);
});

test("[ADMIN6] with a token nothing is answered without it, metrics included", async () => {
  const { ask, server } = await listening("secret");
  const attempts: Record<string, string>[] = [
    {},
    { authorization: "Bearer wrong!" },
    { authorization: "secret" },
    { authorization: "Bearer secret " + "x" },
    { authorization: "Bearer " },
  ];
  for (const headers of attempts) {
    for (const path of ["/metrics", "/admin/v1/status", "/nowhere"]) {
      expect((await ask("GET", path, undefined, headers)).status).toBe(401);
    }
  }
  const answer = await ask("POST", "/admin/v1/rooms/den/delete", "", { authorization: "Bearer secret" });
  expect(answer.status).toBe(200);
  expect(server.operations).toHaveLength(1);
});

test("[ADMIN10] a message is traced by its id; room and sender go together", async () => {
  const { ask } = await listening();
  const found = await ask("GET", "/admin/v1/trace/a.b:c?room=lobby&from=alice");
  expect(found.json).toEqual({ traced: { cid: "a.b:c", room: "lobby", from: "alice" } });
  expect((await ask("GET", "/admin/v1/trace/a-1")).json).toEqual({ traced: { cid: "a-1", room: null, from: null } });
  for (const path of ["a%20b", "a?room=lobby", "a?from=alice", "a?room=lo%20bby&from=a", "a?room=lobby&from=a%20b"]) {
    expect([path, (await ask("GET", `/admin/v1/trace/${path}`)).status]).toEqual([path, 400]);
  }
});

test("[ADMIN11] the page's files are shown without the token, and nothing else is; a page of another origin gets neither", async () => {
  const bytes = new TextEncoder().encode("<!doctype html>");
  const file = {
    contentType: "text/html; charset=utf-8",
    etag: '"1"',
    isImmutable: false,
    brotli: null,
    gzip: null,
    bytes,
  };
  const { ask } = await listening("secret", new Map([["/index.html", file]]));
  expect(await ask("GET", "/")).toMatchObject({ status: 200, text: "<!doctype html>" });
  expect((await ask("GET", "/admin/v1/cluster")).status).toBe(401);
  expect((await ask("GET", "/other.html")).status).toBe(401);
  expect((await ask("POST", "/")).status).toBe(401);
  expect((await ask("GET", "/", undefined, { origin: "https://elsewhere.example" })).status).toBe(403);
});
