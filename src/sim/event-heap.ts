import { assert } from "../base/assert.ts";

/** What an event is due by. Smaller comes first: time, then rank, then tie, then the order of adding. */
export interface Due {
  /** Virtual time in whole microseconds. */
  at: number;
  rank: number;
  tie: number;
  order: number;
}

/** A binary heap of events. No two are equal, because no two have the same `order`; so the way out is one fixed order. */
export class EventHeap<Event extends Due> {
  readonly #events: Event[] = [];

  get size(): number {
    return this.#events.length;
  }

  /** The next event, which stays in the heap; undefined when there is none. */
  peek(): Event | undefined {
    return this.#events[0];
  }

  push(event: Event): void {
    const events = this.#events;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = events[parent]!;
      if (!before(event, above)) break;
      events[at] = above;
      at = parent;
    }
    events[at] = event;
  }

  pop(): Event {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    assert(first !== undefined && last !== undefined, "popped an empty heap");
    if (events.length > 0) this.#sink(last, 0);
    return first;
  }

  /** Removes what `gone` names. Costs as much as building the heap again. */
  sweep(gone: (event: Event) => boolean): void {
    const kept = this.#events.filter((event) => !gone(event));
    this.#events.length = 0;
    for (const event of kept) this.push(event);
  }

  #sink(event: Event, from: number): void {
    const events = this.#events;
    let at = from;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= events.length) break;
      const right = child + 1;
      if (right < events.length && before(events[right]!, events[child]!)) child = right;
      if (!before(events[child]!, event)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = event;
  }
}

function before(one: Due, other: Due): boolean {
  if (one.at !== other.at) return one.at < other.at;
  if (one.rank !== other.rank) return one.rank < other.rank;
  if (one.tie !== other.tie) return one.tie < other.tie;
  return one.order < other.order;
}
