import type { Clock } from "../base/clock.ts";
import { millis } from "../base/units.ts";
import type { AnswerTurns } from "./answer-turns.ts";
import type { DiskSpace } from "./disk-space.ts";
import type { Log } from "./log.ts";
import type { MemoryLog } from "./memory-log.ts";
import type { Proposals } from "./proposals.ts";
import type { RetentionRound } from "./retention-round.ts";
import type { Scrubbing } from "./scrubbing.ts";
import type { Session } from "./session.ts";

const tickMs = 1_000;
/** Every how many ticks a round of retention begins. */
const retentionEvery = 30;
/** Every how many ticks memory that is not used goes back to the system. */
const trimEvery = 30;
/** Clients that are let go in one turn: about a millisecond of one core. */
const letGoPerTurn = 16;

/**
 * What a server does by the clock, once a second: seals a day that is over, lets go of silent and of slow clients, and has
 * the disk, the rooms and the files looked at. It decides nothing that counts: all of that is entries of the log.
 */
export class Upkeep {
  readonly #clock: Clock;
  readonly #proposals: Proposals;
  readonly #sessions: () => Iterable<Session>;
  readonly #turns: AnswerTurns;
  readonly #log: Log;
  readonly #memory: MemoryLog;
  readonly #space: DiskSpace;
  readonly #retention: RetentionRound;
  readonly #scrubbing: Scrubbing;
  #ticks = 0;
  #timer: { cancel(): void } | null = null;
  /** Sessions that are still to be looked at; null between two rounds. */
  #checking: Iterator<Session> | null = null;

  constructor(options: {
    clock: Clock;
    proposals: Proposals;
    sessions: () => Iterable<Session>;
    turns: AnswerTurns;
    log: Log;
    memory: MemoryLog;
    space: DiskSpace;
    retention: RetentionRound;
    scrubbing: Scrubbing;
  }) {
    this.#clock = options.clock;
    this.#proposals = options.proposals;
    this.#sessions = options.sessions;
    this.#turns = options.turns;
    this.#log = options.log;
    this.#memory = options.memory;
    this.#space = options.space;
    this.#retention = options.retention;
    this.#scrubbing = options.scrubbing;
  }

  /** Whether new sends are refused because the disk is full. */
  get isFull(): boolean {
    return this.#space.isFull;
  }

  /** Free bytes of the disk at the last look; null before the first. */
  get freeBytes(): number | null {
    return this.#space.freeBytes;
  }

  /** Damaged places that the scrub has found, and chunks it has found whole, since the start. */
  get scrubbed(): Scrubbing["found"] {
    return this.#scrubbing.found;
  }

  /** Looks at the disk, and goes on by the clock. Settles after that first look: nobody is let in before it. */
  async start(): Promise<void> {
    this.#goOn();
    await this.#space.look();
  }

  #goOn(): void {
    this.#timer = this.#clock.after(millis(tickMs), () => this.#tick());
  }

  /** Begins nothing more; settles when nothing reads the disk any more. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    await Promise.all([this.#scrubbing.stop(), this.#space.stop(), this.#retention.stop()]);
  }

  get #isStopped(): boolean {
    return this.#timer === null;
  }

  #tick(): void {
    this.#ticks++;
    this.#proposals.sealPastDay();
    if (this.#checking === null) {
      this.#checking = this.#sessions()[Symbol.iterator]();
      this.#checkSessions();
    }
    const dropped = this.#turns.look();
    if (dropped > 0) this.#log.warn("clients.slow.dropped", { connections: dropped });
    if (this.#ticks % retentionEvery === 0 || this.#retention.isUnderWay) this.#retention.goOn();
    if (this.#ticks % trimEvery === 0) this.#memory.trim();
    void this.#space.look();
    this.#scrubbing.goOn();
    if (!this.#isStopped) this.#goOn();
  }

  // Letting somebody go costs an answer and a close; thousands in one turn would keep everybody else waiting.
  #checkSessions(): void {
    const now = this.#clock.now();
    for (let letGo = 0; letGo < letGoPerTurn; ) {
      const next = this.#checking?.next();
      if (next === undefined || next.done === true || this.#isStopped) {
        this.#checking = null;
        return;
      }
      if (next.value.checkAlive(now)) letGo++;
    }
    this.#clock.defer(() => this.#checkSessions());
  }
}
