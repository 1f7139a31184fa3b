import type { IncomingMessage, RequestListener } from "node:http";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import { AssertionFailure } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import { seq } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { type Random, randomHex } from "../base/random.ts";
import { frameOf, isObject, type JsonObject } from "../protocol/check-frame.ts";
import { parseJson } from "../protocol/json-codec.ts";
import { isRoomName } from "../protocol/names.ts";
import { type ClientFrameName, type ClientFrameOf, protocolVersion, type ServerFrame } from "../protocol/schema.ts";
import { textOf, utf8 } from "../protocol/utf8.ts";
import { answerBytes, mayBeLarge } from "../server/answer-size.ts";
import type { Caller } from "../server/caller.ts";
import type { Log } from "../server/log.ts";
import type { EventStreams } from "./event-stream.ts";
import {
  afterOf,
  charsets,
  claimOf,
  type HttpContext,
  idempotencyKeyOf,
  mediaTypeOf,
  numberOf,
  numbersOf,
  queryOf,
} from "./http-request.ts";
import { answerHeaders, json, problemResponse } from "./json-response.ts";
import { methodRefusal, type Route, routesOf } from "./method-refusal.ts";
import { type Page, pageResponse } from "./page.ts";
import { problemHeaders, problemOf, unexpected } from "./problem.ts";
import { RequestBodies } from "./request-body.ts";
import type { AskFrame, RequestPort } from "./server-port.ts";
import { distrustOf, isForeignFriend, type Trust } from "./trust.ts";
import { websocketPath } from "./websocket-door.ts";

/** Longest path with its query: three names, percent-encoded, and a few numbers. */
const urlCharactersMax = 2_048;
/** Requests that are being answered at the same time. Each may hold a page of history. */
const requestsInFlightMax = 1_024;
/** Bodies that are being read, together. */
const heldBodyBytesMax = 64 * 1024 * 1024;

export interface HttpDoorOptions {
  readonly server: RequestPort;
  readonly streams: EventStreams;
  readonly clock: Clock;
  /** From the operating system: it makes message ids. */
  readonly random: Random;
  readonly limits: Limits;
  readonly log: Log;
  readonly trust: Trust;
  /** null: there is no page here. */
  readonly page: Page | null;
  /** Documents by their path, such as "/openapi.json", as JSON text. */
  readonly documents: ReadonlyMap<string, string>;
}

/** Requests over HTTP, and where they are answered. */
export interface HttpRequests {
  readonly listener: RequestListener;
  /** `:name` stands for one part of a path. */
  readonly routes: readonly Route[];
}

/**
 * Clients over plain HTTP: each request stands alone and says who asks. Everything they may ask is a frame of the
 * protocol, built from the request and checked like any other; what is answered is the answer's fields as JSON.
 *
 * 1. who asks is known before a body is read, and a body is bounded before it is kept
 * 2. errors are problems (RFC 9457) with the words of an `err` frame
 * 3. a page of another origin may ask nothing, unless its origin is listed
 */
export function httpDoor(options: HttpDoorOptions): HttpRequests {
  const { server, streams, random, limits, trust, page } = options;
  const bodies = new RequestBodies(heldBodyBytesMax);
  let inFlight = 0;

  const callerOf = async (context: HttpContext): Promise<Caller> => {
    const { user } = await server.identify(claimOf(context));
    return { user, userBytes: utf8(user), answer: notAsked };
  };

  const ask = async (context: HttpContext, name: AskName, fields: JsonObject): Promise<ServerFrame> => {
    const caller = await callerOf(context);
    const frame = checked(name, fields, limits);
    return mayBeLarge(frame) ? inTurn(context, caller, frame) : server.requests.handle(caller, frame);
  };

  // The turn lasts until the answer is with the socket, where it is counted as long as the client does not take it.
  const inTurn = async (context: HttpContext, caller: Caller, frame: AskFrame): Promise<ServerFrame> => {
    await server.requests.prepare(caller, frame);
    await server.turns.next();
    const { outgoing } = context.env;
    let bytes = 0;
    let isDone = false;
    const done = (): void => {
      if (!isDone) server.turns.done(bytes);
      isDone = true;
    };
    outgoing.once("prefinish", done);
    outgoing.once("close", done);
    if (outgoing.closed || outgoing.destroyed) {
      done();
      throw new Fault("unavailable", "the request ended before its turn came");
    }
    const answer = await server.requests.answer(caller, frame);
    bytes = answerBytes(answer);
    return answer;
  };

  const post = async (context: HttpContext, to: { room: string } | { to: string }): Promise<Response> => {
    const caller = await callerOf(context);
    const given = idempotencyKeyOf(context);
    const fields = await messageOf(context);
    const frame = checked("send", { ...fields, ...to, cid: given ?? randomHex(random, 16) }, limits);
    const answer = await server.send(caller, frame);
    const shown = withoutFrame(answer);
    if (given === null) shown["note"] = "sent without Idempotency-Key: repeating the request stores a second message";
    return json(shown, answer.t === "ok" && answer.of === "send" && answer.dup ? 200 : 201);
  };

  const messageOf = async (context: HttpContext): Promise<JsonObject> => {
    const { incoming } = context.env;
    const { type, charset } = mediaTypeOf(incoming);
    if (!charsets.includes(charset)) throw new Fault("unsupported", "bodies are UTF-8, and no other charset");
    switch (type) {
      case "application/json":
        return jsonOf(await bodies.read(incoming, limits.frameBytesMax));
      case "text/plain": {
        const bytes = await bodies.read(incoming, limits.bodyBytesMax);
        return { body: textOf(bytes, 0, bytes.length) };
      }
      default:
        throw new Fault("unsupported", "say what the body is: Content-Type: text/plain, or application/json");
    }
  };

  const jsonOf = (bytes: Uint8Array): JsonObject => {
    const value = parseJson(bytes, limits);
    if (!isObject(value)) throw new Fault("bad_request", "the body must be a JSON object");
    return value;
  };

  /** Fields of a request whose body may be missing. */
  const optionalJson = async (context: HttpContext): Promise<JsonObject> => {
    const { incoming } = context.env;
    const bytes = await bodies.read(incoming, limits.helloBytesMax);
    return bytes.length === 0 ? {} : jsonOf(bytes);
  };

  const app = new Hono<{ Bindings: HttpBindings }>();

  app.get("/livez", () => json({ ok: true }));
  for (const path of ["/readyz", "/healthz"]) {
    app.get(path, () => {
      const { ok, reason } = server.ready;
      return json({ ok, reason }, ok ? 200 : 503);
    });
  }

  for (const [path, text] of options.documents) {
    app.get(path, () => new Response(text, { headers: { ...answerHeaders, "content-type": "application/json" } }));
  }

  app.post("/v1/rooms/:room/messages", (context) => post(context, { room: context.req.param("room") }));
  app.post("/v1/users/:user/messages", (context) => post(context, { to: context.req.param("user") }));

  app.get("/v1/rooms/:room/messages", async (context) => {
    const answer = await ask(context, "hist", {
      room: context.req.param("room"),
      ...numbersOf(context, ["before", "after", "around", "limit", "atLeast"]),
      ...queryOf(context, ["level"]),
    });
    return json(withoutFrame(answer));
  });

  app.get("/v1/rooms/:room/messages/by-cid/:from/:cid", async (context) => {
    const { room, from, cid } = context.req.param();
    const answer = withoutFrame(await ask(context, "lookup", { room, from, cid }));
    if (answer["seq"] !== null) return json(answer);
    const fault = new Fault("not_found", "no message with this id is stored up to the head");
    return json(
      { ...problemOf(fault), room, cid, head: answer["head"], first: answer["first"] },
      404,
      problemHeaders(fault),
    );
  });

  app.get("/v1/rooms/:room/digest", async (context) => {
    const room = context.req.param("room");
    if (!isRoomName(room)) throw new Fault("bad_request", "this is not the name of a room");
    const upto = numbersOf(context, ["upto"]).upto;
    const caller = await callerOf(context);
    return json(await server.digest(caller, room, upto === undefined ? null : seq(upto)));
  });

  app.get("/v1/rooms/:room/stream", async (context) => {
    // A stream without its body would stand, and nobody would read it.
    if (context.env.incoming.method === "HEAD") throw new Fault("unsupported", "a stream is read with GET");
    const claim = claimOf(context);
    const { user } = await server.identify(claim);
    const last = context.req.header("last-event-id");
    const after =
      last === undefined || last === "" ? afterOf(queryOf(context, ["after"]).after) : numberOf(last, "Last-Event-ID");
    const sub = checked(
      "sub",
      {
        room: context.req.param("room"),
        after,
        ...numbersOf(context, ["atLeast"]),
        ...queryOf(context, ["line"]),
      },
      limits,
    );
    const token = claim.token === null ? {} : { token: claim.token };
    const hello: ClientFrameOf<"hello"> = { t: "hello", v: protocolVersion, user, ...token };
    const headers = { ...answerHeaders, ...friendHeaders(context.env.incoming) };
    await streams.open(context.env.outgoing, { address: claim.address, hello, sub, headers });
    return RESPONSE_ALREADY_SENT;
  });

  // Whoever asks to upgrade never comes here.
  app.get(websocketPath, () => upgradeRefusal());

  app.get("/v1/rooms", async (context) =>
    json(withoutFrame(await ask(context, "rooms", numbersOf(context, ["atLeast"])))),
  );

  app.put("/v1/rooms/:room", async (context) => {
    const caller = await callerOf(context);
    const fields = await optionalJson(context);
    const frame = checked("join", { ...fields, room: context.req.param("room") }, limits);
    return json(withoutFrame(await server.requests.handle(caller, frame)));
  });

  app.delete("/v1/rooms/:room", async (context) => {
    return done(await ask(context, "leave", { room: context.req.param("room") }));
  });

  app.get("/v1/rooms/:room/members", async (context) => {
    const answer = await ask(context, "members", {
      room: context.req.param("room"),
      ...numbersOf(context, ["limit"]),
      ...queryOf(context, ["after"]),
    });
    return json(withoutFrame(answer));
  });

  app.put("/v1/rooms/:room/members/:user", async (context) => {
    return done(await ask(context, "invite", context.req.param()));
  });

  app.delete("/v1/rooms/:room/members/:user", async (context) => {
    return done(await ask(context, "remove", context.req.param()));
  });

  app.put("/v1/rooms/:room/read", async (context) => {
    const caller = await callerOf(context);
    const fields = await optionalJson(context);
    const frame = checked("read", { ...fields, room: context.req.param("room") }, limits);
    return done(await server.requests.handle(caller, frame));
  });

  app.notFound((context) => {
    const { method, path } = context.req;
    if (page !== null && (method === "GET" || method === "HEAD")) {
      const response = pageResponse(page, path, {
        acceptEncoding: context.req.header("accept-encoding") ?? "",
        ifNoneMatch: context.req.header("if-none-match") ?? null,
        isHead: method === "HEAD",
      });
      if (response !== null) return response;
    }
    const refusal = methodRefusal(app.routes, method, path);
    return refusal ?? problemResponse(new Fault("not_found", `${method} is not answered at this address`));
  });

  app.onError((cause) => {
    if (cause instanceof Fault) return problemResponse(cause);
    options.log.error("door.failed", { door: "http", cause });
    // The program is wrong, for everybody: outside of this request, where nobody catches it.
    if (cause instanceof AssertionFailure) {
      options.clock.defer(() => {
        throw cause;
      });
    }
    return problemResponse(unexpected());
  });

  /** For the pages of listed origins: they may read what is answered. */
  const friendHeaders = (incoming: IncomingMessage): Record<string, string> => {
    const origin = incoming.headers.origin ?? null;
    if (trust.origins.length === 0) return {};
    if (!isForeignFriend(trust, origin)) return { vary: "origin" };
    return { vary: "origin", "access-control-allow-origin": origin, "access-control-expose-headers": exposedHeaders };
  };

  const answer = async (request: Request, env: HttpBindings): Promise<Response> => {
    const { incoming } = env;
    const fault = refusalOf(incoming);
    if (fault !== null) return problemResponse(fault);
    const friend = friendHeaders(incoming);
    if (incoming.method === "OPTIONS" && incoming.headers["access-control-request-method"] !== undefined) {
      return new Response(null, { status: 204, headers: { ...answerHeaders, ...friend, ...preflightHeaders } });
    }
    if (inFlight >= requestsInFlightMax) {
      return problemResponse(new Fault("overloaded", "too many requests are being answered", { retryAfterMs: 500 }));
    }
    inFlight++;
    try {
      const response = await app.fetch(request, env);
      if (response !== RESPONSE_ALREADY_SENT) for (const name in friend) response.headers.set(name, friend[name]!);
      return response;
    } finally {
      inFlight--;
    }
  };

  const refusalOf = (incoming: IncomingMessage): Fault | null => {
    const { headers, url = "" } = incoming;
    if (url.length > urlCharactersMax)
      return new Fault("too_large", `an address takes at most ${urlCharactersMax} bytes`);
    const source = { host: headers.host ?? null, origin: headers.origin ?? null, hasCookie: false };
    const why = distrustOf(trust, source);
    return why === null ? null : new Fault("forbidden", why);
  };

  const listener = getRequestListener((request, env) => answer(request, env as HttpBindings), {
    overrideGlobalObjects: false,
    autoCleanupIncoming: true,
  });
  const handle: RequestListener = (incoming, outgoing) => {
    // It answers every error itself; what is left is a connection that broke meanwhile.
    listener(incoming, outgoing).catch((cause: unknown) => {
      options.log.warn("door.response.failed", { door: "http", cause });
      outgoing.destroy();
    });
  };
  return { listener: handle, routes: routesOf(app.routes) };
}

type AskName = Extract<ClientFrameName, AskFrame["t"]>;

/** The frame of these fields, checked as if a client had sent it. Throws its Fault. */
function checked<N extends ClientFrameName>(name: N, fields: JsonObject, limits: Limits): ClientFrameOf<N> {
  const frame = frameOf("client", { ...fields, t: name, id: 0 }, limits);
  if (frame.t === "refused") throw frame.fault;
  return frame as ClientFrameOf<N>;
}

/** The fields of an answer, without what only frames need. */
function withoutFrame(answer: ServerFrame): Record<string, unknown> {
  const { t: _t, of: _of, id: _id, ...fields } = answer as ServerFrame & { of?: string; id?: unknown };
  return fields;
}

/** To who asks for the address of WebSockets in the way of HTTP (RFC 9110, 15.5.22). */
function upgradeRefusal(): Response {
  const fault = new Fault("unsupported", "here is a WebSocket; ask to upgrade to it");
  return json({ ...problemOf(fault), status: 426 }, 426, { ...problemHeaders(fault), upgrade: "websocket" });
}

/** There is nothing to tell but that it is done, and where in the log. */
function done(answer: ServerFrame): Response {
  const position = "position" in answer && answer.position !== undefined ? String(answer.position) : null;
  const headers = { ...answerHeaders, ...(position === null ? {} : { "synod-position": position }) };
  return new Response(null, { status: 204, headers });
}

const exposedHeaders = "retry-after, synod-line, synod-head, synod-node, synod-position";

const preflightHeaders = {
  "access-control-allow-methods": "GET, POST, PUT, DELETE",
  "access-control-allow-headers": "authorization, content-type, idempotency-key, last-event-id, synod-user",
  "access-control-max-age": "600",
} as const;

// A request is answered by what its handler settles with; nothing is pushed to it.
const notAsked: Caller["answer"] = (frame) => {
  throw new AssertionFailure(`an HTTP request was sent ${frame.t}`);
};
