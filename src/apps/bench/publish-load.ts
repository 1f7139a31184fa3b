import { Connection } from "./connection.ts";
import { ErrorCount } from "./error-count.ts";
import type { PublishJob, PublishResult } from "./job.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import { nowMs } from "./load-clock.ts";
import { makePublishWire, makeReaderWire } from "./make-wire.ts";
import { bodyAt, getDigits, sentAtDigits } from "./message-body.ts";
import { cpuSecondsOf, residentBytesOf } from "./process-usage.ts";
import type { Publisher, PublishMeter } from "./publisher.ts";
import { openSdkClient, sdkUrl } from "./sdk-client.ts";
import type { SdkClient } from "./sdk-client.ts";
import { SdkPublisher } from "./sdk-publisher.ts";
import { WirePublisher } from "./wire-publisher.ts";
import type { DeliverySink } from "./wires/wire.ts";

/** How long unanswered requests may still be answered after the last one was sent. */
const drainMs = 10_000;

/**
 * Publishing on some connections at once.
 *
 * *Closed loop*: each connection sends as soon as its window has room. *Open loop*: arrivals are due on a grid of
 * milliseconds, whatever the server does; one that finds the window full waits, and its latency counts from when it was
 * due, so a server that stalls pays for everything that queued behind the stall (no coordinated omission).
 *
 * 1. What became due or free in one turn goes out in one write.
 * 2. A number is answered once; a second answer, an unknown number and a refusal are errors, and so is no answer.
 * 3. Who publishes and reads is the generator itself, in the bytes of a wire, or the shipped SDK: `job.client`.
 */
export class PublishLoad implements PublishMeter {
  private readonly job: PublishJob;
  private readonly publishers: Publisher[] = [];
  private reader: { end(): void } | null = null;
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
    const { job } = this;
    const readInto = Buffer.alloc(256 * 1024);
    if (job.reader) this.reader = await (job.client === "sdk" ? this.openSdkReader() : this.openReader(readInto));
    for (let place = 0; place < job.clients; place += 1) {
      const publisher = job.client === "sdk" ? this.openSdkPublisher(place) : this.openWirePublisher(place, readInto);
      this.publishers.push(await publisher);
    }
  }

  private portOf(client: number): number {
    const { ports, port } = this.job;
    return ports?.[client % ports.length] ?? port;
  }

  private async openWirePublisher(place: number, readInto: Uint8Array): Promise<Publisher> {
    const { job } = this;
    const which = { client: job.firstClient + place, clients: job.clientsInAll, bodyBytes: job.bodyBytes };
    const wire = makePublishWire(job.wire, job, which);
    const connection = await Connection.open({ host: job.host, port: this.portOf(which.client), readInto });
    if (!job.nullServer) await wire.open(connection);
    return new WirePublisher({ meter: this, job, place }, wire, connection);
  }

  private async openSdkPublisher(place: number): Promise<Publisher> {
    const { job } = this;
    const client = job.firstClient + place;
    const opened = await openSdkClient(job, {
      url: sdkUrl(job, this.portOf(client)),
      name: `bench-${process.pid}-${client}`,
      rooms: roomsOf(job.rooms, { client, clients: job.clientsInAll }),
      // One window more than there can be, so that nothing is refused for its number.
      outbox: { messages: job.window + 1, bytes: (job.window + 1) * job.bodyBytes },
      failed: (why) => this.errors.add(why),
    });
    return new SdkPublisher({ meter: this, job, place }, opened);
  }

  private async openSdkReader(): Promise<SdkClient> {
    const { job } = this;
    const reader = await openSdkClient(job, {
      url: sdkUrl(job, job.port),
      name: `reader-${process.pid}-${job.firstClient}`,
      rooms: job.rooms.slice(0, 1),
      outbox: null,
      failed: (why) => this.errors.add(`reader: ${why}`),
    });
    reader.read(({ body }) => this.deliveredAt(Number(body.slice(bodyAt.sentAt, sentAtDigits)) / 1000));
    return reader;
  }

  private async openReader(readInto: Uint8Array): Promise<Connection> {
    const { job } = this;
    const wire = makeReaderWire(job.wire, job, { reader: job.firstClient, rooms: job.rooms, bodyBytes: job.bodyBytes });
    const connection = await Connection.open({ host: job.host, port: job.port, readInto });
    await wire.open(connection);
    const sink: DeliverySink = {
      delivered: (bytes, at) => this.deliveredAt(getDigits(bytes, at + bodyAt.sentAt, sentAtDigits) / 1000),
    };
    connection.readBy((bytes, length) => wire.readDeliveries(bytes, 0, length, sink));
    connection.whenGone((reason) => this.errors.add(`reader: ${reason.message}`));
    return connection;
  }

  private deliveredAt(sentAtMs: number): void {
    if (sentAtMs >= this.measureFrom && sentAtMs < this.measureTo) this.deliver.recordMs(nowMs() - sentAtMs, 1);
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

    const synod = this.publishers[0]?.welcome ?? null;
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

/** Rooms of one client: its share of them, or one where there are fewer rooms than clients. */
function roomsOf(rooms: readonly string[], who: { readonly client: number; readonly clients: number }): string[] {
  const share = rooms.filter((_, place) => place % who.clients === who.client % who.clients);
  return share.length > 0 ? share : [rooms[who.client % rooms.length] ?? "bench"];
}

const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
