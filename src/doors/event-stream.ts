import type { ServerResponse } from "node:http";
import { AssertionFailure } from "../base/assert.ts";
import type { Clock, Timer } from "../base/clock.ts";
import { type ErrorCode, errorCodes, Fault } from "../base/error-codes.ts";
import type { Limits } from "../base/limits.ts";
import { millis } from "../base/units.ts";
import { encodeJson } from "../protocol/json-codec.ts";
import type { ClientFrame, ClientFrameOf, ServerFrameOf } from "../protocol/schema.ts";
import { utf8 } from "../protocol/utf8.ts";
import type { ClientLink, ClientSession } from "../server/client-link.ts";
import type { Log } from "../server/log.ts";
import type { ConnectionPort } from "./server-port.ts";

/** How a reader that lost its connection waits before it asks again, in milliseconds. */
const retryAfterMs = 2_000;

/**
 * Readers of one room over HTTP: server-sent events (WHATWG HTML 9.2). Each is a session like any other, for which the
 * door says `hello` and `sub`; the id of an event is the `seq`, so that a browser resumes by itself.
 *
 * 1. the status of the response is the outcome of the subscription: a stream that was answered 200 stands
 * 2. every message is an unnamed event with its seq as id; `gap`, `caught-up`, `err` and `drain` are named events
 * 3. a stream whose subscription the server has ended is ended, so that its reader asks again
 */
export class EventStreams {
  readonly server: ConnectionPort;
  readonly limits: Limits;
  readonly log: Log;
  readonly #clock: Clock;
  readonly #links = new Set<EventStreamLink>();
  #timer: Timer | null = null;

  constructor(options: { server: ConnectionPort; clock: Clock; limits: Limits; log: Log }) {
    this.server = options.server;
    this.limits = options.limits;
    this.log = options.log;
    this.#clock = options.clock;
  }

  /**
   * Opens a stream into `outgoing`. Settles once the response has begun; rejects with a Fault, and `outgoing` untouched,
   * when the subscription was refused.
   */
  open(
    outgoing: ServerResponse,
    wanted: {
      address: string;
      hello: ClientFrameOf<"hello">;
      sub: ClientFrameOf<"sub">;
      headers: Record<string, string>;
    },
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const { room } = wanted.sub;
      const link = new EventStreamLink(this, outgoing, { ...wanted, room, opened: resolve, refused: reject });
      const session = this.server.connect(link);
      if (session instanceof Fault) {
        reject(session);
        return;
      }
      this.#links.add(link);
      this.#timer ??= this.#beat();
      link.start(session, [wanted.hello, wanted.sub]);
    });
  }

  /** Ends every stream at once. */
  destroyAll(): void {
    for (const link of this.#links) link.destroy();
    this.#timer?.cancel();
    this.#timer = null;
  }

  forget(link: EventStreamLink): void {
    this.#links.delete(link);
  }

  // Nothing comes from a reader, so the door speaks for it: what the server answers shows the reader, and whatever
  // stands between, that the stream is alive. One timer for all.
  #beat(): Timer {
    return this.#clock.after(millis(this.limits.heartbeatMs), () => {
      this.#timer = null;
      for (const link of this.#links) link.ask({ t: "ping", id: 0 });
      if (this.#links.size > 0) this.#timer = this.#beat();
    });
  }
}

interface Opening {
  readonly headers: Record<string, string>;
  readonly opened: () => void;
  readonly refused: (fault: Fault) => void;
}

class EventStreamLink implements ClientLink {
  readonly door = "http";
  readonly format = "event-stream";
  readonly address: string;
  readonly #streams: EventStreams;
  readonly #outgoing: ServerResponse;
  #session: ClientSession | null = null;
  /** Until the subscription is answered: what has come so far. */
  #opening: (Opening & { pieces: Uint8Array[] }) | null;
  /** How the room stands in a message's event. */
  readonly #room: Uint8Array;
  #isPaused = false;

  constructor(streams: EventStreams, outgoing: ServerResponse, options: Opening & { address: string; room: string }) {
    const { headers, opened, refused } = options;
    this.#streams = streams;
    this.#outgoing = outgoing;
    this.address = options.address;
    this.#room = utf8(`${JSON.stringify(options.room)},`);
    this.#opening = { headers, opened, refused, pieces: [] };
  }

  start(session: ClientSession, frames: readonly ClientFrame[]): void {
    this.#session = session;
    this.#outgoing.on("close", () => this.closed());
    // "close" follows; without a listener it would end the process.
    this.#outgoing.on("error", () => this.#outgoing.destroy());
    this.#outgoing.on("drain", () => this.#session?.drained());
    for (const frame of frames) this.ask(frame);
  }

  /** Hands over a frame in the reader's name. */
  ask(frame: ClientFrame): void {
    // A session that waits for something keeps what comes: `sub` behind `hello`, but no heap of pings.
    if (this.#session === null || (this.#isPaused && frame.t === "ping")) return;
    try {
      this.#session.received(utf8(encodeJson("client", frame)));
    } catch (cause) {
      // The program is wrong, for everybody: this must not be survived.
      if (cause instanceof AssertionFailure) throw cause;
      this.#streams.log.error("door.failed", { door: this.door, address: this.address, cause });
      this.close(1011);
    }
  }

  closed(): void {
    this.#opening?.refused(new Fault("unavailable", "the request ended before the stream began"));
    this.#opening = null;
    this.#leave();
  }

  destroy(): void {
    this.closed();
    this.#outgoing.destroy();
  }

  // What the server tells

  write(pieces: readonly Uint8Array[]): void {
    if (this.#session === null) return;
    if (this.#opening !== null) {
      this.#opening.pieces.push(...pieces);
      this.#tryToOpen(this.#opening);
      return;
    }
    this.#outgoing.cork();
    for (const piece of pieces) if (!this.#isOfAnotherRoom(piece)) this.#outgoing.write(piece);
    this.#outgoing.uncork();
    if (pieces.some(endsSubscription)) this.close(1012);
  }

  queuedBytes(): number {
    return this.#outgoing.destroyed ? 0 : this.#outgoing.writableLength;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
  }

  close(code: number): void {
    if (this.#session === null) return;
    const opening = this.#opening;
    this.#opening = null;
    this.#leave();
    if (opening !== null) opening.refused(faultOfClose(code));
    else this.#outgoing.end();
  }

  #leave(): void {
    this.#streams.forget(this);
    const session = this.#session;
    this.#session = null;
    session?.closed();
  }

  // The first event is the answer to `sub`, or to `hello` when that was refused. It becomes the status of the response;
  // what follows it is the stream.
  #tryToOpen(opening: Opening & { pieces: Uint8Array[] }): void {
    const bytes = Buffer.concat(opening.pieces);
    const end = bytes.indexOf("\n\n");
    if (end === -1) return;
    const answer = answerOf(bytes.subarray(0, end).toString());
    this.#opening = null;
    if (answer.t === "err") {
      const fault = new Fault(codeOf(answer.code), answer.message, {
        definite: answer.definite,
        ...(answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs }),
      });
      this.#leave();
      opening.refused(fault);
      return;
    }
    this.#outgoing.writeHead(200, {
      ...opening.headers,
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      // Proxies of the nginx kind would gather events until a page of them is full.
      "x-accel-buffering": "no",
      "synod-line": answer.line,
      "synod-head": String(answer.head),
      "synod-node": encodeURIComponent(answer.node),
    });
    this.#outgoing.write(`retry: ${retryAfterMs}\n\n`);
    opening.opened();
    this.write(piecesBehind(opening.pieces, end + 2));
  }

  // A session is sent its user's direct messages, wherever it is; a stream shows one room, and its ids count that room.
  // A piece that begins with a message holds messages of one room only.
  #isOfAnotherRoom(piece: Uint8Array): boolean {
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    const at = bytes.indexOf("\n");
    const start = at + messageHead.length;
    if (at === -1 || !bytes.subarray(at, start).equals(messageHead)) return false;
    return !bytes.subarray(start, start + this.#room.length).equals(this.#room);
  }
}

const messageHead = Buffer.from('\ndata: {"t":"msg","room":');

/** What follows the first `count` bytes of these pieces. */
function piecesBehind(pieces: readonly Uint8Array[], count: number): Uint8Array[] {
  const behind: Uint8Array[] = [];
  let skip = count;
  for (const piece of pieces) {
    if (piece.length > skip) behind.push(piece.subarray(skip));
    skip = Math.max(0, skip - piece.length);
  }
  return behind;
}

const dataStart = "\ndata: ";

function answerOf(event: string): ServerFrameOf<"err"> | ServerFrameOf<"okSub"> {
  const at = event.indexOf(dataStart);
  // The server wrote it (server/frame-writer.ts), and writes nothing else before it has answered.
  return JSON.parse(event.slice(at + dataStart.length)) as ServerFrameOf<"err"> | ServerFrameOf<"okSub">;
}

const codeOf = (code: string): ErrorCode => (code in errorCodes ? (code as ErrorCode) : "unavailable");

/** A session that ends before its subscription stands says why by the close code only. */
function faultOfClose(code: number): Fault {
  switch (code) {
    case 4401:
      return new Fault("unauthorized", "the token or name was not accepted");
    case 4413:
    case 1009:
      return new Fault("too_large", "the token is too long");
    case 1013:
      return new Fault("overloaded", "too many connections", { retryAfterMs: 1_000 });
    default:
      return new Fault("unavailable", "the server ended the stream before it began", { retryAfterMs: 1_000 });
  }
}

/** Reasons of gaps behind which the same subscription goes on; after any other the server has ended it. */
const goesOnBehind: readonly string[] = ["retention", "reset"];

// No text inside an event holds a line end, so this can only be the head of a gap.
const gapHead = Buffer.from("event: gap\ndata: ");

function endsSubscription(piece: Uint8Array): boolean {
  const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  for (let at = bytes.indexOf(gapHead); at !== -1; at = bytes.indexOf(gapHead, at + 1)) {
    if (at > 0 && bytes[at - 1] !== 0x0a) continue;
    const start = at + gapHead.length;
    const end = bytes.indexOf("\n", start);
    const gap = JSON.parse(bytes.subarray(start, end).toString()) as ServerFrameOf<"gap">;
    if (!goesOnBehind.includes(gap.reason)) return true;
  }
  return false;
}
