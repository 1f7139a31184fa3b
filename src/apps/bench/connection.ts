import { connect } from "node:net";
import type { Socket } from "node:net";
import { assert } from "../../base/assert.ts";

/**
 * One client connection of the generator: bytes in, bytes out, nothing kept that need not be.
 *
 * All connections of a process read into one shared buffer, because a buffer for each read is what a generator in Node
 * would otherwise spend its time on. Bytes that a reader did not use stay here and come again in front of what follows.
 *
 * 1. The reader sees every byte once it is used, in order; what it leaves is shown again.
 * 2. `onBytes` runs only with the shared buffer or with the carried bytes, which are valid during the call alone.
 */
export class Connection {
  private readonly socket: Socket;
  private reader: BytesReader | null = null;
  private carried: Buffer = Buffer.alloc(0);
  private carriedLength = 0;
  private goneBecause: Error | null = null;
  private ending = false;
  private onGone: ((reason: Error) => void) | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  /** Settles when the connection stands. `readInto` may be shared with other connections of this process. */
  static open(options: { host: string; port: number; readInto: Uint8Array }): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let connection: Connection | null = null;
      const socket = connect({
        host: options.host,
        port: options.port,
        noDelay: true,
        onread: {
          buffer: options.readInto,
          callback: (length, bytes) => {
            connection?.arrived(bytes, length);
            return true;
          },
        },
      });
      connection = new Connection(socket);
      const opened = connection;
      socket.once("connect", () => resolve(opened));
      socket.on("error", (error) => {
        reject(error);
        opened.gone(error);
      });
      socket.on("end", () => opened.gone(new Error("the server closed the connection")));
      socket.on("close", () => opened.gone(new Error("the connection was closed")));
    });
  }

  /** From now on this reader gets the bytes, first those that are waiting. */
  readBy(reader: BytesReader): void {
    this.reader = reader;
    this.readCarried();
  }

  /** Called once, when the connection ends without `end` having been called; at once when it has ended already. */
  whenGone(report: (reason: Error) => void): void {
    if (this.goneBecause !== null && !this.ending) report(this.goneBecause);
    else this.onGone = report;
  }

  /**
   * Waits for one answer of a greeting. `take` answers how many bytes the answer had, or 0 when it is not whole yet; it
   * throws when the server said something else.
   */
  expect(what: string, take: BytesReader): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${what} within 20 s`)), 20_000);
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        this.reader = null;
        this.onGone = null;
        finish();
      };
      this.onGone = (reason) => settle(() => reject(new Error(`${what}: ${reason.message}`, { cause: reason })));
      if (this.goneBecause !== null) {
        this.onGone(this.goneBecause);
        return;
      }
      this.readBy((bytes, length) => {
        try {
          const used = take(bytes, length);
          if (used > 0) settle(resolve);
          return used;
        } catch (cause) {
          settle(() => reject(cause instanceof Error ? cause : new Error(String(cause))));
          return length;
        }
      });
    });
  }

  /** Answers whether the kernel took everything; if not, `bytes` must stay as they are until `whenDrained`. */
  write(bytes: Uint8Array): boolean {
    if (this.goneBecause !== null) return true;
    this.socket.write(bytes);
    return this.socket.writableLength === 0;
  }

  whenDrained(resume: () => void): void {
    // Node says "drain" only above its high-water mark; an empty write is called back behind all that waits.
    this.socket.write(nothing, () => resume());
  }

  end(): void {
    this.ending = true;
    this.onGone = null;
    this.socket.destroy();
  }

  private gone(reason: Error): void {
    if (this.goneBecause !== null) return;
    this.goneBecause = reason;
    const report = this.onGone;
    this.onGone = null;
    report?.(reason);
  }

  private arrived(bytes: Uint8Array, length: number): void {
    if (this.carriedLength === 0 && this.reader !== null) {
      const used = this.reader(bytes, length);
      if (used < length) this.carry(bytes, used, length);
      return;
    }
    this.carry(bytes, 0, length);
    this.readCarried();
  }

  private readCarried(): void {
    // A reader of a greeting takes one answer at a time and is then replaced or gone.
    while (this.reader !== null && this.carriedLength > 0) {
      const used = this.reader(this.carried, this.carriedLength);
      assert(used >= 0 && used <= this.carriedLength, "a reader uses only what is there");
      this.carried.copyWithin(0, used, this.carriedLength);
      this.carriedLength -= used;
      if (used === 0) return;
    }
  }

  private carry(bytes: Uint8Array, from: number, to: number): void {
    const needed = this.carriedLength + to - from;
    assert(needed <= carriedBytesMax, "an answer of the server has no end");
    if (needed > this.carried.length) {
      const larger = Buffer.alloc(Math.max(needed, this.carried.length * 2));
      this.carried.copy(larger, 0, 0, this.carriedLength);
      this.carried = larger;
    }
    this.carried.set(bytes.subarray(from, to), this.carriedLength);
    this.carriedLength = needed;
  }
}

/** Gets `length` bytes from the start of `bytes` and answers how many it has used. */
export type BytesReader = (bytes: Uint8Array, length: number) => number;

const nothing = new Uint8Array(0);
/** A frame is far smaller; what grows beyond is a server that speaks something else. */
const carriedBytesMax = 8 * 1024 * 1024;
