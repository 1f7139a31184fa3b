import { setTimeout as sleep } from "node:timers/promises";
import { Connection } from "../connection.ts";
import { nowMs, putSentAt } from "../load-clock.ts";
import { makePublishWire } from "../make-wire.ts";
import { sentAtDigits } from "../message-body.ts";
import type { AnswerSink, PublishWire, WireName } from "../wires/wire.ts";
import { base } from "./measure.ts";

/** Between two messages: what is measured is known to so much. */
const everyMs = 5;
/** The cluster is looked at for at least so long after something was done to it. */
const watchedMs = 1_200;
/** Acknowledgements are steady again when so many came in the last `steadyMs`. */
const steadyMs = 300;
const steadyCount = 30;
const givenUpAfterMs = 30_000;

/**
 * One client of one server that sends a message every 5 ms, whatever the server answers, and notes when acknowledgements
 * come: what a cluster that changes its leader looks like from outside. Refused messages are not sent again; the
 * next one is on its way already. The same for every system: nobody's client library, with its own waiting, is in between.
 */
export class SilenceProbe implements AnswerSink {
  private readonly connection: Connection;
  private readonly wire: PublishWire;
  private readonly timer: NodeJS.Timeout;
  private readonly block: Buffer;
  private readonly sentAtText = new Uint8Array(sentAtDigits);
  private next = 1;
  private ackedAt: number[] = [];
  private goneBecause: Error | null = null;
  acked = 0;
  refusedCount = 0;

  private constructor(connection: Connection, wire: PublishWire) {
    this.connection = connection;
    this.wire = wire;
    this.block = Buffer.alloc(wire.requestBytes);
    connection.readBy((bytes, length) => wire.readAnswers(bytes, 0, length, this));
    connection.whenGone((reason) => {
      this.goneBecause = reason;
    });
    this.timer = setInterval(() => this.send(), everyMs);
  }

  static async open(options: { wire: WireName; port: number; client: number }): Promise<SilenceProbe> {
    const { port, client } = options;
    const place = { client, clients: 1, bodyBytes: 128, isLinked: false };
    const wire = makePublishWire(options.wire, base, place);
    const connection = await Connection.open({ host: base.host, port, readInto: Buffer.alloc(64 * 1024) });
    await wire.open(connection);
    return new SilenceProbe(connection, wire);
  }

  acknowledged(): void {
    this.acked += 1;
    this.ackedAt.push(nowMs());
  }

  refused(): void {
    this.refusedCount += 1;
  }

  /** Settles when acknowledgements come steadily. */
  async steady(signal: AbortSignal): Promise<void> {
    const giveUpAt = nowMs() + givenUpAfterMs;
    while (!this.isSteady()) {
      signal.throwIfAborted();
      if (this.goneBecause !== null) throw this.goneBecause;
      if (nowMs() > giveUpAt) throw new Error("no acknowledgements after 30 s");
      await sleep(10);
    }
  }

  /** The longest time without an acknowledgement from now on, until they are steady again: call it, then do the harm. */
  async longestSilenceMs(harm: () => void, signal: AbortSignal): Promise<number> {
    this.ackedAt.splice(0, Math.max(0, this.ackedAt.length - 1));
    const from = nowMs();
    harm();
    await sleep(watchedMs);
    await this.steady(signal);
    let longest = 0;
    let before = this.ackedAt[0] ?? from;
    for (const at of this.ackedAt) {
      longest = Math.max(longest, at - before);
      before = at;
    }
    return longest;
  }

  end(): void {
    clearInterval(this.timer);
    this.connection.end();
  }

  private isSteady(): boolean {
    const since = nowMs() - steadyMs;
    let count = 0;
    for (let at = this.ackedAt.length - 1; at >= 0 && this.ackedAt[at]! >= since; at -= 1) count += 1;
    return count >= steadyCount;
  }

  private send(): void {
    if (this.goneBecause !== null) return;
    putSentAt(this.sentAtText, nowMs());
    this.wire.putRequest(this.block, 0, this.next, this.sentAtText);
    this.next += 1;
    // The kernel takes one message at once, as a rule; if not, the bytes must stay as they are.
    this.connection.write(Buffer.from(this.block));
  }
}
