import { assert } from "../base/assert.ts";
import { type Random, randomHex } from "../base/random.ts";
import { type Millis, millis } from "../base/units.ts";
import { decodeGreeting, encodeGreeting } from "./greeting.ts";
import {
  type Claim,
  greet,
  type GreetingInput,
  type GreetingState,
  type Self,
  type Verdict,
} from "./greeting-machine.ts";
import type { ConnectionId, LinkEffect, LinkEnd } from "./link-events.ts";
import type { LinkFrames } from "./link-frames.ts";
import type { LinkLimits } from "./link-limits.ts";
import { frameTypes } from "./peer-frame.ts";
import type { StreamEnd } from "./peer-stream.ts";
import type { Connection, PeerTable } from "./peer-table.ts";
import type { RefusalCode } from "./refusals.ts";
import type { RemoteServer } from "./remote-server.ts";

/** Who knows which connection is whose link. */
export interface ConnectionOwner {
  /** Whether a connection whose other end is known now is to be the link of its pair. */
  judge(now: Millis, connection: Connection, claim: Claim): Verdict;
  /** It is the link from now on. */
  linked(now: Millis, connection: Connection, remote: RemoteServer, version: number): void;
  /** It is over; `before` is what it was. Told once for each connection. */
  ended(now: Millis, connection: Connection, before: GreetingState, end: LinkEnd): void;
}

/**
 * Each connection with another server, from its first byte to its last: it greets, hands the frames of a link on, and ends
 * with a reason that the other side can read. Which of them is the link of a pair is for the owner to say.
 *
 * 1. a greeting is bounded in time and in number, and so is what lingers after an end
 * 2. nothing is read behind the end of a connection, and what the stream of one that was let go still tells is old
 */
export class Connections {
  self: Self;
  readonly #table: PeerTable;
  readonly #limits: LinkLimits;
  readonly #random: Random;
  readonly #frames: LinkFrames;
  readonly #owner: ConnectionOwner;
  readonly #tell: (effect: LinkEffect) => void;
  #isStopping = false;

  constructor(options: {
    readonly self: Self;
    readonly table: PeerTable;
    readonly limits: LinkLimits;
    readonly random: Random;
    readonly frames: LinkFrames;
    readonly owner: ConnectionOwner;
    readonly tell: (effect: LinkEffect) => void;
  }) {
    this.self = options.self;
    this.#table = options.table;
    this.#limits = options.limits;
    this.#random = options.random;
    this.#frames = options.frames;
    this.#owner = options.owner;
    this.#tell = options.tell;
  }

  accepted(now: Millis, id: ConnectionId, address: string): void {
    const connection = this.#table.addConnection(now, { id, address, dialled: null, greeting: { state: "listening" } });
    if (this.#isStopping) {
      this.refuse(now, connection, "stopping", "");
      return;
    }
    const { greetingConnectionsMax, peersMax } = this.#limits;
    // Each peer may have a link, a greeting and one that lingers. Whoever comes on top of all is not even told why.
    if (this.#table.connections.size > greetingConnectionsMax + 3 * peersMax) {
      this.#table.connections.delete(id);
      this.#tell({ type: "destroy", connection: id });
      return;
    }
    let greeting = 0;
    for (const other of this.#table.connections.values()) {
      if (other.greeting.state === "listening" || other.greeting.state === "welcoming") greeting++;
    }
    if (greeting > greetingConnectionsMax) this.refuse(now, connection, "too_many", "greetings at once");
  }

  /** A dialled stream stands. */
  opened(now: Millis, id: ConnectionId): void {
    const connection = this.#table.connections.get(id);
    if (connection !== undefined) this.#greet(now, connection, { type: "opened" });
  }

  received(now: Millis, id: ConnectionId, bytes: Uint8Array): void {
    const connection = this.#table.connections.get(id);
    if (connection === undefined || hasEnded(connection)) return;
    connection.decoder.add(bytes);
    for (;;) {
      const frame = connection.decoder.next();
      if (frame === null) return;
      if ("malformed" in frame) {
        this.#greet(now, connection, { type: "malformed", text: JSON.stringify(frame) });
      } else if (connection.greeting.state === "linked" && frame.type !== frameTypes.refuse) {
        const link = this.#table.linkOf(connection.id);
        assert(link !== null, "a linked connection has a link");
        const flaw = this.#frames.received(link, frame);
        if (flaw !== null) this.#greet(now, connection, { type: "malformed", text: flaw });
      } else {
        const message = decodeGreeting(frame.type, frame.payload);
        const bad = { type: "malformed", text: `a frame of type ${frame.type} can't be read` } as const;
        this.#greet(now, connection, message ?? bad);
      }
      // What comes behind the end of a link is nobody's: the decoder goes with the connection.
      if (hasEnded(connection)) return;
    }
  }

  /** The stream is gone. */
  gone(now: Millis, id: ConnectionId, why: StreamEnd): void {
    const connection = this.#table.connections.get(id);
    if (connection === undefined) return;
    this.#table.connections.delete(id);
    const before = connection.greeting;
    if (before.state === "ended") return;
    connection.greeting = { state: "ended" };
    this.#owner.ended(now, connection, before, { how: "stream", why });
  }

  /** This server ends a connection, whatever its state, and says why. */
  refuse(now: Millis, connection: Connection, code: RefusalCode, text: string): void {
    const before = connection.greeting;
    if (before.state === "ended") return;
    connection.greeting = { state: "ended" };
    if (before.state !== "dialling") this.#write(connection.id, encodeGreeting({ type: "refuse", code, text }));
    this.#end(now, connection, before, { how: "refusal", refusal: { code, text, by: "us" } });
  }

  /** Says goodbye to all, and to whoever comes from now on. */
  stop(now: Millis): void {
    this.#isStopping = true;
    for (const connection of this.#table.connections.values()) this.refuse(now, connection, "stopping", "");
  }

  /** Ends what has taken too long: a dial, a greeting, a stream that lingers. */
  tick(now: Millis): void {
    for (const connection of this.#table.connections.values()) {
      if (now < connection.deadline) continue;
      if (connection.greeting.state === "ended") {
        this.#table.connections.delete(connection.id);
        this.#tell({ type: "destroy", connection: connection.id });
      } else if (connection.greeting.state === "dialling") {
        this.#tell({ type: "destroy", connection: connection.id });
        this.gone(now, connection.id, "failed");
      } else {
        this.#greet(now, connection, { type: "deadline" });
      }
    }
  }

  #greet(now: Millis, connection: Connection, input: GreetingInput): void {
    const before = connection.greeting;
    if (before.state === "ended") return;
    const step = greet(before, input, this.self, {
      drawNonce: () => randomHex(this.#random, 16),
      judge: (claim) => this.#owner.judge(now, connection, claim),
    });
    connection.greeting = step.state;
    if (step.reply !== null) this.#write(connection.id, encodeGreeting(step.reply));
    if (step.refusal !== null) {
      this.#end(now, connection, before, { how: "refusal", refusal: step.refusal });
    } else if (step.state.state === "linked" && before.state !== "linked") {
      connection.decoder.link();
      connection.deadline = never;
      this.#owner.linked(now, connection, step.state.remote, step.state.version);
    }
  }

  /** A connection is over for the callers; its stream lingers so that the reason can be read. */
  #end(now: Millis, connection: Connection, before: GreetingState, end: LinkEnd): void {
    if (before.state === "dialling") {
      this.#tell({ type: "destroy", connection: connection.id });
      this.#table.connections.delete(connection.id);
    } else {
      this.#tell({ type: "end", connection: connection.id });
      connection.deadline = millis(now + this.#limits.lingerMs);
    }
    this.#owner.ended(now, connection, before, end);
  }

  #write(connection: ConnectionId, bytes: Uint8Array): void {
    this.#tell({ type: "write", connection, bytes });
  }
}

const never = Infinity as Millis;

function hasEnded(connection: Connection): boolean {
  return connection.greeting.state === "ended";
}
