import { getU32 } from "../../../base/byte-order.ts";
import { encodeBinary } from "../../../protocol/binary-codec.ts";
import { headAt, lengthBytes } from "../../../protocol/layout.ts";
import { serverFrames, subprotocols } from "../../../protocol/schema.ts";
import type { ClientFrame, ServerFrame } from "../../../protocol/schema.ts";
import type { Connection } from "../connection.ts";
import { emptyBody } from "../message-body.ts";
import { cidOf } from "./synod-cid.ts";
import { ask, findFrame, greetingId, helloFrame, joinFrame, subFrame, synodGreeting } from "./synod-greeting.ts";
import type { SynodPlace, SynodUser } from "./synod-greeting.ts";
import type { DeliverySink, ReaderWire } from "./wire.ts";
import { expectMessage, maskedMessage, opcode, serverMessage, upgrade, WebSocketReaderWire } from "./websocket.ts";

const errCode = serverFrames.err.code;
const msgCode = serverFrames.msg.code;

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

export const pingMessage = (): Uint8Array =>
  maskedMessage(opcode.binary, encodeBinary("client", { t: "ping", id: greetingId }));
