import { assert } from "../base/assert.ts";
import type { LogIndex } from "../base/ids.ts";
import { arenaBits, arenaBytes, type RecordPart } from "../storage/chunk/record-parts.ts";

/**
 * The part of the log that one day chunk will hold, in memory: the payloads of its entries, and where in them the
 * accepted messages stand, in log order. The chunk is built from it; until the chunk is durable, history is read from
 * it. Bytes never move and are never changed once an entry is applied.
 *
 * Arenas are 4 MiB large, or as large as the one entry that needs more. An address is a whole number below 2^32: the
 * arena's number times 4 MiB, plus the offset in it.
 */
export class TailPart {
  /** The part holds entries behind this index. */
  readonly from: LogIndex;
  readonly #isShared: boolean;
  readonly #arenas: Uint8Array[] = [];
  #used = 0;
  #bytes = 0;
  #addresses = new Uint32Array(64);
  #count = 0;

  /** `isShared`: another thread will read it, so it lies in memory that threads can share. */
  constructor(from: LogIndex, isShared: boolean) {
    this.from = from;
    this.#isShared = isShared;
  }

  /** Bytes of all payloads taken in. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Accepted messages. */
  get count(): number {
    return this.#count;
  }

  /** Copies an entry's payload in and answers its address. */
  take(payload: Uint8Array): number {
    assert(payload.length <= arenaBytes, "an entry does not fit an arena");
    let arena = this.#arenas.at(-1);
    if (arena === undefined || this.#used + payload.length > arena.length) {
      // A quiet server should not hold 4 MiB for a few messages: the first arenas are small.
      const wanted = Math.min(arenaBytes, 65_536 << Math.min(this.#arenas.length, 6));
      const size = Math.max(wanted, payload.length);
      arena = this.#isShared ? new Uint8Array(new SharedArrayBuffer(size)) : new Uint8Array(size);
      this.#arenas.push(arena);
      assert(this.#arenas.length <= 1024, "a chunk's part of the log outgrew its addresses");
      this.#used = 0;
    }
    const address = (this.#arenas.length - 1) * arenaBytes + this.#used;
    arena.set(payload, this.#used);
    // Into shared memory bytes are copied eight at a time only when both ends lie on eights.
    this.#used = (this.#used + payload.length + 7) & ~7;
    this.#bytes += payload.length;
    return address;
  }

  /** The bytes that an address lies in; `offsetOf` says where in them. */
  bytesAt(address: number): Uint8Array {
    return this.#arenas[address >>> arenaBits]!;
  }

  offsetOf(address: number): number {
    return address & (arenaBytes - 1);
  }

  /** Notes an accepted message. Called in log order. */
  note(address: number): void {
    if (this.#count === this.#addresses.length) this.#addresses = grown(this.#addresses);
    this.#addresses[this.#count++] = address;
  }

  /** Where the accepted messages stand, in log order. The arenas are shared, the addresses copied. */
  records(): RecordPart {
    return { arenas: this.#arenas, addresses: this.#addresses.slice(0, this.#count) };
  }
}

/** Where a message's record stands: at `offset` of `bytes`. Filled in by whoever looks it up; used again and again. */
export interface Place {
  bytes: Uint8Array;
  offset: number;
}

export const nowhere = (): Place => ({ bytes: new Uint8Array(0), offset: 0 });

/** Where the unsealed messages of one room stand: a run of addresses per part of the tail, oldest first. */
export class RoomTail {
  readonly #runs: { part: TailPart; firstSeq: number; addresses: Uint32Array; count: number }[] = [];

  /** Notes the room's next message. Seqs come one after another. Answers true for the room's first in this part. */
  note(part: TailPart, seq: number, address: number): boolean {
    let run = this.#runs.at(-1);
    const isFirst = run === undefined || run.part !== part;
    if (run === undefined || isFirst) {
      run = { part, firstSeq: seq, addresses: new Uint32Array(4), count: 0 };
      this.#runs.push(run);
    }
    assert(seq === run.firstSeq + run.count, "a hole in a room's tail");
    if (run.count === run.addresses.length) run.addresses = grown(run.addresses);
    run.addresses[run.count++] = address;
    return isFirst;
  }

  /** Lowest seq found here, or null when the room has no unsealed message. */
  get first(): number | null {
    return this.#runs[0]?.firstSeq ?? null;
  }

  /** Points `place` at one message; answers false when it is not here. */
  find(seq: number, place: Place): boolean {
    for (let i = this.#runs.length - 1; i >= 0; i--) {
      const run = this.#runs[i]!;
      if (seq < run.firstSeq) continue;
      if (seq >= run.firstSeq + run.count) return false;
      const address = run.addresses[seq - run.firstSeq]!;
      place.bytes = run.part.bytesAt(address);
      place.offset = run.part.offsetOf(address);
      return true;
    }
    return false;
  }

  /** Forgets the messages of a part whose chunk is durable. */
  drop(part: TailPart): void {
    if (this.#runs[0]?.part === part) this.#runs.shift();
  }
}

function grown(from: Uint32Array): Uint32Array<ArrayBuffer> {
  const into = new Uint32Array(from.length * 2);
  into.set(from);
  return into;
}
