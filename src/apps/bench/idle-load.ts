import { Connection } from "./connection.ts";
import { ErrorCount } from "./error-count.ts";
import type { IdleJob, IdleResult } from "./job.ts";
import { nowMs } from "./load-clock.ts";
import { makeReaderWire } from "./make-wire.ts";
import { bodyBytesMin } from "./message-body.ts";
import { residentBytesOf } from "./process-usage.ts";
import { pingMessage } from "./wires/synod-read.ts";

const openingAtOnce = 100;
/** Well below the time after which a server closes a silent connection. */
const signOfLifeEveryMs = 10_000;
/** Portions of that time, in each of which its share of the connections gives a sign: clients do not agree on a moment. */
const portions = 100;

/** Many connections that greet, enter their rooms and then stay silent, while the server's memory is read. */
export class IdleLoad {
  private readonly job: IdleJob;
  private readonly errors = new ErrorCount();
  private readonly connections: Connection[] = [];
  private residentBytesBefore: number | null = null;
  private connectsPerSecond = 0;
  private portion = 0;

  constructor(job: IdleJob) {
    this.job = job;
  }

  /** Settles when all are connected and in their rooms. */
  async prepare(): Promise<void> {
    const { job } = this;
    this.residentBytesBefore = residentBytesOf(job.serverPids);
    const readInto = Buffer.alloc(64 * 1024);
    const signsOfLife = setInterval(() => this.signOfLife(), signOfLifeEveryMs / portions);
    signsOfLife.unref();
    const startedAt = nowMs();
    for (let from = 0; from < job.connections; from += openingAtOnce) {
      const batch = Math.min(openingAtOnce, job.connections - from);
      await Promise.all(Array.from({ length: batch }, (_, place) => this.openOne(from + place, readInto)));
    }
    this.connectsPerSecond = job.connections / ((nowMs() - startedAt) / 1000);
  }

  async run(): Promise<IdleResult> {
    const { job } = this;
    await new Promise((resolve) => {
      setTimeout(resolve, job.settleMs);
    });
    const residentBytesAfter = residentBytesOf(job.serverPids);
    for (const connection of this.connections) connection.end();
    return {
      kind: "idle",
      connections: job.connections,
      residentBytesBefore: this.residentBytesBefore,
      residentBytesAfter,
      connectsPerSecond: this.connectsPerSecond,
      errors: this.errors.count,
      firstError: this.errors.first,
    };
  }

  private async openOne(place: number, readInto: Uint8Array): Promise<void> {
    const { job } = this;
    const rooms = Array.from(
      { length: job.roomsPerConnection },
      (_, room) => job.rooms[(place * job.roomsPerConnection + room) % job.rooms.length] ?? "bench",
    );
    const wire = makeReaderWire(job.wire, job, { reader: place, rooms, bodyBytes: bodyBytesMin });
    const connection = await Connection.open({ host: job.host, port: job.port, readInto });
    await wire.open(connection);
    wire.reply = (bytes) => connection.write(bytes);
    const sink = { delivered: () => this.errors.add("a message in a room where nobody speaks") };
    connection.readBy((bytes, length) => wire.readDeliveries(bytes, 0, length, sink));
    connection.whenGone((reason) => this.errors.add(reason.message));
    this.connections.push(connection);
  }

  private signOfLife(): void {
    if (this.job.wire !== "synod-websocket") return;
    const ping = pingMessage();
    for (let place = this.portion; place < this.connections.length; place += portions) {
      this.connections[place]?.write(ping);
    }
    this.portion = (this.portion + 1) % portions;
  }
}
