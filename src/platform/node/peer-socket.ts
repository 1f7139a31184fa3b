import type { Socket } from "node:net";

import type { PeerStream, PeerStreamReceiver, StreamEnd } from "../../transport/peer-stream.ts";

/** A socket as the transport wants it; TLS for servers, plain TCP for measuring what TLS costs. */
export class PeerSocket implements PeerStream {
  readonly address: string;
  readonly #socket: Socket;
  #receiver: PeerStreamReceiver | null = null;
  #isOpen: boolean;
  #failure: StreamEnd | null = null;

  /** `isOpen`: the handshake is over. Otherwise `openedBy` names the event of the socket that ends it. */
  constructor(socket: Socket, address: string, openedBy: "secureConnect" | "connect" | null) {
    this.#socket = socket;
    this.address = address;
    this.#isOpen = openedBy === null;
    socket.setNoDelay(true);
    if (openedBy !== null) {
      socket.once(openedBy, () => {
        this.#isOpen = true;
        this.#receiver?.opened();
      });
    }
    socket.on("drain", () => this.#receiver?.drained());
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#failure ??= streamEndOf(error, this.#isOpen);
    });
    socket.once("close", () => this.#receiver?.closed(this.#failure ?? (this.#isOpen ? "closed" : "failed")));
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  attach(receiver: PeerStreamReceiver): void {
    this.#receiver = receiver;
    // Listening for data is what starts the flow.
    this.#socket.on("data", (bytes: Uint8Array) => this.#receiver?.data(bytes));
  }

  write(pieces: readonly Uint8Array[]): void {
    if (!this.#socket.writable) return;
    const only = pieces.length === 1 ? pieces[0] : undefined;
    if (only !== undefined) {
      this.#socket.write(only);
      return;
    }
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#receiver = null;
    this.#socket.destroy();
  }
}

function streamEndOf(error: NodeJS.ErrnoException, isOpen: boolean): StreamEnd {
  const code = error.code ?? "";
  if (code === "ECONNREFUSED") return "refused";
  if (isOpen) return "reset";
  // What is no error of the network (those begin with E and a letter) was said by TLS: no secret in common.
  return /^E(?!RR_|PROTO)[A-Z]/.test(code) ? "failed" : "unauthenticated";
}
