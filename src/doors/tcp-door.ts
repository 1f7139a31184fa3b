import { AssertionFailure } from "../base/assert.ts";
import { BytePool } from "../base/byte-pool.ts";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import type { Limits } from "../base/limits.ts";
import { millis } from "../base/units.ts";
import { encodeBinary } from "../protocol/binary-codec.ts";
import { FrameSplitter } from "../protocol/frame-splitter.ts";
import { encodeJson } from "../protocol/json-codec.ts";
import { LineSplitter } from "../protocol/line-splitter.ts";
import { binaryGreeting } from "../protocol/schema.ts";
import { utf8 } from "../protocol/utf8.ts";
import { refusalOf } from "../server/caller.ts";
import type { ClientLink, ClientSession, WireFormat } from "../server/client-link.ts";
import type { Log } from "../server/log.ts";
import type { ByteStream, StreamReceiver } from "./byte-stream.ts";
import type { ConnectionPort } from "./server-port.ts";

/** How long an ended connection may stay, so that the other side can read why. */
export const lingerMs = 2_000;

/** How long answers may take, by protocol. */
const answeredWithinMs = 10_000;

/**
 * Clients over plain byte streams: one JSON frame a line, or binary frames back to back when the first byte of the
 * connection says so. Knows no sockets: real and simulated streams meet the same code.
 *
 * 1. frames reach the session whole, in order, at every way of cutting the stream into pieces
 * 2. the first frame is held to `helloBytesMax`, all others to `frameBytesMax`; what is longer ends the connection,
 *    and no more than the bound is held
 * 3. while the session has said `pause`, or the client does not take what it is sent, nothing is read
 * 4. what one client sends can end its own connection, and no other
 */
export class TcpDoor {
  readonly server: ConnectionPort;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  /** For what of a piece must wait. */
  readonly memory = new BytePool();
  readonly #links = new Set<TcpLink>();

  constructor(options: { server: ConnectionPort; clock: Clock; limits: Limits; log: Log }) {
    this.server = options.server;
    this.clock = options.clock;
    this.limits = options.limits;
    this.log = options.log;
  }

  /** Connections that stand, those that linger included. */
  get connectionCount(): number {
    return this.#links.size;
  }

  /** A client has connected. */
  accept(stream: ByteStream): void {
    const link = new TcpLink(this, stream);
    this.#links.add(link);
    stream.attach(link);
    link.open();
  }

  /** Ends every connection at once. */
  destroyAll(): void {
    for (const link of this.#links) link.destroy();
  }

  forget(link: TcpLink): void {
    this.#links.delete(link);
  }
}

/** One client's byte stream. Held small: there are as many as there are clients. */
class TcpLink implements ClientLink, StreamReceiver {
  readonly door = "tcp";
  /** Settled by the first byte that comes; before it, who sends none is told so as a line. */
  format: WireFormat = "json-lines";
  readonly #door: TcpDoor;
  readonly #stream: ByteStream;
  #session: ClientSession | null = null;
  #splitter: LineSplitter | FrameSplitter | null = null;
  /** What the splitter was given last, while it may hold a rest of it. */
  #chunk: Uint8Array = nothing;
  /** The block of the door's memory that it lies in; null: it is lent by the stream. */
  #block: Uint8Array | null = null;
  #greeted = false;
  #inputEnded = false;
  #pausedBySession = false;
  #pausedByOutput = false;
  #feeding = false;
  /** Broken: what came cannot be read on; the client is told at the end of the turn. */
  #state: "open" | "broken" | "ending" | "closed" = "open";

  constructor(door: TcpDoor, stream: ByteStream) {
    this.#door = door;
    this.#stream = stream;
  }

  get address(): string {
    return this.#stream.address;
  }

  open(): void {
    const session = this.#door.server.connect(this);
    if (session instanceof Fault) this.#refuse(session);
    else this.#session = session;
  }

  // What the stream tells

  data(bytes: Uint8Array): void {
    if (this.#state !== "open" || bytes.length === 0) return;
    let rest = bytes;
    if (this.#splitter === null) {
      if (bytes[0] === binaryGreeting) {
        this.format = "binary-stream";
        this.#splitter = new FrameSplitter(this.#door.limits.helloBytesMax);
        this.#stream.write([binaryAnswer]);
        rest = bytes.subarray(1);
      } else {
        this.#splitter = new LineSplitter(this.#door.limits.helloBytesMax);
      }
    }
    this.#chunk = rest;
    this.#splitter.add(rest);
    this.#feed();
    if (this.#chunk === rest) this.#keepRest();
  }

  drained(): void {
    if (this.#state !== "open") return;
    this.#pausedByOutput = false;
    this.#session?.drained();
    this.#goOn();
  }

  // Whoever has said its last may wait for the answers, as long as answers may take.
  ended(): void {
    this.#inputEnded = true;
    if (this.#state !== "open" || this.#session === null) {
      if (this.#state === "open") this.close();
      return;
    }
    this.#session.inputEnded();
    this.#door.clock.after(millis(answeredWithinMs), () => this.close());
  }

  closed(): void {
    this.#state = "closed";
    this.#door.forget(this);
    this.#leave();
  }

  // What the server tells

  write(pieces: readonly Uint8Array[]): void {
    if (!this.#writes) return;
    this.#stream.write(pieces);
    // A client that asks and does not read the answers is not read either.
    if (!this.#pausedByOutput && this.#stream.bufferedBytes > this.#door.limits.socketQueueBytesMax) {
      this.#pausedByOutput = true;
      this.#stream.pause();
    }
  }

  queuedBytes(): number {
    return this.#stream.bufferedBytes;
  }

  pause(): void {
    if (this.#pausedBySession) return;
    this.#pausedBySession = true;
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#pausedBySession) return;
    this.#pausedBySession = false;
    this.#goOn();
  }

  close(): void {
    if (!this.#writes) return;
    // Of what was begun and not ended there is nothing else to say.
    if (this.#state === "open" && this.#inputEnded && (this.#splitter?.heldBytes ?? 0) > 0) {
      this.#say(new Fault("bad_request", "the stream ended within a frame"));
    }
    this.#state = "ending";
    this.#leave();
    this.#stream.end();
    // What still comes is read and dropped: closing a socket over unread bytes would reset it, and take away what was
    // just written (RFC 1122 4.2.2.13). Not for ever.
    this.#stream.resume();
    this.#door.clock.after(millis(lingerMs), () => {
      if (this.#state !== "closed") this.destroy();
    });
  }

  destroy(): void {
    if (this.#state === "closed") return;
    this.#stream.destroy();
    this.closed();
  }

  // Cutting

  // Hands over the frames that are whole, until there is none or somebody says stop.
  #feed(): void {
    const splitter = this.#splitter;
    if (splitter === null || this.#feeding) return;
    this.#feeding = true;
    try {
      if (splitter instanceof FrameSplitter) this.#feedFrames(splitter);
      else while (this.#reads && splitter.next()) this.#handOver(splitter);
    } catch (cause) {
      this.#broke(cause);
    } finally {
      this.#feeding = false;
    }
    if (this.#reads || splitter.rest.length === 0) this.#letGo();
  }

  // All of it was looked at.
  #letGo(): void {
    this.#chunk = nothing;
    if (this.#block !== null) this.#door.memory.giveBack(this.#block);
    this.#block = null;
  }

  // Somebody has said stop, and the stream wants back what it has lent.
  #keepRest(): void {
    if (this.#state !== "open") {
      this.#chunk = nothing;
      return;
    }
    const { rest } = this.#splitter!;
    this.#block = this.#door.memory.take(rest.length);
    this.#block.set(rest);
    this.#chunk = this.#block.subarray(0, rest.length);
    this.#splitter!.add(this.#chunk);
  }

  // Frames that lie back to back in one chunk are handed over as one piece, and all of them at once: a session that must
  // wait holds them as cheaply as this would.
  #feedFrames(splitter: FrameSplitter): void {
    const chunk = this.#chunk;
    let start = 0;
    let end = 0;
    try {
      while (this.#state === "open" && splitter.next()) {
        if (splitter.bytes !== chunk || !this.#greeted) {
          this.#handOver(splitter);
        } else {
          if (end === 0) start = splitter.start;
          end = splitter.end;
        }
      }
    } finally {
      // Also when what follows is broken.
      if (end > 0) this.#session?.received(chunk.subarray(start, end));
    }
  }

  #handOver(splitter: LineSplitter | FrameSplitter): void {
    this.#session!.received(splitter.bytes.subarray(splitter.start, splitter.end));
    if (this.#greeted) return;
    this.#greeted = true;
    splitter.allow(this.#door.limits.frameBytesMax);
  }

  get #writes(): boolean {
    return this.#state === "open" || this.#state === "broken";
  }

  get #reads(): boolean {
    return this.#state === "open" && !this.#pausedBySession && !this.#pausedByOutput;
  }

  #goOn(): void {
    if (!this.#reads || this.#feeding) return;
    this.#feed();
    if (this.#reads) this.#stream.resume();
  }

  // Ending

  #broke(cause: unknown): void {
    // The program is wrong, for everybody: this must not be survived.
    if (cause instanceof AssertionFailure) throw cause;
    if (!(cause instanceof Fault)) {
      this.#door.log.error("door.failed", { door: this.door, address: this.address, cause });
      this.close();
      return;
    }
    // Answers to the frames before this one are written at the end of the turn; they go first.
    this.#state = "broken";
    this.#stream.pause();
    this.#door.clock.defer(() => {
      if (this.#state === "broken") this.#refuse(cause);
    });
  }

  #refuse(fault: Fault): void {
    this.#say(fault);
    this.close();
  }

  #say(fault: Fault): void {
    const frame = refusalOf(undefined, fault);
    const isBinary = this.format === "binary-stream";
    this.write([isBinary ? encodeBinary("server", frame) : utf8(`${encodeJson("server", frame)}\n`)]);
  }

  #leave(): void {
    const session = this.#session;
    this.#session = null;
    this.#splitter = null;
    this.#chunk = nothing;
    this.#block = null;
    session?.closed();
  }
}

const nothing = new Uint8Array(0);
/** The first byte to a client that speaks binary: the same as its own. */
const binaryAnswer = Uint8Array.of(binaryGreeting);
