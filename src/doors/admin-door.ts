import { createHash, timingSafeEqual } from "node:crypto";
import type { RequestListener } from "node:http";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import { assert, AssertionFailure } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import { type RoomName, seq, type Seq, type UserName } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { isObject, type JsonObject } from "../protocol/check-frame.ts";
import { parseJson } from "../protocol/json-codec.ts";
import { isRoomName, isUserName } from "../protocol/names.ts";
import type { Log } from "../server/log.ts";
import type { Operation } from "../server/operator.ts";
import { clusterRoutes } from "./cluster-routes.ts";
import { defaultHttpTimes, HttpListener } from "./http-listener.ts";
import { type HttpContext, queryOf } from "./http-request.ts";
import { answerHeaders, json, problemResponse } from "./json-response.ts";
import { methodRefusal, type Route, routesOf } from "./method-refusal.ts";
import { type Page, pageResponse } from "./page.ts";
import { unexpected } from "./problem.ts";
import { RequestBodies } from "./request-body.ts";
import type { OperatorPort } from "./server-port.ts";
import { distrustOf, loopbackHosts } from "./trust.ts";

/** Operators and what scrapes metrics; nobody else. */
const connectionsMax = 64;
const bodyBytesMax = 4 * 1024;
const sessionsDefault = 1_000;
/** 2^48 - 1: all numbers of a command have six bytes. */
const numberMax = 0xffff_ffff_ffff;

export interface AdminDoorOptions {
  readonly server: OperatorPort;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  /** What an operator must show (`Authorization: Bearer`). null: nothing; then it listens on loopback only. */
  readonly token: string | null;
  /** Documents by their path, such as "/openapi.json", as JSON text. */
  readonly documents: ReadonlyMap<string, string>;
  /** What operators look at; null: nothing. @defaultValue null */
  readonly page?: Page | null;
}

/**
 * How operators get in: a port of its own, on loopback unless it was given a token. Shows what the server does, and has
 * operations put in order.
 *
 * 1. nobody is answered without the token, where there is one; but for the files of the page, which hold no secret and ask for it
 * 2. a page in the operator's browser is not the operator: no request with an `Origin` is answered, and without a token
 *    none that calls the server by a name other than loopback's. The door's own page only reads, for which browsers name
 *    no origin
 */
export class AdminDoor {
  readonly listener: HttpListener;
  /** Where operators are answered; `:name` stands for one part of a path. */
  readonly routes: readonly Route[];
  readonly #token: string | null;

  constructor(options: AdminDoorOptions) {
    this.#token = options.token;
    const times = defaultHttpTimes;
    const { listener: handle, routes } = adminRequests(options);
    this.routes = routes;
    this.listener = new HttpListener({
      handle,
      upgrade: null,
      held: null,
      connectionsMax,
      times,
      clock: options.clock,
    });
  }

  /** Settles with the port. Asserts that an address beyond loopback comes with a token. */
  listen(at: { host: string; port: number }): Promise<number> {
    assert(this.#token !== null || isLoopback(at.host), `the admin port on ${at.host} needs a token`);
    return this.listener.listen(at);
  }

  /** Ends everything; settles when the port is free. */
  close(): Promise<void> {
    return this.listener.close();
  }
}

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);

function pageFileOf({ req }: HttpContext, page: Page | null): Response | null {
  if (page === null || (req.method !== "GET" && req.method !== "HEAD")) return null;
  return pageResponse(page, req.path, {
    acceptEncoding: req.header("accept-encoding") ?? "",
    ifNoneMatch: req.header("if-none-match") ?? null,
    isHead: req.method === "HEAD",
  });
}

function adminRequests(options: AdminDoorOptions): { listener: RequestListener; routes: readonly Route[] } {
  const { server, limits, token } = options;
  const bodies = new RequestBodies(connectionsMax * bodyBytesMax);
  const trust = { origins: [], hosts: token === null ? loopbackHosts : null };
  const app = new Hono<{ Bindings: HttpBindings }>();

  app.use(async (context, next) => {
    const { headers } = context.env.incoming;
    const why = distrustOf(trust, {
      host: headers.host ?? null,
      origin: null,
      hasCookie: headers.cookie !== undefined,
    });
    if (why !== null) throw new Fault("forbidden", why);
    const file = pageFileOf(context, options.page ?? null);
    // Browsers name the origin when a page loads its own parts, and not when it reads from where it came.
    const source = { host: headers.host ?? null, origin: headers.origin ?? null, hasCookie: false };
    if (file !== null && distrustOf(trust, source) === null) return file;
    if (headers.origin !== undefined) throw new Fault("forbidden", "pages may not use this port");
    if (token !== null && !isSame(headers.authorization ?? "", `Bearer ${token}`)) {
      throw new Fault("unauthorized", "this port asks for the admin token");
    }
    return next();
  });

  for (const [path, text] of options.documents) {
    app.get(path, () => new Response(text, { headers: { ...answerHeaders, "content-type": "application/json" } }));
  }

  app.get("/metrics", async () => {
    const text = await server.metrics();
    return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
  });

  app.get("/admin/v1/status", async () => json(await server.status()));

  app.get("/admin/v1/sessions", (context) => {
    const { limit: text } = queryOf(context, ["limit"]);
    if (text !== undefined && !/^\d{1,6}$/.test(text)) throw new Fault("bad_request", '"limit" must be a whole number');
    const sessions = server.sessionList(text === undefined ? sessionsDefault : Number(text));
    return json({ sessions });
  });

  app.post("/admin/v1/rooms/:room/:operation", async (context) => {
    const room = context.req.param("room");
    if (!isRoomName(room)) throw new Fault("bad_request", "this is not the name of a room");
    const fields = await fieldsOf(context);
    const operation = operationOf(context.req.param("operation"), room, fields);
    await server.operate(operation);
    options.log.info("operation.done", { ...operation });
    return json({ done: operation });
  });

  const fieldsOf = async (context: HttpContext): Promise<JsonObject> => {
    const bytes = await bodies.read(context.env.incoming, bodyBytesMax);
    if (bytes.length === 0) return {};
    const value = parseJson(bytes, limits);
    if (!isObject(value)) throw new Fault("bad_request", "the body must be a JSON object");
    return value;
  };

  clusterRoutes(app, { cluster: server.cluster, clock: options.clock, log: options.log, fieldsOf });

  app.notFound(({ req }) => {
    const refusal = methodRefusal(app.routes, req.method, req.path);
    return refusal ?? problemResponse(new Fault("not_found", "nothing is answered at this address"));
  });

  app.onError((cause) => {
    if (cause instanceof Fault) return problemResponse(cause);
    options.log.error("door.failed", { door: "admin", cause });
    // The program is wrong, for everybody: outside of this request, where nobody catches it.
    if (cause instanceof AssertionFailure) {
      options.clock.defer(() => {
        throw cause;
      });
    }
    return problemResponse(unexpected());
  });

  const listener = getRequestListener((request, env) => app.fetch(request, env), {
    overrideGlobalObjects: false,
    autoCleanupIncoming: true,
  });
  const handle: RequestListener = (incoming, outgoing) => {
    // It answers every error itself; what is left is a connection that broke meanwhile.
    listener(incoming, outgoing).catch((cause: unknown) => {
      options.log.warn("door.response.failed", { door: "admin", cause });
      outgoing.destroy();
    });
  };
  return { listener: handle, routes: routesOf(app.routes) };
}

// Hashes have the same length and tell nothing, however far the texts agree.
function isSame(given: string, wanted: string): boolean {
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(wanted));
}

/** The operation a request asks for. Throws `bad_request`, or `not_found` for an operation that is none. */
function operationOf(name: string, room: RoomName, fields: JsonObject): Operation {
  switch (name) {
    case "retention": {
      // What is not given is without end. At least one must be given, so that a typing error does not lift all bounds.
      const [ageMs, messages, bytes] = ["ageMs", "messages", "bytes"].map((field) => optionalNumber(fields, field));
      if (ageMs === undefined && messages === undefined && bytes === undefined) {
        throw new Fault("bad_request", "retention takes ageMs, messages or bytes; 0 = without end");
      }
      return { type: "retention", room, ageMs: ageMs ?? 0, messages: messages ?? 0, bytes: bytes ?? 0 };
    }
    case "trim":
      return { type: "trim", room, first: seqOf(fields) };
    case "delete":
      return { type: "delete", room };
    case "kick":
    case "invite":
      return { type: name, room, user: userOf(fields) };
    case "role":
      return { type: "role", room, user: userOf(fields), role: roleOf(fields) };
    default:
      throw new Fault("not_found", "there is no such operation");
  }
}

function optionalNumber(fields: JsonObject, name: string): number | undefined {
  const value = fields[name];
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > numberMax) {
    throw new Fault("bad_request", `"${name}" must be a whole number`);
  }
  return value;
}

function seqOf(fields: JsonObject): Seq {
  const first = optionalNumber(fields, "first");
  if (first === undefined || first === 0) throw new Fault("bad_request", '"first" must be the first seq to be kept');
  return seq(first);
}

function userOf(fields: JsonObject): UserName {
  const user = fields["user"];
  if (typeof user !== "string" || !isUserName(user))
    throw new Fault("bad_request", '"user" must be the name of a user');
  return user;
}

type RoleName = Extract<Operation, { type: "role" }>["role"];
const roleNames: readonly string[] = ["member", "moderator", "owner"] satisfies RoleName[];

function roleOf(fields: JsonObject): RoleName {
  const role = fields["role"];
  if (typeof role !== "string" || !roleNames.includes(role)) {
    throw new Fault("bad_request", `"role" must be one of ${roleNames.join(", ")}`);
  }
  return role as RoleName;
}
