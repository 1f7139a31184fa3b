import type { Room } from "../rooms/room.ts";
import { MemoryIds } from "./history.ts";
import { RecentRing } from "./recent-ring.ts";
import type { Subscription } from "./subscription.ts";
import { type Place, RoomTail } from "./tail.ts";

/** In rooms with more members or more readers, who is there is only counted, and of marks and typing nobody else hears. */
export const personalMax = 100;

/** Whether so many people would hear of each other's marks and typing that nobody but their own devices does. */
export const isCrowd = (room: Room, readers: number): boolean =>
  room.members.size > personalMax || readers > personalMax;

/**
 * What this server keeps about a room besides its replicated state: the newest messages, where the unsealed ones stand
 * in memory, and who listens.
 *
 * 1. announced <= ring.savePoint: live subscribers have exactly the messages up to `announced`
 */
export class LiveRoom {
  readonly room: Room;
  readonly ring: RecentRing;
  readonly tail = new RoomTail();
  readonly subscriptions: Subscription[] = [];
  /** Up to here live subscribers have been served. */
  announced: number;
  /** Set while messages wait to be announced. */
  isDirty = false;
  /** Those who wait for a free slot of the ring, oldest first; null: nobody, as every message asks. */
  waiting: (() => void)[] | null = null;
  #ids: MemoryIds | null = null;
  /** When it was last used, in turns of the memory's sweep: quiet rings go first when memory is short. */
  usedAt = 0;

  constructor(room: Room, ringSlots: number, head: number) {
    this.room = room;
    this.ring = new RecentRing(ringSlots, head);
    this.announced = head;
  }

  /** Points `place` at a message that is in memory; false when it is in a chunk only, or nowhere. */
  find(seq: number, place: Place): boolean {
    return this.tail.find(seq, place) || this.ring.find(seq, place);
  }

  /** The lowest seq from which on every message is in memory; head + 1 when none is. */
  get memoryFirst(): number {
    return (this.tail.first ?? this.ring.savePoint + 1) - this.ring.kept;
  }

  /** The ids of its messages in memory. Made when somebody asks: few rooms are asked. */
  get ids(): MemoryIds {
    return (this.#ids ??= new MemoryIds());
  }

  /** Part of memory was let go, so the ids are those of other messages now. */
  forgetIds(): void {
    this.#ids = null;
  }
}
