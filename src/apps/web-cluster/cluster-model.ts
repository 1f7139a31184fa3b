import { Moments, type Moment, type Standing } from "./moments.ts";
import type { ToldStatus, ToldTrace } from "./told.ts";

/** What the demonstration knows of a server's process; a server's own page has no such thing. */
export interface ProcessState {
  readonly state: "starting" | "running" | "paused" | "stopped";
  readonly pid: number | null;
  readonly slowMs: number;
}

/** The books of the demonstration. */
export interface Books {
  readonly acknowledged: number;
  readonly stored: number;
  readonly delivered: number;
  readonly onTheirWay: number;
  readonly lost: number;
  readonly twice: number;
  readonly disordered: number;
  readonly differ: number;
  readonly slowestMs: number | null;
  readonly verified: { readonly upto: number; readonly servers: number } | null;
}

export interface Line {
  readonly seq: number;
  readonly from: string;
  readonly cid: string;
  readonly body: string;
  readonly at: number;
}

/** Whether what is shown comes from somewhere. */
export type Link = "opening" | "open" | "broken" | "refused";

/** Where a page's knowledge comes from, and what can be done with it. */
export interface Feed {
  /** Feeds the model from now on. */
  start(model: ClusterModel): void;
  /** What each server knows of this message; null: it does not answer. */
  trace(cid: string): Promise<readonly { readonly node: string; readonly trace: ToldTrace | null }[]>;
  /** Asks again, with this token. Null: there is none here. */
  readonly enter: ((token: string) => void) | null;
  /** What breaks and mends servers; null: nothing does, here. */
  readonly act: ((act: object) => void) | null;
}

const statusesMax = 300;
const linesMax = 40;

/** Everything that is shown, and which time of it: now, or a moment that somebody stopped at. */
export class ClusterModel {
  readonly moments = new Moments();
  readonly processes = new Map<string, ProcessState>();
  readonly people = new Map<string, string | null>();
  cut: readonly (readonly [string, string])[] = [];
  books: Books | null = null;
  lines: Line[] = [];
  link: Link = "opening";
  /** The key of the moment that is looked at; null: now. */
  #stoppedAt: number | null = null;
  readonly #statuses = new Map<string, ToldStatus[]>();
  readonly #listeners = new Set<() => void>();

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Whoever tells begins anew: what was told before comes again. */
  clear(): void {
    this.moments.clear();
    this.lines = [];
    this.#stoppedAt = null;
  }

  status(server: string, status: ToldStatus): void {
    const list = this.#statuses.get(server) ?? [];
    list.push(status);
    if (list.length > statusesMax) list.shift();
    this.#statuses.set(server, list);
  }

  said(line: Line): void {
    if (line.seq <= (this.lines.at(-1)?.seq ?? 0)) return;
    this.lines.push(line);
    if (this.lines.length > linesMax) this.lines.shift();
  }

  // Which time is looked at

  get isStopped(): boolean {
    return this.#stoppedAt !== null;
  }

  /** The moment that somebody stopped at; null: none, or there is none. */
  get stoppedAt(): Moment | null {
    return this.moments.list[this.place - 1] ?? null;
  }

  /** How many moments have happened at the time that is looked at. */
  get place(): number {
    const { list } = this.moments;
    if (this.#stoppedAt === null) return list.length;
    const at = list.findIndex(({ key }) => key === this.#stoppedAt);
    return at < 0 ? list.length : at + 1;
  }

  /** The time that is looked at. */
  get time(): number {
    return this.isStopped ? (this.stoppedAt?.at ?? this.now) : this.now;
  }

  /** By the newest word of a server: clocks of browsers differ from theirs. */
  get now(): number {
    return Math.max(this.#toldAt + (performance.now() - this.#heardAt), 0);
  }

  #toldAt = 0;
  #heardAt = 0;

  /** Somebody's wall clock, just now. */
  clockIs(at: number): void {
    if (at < this.now && this.#toldAt > 0) return;
    this.#toldAt = at;
    this.#heardAt = performance.now();
  }

  stop(): void {
    this.#stoppedAt = this.moments.list.at(-1)?.key ?? null;
    this.changed();
  }

  goOn(): void {
    this.#stoppedAt = null;
    this.changed();
  }

  /** Looks at the moment so many places on, or back. */
  step(by: number): void {
    const { list } = this.moments;
    if (list.length === 0) return;
    const at = Math.min(list.length, Math.max(1, this.place + by));
    this.#stoppedAt = list[at - 1]!.key;
    this.changed();
  }

  look(key: number): void {
    this.#stoppedAt = key;
    this.changed();
  }

  // What is known of that time

  /** The servers, in the order of their names. */
  get servers(): string[] {
    const names = new Set([...this.processes.keys(), ...this.#statuses.keys()]);
    for (const list of this.#statuses.values()) for (const { node } of list.at(-1)?.servers ?? []) names.add(node);
    return [...names].sort();
  }

  standings(): Map<string, Standing> {
    const standings = this.moments.standings(this.place);
    const own = this.statusOf(this.moments.own ?? "");
    // A server that has run for long has forgotten the moments that made it what it is.
    for (const { node, isLeader, state } of own?.servers ?? []) {
      if (standings.has(node) || own === null) continue;
      const role = isLeader ? "leader" : state === "dead" ? "down" : "follower";
      standings.set(node, { role, term: own.term });
    }
    return standings;
  }

  /** What a server said of the cluster last, at the time that is looked at; null: nothing that is kept. */
  statusOf(server: string): ToldStatus | null {
    const list = this.#statuses.get(server) ?? [];
    if (!this.isStopped) return list.at(-1) ?? null;
    return list.findLast(({ at }) => at <= this.time + 1_000) ?? null;
  }

  /** Messages a second, as a server told them each second, up to the time that is looked at. */
  paces(server: string, count: number): number[] {
    const list = this.#statuses.get(server) ?? [];
    const until = list.filter(({ at }) => !this.isStopped || at <= this.time + 1_000);
    return until.slice(-count).map(({ pace }) => pace.messagesPerSecond);
  }
}
