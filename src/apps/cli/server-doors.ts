import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../base/clock.ts";
import type { Limits } from "../../base/limits.ts";
import type { Random } from "../../base/random.ts";
import { millis } from "../../base/units.ts";
import { AdminDoor } from "../../doors/admin-door.ts";
import type { Page } from "../../doors/page.ts";
import { operatorPortOf, requestPortOf } from "../../doors/ports-of-server.ts";
import { PublicDoor } from "../../doors/public-door.ts";
import { TcpDoor } from "../../doors/tcp-door.ts";
import { TcpListener } from "../../doors/tcp-listener.ts";
import type { Trust } from "../../doors/trust.ts";
import { readPage } from "../../platform/node/page-files.ts";
import { adminDocuments, publicDocuments } from "../../protocol/documents.ts";
import type { Log } from "../../server/log.ts";
import type { Server } from "../../server/server.ts";
import type { ProcessFacts } from "../../server/status.ts";
import type { ToldEvents } from "../../server/told-events.ts";
import { type ListenPlace, listenRefused } from "./listen-refused.ts";
import { version } from "./version.ts";

export interface DoorOptions {
  readonly server: Server;
  /** What operators must show; null = nothing. */
  readonly adminToken: string | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly log: Log;
  readonly trust: Trust;
  readonly page: Page | null;
  /** What operators look at. */
  readonly clusterPage: Page | null;
  readonly facts: () => ProcessFacts;
  /** What happened of late, for operators. */
  readonly events: ToldEvents;
  /** Settings that are fit for one machine only, in words. */
  readonly insecure: readonly string[];
}

/** One way in, behind one port. */
interface Door {
  readonly key: "port" | "tcpPort" | "adminPort";
  /** Accepts nobody any more; null: stays open to the end, because it tells how the end goes. */
  readonly stop: (() => void) | null;
  /** Connections that stand. */
  readonly count: () => number;
  listen(at: { host: string; port: number }): Promise<number>;
  close(): Promise<void>;
}

/** The ways into one server: opened together, closed together. */
export class ServerDoors {
  readonly #doors: readonly Door[];
  readonly #clock: Clock;

  constructor(options: DoorOptions) {
    this.#clock = options.clock;
    this.#doors = [publicDoor(options), tcpDoor(options), adminDoor(options)];
  }

  /**
   * Opens every door, and answers the ports. Throws `CommandFailed` when one can't be had; then those that were opened
   * are closed again.
   */
  async open(wanted: Record<Door["key"], ListenPlace>): Promise<Record<Door["key"], number>> {
    const ports = { port: 0, tcpPort: 0, adminPort: 0 };
    try {
      for (const door of this.#doors) {
        const place = wanted[door.key];
        ports[door.key] = await door.listen(place).catch((cause: unknown) => {
          throw listenRefused(place, cause);
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
    for (const { stop } of this.#doors) stop?.();
  }

  /** Settles when no client is left, or the time is over. */
  async settle(within: number): Promise<void> {
    const end = this.#clock.now() + within;
    while (this.#clock.now() < end && this.#doors.some(({ count }) => count() > 0)) {
      await new Promise<void>((resolve) => {
        this.#clock.after(millis(10), resolve);
      });
    }
  }

  /** Ends everything that is left. */
  async close(): Promise<void> {
    await Promise.all(this.#doors.map((door) => door.close()));
  }
}

function publicDoor(options: DoorOptions): Door {
  const documents = publicDocuments({ version });
  const door = new PublicDoor({ ...options, server: requestPortOf(options.server), documents });
  return {
    key: "port",
    stop: () => door.stop(),
    count: () => door.connectionCount,
    listen: (at) => door.listen(at),
    close: () => door.close(),
  };
}

function tcpDoor(options: DoorOptions): Door {
  const door = new TcpDoor({ ...options, server: options.server.connections });
  const listener = new TcpListener(door);
  return {
    key: "tcpPort",
    stop: () => listener.stop(),
    count: () => door.connectionCount,
    listen: (at) => listener.listen(at),
    close: () => listener.close(),
  };
}

function adminDoor(options: DoorOptions): Door {
  const { server, facts, insecure, clock, limits, log, adminToken: token, events } = options;
  let metrics: Promise<() => Promise<string>> | null = null;
  // Loaded when somebody asks: it takes longer to load than all the rest of the door.
  const readMetrics = async (): Promise<string> => {
    metrics ??= import("./metrics.ts").then(({ serverMetrics }) => serverMetrics(server));
    return (await metrics)();
  };
  const operator = operatorPortOf(server, { facts, metrics: readMetrics, events });
  const told = { ...operator, status: async () => ({ ...(await operator.status()), insecure }) };
  const documents = adminDocuments({ version });
  const door = new AdminDoor({ server: told, clock, limits, log, token, documents, page: options.clusterPage });
  return {
    key: "adminPort",
    stop: null,
    count: () => 0,
    listen: (at) => door.listen(at),
    close: () => door.close(),
  };
}

/** The page as it was built beside this program, or null where there is none. */
export function builtPage(): Promise<Page | null> {
  return pageIn("../../web");
}

/** The same for the page about a cluster. The demonstration's own is another one. */
export async function builtClusterPage(): Promise<Page | null> {
  const page = await pageIn("../../web-cluster");
  return page === null ? null : new Map([...page].filter(([path]) => path !== "/demo.html"));
}

/** The demonstration's page: the one about a cluster, with handles to break it. */
export async function builtDemoPage(): Promise<Page | null> {
  const page = await pageIn("../../web-cluster");
  const index = page?.get("/demo.html");
  return page === null || index === undefined ? null : new Map([...page, ["/index.html", index]]);
}

async function pageIn(place: string): Promise<Page | null> {
  const folder = fileURLToPath(new URL(place, import.meta.url));
  return existsSync(folder) ? readPage(folder) : null;
}
