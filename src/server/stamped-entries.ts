import { type EntryType, entryTypes } from "../base/entry.ts";
import { type Day, day, type Timestamp } from "../base/units.ts";
import type { Change } from "../consensus/configuration-change.ts";
import { chunkFormat, encodeSeal, type SealReason, sealReasons } from "../rooms/seal.ts";
import type { Applier } from "./applier.ts";
import type { Calendar } from "./calendar.ts";
import type { Asker, GroupDriver } from "./group-driver.ts";
import type { LogClock } from "./log-clock.ts";
import type { MemoryLog } from "./memory-log.ts";

/**
 * What a leader puts into its log: each entry with one time and one day, and before the first of a later day the seal of
 * the chunk that is open, so that the state can be kept just there.
 */
export class StampedEntries {
  readonly #driver: GroupDriver;
  readonly #applier: Applier;
  readonly #memory: MemoryLog;
  readonly #logClock: LogClock;
  #calendar: Calendar;

  constructor(options: {
    driver: GroupDriver;
    applier: Applier;
    memory: MemoryLog;
    logClock: LogClock;
    calendar: Calendar;
  }) {
    this.#driver = options.driver;
    this.#applier = options.applier;
    this.#memory = options.memory;
    this.#logClock = options.logClock;
    this.#calendar = options.calendar;
  }

  set calendar(calendar: Calendar) {
    this.#calendar = calendar;
  }

  /** Another day has begun than that of the last entry. */
  get isDayOver(): boolean {
    return this.#calendar.dayOf(this.#logClock.stamp()) > this.#applier.lastDay;
  }

  propose(kind: EntryType, payload: Uint8Array, asker: Asker | null): void {
    this.#driver.propose({ kind, ...this.#stamp(kind === entryTypes.seal), payload }, asker);
  }

  /** See `GroupDriver.changeMembers`. */
  changeMembers(changes: readonly Change[]): Promise<void> {
    return this.#driver.changeMembers(this.#stamp(false), changes);
  }

  /** Seals the open chunk, unless that is under way already or there is nothing in it. Answers whether it did. */
  seal(reason: SealReason): boolean {
    if (this.#applier.isSealing || this.#memory.openBytes === 0) return false;
    const { state, lastIndex, lastDay } = this.#applier;
    const seal = { chunk: state.lastChunk + 1, from: state.openChunk.from, to: lastIndex, day: lastDay };
    this.propose(entryTypes.seal, encodeSeal({ ...seal, format: chunkFormat, reason }), null);
    return true;
  }

  #stamp(isSeal: boolean): { ts: Timestamp; day: Day } {
    const ts = this.#logClock.stamp();
    const today = day(this.#calendar.dayOf(ts));
    // The first entry of a later day would seal the open chunk by itself; a seal of its own before it lets the state be
    // kept just there. A seal carries the day it ends.
    if (!isSeal && today > this.#applier.lastDay) this.seal(sealReasons.day);
    const { lastDay } = this.#applier;
    return { ts, day: today > lastDay && !isSeal ? today : lastDay };
  }
}
