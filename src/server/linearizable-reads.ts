import { Fault } from "../base/error-codes.ts";
import type { LogIndex } from "../base/ids.ts";

interface Waiting {
  readonly ready: () => void;
  readonly failed: (cause: Fault) => void;
}

/**
 * Reads that must see everything committed before they were asked. The engine says up to where that was; a read goes on
 * once so much is applied here.
 *
 * 1. every read ends: it goes on, or is told why not
 */
export class LinearizableReads {
  readonly #askEngine: (id: number) => void;
  readonly #asked = new Map<number, Waiting>();
  /** Answered by the engine, and not yet by what is applied. */
  #behind: { readonly index: LogIndex; readonly waiting: Waiting }[] = [];
  #lastId = 0;

  constructor(askEngine: (id: number) => void) {
    this.#askEngine = askEngine;
  }

  ask(): Promise<void> {
    return new Promise((ready, failed) => {
      const id = ++this.#lastId;
      this.#asked.set(id, { ready, failed });
      this.#askEngine(id);
    });
  }

  /** Who has applied `index` may answer these. */
  ready(ids: readonly number[], index: LogIndex, applied: LogIndex): void {
    for (const id of ids) {
      const waiting = this.#take(id);
      if (waiting === null) continue;
      if (index <= applied) waiting.ready();
      else this.#behind.push({ index, waiting });
    }
  }

  refused(ids: readonly number[], why: Fault): void {
    for (const id of ids) this.#take(id)?.failed(why);
  }

  applied(applied: LogIndex): void {
    if (this.#behind.length === 0) return;
    const still = this.#behind.filter(({ index }) => index > applied);
    for (const { index, waiting } of this.#behind) if (index <= applied) waiting.ready();
    this.#behind = still;
  }

  /** Nothing is answered any more. */
  end(): void {
    const why = new Fault("unavailable", "this server is stopping");
    for (const waiting of this.#asked.values()) waiting.failed(why);
    for (const { waiting } of this.#behind) waiting.failed(why);
    this.#asked.clear();
    this.#behind = [];
  }

  #take(id: number): Waiting | null {
    const waiting = this.#asked.get(id) ?? null;
    this.#asked.delete(id);
    return waiting;
  }
}
