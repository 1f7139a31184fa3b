import type { Clock } from "../../base/clock.ts";
import { Fault } from "../../base/error-codes.ts";
import type { Limits } from "../../base/limits.ts";
import { millis } from "../../base/units.ts";
import { defaultHttpTimes, HttpListener } from "../../doors/http-listener.ts";
import { problemHeaders, problemOf } from "../../doors/problem.ts";
import { TcpDoor } from "../../doors/tcp-door.ts";
import { TcpListener } from "../../doors/tcp-listener.ts";
import type { Trust } from "../../doors/trust.ts";
import { WebSocketDoor } from "../../doors/websocket-door.ts";
import type { Log } from "../../server/log.ts";
import type { Server } from "../../server/server.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";

/** One way in, behind one port. */
interface Door {
  readonly key: "port" | "tcpPort" | "adminPort";
  readonly host: string;
  readonly listener: {
    listen(at: { host: string; port: number }): Promise<number>;
    stop(): void;
    close(): Promise<void>;
  };
  /** Connections that stand. */
  count(): number;
}

/** The ways into one server: opened together, closed together. */
export class ServerDoors {
  readonly #doors: readonly Door[];
  readonly #clock: Clock;

  constructor(options: { server: Server; host: string; clock: Clock; limits: Limits; log: Log; trust: Trust }) {
    this.#clock = options.clock;
    this.#doors = [publicDoor(options), tcpDoor(options)];
  }

  /**
   * Opens every door, and answers the ports. Throws `CommandFailed` when one can't be had; then those that were opened
   * are closed again.
   */
  async open(wanted: {
    port: number;
    tcpPort: number;
    adminPort: number;
  }): Promise<Record<Door["key"], number | null>> {
    const ports: Record<Door["key"], number | null> = { port: null, tcpPort: null, adminPort: null };
    try {
      for (const { key, host, listener } of this.#doors) {
        ports[key] = await listener.listen({ host, port: wanted[key] }).catch((cause: unknown) => {
          throw cannotListen({ key, host, port: wanted[key] }, cause);
        });
      }
    } catch (fault) {
      await this.close();
      throw fault;
    }
    return ports;
  }

  /** Lets nobody in any more. */
  stop(): void {
    for (const { listener } of this.#doors) listener.stop();
  }

  /** Settles when no connection is left, or the time is over. */
  async settle(within: number): Promise<void> {
    const end = this.#clock.now() + within;
    while (this.#clock.now() < end && this.#doors.some((door) => door.count() > 0)) {
      await new Promise<void>((resolve) => {
        this.#clock.after(millis(10), resolve);
      });
    }
  }

  /** Ends everything that is left. */
  async close(): Promise<void> {
    await Promise.all(this.#doors.map(({ listener }) => listener.close()));
  }
}

function publicDoor(options: { server: Server; host: string; limits: Limits; log: Log; trust: Trust }): Door {
  const sockets = new WebSocketDoor(options);
  const listener = new HttpListener({
    handle: (_, response) => {
      const fault = new Fault("not_found", "there is nothing at this address");
      response.writeHead(404, problemHeaders(fault)).end(JSON.stringify(problemOf(fault)));
    },
    upgrade: (request, socket, head) => sockets.upgrade(request, socket, head),
    connectionsMax: options.limits.connectionsMax,
    times: defaultHttpTimes,
  });
  return {
    key: "port",
    host: options.host,
    listener: {
      listen: (at) => listener.listen(at),
      stop: () => listener.stop(),
      close: () => {
        sockets.destroyAll();
        return listener.close();
      },
    },
    count: () => sockets.connectionCount,
  };
}

function tcpDoor(options: { server: Server; host: string; clock: Clock; limits: Limits; log: Log }): Door {
  const door = new TcpDoor(options);
  return { key: "tcpPort", host: options.host, listener: new TcpListener(door), count: () => door.connectionCount };
}

const flags = { port: "--port", tcpPort: "--tcp-port", adminPort: "--admin-port" } as const;

function cannotListen(at: { key: Door["key"]; host: string; port: number }, cause: unknown): CommandFailed {
  const { key, host, port } = at;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const where = `${host}:${port}`;
  const flag = flags[key];
  switch (code) {
    case "EADDRINUSE":
      return new CommandFailed(exitCodes.refused, `${where} is in use; choose another ${flag}, or 0 for a free one`, {
        cause,
      });
    case "EACCES":
      return new CommandFailed(
        exitCodes.refused,
        `${where} may not be opened by this user; choose a ${flag} above 1023`,
        { cause },
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new CommandFailed(exitCodes.usage, `${host} is no address of this machine; choose another --host`, {
        cause,
      });
    default: {
      const why = cause instanceof Error ? cause.message : String(cause);
      return new CommandFailed(exitCodes.failed, `can't listen on ${where}: ${why}`, { cause });
    }
  }
}
