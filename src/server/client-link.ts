/**
 * How bytes reach one client: what a door gives the server for each connection. Two encodings of frames, two ways to
 * carry each, and server-sent events; the format decides how a frame is wrapped, so that one wrapped frame can be
 * shared by every socket that takes the format.
 */
export type WireFormat =
  /** One JSON frame a line, over TCP. */
  | "json-lines"
  /** One JSON frame in a WebSocket text message, unmasked header included. */
  | "json-websocket"
  /** Binary frames back to back, over TCP. */
  | "binary-stream"
  /** Binary frames in a WebSocket binary message, unmasked header included. */
  | "binary-websocket"
  /** `id:` and `data:` lines of an event stream (WHATWG HTML 9.2). Only messages and gaps are sent by it. */
  | "event-stream";

export const wireFormats: readonly WireFormat[] = [
  "json-lines",
  "json-websocket",
  "binary-stream",
  "binary-websocket",
  "event-stream",
];

/** Which way a client came in. Shown in status and metrics. */
export type DoorName = "websocket" | "tcp" | "http";

/** One client's connection, seen from the server. The door implements it; the server calls it. */
export interface ClientLink {
  readonly door: DoorName;
  readonly format: WireFormat;
  /** The client's network address, for limits and status. */
  readonly address: string;
  /**
   * Hands over wrapped frames, in order, as one write where possible. The bytes must not change any more: other links
   * may share them. Never throws; a broken link reports itself by `closed`.
   */
  write(pieces: readonly Uint8Array[]): void;
  /** Bytes handed over that the client's side has not taken yet. */
  queuedBytes(): number;
  /** Stops, or goes on, taking bytes from the client. */
  pause(): void;
  resume(): void;
  /** Ends the connection after what was written. Close codes as in the protocol; doors without codes just end. */
  close(code: number, reason: string): void;
  /** Ends the connection at once. What its client has not taken is dropped. */
  destroy(): void;
}

/** What the server does for a connection: the door calls it. */
export interface ClientSession {
  /**
   * Bytes of whole frames, as the format has them without wrapping: JSON text in UTF-8, or binary frames back to back. They are
   * lent for the call: what must wait is copied.
   */
  received(bytes: Uint8Array): void;
  /** The client's side has taken what was queued. */
  drained(): void;
  /** The client will send nothing more. The session ends the connection once all that was asked is answered. */
  inputEnded(): void;
  /** The connection is gone, for whatever reason. Nothing is written to it any more. */
  closed(): void;
}
