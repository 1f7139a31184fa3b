import { getU32 } from "../base/byte-order.ts";
import type { Limits } from "../base/limits.ts";
import { decodeBinary } from "../protocol/binary-codec.ts";
import type { Refused } from "../protocol/check-frame.ts";
import { decodeJson } from "../protocol/json-codec.ts";
import type { ClientFrame } from "../protocol/schema.ts";
import { isSend, sendCode } from "../protocol/send-bytes.ts";
import type { ClientLink } from "./client-link.ts";
import type { InputShares, SharedInput } from "./input-shares.ts";

/** Who acts on the frames. */
export interface FrameTaker {
  readonly state: "greeting" | "open" | "ended";
  /** False when the frame must wait: it is not taken, and nothing behind it may be. */
  takeFrame(frame: ClientFrame | Refused): boolean;
  /** The same for a binary send, which is read where it lies. */
  takeSend(b: Uint8Array, o: number, end: number): boolean;
  /** The first message is longer than a greeting may be. */
  greetingTooLong(): void;
}

/**
 * What a client sends, until it is acted on: whole frames as bytes from the door, decoded and handed on in their order.
 * While one must wait, or the connection has had its share of the turn, those behind it are held, and the door stops
 * reading.
 */
export class SessionInput implements SharedInput {
  readonly #taker: FrameTaker;
  readonly #link: ClientLink;
  readonly #limits: Limits;
  readonly #shares: InputShares;
  /** A frame must wait for something. */
  #isBlocked = false;
  /** It has had its share of a turn. */
  #isSharing = false;
  #turn = -1;
  #framesOfTurn = 0;
  /** What waits for its turn: whole frames as bytes, or decoded ones. */
  #held: (Uint8Array | ClientFrame | Refused)[] = [];

  constructor(taker: FrameTaker, link: ClientLink, limits: Limits, shares: InputShares) {
    this.#shares = shares;
    this.#taker = taker;
    this.#link = link;
    this.#limits = limits;
  }

  /** Whether frames wait for their turn. */
  get isWaiting(): boolean {
    return this.#waits || this.#held.length > 0;
  }

  received(bytes: Uint8Array): void {
    if (this.#waits) this.#held.push(bytes);
    else this.#take(bytes);
  }

  get #waits(): boolean {
    return this.#isBlocked || this.#isSharing;
  }

  /** Takes no more frames until `goOn`. */
  block(): void {
    if (this.#isBlocked) return;
    if (!this.#isSharing) this.#link.pause();
    this.#isBlocked = true;
  }

  /** Takes the frames that waited, and then reads on. */
  goOn(): void {
    if (!this.#isBlocked || this.#taker.state === "ended") return;
    this.#isBlocked = false;
    if (!this.#isSharing) this.#takeHeld();
  }

  goOnSharing(): void {
    this.#isSharing = false;
    if (!this.#isBlocked && this.#taker.state !== "ended") this.#takeHeld();
  }

  #takeHeld(): void {
    while (!this.#waits) {
      const next = this.#held.shift();
      if (next === undefined) break;
      if (next instanceof Uint8Array) this.#take(next);
      else if (!this.#taker.takeFrame(next)) this.#held.unshift(next);
      else this.#count();
    }
    if (!this.#waits) this.#link.resume();
  }

  // One more frame was taken: perhaps the last of this connection's share.
  #count(): void {
    const { turn } = this.#shares;
    if (turn !== this.#turn) {
      this.#turn = turn;
      this.#framesOfTurn = 0;
    }
    this.#framesOfTurn++;
    if (!this.#shares.isTaken(this.#framesOfTurn) || this.#isSharing || this.#taker.state !== "open") return;
    if (!this.#isBlocked) this.#link.pause();
    this.#isSharing = true;
    this.#shares.wait(this);
  }

  /** Nothing of what waits will be taken. */
  clear(): void {
    this.#held = [];
  }

  #take(bytes: Uint8Array): void {
    const { format } = this.#link;
    if (format === "binary-stream" || format === "binary-websocket") this.#takeBinary(bytes);
    else this.#takeJson(bytes);
  }

  #takeBinary(bytes: Uint8Array): void {
    const taker = this.#taker;
    let o = 0;
    while (o < bytes.length && taker.state !== "ended") {
      const end = o + 4 + getU32(bytes, o);
      const isTaken =
        bytes[o + 4] === sendCode && taker.state === "open" && isSend(bytes, o, end, this.#limits)
          ? taker.takeSend(bytes, o, end)
          : taker.takeFrame(decodeBinary("client", bytes, o, end, this.#limits));
      if (isTaken) {
        o = end;
        this.#count();
      }
      if (!isTaken || (this.#waits && o < bytes.length)) {
        this.#held.unshift(bytes.subarray(o));
        return;
      }
    }
  }

  #takeJson(bytes: Uint8Array): void {
    if (this.#taker.state === "greeting" && bytes.length > this.#limits.helloBytesMax) {
      this.#taker.greetingTooLong();
      return;
    }
    const frames: (ClientFrame | Refused)[] = [];
    decodeJson("client", bytes, this.#limits, frames);
    for (let i = 0; i < frames.length; i++) {
      if (this.#waits || !this.#taker.takeFrame(frames[i]!)) {
        this.#held.unshift(...frames.slice(i));
        return;
      }
      this.#count();
    }
  }
}
