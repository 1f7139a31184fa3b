import { assert } from "../../../base/assert.ts";
import type { Connection } from "../connection.ts";
import { bodyAt, clientDigits, emptyBody, numberDigits, putDigits } from "../message-body.ts";
import type { AnswerSink, NullAnswer, PublishWire } from "./wire.ts";

/**
 * etcd's `KV.Put` as gRPC: protobuf in HTTP/2 (RFC 9113) with prior knowledge, one stream for each request. Frames are made
 * by hand, so that requests go out and answers are cut as coalesced bytes, as with every other wire: HTTP/2 through Node's
 * own module, or etcd's JSON gateway, would cost etcd more than the work itself.
 *
 * Each connection writes one key, again and again: every put is a revision that etcd keeps.
 */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const frameHeadBytes = 9;
const grpcPrefixBytes = 5;
const frames = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const flags = { endStream: 1, ack: 1, endHeaders: 4 } as const;
/** RFC 9113 section 6.9.2, for what we send; a server may widen it. */
const initialWindowBytes = 65_535;
const windowBytesMax = 0x7fff_ffff;
const settingInitialWindow = 4;

/** `:method POST` and `:scheme http` are in HPACK's static table; what follows goes into the connection's table. */
function firstHeaders(authority: string): Uint8Array {
  const literal = (name: number, value: string): Buffer =>
    Buffer.concat([Buffer.from([0x40 | name, value.length]), Buffer.from(value)]);
  return Buffer.concat([
    Buffer.from([0x83, 0x86]),
    literal(4, "/etcdserverpb.KV/Put"),
    literal(1, authority),
    literal(31, "application/grpc"),
    Buffer.from([0x40, 2]),
    Buffer.from("te"),
    Buffer.from([8]),
    Buffer.from("trailers"),
  ]);
}

/** The same, all out of the tables: the newest entry of the connection's own is number 62. */
const laterHeaders = Buffer.from([0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe]);

function frame(type: number, flag: number, stream: number, payload: Uint8Array): Uint8Array {
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flag;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const varint = (value: number): number[] => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >> 7)]);

/** A `PutRequest`: field 1 the key, field 2 the value, with gRPC's prefix of an uncompressed message. */
function putMessage(key: string, value: Uint8Array): Uint8Array {
  const fields = Buffer.concat([
    Buffer.from([0x0a, ...varint(key.length)]),
    Buffer.from(key),
    Buffer.from([0x12, ...varint(value.length)]),
    value,
  ]);
  const prefix = Buffer.alloc(grpcPrefixBytes);
  prefix.writeUInt32BE(fields.length, 1);
  return Buffer.concat([prefix, fields]);
}

const settings = Buffer.concat([Buffer.from([0, settingInitialWindow]), Buffer.from([0x7f, 0xff, 0xff, 0xff])]);

function windowUpdate(bytes: number): Uint8Array {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(frames.windowUpdate, 0, 0, payload);
}

const getU24 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;

const getU32 = (bytes: Uint8Array, at: number): number => bytes[at]! * 0x100_0000 + getU24(bytes, at + 1);

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Request `number` has the stream 2 × number + 1; stream 1 belongs to the greeting. */
export class EtcdPublishWire implements PublishWire {
  readonly requestBytes: number;
  readonly bodyInRequest: number;
  readonly nullAnswer: NullAnswer;
  private readonly request: Uint8Array;
  private readonly message: Uint8Array;
  private readonly authority: string;
  private connection: Connection | null = null;
  /** Streams that had their answer, whose end is still to come. A ring. */
  private readonly answered = new Uint8Array(answeredSlots);
  /** What the server lets us send; at a null server nobody counts. */
  private windowBytes = Infinity;

  constructor(options: { host: string; client: number; bodyBytes: number }) {
    this.authority = options.host;
    const key = `bench/${String(options.client).padStart(clientDigits, "0")}`;
    this.message = putMessage(key, emptyBody(options.bodyBytes));
    this.request = Buffer.concat([
      frame(frames.headers, flags.endHeaders, 0, laterHeaders),
      frame(frames.data, flags.endStream, 0, this.message),
    ]);
    this.requestBytes = this.request.length;
    this.bodyInRequest = this.requestBytes - options.bodyBytes;
    // The answer's header, with cluster, member, revision and term, as one says it after some thousands.
    const answer = Buffer.concat([Buffer.alloc(grpcPrefixBytes), Buffer.alloc(32, 0x08)]);
    answer.writeUInt32BE(32, 1);
    this.nullAnswer = { answer: frame(frames.data, 0, 0, answer), copyFrom: 5, copyTo: 5, copyBytes: 4 };
  }

  async open(connection: Connection): Promise<void> {
    this.connection = connection;
    this.windowBytes = initialWindowBytes;
    connection.write(
      Buffer.concat([
        preface,
        frame(frames.settings, 0, 0, settings),
        windowUpdate(windowBytesMax - initialWindowBytes),
        frame(frames.headers, flags.endHeaders, 1, firstHeaders(this.authority)),
        frame(frames.data, flags.endStream, 1, this.message),
      ]),
    );
    this.windowBytes -= this.message.length;
    const put = { isDone: false };
    const sink: AnswerSink = {
      acknowledged: () => {
        put.isDone = true;
      },
      refused: (_, why) => {
        throw new Error(why);
      },
    };
    // Frames of the connection come before the answer, maybe alone.
    while (!put.isDone) {
      await connection.expect("Put", (bytes, length) => this.readAnswers(bytes, 0, length, sink));
    }
  }

  putRequest(into: Uint8Array, at: number, number: number, sentAt: Uint8Array): void {
    const stream = 2 * number + 1;
    this.windowBytes -= this.message.length;
    assert(this.windowBytes >= 0, "more is on its way than etcd's window of a connection holds; use more connections");
    this.answered[number & answeredMask] = 0;
    into.set(this.request, at);
    putU32(into, at + 5, stream);
    putU32(into, at + frameHeadBytes + laterHeaders.length + 5, stream);
    into.set(sentAt, at + this.bodyInRequest + bodyAt.sentAt);
    putDigits(into, at + this.bodyInRequest + bodyAt.number, numberDigits, number);
  }

  readAnswers(bytes: Uint8Array, start: number, end: number, sink: AnswerSink): number {
    let at = start;
    while (end - at >= frameHeadBytes) {
      const payload = at + frameHeadBytes;
      const next = payload + getU24(bytes, at);
      if (next > end) return at;
      const flag = bytes[at + 4]!;
      const stream = getU32(bytes, at + 5);
      const number = (stream - 1) / 2;
      switch (bytes[at + 3]) {
        case frames.data:
          this.answered[number & answeredMask] = 1;
          sink.acknowledged(number);
          break;
        case frames.headers:
          // A call that failed is answered by its end alone.
          if ((flag & flags.endStream) !== 0 && this.answered[number & answeredMask] === 0) {
            sink.refused(number, "etcd refused a put");
          }
          break;
        case frames.reset:
          sink.refused(number, "etcd gave up a put");
          break;
        default:
          this.otherFrame(bytes, at, payload, next);
      }
      at = next;
    }
    return at;
  }

  private otherFrame(bytes: Uint8Array, at: number, payload: number, next: number): void {
    const type = bytes[at + 3];
    const isAck = (bytes[at + 4]! & flags.ack) !== 0;
    if (type === frames.windowUpdate) {
      if (getU32(bytes, at + 5) === 0) this.windowBytes += getU32(bytes, payload);
    } else if (type === frames.settings) {
      if (!isAck) this.connection?.write(frame(frames.settings, flags.ack, 0, new Uint8Array(0)));
    } else if (type === frames.ping) {
      if (!isAck) this.connection?.write(frame(frames.ping, flags.ack, 0, bytes.slice(payload, next)));
    } else if (type === frames.goAway) {
      throw new Error(`etcd ends the connection: ${Buffer.from(bytes.subarray(payload + 8, next)).toString()}`);
    }
  }
}

/** More than a window, and its answers whose end is still to come. */
const answeredSlots = 65_536;
const answeredMask = answeredSlots - 1;
