import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Fault } from "../base/error-codes.ts";
import type { HeldOutput, Holder } from "../server/held-output.ts";
import { refuseRequest } from "./http-refusal.ts";
import type { TurnQueue } from "./turn-queue.ts";

/** Requests of one connection that may wait for the answers before theirs. */
export const pipelinedMax = 16;
/** Requests beyond those, after which nothing is said any more. */
const excessMax = 4;

/**
 * The requests of each connection, one at a time: the next is looked at when its client has taken the answer to the one
 * before, so that who asks and does not read holds one answer, however many requests it sends in one go.
 */
export class PipelinedRequests {
  readonly #handle: RequestListener;
  readonly #held: Pick<HeldOutput, "seen"> | null;
  readonly #turns: TurnQueue;
  readonly #connections = new WeakMap<Socket, HttpConnection>();

  /** `held`: where it is counted what clients have not taken; null: nowhere. */
  constructor(options: { handle: RequestListener; held: Pick<HeldOutput, "seen"> | null; turns: TurnQueue }) {
    this.#handle = options.handle;
    this.#held = options.held;
    this.#turns = options.turns;
  }

  take(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { socket } = incoming;
    let connection = this.#connections.get(socket);
    if (connection === undefined) {
      connection = new HttpConnection(socket);
      this.#connections.set(socket, connection);
    }
    if (connection.isAnswering) connection.wait(incoming, outgoing);
    else this.#answer(connection, incoming, outgoing);
  }

  #answer(connection: HttpConnection, incoming: IncomingMessage, outgoing: ServerResponse): void {
    connection.isAnswering = true;
    // The answer is whole, and with the socket.
    outgoing.once("prefinish", () => this.#held?.seen(connection));
    outgoing.once("close", () => {
      this.#held?.seen(connection);
      connection.isAnswering = false;
      const next = connection.next();
      if (next !== null) this.#answer(connection, ...next);
    });
    this.#turns.take(() => {
      if (!incoming.socket.destroyed) this.#handle(incoming, outgoing);
    });
  }
}

/** One connection, and what it asks ahead of the answers. */
class HttpConnection implements Holder {
  isAnswering = false;
  readonly #socket: Socket;
  #waiting: [IncomingMessage, ServerResponse][] = [];
  #excess = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  heldBytes(): number {
    return this.#socket.destroyed ? 0 : this.#socket.writableLength;
  }

  drop(): void {
    this.#socket.destroy();
    // Or Node throws each away with an error, whose stack it writes out.
    for (const [incoming] of this.#waiting.splice(0)) incoming.destroy();
  }

  wait(incoming: IncomingMessage, outgoing: ServerResponse): void {
    if (this.#waiting.length < pipelinedMax && this.#excess === 0) {
      this.#waiting.push([incoming, outgoing]);
      return;
    }
    this.#excess++;
    // What is refused ends the connection behind the answers that are due; what follows it is not looked at.
    if (this.#excess === 1) {
      const why = `at most ${pipelinedMax} requests of a connection may wait`;
      refuseRequest(outgoing, new Fault("overloaded", why, { retryAfterMs: 1_000 }));
    }
    if (this.#excess > excessMax) this.drop();
  }

  /** The next that waits, or null. */
  next(): [IncomingMessage, ServerResponse] | null {
    if (this.#socket.destroyed) this.#waiting = [];
    return this.#waiting.shift() ?? null;
  }
}
