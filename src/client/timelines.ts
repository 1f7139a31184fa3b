import type { RoomName } from "../base/ids.ts";
import type { Millis } from "../base/units.ts";
import type { ClientFrame } from "../protocol/schema.ts";
import type { ChatError } from "./outcome.ts";
import type { Reader } from "./reader.ts";
import { Timeline } from "./timeline.ts";

/** Rooms known at once; those that nobody reads are forgotten beyond. */
const timelinesMax = 4_096;

/**
 * The rooms this client knows, and which of their subscriptions there is something to do about.
 *
 * 1. A timeline whose subscription may have to change, is not answered, or waits to be asked for again, is unsettled.
 * 2. One that somebody reads is never forgotten.
 */
export class Timelines {
  readonly #all = new Map<RoomName, Timeline>();
  readonly #unsettled = new Set<Timeline>();
  readonly #wake: () => void;

  /** `wake` is called when something may have to be written. */
  constructor(wake: () => void) {
    this.#wake = wake;
  }

  of(room: RoomName): Timeline {
    let timeline = this.#all.get(room);
    if (timeline === undefined) {
      if (this.#all.size >= timelinesMax) {
        for (const [name, other] of this.#all) if (other.idle) this.#all.delete(name);
      }
      timeline = new Timeline(room);
      this.#all.set(room, timeline);
    }
    return timeline;
  }

  /** What is known of a room, without beginning to know it. */
  known(room: RoomName): Timeline | undefined {
    return this.#all.get(room);
  }

  read(room: RoomName, reader: Reader): void {
    this.of(room).readers.add(reader);
    this.touch(room);
  }

  stopReading(room: RoomName, reader: Reader): void {
    if (this.known(room)?.readers.delete(reader) === true) this.touch(room);
  }

  /** The readers of this room may want something else now. */
  touch(room: RoomName): void {
    const timeline = this.known(room);
    if (timeline === undefined) return;
    this.#unsettled.add(timeline);
    this.#wake();
  }

  /** Adds to `into` what brings the subscriptions in line with the readers. The caller writes all of it. */
  take(now: Millis, nextId: () => number, into: ClientFrame[]): void {
    for (const timeline of this.#unsettled) {
      const frame = timeline.next(now, nextId);
      if (frame !== null) into.push(frame);
      if (timeline.asked === null && timeline.dueAt(now) === Infinity) this.#unsettled.delete(timeline);
    }
  }

  /** `err` to a subscription. Answers how often it failed so far, or null when it is none, or is over. */
  failed(id: number, error: ChatError, now: Millis): number | null {
    for (const timeline of this.#unsettled) {
      if (timeline.asked?.id === id) return timeline.failed(id, error, error.retryable, now);
    }
    return null;
  }

  /** When a subscription that failed may be asked for again; `Infinity`: none did. */
  dueAt(now: Millis): number {
    let due = Infinity;
    for (const timeline of this.#unsettled) due = Math.min(due, timeline.dueAt(now));
    return due;
  }

  /** When the oldest subscription that is not answered was asked for; `Infinity`: all are. */
  oldestAskedAt(): number {
    let oldest = Infinity;
    for (const timeline of this.#unsettled) oldest = Math.min(oldest, timeline.asked?.at ?? Infinity);
    return oldest;
  }

  /** The link is gone. */
  lost(): void {
    for (const timeline of this.#all.values()) {
      timeline.lost();
      if (timeline.readers.size > 0) this.#unsettled.add(timeline);
    }
  }

  /** The cluster is another one: nothing known holds. */
  reset(): void {
    for (const timeline of this.#all.values()) timeline.reset(null);
  }

  clear(): void {
    this.#unsettled.clear();
    this.#all.clear();
  }
}
