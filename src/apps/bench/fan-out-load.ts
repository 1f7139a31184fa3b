import { ErrorCount } from "./error-count.ts";
import type { FanOutJob, FanOutResult } from "./job.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { nowMs } from "./load-clock.ts";
import { cpuSecondsOf } from "./process-usage.ts";
import { SdkFanOut } from "./sdk-fan-out.ts";
import { WireFanOut } from "./wire-fan-out.ts";

/** Connections that are being opened at the same time. */
const openingAtOnce = 100;

/** One publisher and its readers, as the load sees them. */
export interface FanOutClients {
  /** Opens reader `place`; from then on the load hears of what it gets. */
  openReader(place: number): Promise<void>;
  /** Opens the publisher, last of all. Settles when everything published from now on reaches every reader. */
  openPublisher(): Promise<void>;
  /** Publishes `count` messages from number `first` on. */
  publish(first: number, count: number, now: number): void;
  end(): void;
}

/** What they tell the load. */
export interface FanOutMeter {
  readonly errors: ErrorCount;
  /** One reader got this message. */
  arrived(number: number): void;
  /** All that came at once has been told. */
  publish(): void;
}

/**
 * One publisher and many readers of one room. A message is done when the last reader has it; `window` messages are on
 * their way at any time, and what became free in one turn is published in one write.
 *
 * 1. Every reader must get 1, 2, 3 …; any other number is an error.
 * 2. Latency is the last reader's.
 * 3. Who publishes and reads is the generator itself, in the bytes of a wire, or the shipped SDK: `job.client`.
 */
export class FanOutLoad implements FanOutMeter {
  private readonly job: FanOutJob;
  private readonly clients: FanOutClients;
  readonly errors = new ErrorCount();
  private readonly latencies = new LatencyHistogram();
  private next = 1;
  private done = 0;
  /** How many readers still miss each message on its way, and when it was sent: rings. */
  private readonly missing: Int32Array;
  private readonly sentAt: Float64Array;
  private readonly mask: number;
  private measuring = false;
  private sending = false;
  private deliveries = 0;

  constructor(job: FanOutJob) {
    this.job = job;
    const slots = 2 ** Math.ceil(Math.log2(job.window + 1));
    this.missing = new Int32Array(slots);
    this.sentAt = new Float64Array(slots);
    this.mask = slots - 1;
    this.clients = job.client === "sdk" ? new SdkFanOut(job, this) : new WireFanOut(job, this);
  }

  async prepare(): Promise<void> {
    const { readers } = this.job;
    for (let from = 0; from < readers; from += openingAtOnce) {
      const count = Math.min(openingAtOnce, readers - from);
      await Promise.all(Array.from({ length: count }, (_, place) => this.clients.openReader(from + place)));
    }
    if (!this.job.nullServer) await this.clients.openPublisher();
  }

  async run(): Promise<FanOutResult> {
    const { job } = this;
    this.sending = true;
    this.publish();
    await sleep(job.warmupMs);
    const cpuBefore = process.cpuUsage();
    const serverCpuBefore = cpuSecondsOf(job.serverPids);
    const measuredFrom = nowMs();
    this.measuring = true;
    await sleep(job.measureMs);
    this.measuring = false;
    const seconds = (nowMs() - measuredFrom) / 1000;
    const cpu = process.cpuUsage(cpuBefore);
    const serverCpuAfter = cpuSecondsOf(job.serverPids);
    this.sending = false;
    await this.drain();
    return {
      kind: "fan-out",
      seconds,
      deliveries: this.deliveries,
      lastReader: this.latencies.toCounts(),
      serverCpuSeconds: serverCpuBefore === null || serverCpuAfter === null ? null : serverCpuAfter - serverCpuBefore,
      clientCpuSeconds: (cpu.user + cpu.system) / 1e6,
      errors: this.errors.count,
      firstError: this.errors.first,
    };
  }

  private async drain(): Promise<void> {
    const until = nowMs() + 10_000;
    if (!this.job.nullServer) {
      while (nowMs() < until && this.done < this.next - 1) await sleep(5);
      for (let left = this.next - 1 - this.done; left > 0; left -= 1) this.errors.add("not delivered to every reader");
    }
    this.clients.end();
  }

  publish(): void {
    if (!this.sending || this.job.nullServer) return;
    const free = this.job.window - (this.next - 1 - this.done);
    if (free <= 0) return;
    const now = nowMs();
    const first = this.next;
    for (; this.next < first + free; this.next += 1) {
      this.missing[this.next & this.mask] = this.job.readers;
      this.sentAt[this.next & this.mask] = now;
    }
    this.clients.publish(first, free, now);
  }

  arrived(number: number): void {
    if (this.measuring) this.deliveries += 1;
    if (this.job.nullServer) return;
    const slot = number & this.mask;
    const left = this.missing[slot]! - 1;
    this.missing[slot] = left;
    if (left > 0) return;
    this.done += 1;
    if (this.measuring) this.latencies.recordMs(nowMs() - this.sentAt[slot]!, 1);
  }
}

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
