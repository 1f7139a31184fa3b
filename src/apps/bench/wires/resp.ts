import type { Connection } from "../connection.ts";
import { bodyAt, emptyBody, numberDigits, putDigits } from "../message-body.ts";
import type { AnswerSink, DeliverySink, NullAnswer, PublishWire, ReaderWire } from "./wire.ts";

/** RESP 2 (https://redis.io/docs/latest/develop/reference/protocol-spec/), as far as XADD, PUBLISH and SUBSCRIBE need it. */
export function respCommand(...words: (string | Uint8Array)[]): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = typeof word === "string" ? Buffer.from(word) : word;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, lineEnd);
  }
  return Buffer.concat(parts);
}

const lineEnd = Buffer.from("\r\n");
const [carriageReturn, dollar, minus, plus, colon] = [0x0d, 0x24, 0x2d, 0x2b, 0x3a];

/** Where the line that contains `at` ends, its CRLF included; -1 when it is not whole. */
export function endOfLine(bytes: Uint8Array, at: number, end: number): number {
  for (let place = at; place + 1 < end; place += 1) {
    if (bytes[place] === carriageReturn) return place + 2;
  }
  return -1;
}

/** `XADD stream * body …` or `PUBLISH room …`, one after the other; Redis answers in the same order. */
export class RespPublishWire implements PublishWire {
  readonly requestBytes: number;
  readonly bodyInRequest: number;
  readonly nullAnswer: NullAnswer;
  private readonly request: Uint8Array;
  private answered = 0;

  constructor(options: { command: "XADD" | "PUBLISH"; room: string; bodyBytes: number }) {
    const body = emptyBody(options.bodyBytes);
    const words: (string | Uint8Array)[] =
      options.command === "XADD" ? ["XADD", options.room, "*", "body", body] : ["PUBLISH", options.room, body];
    this.request = respCommand(...words);
    this.requestBytes = this.request.length;
    this.bodyInRequest = this.requestBytes - lineEnd.length - options.bodyBytes;
    const answer = options.command === "XADD" ? "$17\r\n1700000000000-100\r\n" : ":1000\r\n";
    this.nullAnswer = { answer: Buffer.from(answer), copyFrom: 0, copyTo: 0, copyBytes: 0 };
  }

  open(): Promise<void> {
    return Promise.resolve();
  }

  putRequest(into: Uint8Array, at: number, number: number, sentAt: Uint8Array): void {
    into.set(this.request, at);
    into.set(sentAt, at + this.bodyInRequest + bodyAt.sentAt);
    putDigits(into, at + this.bodyInRequest + bodyAt.number, numberDigits, number);
  }

  readAnswers(bytes: Uint8Array, start: number, end: number, sink: AnswerSink): number {
    let at = start;
    while (at < end) {
      const lineStop = endOfLine(bytes, at, end);
      if (lineStop === -1) return at;
      const kind = bytes[at];
      if (kind === dollar) {
        const length = lineNumber(bytes, at + 1, lineStop - 2);
        const stop = lineStop + length + lineEnd.length;
        if (stop > end) return at;
        this.answered += 1;
        sink.acknowledged(this.answered);
        at = stop;
        continue;
      }
      this.answered += 1;
      if (kind === colon || kind === plus) sink.acknowledged(this.answered);
      else sink.refused(this.answered, Buffer.from(bytes.subarray(at, lineStop - 2)).toString());
      at = lineStop;
    }
    return at;
  }
}

function lineNumber(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let place = from; place < to; place += 1) value = value * 10 + bytes[place]! - 0x30;
  return value;
}

/** `SUBSCRIBE room`: every push is `*3`, the word `message`, the room and the body, always of one length here. */
export class RespReaderWire implements ReaderWire {
  reply: ((bytes: Uint8Array) => void) | null = null;
  readonly nullDelivery: { readonly bytes: Uint8Array; readonly bodyAt: number };
  private readonly room: string;
  private readonly bodyBytes: number;

  constructor(options: { room: string; bodyBytes: number }) {
    this.room = options.room;
    this.bodyBytes = options.bodyBytes;
    const bytes = respCommand("message", options.room, emptyBody(options.bodyBytes));
    this.nullDelivery = { bytes, bodyAt: bytes.length - lineEnd.length - options.bodyBytes };
  }

  async open(connection: Connection): Promise<void> {
    connection.write(respCommand("SUBSCRIBE", this.room));
    // `*3`, the word, the room, and the number of subscriptions: one word more than a command of two.
    const answer = Buffer.concat([respCommand("subscribe", this.room), Buffer.from(":1\r\n")]);
    await connection.expect("SUBSCRIBE", (bytes, length) => {
      if (bytes[0] === minus) throw new Error(Buffer.from(bytes.subarray(0, length)).toString());
      return length >= answer.length ? answer.length : 0;
    });
  }

  readDeliveries(bytes: Uint8Array, start: number, end: number, sink: DeliverySink): number {
    const { length } = this.nullDelivery.bytes;
    let at = start;
    while (end - at >= length) {
      const body = at + this.nullDelivery.bodyAt;
      // The length line in front of the body tells whether this is the push we expect.
      if (bytes[at] !== 0x2a || bytes[body - 1] !== 0x0a || bytes[body + this.bodyBytes] !== carriageReturn) {
        throw new Error("the server pushed something else than a message");
      }
      sink.delivered(bytes, body);
      at += length;
    }
    return at;
  }
}
