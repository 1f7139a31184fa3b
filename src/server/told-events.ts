import type { Clock } from "../base/clock.ts";
import type { Timestamp } from "../base/units.ts";
import type { Log } from "./log.ts";

/** Something that a server said happened to it. */
export interface ToldEvent {
  /** 1, 2, 3 … since the process began. */
  readonly number: number;
  readonly at: Timestamp;
  readonly level: "info" | "warn" | "error";
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What operators look at when something happened: an hour of a cluster in trouble. */
const eventsMax = 1_000;

/** What the fate of a server and its cluster shows in; the rest of the log is about single clients. */
const told =
  /^(?:server|standing|members|member|life|not|peer|peers|founding|snapshot|catch-up|setting|journal|seal|chunk|data|disk|scrub|loop|state|operation)\./;

/**
 * A log that remembers: passes everything on, and keeps the last events about the server and its cluster, with numbers, for
 * whoever asks later. The one source of what the operators' port, the command line and a page show.
 *
 * 1. numbers rise by one; what is asked for and kept no longer shows as a hole
 * 2. fields are plain data
 */
export class ToldEvents implements Log {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #events: ToldEvent[] = [];
  readonly #listeners = new Set<(event: ToldEvent) => void>();
  #last = 0;
  /** When it began, by the wall clock: tells the numbers of one process from those of the next. */
  readonly began: Timestamp;

  constructor(options: { log: Log; clock: Clock }) {
    this.#log = options.log;
    this.#clock = options.clock;
    this.began = options.clock.wall();
  }

  /** The number of the newest event; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** Those behind this number that are kept, oldest first. */
  after(number: number): readonly ToldEvent[] {
    return this.#events.filter((event) => event.number > number);
  }

  /** Has every event told to `listener`, which must not throw; answers what ends that. */
  listen(listener: (event: ToldEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  info(event: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#log.info(event, fields);
    this.#tell("info", event, fields);
  }

  warn(event: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#log.warn(event, fields);
    this.#tell("warn", event, fields);
  }

  error(event: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#log.error(event, fields);
    this.#tell("error", event, fields);
  }

  #tell(level: ToldEvent["level"], event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (!told.test(event)) return;
    const plain: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(fields)) plain[name] = plainOf(value);
    const kept = { number: ++this.#last, at: this.#clock.wall(), level, event, fields: plain };
    this.#events.push(kept);
    if (this.#events.length > eventsMax) this.#events.shift();
    for (const listener of this.#listeners) listener(kept);
  }
}

function plainOf(value: unknown): unknown {
  if (value instanceof Error) return value.message;
  return typeof value === "bigint" ? value.toString() : value;
}
