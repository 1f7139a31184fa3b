import { connect, type Socket } from "node:net";
import { concat } from "./fake-server.ts";

/** One WebSocket frame as it came. */
export interface RawFrame {
  readonly isFinal: boolean;
  readonly opcode: number;
  readonly payload: Uint8Array;
}

/** A WebSocket client that can do everything wrong: it writes whatever bytes it is told. */
export class RawWebSocket {
  readonly socket: Socket;
  readonly frames: RawFrame[] = [];
  /** The answer to the upgrade: status line and headers; with the body, when it was refused. */
  answer = "";
  isClosed = false;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(port: number, options: { path?: string; headers?: Record<string, string> } = {}) {
    const socket = connect(port, "127.0.0.1");
    this.socket = socket;
    const headers: Record<string, string> = {
      Host: `127.0.0.1:${port}`,
      Upgrade: "websocket",
      Connection: "Upgrade",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      ...options.headers,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET ${options.path ?? "/v1/ws"} HTTP/1.1\r\n${lines.join("")}\r\n`);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => (this.isClosed = true));
    socket.on("data", (bytes: Buffer) => this.#took(bytes));
  }

  get status(): number {
    return Number(this.answer.split(" ")[1] ?? 0);
  }

  get isOpen(): boolean {
    return this.status === 101;
  }

  get texts(): string[] {
    return this.frames.filter(({ opcode }) => opcode === 1).map(({ payload }) => new TextDecoder().decode(payload));
  }

  /** The code of the close frame, if one came. */
  get closeCode(): number | null {
    const close = this.frames.find(({ opcode }) => opcode === 8);
    return close === undefined ? null : (close.payload[0]! << 8) | close.payload[1]!;
  }

  /** Sends one frame, masked as a client must. */
  send(payload: Uint8Array | string, options: { opcode?: number; isFinal?: boolean; declared?: number } = {}): void {
    this.socket.write(maskedFrame(payload, options));
  }

  #took(bytes: Uint8Array): void {
    this.#bytes = concat([this.#bytes, bytes]);
    if (this.answer === "" || !this.isOpen) {
      const text = new TextDecoder("latin1").decode(this.#bytes);
      const end = text.indexOf("\r\n\r\n");
      if (end === -1) return;
      this.answer = text;
      if (!this.isOpen) return;
      this.answer = text.slice(0, end);
      this.#bytes = this.#bytes.slice(end + 4);
    }
    for (;;) {
      const b = this.#bytes;
      if (b.length < 2) return;
      const short = b[1]! & 0x7f;
      const start = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (b.length < start) return;
      const view = new DataView(b.buffer, b.byteOffset);
      const length = short === 126 ? view.getUint16(2) : short === 127 ? Number(view.getBigUint64(2)) : short;
      if (b.length < start + length) return;
      this.frames.push({ isFinal: b[0]! >= 0x80, opcode: b[0]! & 0x0f, payload: b.slice(start, start + length) });
      this.#bytes = b.slice(start + length);
    }
  }
}

export function maskedFrame(
  payload: Uint8Array | string,
  { opcode = 1, isFinal = true, declared }: { opcode?: number; isFinal?: boolean; declared?: number } = {},
): Uint8Array {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  const length = declared ?? bytes.length;
  const header = new Uint8Array(14);
  const view = new DataView(header.buffer);
  header[0] = (isFinal ? 0x80 : 0) | opcode;
  let at = 2;
  if (length < 126) {
    header[1] = 0x80 | length;
  } else if (length < 65_536) {
    header[1] = 0x80 | 126;
    view.setUint16(2, length);
    at = 4;
  } else {
    header[1] = 0x80 | 127;
    view.setBigUint64(2, BigInt(length));
    at = 10;
  }
  const mask = [0x12, 0x34, 0x56, 0x78];
  header.set(mask, at);
  return concat([header.subarray(0, at + 4), bytes.map((byte, i) => byte ^ mask[i & 3]!)]);
}
