import { randomBytes } from "node:crypto";
import type { Connection } from "../connection.ts";
import { bodyAt, clientDigits, emptyBody, getDigits, numberDigits, putDigits } from "../message-body.ts";
import { endOfLine } from "./resp.ts";
import type { AnswerSink, DeliverySink, NullAnswer, PublishWire, ReaderWire } from "./wire.ts";

/** The text protocol of NATS (https://docs.nats.io/reference/reference-protocols/nats-protocol), core and JetStream. */
const connectLine =
  'CONNECT {"verbose":false,"pedantic":false,"tls_required":false,"name":"generator","lang":"node","version":"1","protocol":1,"echo":true,"headers":false,"no_responders":false}\r\n';
const pong = Buffer.from("PONG\r\n");
const letterM = 0x4d;
const letterP = 0x50;

/** Reads INFO, says CONNECT and `also`, and waits until the server has worked through it (PING, PONG). */
async function natsGreeting(connection: Connection, also: string): Promise<void> {
  await connection.expect("INFO", (bytes, length) => Math.max(0, endOfLine(bytes, 0, length)));
  connection.write(Buffer.from(`${connectLine}${also}PING\r\n`));
  await connection.expect("CONNECT", (bytes, length) => {
    const stop = endOfLine(bytes, 0, length);
    if (stop === -1) return 0;
    const line = Buffer.from(bytes.subarray(0, stop)).toString();
    if (line !== "PONG\r\n") throw new Error(`the server said ${line.trim()}`);
    return stop;
  });
}

/** One request to JetStream's API and its answer, for making streams and asking how much is in them. */
export async function natsRequest(connection: Connection, subject: string, body: string): Promise<string> {
  const inbox = "_INBOX.generator.api";
  await natsGreeting(connection, `SUB ${inbox} 1\r\nUNSUB 1 1\r\n`);
  connection.write(Buffer.from(`PUB ${subject} ${inbox} ${Buffer.byteLength(body)}\r\n${body}\r\n`));
  let answer = "";
  await connection.expect(subject, (bytes, length) => {
    const lineStop = endOfLine(bytes, 0, length);
    if (lineStop === -1) return 0;
    const stop = lineStop + Number(Buffer.from(bytes.subarray(0, lineStop)).toString().trim().split(" ").at(-1)) + 2;
    if (stop > length) return 0;
    answer = Buffer.from(bytes.subarray(lineStop, stop - 2)).toString();
    return stop;
  });
  return answer;
}

/**
 * Publishes to a subject. With `acknowledged` each message asks for JetStream's acknowledgement at a subject of its own,
 * which names its number; without, nothing comes back.
 */
export class NatsPublishWire implements PublishWire {
  readonly requestBytes: number;
  readonly bodyInRequest: number;
  readonly nullAnswer: NullAnswer | null;
  private readonly request: Uint8Array;
  private readonly inbox: string;
  private readonly acknowledged: boolean;
  /** Where the number stands in a request; behind the inbox. */
  private readonly numberInRequest: number;
  private connection: Connection | null = null;

  constructor(options: { subject: string; bodyBytes: number; acknowledged: boolean; client: number }) {
    this.acknowledged = options.acknowledged;
    // Of one length, so that a null server knows where the number stands.
    const client = String(options.client).padStart(clientDigits, "0");
    this.inbox = `_INBOX.${randomBytes(9).toString("hex")}${client}.`;
    const zeros = "0".repeat(numberDigits);
    const replyTo = options.acknowledged ? `${this.inbox}${zeros} ` : "";
    const head = `PUB ${options.subject} ${replyTo}${options.bodyBytes}\r\n`;
    this.request = Buffer.concat([Buffer.from(head), emptyBody(options.bodyBytes), Buffer.from("\r\n")]);
    this.requestBytes = this.request.length;
    this.bodyInRequest = head.length;
    this.numberInRequest = `PUB ${options.subject} ${this.inbox}`.length;
    const answer = '{"stream":"BENCH", "seq":100000}';
    this.nullAnswer = options.acknowledged
      ? {
          answer: Buffer.from(`MSG ${this.inbox}${zeros} 1  ${answer.length}\r\n${answer}\r\n`),
          copyFrom: this.numberInRequest,
          copyTo: `MSG ${this.inbox}`.length,
          copyBytes: numberDigits,
        }
      : null;
  }

  async open(connection: Connection): Promise<void> {
    this.connection = connection;
    await natsGreeting(connection, this.acknowledged ? `SUB ${this.inbox}* 1\r\n` : "");
  }

  putRequest(into: Uint8Array, at: number, number: number, sentAt: Uint8Array): void {
    into.set(this.request, at);
    into.set(sentAt, at + this.bodyInRequest + bodyAt.sentAt);
    putDigits(into, at + this.bodyInRequest + bodyAt.number, numberDigits, number);
    if (this.acknowledged) putDigits(into, at + this.numberInRequest, numberDigits, number);
  }

  readAnswers(bytes: Uint8Array, start: number, end: number, sink: AnswerSink): number {
    const numberAt = "MSG ".length + this.inbox.length;
    let at = start;
    while (at < end) {
      const lineStop = endOfLine(bytes, at, end);
      if (lineStop === -1) return at;
      if (bytes[at] !== letterM) {
        this.otherLine(bytes, at, lineStop, sink);
        at = lineStop;
        continue;
      }
      const number = getDigits(bytes, at + numberAt, numberDigits);
      const length = numberBefore(bytes, lineStop - 2);
      const stop = lineStop + length + 2;
      if (stop > end) return at;
      // {"stream":… or {"error":…: the third byte tells.
      if (bytes[lineStop + 2] === 0x73) sink.acknowledged(number);
      else sink.refused(number, Buffer.from(bytes.subarray(lineStop, stop - 2)).toString());
      at = stop;
    }
    return at;
  }

  private otherLine(bytes: Uint8Array, at: number, stop: number, sink: AnswerSink): void {
    const line = Buffer.from(bytes.subarray(at, stop)).toString();
    if (line.startsWith("PING")) this.connection?.write(pong);
    else if (line.startsWith("-ERR")) sink.refused(0, line.trim());
  }
}

/** The whole number that ends at `to`. JetStream puts two spaces in front of it, core NATS one. */
function numberBefore(bytes: Uint8Array, to: number): number {
  let value = 0;
  let unit = 1;
  for (let place = to - 1; bytes[place]! >= 0x30 && bytes[place]! <= 0x39; place -= 1) {
    value += (bytes[place]! - 0x30) * unit;
    unit *= 10;
  }
  if (unit === 1) throw new Error("the server sent a message without a length");
  return value;
}

/** A plain subscription: `MSG subject 1 length` and the body, always of one length here. */
export class NatsReaderWire implements ReaderWire {
  reply: ((bytes: Uint8Array) => void) | null = null;
  readonly nullDelivery: { readonly bytes: Uint8Array; readonly bodyAt: number };
  private readonly subject: string;

  constructor(options: { subject: string; bodyBytes: number }) {
    this.subject = options.subject;
    const head = `MSG ${options.subject} 1 ${options.bodyBytes}\r\n`;
    this.nullDelivery = {
      bytes: Buffer.concat([Buffer.from(head), emptyBody(options.bodyBytes), Buffer.from("\r\n")]),
      bodyAt: head.length,
    };
  }

  async open(connection: Connection): Promise<void> {
    await natsGreeting(connection, `SUB ${this.subject} 1\r\n`);
  }

  readDeliveries(bytes: Uint8Array, start: number, end: number, sink: DeliverySink): number {
    const { length } = this.nullDelivery.bytes;
    let at = start;
    while (at < end) {
      if (bytes[at] === letterM) {
        if (end - at < length) return at;
        if (bytes[at + length - 1] !== 0x0a) throw new Error("the server sent a message of another length");
        sink.delivered(bytes, at + this.nullDelivery.bodyAt);
        at += length;
        continue;
      }
      const lineStop = endOfLine(bytes, at, end);
      if (lineStop === -1) return at;
      if (bytes[at] === letterP && bytes[at + 1] === 0x49) this.reply?.(pong);
      else if (bytes[at] === 0x2d) throw new Error(Buffer.from(bytes.subarray(at, lineStop - 2)).toString());
      at = lineStop;
    }
    return at;
  }
}
