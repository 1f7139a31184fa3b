import type { Limits } from "../base/limits.ts";
import type { Room } from "../rooms/room.ts";
import { TokenBucket } from "./token-bucket.ts";

/** What everybody together may send into one room through this server: so much a second, and a second's worth at once. */
export class RoomRates {
  readonly #perSecond: number;
  readonly #buckets = new WeakMap<Room, TokenBucket>();

  constructor(limits: Pick<Limits, "roomSendsPerSecondMax">) {
    this.#perSecond = limits.roomSendsPerSecondMax;
  }

  /** The bucket of a room, as long as the room is known. */
  of(room: Room, now: number): TokenBucket {
    let bucket = this.#buckets.get(room);
    if (bucket === undefined) {
      bucket = new TokenBucket(this.#perSecond, this.#perSecond, now);
      this.#buckets.set(room, bucket);
    }
    return bucket;
  }
}
