import { randomBytes } from "node:crypto";
import { assert } from "../../../base/assert.ts";
import { getU32, getU48, putU48 } from "../../../base/byte-order.ts";
import type { Cid, RoomName, Seq, UserName } from "../../../base/ids.ts";
import { decodeBinary, encodeBinary, encodeBinaryFrames } from "../../../protocol/binary-codec.ts";
import { limitsOfServerFrames } from "../../../protocol/check-frame.ts";
import { headAt, layouts, lengthBytes } from "../../../protocol/layout.ts";
import { binaryGreeting, serverFrames, subprotocols } from "../../../protocol/schema.ts";
import type { ClientFrame, ServerFrame } from "../../../protocol/schema.ts";
import { defaultLimits } from "../../../base/limits.ts";
import type { Connection } from "../connection.ts";
import { bodyAt, clientDigits, emptyBody, numberDigits, putDigits } from "../message-body.ts";
import type { AnswerSink, DeliverySink, NullAnswer, PublishWire, ReaderWire } from "./wire.ts";
import { expectMessage, maskedMessage, opcode, serverMessage, upgrade, WebSocketReaderWire } from "./websocket.ts";

/**
 * Synod's frames. Greetings and subscriptions go through the protocol's own codec; a `send` is one frame of that codec
 * that is copied, with the few bytes patched that differ from message to message.
 */
export interface SynodUser {
  readonly user: string;
  readonly token: string | null;
}

export interface SynodPlace extends SynodUser {
  readonly room: string;
}

const serverLimits = limitsOfServerFrames(defaultLimits);
const sendLayout = layouts.client.find((layout) => layout.name === "send")!;
const okSendLayout = layouts.server.find((layout) => layout.name === "okSend")!;
const sinceAt = sendLayout.slots.find((slot) => slot.name === "since")!.at;
const seqAt = okSendLayout.slots.find((slot) => slot.name === "seq")!.at;
const okSendCode = serverFrames.okSend.code;
const errCode = serverFrames.err.code;
const msgCode = serverFrames.msg.code;
const welcomeCode = serverFrames.welcome.code;
/** Requests of the greeting have ids above every message number. */
const greetingId = 0x1000_0000_0000;

type Welcome = Extract<ServerFrame, { t: "welcome" }>;

export const helloFrame = (place: SynodUser): ClientFrame => ({
  t: "hello",
  v: 1,
  user: place.user as UserName,
  ...(place.token === null ? {} : { token: place.token }),
});
export const joinFrame = (room: string): ClientFrame & { t: "join" } => ({
  t: "join",
  id: greetingId,
  room: room as RoomName,
});
export const subFrame = (room: string): ClientFrame => ({
  t: "sub",
  id: greetingId,
  room: room as RoomName,
  after: "latest",
});
export const pingFrame = (): ClientFrame => ({ t: "ping", id: greetingId });

/** The first frame of a kind among whole frames back to back, and where the next one begins; `null` if it is not there. */
export function findFrame(
  wanted: string,
  bytes: Uint8Array,
  start: number,
  end: number,
): { frame: ServerFrame; next: number } | null {
  let at = start;
  while (end - at >= headAt.fields) {
    const next = at + lengthBytes + getU32(bytes, at);
    if (next > end) return null;
    const frame = decodeBinary("server", bytes, at, next, serverLimits);
    if (frame.t === "refused") throw new Error(`the server sent a malformed frame: ${frame.fault.message}`);
    if (frame.t === "err") throw new Error(`${frame.code}: ${frame.message}`);
    if (frame.t === wanted) return { frame, next };
    at = next;
  }
  return null;
}

/** Says `frame` over TCP and waits for the answer `wanted`; everything before it is used up. */
async function ask(connection: Connection, frame: ClientFrame, wanted: string): Promise<ServerFrame> {
  connection.write(encodeBinary("client", frame));
  return await awaitFrame(connection, frame.t, wanted);
}

async function awaitFrame(connection: Connection, what: string, wanted: string): Promise<ServerFrame> {
  let answer: ServerFrame | null = null;
  await connection.expect(what, (bytes, length) => {
    // A server that greets in binary may say the greeting byte first; a welcome tells by its code where it begins.
    const skip = wanted === "welcome" && bytes[0] === binaryGreeting && bytes[1 + headAt.code] === welcomeCode ? 1 : 0;
    const found = findFrame(wanted, bytes, skip, length);
    answer = found?.frame ?? null;
    return found?.next ?? 0;
  });
  assert(answer !== null, "expect settles with an answer");
  return answer;
}

/** Greets over TCP in binary and answers with the server's welcome. */
export async function synodGreeting(connection: Connection, place: SynodUser): Promise<Welcome> {
  connection.write(Uint8Array.of(binaryGreeting));
  return (await ask(connection, helloFrame(place), "welcome")) as Welcome;
}

const cidOf = (prefix: string, number: number): string => `${prefix}${String(number).padStart(numberDigits, "0")}`;
/** Unlike that of any other connection, also of another run, because a cid is for ever; and always of one length. */
const cidPrefix = (client: number): string =>
  `${randomBytes(9).toString("hex")}-${String(client).padStart(clientDigits, "0")}-`;

/** Requests of a greeting that are written at once; below what a server allows in flight. */
const greetingBatch = 32;

/**
 * One member of some rooms, sending over TCP in binary, to one room after the other, each message linked to the sender's
 * last one in its room. The names of the rooms are equally long.
 *
 * The cid of request n ends in n + rooms; the first cids belong to one message for each room that `open` sends, so that
 * every request has one before it.
 */
export class SynodPublishWire implements PublishWire {
  readonly requestBytes: number;
  readonly bodyInRequest: number;
  readonly nullAnswer: NullAnswer;
  /** What the server said of itself; there after `open`. */
  welcome: Welcome | null = null;
  private readonly options: SynodPublishOptions;
  private readonly prefix: string;
  private readonly request: Uint8Array;
  private readonly roomAt: number;
  private readonly cidNumberAt: number;
  private readonly prevNumberAt: number;
  private readonly roomNames: readonly Uint8Array[];
  /** The highest seq of each room that this client has been told. */
  private readonly heads: Float64Array;

  constructor(options: SynodPublishOptions) {
    this.options = options;
    const { rooms, bodyBytes } = options;
    this.prefix = cidPrefix(options.client);
    this.roomNames = rooms.map((room) => Buffer.from(room));
    this.heads = new Float64Array(rooms.length);
    const first = rooms[0];
    assert(first !== undefined, "a publisher has a room");
    const roomBytes = Buffer.byteLength(first);
    assert(
      this.roomNames.every((name) => name.length === roomBytes),
      "the names of the rooms are equally long",
    );
    this.request = encodeBinary("client", this.sendFrame(1, { number: 2, prev: 1 }, 0));
    this.requestBytes = this.request.length;
    this.bodyInRequest = this.requestBytes - bodyBytes;
    this.roomAt = sendLayout.headerBytes;
    const text = Buffer.from(this.request).toString("latin1");
    this.cidNumberAt = text.indexOf(this.prefix) + this.prefix.length;
    this.prevNumberAt = text.lastIndexOf(this.prefix) + this.prefix.length;
    assert(this.cidNumberAt < this.prevNumberAt && this.prevNumberAt < this.bodyInRequest, "cid, prev, body");
    this.nullAnswer = {
      answer: encodeBinary("server", okSendExample(first, cidOf(this.prefix, 1))),
      copyFrom: headAt.id,
      copyTo: headAt.id,
      copyBytes: 6,
    };
  }

  private sendFrame(id: number, cid: { number: number; prev: number | null }, place: number): ClientFrame {
    return {
      t: "send",
      id,
      room: (this.options.rooms[place] ?? "") as RoomName,
      cid: cidOf(this.prefix, cid.number) as Cid,
      since: (this.heads[place] ?? 0) as Seq,
      ...(cid.prev === null ? {} : { prev: cidOf(this.prefix, cid.prev) as Cid }),
      body: Buffer.from(emptyBody(this.options.bodyBytes)).toString("latin1"),
    };
  }

  async open(connection: Connection): Promise<void> {
    const { rooms, user, token } = this.options;
    this.welcome = await synodGreeting(connection, { user, token });
    const joins = rooms.map((room, place) => ({ ...joinFrame(room), id: greetingId + place }));
    await this.inBatches(connection, joins, (answer) => (answer.of === "join" ? answer.head : null));
    const sends = rooms.map((_, place) => this.sendFrame(greetingId + place, { number: place + 1, prev: null }, place));
    await this.inBatches(connection, sends, (answer) => (answer.of === "send" ? answer.seq : null));
  }

  /** Says frames whose ids are `greetingId` and up, some at a time, and takes each room's head out of the answers. */
  private async inBatches(
    connection: Connection,
    frames: readonly ClientFrame[],
    headOf: (answer: Extract<ServerFrame, { t: "ok" }>) => number | null,
  ): Promise<void> {
    for (let from = 0; from < frames.length; from += greetingBatch) {
      const batch = frames.slice(from, from + greetingBatch);
      connection.write(encodeBinaryFrames("client", batch));
      for (let left = batch.length; left > 0; left -= 1) {
        const answer = await awaitFrame(connection, batch[0]!.t, "ok");
        assert(answer.t === "ok" && typeof answer.id === "number", "awaited an ok");
        const place = answer.id - greetingId;
        this.heads[place] = headOf(answer) ?? this.heads[place]!;
      }
    }
  }

  putRequest(into: Uint8Array, at: number, number: number, sentAt: Uint8Array): void {
    const rooms = this.roomNames.length;
    const place = (number - 1) % rooms;
    into.set(this.request, at);
    if (rooms > 1) into.set(this.roomNames[place]!, at + this.roomAt);
    putU48(into, at + headAt.id, number);
    putU48(into, at + sinceAt, this.heads[place]!);
    putDigits(into, at + this.cidNumberAt, numberDigits, number + rooms);
    putDigits(into, at + this.prevNumberAt, numberDigits, number);
    into.set(sentAt, at + this.bodyInRequest + bodyAt.sentAt);
    putDigits(into, at + this.bodyInRequest + bodyAt.number, numberDigits, number);
  }

  readAnswers(bytes: Uint8Array, start: number, end: number, sink: AnswerSink): number {
    let at = start;
    while (end - at >= headAt.fields) {
      const next = at + lengthBytes + getU32(bytes, at);
      if (next > end) return at;
      const code = bytes[at + headAt.code]!;
      if (code === okSendCode) {
        const number = getU48(bytes, at + headAt.id);
        const seq = getU48(bytes, at + seqAt);
        const place = (number - 1) % this.roomNames.length;
        if (seq > this.heads[place]!) this.heads[place] = seq;
        sink.acknowledged(number);
      } else if (code === errCode) {
        const frame = decodeBinary("server", bytes, at, next, serverLimits);
        const why = frame.t === "err" ? `${frame.code}: ${frame.message}` : "a malformed err";
        sink.refused(getU48(bytes, at + headAt.id), why);
      }
      at = next;
    }
    return at;
  }
}

export interface SynodPublishOptions {
  readonly user: string;
  readonly token: string | null;
  readonly rooms: readonly string[];
  readonly bodyBytes: number;
  readonly client: number;
}

function okSendExample(room: string, cid: string): Extract<ServerFrame, { of: "send" }> {
  const frame = { t: "ok", of: "send", id: 1, room, cid, seq: 1, ts: 1_700_000_000_000, epoch: 1 };
  const rest = { line: "0123456789abcdef", leader: "n1", node: "n1", dup: false };
  return { ...frame, ...rest } as unknown as Extract<ServerFrame, { of: "send" }>;
}

/** The same in JSON, one frame a line. Numbers of fixed width: the id is a text, `since` is padded with spaces. */
export class SynodJsonPublishWire implements PublishWire {
  readonly requestBytes: number;
  readonly bodyInRequest: number;
  readonly nullAnswer: NullAnswer;
  welcome: Welcome | null = null;
  private readonly place: SynodPlace;
  private readonly bodyBytes: number;
  private readonly prefix: string;
  private readonly request: Uint8Array;
  private readonly idAt: number;
  private readonly cidNumberAt: number;
  private readonly sinceTextAt: number;
  private readonly prevNumberAt: number;
  private head = 0;

  constructor(options: { place: SynodPlace; bodyBytes: number; client: number }) {
    this.place = options.place;
    this.bodyBytes = options.bodyBytes;
    this.prefix = cidPrefix(options.client);
    const zeros = "0".repeat(numberDigits);
    const body = Buffer.from(emptyBody(options.bodyBytes)).toString("latin1");
    const room = JSON.stringify(options.place.room);
    const text =
      `{"t":"send","id":"${zeros}","room":${room},"cid":"${this.prefix}${zeros}",` +
      `"since":${" ".repeat(sinceWidth - 1)}0,"prev":"${this.prefix}${zeros}","body":"${body}"}\n`;
    this.request = Buffer.from(text);
    this.requestBytes = this.request.length;
    const offsetOf = (part: string): number => Buffer.byteLength(text.slice(0, text.indexOf(part) + part.length));
    this.idAt = offsetOf('"id":"');
    this.cidNumberAt = offsetOf(`"cid":"${this.prefix}`);
    this.sinceTextAt = offsetOf('"since":');
    this.prevNumberAt = offsetOf(`"prev":"${this.prefix}`);
    this.bodyInRequest = offsetOf('"body":"');
    const answer = JSON.stringify({ ...okSendExample(options.place.room, cidOf(this.prefix, 1)), id: zeros });
    const idInAnswer = answer.indexOf('"id":"') + '"id":"'.length;
    this.nullAnswer = {
      answer: Buffer.from(`${answer}\n`),
      copyFrom: this.idAt,
      copyTo: idInAnswer,
      copyBytes: numberDigits,
    };
  }

  async open(connection: Connection): Promise<void> {
    this.welcome = (await this.ask(connection, helloFrame(this.place), "welcome")) as unknown as Welcome;
    const joined = await this.ask(connection, joinFrame(this.place.room), "ok");
    this.head = Number(joined["head"]);
    const body = Buffer.from(emptyBody(this.bodyBytes)).toString("latin1");
    const room = this.place.room as RoomName;
    const cid = cidOf(this.prefix, 0) as Cid;
    const since = this.head as never;
    const first = await this.ask(connection, { t: "send", id: greetingId, room, cid, since, body }, "ok");
    this.head = Number(first["seq"]);
  }

  private async ask(connection: Connection, frame: ClientFrame, wanted: string): Promise<Record<string, unknown>> {
    connection.write(Buffer.from(`${JSON.stringify(frame)}\n`));
    let answer: Record<string, unknown> | null = null;
    await connection.expect(frame.t, (bytes, length) => {
      const stop = bytes.subarray(0, length).indexOf(newline);
      if (stop === -1) return 0;
      for (const item of framesOfLine(bytes, 0, stop)) {
        if (item["t"] === "err") throw new Error(`${String(item["code"])}: ${String(item["message"])}`);
        if (item["t"] === wanted) answer = item;
      }
      return answer === null ? 0 : stop + 1;
    });
    assert(answer !== null, "expect settles with an answer");
    return answer;
  }

  putRequest(into: Uint8Array, at: number, number: number, sentAt: Uint8Array): void {
    into.set(this.request, at);
    putDigits(into, at + this.idAt, numberDigits, number);
    putDigits(into, at + this.cidNumberAt, numberDigits, number);
    putPadded(into, at + this.sinceTextAt, this.head);
    putDigits(into, at + this.prevNumberAt, numberDigits, number - 1);
    into.set(sentAt, at + this.bodyInRequest + bodyAt.sentAt);
    putDigits(into, at + this.bodyInRequest + bodyAt.number, numberDigits, number);
  }

  readAnswers(bytes: Uint8Array, start: number, end: number, sink: AnswerSink): number {
    let at = start;
    for (;;) {
      const stop = bytes.indexOf(newline, at);
      if (stop === -1 || stop >= end) return at;
      for (const frame of framesOfLine(bytes, at, stop)) {
        if (frame["t"] === "ok" && frame["of"] === "send") {
          this.head = Math.max(this.head, Number(frame["seq"]));
          sink.acknowledged(Number(frame["id"]));
        } else if (frame["t"] === "err") {
          sink.refused(Number(frame["id"] ?? 0), `${String(frame["code"])}: ${String(frame["message"])}`);
        }
      }
      at = stop + 1;
    }
  }
}

const newline = 0x0a;
/** Digits of the largest whole number on the wire. */
const sinceWidth = 15;

function framesOfLine(bytes: Uint8Array, from: number, to: number): readonly Record<string, unknown>[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString();
  const value = JSON.parse(text) as Record<string, unknown> | readonly Record<string, unknown>[];
  return Array.isArray(value) ? (value as readonly Record<string, unknown>[]) : [value as Record<string, unknown>];
}

/** A whole number of JSON, right-aligned in spaces: JSON has no leading zeros. */
function putPadded(into: Uint8Array, at: number, value: number): void {
  let rest = value;
  for (let place = at + sinceWidth - 1; place >= at; place -= 1) {
    into[place] = rest === 0 && place < at + sinceWidth - 1 ? 0x20 : 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

/** Reads `msg` frames that stand back to back; everything else is passed over. */
function readMsgFrames(bytes: Uint8Array, start: number, end: number, bodyBytes: number, sink: DeliverySink): number {
  let at = start;
  while (end - at >= headAt.fields) {
    const next = at + lengthBytes + getU32(bytes, at);
    if (next > end) return at;
    const code = bytes[at + headAt.code]!;
    // The body stands last in a `msg`.
    if (code === msgCode) sink.delivered(bytes, next - bodyBytes);
    else if (code === errCode) throw new Error("the server refused the reader");
    else if (code === serverFrames.gap.code) throw new Error("the server announced a gap");
    at = next;
  }
  return at;
}

function msgExample(room: string, bodyBytes: number): Uint8Array {
  const body = Buffer.from(emptyBody(bodyBytes)).toString("latin1");
  const frame = { t: "msg", room, seq: 1, from: "g0", cid: cidOf("1x1-", 1), ts: 1_700_000_000_000, epoch: 1 };
  return encodeBinary("server", { ...frame, kind: "text", body } as unknown as Extract<ServerFrame, { t: "msg" }>);
}

/** A subscriber over TCP in binary. */
export class SynodReaderWire implements ReaderWire {
  reply: ((bytes: Uint8Array) => void) | null = null;
  readonly nullDelivery: { readonly bytes: Uint8Array; readonly bodyAt: number };
  private readonly place: SynodPlace;
  private readonly bodyBytes: number;

  constructor(options: { place: SynodPlace; bodyBytes: number }) {
    this.place = options.place;
    this.bodyBytes = options.bodyBytes;
    const bytes = msgExample(options.place.room, options.bodyBytes);
    this.nullDelivery = { bytes, bodyAt: bytes.length - options.bodyBytes };
  }

  async open(connection: Connection): Promise<void> {
    await synodGreeting(connection, this.place);
    await ask(connection, joinFrame(this.place.room), "ok");
    await ask(connection, subFrame(this.place.room), "ok");
  }

  readDeliveries(bytes: Uint8Array, start: number, end: number, sink: DeliverySink): number {
    return readMsgFrames(bytes, start, end, this.bodyBytes, sink);
  }
}

/** A member of some rooms over WebSocket in binary, subscribed to all of them. */
export class SynodWebSocketReaderWire extends WebSocketReaderWire {
  readonly nullDelivery: { readonly bytes: Uint8Array; readonly bodyAt: number };
  private readonly place: SynodUser;
  private readonly rooms: readonly string[];
  private readonly host: string;
  private readonly bodyBytes: number;

  constructor(options: {
    place: SynodUser;
    rooms: readonly string[];
    host: string;
    bodyBytes: number;
  }) {
    super();
    this.place = options.place;
    this.rooms = options.rooms;
    this.host = options.host;
    this.bodyBytes = options.bodyBytes;
    const bytes = serverMessage(opcode.binary, msgExample(options.rooms[0] ?? "bench", options.bodyBytes));
    this.nullDelivery = { bytes, bodyAt: bytes.length - options.bodyBytes };
  }

  async open(connection: Connection): Promise<void> {
    await upgrade(connection, { path: "/v1/ws", host: this.host, subprotocol: subprotocols.binary });
    await this.ask(connection, helloFrame(this.place), "welcome");
    for (const room of this.rooms) {
      await this.ask(connection, joinFrame(room), "ok");
      await this.ask(connection, subFrame(room), "ok");
    }
  }

  private async ask(connection: Connection, frame: ClientFrame, wanted: string): Promise<void> {
    connection.write(maskedMessage(opcode.binary, encodeBinary("client", frame)));
    await expectMessage(connection, frame.t, (bytes, from, to) => findFrame(wanted, bytes, from, to) !== null);
  }

  protected readPayload(bytes: Uint8Array, from: number, to: number, sink: DeliverySink): void {
    const used = readMsgFrames(bytes, from, to, this.bodyBytes, sink);
    if (used !== to) throw new Error("the server cut a frame between two messages");
  }
}

export const pingMessage = (): Uint8Array => maskedMessage(opcode.binary, encodeBinary("client", pingFrame()));

/** The head of a room, by joining it. */
export async function synodHead(connection: Connection, room: string): Promise<number> {
  const joined = await ask(connection, joinFrame(room), "ok");
  assert(joined.t === "ok" && joined.of === "join", "join is answered by its ok");
  return joined.head;
}

/** The newest messages of a room; answers how many there were. */
export async function synodNewest(connection: Connection, room: string, limit: number): Promise<number> {
  const frame: ClientFrame = { t: "hist", id: greetingId, room: room as RoomName, limit };
  const page = await ask(connection, frame, "ok");
  assert(page.t === "ok" && page.of === "hist", "hist is answered by its ok");
  return page.items.length;
}
