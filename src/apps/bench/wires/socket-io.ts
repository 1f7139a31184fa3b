import type { Connection } from "../connection.ts";
import { bodyAt, emptyBody, numberDigits, putDigits } from "../message-body.ts";
import type { AnswerSink, DeliverySink, PublishWire } from "./wire.ts";
import {
  expectMessage,
  mask,
  maskedMessage,
  opcode,
  serverMessage,
  upgrade,
  WebSocketReaderWire,
} from "./websocket.ts";

/** Socket.IO 5 over Engine.IO 4 (https://socket.io/docs/v4/socket-io-protocol/), WebSocket from the start, text packets. */
const publishEvent = "publish";
const messageEvent = "message";
const path = "/socket.io/?EIO=4&transport=websocket";
const connectPacket = Buffer.from("40");
const pongPacket = Buffer.from("3");
const [digit2, digit4] = [0x32, 0x34];

/** Upgrades, then: `0{…}` from the server, `40` from us, `40{…}` from the server. */
async function socketIoGreeting(connection: Connection, host: string): Promise<void> {
  await upgrade(connection, { path, host, subprotocol: null });
  await expectMessage(connection, "Engine.IO open", (bytes, from) => bytes[from] === 0x30);
  connection.write(maskedMessage(opcode.text, connectPacket));
  await expectMessage(connection, "Socket.IO connect", (bytes, from) => {
    if (bytes[from] === digit4 && bytes[from + 1] === 0x34) throw new Error("the server refused the connection");
    return bytes[from] === digit4 && bytes[from + 1] === 0x30;
  });
}

/** Emits `publish` with the body; the server sends it to everybody in the room. Nothing comes back. */
export class SocketIoPublishWire implements PublishWire {
  readonly requestBytes: number;
  readonly bodyInRequest: number;
  readonly nullAnswer = null;
  private readonly request: Uint8Array;
  private readonly host: string;
  private connection: Connection | null = null;
  private readonly key = Buffer.from([0x5a, 0xc3, 0x17, 0x88]);
  /** Place of the body in the payload, which decides where in the key its masking begins. */
  private readonly phase: number;

  constructor(options: { host: string; bodyBytes: number }) {
    this.host = options.host;
    const head = `42["${publishEvent}","`;
    const payload = Buffer.concat([Buffer.from(head), emptyBody(options.bodyBytes), Buffer.from('"]')]);
    this.request = maskedMessage(opcode.text, payload, this.key);
    this.requestBytes = this.request.length;
    this.phase = head.length;
    this.bodyInRequest = this.requestBytes - payload.length + head.length;
  }

  async open(connection: Connection): Promise<void> {
    this.connection = connection;
    await socketIoGreeting(connection, this.host);
  }

  putRequest(into: Uint8Array, at: number, number: number, sentAt: Uint8Array): void {
    const body = at + this.bodyInRequest;
    into.set(this.request, at);
    into.set(sentAt, body + bodyAt.sentAt);
    putDigits(into, body + bodyAt.number, numberDigits, number);
    mask(into, body, body + bodyAt.filling, this.key, this.phase);
  }

  readAnswers(bytes: Uint8Array, start: number, end: number, _sink: AnswerSink): number {
    // The publisher joins no room: all that can come is a ping.
    for (let at = start; at < end; at += 1) {
      if (bytes[at] === digit2) this.connection?.write(maskedMessage(opcode.text, pongPacket));
    }
    return end;
  }
}

/** A member of the room: gets `42["message","<body>"]` in a text message for each. */
export class SocketIoReaderWire extends WebSocketReaderWire {
  readonly nullDelivery: { readonly bytes: Uint8Array; readonly bodyAt: number };
  private readonly host: string;
  private readonly head = `42["${messageEvent}","`;
  private readonly payloadBytes: number;

  constructor(options: { host: string; bodyBytes: number }) {
    super();
    this.host = options.host;
    const payload = Buffer.concat([Buffer.from(this.head), emptyBody(options.bodyBytes), Buffer.from('"]')]);
    this.payloadBytes = payload.length;
    const bytes = serverMessage(opcode.text, payload);
    this.nullDelivery = { bytes, bodyAt: bytes.length - payload.length + this.head.length };
  }

  async open(connection: Connection): Promise<void> {
    await socketIoGreeting(connection, this.host);
  }

  protected readPayload(bytes: Uint8Array, from: number, to: number, sink: DeliverySink): void {
    if (bytes[from] === digit2 && to - from === 1) this.reply?.(maskedMessage(opcode.text, pongPacket));
    else if (bytes[from] === digit4 && to - from === this.payloadBytes) sink.delivered(bytes, from + this.head.length);
    else throw new Error(`the server sent ${Buffer.from(bytes.subarray(from, Math.min(to, from + 60))).toString()}`);
  }
}
