import { EventStreams } from "./event-stream.ts";
import { httpDoor, type HttpDoorOptions, type HttpRequests } from "./http-door.ts";
import { defaultHttpTimes, HttpListener, type HttpTimes } from "./http-listener.ts";
import { WebSocketDoor } from "./websocket-door.ts";

export interface PublicDoorOptions extends Omit<HttpDoorOptions, "streams"> {
  /** @defaultValue `defaultHttpTimes` */
  readonly times?: HttpTimes;
}

/** The one public port: HTTP, event streams, WebSocket and the page. */
export class PublicDoor {
  readonly listener: HttpListener;
  /** Where requests are answered. */
  readonly routes: HttpRequests["routes"];
  readonly #sockets: WebSocketDoor;
  readonly #streams: EventStreams;
  #requests = 0;

  constructor(options: PublicDoorOptions) {
    this.#sockets = new WebSocketDoor(options);
    this.#streams = new EventStreams(options);
    const { listener: handle, routes } = httpDoor({ ...options, streams: this.#streams });
    this.routes = routes;
    this.listener = new HttpListener({
      handle: (incoming, outgoing) => {
        this.#requests++;
        outgoing.once("close", () => this.#requests--);
        handle(incoming, outgoing);
      },
      upgrade: (request, socket, head) => this.#sockets.upgrade(request, socket, head),
      connectionsMax: options.limits.connectionsMax,
      held: options.server.held,
      times: options.times ?? defaultHttpTimes,
      clock: options.clock,
    });
  }

  /** Clients that are owed something: WebSockets, and requests whose answer is not out, event streams among them. */
  get connectionCount(): number {
    return this.#sockets.connectionCount + this.#requests;
  }

  /** Settles with the port once clients can connect; rejects when the address cannot be had. */
  listen(at: { host: string; port: number }): Promise<number> {
    return this.listener.listen(at);
  }

  /** Accepts nobody any more. Sessions that stand, stay: the server ends them, with the reason. */
  stop(): void {
    this.listener.stop();
  }

  /** Ends everything; settles when the port is free and no connection is left. */
  async close(): Promise<void> {
    this.#sockets.destroyAll();
    this.#streams.destroyAll();
    await this.listener.close();
  }
}
