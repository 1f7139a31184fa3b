import { assert } from "../base/assert.ts";
import { getU32, putU32 } from "../base/byte-order.ts";
import { recordLength } from "../rooms/message-record.ts";
import type { Place } from "./tail.ts";

/** Blocks of one ring, above which they are made one. */
const blocksMax = 8;

/** Messages one behind the other: first where each begins, four bytes each, then their records. */
interface Block {
  readonly firstSeq: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/**
 * The newest messages of one active room. A slot is taken when a message is put in order and is free again once it is
 * decided; nothing is shown beyond the save point, and no slot that is still unsaved is given away.
 *
 * As long as the tail of the log holds a message it is read there. What leaves the tail is copied in here, so that a
 * message which is only written costs the ring a number.
 *
 * 1. savePoint <= head <= savePoint + slots, whenever nothing is being applied
 * 2. kept messages have seqs one behind the other, without holes, up to where the tail begins
 * 3. savePoint never decreases
 * 4. fewer than two times `slots` are kept, and only in blocks of which something is among the newest `slots`
 */
export class RecentRing {
  readonly #slotsMax: number;
  #savePoint: number;
  #ordered = 0;
  #kept = 0;
  #ownBytes = 0;
  /** Oldest first. */
  #blocks: Block[] = noBlocks;

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

  /** How many messages are kept here; they are the newest of those that the tail does not hold. */
  get kept(): number {
    return this.#kept;
  }

  /** Bytes of what is kept. */
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

  /** `seq` is committed, and the tail holds it. `decided` comes besides, if a slot was taken for it. */
  save(seq: number): void {
    assert(seq === this.#savePoint + 1, "saved out of order");
    this.#savePoint = seq;
  }

  /**
   * Copies messages that leave the tail: `count` of them from `firstSeq` on, at the places that `find` tells. When some
   * are missing between those kept and these, the kept ones go.
   */
  keep(firstSeq: number, count: number, find: (index: number, place: Place) => void): void {
    const last = this.#blocks.at(-1);
    if (last !== undefined && last.firstSeq + last.count !== firstSeq) this.empty();
    this.#add(copied(firstSeq, count, find), false);
    while (this.#kept - this.#blocks[0]!.count >= this.#slotsMax) this.#dropOldest();
    if (this.#blocks.length > blocksMax) this.#join();
  }

  /** Copies older messages before the kept ones: history is loaded newest first. Answers how many of them it took. */
  keepBefore(lastSeq: number, records: readonly Place[]): number {
    const first = this.#blocks[0];
    assert(first === undefined || lastSeq === first.firstSeq - 1, "a hole before the kept messages");
    const count = Math.min(records.length, this.#slotsMax - this.#kept, lastSeq);
    if (count <= 0) return 0;
    const block = copied(lastSeq - count + 1, count, (index, place) => {
      const { bytes, offset } = records[count - 1 - index]!;
      place.bytes = bytes;
      place.offset = offset;
    });
    this.#add(block, true);
    return count;
  }

  /** Points `place` at one message; answers false when it is not kept here. */
  find(seq: number, place: Place): boolean {
    for (let i = this.#blocks.length - 1; i >= 0; i--) {
      const block = this.#blocks[i]!;
      if (seq < block.firstSeq) continue;
      if (seq >= block.firstSeq + block.count) return false;
      place.bytes = block.bytes;
      place.offset = getU32(block.bytes, (seq - block.firstSeq) * 4);
      return true;
    }
    return false;
  }

  /** Lets go of what is kept. Slots that wait to be saved stay taken. */
  empty(): void {
    this.#blocks = noBlocks;
    this.#kept = 0;
    this.#ownBytes = 0;
  }

  #add(block: Block, isBefore: boolean): void {
    this.#blocks = isBefore ? [block, ...this.#blocks] : [...this.#blocks, block];
    this.#kept += block.count;
    this.#ownBytes += block.bytes.length;
  }

  #dropOldest(): void {
    const [oldest, ...rest] = this.#blocks;
    this.#blocks = rest;
    this.#kept -= oldest!.count;
    this.#ownBytes -= oldest!.bytes.length;
  }

  // A quiet room leaves a few messages in each part of the tail. Now and then the newest are copied together, so that a
  // search goes through few blocks.
  #join(): void {
    const last = this.#blocks.at(-1)!;
    const count = Math.min(this.#kept, this.#slotsMax);
    const firstSeq = last.firstSeq + last.count - count;
    const whole = copied(firstSeq, count, (index, place) => void this.find(firstSeq + index, place));
    this.empty();
    this.#add(whole, false);
  }
}

function copied(firstSeq: number, count: number, find: (index: number, place: Place) => void): Block {
  const place: Place = { bytes: noBytes, offset: 0 };
  let total = count * 4;
  for (let index = 0; index < count; index++) {
    find(index, place);
    total += recordLength(place.bytes, place.offset);
  }
  const bytes = new Uint8Array(total);
  let end = count * 4;
  for (let index = 0; index < count; index++) {
    find(index, place);
    const length = recordLength(place.bytes, place.offset);
    bytes.set(place.bytes.subarray(place.offset, place.offset + length), end);
    putU32(bytes, index * 4, end);
    end += length;
  }
  return { firstSeq, count, bytes };
}

const noBytes = new Uint8Array(0);
const noBlocks: Block[] = [];
