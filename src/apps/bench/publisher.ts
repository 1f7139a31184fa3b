import { assert } from "../../base/assert.ts";
import type { ErrorCount } from "./error-count.ts";
import type { PublishJob } from "./job.ts";
import type { LatencyHistogram } from "./latency-histogram.ts";
import type { Welcome } from "./wires/synod-greeting.ts";
import type { AnswerSink } from "./wires/wire.ts";

/** What the publishers of one load count together. */
export interface PublishMeter {
  readonly ack: LatencyHistogram;
  readonly errors: ErrorCount;
  /** Requests are recorded from here on, to there. Infinity before the start. */
  readonly measureFrom: number;
  readonly measureTo: number;
  readonly sending: boolean;
  acked: number;
  ackedInAll: number;
}

export interface PublisherPlace {
  readonly meter: PublishMeter;
  readonly job: PublishJob;
  /** Among the publishers of this process. */
  readonly place: number;
}

/**
 * One who publishes: which number is to be sent when, and which have their answer. How they are sent is said by those
 * who extend it.
 *
 * 1. outstanding <= window
 * 2. A number is answered once.
 */
export abstract class Publisher implements AnswerSink {
  protected readonly meter: PublishMeter;
  /** The next number, from 1 on. */
  protected next = 1;
  /** When answers that are being read were there. */
  protected answeredAt = 0;
  /** Nothing can be answered any more. */
  protected gone = false;
  private readonly window: number;
  private outstanding = 0;
  /** Milliseconds between two arrivals at this publisher and the first one's place; `null` in a closed loop. */
  private readonly arrivals: { readonly everyMs: number; readonly firstMs: number } | null;
  private startAt = 0;
  /** The lowest number that has no answer yet. */
  private oldest = 1;
  /** The last number that is to be sent. */
  private readonly last: number;
  /** When each outstanding number was sent, or was due; 0 when it has its answer. A ring. */
  private readonly sentAt: Float64Array;
  private readonly mask: number;

  constructor({ meter, job, place }: PublisherPlace) {
    this.meter = meter;
    this.window = job.window;
    this.last = (job.messages ?? null) === null ? Infinity : Math.ceil((job.messages ?? 0) / job.clientsInAll);
    const rate = job.ratePerSecond;
    this.arrivals = rate === null ? null : { everyMs: (1000 / rate) * job.clients, firstMs: (1000 / rate) * place };
    // Answers may come in another order; the ring has room for as many numbers again as the window.
    const slots = 2 ** Math.ceil(Math.log2(job.window * 2 + 2));
    this.sentAt = new Float64Array(slots);
    this.mask = slots - 1;
  }

  /** What the server said of itself, where it is Synod. */
  abstract get welcome(): Welcome | null;
  /** Sends all that the window and the arrivals allow now. */
  abstract send(now: number): void;
  protected abstract close(): void;

  /** Requests without an answer, those included that were due and found no room in the window. */
  unanswered(): number {
    let waiting = 0;
    if (this.arrivals !== null) while (this.dueAt(this.next + waiting) < this.meter.measureTo) waiting += 1;
    return this.outstanding + waiting;
  }

  /** All that was to be sent has its answer. */
  get isDone(): boolean {
    return this.gone || this.oldest > this.last;
  }

  /** Whether waiting can bring an answer. */
  mayBeAnswered(): boolean {
    return !this.gone && this.unanswered() > 0;
  }

  start(at: number): void {
    this.startAt = at;
    this.send(at);
  }

  end(): void {
    this.close();
    assert(this.outstanding >= 0, "no number is answered twice");
  }

  acknowledged(number: number): void {
    const sentAt = this.settle(number);
    if (sentAt === 0) return;
    const { meter } = this;
    meter.ackedInAll += 1;
    // An open loop counts by when a message was due: its slow ones must not fall out at the end.
    const countedAt = this.arrivals === null ? this.answeredAt : sentAt;
    if (countedAt < meter.measureFrom || countedAt >= meter.measureTo) return;
    meter.acked += 1;
    meter.ack.recordMs(this.answeredAt - sentAt, 1);
  }

  refused(number: number, why: string): void {
    if (number !== 0) this.settle(number);
    this.meter.errors.add(why);
  }

  /** When `this.next` is to be sent if it may be now, for the latency counts from there; 0 if it may not. */
  protected mayBeSent(now: number): number {
    if (this.outstanding >= this.window || this.next - this.oldest > this.mask || this.next > this.last) return 0;
    if (this.arrivals === null) return now;
    const dueAt = this.dueAt(this.next);
    return dueAt > now || dueAt >= this.meter.measureTo ? 0 : dueAt;
  }

  /** `this.next` is on its way. */
  protected sent(sentAt: number): void {
    this.sentAt[this.next & this.mask] = sentAt;
    this.next += 1;
    this.outstanding += 1;
  }

  /** Open loop: when this number is to be sent, on a grid of whole milliseconds after the start. */
  private dueAt(number: number): number {
    if (this.arrivals === null) return 0;
    return this.startAt + Math.ceil(this.arrivals.firstMs + (number - 1) * this.arrivals.everyMs);
  }

  /** When this number was sent; 0, and an error, when no answer was expected. */
  private settle(number: number): number {
    const slot = number & this.mask;
    const sentAt = number >= this.oldest && number < this.next ? this.sentAt[slot]! : 0;
    if (sentAt === 0) {
      this.meter.errors.add(`an answer to ${number}, which was not open`);
      return 0;
    }
    this.sentAt[slot] = 0;
    this.outstanding -= 1;
    while (this.oldest < this.next && this.sentAt[this.oldest & this.mask] === 0) this.oldest += 1;
    return sentAt;
  }
}
