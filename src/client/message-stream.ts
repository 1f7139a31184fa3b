import type { ChatError } from "./outcome.ts";
import type { ItemQueue, TimelineItem } from "./reader.ts";

export interface StreamOptions {
  readonly itemsMax: number;
  /** Bound of the bodies that wait, in UTF-16 units. */
  readonly bodiesMax: number;
  /** Half of the queue is free again: readers that were paused may go on. */
  readonly drained: () => void;
  /** An item was handed to the consumer. */
  readonly handed: (item: TimelineItem) => void;
  /** Nothing is wanted any more. Called once, also after a failure. */
  readonly ended: () => void;
}

/**
 * Messages for `for await`. Ends when the consumer breaks off, its signal aborts, or the client is closed; throws the
 * `ChatError` when the room cannot be read. What waits is bounded; a consumer that does not read holds up nobody else.
 */
export class MessageStream implements AsyncIterableIterator<TimelineItem, undefined>, ItemQueue {
  readonly #options: StreamOptions;
  #items: TimelineItem[] = [];
  #next = 0;
  #bodies = 0;
  #stopped = false;
  #state: "open" | "ended" | ChatError = "open";
  readonly #endListeners: (() => void)[] = [];
  #waiting: {
    resolve: (result: IteratorResult<TimelineItem, undefined>) => void;
    reject: (error: ChatError) => void;
  }[] = [];

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  push(item: TimelineItem): void {
    if (this.#state !== "open") return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      this.#options.handed(item);
      waiting.resolve({ done: false, value: item });
      return;
    }
    this.#items.push(item);
    if (item.gap === undefined) this.#bodies += item.body.length;
  }

  full(): boolean {
    const full = this.#items.length - this.#next >= this.#options.itemsMax || this.#bodies >= this.#options.bodiesMax;
    if (full) this.#stopped = true;
    return full;
  }

  /** The consumer gets what is already there, then the fault. */
  fail(fault: ChatError): void {
    if (this.#state !== "open") return;
    this.#state = fault;
    this.#options.ended();
    this.#waiting.shift()?.reject(fault);
    this.#finish();
  }

  /** The consumer gets what is already there, then the end. */
  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#options.ended();
    this.#finish();
  }

  /** Calls `listener` once nothing is wanted any more. */
  whenEnded(listener: () => void): void {
    this.#endListeners.push(listener);
  }

  #finish(): void {
    for (const listener of this.#endListeners) listener();
    for (const waiting of this.#waiting) waiting.resolve({ done: true, value: undefined });
    this.#waiting = [];
  }

  next(): Promise<IteratorResult<TimelineItem, undefined>> {
    const item = this.#items[this.#next];
    if (item !== undefined) {
      this.#take(item);
      return Promise.resolve({ done: false, value: item });
    }
    if (this.#state === "open") {
      return new Promise((resolve, reject) => {
        this.#waiting.push({ resolve, reject });
      });
    }
    const state = this.#state;
    this.#state = "ended";
    return state === "ended" ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(state);
  }

  #take(item: TimelineItem): void {
    this.#next++;
    if (item.gap === undefined) this.#bodies -= item.body.length;
    const left = this.#items.length - this.#next;
    if (left === 0 || this.#next >= 1_024) {
      this.#items = this.#items.slice(this.#next);
      this.#next = 0;
    }
    if (this.#state !== "open") return;
    this.#options.handed(item);
    if (this.#stopped && left <= this.#options.itemsMax / 2 && this.#bodies <= this.#options.bodiesMax / 2) {
      this.#stopped = false;
      this.#options.drained();
    }
  }

  return(): Promise<IteratorResult<TimelineItem, undefined>> {
    this.#items = [];
    this.#next = 0;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
