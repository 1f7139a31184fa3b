import { assert } from "../../../base/assert.ts";
import { getU32, getU48, putU48 } from "../../../base/byte-order.ts";
import type { Cid, RoomName, Seq } from "../../../base/ids.ts";
import { decodeBinary, encodeBinary, encodeBinaryFrames } from "../../../protocol/binary-codec.ts";
import { headAt, layouts, lengthBytes } from "../../../protocol/layout.ts";
import { serverFrames } from "../../../protocol/schema.ts";
import type { ClientFrame, ServerFrame } from "../../../protocol/schema.ts";
import type { Connection } from "../connection.ts";
import { bodyAt, emptyBody, numberDigits, putDigits } from "../message-body.ts";
import { cidOf, cidPrefix } from "./synod-cid.ts";
import { awaitFrame, greetingId, joinFrame, serverLimits, synodGreeting } from "./synod-greeting.ts";
import type { Welcome } from "./synod-greeting.ts";
import type { AnswerSink, NullAnswer, PublishWire } from "./wire.ts";

const sendLayout = layouts.client.find((layout) => layout.name === "send")!;
const okSendLayout = layouts.server.find((layout) => layout.name === "okSend")!;
const sinceAt = sendLayout.slots.find((slot) => slot.name === "since")!.at;
const seqAt = okSendLayout.slots.find((slot) => slot.name === "seq")!.at;
const okSendCode = serverFrames.okSend.code;
const errCode = serverFrames.err.code;

/** Requests of a greeting that are written at once; below what a server allows in flight. */
const greetingBatch = 32;

/**
 * One member of some rooms, sending over TCP in binary, to one room after the other, each message linked to the sender's
 * last one in its room. The names of the rooms are equally long. A `send` is one frame of the protocol's codec that is
 * copied, with the few bytes patched that differ from message to message.
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
  /** -1: no message names another. */
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
    const isLinked = options.isLinked ?? true;
    this.request = encodeBinary("client", this.sendFrame(1, { number: 2, prev: isLinked ? 1 : null }, 0));
    this.requestBytes = this.request.length;
    this.bodyInRequest = this.requestBytes - bodyBytes;
    this.roomAt = sendLayout.headerBytes;
    const text = Buffer.from(this.request).toString("latin1");
    this.cidNumberAt = text.indexOf(this.prefix) + this.prefix.length;
    this.prevNumberAt = isLinked ? text.lastIndexOf(this.prefix) + this.prefix.length : -1;
    assert(!isLinked || this.cidNumberAt < this.prevNumberAt, "cid, prev");
    assert(Math.max(this.cidNumberAt, this.prevNumberAt) < this.bodyInRequest, "cid, prev, body");
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
    if (this.prevNumberAt >= 0) putDigits(into, at + this.prevNumberAt, numberDigits, number);
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
  /** Whether each message names the sender's last one, as a client does that sends in order. @defaultValue true */
  readonly isLinked?: boolean;
}

/** An `ok` as a server that answers without working says it. */
export function okSendExample(room: string, cid: string): Extract<ServerFrame, { of: "send" }> {
  const frame = { t: "ok", of: "send", id: 1, room, cid, seq: 1, ts: 1_700_000_000_000, epoch: 1 };
  const rest = { line: "0123456789abcdef", leader: "n1", node: "n1", dup: false };
  return { ...frame, ...rest } as unknown as Extract<ServerFrame, { of: "send" }>;
}
