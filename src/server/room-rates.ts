import type { Limits } from "../base/limits.ts";
import type { Room } from "../rooms/room.ts";
import { msUntil, refilled } from "./token-bucket.ts";

/** Numbers of one room: what may still be sent, and when that was reckoned, in monotonic milliseconds. */
const fields = 2;

/**
 * What everybody together may send into one room through this server: so much a second, and a second's worth at once.
 * Flat, by the room's place: with ten thousand rooms each message asks for another one's, and an object of each would be
 * waited for.
 */
export class RoomRates {
  readonly #perMs: number;
  readonly #most: number;
  /** Whose numbers stand at a place: a room that is given another's begins anew. */
  readonly #rooms: (Room | undefined)[] = [];
  #numbers: Float64Array = new Float64Array(64 * fields);

  constructor(limits: Pick<Limits, "roomSendsPerSecondMax">) {
    this.#perMs = limits.roomSendsPerSecondMax / 1_000;
    this.#most = limits.roomSendsPerSecondMax;
  }

  /** In how many milliseconds one message more may be sent into this room; 0 = now. */
  waitMs(room: Room, now: number): number {
    const at = this.#at(room, now);
    const numbers = this.#numbers;
    const since = now - numbers[at + 1]!;
    if (since > 0) {
      numbers[at] = refilled(numbers[at]!, since, this.#perMs, this.#most);
      numbers[at + 1] = now;
    }
    return msUntil(numbers[at]!, 1, this.#perMs);
  }

  /** Counts one message into this room: after `waitMs` said 0. */
  take(room: Room): void {
    this.#numbers[room.place * fields]! -= 1;
  }

  /** What was taken comes to nothing. */
  giveBack(room: Room): void {
    if (this.#rooms[room.place] === room) this.#numbers[room.place * fields]! += 1;
  }

  #at(room: Room, now: number): number {
    if (this.#rooms[room.place] !== room) this.#begin(room, now);
    return room.place * fields;
  }

  #begin(room: Room, now: number): void {
    const { place } = room;
    if ((place + 1) * fields > this.#numbers.length) {
      let length = this.#numbers.length;
      while (length < (place + 1) * fields) length *= 2;
      const numbers = new Float64Array(length);
      numbers.set(this.#numbers);
      this.#numbers = numbers;
    }
    while (this.#rooms.length <= place) this.#rooms.push(undefined);
    this.#rooms[place] = room;
    this.#numbers[place * fields] = this.#most;
    this.#numbers[place * fields + 1] = now;
  }
}
