import type { IncomingMessage } from "node:http";
import { Fault } from "../base/error-codes.ts";

/**
 * Reads the bodies of requests into memory, within two bounds: the size of one, and of all that are being read. Both are
 * checked before a byte is kept.
 */
export class RequestBodies {
  readonly #heldBytesMax: number;
  #heldBytes = 0;

  constructor(heldBytesMax: number) {
    this.#heldBytesMax = heldBytesMax;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Settles with the whole body. Rejects with `too_large` or `overloaded`, and reads no further. */
  read(incoming: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
    const declared = Number(incoming.headers["content-length"] ?? 0);
    if (declared > bytesMax) return Promise.reject(tooLarge(bytesMax));
    // It may have ended while it was found out who asks.
    if (incoming.destroyed && !incoming.readableEnded) return Promise.reject(unfinished());
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const end = (): void => {
        this.#heldBytes -= size;
        incoming.off("data", onData);
        incoming.off("end", onEnd);
        incoming.off("close", onClose);
      };
      const refuse = (fault: Fault): void => {
        end();
        incoming.pause();
        reject(fault);
      };
      const onData = (chunk: Buffer): void => {
        if (size + chunk.length > bytesMax) {
          refuse(tooLarge(bytesMax));
        } else if (this.#heldBytes + chunk.length > this.#heldBytesMax) {
          refuse(new Fault("overloaded", "too many requests are being read", { retryAfterMs: 500 }));
        } else {
          size += chunk.length;
          this.#heldBytes += chunk.length;
          chunks.push(chunk);
        }
      };
      const onEnd = (): void => {
        end();
        resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
      };
      const onClose = (): void => refuse(unfinished());
      incoming.on("data", onData);
      incoming.on("end", onEnd);
      incoming.on("close", onClose);
    });
  }
}

const tooLarge = (bytesMax: number): Fault =>
  new Fault("too_large", `a request like this takes at most ${bytesMax} bytes`);

const unfinished = (): Fault => new Fault("bad_request", "the request was not finished");
