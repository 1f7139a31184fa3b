/** What is where among a room's numbers. `lastEntry`: that of its newest id in the window, and one more; 0 = none is known. */
export const roomNumber = {
  head: 0,
  lastTs: 1,
  floor: 2,
  openFirst: 3,
  openBytes: 4,
  first: 5,
  lastEntry: 6,
} as const;
/** Seven are used; eight make it a line of the cache. */
export const roomNumbers = 8;

/** Bytes of a room's newest id, sender and cid back to back, behind the length of each; a longer one is not kept. */
const idBytes = 64;
const idTextBytes = idBytes - 2;

/**
 * The numbers of all rooms of a group that every message asks for or changes, by the room's place. They lie flat and
 * together: with ten thousand rooms each message is another room's, and whatever else stands in an object of its own is
 * waited for, from memory that no cache holds.
 *
 * Beside them the newest id of each room, which is what the next message of the same sender names as the one before it.
 * It decides nothing: it finds what the window would find.
 */
export class RoomNumbers {
  /** `roomNumbers` for each place. Another array once there are more places. */
  rows: Float64Array;
  #ids: Uint8Array;

  /** For so many places; more are made room for as they begin. */
  constructor(places = 64) {
    this.rows = new Float64Array(places * roomNumbers);
    this.#ids = new Uint8Array(places * idBytes);
  }

  /** A room begins at this place: nothing was said in it. */
  begin(place: number): void {
    if ((place + 1) * roomNumbers > this.rows.length) this.#grow(place + 1);
    this.rows.fill(0, place * roomNumbers, (place + 1) * roomNumbers);
    this.rows[place * roomNumbers + roomNumber.first] = 1;
  }

  /** The room's newest id is this entry of the window; its sender and cid stand at `start`, back to back. */
  noteLast(place: number, entry: number, b: Uint8Array, start: number, fromLength: number, cidLength: number): void {
    const length = fromLength + cidLength;
    if (length > idTextBytes) {
      this.rows[place * roomNumbers + roomNumber.lastEntry] = 0;
      return;
    }
    this.rows[place * roomNumbers + roomNumber.lastEntry] = entry + 1;
    const ids = this.#ids;
    const at = place * idBytes;
    ids[at] = fromLength;
    ids[at + 1] = cidLength;
    for (let i = 0; i < length; i++) ids[at + 2 + i] = b[start + i]!;
  }

  /**
   * The entry of the room's newest id, if that is this sender's with this cid; else -1. Whether the window still holds the
   * entry is for the window to say.
   */
  lastEntry(
    place: number,
    b: Uint8Array,
    fromStart: number,
    fromLength: number,
    cidStart: number,
    cidLength: number,
  ): number {
    const entry = this.rows[place * roomNumbers + roomNumber.lastEntry]! - 1;
    const ids = this.#ids;
    const at = place * idBytes;
    if (entry < 0 || ids[at] !== fromLength || ids[at + 1] !== cidLength) return -1;
    // What differs from one message to the next stands at the end.
    const cid = at + 2 + fromLength;
    for (let i = cidLength - 1; i >= 0; i--) if (ids[cid + i] !== b[cidStart + i]) return -1;
    for (let i = 0; i < fromLength; i++) if (ids[at + 2 + i] !== b[fromStart + i]) return -1;
    return entry;
  }

  #grow(places: number): void {
    let capacity = this.rows.length / roomNumbers;
    while (capacity < places) capacity *= 2;
    const rows = new Float64Array(capacity * roomNumbers);
    rows.set(this.rows);
    this.rows = rows;
    const ids = new Uint8Array(capacity * idBytes);
    ids.set(this.#ids);
    this.#ids = ids;
  }
}
