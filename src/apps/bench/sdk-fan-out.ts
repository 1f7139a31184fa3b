import type { FanOutClients, FanOutMeter } from "./fan-out-load.ts";
import type { FanOutJob } from "./job.ts";
import { NumberedReader } from "./numbered-reader.ts";
import { BodyText, numberIn, openSdkClient, sdkUrl } from "./sdk-client.ts";
import type { SdkClient } from "./sdk-client.ts";

/** How long the first message may take to every reader. */
const firstWithinMs = 30_000;

/** Readers that iterate with `for await` over `room.messages`, and a publisher that sends by `room.send`. */
export class SdkFanOut implements FanOutClients {
  private readonly job: FanOutJob;
  private readonly meter: FanOutMeter;
  private readonly readers: SdkClient[] = [];
  private publisher: SdkClient | null = null;
  private readonly body: BodyText;
  /** Readers that have not got number 0 yet, and who waits for them. */
  private unready = 0;
  private whenReady: (() => void) | null = null;
  private telling = false;

  constructor(job: FanOutJob, meter: FanOutMeter) {
    this.job = job;
    this.meter = meter;
    this.body = new BodyText(job.bodyBytes);
  }

  async openReader(place: number): Promise<void> {
    const { job, meter } = this;
    const client = await openSdkClient(job, {
      url: sdkUrl(job, job.ports?.[place % job.ports.length] ?? job.port),
      name: `reader-${process.pid}-${place}`,
      rooms: job.rooms.slice(0, 1),
      outbox: null,
      failed: (why) => meter.errors.add(`reader: ${why}`),
    });
    const reader = new NumberedReader(meter);
    this.readers.push(client);
    this.unready += 1;
    client.read(({ body }) => {
      const number = numberIn(body);
      if (number === 0) this.isReady();
      else if (reader.got(number)) this.told();
    });
  }

  /** Sends number 0, and settles when every reader has it. */
  async openPublisher(): Promise<void> {
    const { job, meter } = this;
    this.publisher = await openSdkClient(
      { wire: job.publisherWire, proof: job.proof },
      {
        url: sdkUrl({ wire: job.publisherWire, host: job.host }, job.publisherPort),
        name: `bench-${process.pid}-0`,
        rooms: job.rooms.slice(0, 1),
        outbox: { messages: job.window + 1, bytes: (job.window + 1) * job.bodyBytes },
        failed: (why) => meter.errors.add(`publisher: ${why}`),
      },
    );
    const ready = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.unready} readers got nothing`)), firstWithinMs);
      this.whenReady = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.publish(0, 1, 0);
    await ready;
  }

  publish(first: number, count: number, now: number): void {
    const room = this.publisher?.rooms[0];
    for (let number = first; number < first + count; number += 1) {
      room?.send(this.body.of(number, now)).then(undefined, (cause: unknown) => this.meter.errors.add(String(cause)));
    }
  }

  end(): void {
    for (const reader of this.readers) reader.end();
    this.publisher?.end();
  }

  private isReady(): void {
    this.unready -= 1;
    if (this.unready === 0) this.whenReady?.();
  }

  /** What came in one turn frees the window once. */
  private told(): void {
    if (this.telling) return;
    this.telling = true;
    queueMicrotask(() => {
      this.telling = false;
      this.meter.publish();
    });
  }
}
