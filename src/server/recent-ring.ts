import { assert } from "../base/assert.ts";
import { recordLength } from "../rooms/message-record.ts";
import type { Place } from "./tail.ts";

/**
 * The newest messages of one active room. A slot is taken when a message is put in order and filled when it is
 * committed; nothing is shown beyond the save point, and no slot that is still unsaved is given away.
 *
 * 1. savePoint <= head <= savePoint + slots, whenever nothing is being applied
 * 2. held messages are the seqs (savePoint - held, savePoint], without holes
 * 3. savePoint never decreases
 */
export class RecentRing {
  readonly #slotsMax: number;
  #bytes: (Uint8Array | undefined)[] = [];
  #offsets = new Uint32Array(0);
  #held = 0;
  #ordered = 0;
  #savePoint: number;
  #ownBytes = 0;

  /** An empty ring of a room whose newest committed message is `savePoint`. `slotsMax` is a power of two. */
  constructor(slotsMax: number, savePoint: number) {
    assert((slotsMax & (slotsMax - 1)) === 0, "a ring has a power of two of slots");
    this.#slotsMax = slotsMax;
    this.#savePoint = savePoint;
  }

  /** Newest message that is in order, committed or not. */
  get head(): number {
    return this.#savePoint + this.#ordered;
  }

  /** Newest committed message. */
  get savePoint(): number {
    return this.#savePoint;
  }

  /** Messages that can be read here. */
  get held(): number {
    return this.#held;
  }

  /** Bytes that only this ring keeps alive. */
  get ownBytes(): number {
    return this.#ownBytes;
  }

  /** Takes a slot for a message that was put in order. False when every slot waits to be saved: the sender must wait. */
  order(): boolean {
    if (this.#ordered === this.#slotsMax) return false;
    this.#ordered++;
    return true;
  }

  /** It was decided what became of a message that had taken a slot: saved, a repeat, or refused. The slot is free again. */
  decided(): void {
    assert(this.#ordered > 0, "gave back a slot that was not taken");
    this.#ordered--;
  }

  /** Everything in order and not committed is void: the orderer was deposed, or starts anew. */
  fallBack(): void {
    this.#ordered = 0;
  }

  /** Fills the next slot: `seq` is committed. `decided` comes besides, if a slot was taken for it. Its bytes are kept alive by the tail for now. */
  save(seq: number, bytes: Uint8Array, offset: number): void {
    assert(seq === this.#savePoint + 1, "saved out of order");
    if (this.#held === this.#bytes.length) this.#grow();
    this.#savePoint = seq;
    const slot = seq & (this.#bytes.length - 1);
    this.#bytes[slot] = bytes;
    this.#offsets[slot] = offset;
    if (this.#held < this.#bytes.length) this.#held++;
  }

  /** Puts an older message before the held ones: history is loaded newest first. False when the ring is full. */
  saveBefore(bytes: Uint8Array, offset: number): boolean {
    if (this.#held === this.#bytes.length) this.#grow();
    if (this.#held === this.#bytes.length || this.#held >= this.#savePoint) return false;
    const slot = (this.#savePoint - this.#held) & (this.#bytes.length - 1);
    this.#bytes[slot] = bytes;
    this.#offsets[slot] = offset;
    this.#held++;
    return true;
  }

  /** Points `place` at one message; answers false when it is not held. */
  find(seq: number, place: Place): boolean {
    if (seq > this.#savePoint || seq <= this.#savePoint - this.#held) return false;
    const slot = seq & (this.#bytes.length - 1);
    place.bytes = this.#bytes[slot]!;
    place.offset = this.#offsets[slot]!;
    return true;
  }

  /** Lets go of what is held. Slots that wait to be saved stay taken. */
  empty(): void {
    this.#bytes = [];
    this.#offsets = new Uint32Array(0);
    this.#held = 0;
    this.#ownBytes = 0;
  }

  /** Copies what is held into bytes of its own, so that the tail's can go. */
  detach(): void {
    const first = this.#savePoint - this.#held + 1;
    let total = 0;
    for (let seq = first; seq <= this.#savePoint; seq++) {
      const slot = seq & (this.#bytes.length - 1);
      total += recordLength(this.#bytes[slot]!, this.#offsets[slot]!);
    }
    const own = new Uint8Array(total);
    let end = 0;
    for (let seq = first; seq <= this.#savePoint; seq++) {
      const slot = seq & (this.#bytes.length - 1);
      const offset = this.#offsets[slot]!;
      const length = recordLength(this.#bytes[slot]!, offset);
      own.set(this.#bytes[slot]!.subarray(offset, offset + length), end);
      this.#bytes[slot] = own;
      this.#offsets[slot] = end;
      end += length;
    }
    this.#ownBytes = total;
  }

  // Rings of quiet rooms stay small: slots double until there are as many as allowed.
  #grow(): void {
    if (this.#bytes.length >= this.#slotsMax) return;
    const length = Math.min(this.#slotsMax, Math.max(4, this.#bytes.length * 2));
    const bytes = new Array<Uint8Array | undefined>(length);
    const offsets = new Uint32Array(length);
    for (let seq = this.#savePoint - this.#held + 1; seq <= this.#savePoint; seq++) {
      const slot = seq & (this.#bytes.length - 1);
      bytes[seq & (length - 1)] = this.#bytes[slot];
      offsets[seq & (length - 1)] = this.#offsets[slot]!;
    }
    this.#bytes = bytes;
    this.#offsets = offsets;
  }
}
