import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { assert } from "../../../base/assert.ts";

/**
 * A proxy in front of every way from one server of a cluster to another, so that a server can be cut off: what is sent
 * then goes nowhere, and nobody is told. Connections stand, as they do when a cable is pulled.
 */
export class CuttableLinks {
  private readonly ways: Way[] = [];

  /** Proxies between servers that listen, or will, on these ports. */
  static async between(ports: readonly number[]): Promise<CuttableLinks> {
    const links = new CuttableLinks();
    for (let from = 0; from < ports.length; from += 1) {
      for (const [to, port] of ports.entries()) if (to !== from) links.ways.push(await Way.open(from, to, port));
    }
    return links;
  }

  /** Where server `from` finds server `to`. */
  portFrom(from: number, to: number): number {
    const way = this.ways.find((one) => one.from === from && one.to === to);
    assert(way !== undefined, "a way between two servers");
    return way.port;
  }

  setCut(place: number, isCut: boolean): void {
    for (const way of this.ways) if (way.from === place || way.to === place) way.setCut(isCut);
  }

  close(): void {
    for (const way of this.ways) way.close();
  }
}

class Way {
  readonly from: number;
  readonly to: number;
  private readonly server: Server;
  private readonly target: number;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private isCut = false;

  private constructor(from: number, to: number, target: number) {
    this.from = from;
    this.to = to;
    this.target = target;
    this.server = createServer({ noDelay: true }, (socket) => this.accept(socket));
  }

  static open(from: number, to: number, target: number): Promise<Way> {
    const way = new Way(from, to, target);
    return new Promise((resolve, reject) => {
      way.server.on("error", reject);
      way.server.listen(0, "127.0.0.1", () => resolve(way));
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  setCut(isCut: boolean): void {
    this.isCut = isCut;
    for (const pair of this.pairs) {
      if (!isCut && pair.some((socket) => socket.destroyed)) this.end(pair);
      else for (const socket of pair) hold(socket, isCut);
    }
  }

  close(): void {
    this.server.close();
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
  }

  private accept(near: Socket): void {
    const far = connect({ host: "127.0.0.1", port: this.target, noDelay: true });
    const pair = [near, far] as const;
    this.pairs.add(pair);
    for (const [one, other] of [pair, [far, near] as const]) {
      one.on("data", (bytes: Buffer) => {
        if (!other.write(bytes)) one.pause();
      });
      other.on("drain", () => {
        if (!this.isCut) one.resume();
      });
      // An end does not pass a cut either; it is passed on when that is healed.
      one.on("error", () => one.destroy());
      one.on("close", () => {
        if (!this.isCut) this.end(pair);
      });
    }
    if (this.isCut) for (const socket of pair) hold(socket, true);
  }

  private end(pair: readonly [Socket, Socket]): void {
    this.pairs.delete(pair);
    for (const socket of pair) socket.destroy();
  }
}

function hold(socket: Socket, isHeld: boolean): void {
  if (isHeld) socket.pause();
  else socket.resume();
}
