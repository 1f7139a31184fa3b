import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerOptions } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import type { HeldOutput } from "../server/held-output.ts";
import { refuseBadHttp, refuseRequest, requestFault } from "./http-refusal.ts";
import { ParsedSlices } from "./parsed-slices.ts";
import { PipelinedRequests } from "./pipelined-requests.ts";
import { closedOf, keepAliveAfterMs, listening, refusedAtOnceMax } from "./tcp-listener.ts";
import { TurnQueue } from "./turn-queue.ts";

/** How long HTTP clients may take. A browser on a bad link needs a second or two; whoever needs more holds us up. */
export interface HttpTimes {
  /** For the headers of a request. @defaultValue 10000 */
  readonly headersWithinMs: number;
  /** For a whole request, its body included. @defaultValue 15000 */
  readonly requestWithinMs: number;
  /** A connection without a request ends. @defaultValue 20000 */
  readonly idleMs: number;
  /** A connection on which no byte moves, either way, ends. @defaultValue 60000 */
  readonly stalledMs: number;
  /** How often the first two are looked at. @defaultValue 1000 */
  readonly checkEveryMs: number;
}

export const defaultHttpTimes: HttpTimes = {
  headersWithinMs: 10_000,
  requestWithinMs: 15_000,
  idleMs: 20_000,
  stalledMs: 60_000,
  checkEveryMs: 1_000,
};

/** A token of 4 KiB, a few cookies and what proxies add. */
const headerBytesMax = 16 * 1024;
/** Browsers send about twenty. */
const headersMax = 100;

/** So many requests begin in one turn: about half a millisecond of one core. */
const requestsPerTurn = 8;
/** So many connections are read for the first time in one turn: what each brings is parsed in one go. */
const connectionsPerTurn = 1;
/** So many are told in one turn that theirs is no request, or did not come in time: about a tenth of a millisecond. */
const refusalsPerTurn = 2;

/** A port that speaks HTTP. */
export class HttpListener {
  readonly server: Server;

  constructor(options: {
    handle: RequestListener;
    /** null: nobody may upgrade here. */
    upgrade: ((request: IncomingMessage, socket: Socket, head: Buffer) => void) | null;
    connectionsMax: number;
    /** Where it is counted what clients have not taken of their answers; null: nowhere. */
    held: Pick<HeldOutput, "seen"> | null;
    times: HttpTimes;
    clock: Clock;
  }) {
    const { times, upgrade } = options;
    const settings: ServerOptions = {
      headersTimeout: times.headersWithinMs,
      requestTimeout: times.requestWithinMs,
      connectionsCheckingInterval: times.checkEveryMs,
      keepAliveTimeout: times.idleMs,
      maxHeaderSize: headerBytesMax,
      // Refused by us, with a code.
      requireHostHeader: false,
      insecureHTTPParser: false,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveAfterMs,
    };
    const { clock } = options;
    const turns = new TurnQueue({ clock, perTurn: requestsPerTurn });
    const requests = new PipelinedRequests({ ...options, turns });
    const arrivals = new TurnQueue({ clock, perTurn: connectionsPerTurn });
    const slices = new ParsedSlices();
    this.server = createServer(settings, (incoming, outgoing) => {
      slices.requested();
      const fault = requestFault(incoming);
      if (fault === null) requests.take(incoming, outgoing);
      else refuseRequest(outgoing, fault);
    });
    refuseBadHttp(this.server, new TurnQueue({ clock, perTurn: refusalsPerTurn }));
    // Only TCP sockets come here: this server listens on nothing else.
    this.server.prependListener("clientError", (_cause, socket) => slices.giveUp(socket as Socket));
    this.server.prependListener("connect", (_incoming, socket) => slices.giveUp(socket as Socket));
    this.server.on("connection", (socket: Socket) => {
      slices.take(socket);
      let isPaused = false;
      const isRead = arrivals.take(() => {
        if (isPaused) socket.resume();
      });
      if (isRead) return;
      isPaused = true;
      // Behind the reading that the parser has just asked for.
      void Promise.resolve().then(() => socket.pause());
    });
    this.server.maxHeadersCount = headersMax;
    this.server.timeout = times.stalledMs;
    this.server.maxConnections = options.connectionsMax + refusedAtOnceMax;
    if (upgrade !== null) {
      this.server.on("upgrade", (request, duplex, head) => {
        const socket = duplex as Socket;
        upgrade(request, socket, slices.leave(socket, head));
      });
    }
  }

  /** Settles with the port once clients can connect; rejects when the address cannot be had. */
  listen(at: { host: string; port: number }): Promise<number> {
    return listening(this.server, at);
  }

  /** Accepts nobody any more, and ends connections that wait for nothing. */
  stop(): void {
    this.server.close();
    this.server.closeIdleConnections();
  }

  /** Ends all requests; settles when the port is free and no connection is left. Upgraded ones end elsewhere, before. */
  async close(): Promise<void> {
    const closed = closedOf(this.server);
    this.server.closeAllConnections();
    await closed;
  }
}
