import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import { millis } from "../base/units.ts";
import { DigestLink, linkBytes, linkMessages, noDigest } from "../rooms/digest-link.ts";
import type { DigestStep } from "../rooms/kept-digests.ts";
import type { Room } from "../rooms/room.ts";
import type { History } from "./history.ts";
import { HistoryDamaged } from "./history-damaged.ts";

const pageBytes = 1 << 18;
/** Rooms whose links are kept in memory. */
const roomsMax = 256;

/** A place in the chain from which hashing goes on. */
interface Start {
  readonly link: DigestLink;
  /** The next message that goes into it. */
  readonly next: number;
}

/**
 * What a room's history amounts to: a chain of hashes over its messages, equal on all servers for equal `upto`, so that
 * two servers are compared by 32 bytes.
 *
 * c₀ = 32 zero bytes; cₖ = SHA-256(cₖ₋₁ ‖ records of seqs 1024(k−1)+1 … 1024k); digest(upto) = cₖ where upto = 1024k,
 * else SHA-256(cₖ ‖ the remaining records). What a record is made of, rooms/digest-link.ts says.
 *
 * The links of what was removed are in the room's state (rooms/kept-digests.ts). Others that were computed are kept in
 * memory, so that asking again costs only what is new.
 */
export class Digests {
  readonly #history: History;
  readonly #clock: Clock;
  readonly #links = new Map<Room, Uint8Array[]>();
  #isStopped = false;

  constructor(history: History, clock: Clock) {
    this.#history = history;
    this.#clock = clock;
  }

  /** Whatever is being computed ends at its next page. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Hex. Rejects with `gone` when it needs messages that were removed. */
  async of(room: Room, upTo: number): Promise<string> {
    const links = this.#linksOf(room);
    const whole = Math.floor(upTo / linkMessages);
    while (links.length - 1 < whole) {
      const k = links.length;
      const link = await this.#through(
        room,
        this.#start(room, links[k - 1]!, k - 1, linkMessages * k),
        linkMessages * k,
      );
      // Somebody else may have asked meanwhile.
      if (links.length === k) links.push(link.end());
    }
    if (upTo === whole * linkMessages) return hexOf(links[whole]!);
    const start = this.#start(room, links[whole]!, whole, upTo);
    return hexOf((await this.#through(room, start, upTo)).end());
  }

  /**
   * What a trim through `through` must bring, so that digests outlive the messages. null when it can't be told, because
   * messages before were lost: then there will be none. Rejects with a Fault when it can't be told now.
   */
  async step(room: Room, through: number): Promise<DigestStep | null> {
    const { through: base, saved } = room.digests;
    if (room.first > base + 1) return null;
    const links: Uint8Array[] = [];
    let link = base === 0 ? DigestLink.behind(noDigest) : DigestLink.resume(saved);
    try {
      for (let next = base + 1; next <= through; ) {
        const end = Math.min(through, Math.ceil(next / linkMessages) * linkMessages);
        await this.#through(room, { link, next }, end);
        next = end + 1;
        if (end % linkMessages !== 0) continue;
        const whole = link.end();
        links.push(whole);
        link = DigestLink.behind(whole);
      }
    } catch (cause) {
      if (cause instanceof HistoryDamaged) return null;
      throw cause;
    }
    const joined = new Uint8Array(links.length * linkBytes);
    links.forEach((each, i) => {
      joined.set(each, i * linkBytes);
    });
    return { base, links: joined, saved: link.save() };
  }

  /** Where to go on behind the link `before`, the k-th, up to `last`: from what is kept half-way where it helps. */
  #start(room: Room, before: Uint8Array, k: number, last: number): Start {
    const { through, saved } = room.digests;
    if (through <= k * linkMessages) return { link: DigestLink.behind(before), next: k * linkMessages + 1 };
    if (through <= last) return { link: DigestLink.resume(saved), next: through + 1 };
    throw gone(room, k * linkMessages + 1);
  }

  #linksOf(room: Room): Uint8Array[] {
    let links = this.#links.get(room);
    if (links === undefined) {
      links = [noDigest];
      const oldest = this.#links.keys().next();
      if (this.#links.size >= roomsMax && oldest.done !== true) this.#links.delete(oldest.value);
      this.#links.set(room, links);
    }
    const kept = room.digests.links;
    for (let k = links.length; k * linkBytes <= kept.length; k++) {
      links.push(kept.subarray((k - 1) * linkBytes, k * linkBytes));
    }
    return links;
  }

  async #through(room: Room, start: Start, last: number): Promise<DigestLink> {
    const { link } = start;
    let { next } = start;
    while (next <= last) {
      if (this.#isStopped) throw new Fault("unavailable", "this server is stopping", { definite: true });
      if (next < room.first) throw gone(room, next);
      const wanted = { from: next, to: last, direction: "up", itemsMax: linkMessages, bytesMax: pageBytes } as const;
      const records = await this.#history.page(room, wanted);
      // What was removed meanwhile is told by the next look at `first`.
      if (records.length === 0 && next >= room.first) {
        throw new Fault("unavailable", `message ${next} of this room can't be read`);
      }
      for (const { seq, bytes, offset } of records) {
        if (seq !== next) throw gone(room, next);
        link.add(bytes, offset);
        next++;
      }
      // A page that comes from memory gives nobody else a turn.
      await new Promise<void>((resolve) => {
        this.#clock.after(millis(0), resolve);
      });
    }
    return link;
  }
}

function gone(room: Room, needed: number): Fault {
  const { first, digests } = room;
  // Removed when they could not be read, or said while their room was being deleted.
  if (digests.through + 1 < first) {
    const lost = `${digests.through + 1} to ${first - 1}`;
    return new Fault("gone", `messages ${lost} were removed without their digests: from there on this room has none`);
  }
  return new Fault("gone", `messages before ${first} were removed, and this digest needs ${needed}`);
}

function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
