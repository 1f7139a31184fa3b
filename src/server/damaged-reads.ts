import type { Clock } from "../base/clock.ts";
import type { Millis } from "../base/units.ts";
import type { Room } from "../rooms/room.ts";
import type { HistoryDamaged } from "./history-damaged.ts";
import type { Log } from "./log.ts";

/** The same place is told again after this long, in milliseconds: who looks at the log today need not know last month's. */
const againAfterMs = 3_600_000;
/** Lines in the time below: one damaged chunk may hold messages of thousands of rooms, or of one in hundreds of blocks. */
const linesMax = 20;
const linesWithinMs = 60_000;
/** Places that are remembered; the oldest is forgotten, and may be told and counted anew. */
const placesMax = 4_096;

/**
 * Reading that met damage, whoever read. Every read is counted; each place (a room's messages in a damaged block of a
 * chunk, or in all of it) is counted once, and told once an hour. Clients may ask for what is damaged as often as they
 * like: the log grows by no more than 20 lines a minute for it, and what was left unsaid is a number in the next line.
 */
export class DamagedReads {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #saidAt = new Map<string, Millis>();
  #minuteBeganAt: Millis | null = null;
  #lines = 0;
  #unsaid = 0;
  /** Reads that met damage, for metrics. */
  reads = 0;
  /** Places that were found damaged by them. */
  places = 0;

  constructor(options: { clock: Clock; log: Log }) {
    this.#clock = options.clock;
    this.#log = options.log;
  }

  met(room: Room, chunk: number, damaged: HistoryDamaged): void {
    this.reads++;
    const now = this.#clock.now();
    const place = `${chunk} ${damaged.offset} ${room.name}`;
    const saidAt = this.#saidAt.get(place);
    if (saidAt !== undefined && now - saidAt < againAfterMs) return;
    if (saidAt === undefined) this.places++;
    this.#remember(place, now);
    if (!this.#mayTell(now)) {
      this.#unsaid++;
      return;
    }
    const { from, to, cause } = damaged;
    const unsaid = this.#unsaid === 0 ? {} : { unsaid: this.#unsaid };
    this.#unsaid = 0;
    this.#log.error("history.damaged", { room: room.name, from, to, ...unsaid, cause });
  }

  #remember(place: string, now: Millis): void {
    this.#saidAt.delete(place);
    this.#saidAt.set(place, now);
    if (this.#saidAt.size <= placesMax) return;
    const oldest = this.#saidAt.keys().next();
    if (oldest.done !== true) this.#saidAt.delete(oldest.value);
  }

  #mayTell(now: Millis): boolean {
    if (this.#minuteBeganAt === null || now - this.#minuteBeganAt >= linesWithinMs) {
      this.#minuteBeganAt = now;
      this.#lines = 0;
    }
    return ++this.#lines <= linesMax;
  }
}
