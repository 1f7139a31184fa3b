import type { RoomName } from "../../base/ids.ts";
import type { Room } from "../../client/room.ts";
import type { SendWait } from "../../client/outcome.ts";
import type { SentMessage } from "../../client/sent-message.ts";

/** A message of this page, until the room's own order shows it. */
export interface OwnSend {
  readonly sent: SentMessage;
  readonly room: Room;
  /** What came of asking the server whether it is stored. */
  asked: Asked | null;
}

export type Asked =
  | { readonly answer: "pending" }
  | { readonly answer: "absent"; readonly head: number }
  | { readonly answer: "failed" };

/** What passes within this is not worth a word: a busy server asks for patience now and then. */
const lastingMs = 1_000;

export const isLasting = ({ since, retryAt }: SendWait): boolean => Math.max(Date.now(), retryAt) - since >= lastingMs;

/** Failed messages, and unknown ones, of one room that are kept for their sender to look at. */
const endedMax = 200;

/**
 * What this page sends, and what earlier ones left, by room and in the order of sending. A message leaves when the
 * room's order shows it, and a failed or unknown one when its sender takes it away.
 */
export class OwnSends {
  readonly #rooms = new Map<RoomName, OwnSend[]>();
  readonly #known = new WeakSet<SentMessage>();

  add(own: OwnSend): void {
    this.#known.add(own.sent);
    const list = this.of(own.sent.room);
    const ended = list.filter(({ sent }) => sent.state === "refused" || sent.state === "unknown");
    const surplus = ended.length >= endedMax ? ended[0] : undefined;
    this.#rooms.set(own.sent.room, [...list.filter((other) => other !== surplus), own]);
  }

  of(room: RoomName): readonly OwnSend[] {
    return this.#rooms.get(room) ?? [];
  }

  /** Says whether it was ever added, also when it has left since. */
  knows(sent: SentMessage): boolean {
    return this.#known.has(sent);
  }

  /** Takes one away: it is shown elsewhere, or nobody wants to see it. */
  remove(room: RoomName, cid: string): void {
    const list = this.of(room);
    if (!list.some(({ sent }) => sent.cid === cid)) return;
    const left = list.filter(({ sent }) => sent.cid !== cid);
    if (left.length === 0) this.#rooms.delete(room);
    else this.#rooms.set(room, left);
  }

  /** Those that are stored leave: their room shows them by itself, or is not on the page. */
  removeStored(room: RoomName): void {
    for (const { sent } of this.of(room)) if (sent.state === "stored") this.remove(room, sent.cid);
  }

  /** What a server says that keeps messages of any room waiting for longer than a moment; null: nothing does. */
  get wait(): SendWait | null {
    for (const list of this.#rooms.values()) {
      for (const { sent } of list) {
        const { wait } = sent;
        if (wait !== null && isLasting(wait)) return wait;
      }
    }
    return null;
  }

  /** How many have no outcome yet, in all rooms. */
  get waiting(): number {
    let count = 0;
    for (const list of this.#rooms.values()) {
      for (const { sent } of list) if (sent.state === "queued" || sent.state === "sending") count++;
    }
    return count;
  }
}
