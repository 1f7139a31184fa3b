import { assert, broken } from "../base/assert.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Millis, Timestamp } from "../base/units.ts";
import { millis } from "../base/units.ts";
import type { Due } from "./event-heap.ts";
import { WallClock } from "./wall-clock.ts";

/** Held over a stall: goes before everything else that is due when the host goes on. */
export const rankHeld = 0;
/** Timers and input, in an order that chance decides. */
export const rankTurn = 1;
/** The end of a turn. */
export const rankTurnEnd = 2;

/** Something that is going to happen. The scheduler's and the hosts' own; others hold it as a `Timer`. */
export interface Event extends Due, Timer {
  readonly kind: number;
  /** Null for what happens to the world itself: faults, the test's own steps. */
  readonly host: SimHost | null;
  /** The life of the host it belongs to; another life makes it void. */
  readonly life: number;
  readonly isTimer: boolean;
  /** Null once it ran or was called off. */
  task: (() => void) | null;
}

/** What is to happen when; `kind` goes into the trace. */
export type EventOptions = Pick<Event, "at" | "rank" | "host" | "life" | "isTimer"> & {
  readonly kind: string;
  readonly task: () => void;
};

/** What a host needs of the world: the time, and a place for what it will do. */
export interface HostWorld {
  now(): Millis;
  nowMicros(): number;
  /** A new event. */
  push(options: EventOptions): Timer;
  /** An event that was taken out and held, put back. */
  pushAgain(event: Event): void;
}

/** How a host's process ends. `killed`: the machine lives on and says so to peers. `powerLoss`: nobody says anything. */
export type CrashKind = "killed" | "powerLoss";

const turnMicros = 100;
const calledOff: Timer = { cancel: () => undefined };

/**
 * One machine with one process on it. The process lives several lives; each has its own `Clock`, and what a life asked
 * for dies with it: timers, deferred tasks, input on its way. A clock of a past life still tells the time and does
 * nothing else.
 *
 * A host acts in turns, at multiples of 0.1 ms, so that input which arrives close together is handled in one turn, as
 * an event loop would. A slow host has longer turns.
 */
export class SimHost {
  readonly name: string;
  /** Place among all hosts, from 0. */
  readonly index: number;
  readonly wall: WallClock;
  readonly #world: HostWorld;
  readonly #random: Random;
  readonly #crashListeners: ((kind: CrashKind) => void)[] = [];
  readonly #startListeners: (() => void)[] = [];
  #life = 1;
  #alive = true;
  #powerLost = false;
  #clock: Clock;
  #turnMicros = turnMicros;
  #pausedUntilMicros = 0;
  #deferred: (() => void)[] = [];
  #turnEndAsked = false;
  #held: Event[] = [];

  /** Only the scheduler makes hosts. */
  constructor(options: {
    readonly name: string;
    readonly index: number;
    readonly world: HostWorld;
    readonly start: Timestamp;
    readonly random: Random;
  }) {
    this.name = options.name;
    this.index = options.index;
    this.#world = options.world;
    this.#random = options.random;
    this.wall = new WallClock(() => options.world.now(), options.start);
    this.#clock = this.#clockOfLife();
  }

  /** The machine is off: nobody answers there, not even to refuse. */
  get hasNoPower(): boolean {
    return this.#powerLost;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Counts lives from 1. */
  get life(): number {
    return this.#life;
  }

  get isPaused(): boolean {
    return this.#pausedUntilMicros > this.#world.nowMicros();
  }

  /** The clock of the present life. Its `now()` starts anywhere, because no monotonic clock promises a zero. */
  get clock(): Clock {
    return this.#clock;
  }

  /**
   * A clock for what outlives a process on this machine, its disk: `after` belongs to whichever life runs when it is
   * called, and does nothing while none does.
   */
  get deviceClock(): Clock {
    return {
      now: () => this.#clock.now(),
      wall: () => this.wall.read(),
      after: (delay, task) => this.#ask(delay, "device", false, task),
      defer: (task) => {
        if (this.#alive) this.#defer(task);
      },
    };
  }

  /** Virtual time, which no process can see and no crash changes: for what is built into the machine. */
  get trueNow(): Millis {
    return this.#world.now();
  }

  /**
   * Something reaches this host from outside `delayMs` from now: bytes, the end of a disk operation. It happens in a
   * turn of its own and dies with the present life. `kind` goes into the trace.
   */
  input(delayMs: number, kind: string, task: () => void): Timer {
    return this.#ask(delayMs, kind, false, task);
  }

  /** The process is gone at once, in the middle of whatever it does. Does nothing to a host that is down. */
  crash(kind: CrashKind): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#powerLost = kind === "powerLoss";
    this.#deferred = [];
    this.#turnEndAsked = false;
    this.#held = [];
    for (const listener of this.#crashListeners) listener(kind);
  }

  /** A new process on the same machine, not paused and at full speed. The caller then starts a program with `clock`. */
  start(): void {
    assert(!this.#alive, `host ${this.name} already runs`);
    this.#alive = true;
    this.#powerLost = false;
    this.#life++;
    this.#pausedUntilMicros = 0;
    this.#turnMicros = turnMicros;
    this.#clock = this.#clockOfLife();
    for (const listener of this.#startListeners) listener();
  }

  /** Stops the process (SIGSTOP) for so long. Overlapping pauses end with the later one. */
  pause(forMs: number): void {
    const until = this.#world.nowMicros() + toMicros(forMs);
    if (until <= this.#pausedUntilMicros) return;
    this.#pausedUntilMicros = until;
    this.#world.push({
      at: until,
      rank: rankHeld,
      kind: "wake",
      host: null,
      life: 0,
      isTimer: false,
      task: () => this.#wake(),
    });
  }

  /** Continues a paused process now. */
  resume(): void {
    this.#pausedUntilMicros = Math.min(this.#pausedUntilMicros, this.#world.nowMicros());
    this.#wake();
  }

  /** Makes turns `factor` times as long, at least 1: the process gets that much less of the processor. */
  slow(factor: number): void {
    assert(factor >= 1, `not a slow factor: ${factor}`);
    this.#turnMicros = Math.round(turnMicros * factor);
  }

  /** Called whenever the process ends, in the order given; for the network and the disk of this host. */
  onCrash(listener: (kind: CrashKind) => void): void {
    this.#crashListeners.push(listener);
  }

  /** Called whenever a new process starts, before its program does anything. */
  onStart(listener: () => void): void {
    this.#startListeners.push(listener);
  }

  /** For the scheduler: when something due at `at` happens on this host, pauses aside. */
  turnAt(at: number): number {
    return Math.ceil(at / this.#turnMicros) * this.#turnMicros;
  }

  /** For the scheduler: whether this event has to wait for the end of a pause. If so the host keeps it. */
  holds(event: Event): boolean {
    if (this.#pausedUntilMicros <= event.at) return false;
    this.#held.push(event);
    return true;
  }

  /**
   * A stalled process finds its overdue timers first, in their order, and only then what its sockets hold: measured so
   * on Node 20. A turn that the pause cut in two ends before both.
   */
  #wake(): void {
    if (this.isPaused) return;
    const held = this.#held;
    this.#held = [];
    const at = this.turnAt(this.#world.nowMicros());
    for (const event of held) {
      event.at = at;
      if (event.isTimer || event.rank !== rankTurn) {
        event.rank = rankHeld;
        event.tie = 0;
      }
      this.#world.pushAgain(event);
    }
  }

  #ask(delayMs: number, kind: string, isTimer: boolean, task: () => void): Timer {
    if (!this.#alive) return calledOff;
    // At least a microsecond, so that no chain of tasks stops time.
    const at = this.turnAt(this.#world.nowMicros() + Math.max(1, toMicros(delayMs)));
    return this.#world.push({ at, rank: rankTurn, kind, host: this, life: this.#life, isTimer, task });
  }

  #clockOfLife(): Clock {
    const life = this.#life;
    const startMs = this.#random.whole(1_000_000_000) / 1000;
    const lives = (): boolean => this.#alive && this.#life === life;
    return {
      now: () => millis(Math.round((this.#world.now() + startMs) * 1000) / 1000),
      wall: () => this.wall.read(),
      after: (delay, task) => (lives() ? this.#ask(delay, "timer", true, task) : calledOff),
      defer: (task) => {
        if (lives()) this.#defer(task);
      },
    };
  }

  #defer(task: () => void): void {
    this.#deferred.push(task);
    if (this.#turnEndAsked) return;
    this.#turnEndAsked = true;
    const at = this.turnAt(this.#world.nowMicros());
    this.#world.push({
      at,
      rank: rankTurnEnd,
      kind: "defer",
      host: this,
      life: this.#life,
      isTimer: false,
      task: () => this.#endTurn(),
    });
  }

  /** Runs what was deferred up to now; what these tasks defer in turn is for the next end of turn, at the same instant. */
  #endTurn(): void {
    const life = this.#life;
    const tasks = this.#deferred;
    this.#deferred = [];
    this.#turnEndAsked = false;
    for (const task of tasks) {
      task();
      // A task may have ended its own process.
      if (!this.#alive || this.#life !== life) return;
    }
  }
}

/** Whole microseconds, rounded up, of a delay in milliseconds. */
export function toMicros(delay: number): number {
  if (!(delay >= 0 && delay < Infinity)) broken(`not a delay: ${delay}`);
  // What the sum of two decimal fractions leaves below the last digit does not count.
  return Math.ceil(delay * 1000 - 1e-6);
}
