import type { Clock } from "../base/clock.ts";

/** Somebody who is sent bytes, and may be slow to take them. */
export interface Holder {
  /** Bytes in memory that wait for this client and for nobody else. */
  heldBytes(): number;
  /** Ends it at once, and lets go of what waits. */
  drop(): void;
}

interface Held {
  bytes: number;
  /** When it was last seen to become less, or to begin. */
  movedAt: number;
}

/** As long as that, even the slowest may take nothing. */
const patienceMs = 1_000;

/**
 * What clients have been sent and not taken yet, over all connections and doors. Bytes that many share, as the messages
 * of a room, are not counted: they cost their memory once.
 *
 * 1. bytes = sum of what each was last seen to hold
 * 2. while there is no room, nothing large is built, and who has taken nothing for longest goes first
 */
export class HeldOutput {
  readonly #bytesMax: number;
  readonly #clock: Clock;
  readonly #holders = new Map<Holder, Held>();
  #bytes = 0;
  /** Called when somebody has taken something: there may be room again. */
  onTaken: () => void = () => undefined;

  constructor(options: { bytesMax: number; clock: Clock }) {
    this.#bytesMax = options.bytesMax;
    this.#clock = options.clock;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether so many bytes more may be built. */
  hasRoomFor(bytes: number): boolean {
    return this.#bytes + bytes <= this.#bytesMax;
  }

  /** Looks at what somebody holds: after a write, after it was taken, and in the end. */
  seen(holder: Holder): void {
    const bytes = holder.heldBytes();
    const held = this.#holders.get(holder);
    if (held === undefined) {
      if (bytes === 0) return;
      this.#holders.set(holder, { bytes, movedAt: this.#clock.now() });
      this.#bytes += bytes;
      return;
    }
    const isLess = bytes < held.bytes;
    this.#bytes += bytes - held.bytes;
    held.bytes = bytes;
    if (bytes === 0) this.#holders.delete(holder);
    if (!isLess) return;
    held.movedAt = this.#clock.now();
    this.onTaken();
  }

  /**
   * Looks at everybody again, for nobody tells when a part was taken. When there is no room for `wanted` bytes, those go
   * who have taken nothing for longest, until half of all is free. Answers how many.
   */
  look(wanted: number): number {
    for (const holder of this.#holders.keys()) this.seen(holder);
    if (this.hasRoomFor(wanted)) return 0;
    const latest = this.#clock.now() - patienceMs;
    const stalled = [...this.#holders].filter(([, { movedAt }]) => movedAt <= latest);
    stalled.sort(([, a], [, b]) => a.movedAt - b.movedAt);
    let dropped = 0;
    for (const [holder, { bytes }] of stalled) {
      if (this.#bytes <= this.#bytesMax / 2) break;
      this.#holders.delete(holder);
      this.#bytes -= bytes;
      holder.drop();
      dropped++;
    }
    return dropped;
  }
}
