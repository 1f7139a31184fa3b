import { getU32 } from "../base/byte-order.ts";
import type { Limits } from "../base/limits.ts";
import { decodeBinary } from "../protocol/binary-codec.ts";
import type { Refused } from "../protocol/check-frame.ts";
import { decodeJson } from "../protocol/json-codec.ts";
import type { ClientFrame } from "../protocol/schema.ts";
import { isSend, sendCode } from "../protocol/send-bytes.ts";
import type { ClientLink } from "./client-link.ts";

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
 * While one must wait, those behind it are held, and the door stops reading.
 */
export class SessionInput {
  readonly #taker: FrameTaker;
  readonly #link: ClientLink;
  readonly #limits: Limits;
  #isBlocked = false;
  /** What waits for its turn: whole frames as bytes, or decoded ones. */
  #held: (Uint8Array | ClientFrame | Refused)[] = [];

  constructor(taker: FrameTaker, link: ClientLink, limits: Limits) {
    this.#taker = taker;
    this.#link = link;
    this.#limits = limits;
  }

  /** Whether frames wait for their turn. */
  get isWaiting(): boolean {
    return this.#isBlocked || this.#held.length > 0;
  }

  received(bytes: Uint8Array): void {
    if (this.#isBlocked) this.#held.push(bytes);
    else this.#take(bytes);
  }

  /** Takes no more frames until `goOn`. */
  block(): void {
    if (this.#isBlocked) return;
    this.#isBlocked = true;
    this.#link.pause();
  }

  /** Takes the frames that waited, and then reads on. */
  goOn(): void {
    if (!this.#isBlocked || this.#taker.state === "ended") return;
    this.#isBlocked = false;
    while (!this.#isBlocked) {
      const next = this.#held.shift();
      if (next === undefined) break;
      if (next instanceof Uint8Array) this.#take(next);
      else if (!this.#taker.takeFrame(next)) this.#held.unshift(next);
    }
    if (!this.#isBlocked) this.#link.resume();
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
      if (isTaken) o = end;
      if (!isTaken || (this.#isBlocked && o < bytes.length)) {
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
      if (this.#isBlocked || !this.#taker.takeFrame(frames[i]!)) {
        this.#held.unshift(...frames.slice(i));
        return;
      }
    }
  }
}
