import { Fault } from "../base/error-codes.ts";
import { DigestLink, noDigest } from "../rooms/digest-link.ts";
import type { Room } from "../rooms/room.ts";
import type { History } from "./history.ts";

/** Records of one link of the chain. */
const linkRecords = 1_024;
const pageBytes = 1 << 20;
/** Links kept for one room, and rooms kept. */
const roomsMax = 256;

/**
 * What a room's history amounts to: a chain of hashes over its messages, equal on all servers for equal `upto`, so that
 * two servers are compared by 32 bytes.
 *
 * c₀ = 32 zero bytes; cₖ = SHA-256(cₖ₋₁ ‖ records of seqs 1024(k−1)+1 … 1024k); digest(upto) = cₖ where upto = 1024k,
 * else SHA-256(cₖ ‖ the remaining records). What a record is made of, rooms/digest-link.ts says.
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
    return hexOf(digest);
  }

  #linksOf(room: Room): Uint8Array[] {
    let links = this.#links.get(room);
    if (links === undefined) {
      links = [noDigest];
      const oldest = this.#links.keys().next();
      if (this.#links.size >= roomsMax && oldest.done !== true) this.#links.delete(oldest.value);
      this.#links.set(room, links);
    }
    return links;
  }

  async #hash(room: Room, before: Uint8Array, first: number, last: number): Promise<Uint8Array> {
    const link = new DigestLink(before);
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
      for (const { bytes, offset } of records) link.add(bytes, offset);
      next += records.length;
    }
    return link.end();
  }
}

function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
