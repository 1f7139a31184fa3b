import type { Connection } from "./connection.ts";
import { nowMs, putSentAt } from "./load-clock.ts";
import { sentAtDigits } from "./message-body.ts";
import { Publisher } from "./publisher.ts";
import type { PublisherPlace } from "./publisher.ts";
import { SynodJsonPublishWire } from "./wires/synod-json.ts";
import type { Welcome } from "./wires/synod-greeting.ts";
import { SynodPublishWire } from "./wires/synod-publish.ts";
import type { PublishWire } from "./wires/wire.ts";

/** Bytes of requests handed to the kernel at once. */
const blockBytesMax = 256 * 1024;

/** Publishes in the bytes of a wire: requests are built into one block and written at once. */
export class WirePublisher extends Publisher {
  private readonly wire: PublishWire;
  private readonly connection: Connection;
  private readonly requestsPerBlock: number;
  private block: Uint8Array;
  private readonly sentAtText = new Uint8Array(sentAtDigits);
  private blocked = false;

  constructor(at: PublisherPlace, wire: PublishWire, connection: Connection) {
    super(at);
    this.wire = wire;
    this.connection = connection;
    const fitting = Math.max(1, Math.floor(blockBytesMax / wire.requestBytes));
    this.requestsPerBlock = Math.min(at.job.window, fitting);
    this.block = Buffer.alloc(this.requestsPerBlock * wire.requestBytes);
    connection.readBy((bytes, length) => this.read(bytes, length));
    connection.whenGone((reason) => {
      this.gone = true;
      this.meter.errors.add(reason.message);
    });
  }

  get welcome(): Welcome | null {
    const { wire } = this;
    return wire instanceof SynodPublishWire || wire instanceof SynodJsonPublishWire ? wire.welcome : null;
  }

  private read(bytes: Uint8Array, length: number): number {
    this.answeredAt = nowMs();
    const used = this.wire.readAnswers(bytes, 0, length, this);
    this.send(this.answeredAt);
    return used;
  }

  send(now: number): void {
    if (this.blocked) return;
    const { requestBytes } = this.wire;
    while (this.meter.sending) {
      let requests = 0;
      let written = 0;
      for (; requests < this.requestsPerBlock; requests += 1) {
        const sentAt = this.mayBeSent(now);
        if (sentAt === 0) break;
        if (sentAt !== written) putSentAt(this.sentAtText, sentAt);
        written = sentAt;
        this.wire.putRequest(this.block, requests * requestBytes, this.next, this.sentAtText);
        this.sent(sentAt);
      }
      if (requests === 0) return;
      if (!this.connection.write(this.block.subarray(0, requests * requestBytes))) {
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

  protected close(): void {
    this.connection.end();
  }
}
