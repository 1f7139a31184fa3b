import { assert } from "../../base/assert.ts";
import type { Entry } from "../../base/entry.ts";
import { type LogIndex, logIndex, type Term, term } from "../../base/ids.ts";
import { type Day, day, type Timestamp, timestamp } from "../../base/units.ts";
import type { Memory } from "../events.ts";
import { Damage } from "./damage.ts";
import { EntryTail } from "./entry-tail.ts";
import { FlushLine } from "./flush-line.ts";
import { TermRuns } from "./term-runs.ts";

/**
 * What consensus knows of a group's log: where it begins and ends, which term each entry is of, how far it is durable
 * and how far decided. The bytes of its newest entries are at hand, the others rest in storage.
 *
 * 1. base <= commit <= last; durable <= last
 * 2. nothing at or below `commit` is ever truncated
 * 3. terms never decrease along the log; indexes have no hole
 * 4. a damaged entry keeps its place and counts neither as known nor as durable until it is repaired
 */
export class Log {
  readonly tail: EntryTail;
  readonly damage: Damage;
  readonly #runs = new TermRuns();
  readonly #line: FlushLine;
  #baseIndex: LogIndex;
  #baseTerm: Term;
  #lastIndex: LogIndex;
  #lastTerm: Term;
  #commit: LogIndex;
  #ts: Timestamp;
  #day: Day;

  constructor(memory: Memory | null, limits: { entriesMax: number; bytesMax: number }) {
    const { baseIndex, baseTerm, lastIndex, committed } = memory ?? empty;
    assert(baseIndex <= committed && committed <= lastIndex, "the log ends before what was committed");
    this.tail = new EntryTail(limits);
    this.#runs.appended(baseIndex, baseTerm);
    for (const run of memory?.runs ?? []) {
      assert(run.first > baseIndex && run.first <= lastIndex, "a run of entries outside of the log");
      this.#runs.appended(run.first, run.term);
    }
    this.damage = new Damage(memory?.damaged ?? []);
    assert(this.damage.first > baseIndex && !this.damage.holds(lastIndex), "damage where nothing may be damaged");
    this.#baseIndex = baseIndex;
    this.#baseTerm = baseTerm;
    this.#lastIndex = lastIndex;
    this.#lastTerm = this.#runs.at(lastIndex);
    this.#line = new FlushLine(lastIndex);
    this.#commit = committed;
    this.#ts = memory?.ts ?? timestamp(0);
    this.#day = memory?.day ?? day(10101);
  }

  get baseIndex(): LogIndex {
    return this.#baseIndex;
  }

  get baseTerm(): Term {
    return this.#baseTerm;
  }

  get lastIndex(): LogIndex {
    return this.#lastIndex;
  }

  get lastTerm(): Term {
    return this.#lastTerm;
  }

  get commit(): LogIndex {
    return this.#commit;
  }

  /** All entries up to here would survive power loss, here. */
  get durable(): LogIndex {
    return this.#line.durable < this.damage.first ? this.#line.durable : logIndex(this.damage.first - 1);
  }

  /** `ts` and `day` of the last entry: what an entry gets that consensus writes of its own. */
  get stamp(): { ts: Timestamp; day: Day } {
    return { ts: this.#ts, day: this.#day };
  }

  /** Null outside of the log, and where it is damaged. */
  termAt(index: LogIndex): Term | null {
    if (index < this.#baseIndex || index > this.#lastIndex || this.damage.holds(index)) return null;
    return this.#runs.at(index);
  }

  /** The term that a damaged entry can have had at most: that of the next sound one, for terms never go back. */
  termAtMost(damaged: LogIndex): Term {
    return this.#runs.at(logIndex(this.damage.endOf(damaged) + 1));
  }

  /**
   * The last place, at or before `index`, where this log and one that has `term` at `index` may agree: the entry there
   * is of that term or an earlier one.
   */
  mayAgreeAt(index: LogIndex, ofTerm: Term): LogIndex {
    const from = logIndex(Math.min(index, this.#lastIndex, this.damage.first - 1));
    if (from <= this.#baseIndex) return from;
    const found = this.#runs.lastAtMost(from, ofTerm);
    return logIndex(Math.max(found, Math.min(this.#baseIndex, from)));
  }

  append(entries: readonly Entry[], ticket: number): void {
    for (const entry of entries) {
      assert(entry.index === this.#lastIndex + 1, "log has a hole");
      this.#runs.appended(entry.index, entry.term);
      this.tail.append(entry);
      this.#lastIndex = entry.index;
      this.#lastTerm = entry.term;
      this.#ts = entry.ts;
      this.#day = entry.day;
    }
    this.#line.wrote(ticket, this.#lastIndex);
  }

  /** Entries from `from` on are not in the log any more. */
  truncate(from: LogIndex): void {
    assert(from > this.#commit, "a committed entry can't be truncated");
    this.#runs.truncated(from);
    this.#line.truncated(from);
    this.damage.truncated(from);
    this.tail.truncated(from);
    this.#lastIndex = logIndex(from - 1);
    this.#lastTerm = this.#runs.at(this.#lastIndex);
    // Where the stamp before is not at hand the truncated one stays: later than needed, and never too early.
    const last = this.tail.at(this.#lastIndex);
    if (last !== null) {
      this.#ts = last.ts;
      this.#day = last.day;
    }
  }

  flushed(ticket: number): void {
    this.#line.flushed(ticket);
  }

  commitThrough(index: LogIndex): void {
    assert(index > this.#commit && index <= this.#lastIndex, "committed beyond the log, or backwards");
    this.#commit = index;
  }

  /** Entries up to `through` are in a snapshot and kept no longer. */
  compact(through: LogIndex, known: Term | null = null): void {
    assert(through <= this.#commit, "only what is decided can be let go");
    assert(through < this.damage.first, "a damaged entry can't be in a snapshot");
    if (through <= this.#baseIndex) return;
    const ofTerm = known ?? this.#runs.at(through);
    this.#baseIndex = through;
    this.#baseTerm = ofTerm;
    this.#runs.startAt(through, ofTerm);
    this.tail.released(through);
  }

  /** What stood in damaged places is durable again. */
  repaired(entries: readonly Entry[]): void {
    for (const { index, term: ofTerm } of entries) {
      if (this.damage.holds(index)) this.#runs.learned(index, ofTerm);
      this.damage.repaired(index);
    }
  }

  /** The log is what stands behind a snapshot: nothing. The snapshot itself is durable with the ticket. */
  restore(index: LogIndex, ofTerm: Term, ticket: number): void {
    assert(index > this.#commit, "a snapshot older than what is decided");
    this.#runs.truncated(logIndex(0));
    this.damage.truncated(logIndex(0));
    this.#runs.startAt(index, ofTerm);
    this.#baseIndex = index;
    this.#baseTerm = ofTerm;
    this.#lastIndex = index;
    this.#lastTerm = ofTerm;
    this.#commit = index;
    this.#line.restored(logIndex(0));
    this.#line.wrote(ticket, index);
    this.tail.clear();
  }
}

const empty = { baseIndex: logIndex(0), baseTerm: term(0), lastIndex: logIndex(0), committed: logIndex(0) };
