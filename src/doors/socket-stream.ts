import type { Socket } from "node:net";
import type { ByteStream, StreamReceiver } from "./byte-stream.ts";
import type { ReadMemory } from "./read-memory.ts";

const receiver = Symbol("receiver");
const readMemory = Symbol("read memory");

/** A socket that knows whom to tell: the listeners below are shared by all sockets, instead of closures for each. */
interface HeardSocket extends Socket {
  [receiver]?: StreamReceiver;
  [readMemory]?: ReadMemory;
}

/** A socket of the operating system as a stream of bytes. */
export class SocketStream implements ByteStream {
  readonly address: string;
  readonly #socket: HeardSocket;

  /** `memory` takes back what the receiver was lent. */
  constructor(socket: Socket, memory: ReadMemory) {
    this.#socket = socket;
    this.#socket[readMemory] = memory;
    this.address = addressOf(socket);
  }

  get bufferedBytes(): number {
    return this.#socket.destroyed ? 0 : this.#socket.writableLength;
  }

  attach(to: StreamReceiver): void {
    const socket = this.#socket;
    socket[receiver] = to;
    socket.on("data", onData);
    socket.on("drain", onDrain);
    socket.on("end", onEnd);
    socket.on("close", onClose);
    socket.on("error", onError);
  }

  write(pieces: readonly Uint8Array[]): void {
    writePieces(this.#socket, pieces);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Writes all pieces with one system call where the socket takes them. Ignored once the socket has ended. */
export function writePieces(socket: Socket, pieces: readonly Uint8Array[]): void {
  if (!socket.writable) return;
  if (pieces.length === 1) {
    socket.write(pieces[0]!);
    return;
  }
  socket.cork();
  for (const piece of pieces) socket.write(piece);
  socket.uncork();
}

/** The other side's address; an IPv4 address is written as one also when it came by IPv6. */
export function addressOf(socket: Socket): string {
  const address = socket.remoteAddress ?? "unknown";
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

// A plain array over the same memory: everything behind the doors reads one kind of array, which the engine turns into
// faster code than two, and a view of a Buffer costs twice that of an array.
function onData(this: HeardSocket, bytes: Uint8Array): void {
  this[receiver]?.data(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  this[readMemory]?.giveBack(bytes);
}

function onDrain(this: HeardSocket): void {
  this[receiver]?.drained();
}

function onEnd(this: HeardSocket): void {
  this[receiver]?.ended();
}

function onClose(this: HeardSocket): void {
  this[receiver]?.closed();
}

// A reset or a timeout of TCP: "close" follows and tells the receiver. Without a listener it would end the process.
function onError(this: HeardSocket): void {
  this.destroy();
}
