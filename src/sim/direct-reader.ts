import type { Chat } from "../client/client.ts";
import type { Oracle } from "./oracle.ts";
import type { SubscriptionId } from "./subscriptions.ts";
import type { RunMarks } from "./run-marks.ts";

interface Reading {
  readonly id: SubscriptionId;
  position: number;
}

/**
 * Reads the stream of all direct rooms of one client, and tells the oracle of each room as of a subscription: nothing
 * missed, nothing twice, from where the user's read mark was at most.
 */
export class DirectReader {
  readonly #name: string;
  readonly #oracle: Oracle;
  readonly #marks: RunMarks;
  /** How far this user has marked a room as read, on whatever device. */
  readonly #marked: ReadonlyMap<string, number>;
  readonly #readings = new Map<string, Reading>();
  #isOver = false;

  constructor(options: {
    readonly chat: Chat;
    readonly name: string;
    readonly oracle: Oracle;
    readonly marks: RunMarks;
    readonly marked: ReadonlyMap<string, number>;
  }) {
    this.#name = options.name;
    this.#oracle = options.oracle;
    this.#marks = options.marks;
    this.#marked = options.marked;
    const stream = options.chat.directMessages();
    const read = async (): Promise<void> => {
      for await (const item of stream) {
        if (this.#isOver) return;
        if (item.gap !== undefined) {
          const reading = this.#reading(item.room, item.gap.from);
          this.#oracle.gapAnnounced(reading.id, item.gap);
          reading.position = item.gap.to;
          continue;
        }
        const { room, seq, ts, epoch, from, cid, kind, ref, body } = item;
        const reading = this.#reading(room, seq);
        this.#marks.count("direct message by itself");
        this.#oracle.observed(reading.id, { room, seq, ts, epoch, from, cid, kind, ref: ref ?? 0, body });
        reading.position = seq;
      }
    };
    read().catch((cause: unknown) => {
      // The stream of all direct rooms ends with the client and not before; the world ends clients without closing them.
      throw new Error(`${this.#name}: the stream of direct messages ended`, { cause });
    });
  }

  // It may begin anywhere up to where the user had marked; what was skipped beyond that was skipped wrongly.
  #reading(room: string, seq: number): Reading {
    const known = this.#readings.get(room);
    if (known !== undefined) return known;
    const after = Math.min(seq - 1, this.#marked.get(room) ?? 0);
    const reading = {
      id: this.#oracle.subscribed({ client: `${this.#name} (direct)`, room, after }),
      position: after,
    };
    this.#readings.set(room, reading);
    return reading;
  }

  /** Whether everything acknowledged in this room was given, or lay below a read mark. */
  hasAll(room: string): boolean {
    return (this.#readings.get(room)?.position ?? this.#marked.get(room) ?? 0) >= this.#oracle.acknowledgedFloor(room);
  }

  /** `complete`: everything that is owed was given; else the client ended in the middle. */
  end(options: { readonly complete: boolean }): void {
    this.#isOver = true;
    for (const { id } of this.#readings.values()) {
      if (options.complete) this.#oracle.finishedReading(id);
      else this.#oracle.unsubscribed(id);
    }
  }
}
