import { Ajv2020 } from "ajv/dist/2020.js";
import { afterEach, expect, test } from "vitest";
import { defaultLimits } from "../../src/base/limits.ts";
import { AdminDoor } from "../../src/doors/admin-door.ts";
import type { Route } from "../../src/doors/method-refusal.ts";
import { operatorPortOf } from "../../src/doors/ports-of-server.ts";
import { adminDocuments, publicDocuments } from "../../src/protocol/documents.ts";
import type { Operation } from "../../src/server/operator.ts";
import { ToldEvents } from "../../src/server/told-events.ts";
import { realClock, RememberingLog } from "./fake-server.ts";
import { closeTown, endWith, type Json, overTcp, town } from "./town.ts";

// What the documents say is answered, and what is: neither knows an address that the other does not.

afterEach(closeTown);

interface Described {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const methods = ["get", "put", "post", "delete"];

const operationsOf = ({ paths }: Described): { method: string; path: string }[] =>
  Object.entries(paths).flatMap(([path, item]) =>
    methods.filter((method) => method in item).map((method) => ({ method: method.toUpperCase(), path })),
  );

/** Whether a described path, such as /a/{b}, is answered by a route, such as /a/:b or /:a/:b. */
function answers(route: Route, { method, path }: { method: string; path: string }): boolean {
  const [wanted, given] = [route.path.split("/"), path.split("/")];
  const fits = (part: string, at: number): boolean => (part.startsWith(":") ? given[at] !== "" : part === given[at]);
  return route.method === method && wanted.length === given.length && wanted.every(fits);
}

function differences(document: Described, routes: readonly Route[]): { notDescribed: string[]; notAnswered: string[] } {
  const described = operationsOf(document);
  const line = ({ method, path }: { method: string; path: string }): string => `${method} ${path}`;
  return {
    notDescribed: routes.filter((route) => !described.some((one) => answers(route, one))).map(line),
    notAnswered: described.filter((one) => !routes.some((route) => answers(route, one))).map(line),
  };
}

/** An operators' port before a real server. */
async function operators() {
  const there = await town();
  const log = new RememberingLog();
  const events = new ToldEvents({ log, clock: realClock });
  const facts = () => ({ version: "1", rss: 1, fds: 1, uptimeMs: 1, loopDelayP99Ms: 1 });
  const port = operatorPortOf(there.server, { facts, metrics: async () => "synod_up 1\n", events });
  // As the program that serves does it.
  const told = { ...port, status: async () => ({ ...(await port.status()), insecure: [] }) };
  const documents = adminDocuments({ version: "1" });
  const door = new AdminDoor({ server: told, clock: realClock, limits: defaultLimits, log, token: null, documents });
  const url = `http://127.0.0.1:${await door.listen({ host: "127.0.0.1", port: 0 })}`;
  endWith(() => void door.close());
  const ask = async (method: string, path: string, fields?: object): Promise<{ status: number; json: Json }> => {
    const body = fields === undefined ? null : JSON.stringify(fields);
    const response = await fetch(url + path, { method, body });
    return { status: response.status, json: (await response.json()) as Json };
  };
  return { ...there, events, ask, adminDoor: door, adminUrl: url };
}

test("[HTTP14] the public document describes every address that is answered, itself included, and no other", async () => {
  const { door, http } = await town();
  const served = (await http("GET", "/openapi.json")).json as unknown as Described;
  expect(served).toEqual(JSON.parse(publicDocuments({ version: "1" }).get("/openapi.json")!));
  expect(operationsOf(served).length).toBeGreaterThan(18);
  expect(differences(served, door.routes)).toEqual({ notDescribed: [], notAnswered: [] });
});

test("[HTTP14] a route that nobody described, and a description that nothing answers, would be seen", async () => {
  const { door, http } = await town();
  const served = (await http("GET", "/openapi.json")).json as unknown as Described;
  const more = [...door.routes, { method: "GET", path: "/v1/rooms/:room/secrets" }];
  expect(differences(served, more).notDescribed).toEqual(["GET /v1/rooms/:room/secrets"]);
  const less = door.routes.filter(({ path }) => path !== "/livez");
  expect(differences(served, less).notAnswered).toEqual(["GET /livez"]);
});

test("[HTTP14] who asks for the WebSocket's address without asking to upgrade is told so", async () => {
  const { http } = await town();
  const answer = await http("GET", "/v1/ws");
  expect(answer).toMatchObject({ status: 426, json: { code: "unsupported", status: 426 } });
  expect(answer.headers.get("upgrade")).toBe("websocket");
});

test("[ADMIN9] the operators' document describes every address that is answered there, and no other", async () => {
  const { ask, adminDoor } = await operators();
  const served = (await ask("GET", "/openapi.json")).json as unknown as Described;
  expect(differences(served, adminDoor.routes)).toEqual({ notDescribed: [], notAnswered: [] });
});

test("[ADMIN9] every operation on a room is described, and does what it says with what it says it takes", async () => {
  const { ask, http } = await operators();
  // Whoever adds an operation comes by here.
  const bodies = {
    retention: { messages: 10 },
    trim: { first: 2 },
    invite: { user: "bob" },
    role: { user: "bob", role: "moderator" },
    kick: { user: "bob" },
    delete: undefined,
  } satisfies Record<Operation["type"], object | undefined>;
  const served = (await ask("GET", "/openapi.json")).json as unknown as Described;
  const described = Object.keys(served.paths).flatMap(
    (path) => /^\/admin\/v1\/rooms\/\{room\}\/(\w+)$/.exec(path)?.[1] ?? [],
  );
  expect(described.toSorted()).toEqual(Object.keys(bodies).toSorted());
  await http("PUT", "/v1/rooms/den");
  for (const body of ["one", "two", "three"]) await http("POST", "/v1/rooms/den/messages", { body });
  for (const [name, body] of Object.entries(bodies)) {
    const operation = served.paths[`/admin/v1/rooms/{room}/${name}`]!["post"] as {
      requestBody?: { content: { "application/json": { schema: object } } };
    };
    expect([name, operation.requestBody === undefined]).toEqual([name, body === undefined]);
    if (operation.requestBody !== undefined) {
      const isTaken = new Ajv2020({ strict: false }).compile(operation.requestBody.content["application/json"].schema);
      expect([name, isTaken(body), isTaken({})]).toEqual([name, true, false]);
    }
    expect([name, await ask("POST", `/admin/v1/rooms/den/${name}`, body)]).toMatchObject([
      name,
      { status: 200, json: { done: { type: name, room: "den" } } },
    ]);
  }
});

/** The same, and nothing besides. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const all = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  return "properties" in schema ? { ...all, additionalProperties: false } : all;
}

test("[ADMIN9] what is shown has exactly the fields that are described", async () => {
  const { ask, tcpPort, events, http } = await operators();
  const alice = await overTcp(tcpPort, "alice");
  alice.say({ t: "sub", id: 1, room: "lobby", after: 0 });
  await alice.answer(1);
  await http("POST", "/v1/rooms/lobby/messages", { body: "one" }, { "idempotency-key": "k1" });
  events.info("peer.lost", { peer: "n3" });
  const served = (await ask("GET", "/openapi.json")).json as unknown as Described;
  const { schemas } = closed(served.components) as Described["components"];
  const wrong: unknown[] = [];
  for (const [path, name] of [
    ["/admin/v1/status", "status"],
    ["/admin/v1/sessions?limit=5", "sessions"],
    ["/admin/v1/cluster", "cluster"],
    ["/admin/v1/cluster/events?after=0", "events"],
    ["/admin/v1/trace/k1?room=lobby&from=alice", "trace"],
    ["/admin/v1/nowhere", "problem"],
  ] as const) {
    const validate = new Ajv2020({ strict: false, allErrors: true }).compile(schemas[name]!);
    const { json } = await ask("GET", path);
    expect(Object.keys(json).length).toBeGreaterThan(0);
    if (!validate(json)) wrong.push([path, validate.errors, json]);
  }
  expect(wrong).toEqual([]);
});
