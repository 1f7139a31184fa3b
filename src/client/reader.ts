import type { ChatError } from "./outcome.ts";
import type { Line, RoomName, Seq } from "../base/ids.ts";
import type { ServerFrameOf } from "../protocol/schema.ts";

/** A message as it stands in its room. `at` and `copies` are of a mesh. */
export type RoomMessage = Omit<ServerFrameOf<"msg">, "t" | "seq"> & { readonly seq: Seq; readonly gap?: undefined };

/** Messages that cannot be given. */
export interface Gap {
  readonly from: Seq;
  readonly to: Seq;
  /** `reset`: the room has another history; what was read may mean other messages now, and reading starts over. */
  readonly reason: string;
  readonly line: Line | null;
}

/** What a reader gets, in order: a message, or a gap in its place. */
export type TimelineItem = RoomMessage | { readonly room: RoomName; readonly gap: Gap; readonly seq?: undefined };

/** Where items wait for who reads them. Several readers may share one; then they share its bound. */
export interface ItemQueue {
  push(item: TimelineItem, reader: Reader): void;
  /** Holds as much as it may: the next item must not come before something was taken. */
  full(): boolean;
  fail(fault: ChatError): void;
}

/**
 * How far one consumer is in one room.
 *
 * 1. What it pushes is dense: every item begins at position + 1; a gap that begins over is a reset and says so.
 * 2. It pushes nothing while its queue is full; it is asked for again from `position` afterwards.
 */
export class Reader {
  /** The last `seq` pushed; null until the first subscription says where `latest` is. */
  position: Seq | null;
  /** The queue was full: nothing comes until `resume`. */
  paused = false;
  readonly #start: Seq | null;
  readonly #queue: ItemQueue;

  constructor(after: Seq | "latest", queue: ItemQueue) {
    this.position = after === "latest" ? null : after;
    this.#start = this.position === null ? null : (0 as Seq);
    this.#queue = queue;
  }

  /** The message after the last one is taken; every other is not its turn. */
  offer(message: RoomMessage): void {
    if (this.paused || this.position === null || message.seq !== this.position + 1) return;
    this.position = message.seq;
    this.#push(message);
  }

  /** `from` up to `to` cannot be given. */
  offerGap(room: RoomName, gap: Gap): void {
    if (this.paused || this.position === null || gap.to <= this.position || gap.from > this.position + 1) return;
    const from = (this.position + 1) as Seq;
    this.position = gap.to;
    this.#push({ room, gap: { ...gap, from } });
  }

  /** The room may not be read any more; `to` is `from` - 1 where nothing is missing. */
  end(room: RoomName, gap: Gap): void {
    if (this.paused || this.position === null) return;
    const from = (this.position + 1) as Seq;
    this.position = Math.max(this.position, gap.to) as Seq;
    this.#push({ room, gap: { ...gap, from, to: this.position } });
  }

  /** Positions mean nothing any more; starts where it started at first. Comes also to a reader that is paused. */
  reset(room: RoomName, line: Line | null): void {
    if (this.position === null) return;
    const to = this.position;
    this.position = this.#start;
    this.#push({ room, gap: { from: Math.min(1, to) as Seq, to, reason: "reset", line } });
  }

  resume(): void {
    if (this.paused && !this.#queue.full()) this.paused = false;
  }

  fail(fault: ChatError): void {
    this.#queue.fail(fault);
  }

  #push(item: TimelineItem): void {
    this.#queue.push(item, this);
    if (this.#queue.full()) this.paused = true;
  }
}
