import type { Stored } from "../../client/outcome.ts";
import { nowMs } from "./load-clock.ts";
import { Publisher } from "./publisher.ts";
import type { PublisherPlace } from "./publisher.ts";
import { BodyText } from "./sdk-client.ts";
import type { SdkClient } from "./sdk-client.ts";
import type { Welcome } from "./wires/synod-greeting.ts";

/**
 * Publishes as a program does that has the SDK: `room.send`, and waiting for each message's outcome. So many messages
 * have no outcome at any time as the window says; how many of them are on the wire, the SDK decides.
 */
export class SdkPublisher extends Publisher {
  private readonly client: SdkClient;
  private readonly body: BodyText;
  /** The highest seq of each room that was told. */
  private readonly heads: Float64Array;
  /** Answers of this turn are being taken. */
  private taking = false;

  constructor(at: PublisherPlace, client: SdkClient) {
    super(at);
    this.client = client;
    this.body = new BodyText(at.job.bodyBytes);
    this.heads = new Float64Array(client.rooms.length);
    client.chat.on("state", ({ name }) => {
      if (name === "closed" || name === "unauthorized") this.gone = true;
    });
  }

  get welcome(): Welcome | null {
    return this.client.chat.server;
  }

  send(now: number): void {
    const { rooms } = this.client;
    while (this.meter.sending && !this.gone) {
      const sentAt = this.mayBeSent(now);
      if (sentAt === 0) return;
      const number = this.next;
      const place = number % rooms.length;
      this.sent(sentAt);
      rooms[place]!.send(this.body.of(number, sentAt)).then(
        (stored) => this.stored(number, place, stored),
        // What is refused is not followed by more at once: that would be refused, too.
        (cause: unknown) => this.refused(number, String(cause)),
      );
    }
  }

  private stored(number: number, place: number, { seq, dup }: Stored): void {
    this.take();
    if (dup) this.meter.errors.add("a message was stored by an attempt that had no answer");
    if (seq === null || seq <= this.heads[place]!) this.meter.errors.add(`${number} is stored at ${seq}, out of order`);
    else this.heads[place] = seq;
    this.acknowledged(number);
  }

  /** All answers of one turn came at once, and what they make free is sent when the last of them is taken. */
  private take(): void {
    if (this.taking) return;
    this.taking = true;
    this.answeredAt = nowMs();
    queueMicrotask(() => {
      this.taking = false;
      this.send(this.answeredAt);
    });
  }

  protected close(): void {
    this.client.end();
  }
}
