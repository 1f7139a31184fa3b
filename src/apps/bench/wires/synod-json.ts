import { assert } from "../../../base/assert.ts";
import type { Cid, RoomName } from "../../../base/ids.ts";
import type { ClientFrame } from "../../../protocol/schema.ts";
import type { Connection } from "../connection.ts";
import { bodyAt, emptyBody, numberDigits, putDigits } from "../message-body.ts";
import { cidOf, cidPrefix } from "./synod-cid.ts";
import { greetingId, helloFrame, joinFrame } from "./synod-greeting.ts";
import type { SynodPlace, Welcome } from "./synod-greeting.ts";
import { okSendExample } from "./synod-publish.ts";
import type { AnswerSink, NullAnswer, PublishWire } from "./wire.ts";

/** One member of one room, sending over TCP in JSON, one frame a line. Numbers of fixed width: the id is a text, `since` is padded with spaces. */
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
      // Other news may come before the answer: a `room` after a `join`, for one.
      const whole = bytes.subarray(0, length);
      for (let at = 0, stop = whole.indexOf(newline); stop !== -1; at = stop + 1, stop = whole.indexOf(newline, at)) {
        for (const item of framesOfLine(bytes, at, stop)) {
          if (item["t"] === "err") throw new Error(`${String(item["code"])}: ${String(item["message"])}`);
          if (item["t"] === wanted) answer = item;
        }
        if (answer !== null) return stop + 1;
      }
      return 0;
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
