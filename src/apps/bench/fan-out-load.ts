import { Connection } from "./connection.ts";
import { ErrorCount } from "./error-count.ts";
import type { FanOutJob, FanOutResult } from "./job.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { nowMs, putSentAt } from "./load-clock.ts";
import { makePublishWire, makeReaderWire } from "./make-wire.ts";
import { bodyAt, getDigits, numberDigits, sentAtDigits } from "./message-body.ts";
import { nullBlockFrames } from "./null-server.ts";
import { cpuSecondsOf } from "./process-usage.ts";
import type { AnswerSink, DeliverySink, PublishWire, ReaderWire } from "./wires/wire.ts";

/** Connections that are being opened at the same time. */
const openingAtOnce = 100;

/**
 * One publisher and many readers of one room. A message is done when the last reader has it; `window` messages are on
 * their way at any time, and what became free in one turn is published in one write.
 *
 * 1. Every reader must get 1, 2, 3 …; any other number is an error.
 * 2. Latency is the last reader's.
 */
export class FanOutLoad implements AnswerSink {
  private readonly job: FanOutJob;
  private readonly readers: Reader[] = [];
  private publisher: Connection | null = null;
  private publisherWire: PublishWire | null = null;
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
  private arrivedInAll = 0;
  private frameBytes = 0;
  private block: Uint8Array = new Uint8Array(0);
  private readonly sentAtText = new Uint8Array(sentAtDigits);

  constructor(job: FanOutJob) {
    this.job = job;
    const slots = 2 ** Math.ceil(Math.log2(job.window + 1));
    this.missing = new Int32Array(slots);
    this.sentAt = new Float64Array(slots);
    this.mask = slots - 1;
  }

  async prepare(): Promise<void> {
    const { job } = this;
    const wires = Array.from({ length: job.readers }, (_, reader) =>
      makeReaderWire(job.wire, job, { reader, rooms: job.rooms.slice(0, 1), bodyBytes: job.bodyBytes }),
    );
    const first = wires[0];
    // A server that does no work sends all it has; reading as much at once as a window brings keeps reads comparable.
    this.frameBytes = first?.nullDelivery.bytes.length ?? 0;
    const readBytes = job.nullServer ? this.frameBytes * job.window : 256 * 1024;
    const readInto = Buffer.alloc(readBytes);
    for (let from = 0; from < wires.length; from += openingAtOnce) {
      await Promise.all(
        wires.slice(from, from + openingAtOnce).map((wire, place) => this.openReader(wire, from + place, readInto)),
      );
    }
    if (job.nullServer) return;
    this.publisherWire = makePublishWire(job.publisherWire, job, { client: 0, clients: 1, bodyBytes: job.bodyBytes });
    this.publisher = await Connection.open({
      host: job.host,
      port: job.publisherPort,
      readInto: Buffer.alloc(64 * 1024),
    });
    await this.publisherWire.open(this.publisher);
    this.block = Buffer.alloc(job.window * this.publisherWire.requestBytes);
    const wire = this.publisherWire;
    this.publisher.readBy((bytes, length) => wire.readAnswers(bytes, 0, length, this));
    this.publisher.whenGone((reason) => this.errors.add(`publisher: ${reason.message}`));
  }

  private async openReader(wire: ReaderWire, place: number, readInto: Uint8Array): Promise<void> {
    const { job } = this;
    const port = job.ports?.[place % job.ports.length] ?? job.port;
    const connection = await Connection.open({ host: job.host, port, readInto });
    if (!job.nullServer) await wire.open(connection);
    const reader = new Reader(this, connection);
    wire.reply = (bytes) => connection.write(bytes);
    connection.readBy((bytes, length) => {
      const used = wire.readDeliveries(bytes, 0, length, reader);
      this.publish();
      return used;
    });
    connection.whenGone((reason) => this.errors.add(`reader: ${reason.message}`));
    this.readers.push(reader);
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
    for (const reader of this.readers) reader.connection.end();
    this.publisher?.end();
  }

  private publish(): void {
    const wire = this.publisherWire;
    if (!this.sending || wire === null || this.publisher === null) return;
    const free = this.job.window - (this.next - 1 - this.done);
    if (free <= 0) return;
    const now = nowMs();
    putSentAt(this.sentAtText, now);
    for (let place = 0; place < free; place += 1) {
      wire.putRequest(this.block, place * wire.requestBytes, this.next, this.sentAtText);
      this.missing[this.next & this.mask] = this.readers.length;
      this.sentAt[this.next & this.mask] = now;
      this.next += 1;
    }
    const bytes = this.block.subarray(0, free * wire.requestBytes);
    if (!this.publisher.write(bytes)) this.block = Buffer.alloc(this.block.length);
  }

  /** One reader got this message. */
  arrived(number: number): void {
    if (this.measuring) this.deliveries += 1;
    if (this.job.nullServer) return this.askForMore();
    const slot = number & this.mask;
    const left = this.missing[slot]! - 1;
    this.missing[slot] = left;
    if (left > 0) return;
    this.done += 1;
    if (this.measuring) this.latencies.recordMs(nowMs() - this.sentAt[slot]!, 1);
  }

  /** A null server sends a block ahead; it learns from one byte for each block that the readers have had it. */
  private askForMore(): void {
    this.arrivedInAll += 1;
    if (this.arrivedInAll % (this.readers.length * nullBlockFrames(this.frameBytes)) !== 0) return;
    this.readers[0]?.connection.write(oneByte);
  }

  acknowledged(_number: number): void {
    // The readers say when a message is done.
  }

  refused(_number: number, why: string): void {
    this.errors.add(why);
  }
}

const oneByte = Uint8Array.of(1);

class Reader implements DeliverySink {
  readonly connection: Connection;
  private readonly load: FanOutLoad;
  private expected = 1;

  constructor(load: FanOutLoad, connection: Connection) {
    this.load = load;
    this.connection = connection;
  }

  delivered(bytes: Uint8Array, at: number): void {
    const number = getDigits(bytes, at + bodyAt.number, numberDigits);
    // Number 0 is what a publisher sends while it greets.
    if (number === 0) return;
    if (number !== this.expected) {
      this.load.errors.add(`a reader got ${number} instead of ${this.expected}`);
      return;
    }
    this.expected += 1;
    this.load.arrived(number);
  }
}

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
