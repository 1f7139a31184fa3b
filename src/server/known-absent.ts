import type { Room } from "../rooms/room.ts";

/** Of nothing under way it says nothing. */
const unbounded = Number.MAX_SAFE_INTEGER;

/**
 * Up to which seq of each room the ids of one sender's undecided posts are known to be absent: the lowest of them.
 *
 * `apply` sends a post back when the id window has passed that seq. What is sent behind it without `prev` must then come
 * back as well, or it would be stored first; so it may know no more than those before it. All is forgotten once nothing is
 * under way. Most senders write in one room at a time: only a second room makes a map.
 */
export class KnownAbsent {
  /** Undefined for a room that state did not have: it may be any. */
  #room: Room | undefined;
  #lowest = unbounded;
  #others: Map<Room | undefined, number> | null = null;

  /** Nothing is under way any more. */
  clear(): void {
    this.#room = undefined;
    this.#lowest = unbounded;
    this.#others = null;
  }

  /** A post in this room is under way, whose id is known to be absent up to `seq`. */
  add(room: Room | undefined, seq: number): void {
    if (this.#lowest === unbounded) this.#room = room;
    if (room === this.#room) {
      if (seq < this.#lowest) this.#lowest = seq;
      return;
    }
    const others = (this.#others ??= new Map<Room | undefined, number>());
    if (seq < (others.get(room) ?? unbounded)) others.set(room, seq);
  }

  /** The most that may be claimed for the next post in this room. */
  of(room: Room | undefined): number {
    const first = room === this.#room || this.#room === undefined ? this.#lowest : unbounded;
    if (this.#others === null) return first;
    return Math.min(first, this.#others.get(room) ?? unbounded, this.#others.get(undefined) ?? unbounded);
  }
}
