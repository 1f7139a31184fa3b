import { AssertionFailure } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import { millis } from "../base/units.ts";
import { messageRanges } from "../protocol/message-bytes.ts";
import type { RoomName, UserName } from "../base/ids.ts";
import { recordLength } from "../rooms/message-record.ts";
import { type WireFormat, wireFormats } from "./client-link.ts";
import { type FrameWriter, rangesOf } from "./frame-writer.ts";
import type { History, RecordRef } from "./history.ts";
import { HistoryDamaged } from "./history-damaged.ts";
import type { LiveRoom } from "./live-room.ts";
import type { Session } from "./session.ts";
import type { Subscription } from "./subscription.ts";
import { nowhere } from "./tail.ts";

/** When committed messages go out to live subscribers. Both 0: at the end of the turn that committed them. */
export interface PushSettings {
  /** At the latest this long after the first of them was committed, in milliseconds. */
  readonly afterMs: number;
  /** At the latest when this many wait; 0 = no such bound. */
  readonly afterCount: number;
}

/** Bytes of one step of catching up: enough for a large write, little enough to stop at a full queue. */
const stepBytes = 32 * 1024;
const stepItems = 256;

/** Sessions that hear of a user's direct rooms. */
export interface OnlineUsers {
  sessionsOf(user: UserName): readonly Session[];
  knowsDirectRoom(user: UserName, room: RoomName): boolean;
}

/**
 * Brings committed messages to subscribers. A message's frame is built once for each format that somebody reads, and the
 * same bytes go to every socket; what a socket gets in one turn goes out in one write.
 *
 * A reader whose queue is full is paused: nothing is buffered for it beyond its bound, and it goes on from its position
 * once it has taken what was queued. Nobody is skipped silently.
 */
export class FanOut {
  readonly #clock: Clock;
  readonly #writer: FrameWriter;
  readonly #history: History;
  readonly #online: OnlineUsers;
  readonly #push: PushSettings;
  readonly #announced: () => void;
  readonly #ranges = messageRanges();
  readonly #place = nowhere();
  #dirty: LiveRoom[] = [];
  #waiting = 0;
  #timer: { cancel(): void } | null = null;
  readonly #touched = new Set<Session>();
  /** One of those; null when there is none. */
  #lastTouched: Session | null = null;
  #flushing = false;
  /** Messages handed to sockets, for metrics. */
  delivered = 0;
  /** Times a reader was paused, for metrics. */
  paused = 0;

  constructor(options: {
    clock: Clock;
    writer: FrameWriter;
    history: History;
    online: OnlineUsers;
    push: PushSettings;
    /** Everything that was committed so far was handed to whoever reads it. */
    announced: () => void;
  }) {
    this.#clock = options.clock;
    this.#writer = options.writer;
    this.#history = options.history;
    this.#online = options.online;
    this.#push = options.push;
    this.#announced = options.announced;
  }

  /** A room has new committed messages. Called once per room until they are announced. */
  stored(live: LiveRoom): void {
    this.#dirty.push(live);
  }

  /** A session has something to write: it is written at the end of this turn, with all others. */
  touched(session: Session): void {
    // Answers come in runs for one session.
    if (session === this.#lastTouched) return;
    this.#lastTouched = session;
    this.#touched.add(session);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#clock.defer(() => {
      this.#flushing = false;
      this.flush();
    });
  }

  /** The end of a turn: announce what is due, and write everything that is queued. */
  turnEnded(): void {
    if (this.#dirty.length > 0 && this.#isDue()) this.#announceAll();
    this.flush();
  }

  /** Writes what sessions have queued. */
  flush(): void {
    let isTaken = true;
    for (const session of this.#touched) {
      session.flush();
      if (session.link.queuedBytes() > 0) isTaken = false;
    }
    this.#touched.clear();
    this.#lastTouched = null;
    // As a rule the system has copied everything by now, and the same memory serves again.
    if (isTaken) this.#writer.reuse();
    else this.#writer.renew();
  }

  /** Announces everything at once: the server stops, or a test wants to see it. */
  announceNow(): void {
    this.#announceAll();
    this.flush();
  }

  #isDue(): boolean {
    const { afterMs, afterCount } = this.#push;
    if (afterMs === 0) return true;
    this.#waiting = 0;
    for (const live of this.#dirty) this.#waiting += live.ring.savePoint - live.announced;
    if (afterCount > 0 && this.#waiting >= afterCount) return true;
    this.#timer ??= this.#clock.after(millis(afterMs), () => {
      this.#timer = null;
      this.announceNow();
    });
    return false;
  }

  #announceAll(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const live of dirty) this.#announce(live);
    this.#announced();
  }

  #announce(live: LiveRoom): void {
    const from = live.announced + 1;
    const to = live.ring.savePoint;
    live.isDirty = false;
    live.announced = to;
    // Most rooms are read by nobody right now.
    if (live.subscriptions.length === 0 && !live.room.isDirect) return;
    const shared: (Uint8Array[] | undefined)[] = [];
    // Where pushes wait, what waits may have left memory by now: it is read from its chunk then.
    const isInMemory = from >= live.memoryFirst;
    // From the last to the first: one that ends meanwhile has its place taken by one that was served already.
    for (let i = live.subscriptions.length - 1; i >= 0; i--) {
      const subscription = live.subscriptions[i]!;
      if (subscription.state !== "live") continue;
      const { session } = subscription;
      // It asked for what comes behind a place that is not reached yet.
      if (subscription.next > to) continue;
      if (!isInMemory || subscription.next > from) {
        this.catchUp(subscription);
      } else if (session.isSlow()) {
        this.#pause(subscription);
      } else {
        session.push((shared[formatNumber(session.format)] ??= this.#frames(live, from, to, session.format)));
        subscription.next = to + 1;
        this.delivered += to - from + 1;
        this.touched(session);
      }
    }
    if (live.room.isDirect) this.#announceDirect(live, from, to, shared);
  }

  // Both people's devices get a direct room's messages without having asked for them.
  #announceDirect(live: LiveRoom, from: number, to: number, shared: (Uint8Array[] | undefined)[]): void {
    for (const user of live.room.people) {
      if (!this.#online.knowsDirectRoom(user, live.room.name)) continue;
      for (const session of this.#online.sessionsOf(user)) {
        if (session.subscription(live.room.name) !== undefined) continue;
        if (from < live.memoryFirst) {
          this.catchUp(session.subscribeSilently(live, from));
          continue;
        }
        if (session.isSlow()) {
          this.#pause(session.subscribeSilently(live, from));
          continue;
        }
        session.push((shared[formatNumber(session.format)] ??= this.#frames(live, from, to, session.format)));
        this.delivered += to - from + 1;
        this.touched(session);
      }
    }
  }

  #pause(subscription: Subscription): void {
    subscription.state = "paused";
    this.paused++;
  }

  /** Gives a subscription what it lacks, as far as its socket takes it; live, once it lacks nothing. */
  catchUp(subscription: Subscription): void {
    const { session, live } = subscription;
    while (subscription.state !== "ended" && !subscription.reading) {
      const { room } = live;
      if (!room.mayRead(session.user)) {
        session.endSubscription(subscription, "deleted");
        return;
      }
      if (subscription.next < room.first) {
        const to = Math.max(room.first - 1, subscription.next);
        session.gap(room, subscription.next, to, "retention");
        subscription.next = to + 1;
      }
      if (subscription.next > live.announced) {
        subscription.state = "live";
        if (!subscription.saidCaughtUp) {
          subscription.saidCaughtUp = true;
          session.caughtUp(room, Math.min(subscription.next - 1, live.announced));
        }
        this.touched(session);
        return;
      }
      if (session.hasStepQueued()) {
        this.#pause(subscription);
        this.touched(session);
        return;
      }
      subscription.state = "catchingUp";
      if (!this.#giveFromMemory(subscription)) this.#giveFromChunks(subscription);
      this.touched(session);
    }
  }

  #giveFromMemory(subscription: Subscription): boolean {
    const { session, live } = subscription;
    if (subscription.next < live.memoryFirst) return false;
    const to = this.#endOfStep(live, subscription.next);
    if (to < subscription.next) return false;
    session.give(this.#frames(live, subscription.next, to, session.format));
    this.delivered += to - subscription.next + 1;
    subscription.next = to + 1;
    return true;
  }

  /** The last message of a step that begins at `from`; `from` - 1 when that is not in memory. */
  #endOfStep(live: LiveRoom, from: number): number {
    const last = Math.min(live.announced, from + stepItems - 1);
    let left = stepBytes;
    let seq = from;
    while (seq <= last && left > 0 && live.find(seq, this.#place)) {
      left -= recordLength(this.#place.bytes, this.#place.offset);
      seq++;
    }
    return seq - 1;
  }

  #giveFromChunks(subscription: Subscription): void {
    const { session, live } = subscription;
    const from = subscription.next;
    subscription.reading = true;
    const wanted = { from, to: live.announced, direction: "up", itemsMax: stepItems, bytesMax: stepBytes } as const;
    this.#history
      .page(live.room, wanted)
      .then((records) => {
        subscription.reading = false;
        if (subscription.state === "ended") return;
        if (records.length > 0) {
          session.give(this.#framesOf(records, session.format));
          this.delivered += records.length;
          subscription.next = from + records.length;
        } else if (from >= live.room.first) {
          throw new Fault("unavailable", `message ${from} of this room can't be found`);
        }
        this.catchUp(subscription);
      })
      .catch((cause: unknown) => {
        subscription.reading = false;
        // What is damaged is told, and what comes behind it is given.
        if (cause instanceof HistoryDamaged && subscription.state !== "ended") this.#skip(subscription, cause);
        else session.readingFailed(subscription, cause);
      });
  }

  // From where the reader is: what a page has before the damage was given first, and retention may have passed it since.
  #skip(subscription: Subscription, { to }: HistoryDamaged): void {
    subscription.session.gap(subscription.live.room, subscription.next, to, "damaged");
    subscription.next = to + 1;
    this.catchUp(subscription);
  }

  /** The frames of some messages that are in memory, in one format. */
  #frames(live: LiveRoom, from: number, to: number, format: WireFormat): Uint8Array[] {
    const region = new Region(this.#writer);
    for (let seq = from; seq <= to; seq++) {
      if (!live.find(seq, this.#place)) throw new AssertionFailure("a message to be announced is not in memory");
      rangesOf(this.#ranges, this.#place.bytes, this.#place.offset);
      this.#writer.message(format, this.#ranges);
      region.after();
    }
    return region.done();
  }

  #framesOf(records: readonly RecordRef[], format: WireFormat): Uint8Array[] {
    const region = new Region(this.#writer);
    for (const record of records) {
      rangesOf(this.#ranges, record.bytes, record.offset);
      this.#writer.message(format, this.#ranges);
      region.after();
    }
    return region.done();
  }
}

const formatNumber = (format: WireFormat): number => wireFormats.indexOf(format);

/** Collects what a writer wrote into as few pieces as there were slabs. */
export class Region {
  readonly #writer: FrameWriter;
  #slab: Uint8Array;
  #start: number;
  #end: number;
  #pieces: Uint8Array[] = [];

  constructor(writer: FrameWriter) {
    this.#writer = writer;
    this.#slab = writer.slab;
    this.#start = writer.at;
    this.#end = writer.at;
  }

  /** Call it behind each frame. */
  after(): void {
    if (this.#writer.slab === this.#slab) {
      this.#end = this.#writer.at;
      return;
    }
    this.#cut();
    this.#slab = this.#writer.slab;
    this.#start = 0;
    this.#end = this.#writer.at;
  }

  done(): Uint8Array[] {
    this.#cut();
    return this.#pieces;
  }

  #cut(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#slab.subarray(this.#start, this.#end));
  }
}
