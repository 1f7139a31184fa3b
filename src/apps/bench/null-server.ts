import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { bodyAt, numberDigits, putDigits } from "./message-body.ts";

/**
 * A server that answers without working: it shows how fast the generator could be if the server cost nothing. It knows
 * no protocol. It gets an example of an answer or of a delivery, in the bytes of the system it stands for, and how long
 * a request is.
 */
export type NullServerPlan =
  | {
      readonly mode: "answer";
      /** After every so many bytes one answer goes out. */
      readonly requestBytes: number;
      /** The answer, in base64, and which bytes of the request are copied into it. */
      readonly answer: string;
      readonly copyFrom: number;
      readonly copyTo: number;
      readonly copyBytes: number;
    }
  | {
      readonly mode: "stream";
      /** A delivery, in base64, and where its body begins. Sent to all as soon as so many are connected. */
      readonly delivery: string;
      readonly bodyAt: number;
      readonly readers: number;
    };

/** Answers copied out at once. */
const answersPerWrite = 2048;
/** Blocks sent ahead of the slowest reader's sign. */
const blocksAhead = 2;

/** How many deliveries of this size a null server writes at once. */
export const nullBlockFrames = (frameBytes: number): number => Math.max(8, Math.floor(16_384 / frameBytes));

/** Listens on a free port of the loopback; settles with the server, whose port is in its address. */
export function startNullServer(plan: NullServerPlan): Promise<Server> {
  const server = createServer({ noDelay: true });
  const sockets: Socket[] = [];
  const stream = plan.mode === "stream" ? new Stream(plan, sockets) : null;
  server.on("connection", (socket) => {
    sockets.push(socket);
    // The generator ends its connections without ceremony.
    socket.on("error", () => socket.destroy());
    if (plan.mode === "answer") {
      const answerer = new Answerer(plan, socket);
      socket.on("data", (bytes: Buffer) => answerer.received(bytes));
    } else if (stream !== null) {
      socket.on("data", (bytes: Buffer) => stream.taken(bytes.length));
      if (sockets.length === plan.readers) stream.begin();
    }
  });
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(0, "127.0.0.1", 8192, () => resolve(server));
  });
}

export const portOf = (server: Server): number => (server.address() as AddressInfo).port;

class Answerer {
  private readonly socket: Socket;
  private readonly requestBytes: number;
  private readonly copy: { readonly from: number; readonly to: number; readonly bytes: number };
  private readonly answer: Buffer;
  private block: Buffer;
  private readonly carried: Buffer;
  private carriedLength = 0;

  constructor(plan: Extract<NullServerPlan, { mode: "answer" }>, socket: Socket) {
    this.socket = socket;
    this.requestBytes = plan.requestBytes;
    this.copy = { from: plan.copyFrom, to: plan.copyTo, bytes: plan.copyBytes };
    this.answer = Buffer.from(plan.answer, "base64");
    this.block = this.newBlock();
    this.carried = Buffer.alloc(plan.requestBytes);
  }

  private newBlock(): Buffer {
    const block = Buffer.alloc(this.answer.length * answersPerWrite);
    for (let place = 0; place < answersPerWrite; place += 1) this.answer.copy(block, place * this.answer.length);
    return block;
  }

  received(bytes: Buffer): void {
    let at = 0;
    let answers = 0;
    if (this.carriedLength > 0) {
      at = Math.min(this.requestBytes - this.carriedLength, bytes.length);
      bytes.copy(this.carried, this.carriedLength, 0, at);
      this.carriedLength += at;
      if (this.carriedLength < this.requestBytes) return;
      this.carriedLength = 0;
      this.put(this.carried, 0, answers);
      answers += 1;
    }
    for (; bytes.length - at >= this.requestBytes; at += this.requestBytes) {
      if (answers === answersPerWrite) {
        this.write(answers);
        answers = 0;
      }
      this.put(bytes, at, answers);
      answers += 1;
    }
    this.carriedLength = bytes.copy(this.carried, 0, at);
    if (answers > 0) this.write(answers);
  }

  private put(request: Buffer, at: number, place: number): void {
    const { copy } = this;
    const to = place * this.answer.length + copy.to;
    for (let byte = 0; byte < copy.bytes; byte += 1) this.block[to + byte] = request[at + copy.from + byte]!;
  }

  private write(answers: number): void {
    this.socket.write(this.block.subarray(0, answers * this.answer.length));
    // The kernel still reads what it did not take at once.
    if (this.copy.bytes > 0 && this.socket.writableLength > 0) this.block = this.newBlock();
  }
}

/** Sends numbered deliveries to everybody, the same block to each, a few blocks ahead of their signs. */
class Stream {
  private readonly sockets: readonly Socket[];
  private readonly delivery: Buffer;
  private readonly bodyAt: number;
  private readonly frames: number;
  private begun = false;
  private sent = 0;
  private signs = 0;
  private next = 1;

  constructor(plan: Extract<NullServerPlan, { mode: "stream" }>, sockets: readonly Socket[]) {
    this.sockets = sockets;
    this.delivery = Buffer.from(plan.delivery, "base64");
    this.bodyAt = plan.bodyAt;
    this.frames = nullBlockFrames(this.delivery.length);
  }

  begin(): void {
    this.begun = true;
    this.sendAhead();
  }

  taken(signs: number): void {
    this.signs += signs;
    this.sendAhead();
  }

  private sendAhead(): void {
    while (this.begun && this.sent - this.signs < blocksAhead) {
      const block = Buffer.alloc(this.frames * this.delivery.length);
      for (let place = 0; place < this.frames; place += 1) {
        const at = place * this.delivery.length;
        this.delivery.copy(block, at);
        putDigits(block, at + this.bodyAt + bodyAt.number, numberDigits, this.next);
        this.next += 1;
      }
      for (const socket of this.sockets) socket.write(block);
      this.sent += 1;
    }
  }
}
