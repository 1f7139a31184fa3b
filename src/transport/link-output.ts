import { assert } from "../base/assert.ts";
import { getU48, putU48 } from "../base/byte-order.ts";
import type { Millis } from "../base/units.ts";
import type { BulkThrottle } from "./bulk-throttle.ts";
import { bytesOf, FrameQueue, type OutgoingFrame } from "./frame-queue.ts";
import type { LinkLimits } from "./link-limits.ts";
import { OutputBatch } from "./output-batch.ts";
import { flagPassedOn, frameTypes, type Lane, linkFrame } from "./peer-frame.ts";

/** Frames that a link had taken and that its other side did not say to have read. */
export interface LostFrames {
  /** How many; some may have arrived. */
  readonly control: number;
  /** Their tags, in order; some of the first may have arrived. */
  readonly append: readonly number[];
  readonly bulk: readonly number[];
}

/** Frames read on this link since it stands, by lane: what the other side is told as credit. */
export interface ReadCounts {
  control: number;
  append: number;
  bulk: number;
}

/** The tag of frames that are passed on for or by another server: their loss is not told. */
export const untold = -1;

/** `replaced`: taken, and an older frame of the same kind and subject that still waited was dropped for it. */
export type Offer = "taken" | "replaced" | "full";

/**
 * What one link sends: three lanes, and which of them goes next.
 *
 * 1. control goes before appends, appends before bulk; but after `appendBytesPerBulkFrame` a waiting bulk frame goes
 * 2. each lane keeps its order
 * 3. what waits and what is sent and unconfirmed is bounded in bytes and frames, lane by lane
 * 4. every frame taken is confirmed, replaced, or told as lost; but for those passed on for or by another server
 *
 * ```
 * credit frame    u48 control, u48 append, u48 bulk: frames read since the link stands
 * ```
 */
export class LinkOutput {
  readonly #limits: LinkLimits;
  readonly #throttle: BulkThrottle;
  readonly #control = new FrameQueue();
  readonly #append = new FrameQueue();
  readonly #bulk = new FrameQueue();
  readonly #batch = new OutputBatch();
  /** Place in the queue of the frame that waits, by kind and subject. */
  readonly #newest = new Map<number, number>();
  readonly #confirmed: ReadCounts = { control: 0, append: 0, bulk: 0 };
  readonly #read: ReadCounts = { control: 0, append: 0, bulk: 0 };
  readonly #told: ReadCounts = { control: 0, append: 0, bulk: 0 };
  #readBytesUntold = 0;
  #appendBytesSinceBulk = 0;
  #relayedBytes = 0;
  /** Lanes that refused a frame and have not said since that there is room. */
  readonly #refused = new Set<Lane>();

  constructor(limits: LinkLimits, throttle: BulkThrottle) {
    this.#limits = limits;
    this.#throttle = throttle;
  }

  /** Something waits, in whatever lane. */
  get hasWaiting(): boolean {
    return this.#control.waiting + this.#append.waiting + this.#bulk.waiting > 0;
  }

  /** Bytes held here for the other side, those that wait for it to have read them not counted. */
  get waitingBytes(): number {
    return this.#control.waitingBytes + this.#append.waitingBytes + this.#bulk.waitingBytes;
  }

  get unconfirmedBytes(): number {
    return this.#control.unconfirmedBytes + this.#append.unconfirmedBytes + this.#bulk.unconfirmedBytes;
  }

  /**
   * Takes a control frame. With a subject it replaces one of the same kind and subject that still waits: the newest wins.
   * Without, it is kept beside the others.
   */
  offerControl(frame: OutgoingFrame, subject: number | null): Offer {
    const key = subject === null ? null : frame.kind * 0x1_0000_0000 + subject;
    const place = key === null ? undefined : this.#newest.get(key);
    if (place !== undefined) {
      this.#control.replace(place, frame);
      return "replaced";
    }
    const { controlQueueFramesMax, controlQueueBytesMax } = this.#limits;
    if (!push(this.#control, frame, controlQueueFramesMax, controlQueueBytesMax)) return this.#refuse("control");
    if (key !== null) this.#newest.set(key, this.#control.lastPlace);
    return "taken";
  }

  offerAppend(frame: OutgoingFrame): Offer {
    const { appendQueueFramesMax, appendQueueBytesMax } = this.#limits;
    return push(this.#append, frame, appendQueueFramesMax, appendQueueBytesMax) ? "taken" : this.#refuse("append");
  }

  offerBulk(frame: OutgoingFrame): Offer {
    const { bulkQueueFramesMax, bulkQueueBytesMax } = this.#limits;
    return push(this.#bulk, frame, bulkQueueFramesMax, bulkQueueBytesMax) ? "taken" : this.#refuse("bulk");
  }

  /** Takes another server's frame, on its way to the other side. Those have a bound of their own; false: it is dropped. */
  offerRelayed(lane: "control" | "append", frame: OutgoingFrame): boolean {
    const { relayedQueueBytesMax, controlQueueFramesMax, controlQueueBytesMax } = this.#limits;
    const { appendQueueFramesMax, appendQueueBytesMax } = this.#limits;
    if (this.#relayedBytes + bytesOf(frame) > relayedQueueBytesMax) return false;
    const isTaken =
      lane === "control"
        ? push(this.#control, frame, controlQueueFramesMax, controlQueueBytesMax)
        : push(this.#append, frame, appendQueueFramesMax, appendQueueBytesMax);
    if (isTaken) this.#relayedBytes += bytesOf(frame);
    return isTaken;
  }

  /** A frame of the other side was read. Answers whether it should be told soon. */
  read(lane: Lane, bytes: number): boolean {
    this.#read[lane]++;
    this.#readBytesUntold += bytes;
    const { bulkWindowBytes, controlQueueFramesMax, appendQueueFramesMax, bulkQueueFramesMax } = this.#limits;
    return (
      // A quarter of the smallest window, so that none runs dry.
      this.#readBytesUntold * 4 >= bulkWindowBytes ||
      (this.#read.control - this.#told.control) * 4 >= controlQueueFramesMax ||
      (this.#read.append - this.#told.append) * 4 >= appendQueueFramesMax ||
      (this.#read.bulk - this.#told.bulk) * 4 >= bulkQueueFramesMax
    );
  }

  /** The other side has not been told of all that was read here. */
  get owesCredit(): boolean {
    const { control, append, bulk } = this.#read;
    return control !== this.#told.control || append !== this.#told.append || bulk !== this.#told.bulk;
  }

  /** What the other side says to have read. False: it can't have, the link is to end. */
  credited(payload: Uint8Array): boolean {
    if (payload.length < 18) return false;
    const counts = { control: getU48(payload, 0), append: getU48(payload, 6), bulk: getU48(payload, 12) };
    for (const lane of lanes) {
      const more = counts[lane] - this.#confirmed[lane];
      if (more < 0 || more > this.#queue(lane).unconfirmed) return false;
    }
    for (const lane of lanes) {
      this.#queue(lane).confirm(counts[lane] - this.#confirmed[lane]);
      this.#confirmed[lane] = counts[lane];
    }
    return true;
  }

  /**
   * What is to be written now, as one write; empty when nothing may. `bufferedBytes` is what the socket has not taken.
   * Control goes while the socket holds less than twice its bound, the others while it holds less than the bound.
   */
  take(now: Millis, bufferedBytes: number): Uint8Array[] {
    const batch = this.#batch;
    const budget = this.#limits.socketQueueBytesMax - bufferedBytes;
    const controlBudget = budget + this.#limits.socketQueueBytesMax;
    if (controlBudget > 0 && this.owesCredit) batch.addWhole(this.#creditFrame());
    while (batch.bytes < controlBudget && this.#takeControl()) continue;
    // Every place in #newest is before what is sent now or among what waits; an empty queue has no places.
    if (this.#control.waiting === 0) this.#newest.clear();
    else if (batch.bytes > 0) this.#forgetSent();
    while (batch.bytes < budget) {
      const isBulkTurn = this.#appendBytesSinceBulk >= this.#limits.appendBytesPerBulkFrame;
      if (isBulkTurn && this.#takeBulk(now)) continue;
      if (this.#takeAppend()) continue;
      if (!isBulkTurn && this.#takeBulk(now)) continue;
      break;
    }
    return batch.done();
  }

  /** Lanes that had refused a frame and are half empty again; each is told once. */
  roomAgain(): Lane[] {
    if (this.#refused.size === 0) return [];
    const { controlQueueFramesMax, appendQueueFramesMax, bulkQueueFramesMax } = this.#limits;
    const { controlQueueBytesMax, appendQueueBytesMax, bulkQueueBytesMax } = this.#limits;
    const hasRoom = {
      control: isHalfEmpty(this.#control, controlQueueFramesMax, controlQueueBytesMax),
      append: isHalfEmpty(this.#append, appendQueueFramesMax, appendQueueBytesMax),
      bulk: isHalfEmpty(this.#bulk, bulkQueueFramesMax, bulkQueueBytesMax),
    };
    const again = lanes.filter((lane) => this.#refused.has(lane) && hasRoom[lane]);
    for (const lane of again) this.#refused.delete(lane);
    return again;
  }

  /** What the other side did not confirm. Asked once, when the link is gone. */
  lost(): LostFrames {
    return {
      control: this.#control.waiting + this.#control.unconfirmed,
      append: this.#append.tags().filter((tag) => tag !== untold),
      bulk: this.#bulk.tags(),
    };
  }

  #takeControl(): boolean {
    const frame = this.#control.peek();
    if (frame === null || this.#control.unconfirmed >= this.#limits.controlQueueFramesMax) return false;
    this.#control.sent();
    this.#left(frame);
    this.#batch.add(frameTypes.control, frame);
    return true;
  }

  #takeAppend(): boolean {
    const frame = this.#append.peek();
    if (frame === null || this.#append.unconfirmed >= this.#limits.appendQueueFramesMax) return false;
    if (this.#append.unconfirmedBytes + bytesOf(frame) > this.#limits.appendWindowBytes) return false;
    this.#append.sent();
    this.#left(frame);
    this.#batch.add(frameTypes.append, frame);
    if (this.#bulk.waiting > 0) this.#appendBytesSinceBulk += bytesOf(frame);
    return true;
  }

  #takeBulk(now: Millis): boolean {
    const frame = this.#bulk.peek();
    if (frame === null || this.#bulk.unconfirmed >= this.#limits.bulkQueueFramesMax) return false;
    if (this.#bulk.unconfirmedBytes + bytesOf(frame) > this.#limits.bulkWindowBytes) return false;
    if (!this.#throttle.grant(now, bytesOf(frame))) return false;
    this.#bulk.sent();
    this.#batch.add(frameTypes.bulk, frame);
    this.#appendBytesSinceBulk = 0;
    return true;
  }

  #left(frame: OutgoingFrame): void {
    if ((frame.flags & flagPassedOn) !== 0) this.#relayedBytes -= bytesOf(frame);
    assert(this.#relayedBytes >= 0, "more relayed bytes left than came");
  }

  /** Places of frames that are gone must not be replaced. Rare: only when control could not be sent whole. */
  #forgetSent(): void {
    const first = this.#control.lastPlace - this.#control.waiting + 1;
    for (const [key, place] of this.#newest) {
      if (place < first) this.#newest.delete(key);
    }
  }

  #creditFrame(): Uint8Array {
    const payload = new Uint8Array(18);
    lanes.forEach((lane, at) => {
      putU48(payload, at * 6, this.#read[lane]);
      this.#told[lane] = this.#read[lane];
    });
    this.#readBytesUntold = 0;
    return linkFrame(frameTypes.credit, payload);
  }

  #refuse(lane: Lane): "full" {
    this.#refused.add(lane);
    return "full";
  }

  #queue(lane: Lane): FrameQueue {
    if (lane === "control") return this.#control;
    return lane === "append" ? this.#append : this.#bulk;
  }
}

const lanes: readonly Lane[] = ["control", "append", "bulk"];

function push(queue: FrameQueue, frame: OutgoingFrame, framesMax: number, bytesMax: number): boolean {
  if (queue.waiting >= framesMax || queue.waitingBytes + bytesOf(frame) > bytesMax) return false;
  queue.push(frame);
  return true;
}

function isHalfEmpty(queue: FrameQueue, framesMax: number, bytesMax: number): boolean {
  return queue.waiting * 2 <= framesMax && queue.waitingBytes * 2 <= bytesMax;
}
