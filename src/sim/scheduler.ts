import { assert, broken } from "../base/assert.ts";
import type { Timer } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Millis, Timestamp } from "../base/units.ts";
import { millis } from "../base/units.ts";
import { EventHeap } from "./event-heap.ts";
import { type Event, type EventOptions, type HostWorld, rankTurn, SimHost, toMicros } from "./host.ts";
import { pump } from "./pump.ts";
import { TraceHash, textNumber } from "./trace-hash.ts";
import { worldStart } from "./wall-clock.ts";

export interface SchedulerOptions {
  /** Breaks ties between events of one instant, and draws what hosts need. Nobody else may use this stream. */
  readonly random: Random;
  /** What every wall clock shows at virtual time 0. @defaultValue `worldStart` */
  readonly start?: Timestamp;
  /**
   * What to do when a task of a host throws: in production the process would end. Not given: `run` rejects with it.
   * The host is told so that the world can crash it; the run goes on.
   */
  readonly onThrow?: (host: SimHost, error: unknown) => void;
}

/**
 * Virtual time. One heap holds everything that is going to happen anywhere in a simulated world.
 *
 * 1. Time never goes back, and stands still while a task runs.
 * 2. Before an event runs, every microtask of the one before it has run (`pump`).
 * 3. At one instant, in this order: what a stall held back; timers and input, in an order drawn by chance; ends of turns.
 * 4. An event of a host runs only in the life of the host that asked for it, and not while the host is paused.
 * 5. The same seed and the same calls give the same events in the same order, hence the same `traceHash`.
 *
 * Time inside is whole microseconds, so that sums do not depend on their order.
 */
export class Scheduler implements HostWorld {
  readonly #heap = new EventHeap<Event>();
  readonly #random: Random;
  readonly #hosts = new Map<string, SimHost>();
  readonly #start: Timestamp;
  readonly #onThrow: ((host: SimHost, error: unknown) => void) | null;
  readonly #trace = new TraceHash();
  readonly #kinds = new Map<string, number>();
  #nowMicros = 0;
  #order = 0;
  #events = 0;
  #called = 0;
  #running = false;

  constructor(options: SchedulerOptions) {
    this.#random = options.random;
    this.#start = options.start ?? worldStart;
    this.#onThrow = options.onThrow ?? null;
  }

  /** Virtual milliseconds since the world began; a multiple of 0.001. */
  now(): Millis {
    return millis(this.#nowMicros / 1000);
  }

  nowMicros(): number {
    return this.#nowMicros;
  }

  /** What an undisturbed wall clock shows. */
  trueWall(): number {
    return this.#start + Math.floor(this.#nowMicros / 1000);
  }

  /** How many events have run. Those called off, or void by a crash, do not count. */
  get events(): number {
    return this.#events;
  }

  /** How many events wait, called-off ones included. */
  get waiting(): number {
    return this.#heap.size;
  }

  /** Makes a host, alive, in its first life. Names are unique. */
  host(name: string): SimHost {
    assert(!this.#hosts.has(name), `host ${name} exists`);
    const host = new SimHost({ name, index: this.#hosts.size, world: this, start: this.#start, random: this.#random });
    this.#hosts.set(name, host);
    return host;
  }

  /** Every host, in the order they were made. */
  hosts(): SimHost[] {
    return [...this.#hosts.values()];
  }

  hostNamed(name: string): SimHost {
    const host = this.#hosts.get(name);
    assert(host !== undefined, `no host ${name}`);
    return host;
  }

  /** Does something to the world itself `delay` from now: no crash calls it off and no pause delays it. */
  after(delay: Millis, kind: string, task: () => void): Timer {
    return this.push({
      at: this.#nowMicros + toMicros(delay),
      rank: rankTurn,
      kind,
      host: null,
      life: 0,
      isTimer: false,
      task,
    });
  }

  /** Takes a fact into the trace hash, so that runs which differ in it have different hashes. */
  trace(kind: string, value: number): void {
    this.#trace.number(this.#kindNumber(kind));
    this.#trace.number(value);
  }

  traceBytes(bytes: Uint8Array): void {
    this.#trace.bytes(bytes);
  }

  /** Hash over (time, host, kind) of every event that ran and over every fact traced: 16 hex digits. */
  traceHash(): string {
    return this.#trace.digest();
  }

  /**
   * Runs what is due up to and including `until`, then sets the clock there. `eventsMax` guards against a world that
   * never lets time pass. Settles when the last event's microtasks have run; rejects with what a task threw.
   */
  async run(options: { readonly until: Millis; readonly eventsMax?: number }): Promise<void> {
    await this.runUntil(() => false, options);
  }

  /** As `run`, but ends before the event at which `done` answers true, the clock standing there. Answers whether it did. */
  async runUntil(
    done: () => boolean,
    options: { readonly until: Millis; readonly eventsMax?: number },
  ): Promise<boolean> {
    assert(!this.#running, "the world is already running");
    const untilMicros = Math.floor(options.until * 1000);
    assert(untilMicros >= this.#nowMicros, "time does not go back");
    const eventsEnd = this.#events + (options.eventsMax ?? Infinity);
    let reached = false;
    this.#running = true;
    try {
      await pump(() => {
        reached = done();
        if (reached) return false;
        const event = this.#next(untilMicros);
        if (event === null) return false;
        if (this.#events >= eventsEnd) {
          broken(`more than ${options.eventsMax ?? 0} events up to ${this.#nowMicros / 1000} ms`);
        }
        this.#perform(event);
        return true;
      });
    } finally {
      this.#running = false;
    }
    if (!reached) this.#nowMicros = untilMicros;
    return reached;
  }

  /** For hosts: puts an event into the heap. */
  push(options: EventOptions): Timer {
    const tie = options.rank === rankTurn ? this.#random.whole(0x1_0000_0000) : 0;
    const event = new Planned(options, tie, this.#order++, this.#kindNumber(options.kind), this.#calledOff);
    this.#heap.push(event);
    return event;
  }

  /** For hosts: puts an event back that waited for the end of a pause. */
  pushAgain(event: Event): void {
    event.order = this.#order++;
    this.#heap.push(event);
  }

  #next(untilMicros: number): Event | null {
    for (;;) {
      const event = this.#heap.peek();
      if (event === undefined || event.at > untilMicros) return null;
      this.#heap.pop();
      if (event.task === null) {
        this.#called--;
        continue;
      }
      const host = event.host;
      if (host !== null) {
        if (host.life !== event.life || !host.alive) continue;
        if (host.holds(event)) continue;
        const turnAt = host.turnAt(event.at);
        if (turnAt > event.at) {
          // The host became slower meanwhile.
          event.at = turnAt;
          this.#heap.push(event);
          continue;
        }
      }
      return event;
    }
  }

  #perform(event: Event): void {
    assert(event.at >= this.#nowMicros, "time went back");
    this.#nowMicros = event.at;
    this.#events++;
    this.#trace.number(event.at);
    this.#trace.number(event.host === null ? 0xffff : event.host.index);
    this.#trace.number(event.kind);
    const task = event.task!;
    // From here on it can no longer be called off.
    event.task = null;
    if (this.#onThrow === null || event.host === null) {
      task();
      return;
    }
    try {
      task();
    } catch (error) {
      this.#onThrow(event.host, error);
    }
  }

  readonly #calledOff = (): void => {
    this.#called++;
    // Timeouts that are called off, as nearly all are, must not pile up until they would have been due.
    if (this.#called < 1024 || this.#called * 2 < this.#heap.size) return;
    this.#heap.sweep((event) => event.task === null);
    this.#called = 0;
  };

  #kindNumber(kind: string): number {
    let number = this.#kinds.get(kind);
    if (number === undefined) {
      number = textNumber(kind);
      this.#kinds.set(kind, number);
    }
    return number;
  }
}

/** A million of these are made for a seed: one object each, and no closure. */
class Planned implements Event {
  at: number;
  rank: number;
  readonly kind: number;
  readonly host: SimHost | null;
  readonly life: number;
  readonly isTimer: boolean;
  tie: number;
  order: number;
  task: (() => void) | null;
  readonly #calledOff: () => void;

  constructor(options: EventOptions, tie: number, order: number, kind: number, calledOff: () => void) {
    this.at = options.at;
    this.rank = options.rank;
    this.kind = kind;
    this.host = options.host;
    this.life = options.life;
    this.isTimer = options.isTimer;
    this.tie = tie;
    this.order = order;
    this.task = options.task;
    this.#calledOff = calledOff;
  }

  cancel(): void {
    if (this.task === null) return;
    this.task = null;
    this.#calledOff();
  }
}
