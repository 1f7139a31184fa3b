import { createHash, type Hash } from "node:crypto";

import { Fault } from "../base/error-codes.ts";
import {
  bodyStart,
  recordBodyLength,
  recordRef,
  recordSeq,
  recordTs,
  textLength,
  textStart,
} from "../rooms/message-record.ts";
import type { Room } from "../rooms/room.ts";
import type { History, RecordRef } from "./history.ts";

/** Records of one link of the chain. */
const linkRecords = 1_024;
const pageBytes = 1 << 20;
/** Links kept for one room, and rooms kept. */
const roomsMax = 256;

const from = 1;
const cid = 2;
const kind = 3;

/**
 * What a room's history amounts to: a chain of hashes over its messages, equal on all servers for equal `upto`, so that
 * two servers are compared by 32 bytes.
 *
 * c₀ = 32 zero bytes; cₖ = SHA-256(cₖ₋₁ ‖ records of seqs 1024(k−1)+1 … 1024k); digest(upto) = cₖ where upto = 1024k,
 * else SHA-256(cₖ ‖ the remaining records). A record is u64be seq, u64be ts, then u32be length and bytes of from, of cid
 * and of kind, u64be ref, u32be length and bytes of body.
 *
 * Links that were computed are kept in memory, so that asking again costs only what is new.
 */
export class Digests {
  readonly #history: History;
  readonly #links = new Map<Room, Uint8Array[]>();

  constructor(history: History) {
    this.#history = history;
  }

  /** Hex. Rejects with `gone` when it needs messages that were removed. */
  async of(room: Room, upTo: number): Promise<string> {
    const links = this.#linksOf(room);
    const whole = Math.floor(upTo / linkRecords);
    while (links.length - 1 < whole) {
      const k = links.length;
      const link = await this.#hash(room, links[k - 1]!, linkRecords * (k - 1) + 1, linkRecords * k);
      // Somebody else may have asked meanwhile.
      if (links.length === k) links.push(link);
    }
    const rest = upTo - whole * linkRecords;
    const last = links[whole]!;
    const digest = rest === 0 ? last : await this.#hash(room, last, whole * linkRecords + 1, upTo);
    return Buffer.from(digest).toString("hex");
  }

  #linksOf(room: Room): Uint8Array[] {
    let links = this.#links.get(room);
    if (links === undefined) {
      links = [new Uint8Array(32)];
      const oldest = this.#links.keys().next();
      if (this.#links.size >= roomsMax && oldest.done !== true) this.#links.delete(oldest.value);
      this.#links.set(room, links);
    }
    return links;
  }

  async #hash(room: Room, before: Uint8Array, first: number, last: number): Promise<Uint8Array> {
    const hash = createHash("sha256").update(before);
    let next = first;
    while (next <= last) {
      if (next < room.first) {
        throw new Fault("gone", `messages before ${room.first} were removed, and this digest needs ${next}`);
      }
      const wanted = { from: next, to: last, direction: "up", itemsMax: linkRecords, bytesMax: pageBytes } as const;
      const records = await this.#history.page(room, wanted);
      if (records.length === 0 && next >= room.first) {
        throw new Fault("unavailable", `message ${next} of this room can't be read`);
      }
      for (const record of records) addRecord(hash, record);
      next += records.length;
    }
    return hash.digest();
  }
}

function addRecord(hash: Hash, { bytes, offset }: RecordRef): void {
  const kindLength = textLength(bytes, offset, kind);
  const bodyLength = recordBodyLength(bytes, offset);
  const fixed = Buffer.alloc(16);
  fixed.writeBigUInt64BE(BigInt(recordSeq(bytes, offset)), 0);
  fixed.writeBigUInt64BE(BigInt(recordTs(bytes, offset)), 8);
  hash.update(fixed);
  for (const which of [from, cid])
    addText(hash, bytes, textStart(bytes, offset, which), textLength(bytes, offset, which));
  if (kindLength === 0) addText(hash, text, 0, text.length);
  else addText(hash, bytes, textStart(bytes, offset, kind), kindLength);
  const ref = Buffer.alloc(8);
  ref.writeBigUInt64BE(BigInt(recordRef(bytes, offset)));
  hash.update(ref);
  addText(hash, bytes, bodyStart(bytes, offset), bodyLength);
}

const text = new TextEncoder().encode("text");

function addText(hash: Hash, bytes: Uint8Array, start: number, length: number): void {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(length);
  hash.update(size).update(bytes.subarray(start, start + length));
}
