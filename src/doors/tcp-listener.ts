import { createServer, type Server } from "node:net";
import { ReadMemory } from "./read-memory.ts";
import { SocketStream } from "./socket-stream.ts";
import type { TcpDoor } from "./tcp-door.ts";

/** A quiet connection is asked this often, by TCP itself, whether the other side is still there. */
export const keepAliveAfterMs = 60_000;

/** Where TCP clients knock. */
export class TcpListener {
  readonly #door: TcpDoor;
  readonly #server: Server;

  constructor(door: TcpDoor) {
    this.#door = door;
    // Answers are gathered a turn at a time already; Nagle's algorithm would only hold them back.
    const options = { noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveAfterMs, allowHalfOpen: true };
    const memory = new ReadMemory();
    this.#server = createServer(options, (socket) => door.accept(new SocketStream(socket, memory)));
    // A little above what the server takes, so that most who come too many are told; beyond, they are just dropped.
    this.#server.maxConnections = door.limits.connectionsMax + refusedAtOnceMax;
  }

  /** Settles with the port once clients can connect; rejects when the address cannot be had. */
  listen(at: { host: string; port: number }): Promise<number> {
    return listening(this.#server, at);
  }

  /** Accepts nobody any more. Connections that stand, stay. */
  stop(): void {
    this.#server.close();
  }

  /** Ends everything; settles when the port is free and no connection is left. */
  async close(): Promise<void> {
    const closed = closedOf(this.#server);
    this.#door.destroyAll();
    await closed;
  }
}

/** Connections beyond the limit that may be there for as long as it takes to tell them. */
export const refusedAtOnceMax = 256;

/** Starts listening; settles with the port. */
export function listening(server: Server, at: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(at.port, at.host, () => {
      server.off("error", reject);
      const address = server.address();
      if (address === null || typeof address === "string") reject(new Error("not a TCP address"));
      else resolve(address.port);
    });
  });
}

/** Stops listening; settles once no connection is left. */
export function closedOf(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // Says so at once, with an error, when it was not listening any more.
    server.close(() => resolve());
  });
}
