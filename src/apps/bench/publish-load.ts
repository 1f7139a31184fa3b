import { assert } from "../../base/assert.ts";
import { Connection } from "./connection.ts";
import { ErrorCount } from "./error-count.ts";
import type { PublishJob, PublishResult } from "./job.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { nowMs, putSentAt } from "./load-clock.ts";
import { makePublishWire, makeReaderWire } from "./make-wire.ts";
import { bodyAt, getDigits, sentAtDigits } from "./message-body.ts";
import { cpuSecondsOf, residentBytesOf } from "./process-usage.ts";
import { SynodJsonPublishWire } from "./wires/synod-json.ts";
import { SynodPublishWire } from "./wires/synod-publish.ts";
import type { AnswerSink, DeliverySink, PublishWire } from "./wires/wire.ts";

/** How long unanswered requests may still be answered after the last one was sent. */
const drainMs = 10_000;
/** Bytes of requests handed to the kernel at once. */
const blockBytesMax = 256 * 1024;

/**
 * Publishing on some connections at once.
 *
 * *Closed loop*: each connection sends as soon as its window has room. *Open loop*: arrivals are due on a grid of
 * milliseconds, whatever the server does; one that finds the window full waits, and its latency counts from when it was
 * due, so a server that stalls pays for everything that queued behind the stall (no coordinated omission).
 *
 * 1. What became due or free in one turn goes out in one write.
 * 2. A number is answered once; a second answer, an unknown number and a refusal are errors, and so is no answer.
 */
export class PublishLoad {
  private readonly job: PublishJob;
  private readonly publishers: Publisher[] = [];
  private reader: Connection | null = null;
  readonly ack = new LatencyHistogram();
  readonly deliver = new LatencyHistogram();
  readonly errors = new ErrorCount();
  /** Requests are recorded from here on, to there. Infinity before the start. */
  measureFrom = Number.POSITIVE_INFINITY;
  measureTo = Number.POSITIVE_INFINITY;
  sending = false;
  acked = 0;
  ackedInAll = 0;

  constructor(job: PublishJob) {
    this.job = job;
  }

  /** Connects everybody; settles when the load can begin. */
  async prepare(): Promise<void> {
    const readInto = Buffer.alloc(256 * 1024);
    const { job } = this;
    if (job.reader) this.reader = await this.openReader(readInto);
    for (let client = 0; client < job.clients; client += 1) {
      const which = { client: job.firstClient + client, clients: job.clientsInAll, bodyBytes: job.bodyBytes };
      const wire = makePublishWire(job.wire, job, which);
      const port = job.ports?.[which.client % job.ports.length] ?? job.port;
      const connection = await Connection.open({ host: job.host, port, readInto });
      if (!job.nullServer) await wire.open(connection);
      this.publishers.push(new Publisher(this, wire, connection, job, client));
    }
  }

  private async openReader(readInto: Uint8Array): Promise<Connection> {
    const { job } = this;
    const wire = makeReaderWire(job.wire, job, { reader: job.firstClient, rooms: job.rooms, bodyBytes: job.bodyBytes });
    const connection = await Connection.open({ host: job.host, port: job.port, readInto });
    await wire.open(connection);
    const sink: DeliverySink = {
      delivered: (bytes, at) => {
        const sentAtMs = getDigits(bytes, at + bodyAt.sentAt, sentAtDigits) / 1000;
        if (sentAtMs >= this.measureFrom && sentAtMs < this.measureTo) this.deliver.recordMs(nowMs() - sentAtMs, 1);
      },
    };
    connection.readBy((bytes, length) => wire.readDeliveries(bytes, 0, length, sink));
    connection.whenGone((reason) => this.errors.add(`reader: ${reason.message}`));
    return connection;
  }

  async run(): Promise<PublishResult> {
    const { job } = this;
    const startAt = nowMs();
    const closed = job.ratePerSecond === null;
    if (!closed) this.measureFrom = startAt + job.warmupMs;
    if (!closed) this.measureTo = this.measureFrom + job.measureMs;
    this.sending = true;
    for (const publisher of this.publishers) publisher.start(startAt);
    const ticking = closed ? null : setInterval(() => this.tick(), 1);

    await sleep(job.warmupMs);
    const cpuBefore = process.cpuUsage();
    const serverCpuBefore = cpuSecondsOf(job.serverPids);
    if (closed) this.measureFrom = nowMs();
    if (closed) this.measureTo = this.measureFrom + job.measureMs;
    await this.measured();
    const cpu = process.cpuUsage(cpuBefore);
    const serverCpuAfter = cpuSecondsOf(job.serverPids);
    const serverResidentBytes = residentBytesOf(job.serverPids);
    // What was due in the measured time is sent and counted even now: leaving it out would hide a stall.
    if (closed) this.sending = false;
    await this.drain();
    this.sending = false;
    if (ticking !== null) clearInterval(ticking);

    const first = this.publishers[0]?.wire;
    const synod = first instanceof SynodPublishWire || first instanceof SynodJsonPublishWire ? first.welcome : null;
    return {
      kind: "publish",
      seconds: (this.measureTo - this.measureFrom) / 1000,
      acked: this.acked,
      ackedInAll: this.ackedInAll,
      ack: this.ack.toCounts(),
      deliver: this.deliver.toCounts(),
      serverCpuSeconds: serverCpuBefore === null || serverCpuAfter === null ? null : serverCpuAfter - serverCpuBefore,
      serverResidentBytes,
      clientCpuSeconds: (cpu.user + cpu.system) / 1e6,
      errors: this.errors.count,
      firstError: this.errors.first,
      topology: synod?.topology ?? null,
      nodes: synod?.servers.length ?? null,
    };
  }

  /** The measured time is over, or all that was to be sent has its answer. */
  private async measured(): Promise<void> {
    if ((this.job.messages ?? null) === null) {
      await sleep(Math.max(0, this.measureTo - nowMs()));
      return;
    }
    while (nowMs() < this.measureTo && this.publishers.some((publisher) => !publisher.isDone)) await sleep(2);
    this.measureTo = Math.min(this.measureTo, nowMs());
  }

  private tick(): void {
    const now = nowMs();
    for (const publisher of this.publishers) publisher.send(now);
  }

  private async drain(): Promise<void> {
    const until = nowMs() + drainMs;
    while (nowMs() < until && this.publishers.some((publisher) => publisher.mayBeAnswered())) await sleep(5);
    if (this.reader !== null) await sleep(50);
    for (const publisher of this.publishers) {
      for (let left = publisher.unanswered(); left > 0; left -= 1) this.errors.add("no answer");
      publisher.end();
    }
    this.reader?.end();
  }
}

class Publisher implements AnswerSink {
  readonly wire: PublishWire;
  outstanding = 0;
  private readonly load: PublishLoad;
  private readonly connection: Connection;
  private readonly window: number;
  /** Milliseconds between two arrivals on this connection and the first one's place; `null` in a closed loop. */
  private readonly arrivals: { readonly everyMs: number; readonly firstMs: number } | null;
  private startAt = 0;
  /** The next number, from 1 on. */
  private next = 1;
  /** The lowest number that has no answer yet. */
  private oldest = 1;
  /** The last number that is to be sent. */
  private readonly last: number;
  /** When each outstanding number was sent, or was due; 0 when it has its answer. A ring. */
  private readonly sentAt: Float64Array;
  private readonly mask: number;
  private block: Uint8Array;
  private readonly sentAtText = new Uint8Array(sentAtDigits);
  private blocked = false;
  private answeredAt = 0;
  private gone = false;

  constructor(load: PublishLoad, wire: PublishWire, connection: Connection, job: PublishJob, place: number) {
    this.load = load;
    this.wire = wire;
    this.connection = connection;
    this.window = job.window;
    this.last = (job.messages ?? null) === null ? Infinity : Math.ceil((job.messages ?? 0) / job.clientsInAll);
    const rate = job.ratePerSecond;
    this.arrivals = rate === null ? null : { everyMs: (1000 / rate) * job.clients, firstMs: (1000 / rate) * place };
    // Answers may come in another order; the ring has room for as many numbers again as the window.
    const slots = 2 ** Math.ceil(Math.log2(job.window * 2 + 2));
    this.sentAt = new Float64Array(slots);
    this.mask = slots - 1;
    this.block = Buffer.alloc(this.requestsPerBlock() * wire.requestBytes);
    connection.readBy((bytes, length) => this.read(bytes, length));
    connection.whenGone((reason) => {
      this.gone = true;
      load.errors.add(reason.message);
    });
  }

  private requestsPerBlock(): number {
    return Math.min(this.window, Math.max(1, Math.floor(blockBytesMax / this.wire.requestBytes)));
  }

  /** Open loop: when this number is to be sent, on a grid of whole milliseconds after the start. */
  private dueAt(number: number): number {
    if (this.arrivals === null) return 0;
    return this.startAt + Math.ceil(this.arrivals.firstMs + (number - 1) * this.arrivals.everyMs);
  }

  /** Requests without an answer, those included that were due and found no room in the window. */
  unanswered(): number {
    let waiting = 0;
    if (this.arrivals !== null) while (this.dueAt(this.next + waiting) < this.load.measureTo) waiting += 1;
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

  private read(bytes: Uint8Array, length: number): number {
    this.answeredAt = nowMs();
    const used = this.wire.readAnswers(bytes, 0, length, this);
    this.send(this.answeredAt);
    return used;
  }

  acknowledged(number: number): void {
    const sentAt = this.settle(number);
    if (sentAt === 0) return;
    const { load } = this;
    load.ackedInAll += 1;
    // An open loop counts by when a message was due: its slow ones must not fall out at the end.
    const countedAt = this.arrivals === null ? this.answeredAt : sentAt;
    if (countedAt < load.measureFrom || countedAt >= load.measureTo) return;
    load.acked += 1;
    load.ack.recordMs(this.answeredAt - sentAt, 1);
  }

  refused(number: number, why: string): void {
    if (number !== 0) this.settle(number);
    this.load.errors.add(why);
  }

  /** When this number was sent; 0, and an error, when no answer was expected. */
  private settle(number: number): number {
    const slot = number & this.mask;
    const sentAt = number >= this.oldest && number < this.next ? this.sentAt[slot]! : 0;
    if (sentAt === 0) {
      this.load.errors.add(`an answer to ${number}, which was not open`);
      return 0;
    }
    this.sentAt[slot] = 0;
    this.outstanding -= 1;
    while (this.oldest < this.next && this.sentAt[this.oldest & this.mask] === 0) this.oldest += 1;
    return sentAt;
  }

  /** Sends all that the window and the arrivals allow now. */
  send(now: number): void {
    if (this.blocked) return;
    while (this.load.sending) {
      let requests = 0;
      const perBlock = this.block.length / this.wire.requestBytes;
      if (this.arrivals === null) putSentAt(this.sentAtText, now);
      while (requests < perBlock && this.outstanding < this.window && this.next - this.oldest <= this.mask) {
        if (this.next > this.last) break;
        let sentAt = now;
        if (this.arrivals !== null) {
          sentAt = this.dueAt(this.next);
          if (sentAt > now || sentAt >= this.load.measureTo) break;
          putSentAt(this.sentAtText, sentAt);
        }
        this.wire.putRequest(this.block, requests * this.wire.requestBytes, this.next, this.sentAtText);
        this.sentAt[this.next & this.mask] = sentAt;
        this.next += 1;
        this.outstanding += 1;
        requests += 1;
      }
      if (requests === 0) return;
      if (!this.connection.write(this.block.subarray(0, requests * this.wire.requestBytes))) {
        // The kernel still reads the old block.
        this.blocked = true;
        this.block = Buffer.alloc(this.block.length);
        this.connection.whenDrained(() => {
          this.blocked = false;
          this.send(nowMs());
        });
        return;
      }
    }
  }

  end(): void {
    this.connection.end();
    assert(this.outstanding >= 0, "no number is answered twice");
  }
}

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
