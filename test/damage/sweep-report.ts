import { renameSync, writeFileSync } from "node:fs";

/** How often what is counted so far is written. */
const tellEveryMs = 5_000;

/** One of several parts of a row of calls; each is a stretch of it, because neighbours have much in common. */
export class Part {
  readonly #number: number;
  readonly #count: number;

  /** `2/4` is the second quarter. Throws on anything but i/n with 1 <= i <= n. */
  constructor(text: string) {
    const [, number, count] = /^([0-9]{1,6})\/([0-9]{1,6})$/.exec(text) ?? [];
    this.#number = Number(number);
    this.#count = Number(count);
    if (!(this.#number >= 1 && this.#number <= this.#count)) throw new Error(`a part is such as 1/4, not ${text}`);
  }

  /** Which of the calls from 1 to `calls` are in it. */
  of(calls: number): number[] {
    const first = Math.floor(((this.#number - 1) * calls) / this.#count) + 1;
    const last = Math.floor((this.#number * calls) / this.#count);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  }
}

/**
 * What a sweep has counted so far, for the campaign that waits for it: written to the file that SYNOD_COUNTS names, again
 * and again, whole each time. Without that name nothing is written.
 */
export class SweepReport {
  /** Which calls of each act are looked at: SYNOD_PART, all without it. */
  readonly part = new Part(process.env["SYNOD_PART"] ?? "1/1");
  readonly failures: string[] = [];
  /** Calls of the story, looked at and to be looked at. */
  done = 0;
  total = 0;
  readonly #file = process.env["SYNOD_COUNTS"];
  readonly #counts: Readonly<Record<string, number>>;
  #toldAt = -Infinity;

  /** `counts` are read whenever something is told. */
  constructor(counts: Readonly<Record<string, number>>) {
    this.#counts = counts;
  }

  failed(text: string): void {
    this.failures.push(text);
    this.#write();
  }

  /** Now and then. */
  tell(): void {
    if (performance.now() - this.#toldAt >= tellEveryMs) this.#write();
  }

  end(): void {
    this.#write();
  }

  #write(): void {
    if (this.#file === undefined) return;
    this.#toldAt = performance.now();
    const { done, total, failures } = this;
    const text = JSON.stringify({ done, total, failures, counts: { ...this.#counts, failed: failures.length } });
    writeFileSync(`${this.#file}.new`, text);
    renameSync(`${this.#file}.new`, this.#file);
  }
}
