import type { Connection } from "../connection.ts";

/**
 * One system's protocol as the generator speaks it. Every request of a wire has the same number of bytes, and so has
 * every answer to one, so that whole blocks are built and cut without looking for their ends.
 */
export interface PublishWire {
  readonly requestBytes: number;
  /** Where the message's body begins in a request. */
  readonly bodyInRequest: number;
  /** Greets, and makes ready whatever a request relies on. Settles when the first request may be written. */
  open(connection: Connection): Promise<void>;
  /**
   * Writes request `number` at `at`, with a body that carries `number` and the 16 digits of `sentAt`. Numbers rise by
   * one from 1 on each connection.
   */
  putRequest(into: Uint8Array, at: number, number: number, sentAt: Uint8Array): void;
  /** Reads the whole answers in `bytes` from `start` to `end`; answers where the first one that is not whole begins. */
  readAnswers(bytes: Uint8Array, start: number, end: number, sink: AnswerSink): number;
  /** How a server that does no work would answer; `null` when this system does not answer requests. */
  readonly nullAnswer: NullAnswer | null;
}

export interface AnswerSink {
  acknowledged(number: number): void;
  /** The server said no. `number` is 0 when it did not say to what. */
  refused(number: number, why: string): void;
}

/** An answer to copy out for every `requestBytes` that came in, with a few bytes of the request copied into it. */
export interface NullAnswer {
  readonly answer: Uint8Array;
  readonly copyFrom: number;
  readonly copyTo: number;
  readonly copyBytes: number;
}

/** The receiving half: a subscription on one connection. */
export interface ReaderWire {
  /** Greets and subscribes. Settles when everything published from now on will be delivered. */
  open(connection: Connection): Promise<void>;
  /** Reads whole deliveries; answers where the first one that is not whole begins. */
  readDeliveries(bytes: Uint8Array, start: number, end: number, sink: DeliverySink): number;
  /** A delivery as the server would send it, with an empty body that begins at `bodyAt`. */
  readonly nullDelivery: { readonly bytes: Uint8Array; readonly bodyAt: number };
  /** Set while the connection stands: how the wire answers a server that asks for a sign of life. */
  reply: ((bytes: Uint8Array) => void) | null;
}

export interface DeliverySink {
  /** The body begins at `bodyAt` in `bytes`; they are valid during the call alone. */
  delivered(bytes: Uint8Array, bodyAt: number): void;
}

/** The protocols the generator speaks. */
export type WireName =
  | "redis-stream"
  | "redis-pubsub"
  | "nats-jetstream"
  | "nats-core"
  | "etcd"
  | "synod-binary"
  | "synod-json"
  | "synod-websocket"
  | "socket-io";
