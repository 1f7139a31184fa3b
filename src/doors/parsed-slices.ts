import type { Socket } from "node:net";
import { assert } from "../base/assert.ts";

/** Many requests are shorter; of the shortest there are, twenty fit. */
const sliceBytes = 512;
/** What begins no request is a body, and costs next to nothing. */
const bodySliceBytes = 16 * 1024;

type Parse = (this: Socket, bytes: Buffer) => void;

interface ParsedConnection {
  readonly onData: Parse;
  /** What comes is for the parser. Or it is dropped. */
  isParsed: boolean;
}

/**
 * Gives the HTTP parser what comes a slice at a time. By itself it parses everything that one read brings, up to 64 KiB, before
 * anybody can say that this is too much: two thousand requests of one connection, each of which is made, given an answer
 * object, and thrown away with an error and its stack.
 *
 * 1. every byte reaches the parser once, in order, until the connection is ended, upgraded or given up
 * 2. behind a slice whose requests ended or paused the connection, nothing is parsed
 */
export class ParsedSlices {
  readonly #connections = new WeakMap<Socket, ParsedConnection>();
  #requests = 0;
  /** What follows the slice that is being parsed. */
  #rest: Buffer = noBytes;

  /** A connection that Node has just given its parser, before anything was read of it. */
  take(socket: Socket): void {
    const listeners = socket.listeners("data") as Parse[];
    assert(listeners.length === 1, "a new HTTP connection has one reader, its parser");
    const [parse] = listeners as [Parse];
    const connection: ParsedConnection = {
      onData: (bytes) => {
        if (connection.isParsed) this.#parse(socket, connection, parse, bytes);
      },
      isParsed: true,
    };
    this.#connections.set(socket, connection);
    socket.off("data", parse);
    socket.on("data", connection.onData);
  }

  /** The parser has found a request. */
  requested(): void {
    this.#requests++;
  }

  /** What still comes of this connection is read and dropped. */
  giveUp(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.isParsed = false;
  }

  /** This connection is HTTP no more. Answers what of it was read beyond its last request, of which `head` is the beginning. */
  leave(socket: Socket, head: Buffer): Buffer {
    const connection = this.#connections.get(socket);
    if (connection === undefined || !connection.isParsed) return head;
    connection.isParsed = false;
    socket.off("data", connection.onData);
    return this.#rest.length === 0 ? head : Buffer.concat([head, this.#rest]);
  }

  #parse(socket: Socket, connection: ParsedConnection, parse: Parse, bytes: Buffer): void {
    let size = sliceBytes;
    for (let at = 0; at < bytes.length; ) {
      const before = this.#requests;
      const end = Math.min(bytes.length, at + size);
      this.#rest = bytes.subarray(end);
      parse.call(socket, bytes.subarray(at, end));
      this.#rest = noBytes;
      at = end;
      if (!connection.isParsed || socket.destroyed) return;
      // Answers are not taken: Node parses nothing until they are, and then wants what comes next.
      if (socket.isPaused()) {
        if (at < bytes.length) socket.unshift(bytes.subarray(at));
        return;
      }
      size = this.#requests === before ? Math.min(bodySliceBytes, size * 2) : sliceBytes;
    }
  }
}

const noBytes = Buffer.alloc(0);
