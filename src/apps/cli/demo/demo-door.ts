import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type Page, pageResponse } from "../../../doors/page.ts";
import { distrustOf, loopbackHosts } from "../../../doors/trust.ts";
import { at } from "../answer-text.ts";
import type { Play, Told } from "./play.ts";
import { type Act, names } from "./stage.ts";

const bodyBytesMax = 1_024;
/** What may wait for a page that does not read; beyond that it is let go, and begins anew. */
const waitingBytesMax = 4 * 1024 * 1024;

/** Pages have so long to take the last that they are told. */
const closeWithinMs = 500;

const plain = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
} as const;

/**
 * The door of the demonstration, on loopback: its page, one stream of what happens, and what the page's handles do. Only the
 * page itself may use them: no other page of the browser, by whatever name it calls this machine.
 */
export class DemoDoor {
  readonly #play: Play;
  readonly #page: Page;
  readonly #server: Server;
  readonly #streams = new Set<ServerResponse>();

  constructor(play: Play, page: Page) {
    this.#play = play;
    this.#page = page;
    this.#server = createServer((incoming, outgoing) => {
      this.#answer(incoming, outgoing).catch((cause: unknown) => {
        outgoing.destroy();
        throw cause;
      });
    });
  }

  /** Settles with the page's address. */
  async listen(port: number): Promise<string> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const stream of this.#streams) stream.end();
    this.#server.closeIdleConnections();
    const late = setTimeout(() => this.#server.closeAllConnections(), closeWithinMs);
    await closed;
    clearTimeout(late);
  }

  async #answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { headers, method = "GET" } = incoming;
    const source = {
      host: headers.host ?? null,
      origin: headers.origin ?? null,
      hasCookie: headers.cookie !== undefined,
    };
    const why = distrustOf({ origins: [], hosts: loopbackHosts }, source);
    // A page's POST names its origin; without one it is no page, and what is no page has the machine anyway.
    if (why !== null) return tell(outgoing, 403, { detail: why });
    const path = new URL(incoming.url ?? "/", "http://127.0.0.1").pathname;
    if (method === "POST" && path === "/demo/v1/act") return this.#act(incoming, outgoing);
    if (method !== "GET" && method !== "HEAD") return tell(outgoing, 405, { detail: "this is not done here" });
    if (path === "/demo/v1/stream") return this.#stream(outgoing);
    const cid = /^\/demo\/v1\/trace\/([A-Za-z0-9._:~-]{1,64})$/.exec(path)?.[1];
    if (cid !== undefined) return tell(outgoing, 200, { servers: await this.#play.trace(cid) });
    return this.#file(path, incoming, outgoing);
  }

  async #act(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    let text = "";
    for await (const piece of incoming as AsyncIterable<Buffer>) {
      text += piece.toString();
      if (text.length > bodyBytesMax) return tell(outgoing, 413, { detail: "an act is a few words" });
    }
    const act = actOf(text);
    if (act === null) return tell(outgoing, 400, { detail: "this is no act" });
    const isDone = await this.#play.act(act);
    return tell(outgoing, isDone ? 200 : 409, { done: isDone });
  }

  #stream(outgoing: ServerResponse): void {
    outgoing.writeHead(200, { ...plain, "content-type": "text/event-stream; charset=utf-8" });
    const show = (
      told: Pick<Told, "type"> | { readonly type: "servers"; readonly servers: readonly object[] },
    ): void => {
      if (outgoing.writableLength > waitingBytesMax) outgoing.destroy();
      else outgoing.write(`event: ${told.type}\ndata: ${JSON.stringify(told)}\n\n`);
    };
    const servers = this.#play.stage.servers.map(({ name, state, pid, slowMs, ports }) => {
      return { name, state, pid, slowMs, port: ports.port };
    });
    show({ type: "servers", servers });
    const end = this.#play.listen(show);
    this.#streams.add(outgoing);
    outgoing.once("close", () => {
      this.#streams.delete(outgoing);
      end();
    });
  }

  async #file(path: string, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const acceptEncoding = String(incoming.headers["accept-encoding"] ?? "");
    const ifNoneMatch = incoming.headers["if-none-match"] ?? null;
    const file = pageResponse(this.#page, path, { acceptEncoding, ifNoneMatch, isHead: incoming.method === "HEAD" });
    if (file === null) return tell(outgoing, 404, { detail: "nothing is answered at this address" });
    outgoing.writeHead(file.status, Object.fromEntries(file.headers));
    outgoing.end(new Uint8Array(await file.arrayBuffer()));
  }
}

function tell(outgoing: ServerResponse, status: number, value: object): void {
  outgoing.writeHead(status, { ...plain, "content-type": "application/json" });
  outgoing.end(`${JSON.stringify(value)}\n`);
}

const ofServer = ["kill", "restart", "pause", "resume", "slow", "quicken"] as const;
const ofLink = ["cut", "mend"] as const;

/** What a page asks for; null: nothing that there is. */
function actOf(text: string): Act | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    if (cause instanceof SyntaxError) return null;
    throw cause;
  }
  const what = at(value, "do");
  const server = nameIn(at(value, "server"));
  const other = nameIn(at(value, "other"));
  if (what === "heal") return { do: what };
  const one = ofServer.find((name) => name === what);
  if (one !== undefined && server !== null) return { do: one, server };
  const link = ofLink.find((name) => name === what);
  if (link !== undefined && server !== null && other !== null && server !== other) return { do: link, server, other };
  return null;
}

const nameIn = (value: unknown): string | null => names.find((name) => name === value) ?? null;
