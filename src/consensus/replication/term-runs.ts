import { assert } from "../../base/assert.ts";
import type { LogIndex, Term } from "../../base/ids.ts";

/**
 * Which term each entry of a log is of. Terms change seldom, so one element stands for all entries of a term.
 *
 * 1. first indexes increase; so do terms, but within a damaged range, where nobody asks
 */
export class TermRuns {
  readonly #firsts: number[] = [];
  readonly #terms: number[] = [];

  /** An entry behind all others. */
  appended(index: LogIndex, term: Term): void {
    const last = this.#terms.at(-1);
    assert(last === undefined || term >= last, "terms go back in the log");
    if (last === term) return;
    this.#firsts.push(index);
    this.#terms.push(term);
  }

  /** The term of an entry at or behind the first one noted; the caller knows that it is in the log. */
  at(index: LogIndex): Term {
    const run = this.#runOf(index);
    assert(run >= 0, "before the log");
    return this.#terms[run] as Term;
  }

  /** The last entry at or before `index` whose term is at most `term`; 0 when there is none noted. */
  lastAtMost(index: LogIndex, term: Term): number {
    let run = this.#runOf(index);
    if (run < 0) return 0;
    if (this.#terms[run]! <= term) return index;
    while (run >= 0 && this.#terms[run]! > term) run--;
    return run < 0 ? 0 : this.#firsts[run + 1]! - 1;
  }

  /** The term of one entry within is known now; it was taken for that of the entry before. */
  learned(index: LogIndex, term: Term): void {
    const run = this.#runOf(index);
    const before = this.#terms[run]!;
    if (before === term) return;
    const isLastOfRun = this.#firsts[run + 1] === index + 1;
    const isFirstOfRun = this.#firsts[run] === index;
    const rest = isLastOfRun ? [] : [index + 1];
    this.#firsts.splice(isFirstOfRun ? run : run + 1, isFirstOfRun ? 1 : 0, index, ...rest);
    this.#terms.splice(isFirstOfRun ? run : run + 1, isFirstOfRun ? 1 : 0, term, ...rest.map(() => before));
  }

  truncated(from: LogIndex): void {
    while (this.#firsts.length > 0 && this.#firsts.at(-1)! >= from) {
      this.#firsts.pop();
      this.#terms.pop();
    }
  }

  /** Begins at `index`, which is of `term`; what stands behind keeps its terms. */
  startAt(index: LogIndex, term: Term): void {
    const run = this.#runOf(index);
    if (run >= 0) this.learned(index, term);
    else this.appended(index, term);
    const first = this.#runOf(index);
    this.#firsts.splice(0, first);
    this.#terms.splice(0, first);
    this.#firsts[0] = index;
  }

  #runOf(index: LogIndex): number {
    let low = 0;
    let high = this.#firsts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#firsts[middle]! <= index) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
