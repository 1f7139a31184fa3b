import { randomInt } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { Fault } from "../../base/error-codes.ts";

/**
 * Where ports are taken from: below what systems give to whoever names none (Linux from 32768, others from 49152). There a
 * connection that somebody opens while a server is down could take its port, and the server would not come back.
 */
const [portFrom, portTo] = [20_000, 32_000];
/** Ports tried; most of them are free. */
const triesMax = 1_000;

/**
 * Ports of the loopback that nobody has just now, all different. Servers must know one another's before they start, and keep
 * theirs over a restart. Rejects with a Fault where there are not so many.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  try {
    for (let tries = 0; held.length < count; tries++) {
      if (tries === triesMax) {
        throw new Fault("unavailable", `there are no ${count} free ports from ${portFrom} to ${portTo}`);
      }
      const server = createServer();
      const isOurs = new Promise<boolean>((settle) => {
        server.once("listening", () => settle(true));
        server.once("error", () => settle(false));
      });
      server.listen(randomInt(portFrom, portTo), "127.0.0.1");
      if (await isOurs) held.push(server);
    }
    return held.map((server) => (server.address() as AddressInfo).port);
  } finally {
    await Promise.all(held.map((server) => once(server.close(), "close")));
  }
}
