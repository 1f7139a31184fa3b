import { Fault } from "../base/error-codes.ts";
import { StreamSplitter } from "./stream-splitter.ts";

/**
 * Cuts a byte stream into lines. They end with LF; a CR before it belongs to the end. Empty lines are skipped.
 *
 * A line longer than the bound (without its end) is refused before more than that is held.
 */
export class LineSplitter extends StreamSplitter {
  override next(): boolean {
    while (this.at < this.chunk.length) {
      const { chunk, at } = this;
      const feed = chunk.indexOf(0x0a, at);
      const stop = feed === -1 ? chunk.length : feed;
      // One more than the bound: a CR before the LF does not count, and may come before its LF does.
      const most = this.bytesMax + 1;
      if (this.heldBytes + stop - at > most) throw this.#tooLong();
      if (feed === -1) {
        this.hold(stop, most);
        break;
      }
      if (this.heldBytes === 0) {
        this.#give(chunk, at, stop);
      } else {
        this.hold(stop, most);
        const length = this.heldBytes;
        this.#give(this.giveHeld(), 0, length);
      }
      this.at = stop + 1;
      if (this.end > this.start) return true;
    }
    this.letGo();
    return false;
  }

  #give(bytes: Uint8Array, start: number, stop: number): void {
    const end = stop > start && bytes[stop - 1] === 0x0d ? stop - 1 : stop;
    if (end - start > this.bytesMax) throw this.#tooLong();
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  #tooLong(): Fault {
    return new Fault("too_large", `a line takes at most ${this.bytesMax} bytes`);
  }
}
