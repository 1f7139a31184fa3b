import { fieldSchema, fieldsSchema } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import {
  answer,
  asJson,
  failed,
  inPath,
  inQuery,
  itself,
  license,
  named,
  openApiVersion,
  problemResponse,
  problemSchema,
  ref,
} from "./openapi-parts.ts";
import { clientFrames, messageFields, serverFrames, subprotocols, wholeMax } from "./schema.ts";

/** The HTTP door as an OpenAPI 3.1 document. Bodies and answers are the fields of the frames that do the same. */
export function openApiDocument(about: { readonly version: string }): JsonSchema {
  return {
    openapi: openApiVersion,
    info: {
      title: "Synod over HTTP",
      version: about.version,
      description:
        "Send, read and look up messages without a WebSocket. Any server takes any request. Every error carries a code, " +
        "whether it is definite for this attempt, and whether trying again helps.",
      license,
    },
    security: [{ token: [] }, { user: [] }],
    paths: named(paths()),
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "A signed token; its subject is the user." },
        user: {
          type: "apiKey",
          in: "header",
          name: "Synod-User",
          description: "The user, where authentication is open.",
        },
      },
      schemas: schemas(),
      responses: { problem: problemResponse },
    },
  };
}

const send = clientFrames.send.fields;
const seq = { type: "integer", minimum: 0, maximum: wholeMax };

function schemas(): Readonly<Record<string, JsonSchema>> {
  return {
    message: fieldsSchema(messageFields),
    send: fieldsSchema({ body: send.body, kind: send.kind, ref: send.ref, since: send.since, prev: send.prev }),
    sent: sentSchema(),
    page: fieldsSchema(serverFrames.okHist.fields),
    found: fieldsSchema(serverFrames.okLookup.fields),
    joined: fieldsSchema(serverFrames.okJoin.fields),
    rooms: fieldsSchema(serverFrames.okRooms.fields),
    members: fieldsSchema(serverFrames.okMembers.fields),
    room: { type: "object", properties: { private: fieldSchema(clientFrames.join.fields.private) } },
    digest: {
      type: "object",
      properties: {
        room: fieldSchema(send.room),
        line: fieldSchema(serverFrames.okSub.fields.line),
        upto: seq,
        digest: { type: "string", pattern: "^[0-9a-f]{64}$" },
        node: { type: "string" },
      },
      required: ["room", "line", "upto", "digest", "node"],
    },
    problem: problemSchema,
    readMark: fieldsSchema({ seq: clientFrames.read.fields.seq }),
    health: {
      type: "object",
      properties: { ok: { type: "boolean" }, reason: { anyOf: [{ type: "string" }, { type: "null" }] } },
      required: ["ok"],
    },
  };
}

/** The answer to a send; without an idempotency key it also says what a repeat would do. */
function sentSchema(): JsonSchema {
  const schema = fieldsSchema(serverFrames.okSend.fields);
  const properties = schema["properties"] as Readonly<Record<string, JsonSchema>>;
  return { ...schema, properties: { ...properties, note: { type: "string", description: "For people." } } };
}

const room = inPath("room", fieldSchema(send.room), "The room; a direct room is named @alice,bob.");
const user = inPath("user", fieldSchema(send.to), "The user.");
const atLeast = inQuery(
  "atLeast",
  seq,
  "A seq the server must have reached; it waits up to 2 s, then answers `behind`.",
);

/** The answer that has nothing to tell but where in the log it was done. */
const done = (description: string): JsonSchema => ({
  description,
  headers: {
    "Synod-Position": {
      description: "`position`: how far the log was, for `atLeast` of the list of rooms.",
      schema: fieldSchema(serverFrames.okDone.fields.position),
    },
  },
});

const idempotencyKey: JsonSchema = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  description: "The cid. Without it the server makes one, and a repeat is a second message.",
  schema: fieldSchema(send.cid),
};

const postMessage = (summary: string, where: JsonSchema): JsonSchema => ({
  summary,
  parameters: [where, idempotencyKey],
  requestBody: {
    required: true,
    content: {
      "application/json": { schema: ref("send") },
      "text/plain": { schema: { type: "string", description: "The body." } },
    },
  },
  responses: {
    "200": answer("It was stored before; `seq` and `ts` are those of the first time.", ref("sent")),
    "201": answer("It is flushed on a quorum.", ref("sent")),
    ...failed,
  },
});

const probe = (summary: string): JsonSchema => ({
  summary,
  security: [],
  responses: { "200": answer("Yes.", ref("health")), "503": answer("No, and why.", ref("health")) },
});

const history = clientFrames.hist.fields;

function paths(): Readonly<Record<string, JsonSchema>> {
  return {
    "/v1/rooms": {
      get: {
        summary: "The rooms I belong to",
        parameters: [
          inQuery("atLeast", fieldSchema(clientFrames.rooms.fields.atLeast), "How far the server's log must be."),
        ],
        responses: { "200": answer("They.", ref("rooms")), ...failed },
      },
    },
    "/v1/rooms/{room}": {
      parameters: [room],
      put: {
        summary: "Join a room; make it if it is new and that is allowed",
        requestBody: asJson(ref("room"), false),
        responses: { "200": answer("A member now.", ref("joined")), ...failed },
      },
      delete: { summary: "Leave a room", responses: { "204": done("No member any more."), ...failed } },
    },
    "/v1/rooms/{room}/members": {
      get: {
        summary: "Who is a member",
        parameters: [
          room,
          inQuery("after", fieldSchema(clientFrames.members.fields.after), "Names behind this one."),
          inQuery("limit", fieldSchema(clientFrames.members.fields.limit), "At most this many."),
        ],
        responses: { "200": answer("A page of them.", ref("members")), ...failed },
      },
    },
    "/v1/rooms/{room}/members/{user}": {
      parameters: [room, user],
      put: {
        summary: "Make somebody a member; for the owner and moderators",
        responses: { "204": done("A member now."), ...failed },
      },
      delete: {
        summary: "Put a member out; for the owner, and for moderators where it is a plain member",
        responses: { "204": done("No member any more."), ...failed },
      },
    },
    "/v1/rooms/{room}/read": {
      put: {
        summary: "Move my read mark; it never goes back",
        parameters: [room],
        requestBody: asJson(ref("readMark"), true),
        responses: { "204": done("Moved."), ...failed },
      },
    },
    "/v1/rooms/{room}/messages": {
      post: postMessage("Send a message", room),
      get: {
        summary: "A page of history",
        parameters: [
          room,
          inQuery("before", fieldSchema(history.before), "The newest below this seq."),
          inQuery("after", fieldSchema(history.after), "The oldest above this seq."),
          inQuery("around", fieldSchema(history.around), "Half below, half from this seq on."),
          inQuery("limit", fieldSchema(history.limit), "At most this many."),
          inQuery("level", fieldSchema(history.level), "How fresh the answer must be."),
          atLeast,
        ],
        responses: { "200": answer("The page.", ref("page")), ...failed },
      },
    },
    "/v1/users/{user}/messages": { post: postMessage("Send a direct message", user) },
    "/v1/rooms/{room}/messages/by-cid/{from}/{cid}": {
      get: {
        summary: "Where a message is, linearizable",
        parameters: [
          room,
          inPath("from", fieldSchema(send.to), "Its sender."),
          inPath("cid", fieldSchema(send.cid), "The sender's id of it."),
        ],
        responses: {
          "200": answer("There.", ref("found")),
          "404": {
            ...problemResponse,
            description: "Not stored from `first` to `head`, which are told; or not for this user.",
          },
          ...failed,
        },
      },
    },
    "/v1/rooms/{room}/stream": {
      get: {
        summary: "Messages as server-sent events",
        description:
          "The data of an event is a frame. `msg` comes without an event name, its seq is the id; `gap`, `caught-up` and " +
          "others come as events named after their `t`. Nothing is skipped in silence.",
        parameters: [
          room,
          inQuery("after", { anyOf: [seq, { const: "latest" }] }, "The last seq already had."),
          inQuery("line", fieldSchema(clientFrames.sub.fields.line), "The line that `after` belongs to."),
          atLeast,
          {
            name: "Last-Event-ID",
            in: "header",
            required: false,
            description: "The same, as browsers send it when they reconnect; it wins over `after`.",
            schema: { type: "string" },
          },
        ],
        responses: {
          "200": { description: "The stream.", content: { "text/event-stream": { schema: { type: "string" } } } },
          ...failed,
        },
      },
    },
    "/v1/rooms/{room}/digest": {
      get: {
        summary: "A digest of the first messages, equal on all servers",
        parameters: [room, inQuery("upto", seq, "The last seq that counts; the head if not given.")],
        responses: { "200": answer("The digest.", ref("digest")), ...failed },
      },
    },
    "/v1/ws": {
      get: {
        summary: "Become a WebSocket: frames instead of requests",
        description: "The frames are described at /asyncapi.json.",
        security: [],
        parameters: [
          {
            name: "Sec-WebSocket-Protocol",
            in: "header",
            required: false,
            description: "The encoding; the first one if not given.",
            schema: { type: "string", enum: Object.values(subprotocols) },
          },
        ],
        responses: {
          "101": { description: "A WebSocket from now on." },
          "426": { ...problemResponse, description: "The request did not ask for a WebSocket." },
          ...failed,
        },
      },
    },
    "/openapi.json": { get: itself("This document") },
    "/asyncapi.json": { get: itself("The frames of WebSocket and TCP, as AsyncAPI") },
    "/livez": { get: { ...probe("Does the process run?"), responses: { "200": answer("Yes.", ref("health")) } } },
    "/readyz": { get: probe("Can sends succeed here?") },
    "/healthz": { get: probe("Is this server well?") },
  };
}
