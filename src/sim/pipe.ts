import { assert } from "../base/assert.ts";
import { fraction, type Random } from "../base/random.ts";
import type { SimHost } from "./host.ts";
import { toMicros } from "./host.ts";
import type { LinkConditions } from "./link.ts";

/** One write on its way: when its last byte arrives, and how many of its bytes were delivered. */
interface Segment {
  readonly bytes: Uint8Array;
  readonly arrivesAt: number;
  taken: number;
}

/** What a pipe needs of the network. */
export interface PipePort {
  readonly random: Random;
  nowMicros(): number;
  conditions(): LinkConditions;
  /** Until when nothing moves on this link, in microseconds; Infinity while it is blocked. */
  stuckUntilMicros(): number;
  /** Bytes reach the receiver's process. */
  deliver(bytes: Uint8Array): void;
  /** Everything written before the end was delivered. */
  ended(how: "closed" | "reset"): void;
  /** The sender's `bufferedBytes` fell to 0. */
  drained(): void;
}

/**
 * One direction of one connection: an ordered stream of bytes.
 *
 * 1. What is delivered is a prefix of what was written, byte for byte unless corruption is asked for.
 * 2. At most one delivery is pending at any time, so nothing overtakes.
 * 3. The end comes once, after everything that precedes it, and nothing follows it.
 *
 * Events belong to the receiving host: a paused host finds the bytes when it goes on, a crashed one never.
 */
export class Pipe {
  readonly #port: PipePort;
  readonly #receiver: SimHost;
  readonly #receiverLife: number;
  #segments: Segment[] = [];
  #waitingBytes = 0;
  #deliveredBytes = 0;
  #lastArrival = 0;
  #piecesOfBurst = 0;
  #wasFull = false;
  #pending = false;
  #paused = false;
  #dead = false;
  #end: "closed" | "reset" | null = null;
  #finished = false;

  constructor(port: PipePort, receiver: SimHost) {
    this.#port = port;
    this.#receiver = receiver;
    this.#receiverLife = receiver.life;
  }

  /** Bytes written and beyond what the sockets' buffers hold. */
  get bufferedBytes(): number {
    return Math.max(0, this.#waitingBytes - this.#port.conditions().socketBytes);
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get isOpen(): boolean {
    return this.#end === null && !this.#finished;
  }

  /** Copies the bytes: the caller may use them again at once. */
  write(bytes: Uint8Array): void {
    if (!this.isOpen || bytes.length === 0) return;
    const conditions = this.#port.conditions();
    const now = this.#port.nowMicros();
    const delay = conditions.latencyMs + exponential(this.#port.random, conditions.jitterMeanMs);
    const sending =
      conditions.bytesPerSecond === null ? 0 : Math.ceil((bytes.length * 1_000_000) / conditions.bytesPerSecond);
    // A narrow link sends one write after the other; the way itself takes each its own time, but none overtakes.
    this.#lastArrival = Math.max(this.#lastArrival + sending, now + sending + toMicros(delay));
    this.#segments.push({ bytes: bytes.slice(), arrivesAt: this.#lastArrival, taken: 0 });
    this.#waitingBytes += bytes.length;
    if (this.bufferedBytes > 0) this.#wasFull = true;
    this.#plan();
  }

  /** Ends the stream after what is still waiting. */
  end(how: "closed" | "reset"): void {
    if (!this.isOpen) return;
    this.#end = how;
    const delay =
      this.#port.conditions().latencyMs + exponential(this.#port.random, this.#port.conditions().jitterMeanMs);
    this.#lastArrival = Math.max(this.#lastArrival, this.#port.nowMicros() + toMicros(delay));
    this.#plan();
  }

  /** Cuts the stream: of what is waiting only a part, drawn by chance, is delivered, then comes a reset. */
  cut(): void {
    if (this.#finished || this.#end === "reset") return;
    this.#truncate(this.#port.random.whole(this.#waitingBytes + 1));
    this.#end = null;
    this.end("reset");
  }

  /** The bytes vanish from now on and the receiver learns nothing, ever. The sender's buffer fills. */
  die(): void {
    this.#dead = true;
  }

  /** The receiving process is gone; what is written from now on waits for nobody. */
  stopReceiving(): void {
    this.#paused = true;
  }

  /** Ends the pipe at once; what waited is dropped. */
  finish(): void {
    this.#finished = true;
    this.#segments = [];
    this.#waitingBytes = 0;
  }

  /** The receiving process stops reading; what arrives waits, and the sender's buffer fills. */
  pauseReading(): void {
    this.#paused = true;
  }

  resumeReading(): void {
    this.#paused = false;
    this.#plan();
  }

  /** Looks again whether something can be delivered: the link changed. */
  poke(): void {
    this.#plan();
  }

  #plan(): void {
    if (this.#pending || this.#dead || this.#paused || this.#finished) return;
    const head = this.#segments[0];
    if (head === undefined && this.#end === null) return;
    const stuckUntil = this.#port.stuckUntilMicros();
    if (stuckUntil === Infinity) return;
    // A piece of a segment that is already here follows after a moment, the next segment when it arrives.
    const now = this.#port.nowMicros();
    const begun = head !== undefined && head.taken > 0;
    const gap = begun ? toMicros(exponential(this.#port.random, 0.05)) : 0;
    const due = Math.max(now + gap, stuckUntil, head === undefined ? this.#lastArrival : head.arrivesAt);
    if (!this.#receiver.alive || this.#receiver.life !== this.#receiverLife) return;
    this.#pending = true;
    this.#receiver.input((due - now) / 1000, "bytes", () => {
      this.#pending = false;
      this.#arrive();
    });
  }

  #arrive(): void {
    if (this.#dead || this.#paused || this.#finished) return;
    if (this.#port.stuckUntilMicros() > this.#port.nowMicros()) {
      this.#plan();
      return;
    }
    if (this.#segments.length > 0) {
      const piece = this.#take(this.#pieceBytes());
      if (piece.length > 0) this.#port.deliver(piece);
      // The receiver may have ended everything from within.
      if (this.#finished) return;
      if (this.#wasFull && this.bufferedBytes === 0) {
        this.#wasFull = false;
        this.#port.drained();
      }
    } else if (this.#end !== null && this.#lastArrival <= this.#port.nowMicros()) {
      const how = this.#end;
      this.#finished = true;
      this.#port.ended(how);
      return;
    }
    this.#plan();
  }

  /** How many bytes the next piece has, at least 1, at most what has arrived. */
  #pieceBytes(): number {
    const now = this.#port.nowMicros();
    let arrived = 0;
    for (const segment of this.#segments) {
      if (segment.arrivesAt > now) break;
      arrived += segment.bytes.length - segment.taken;
    }
    const { chop } = this.#port.conditions();
    switch (chop.kind) {
      case "none":
        return arrived;
      case "at": {
        const before = chop.offset - this.#deliveredBytes;
        return before > 0 ? Math.min(before, arrived) : arrived;
      }
      default: {
        this.#piecesOfBurst = arrived > 1 ? this.#piecesOfBurst + 1 : 0;
        const grown = chop.bytesMax * 2 ** Math.max(0, Math.floor((this.#piecesOfBurst - 256) / 8));
        return Math.min(arrived, 1 + this.#port.random.whole(Math.min(grown, 0x1_0000_0000)));
      }
    }
  }

  #take(count: number): Uint8Array {
    const head = this.#segments[0];
    assert(head !== undefined, "took from an empty pipe");
    let piece: Uint8Array;
    if (head.bytes.length - head.taken >= count) {
      piece = head.bytes.subarray(head.taken, head.taken + count);
      head.taken += count;
      if (head.taken === head.bytes.length) this.#segments.shift();
    } else {
      piece = new Uint8Array(count);
      let filled = 0;
      while (filled < count) {
        const segment = this.#segments[0]!;
        const part = segment.bytes.subarray(segment.taken, segment.taken + count - filled);
        piece.set(part, filled);
        filled += part.length;
        segment.taken += part.length;
        if (segment.taken === segment.bytes.length) this.#segments.shift();
      }
    }
    this.#waitingBytes -= count;
    this.#deliveredBytes += count;
    return piece;
  }

  #truncate(bytesLeft: number): void {
    let left = bytesLeft;
    const kept: Segment[] = [];
    for (const segment of this.#segments) {
      if (left === 0) break;
      const rest = segment.bytes.length - segment.taken;
      const keep = Math.min(rest, left);
      kept.push({ ...segment, bytes: segment.bytes.subarray(0, segment.taken + keep) });
      left -= keep;
    }
    this.#segments = kept;
    this.#waitingBytes = bytesLeft;
  }
}

/** A time with this mean, exponentially distributed, rounded to whole microseconds so that it is the same everywhere. */
export function exponential(random: Random, meanMs: number): number {
  if (meanMs === 0) return 0;
  return Math.round(-Math.log(1 - fraction(random)) * meanMs * 1000) / 1000;
}
