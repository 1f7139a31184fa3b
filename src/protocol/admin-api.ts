import { fieldSchema } from "./json-schema.ts";
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
import { clientFrames, wholeMax } from "./schema.ts";

/** The operators' port as an OpenAPI 3.1 document. */
export function adminApiDocument(about: { readonly version: string }): JsonSchema {
  return {
    openapi: openApiVersion,
    info: {
      title: "Synod for operators",
      version: about.version,
      description:
        "What a server does, and what is to be done with rooms and servers. On loopback, or behind a token. What is to be " +
        "done is put in order like a message, and answered once it is durable.",
      license,
    },
    security: [{ token: [] }, {}],
    paths: named({ ...lookPaths, ...clusterPaths, ...roomPaths(), "/openapi.json": { get: own } }),
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "The admin token, where one is configured." },
      },
      schemas,
      responses: { problem: problemResponse },
    },
  };
}

// Like everything on this port, it is given to who has the token.
const { security: _, ...own } = itself("This document");

const whole: JsonSchema = { type: "integer", minimum: 0 };
const number: JsonSchema = { type: "number" };
const text: JsonSchema = { type: "string" };
const truth: JsonSchema = { type: "boolean" };
const seq: JsonSchema = { type: "integer", minimum: 1, maximum: wholeMax };
const list = (items: JsonSchema): JsonSchema => ({ type: "array", items });
const orNull = (schema: JsonSchema): JsonSchema => ({ anyOf: [schema, { type: "null" }] });
const oneOf = (...words: readonly string[]): JsonSchema => ({ type: "string", enum: words });
const described = (schema: JsonSchema, description: string): JsonSchema => ({ ...schema, description });

/** All of these, and perhaps more in a later version. */
const object = (properties: Readonly<Record<string, JsonSchema>>): JsonSchema => ({
  type: "object",
  properties,
  required: Object.keys(properties),
});

const { room, user } = clientFrames.invite.fields;
const { cid } = clientFrames.send.fields;

const ready = object({ ok: truth, reason: orNull(described(text, "Why sends cannot succeed here.")) });

const server = object({
  node: text,
  role: described(orNull(oneOf("voter", "learner")), "null: listed, and not in the group."),
  incarnation: orNull(text),
  isLeader: truth,
  isSelf: truth,
  address: orNull(text),
  state: oneOf("here", "unknown", "alive", "suspected", "dead"),
  link: oneOf("here", "unreachable", "waiting", "dialling", "linked"),
  matched: described(orNull(whole), "Up to which entry it has the log; only the leader knows."),
  lagEntries: orNull(whole),
  lackingChunks: described(orNull(whole), "Sealed files that it says it has not yet, or not whole."),
  backlog: described(whole, "Bytes on their way to it."),
  diskIsStuck: truth,
  syncAgeMs: number,
  loopLagMs: number,
  hears: list(text),
});

const group = object({
  group: whole,
  role: text,
  term: whole,
  leader: orNull(text),
  commitIndex: whole,
  appliedIndex: whole,
  lastIndex: whole,
  voters: list(text),
  learners: list(text),
  logTs: whole,
  logDay: whole,
  timeZone: text,
  retentionDays: whole,
  bounds: { type: "object", additionalProperties: whole },
  clockAheadMs: number,
  clockDoubtedMs: number,
  lastChunk: whole,
  snapshotIndex: whole,
});

const storage = object({
  journalBytes: whole,
  journal: { type: "object" },
  chunks: whole,
  chunkBytes: whole,
  diskFree: orNull(whole),
  readOnly: truth,
  corruptDetected: whole,
  scrubbedChunks: whole,
  repaired: whole,
  quarantined: whole,
  fsyncErrors: whole,
  sealBacklog: whole,
  unsealedBytes: whole,
  ringBytes: whole,
});

const standing = object({ room: text, head: whole, savePoint: whole });

const told = object({
  number: described(seq, "1, 2, 3 … since the process began."),
  at: whole,
  level: oneOf("info", "warn", "error"),
  event: text,
  fields: { type: "object" },
});

const step = object({
  step: oneOf("send", "append", "flush", "commit", "deliver"),
  at: described(number, "Milliseconds since 1970, by this server's wall clock."),
  afterMs: described(number, "Since the first step that is told."),
});

const traced = object({
  room: text,
  from: text,
  state: oneOf("gathered", "in-log", "stored"),
  seq: orNull(seq),
  ts: orNull(whole),
  epoch: orNull(whole),
  entry: orNull(whole),
  messagesInEntry: orNull(whole),
  steps: list(step),
});

const schemas: Readonly<Record<string, JsonSchema>> = {
  problem: problemSchema,
  status: object({
    node: text,
    incarnation: text,
    version: text,
    topology: text,
    cluster: text,
    wallClock: whole,
    ready,
    groups: list(group),
    peers: list(server),
    storage,
    rings: object({ rooms: whole, head: whole, savePoint: whole, kept: whole, unsaved: list(standing) }),
    clients: object({
      connections: whole,
      slowDropped: whole,
      slowPaused: whole,
      heldBytes: whole,
      delivered: whole,
      rejected: whole,
    }),
    process: object({ rss: whole, fds: whole, uptimeMs: number, loopDelayP99Ms: number }),
    insecure: described(list(text), "Settings that are fit for one machine only, in words."),
  }),
  sessions: object({
    sessions: list(
      object({
        session: text,
        state: text,
        user: orNull(text),
        door: text,
        format: text,
        address: text,
        rooms: list(text),
        queuedBytes: whole,
        heardMsAgo: number,
      }),
    ),
  }),
  cluster: object({
    node: text,
    at: whole,
    cluster: text,
    topology: text,
    ready,
    leader: orNull(text),
    role: text,
    term: whole,
    isAuthoritative: truth,
    transfersTo: orNull(text),
    appliedIndex: whole,
    lastIndex: whole,
    pace: object({
      messagesPerSecond: number,
      entriesPerSecond: number,
      deliveriesPerSecond: number,
      flushMs: orNull(object({ p50: number, p99: number, max: number })),
    }),
    servers: list(server),
    catchUp: orNull({ type: "object" }),
  }),
  events: object({
    began: described(whole, "When this process began: the numbers are its own."),
    last: described(whole, "The number of the newest."),
    events: list(told),
  }),
  trace: object({ cid: text, node: text, messages: list(traced), searched: whole }),
  done: object({
    done: {
      type: "object",
      description: "What was done.",
      properties: { type: text, room: fieldSchema(room) },
      required: ["type", "room"],
    },
  }),
};

const lookPaths: Readonly<Record<string, JsonSchema>> = {
  "/metrics": {
    get: { summary: "Metrics", responses: { "200": answer("As Prometheus text.", text, "text/plain"), ...failed } },
  },
  "/admin/v1/status": {
    get: {
      summary: "What this server is and does",
      responses: { "200": answer("That.", ref("status")), ...failed },
    },
  },
  "/admin/v1/sessions": {
    get: {
      summary: "Who is connected: by which door, in which rooms",
      parameters: [inQuery("limit", { ...whole, maximum: 999_999, default: 1_000 }, "At most this many.")],
      responses: { "200": answer("They.", ref("sessions")), ...failed },
    },
  },
  "/admin/v1/trace/{cid}": {
    get: {
      summary: "Where a message is, and when it went which step of its way here",
      parameters: [
        inPath("cid", fieldSchema(cid), "The sender's id of it."),
        inQuery("room", fieldSchema(room), "With `from`: looked for in all that this room keeps."),
        inQuery("from", fieldSchema(user), "Its sender."),
      ],
      responses: { "200": answer("What is known of it.", ref("trace")), ...failed },
    },
  },
};

const node = inPath("node", { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$" }, "The name of a server.");
const eventPlace = [
  inQuery("after", whole, "Those behind this number; from the oldest that is kept if not given."),
  inQuery("began", whole, "The process that `after` is of; another one is read from its beginning."),
];
const stands = answer("How the cluster stands then.", ref("cluster"));

const clusterPaths: Readonly<Record<string, JsonSchema>> = {
  "/admin/v1/cluster": {
    get: {
      summary: "How the cluster stands, as this server sees it",
      responses: { "200": answer("So.", ref("cluster")), ...failed },
    },
  },
  "/admin/v1/cluster/servers/{node}": {
    parameters: [node],
    put: {
      summary: "Let a server in: it is admitted as soon as it is there",
      requestBody: asJson(object({ address: described(text, "HOST:PORT, where others reach its peer port.") }), true),
      responses: { "200": stands, ...failed },
    },
    delete: {
      summary: "Put a server out: settles when it does not belong to the cluster any more",
      responses: { "200": stands, ...failed },
    },
  },
  "/admin/v1/cluster/transfer": {
    post: {
      summary: "Hand leadership over",
      requestBody: asJson(
        { type: "object", properties: { to: orNull(described(text, "null or not given: whoever is fittest.")) } },
        false,
      ),
      responses: {
        "200": answer("Who leads then.", {
          allOf: [ref("cluster"), object({ leader: orNull(text) })],
        }),
        ...failed,
      },
    },
  },
  "/admin/v1/cluster/events": {
    get: {
      summary: "What happened of late",
      parameters: eventPlace,
      responses: { "200": answer("The events, oldest first.", ref("events")), ...failed },
    },
  },
  "/admin/v1/cluster/watch": {
    get: {
      summary: "What happens, as server-sent events",
      description:
        "`told` for each event, with its number as id, and `status` every second: how the cluster stands, with `began`.",
      parameters: [
        ...eventPlace,
        {
          name: "Last-Event-ID",
          in: "header",
          required: false,
          description: "The same as `after`, as browsers send it when they reconnect; it wins.",
          schema: text,
        },
      ],
      responses: { "200": answer("The stream.", text, "text/event-stream"), ...failed },
    },
  },
};

/** What can be done with a room, and what each takes. */
const operations: Readonly<Record<string, { readonly summary: string; readonly takes: JsonSchema | null }>> = {
  retention: {
    summary: "Bound what the room keeps; at least one of the three",
    takes: {
      type: "object",
      properties: {
        ageMs: described(whole, "0 or not given: without end."),
        messages: whole,
        bytes: whole,
      },
      minProperties: 1,
    },
  },
  trim: { summary: "Remove what is older", takes: object({ first: described(seq, "The first seq to be kept.") }) },
  delete: { summary: "Delete the room and its messages", takes: null },
  kick: { summary: "Put a member out", takes: object({ user: fieldSchema(user) }) },
  invite: { summary: "Make somebody a member", takes: object({ user: fieldSchema(user) }) },
  role: {
    summary: "Give a member a role",
    takes: object({ user: fieldSchema(user), role: oneOf("member", "moderator", "owner") }),
  },
};

function roomPaths(): Readonly<Record<string, JsonSchema>> {
  const paths: Record<string, JsonSchema> = {};
  for (const [name, { summary, takes }] of Object.entries(operations)) {
    paths[`/admin/v1/rooms/{room}/${name}`] = {
      post: {
        summary,
        parameters: [inPath("room", fieldSchema(room), "The room.")],
        ...(takes === null ? {} : { requestBody: asJson(takes, true) }),
        responses: { "200": answer("Done.", ref("done")), ...failed },
      },
    };
  }
  return paths;
}
