import type { RoomName } from "../../base/ids.ts";
import type { Room } from "../../client/room.ts";

/**
 * Read marks on their way to the server: of each room one at a time, and behind it the furthest that was seen meanwhile.
 * What was seen for a moment is marked too, when the reader has gone elsewhere by then.
 */
export class ReadMarks {
  readonly #done: (name: RoomName, upTo: number) => void;
  readonly #wanted = new Map<RoomName, number>();

  /** `done` is told of every mark that the server has. */
  constructor(done: (name: RoomName, upTo: number) => void) {
    this.#done = done;
  }

  /** Up to here the room will be marked as read, or 0. */
  underWay(name: RoomName): number {
    return this.#wanted.get(name) ?? 0;
  }

  /** Everything up to here was seen. */
  mark(room: Room, upTo: number): void {
    const wanted = this.#wanted.get(room.name);
    if (wanted !== undefined && wanted >= upTo) return;
    this.#wanted.set(room.name, upTo);
    if (wanted === undefined) this.#send(room, upTo);
  }

  #send(room: Room, upTo: number): void {
    room.markRead(upTo).then(
      () => {
        const wanted = this.#wanted.get(room.name)!;
        if (wanted > upTo) this.#send(room, wanted);
        else this.#wanted.delete(room.name);
        this.#done(room.name, upTo);
      },
      () => {
        // Not marked: the next look marks it, and until then it counts as unread.
        this.#wanted.delete(room.name);
      },
    );
  }
}
