import { createHash, randomBytes } from "node:crypto";
import type { Connection } from "../connection.ts";
import type { DeliverySink, ReaderWire } from "./wire.ts";

/** The client's side of WebSocket (RFC 6455) without extensions: as much as a load generator needs, on raw bytes. */
export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Asks for the upgrade and checks the answer. What the server sends behind it stays for the next reader. */
export async function upgrade(
  connection: Connection,
  options: { path: string; host: string; subprotocol: string | null },
): Promise<void> {
  const key = randomBytes(16).toString("base64");
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  const subprotocol = options.subprotocol === null ? "" : `Sec-WebSocket-Protocol: ${options.subprotocol}\r\n`;
  connection.write(
    Buffer.from(
      `GET ${options.path} HTTP/1.1\r\nHost: ${options.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n${subprotocol}\r\n`,
    ),
  );
  await connection.expect("the upgrade", (bytes, length) => {
    const text = Buffer.from(bytes.subarray(0, length)).toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end === -1) return 0;
    const head = text.slice(0, end);
    if (!head.startsWith("HTTP/1.1 101")) throw new Error(`the server refused the upgrade: ${head.split("\r\n")[0]}`);
    if (!head.includes(accept)) throw new Error("the server accepted another key than ours");
    return end + 4;
  });
}

/** One masked message, as a client must send it (RFC 6455 5.3). */
export function maskedMessage(code: number, payload: Uint8Array, key: Uint8Array = randomBytes(4)): Uint8Array {
  const { length } = payload;
  const lengthSize = length < 126 ? 0 : length < 65536 ? 2 : 8;
  const message = Buffer.alloc(2 + lengthSize + 4 + length);
  message[0] = 0x80 | code;
  message[1] = 0x80 | (lengthSize === 0 ? length : lengthSize === 2 ? 126 : 127);
  if (lengthSize === 2) message.writeUInt16BE(length, 2);
  if (lengthSize === 8) message.writeUIntBE(length, 4, 6);
  message.set(key, 2 + lengthSize);
  message.set(payload, 6 + lengthSize);
  mask(message, 6 + lengthSize, message.length, key, 0);
  return message;
}

/** Masks in place. `phase` is the place of the first byte in its payload. */
export function mask(bytes: Uint8Array, from: number, to: number, key: Uint8Array, phase: number): void {
  for (let at = from; at < to; at += 1) bytes[at] = bytes[at]! ^ key[(at - from + phase) & 3]!;
}

/** One unmasked message, as a server sends it. */
export function serverMessage(code: number, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  head[0] = 0x80 | code;
  head[1] = length < 126 ? length : length < 65536 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeUIntBE(length, 4, 6);
  return Buffer.concat([head, payload]);
}

export interface MessageSink {
  /** A frame's payload lies in `bytes` from `from` to `to`; valid during the call alone. */
  frame(code: number, bytes: Uint8Array, from: number, to: number): void;
}

/** Cuts one frame of a server; answers where the next begins, or `start` when this one is not whole. */
export function readMessage(bytes: Uint8Array, start: number, end: number, sink: MessageSink): number {
  if (end - start < 2) return start;
  const short = bytes[start + 1]! & 0x7f;
  let payload = start + 2;
  let length = short;
  if (short === 126) {
    payload = start + 4;
    if (payload > end) return start;
    length = (bytes[start + 2]! << 8) | bytes[start + 3]!;
  } else if (short === 127) {
    payload = start + 10;
    if (payload > end) return start;
    length = 0;
    for (let place = start + 2; place < payload; place += 1) length = length * 256 + bytes[place]!;
  }
  if (payload + length > end) return start;
  sink.frame(bytes[start]! & 0x0f, bytes, payload, payload + length);
  return payload + length;
}

/** Waits for the message of a greeting that `take` says is the one; everything before it and with it is used up. */
export async function expectMessage(
  connection: Connection,
  what: string,
  take: (bytes: Uint8Array, from: number, to: number) => boolean,
): Promise<void> {
  await connection.expect(what, (bytes, length) => {
    let at = 0;
    const search = { found: false };
    const sink: MessageSink = {
      frame: (code, from, start, end) => {
        if (code === opcode.close) throw new Error("the server closed the WebSocket");
        if (code === opcode.text || code === opcode.binary) search.found = take(from, start, end);
      },
    };
    while (!search.found) {
      const next = readMessage(bytes, at, length, sink);
      if (next === at) return 0;
      at = next;
    }
    return at;
  });
}

/** The part of a reader that WebSocket systems share: frames, pings, the end. */
export abstract class WebSocketReaderWire implements ReaderWire, MessageSink {
  reply: ((bytes: Uint8Array) => void) | null = null;
  abstract readonly nullDelivery: { readonly bytes: Uint8Array; readonly bodyAt: number };
  private sink: DeliverySink | null = null;

  abstract open(connection: Connection): Promise<void>;
  /** Reads what stands in one message: whole frames of the system, nothing left over. */
  protected abstract readPayload(bytes: Uint8Array, from: number, to: number, sink: DeliverySink): void;

  readDeliveries(bytes: Uint8Array, start: number, end: number, sink: DeliverySink): number {
    this.sink = sink;
    let at = start;
    for (;;) {
      const next = readMessage(bytes, at, end, this);
      if (next === at) return at;
      at = next;
    }
  }

  frame(code: number, bytes: Uint8Array, from: number, to: number): void {
    if (code === opcode.ping) this.reply?.(maskedMessage(opcode.pong, bytes.subarray(from, to)));
    else if (code === opcode.close) throw new Error("the server closed the WebSocket");
    else if (code !== opcode.pong && this.sink !== null) this.readPayload(bytes, from, to, this.sink);
  }
}
