import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { Fault } from "../base/error-codes.ts";
import { answerHeaders } from "./json-response.ts";
import { problemHeaders, problemOf } from "./problem.ts";
import type { TurnQueue } from "./turn-queue.ts";

/**
 * What HTTP itself can't make sense of never becomes a request, so no door is asked: a header that is too long, a length
 * that is none, a request that does not end, a method for proxies. It is refused like everything else, with a problem and
 * its code, behind the answers to the requests before it; then the connection ends. Those that were silent for too long are
 * found all at once, every second: `turns` says how many of them are told in one turn.
 */
export function refuseBadHttp(server: Server, turns: TurnQueue): void {
  const unanswered = new WeakMap<Socket, Set<ServerResponse>>();
  server.prependListener("request", (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { socket } = incoming;
    let responses = unanswered.get(socket);
    if (responses === undefined) unanswered.set(socket, (responses = new Set()));
    responses.add(outgoing);
    outgoing.once("close", () => responses.delete(outgoing));
  });
  const broken = new WeakSet<Socket>();
  server.on("clientError", (cause: NodeJS.ErrnoException, duplex) => {
    // This server listens on TCP only.
    const socket = duplex as Socket;
    // While what came before is answered, more may come that is no better.
    if (broken.has(socket)) return;
    broken.add(socket);
    const responses = [...(unanswered.get(socket) ?? [])];
    const before = responses.filter(({ req }) => req.complete);
    const refuse = (): void => {
      // The rest of an answer that has begun would be taken for this one.
      const isBegun = responses.some(({ headersSent, writableFinished }) => headersSent && !writableFinished);
      if (isBegun || !socket.writable) socket.destroy();
      else refuseConnection(socket, faultOf(cause), statuses[cause.code ?? ""]);
    };
    let left = before.length;
    if (left === 0) turns.take(refuse);
    for (const response of before) {
      response.once("close", () => {
        if (--left === 0) turns.take(refuse);
      });
    }
  });
  server.on("connect", (_request, duplex) => {
    const socket = duplex as Socket;
    socket.on("error", () => socket.destroy());
    refuseConnection(socket, new Fault("unsupported", "this server connects to no others"));
  });
  server.on("checkExpectation", (_incoming: IncomingMessage, outgoing: ServerResponse) => {
    refuseRequest(outgoing, new Fault("unsupported", "nothing but 100-continue may be expected"), 417);
  });
}

/** Why a request is no request that a door could be asked for; null: it is one. */
export function requestFault({ headers, url = "" }: IncomingMessage): Fault | null {
  if (headers.host === undefined || headers.host === "") return new Fault("bad_request", "a request names its host");
  if (!/^(?:\/|https?:\/\/)/i.test(url)) return new Fault("bad_request", "a request is for a path");
  return null;
}

/** Answers a request with a problem, in its turn, and ends the connection. */
export function refuseRequest(outgoing: ServerResponse, fault: Fault, status?: number): void {
  const { status: said, body, headers } = written(fault, status);
  outgoing.writeHead(said, { ...headers, connection: "close" }).end(body);
}

/** Answers what is no request with a problem, and ends the connection. */
export function refuseConnection(socket: Socket, fault: Fault, status?: number): void {
  const { status: said, body, headers } = written(fault, status);
  const lines = Object.entries({ ...headers, connection: "close" }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${said} ${STATUS_CODES[said] ?? ""}\r\n${lines.join("")}\r\n${body}`, () => socket.destroy());
}

function written(
  fault: Fault,
  status: number | undefined,
): { status: number; body: string; headers: Record<string, string> } {
  const problem = problemOf(fault);
  const said = status ?? problem.status;
  const body = JSON.stringify({ ...problem, status: said });
  const headers = { ...answerHeaders, ...problemHeaders(fault), "content-length": String(Buffer.byteLength(body)) };
  return { status: said, body, headers };
}

/** Where HTTP has a status of its own for what went wrong. */
const statuses: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };

function faultOf({ code }: NodeJS.ErrnoException): Fault {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return new Fault("too_large", "the headers of this request are too long");
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return new Fault("too_large", "the chunks of this request say too much besides");
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return new Fault("bad_request", "the request did not come in time");
    default:
      return new Fault("bad_request", "this is not HTTP/1.1");
  }
}
