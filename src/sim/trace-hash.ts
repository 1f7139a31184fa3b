/**
 * A running 64-bit hash of everything that happened: two 32-bit lanes, each a MurmurHash3 body with its own seed and
 * rotation. It tells two runs apart; it does not resist anybody who wants two runs to look alike.
 */
export class TraceHash {
  #low = 0x9747b28c;
  #high = 0x3c6ef372;

  /** Takes a number in: its lower 32 bits and, for whole numbers below 2^53, the bits above them. */
  number(value: number): void {
    this.#word(value | 0);
    if (value >= 0x1_0000_0000 || value < 0) this.#word(Math.floor(value / 0x1_0000_0000) | 0);
  }

  text(value: string): void {
    this.#word(value.length);
    for (let at = 0; at < value.length; at++) this.#word(value.charCodeAt(at));
  }

  bytes(value: Uint8Array): void {
    this.#word(value.length);
    let at = 0;
    for (; at + 4 <= value.length; at += 4) {
      this.#word(value[at]! | (value[at + 1]! << 8) | (value[at + 2]! << 16) | (value[at + 3]! << 24));
    }
    for (; at < value.length; at++) this.#word(value[at]!);
  }

  /** 16 hex digits of what was taken in so far. More may follow. */
  digest(): string {
    return finish(this.#high ^ this.#low) + finish(this.#low + Math.imul(this.#high, 5));
  }

  #word(word: number): void {
    let low = Math.imul(word, 0xcc9e2d51);
    low = Math.imul((low << 15) | (low >>> 17), 0x1b873593) ^ this.#low;
    this.#low = (Math.imul((low << 13) | (low >>> 19), 5) + 0xe6546b64) | 0;
    let high = Math.imul(word, 0x239b961b);
    high = Math.imul((high << 16) | (high >>> 16), 0xab0e9789) ^ this.#high;
    this.#high = (Math.imul((high << 17) | (high >>> 15), 5) + 0x0bcaa747) | 0;
  }
}

/** The 32-bit number that stands for a text inside a trace. */
export function textNumber(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

function finish(lane: number): string {
  let hash = lane;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0).toString(16).padStart(8, "0");
}
