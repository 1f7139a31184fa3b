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
    // All that goes over the network comes by here: the lanes stay out of the object meanwhile.
    let low = this.#low;
    let high = this.#high;
    const { length } = value;
    for (let at = 0; at < length; ) {
      let word = value[at]!;
      if (at + 4 <= length) {
        word |= (value[at + 1]! << 8) | (value[at + 2]! << 16) | (value[at + 3]! << 24);
        at += 4;
      } else at++;
      low = mixedLow(low, word);
      high = mixedHigh(high, word);
    }
    this.#low = low;
    this.#high = high;
  }

  /** 16 hex digits of what was taken in so far. More may follow. */
  digest(): string {
    return finish(this.#high ^ this.#low) + finish(this.#low + Math.imul(this.#high, 5));
  }

  #word(word: number): void {
    this.#low = mixedLow(this.#low, word);
    this.#high = mixedHigh(this.#high, word);
  }
}

function mixedLow(lane: number, word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51);
  const low = Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593) ^ lane;
  return (Math.imul((low << 13) | (low >>> 19), 5) + 0xe6546b64) | 0;
}

function mixedHigh(lane: number, word: number): number {
  const mixed = Math.imul(word, 0x239b961b);
  const high = Math.imul((mixed << 16) | (mixed >>> 16), 0xab0e9789) ^ lane;
  return (Math.imul((high << 17) | (high >>> 15), 5) + 0x0bcaa747) | 0;
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
