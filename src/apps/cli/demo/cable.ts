import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";
import { once } from "node:events";

/** Connections that wait for a cable to be mended; who asks beyond that is refused. */
const heldMax = 64;

/**
 * The way from one server to another's peer port, as something that can be cut: a port of its own that passes bytes on.
 * Cut, it swallows nothing and says nothing: what is sent waits, as in a network that has lost a line, and goes on when it
 * is mended, if anybody still waits.
 */
export class Cable {
  readonly #target: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #held = new Set<Socket>();
  #isCut = false;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#came(socket));
  }

  /** Settles once it can be dialled. `target`: a port of this machine. */
  static async to(target: number): Promise<Cable> {
    const cable = new Cable(target);
    cable.#server.listen(0, "127.0.0.1");
    await once(cable.#server, "listening");
    return cable;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.pause();
  }

  mend(): void {
    this.#isCut = false;
    for (const socket of this.#sockets) socket.resume();
    for (const socket of this.#held) this.#join(socket);
    this.#held.clear();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of [...this.#sockets, ...this.#held]) socket.destroy();
    await closed;
  }

  #came(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    if (!this.#isCut) this.#join(socket);
    else if (this.#held.size >= heldMax) socket.destroy();
    else {
      this.#held.add(socket);
      socket.once("close", () => this.#held.delete(socket));
    }
  }

  #join(near: Socket): void {
    if (near.destroyed) return;
    const far = connect({ host: "127.0.0.1", port: this.#target });
    far.on("error", () => far.destroy());
    this.#pass(near, far);
    this.#pass(far, near);
    near.resume();
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on("data", (bytes: Buffer) => {
      if (!to.write(bytes)) from.pause();
    });
    to.on("drain", () => {
      if (!this.#isCut) from.resume();
    });
    from.once("end", () => to.end());
    from.once("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
