import { createServer, type Server } from "node:net";
import { closedOf, listening } from "../../doors/tcp-listener.ts";
import type { Configuration } from "./configuration.ts";
import { type ListenPlace, listenRefused } from "./listen-refused.ts";

/** Where a configured server lets its clients and its operators in. */
export function doorPlaces(configuration: Configuration): Record<"port" | "tcpPort" | "adminPort", ListenPlace> {
  const { host, adminHost, port, tcpPort, adminPort } = configuration;
  return {
    port: { host, port, portFlag: "--port", hostFlag: "--host" },
    tcpPort: { host, port: tcpPort, portFlag: "--tcp-port", hostFlag: "--host" },
    adminPort: { host: adminHost, port: adminPort, portFlag: "--admin-port", hostFlag: "--admin-host" },
  };
}

/**
 * Has all these ports for a moment, and gives them back: a start that can't have one of them is refused before it has
 * changed anything. Throws `CommandFailed`. Whoever takes one between this and the real opening is found there.
 */
export async function mustBeHad(places: readonly ListenPlace[]): Promise<void> {
  const held: Server[] = [];
  try {
    for (const place of places) {
      // Nobody comes in this way.
      const server = createServer((socket) => socket.destroy());
      await listening(server, place).catch((cause: unknown) => {
        throw listenRefused(place, cause);
      });
      held.push(server);
    }
  } finally {
    await Promise.all(held.map(closedOf));
  }
}
