import type { Line, RoomName, Seq } from "../base/ids.ts";
import { isDirect } from "../protocol/names.ts";
import type { Driver } from "./driver.ts";
import { MessageStream } from "./message-stream.ts";
import type { OutboxStore, SavedPosition } from "./ports.ts";
import { Reader } from "./reader.ts";
import type { TimelineItem } from "./reader.ts";

/**
 * All direct rooms as one stream. A room is known from the list of rooms, from a `room` frame, or from a message; each
 * is then read by a subscription of its own, from the place up to which it was handed out before or, the first time,
 * from the user's read mark.
 */
export interface KnownRoom {
  readonly room: RoomName;
  /** Null when only a message told of the room. */
  readonly line: Line | null;
  readonly head: Seq;
  readonly read: Seq;
}

const heardMax = 1_000;

interface Consumer {
  readonly stream: MessageStream;
  readonly readers: Map<RoomName, Reader>;
}

export class DirectMessages {
  readonly #driver: Driver;
  readonly #store: OutboxStore | null;
  readonly #limits: { readonly itemsMax: number; readonly bodiesMax: number };
  readonly #listRooms: () => Promise<readonly KnownRoom[]>;
  readonly #consumers = new Set<Consumer>();
  readonly #handed = new Map<RoomName, { line: Line; seq: Seq }>();
  /** Rooms that are known by a message alone, and its place, until the list of rooms tells more. */
  readonly #heard = new Map<RoomName, Seq>();
  #saved: readonly SavedPosition[] = [];
  #listing = false;
  #listAgain = false;

  constructor(options: {
    readonly driver: Driver;
    readonly store: OutboxStore | null;
    readonly limits: { readonly itemsMax: number; readonly bodiesMax: number };
    readonly listRooms: () => Promise<readonly KnownRoom[]>;
  }) {
    this.#driver = options.driver;
    this.#store = options.store;
    this.#limits = options.limits;
    this.#listRooms = options.listRooms;
  }

  /** Positions of an earlier life; those of another cluster are left out once it is known which one this is. */
  restore(positions: readonly SavedPosition[]): void {
    this.#saved = positions;
  }

  open(): MessageStream {
    const { timelines } = this.#driver;
    const readers = new Map<RoomName, Reader>();
    const stream = new MessageStream({
      ...this.#limits,
      drained: () => {
        for (const room of readers.keys()) timelines.touch(room);
      },
      handed: (item) => this.#note(item),
      ended: () => {
        this.#consumers.delete(consumer);
        for (const [room, reader] of readers) timelines.stopReading(room, reader);
      },
    });
    const consumer: Consumer = { stream, readers };
    this.#consumers.add(consumer);
    this.refresh();
    return stream;
  }

  /** Asks for the list of rooms, if anybody wants direct messages: after each greeting, and when an unknown room speaks. */
  refresh(): void {
    if (this.#consumers.size === 0) return;
    if (this.#listing) {
      this.#listAgain = true;
      return;
    }
    this.#listing = true;
    this.#listAgain = false;
    this.#listRooms().then(
      (rooms) => {
        this.#listing = false;
        for (const room of rooms) if (isDirect(room.room)) this.learn(room);
        // What is not in the list had no news before its message.
        for (const [room, seq] of this.#heard) this.learn({ room, line: null, head: seq, read: (seq - 1) as Seq });
        this.#heard.clear();
        if (this.#listAgain) this.refresh();
      },
      () => {
        // Not answered in time or refused. The next greeting, or the next message of a room still unknown, asks again.
        this.#listing = false;
      },
    );
  }

  /** A message came from a room that nobody reads. */
  heard(room: RoomName, seq: Seq): void {
    if (this.#consumers.size === 0 || this.#heard.has(room) || this.#heard.size >= heardMax) return;
    this.#heard.set(room, seq);
    this.refresh();
  }

  learn(known: KnownRoom): void {
    const { timelines } = this.#driver;
    if (known.line !== null) timelines.known(known.room)?.learn(known.line, known.head);
    for (const { stream, readers } of this.#consumers) {
      if (readers.has(known.room)) continue;
      const reader = new Reader(this.#startOf(known), stream);
      readers.set(known.room, reader);
      timelines.of(known.room).line ??= known.line;
      timelines.read(known.room, reader);
    }
  }

  #startOf({ room, line, read, head }: KnownRoom): Seq {
    const handed = this.#handed.get(room);
    if (handed !== undefined && handed.line === line) return handed.seq;
    const saved = this.#saved.findLast((position) => position.room === room);
    if (saved !== undefined && saved.cluster === this.#driver.cluster && saved.line === line) return saved.seq;
    return Math.min(read, head) as Seq;
  }

  #note(item: TimelineItem): void {
    const line = this.#driver.timelines.known(item.room)?.line ?? null;
    const cluster = this.#driver.cluster;
    const seq = item.gap === undefined ? item.seq : item.gap.to;
    if (line === null || cluster === null || item.gap?.reason === "reset") return;
    this.#handed.set(item.room, { line, seq });
    // Lost with the page, it is handed out again; nothing depends on it being there.
    this.#store?.savePosition({ cluster, room: item.room, line, seq }).catch(() => undefined);
  }
}
