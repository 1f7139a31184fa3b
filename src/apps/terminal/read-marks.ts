import type { RoomName } from "../../base/ids.ts";

/**
 * Marks what was shown as read. One mark is on its way in each room at a time: who reads fast marks the last of what was
 * read meanwhile. A mark that is not taken is no loss, since the next one says more.
 */
export class ReadMarks {
  readonly #mark: (room: RoomName, seq: number) => Promise<void>;
  /** The last place shown in rooms whose mark is on its way. */
  readonly #upTo = new Map<RoomName, number>();

  constructor(mark: (room: RoomName, seq: number) => Promise<void>) {
    this.#mark = mark;
  }

  shown(room: RoomName, seq: number): void {
    const isMarking = this.#upTo.has(room);
    this.#upTo.set(room, seq);
    if (isMarking) return;
    this.#mark(room, seq).then(
      () => {
        const upTo = this.#upTo.get(room)!;
        this.#upTo.delete(room);
        if (upTo > seq) this.shown(room, upTo);
      },
      () => this.#upTo.delete(room),
    );
  }
}
