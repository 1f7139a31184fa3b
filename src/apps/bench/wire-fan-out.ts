import { Connection } from "./connection.ts";
import type { FanOutClients, FanOutMeter } from "./fan-out-load.ts";
import type { FanOutJob } from "./job.ts";
import { putSentAt } from "./load-clock.ts";
import { makePublishWire, makeReaderWire } from "./make-wire.ts";
import { bodyAt, getDigits, numberDigits, sentAtDigits } from "./message-body.ts";
import { nullBlockFrames } from "./null-server.ts";
import { NumberedReader } from "./numbered-reader.ts";
import type { AnswerSink, PublishWire } from "./wires/wire.ts";

/** Readers and publisher in the bytes of their wires; what became free in one turn is published in one write. */
export class WireFanOut implements FanOutClients, AnswerSink {
  private readonly job: FanOutJob;
  private readonly meter: FanOutMeter;
  private readonly readers: Connection[] = [];
  private publisher: { readonly connection: Connection; readonly wire: PublishWire } | null = null;
  /** Deliveries after which a null server is asked for more. */
  private readonly deliveriesPerSign: number;
  private readonly readInto: Uint8Array;
  private arrivedInAll = 0;
  private block: Uint8Array = new Uint8Array(0);
  private readonly sentAtText = new Uint8Array(sentAtDigits);

  constructor(job: FanOutJob, meter: FanOutMeter) {
    this.job = job;
    this.meter = meter;
    const frameBytes = this.readerWire(0).nullDelivery.bytes.length;
    this.deliveriesPerSign = job.readers * nullBlockFrames(frameBytes);
    // A server that does no work sends all it has; reading as much at once as a window brings keeps reads comparable.
    this.readInto = Buffer.alloc(job.nullServer ? frameBytes * job.window : 256 * 1024);
  }

  private readerWire(reader: number): ReturnType<typeof makeReaderWire> {
    const { job } = this;
    return makeReaderWire(job.wire, job, { reader, rooms: job.rooms.slice(0, 1), bodyBytes: job.bodyBytes });
  }

  async openReader(place: number): Promise<void> {
    const { job, readInto } = this;
    const wire = this.readerWire(place);
    const port = job.ports?.[place % job.ports.length] ?? job.port;
    const connection = await Connection.open({ host: job.host, port, readInto });
    if (!job.nullServer) await wire.open(connection);
    const reader = new NumberedReader(this.meter);
    const sink = {
      delivered: (bytes: Uint8Array, at: number): void => {
        const number = getDigits(bytes, at + bodyAt.number, numberDigits);
        // Number 0 is what a publisher sends while it greets.
        if (number !== 0 && reader.got(number) && job.nullServer) this.askForMore();
      },
    };
    wire.reply = (bytes) => connection.write(bytes);
    connection.readBy((bytes, length) => {
      const used = wire.readDeliveries(bytes, 0, length, sink);
      this.meter.publish();
      return used;
    });
    connection.whenGone((reason) => this.meter.errors.add(`reader: ${reason.message}`));
    this.readers.push(connection);
  }

  async openPublisher(): Promise<void> {
    const { job } = this;
    const wire = makePublishWire(job.publisherWire, job, { client: 0, clients: 1, bodyBytes: job.bodyBytes });
    const readInto = Buffer.alloc(64 * 1024);
    const connection = await Connection.open({ host: job.host, port: job.publisherPort, readInto });
    await wire.open(connection);
    this.block = Buffer.alloc(job.window * wire.requestBytes);
    connection.readBy((bytes, length) => wire.readAnswers(bytes, 0, length, this));
    connection.whenGone((reason) => this.meter.errors.add(`publisher: ${reason.message}`));
    this.publisher = { connection, wire };
  }

  publish(first: number, count: number, now: number): void {
    if (this.publisher === null) return;
    const { connection, wire } = this.publisher;
    putSentAt(this.sentAtText, now);
    for (let place = 0; place < count; place += 1) {
      wire.putRequest(this.block, place * wire.requestBytes, first + place, this.sentAtText);
    }
    const isTaken = connection.write(this.block.subarray(0, count * wire.requestBytes));
    // The kernel still reads the old block.
    if (!isTaken) this.block = Buffer.alloc(this.block.length);
  }

  end(): void {
    for (const reader of this.readers) reader.end();
    this.publisher?.connection.end();
  }

  /** A null server sends a block ahead; it learns from one byte for each block that the readers have had it. */
  private askForMore(): void {
    this.arrivedInAll += 1;
    if (this.arrivedInAll % this.deliveriesPerSign === 0) this.readers[0]?.write(oneByte);
  }

  acknowledged(_number: number): void {
    // The readers say when a message is done.
  }

  refused(_number: number, why: string): void {
    this.meter.errors.add(why);
  }
}

const oneByte = Uint8Array.of(1);
