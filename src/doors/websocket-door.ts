import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type Server as HandshakeServer, WebSocket, WebSocketServer } from "ws";
import { AssertionFailure } from "../base/assert.ts";
import { Fault } from "../base/error-codes.ts";
import type { Limits } from "../base/limits.ts";
import { encodeBinary } from "../protocol/binary-codec.ts";
import { frameSize } from "../protocol/frame-splitter.ts";
import { encodeJson } from "../protocol/json-codec.ts";
import { subprotocols } from "../protocol/schema.ts";
import { refusalOf } from "../server/caller.ts";
import type { ClientLink, ClientSession, WireFormat } from "../server/client-link.ts";
import type { Log } from "../server/log.ts";
import { refuseConnection } from "./http-refusal.ts";
import type { ConnectionPort } from "./server-port.ts";
import { addressOf, writePieces } from "./socket-stream.ts";
import { distrustOf, type Trust } from "./trust.ts";

export const websocketPath = "/v1/ws";
/** How long an ended connection may stay, so that the other side can read why. */
const lingerMs = 2_000;
/** Pieces a client may cut one message into. Browsers and the SDK use one; each costs memory before the message is whole. */
const fragmentsMax = 64;
/** Reads of the socket that may wait for the rest of a message: a long one on a link with small packets needs hundreds. */
const waitingChunksMax = 2_048;

/**
 * Clients over WebSocket. `ws` shakes hands and reads; what is sent goes to the socket as the wrapped bytes that the
 * session hands over.
 *
 * 1. a message reaches the session whole, as the bytes that came; JSON is checked for UTF-8 by the codec, not twice
 * 2. the first message is held to `helloBytesMax`, all others to `frameBytesMax`, on their declared length
 * 3. while the session has said `pause`, or the client does not take what it is sent, the socket is not read
 * 4. what one client sends can end its own connection, and no other
 *
 * A message that is never finished needs no clock here: only whole frames count as heard, so the session ends it.
 */
export class WebSocketDoor {
  readonly server: ConnectionPort;
  readonly limits: Limits;
  readonly log: Log;
  readonly #trust: Trust;
  readonly #handshake: HandshakeServer<typeof LinkedWebSocket>;
  readonly #links = new Set<WebSocketLink>();

  constructor(options: { server: ConnectionPort; limits: Limits; log: Log; trust: Trust }) {
    this.server = options.server;
    this.limits = options.limits;
    this.log = options.log;
    this.#trust = options.trust;
    const settings = {
      noServer: true,
      clientTracking: false,
      // A thousandfold bomb on the way in, a context of memory for each connection on the way out.
      perMessageDeflate: false,
      maxPayload: options.limits.helloBytesMax,
      maxFragments: fragmentsMax,
      maxBufferedChunks: waitingChunksMax,
      skipUTF8Validation: true,
      autoPong: true,
      allowSynchronousEvents: true,
      closeTimeout: lingerMs,
      handleProtocols: (offered: Set<string>) => chosenOf([...offered]) ?? false,
      WebSocket: LinkedWebSocket,
    } as const;
    this.#handshake = new WebSocketServer(settings);
    this.#handshake.on("wsClientError", (cause, socket) => {
      refuseConnection(socket as Socket, new Fault("bad_request", `this is no handshake: ${cause.message}`));
    });
  }

  get connectionCount(): number {
    return this.#links.size;
  }

  /** Takes the upgrade of an HTTP connection, or answers why not. */
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    // Until `ws` listens: a reset here must not end the process.
    socket.on("error", destroyThis);
    const fault = this.#distrust(request);
    if (fault !== null) {
      refuseConnection(socket, fault);
      return;
    }
    const link = new WebSocketLink(this, socket, formatOf(request)!);
    const session = this.server.connect(link);
    if (session instanceof Fault) {
      refuseConnection(socket, session);
      return;
    }
    this.#links.add(link);
    this.#handshake.handleUpgrade(request, socket, head, (websocket) => link.open(websocket, session));
    // A handshake that is not one has its answer.
    if (!link.isOpen) {
      this.#links.delete(link);
      session.closed();
    }
  }

  /** Ends every connection at once. */
  destroyAll(): void {
    for (const link of this.#links) link.destroy();
  }

  forget(link: WebSocketLink): void {
    this.#links.delete(link);
  }

  #distrust(request: IncomingMessage): Fault | null {
    const { headers, url = "" } = request;
    const path = url.includes("?") ? url.slice(0, url.indexOf("?")) : url;
    if (path !== websocketPath) return new Fault("not_found", `WebSocket clients connect to ${websocketPath}`);
    const { host = null, origin = null, cookie } = headers;
    const why = distrustOf(this.#trust, { host, origin, hasCookie: cookie !== undefined });
    if (why !== null) return new Fault("forbidden", why);
    if (formatOf(request) === null) {
      return new Fault("unsupported", `this server speaks ${subprotocols.json} and ${subprotocols.binary}`);
    }
    return null;
  }
}

/** A WebSocket that knows its link: its listeners are shared by all, instead of closures for each. */
class LinkedWebSocket extends WebSocket {
  link: WebSocketLink | null = null;
  // `ws` bounds a message when its reader is made, and only there, and lets every socket linger as long. The tests hold
  // both to what they do.
  declare private readonly _receiver: { _maxPayload: number };
  declare private _closeTimeout: number;

  /** Sets the bound for the messages to come. */
  allow(messageBytesMax: number): void {
    this._receiver._maxPayload = messageBytesMax;
  }

  /** Sets how long the other side may take to answer a close frame. */
  linger(withinMs: number): void {
    this._closeTimeout = withinMs;
  }
}

const socketLink = Symbol("link");
interface LinkedSocket extends Socket {
  [socketLink]?: WebSocketLink;
}

/** One client's WebSocket. Held small: there are as many as there are clients. */
class WebSocketLink implements ClientLink {
  readonly door = "websocket";
  readonly format: WireFormat;
  readonly address: string;
  readonly #door: WebSocketDoor;
  readonly #socket: LinkedSocket;
  #websocket: LinkedWebSocket | null = null;
  #session: ClientSession | null = null;
  #greeted = false;
  #pausedBySession = false;
  #pausedByOutput = false;

  constructor(door: WebSocketDoor, socket: Socket, format: WireFormat) {
    this.#door = door;
    this.#socket = socket;
    this.format = format;
    this.address = addressOf(socket);
  }

  get isOpen(): boolean {
    return this.#websocket !== null;
  }

  open(websocket: LinkedWebSocket, session: ClientSession): void {
    this.#websocket = websocket;
    this.#session = session;
    websocket.link = this;
    this.#socket[socketLink] = this;
    websocket.on("message", onMessage);
    websocket.on("close", onClose);
    websocket.on("error", onError);
    this.#socket.on("drain", onDrain);
    this.#socket.off("error", destroyThis);
  }

  // What the client sends

  received(bytes: Buffer, isBinary: boolean): void {
    const session = this.#session;
    if (session === null) return;
    try {
      if (this.format === "binary-websocket") {
        if (!isBinary) throw new Fault("bad_request", `${subprotocols.binary} takes binary messages`);
        checkFrames(bytes, this.#door.limits.frameBytesMax);
      }
      session.received(bytes);
    } catch (cause) {
      this.#broke(cause);
      return;
    }
    if (this.#greeted) return;
    this.#greeted = true;
    this.#websocket?.allow(this.#door.limits.frameBytesMax);
  }

  drained(): void {
    if (this.#session === null) return;
    this.#pausedByOutput = false;
    this.#session.drained();
    this.#goOn();
  }

  closed(): void {
    this.#door.forget(this);
    this.#leave();
  }

  // What the server tells

  write(pieces: readonly Uint8Array[]): void {
    // Nothing may follow a close frame, also not one that `ws` sent by itself.
    if (this.#session === null || this.#websocket?.readyState !== WebSocket.OPEN) return;
    writePieces(this.#socket, pieces);
    // A client that asks and does not read the answers is not read either.
    if (!this.#pausedByOutput && this.#socket.writableLength > this.#door.limits.socketQueueBytesMax) {
      this.#pausedByOutput = true;
      this.#websocket.pause();
    }
  }

  queuedBytes(): number {
    return this.#socket.destroyed ? 0 : this.#socket.writableLength;
  }

  pause(): void {
    if (this.#pausedBySession) return;
    this.#pausedBySession = true;
    this.#websocket?.pause();
  }

  resume(): void {
    if (!this.#pausedBySession) return;
    this.#pausedBySession = false;
    this.#goOn();
  }

  close(code: number, reason: string): void {
    if (this.#session === null) return;
    this.#leave();
    // The close frame stands behind what is queued. Whoever begins to read again learns why, and misses nothing before;
    // what is held meanwhile is bounded, and so is the time.
    if (this.#socket.writableLength > 0) this.#websocket?.linger(this.#door.limits.socketStalledMsMax);
    // The client's answer to the close frame must be read; what comes before it is dropped.
    this.#websocket?.close(code, reason);
    this.#websocket?.resume();
  }

  destroy(): void {
    this.#websocket?.terminate();
    this.closed();
  }

  #goOn(): void {
    if (!this.#pausedBySession && !this.#pausedByOutput) this.#websocket?.resume();
  }

  #broke(cause: unknown): void {
    // The program is wrong, for everybody: this must not be survived.
    if (cause instanceof AssertionFailure) throw cause;
    if (!(cause instanceof Fault)) {
      this.#door.log.error("door.failed", { door: this.door, address: this.address, cause });
      this.close(1011, "the server could not go on with this connection");
      return;
    }
    const frame = refusalOf(undefined, cause);
    const isBinary = this.format === "binary-websocket";
    this.#websocket?.send(isBinary ? encodeBinary("server", frame) : encodeJson("server", frame), { binary: isBinary });
    this.close(cause.code === "too_large" ? 1009 : 1008, cause.code);
  }

  #leave(): void {
    const session = this.#session;
    this.#session = null;
    session?.closed();
  }
}

function onMessage(this: WebSocket, data: WebSocket.RawData, isBinary: boolean): void {
  // `binaryType` is "nodebuffer" for all of ours: a message is one Buffer.
  linkOf(this)?.received(data as Buffer, isBinary);
}

function onClose(this: WebSocket): void {
  linkOf(this)?.closed();
}

// Not a WebSocket message, or one beyond a bound: `ws` has sent the close code for it, and "close" follows.
function onError(this: WebSocket): void {
  linkOf(this)?.close(1002, "");
}

const linkOf = (websocket: WebSocket): WebSocketLink | null =>
  websocket instanceof LinkedWebSocket ? websocket.link : null;

function onDrain(this: LinkedSocket): void {
  this[socketLink]?.drained();
}

function destroyThis(this: Socket): void {
  this.destroy();
}

/** Throws unless the message holds whole frames, back to back. The session reads them without looking at its end. */
function checkFrames(bytes: Uint8Array, frameBytesMax: number): void {
  let at = 0;
  while (at < bytes.length) {
    if (bytes.length - at < 4) throw new Fault("bad_request", "a message holds whole frames");
    at += frameSize(bytes, at, frameBytesMax);
  }
  if (at !== bytes.length) throw new Fault("bad_request", "a message holds whole frames");
}

/** The format that a client asks for; null when it asks only for what is not spoken here. */
function formatOf(request: IncomingMessage): WireFormat | null {
  const offered = request.headers["sec-websocket-protocol"];
  if (offered === undefined) return "json-websocket";
  switch (chosenOf(offered.split(",").map((name) => name.trim()))) {
    case subprotocols.json:
      return "json-websocket";
    case subprotocols.binary:
      return "binary-websocket";
    default:
      return null;
  }
}

/** The first that both sides speak, in the client's order. */
const chosenOf = (offered: readonly string[]): string | undefined =>
  offered.find((name) => name === subprotocols.json || name === subprotocols.binary);
