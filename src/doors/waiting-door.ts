import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import { refuseRequest } from "./http-refusal.ts";
import { defaultHttpTimes, HttpListener } from "./http-listener.ts";
import { answerHeaders } from "./json-response.ts";

/** Whoever looks after the server, and clients that find nothing yet. */
const connectionsMax = 64;
const retryAfterMs = 1_000;

/**
 * The public port of a server that has no data yet, because it waits for a cluster: says that the process lives, and why it
 * takes nothing. Whoever starts servers one after the other, each once the last one lives, would never come to the second
 * if it did not.
 */
export class WaitingDoor {
  readonly #listener: HttpListener;

  /** `reason`: what it waits for, in words. */
  constructor({ reason, clock }: { reason: () => string; clock: Clock }) {
    const handle = (incoming: IncomingMessage, outgoing: ServerResponse): void => answer(incoming, outgoing, reason());
    const times = defaultHttpTimes;
    this.#listener = new HttpListener({ handle, upgrade: null, connectionsMax, held: null, times, clock });
  }

  /** Settles with the port. */
  listen(at: { readonly host: string; readonly port: number }): Promise<number> {
    return this.#listener.listen(at);
  }

  /** Ends everything; settles when the port is free. */
  close(): Promise<void> {
    return this.#listener.close();
  }
}

function answer(incoming: IncomingMessage, outgoing: ServerResponse, reason: string): void {
  const path = incoming.url?.split("?", 1)[0];
  if (path === "/livez") told(outgoing, 200, { ok: true });
  else if (path === "/readyz" || path === "/healthz") told(outgoing, 503, { ok: false, reason });
  else refuseRequest(outgoing, new Fault("unavailable", reason, { definite: true, retryAfterMs }));
}

function told(outgoing: ServerResponse, status: number, value: object): void {
  outgoing.writeHead(status, { ...answerHeaders, "content-type": "application/json", connection: "close" });
  outgoing.end(`${JSON.stringify(value)}\n`);
}
