import type { ByteStream, StreamReceiver } from "../../src/doors/byte-stream.ts";
import { concat } from "./fake-server.ts";

/** A byte stream in memory. Checks that nothing is done that a stream does not allow. */
export class MemoryStream implements ByteStream {
  readonly address = "192.0.2.7";
  readonly writes: (readonly Uint8Array[])[] = [];
  bufferedBytes = 0;
  /** Whether the other side takes nothing. */
  isStuck = false;
  state: "open" | "ended" | "destroyed" = "open";
  isPaused = false;
  receiver: StreamReceiver | null = null;
  #waiting: Uint8Array[] = [];

  attach(receiver: StreamReceiver): void {
    this.receiver = receiver;
  }

  write(pieces: readonly Uint8Array[]): void {
    if (this.state !== "open") throw new Error("written after the end");
    this.writes.push(pieces);
    if (this.isStuck) for (const piece of pieces) this.bufferedBytes += piece.length;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    while (!this.isPaused && this.#waiting.length > 0) this.#lend(this.#waiting.shift()!);
  }

  end(): void {
    this.state = "ended";
  }

  destroy(): void {
    this.state = "destroyed";
  }

  /** The client sends this. */
  arrive(bytes: Uint8Array | string): void {
    const piece = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    if (this.isPaused) this.#waiting.push(piece);
    else this.#lend(piece);
  }

  // What is lent is used for something else as soon as the call is over.
  #lend(piece: Uint8Array): void {
    const lent = piece.slice();
    this.receiver!.data(lent);
    lent.fill(0xee);
  }

  /** The client takes everything. */
  takeAll(): void {
    this.isStuck = false;
    this.bufferedBytes = 0;
    this.receiver!.drained();
  }

  get written(): Uint8Array {
    return concat(this.writes.flat());
  }

  get text(): string {
    return new TextDecoder().decode(this.written);
  }
}
