import type { Cid, ClusterId, Line, LogIndex, NodeName, RoomName, Seq, Term, UserName } from "../base/ids.ts";
import type { Timestamp } from "../base/units.ts";
import { cidBytesMax, kindBytesMax, lineBytesMax, roomBytesMax, userBytesMax } from "./names.ts";

/**
 * Every frame that clients and servers exchange, as data. Types, both codecs, the binary layout, JSON Schema and the
 * tables of docs/reference/protocol.md are derived from here and from nowhere else.
 *
 * 1. The order of the fields is the order in JSON and in the binary header. Changing it changes the binary encoding.
 * 2. `code` is the type byte of the binary encoding; it never changes its meaning and is never used again.
 * 3. A frame has at most 16 fields that may be absent and at most 7 flags (`layout.ts` asserts it).
 */

/** Grammar of a text and the type it gets; `names.ts` checks the first five when a client's frame is decoded. */
export type TextKind = "room" | "user" | "cid" | "kind" | "line" | "node" | "cluster" | "free";

export interface WholeField {
  readonly type: "whole";
  readonly unit: "seq" | "ts" | "epoch" | "millis" | "count" | "position";
  /** Smallest value; 0 if not given. The largest is 2^48 - 1. */
  readonly min?: number;
  /** `null` may stand instead of a number: none, and we know it. */
  readonly nullable?: true;
  /** The word `latest` may stand instead of a number. */
  readonly latest?: true;
  readonly optional?: true;
  readonly doc?: string;
}

export interface FlagField {
  readonly type: "flag";
  readonly optional?: true;
  readonly doc?: string;
}

export interface TextField {
  readonly type: "text";
  readonly is: TextKind;
  readonly bytesMax: number;
  /** A closed list of values. */
  readonly oneOf?: readonly string[];
  /** What an empty text stands for in the binary encoding; in JSON the value itself is written. */
  readonly emptyMeans?: string;
  readonly optional?: true;
  readonly doc?: string;
}

/** The text of a message: bounded by `limits.bodyBytesMax`, the only text that may be large. */
export interface BodyField {
  readonly type: "body";
  readonly optional?: true;
  readonly doc?: string;
}

/** Mesh: `[time, origin, n]`, the place of a message before its order is final. */
export interface StampField {
  readonly type: "stamp";
  readonly optional?: true;
  readonly doc?: string;
}

/** A structure that is rare on the wire: JSON in both encodings. */
export interface ObjectField {
  readonly type: "object";
  readonly fields: Fields;
  readonly optional?: true;
  readonly doc?: string;
}

export interface ListField {
  readonly type: "list";
  readonly item: TextField | ObjectField | StampField;
  readonly itemsMax: number;
  readonly optional?: true;
  readonly doc?: string;
}

/** A page of messages: objects in JSON, `msg` frames without a room back to back in binary. */
export interface MessagesField {
  readonly type: "messages";
  readonly itemsMax: number;
  readonly optional?: true;
  readonly doc?: string;
}

export type Field =
  | WholeField
  | FlagField
  | TextField
  | BodyField
  | StampField
  | ObjectField
  | ListField
  | MessagesField;

export interface Fields {
  readonly [name: string]: Field;
}

export interface FrameSpec {
  /** Type byte of the binary encoding. */
  readonly code: number;
  /** The field `t` of the JSON encoding. */
  readonly t: string;
  /** For `ok` only: which request is answered. In JSON it is the field `of`. */
  readonly of?: string;
  readonly id: "none" | "required" | "optional";
  readonly fields: Fields;
  /** Exactly one of these fields is there. */
  readonly exactlyOne?: readonly string[];
  /** At most one of these fields is there. */
  readonly atMostOne?: readonly string[];
  readonly doc: string;
}

/** The largest whole number on the wire: 2^48 - 1, six bytes. */
export const wholeMax = 0xffff_ffff_ffff;
/** Longest `id`, in characters (code points), when it is a text. */
export const idCharactersMax = 64;
/** Protocol version of `hello` and `welcome`. */
export const protocolVersion = 1;
/** WebSocket subprotocols; the first is the default when none is asked for. */
export const subprotocols = { json: "synod.v1.json", binary: "synod.v1.bin" } as const;
/** First byte of a TCP connection that speaks binary, both ways. Every other first byte means JSON lines. */
export const binaryGreeting = 0xb1;

const room = { type: "text", is: "room", bytesMax: roomBytesMax } as const;
const user = { type: "text", is: "user", bytesMax: userBytesMax } as const;
const cid = { type: "text", is: "cid", bytesMax: cidBytesMax } as const;
const kind = { type: "text", is: "kind", bytesMax: kindBytesMax } as const;
const line = { type: "text", is: "line", bytesMax: lineBytesMax } as const;
const node = { type: "text", is: "node", bytesMax: 128 } as const;
const cluster = { type: "text", is: "cluster", bytesMax: 64 } as const;
const token = { type: "text", is: "free", bytesMax: 4096 } as const;
const url = { type: "text", is: "free", bytesMax: 1024 } as const;
const word = { type: "text", is: "free", bytesMax: 64 } as const;
const sentence = { type: "text", is: "free", bytesMax: 1024 } as const;
const seq = { type: "whole", unit: "seq" } as const;
const ts = { type: "whole", unit: "ts" } as const;
const epoch = { type: "whole", unit: "epoch" } as const;
const millis = { type: "whole", unit: "millis" } as const;
const count = { type: "whole", unit: "count" } as const;
const position = {
  type: "whole",
  unit: "position",
  optional: true,
  doc: "how far the log was that this answer is made of: `atLeast` of a later `rooms`, on whatever server",
} as const;
const flag = { type: "flag" } as const;
const body = { type: "body" } as const;
const stamp = { type: "stamp" } as const;

/** The fields of a message, in `msg` and in a page of history. The texts stand in the order of a stored record. */
const message = {
  seq: { ...seq, nullable: true, doc: "place in the room; `null` while a mesh has not settled it" },
  from: { ...user, doc: "who sent it" },
  cid: { ...cid, doc: "the sender's id of it" },
  ts: { ...ts, doc: "milliseconds since 1970, stamped by the orderer; never decreases with `seq`" },
  epoch: { ...epoch, doc: "term of its entry; never decreases with `seq`" },
  kind: { ...kind, emptyMeans: "text", doc: "`text`, `edit`, `delete`, `react`, `unreact`, `sys.*` or any other" },
  ref: { ...seq, min: 1, optional: true, doc: "the `seq` that an edit, deletion or reaction refers to" },
  body: { ...body, doc: "the text" },
  at: { ...stamp, optional: true, doc: "mesh: its place before the order is final" },
  copies: { ...count, optional: true, doc: "mesh: how many servers had flushed it" },
} as const;

export const clientFrames = {
  hello: {
    code: 1,
    t: "hello",
    id: "none",
    fields: {
      v: { ...count, doc: "protocol version, 1" },
      user: { ...user, doc: "who speaks" },
      token: { ...token, optional: true, doc: "proof, where the server asks for one" },
    },
    doc: "The first frame. Answered by `welcome` or `err`.",
  },
  refresh: {
    code: 2,
    t: "refresh",
    id: "required",
    fields: { token: { ...token, doc: "the new token" } },
    doc: "A new token before the old one expires; nothing else changes.",
  },
  join: {
    code: 3,
    t: "join",
    id: "required",
    fields: { room, private: { ...flag, optional: true, doc: "a room made by this join is private" } },
    doc: "Become a member. Creates the room if it is new and that is allowed.",
  },
  leave: { code: 4, t: "leave", id: "required", fields: { room }, doc: "Stop being a member." },
  sub: {
    code: 5,
    t: "sub",
    id: "required",
    fields: {
      room,
      after: {
        ...seq,
        latest: true,
        doc: "the last `seq` already had; 0 = from the beginning; `latest` = new ones only",
      },
      line: { ...line, optional: true, doc: "the line that `after` belongs to" },
      atLeast: { ...seq, optional: true, doc: "a `seq` the server must have reached; `after` if not given" },
    },
    doc: "Deliver exactly after+1, after+2 …; a second `sub` of the same room replaces the first.",
  },
  unsub: { code: 6, t: "unsub", id: "required", fields: { room }, doc: "Stop delivering." },
  send: {
    code: 7,
    t: "send",
    id: "required",
    fields: {
      room: { ...room, optional: true },
      to: { ...user, optional: true, doc: "instead of `room`: a direct message to this user" },
      cid: { ...cid, doc: "the sender's id of this message; the same on every retry" },
      kind: { ...kind, optional: true, doc: "`text` if not given" },
      ref: { ...seq, min: 1, optional: true, doc: "the `seq` that an edit, deletion or reaction refers to" },
      since: { ...seq, optional: true, doc: "a head of the room known when the cid was made" },
      prev: { ...cid, optional: true, doc: "cid of the sender's preceding message in this room" },
      seen: { ...stamp, optional: true, doc: "mesh: the highest stamp known" },
      body: { ...body, doc: "the text" },
    },
    exactlyOne: ["room", "to"],
    doc: "Put a message in order. `ok` only after a quorum has flushed it.",
  },
  hist: {
    code: 8,
    t: "hist",
    id: "required",
    fields: {
      room,
      before: { ...seq, optional: true, doc: "the newest below this" },
      after: { ...seq, optional: true, doc: "the oldest above this" },
      around: { ...seq, optional: true, doc: "half below, half from this on" },
      limit: { ...count, min: 1, optional: true, doc: "at most this many" },
      level: { ...word, oneOf: ["local", "linearizable"], optional: true, doc: "`local` if not given" },
      atLeast: { ...seq, optional: true, doc: "a `seq` the server must have reached" },
    },
    atMostOne: ["before", "after", "around"],
    doc: "A page of history. With none of the three: the newest.",
  },
  lookup: {
    code: 9,
    t: "lookup",
    id: "required",
    fields: { room, cid, from: { ...user, optional: true, doc: "whose message; oneself if not given" } },
    doc: "Is it stored? Linearizable.",
  },
  read: { code: 10, t: "read", id: "required", fields: { room, seq }, doc: "My read mark; merged by maximum." },
  rooms: {
    code: 11,
    t: "rooms",
    id: "required",
    fields: {
      atLeast: {
        ...position,
        doc: "a `position` of an earlier answer, or a `seq` of one of my rooms, that the server must have reached",
      },
    },
    doc: "The rooms I belong to. A server that is behind `atLeast` waits up to 2 s, then answers `behind`.",
  },
  presence: { code: 12, t: "presence", id: "required", fields: { room }, doc: "Who is there." },
  typing: { code: 13, t: "typing", id: "none", fields: { room }, doc: "I am typing. Not answered." },
  ping: { code: 14, t: "ping", id: "required", fields: {}, doc: "Answered by `pong`." },
  invite: {
    code: 15,
    t: "invite",
    id: "required",
    fields: { room, user: { ...user, doc: "who becomes a member" } },
    doc: "Make somebody a member: the way into a private room. For its owner and moderators.",
  },
  remove: {
    code: 16,
    t: "remove",
    id: "required",
    fields: { room, user: { ...user, doc: "who is a member no longer" } },
    doc: "Put a member out. For the owner; a moderator may put out plain members.",
  },
  members: {
    code: 17,
    t: "members",
    id: "required",
    fields: {
      room,
      after: { ...user, optional: true, doc: "names behind this one; from the first if not given" },
      limit: { ...count, min: 1, optional: true, doc: "at most this many; 100 if not given" },
    },
    doc: "Who is a member, in the order of the bytes of the names.",
  },
} as const satisfies Record<string, FrameSpec>;

export const serverFrames = {
  welcome: {
    code: 129,
    t: "welcome",
    id: "none",
    fields: {
      v: { ...count, doc: "protocol version, 1" },
      user: { ...user, doc: "who the server takes the client for" },
      session: { ...word, doc: "opaque id of this connection" },
      node: { ...node, doc: "the server's name" },
      cluster: { ...cluster, doc: "another one than before: discard all positions" },
      topology: { ...word, doc: "`solo`, `mesh`, `leader` or `equal`" },
      heartbeatMs: { ...millis, doc: "be heard at least this often; silence of twice this long closes the connection" },
      servers: { type: "list", item: url, itemsMax: 64, doc: "addresses of all servers of the cluster" },
      limits: {
        type: "object",
        fields: {
          bodyBytesMax: count,
          frameBytesMax: count,
          histItemsMax: count,
          subsMax: count,
          roomsMax: count,
          sendsInFlightMax: count,
        },
        doc: "what this server allows",
      },
    },
    doc: "The connection may be used.",
  },
  okDone: {
    code: 130,
    t: "ok",
    of: "done",
    id: "required",
    fields: { position },
    doc: "`refresh`, `leave`, `unsub`, `read`, `invite` or `remove` is done.",
  },
  okSend: {
    code: 131,
    t: "ok",
    of: "send",
    id: "required",
    fields: {
      room,
      cid,
      seq: { ...seq, nullable: true, doc: "place in the room; `null` while a mesh has not settled it" },
      ts,
      epoch,
      line,
      leader: { ...node, doc: "who put it in order" },
      node: { ...node, doc: "who answers" },
      dup: { ...flag, doc: "it was stored before; `seq` and `ts` are those of the first time" },
      at: { ...stamp, optional: true, doc: "mesh: its place before the order is final" },
      copies: { ...count, optional: true, doc: "mesh: how many servers have flushed it" },
    },
    doc: "The message is flushed on a quorum.",
  },
  okSub: {
    code: 132,
    t: "ok",
    of: "sub",
    id: "required",
    fields: { room, line, first: seq, head: seq, epoch, node },
    doc: "The subscription stands; `msg` frames follow.",
  },
  okJoin: {
    code: 133,
    t: "ok",
    of: "join",
    id: "required",
    fields: { room, line, head: seq, epoch, position },
    doc: "A member now.",
  },
  okHist: {
    code: 134,
    t: "ok",
    of: "hist",
    id: "required",
    fields: {
      room,
      line,
      first: { ...seq, doc: "the oldest `seq` still kept" },
      head: { ...seq, doc: "the newest `seq`" },
      node,
      more: { ...flag, doc: "the page ended at a limit; there is more in the direction asked for" },
      ageMs: {
        ...millis,
        optional: true,
        min: 1,
        doc: "this server has not known who orders for so long: others may have more, or other rights",
      },
      items: { type: "messages", itemsMax: 10_000, doc: "in the order of `seq`" },
    },
    doc: "A page of history.",
  },
  okLookup: {
    code: 135,
    t: "ok",
    of: "lookup",
    id: "required",
    fields: {
      room,
      cid,
      seq: { ...seq, nullable: true, doc: "`null`: not stored from `first` to `head`" },
      head: seq,
      first: {
        ...seq,
        min: 1,
        optional: true,
        doc: "the oldest `seq` still kept: what was stored before it is not found",
      },
      ts: {
        ...ts,
        optional: true,
        doc: "of the message that was found, as the others below; none of them where it was removed since",
      },
      epoch: { ...epoch, optional: true },
      kind: { ...kind, optional: true },
      ref: { ...seq, min: 1, optional: true },
      body: { ...body, optional: true },
    },
    doc: "Where the message is, and what it says.",
  },
  okRooms: {
    code: 136,
    t: "ok",
    of: "rooms",
    id: "required",
    fields: {
      rooms: {
        type: "list",
        item: {
          type: "object",
          fields: { room, line, first: seq, head: seq, read: seq, unread: count },
        },
        itemsMax: 10_000,
      },
      position,
    },
    doc: "The rooms I belong to.",
  },
  okPresence: {
    code: 137,
    t: "ok",
    of: "presence",
    id: "required",
    fields: {
      room,
      users: { type: "list", item: user, itemsMax: 10_000, optional: true, doc: "in small rooms" },
      count: { ...count, optional: true, doc: "in large rooms" },
    },
    exactlyOne: ["users", "count"],
    doc: "Who is there.",
  },
  err: {
    code: 138,
    t: "err",
    id: "optional",
    fields: {
      code: { ...word, doc: "a stable code (errors.md)" },
      message: { ...sentence, doc: "for people" },
      definite: { ...flag, doc: "this attempt was not and will not be put in order" },
      retryable: { ...flag, doc: "the same request may succeed later" },
      retryAfterMs: { ...millis, optional: true, doc: "not before this long" },
      hint: { ...url, optional: true, doc: "a server that may do better" },
      copies: { ...count, optional: true, doc: "with `copies`: how many servers have it" },
      want: { ...count, optional: true, doc: "with `copies`: how many were wanted" },
      from: { ...seq, min: 1, optional: true, doc: "damaged history: the first message that can't be given" },
      to: { ...seq, min: 1, optional: true, doc: "damaged history: the last one that can't be given" },
    },
    doc: "The request with this id failed; without an id, the frame could not be told apart or the connection ends.",
  },
  msg: {
    code: 139,
    t: "msg",
    id: "none",
    fields: { room, ...message },
    doc: "A message; dense and in order per subscription.",
  },
  room: {
    code: 140,
    t: "room",
    id: "none",
    fields: { room, line, first: seq, head: seq, read: seq },
    doc: "A direct room with news, or a new one, after which come only messages after `head`; or a room that the user is a member of from now on.",
  },
  "caught-up": {
    code: 141,
    t: "caught-up",
    id: "none",
    fields: { room, seq },
    doc: "History up to here was delivered; what follows is live.",
  },
  gap: {
    code: 142,
    t: "gap",
    id: "none",
    fields: {
      room,
      from: { ...seq, doc: "first missing" },
      to: { ...seq, doc: "last missing; `from` - 1 where a subscription ended and nothing is missing" },
      reason: { ...word, doc: "`retention`, `deleted`, `removed`, `reset`, `damaged` or another word" },
      line: { ...line, optional: true, doc: "the line from now on" },
    },
    doc: "These cannot be given.",
  },
  read: { code: 143, t: "read", id: "none", fields: { room, user, seq }, doc: "Somebody's read mark moved." },
  presence: {
    code: 144,
    t: "presence",
    id: "none",
    fields: {
      room,
      users: { type: "list", item: user, itemsMax: 10_000, optional: true, doc: "in small rooms" },
      count: { ...count, optional: true, doc: "in large rooms" },
    },
    exactlyOne: ["users", "count"],
    doc: "Who is there changed.",
  },
  typing: { code: 145, t: "typing", id: "none", fields: { room, user }, doc: "Somebody is typing." },
  drain: { code: 146, t: "drain", id: "none", fields: { withinMs: millis }, doc: "The server stops; go to another." },
  pong: { code: 147, t: "pong", id: "required", fields: {}, doc: "Answers `ping`." },
  settled: {
    code: 148,
    t: "settled",
    id: "none",
    fields: {
      room,
      items: {
        type: "list",
        item: {
          type: "object",
          fields: {
            at: stamp,
            seq: { ...seq, min: 1 },
            same: {
              type: "list",
              item: stamp,
              itemsMax: 64,
              optional: true,
              doc: "provisional ones that were this message",
            },
          },
        },
        itemsMax: 10_000,
      },
    },
    doc: "Mesh: the order of these is final.",
  },
  okMembers: {
    code: 149,
    t: "ok",
    of: "members",
    id: "required",
    fields: {
      room,
      count: { ...count, doc: "members in all" },
      more: { ...flag, doc: "the page ended at a limit" },
      members: {
        type: "list",
        item: {
          type: "object",
          fields: { user, role: { ...word, oneOf: ["owner", "moderator", "member"] } },
        },
        itemsMax: 10_000,
      },
    },
    doc: "A page of members.",
  },
} as const satisfies Record<string, FrameSpec>;

/** The fields of one message in a page of history. */
export const messageFields: Fields = message;

/** A request's id, chosen by the client and echoed. In binary a number is 1 … 2^48 - 1. */
export type RequestId = number | string;

/** `[time, origin, n]`: when, which server's log, and its number there. */
export type Stamp = readonly [time: number, origin: string, n: number];

interface TextTypes {
  room: RoomName;
  user: UserName;
  cid: Cid;
  kind: string;
  line: Line;
  node: NodeName;
  cluster: ClusterId;
  free: string;
}

interface WholeTypes {
  seq: Seq;
  ts: Timestamp;
  epoch: Term;
  millis: number;
  count: number;
  position: LogIndex;
}

type Flat<T> = { [K in keyof T]: T[K] };

type ValueOf<F> = F extends { type: "whole"; unit: infer U extends keyof WholeTypes }
  ? WholeTypes[U] | (F extends { nullable: true } ? null : never) | (F extends { latest: true } ? "latest" : never)
  : F extends { type: "flag" }
    ? boolean
    : F extends { type: "text"; oneOf: readonly (infer V)[] }
      ? V
      : F extends { type: "text"; is: infer I extends keyof TextTypes }
        ? TextTypes[I]
        : F extends { type: "body" }
          ? string
          : F extends { type: "stamp" }
            ? Stamp
            : F extends { type: "object"; fields: infer G }
              ? FieldsOf<G>
              : F extends { type: "list"; item: infer I }
                ? readonly ValueOf<I>[]
                : F extends { type: "messages" }
                  ? readonly Message[]
                  : never;

type OptionalKeys<G> = { [K in keyof G]: G[K] extends { optional: true } ? K : never }[keyof G];

type FieldsOf<G> = Flat<
  { readonly [K in Exclude<keyof G, OptionalKeys<G>>]: ValueOf<G[K]> } & {
    readonly [K in OptionalKeys<G>]?: ValueOf<G[K]> | undefined;
  }
>;

type IdOf<S> = S extends { id: "required" }
  ? { readonly id: RequestId }
  : S extends { id: "optional" }
    ? { readonly id?: RequestId | undefined }
    : unknown;

type FrameOf<S> = S extends { t: infer T; fields: infer G }
  ? Flat<{ readonly t: T } & (S extends { of: infer O } ? { readonly of: O } : unknown) & IdOf<S> & FieldsOf<G>>
  : never;

type ClientTable = typeof clientFrames;
type ServerTable = typeof serverFrames;

export type ClientFrameName = keyof ClientTable;
export type ServerFrameName = keyof ServerTable;

/** One frame by its name in the table, such as `ClientFrameOf<"send">` or `ServerFrameOf<"okSend">`. */
export type ClientFrameOf<N extends ClientFrameName> = FrameOf<ClientTable[N]>;
export type ServerFrameOf<N extends ServerFrameName> = FrameOf<ServerTable[N]>;

/** What a client may send; tell them apart by `t`. */
export type ClientFrame = { [N in ClientFrameName]: FrameOf<ClientTable[N]> }[ClientFrameName];
/** What a server may send; tell them apart by `t`, and `ok` by `of`. */
export type ServerFrame = { [N in ServerFrameName]: FrameOf<ServerTable[N]> }[ServerFrameName];

/** A message of a page of history: `msg` without the room. */
export type Message = FieldsOf<typeof message>;

/** Which table a frame belongs to: what clients send, or what servers send. */
export type Sender = "client" | "server";

export type FrameFrom<S extends Sender> = S extends "client" ? ClientFrame : ServerFrame;
