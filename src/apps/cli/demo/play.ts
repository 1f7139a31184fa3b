import { setTimeout as pause } from "node:timers/promises";
import type { RoomMessage } from "../../../client/reader.ts";
import { at } from "../answer-text.ts";
import { operatorEvents } from "../operators-port.ts";
import { CommandFailed, exitCodes } from "../../terminal/exit-codes.ts";
import { MessageLedger, type LedgerCount } from "./message-ledger.ts";
import { Person, type PersonListener } from "./person.ts";
import type { ServerChild } from "./server-child.ts";
import { type Act, names, Stage } from "./stage.ts";
import { talk } from "./talk.ts";

const room = "lobby";
const people = ["alice", "bob"] as const;

/** Somebody speaks so often, in milliseconds. */
const breathMs = 250;
/** Servers are asked what they store so often. */
const lookEveryMs = 250;
const answerWithinMs = 1_000;
/** Messages of one answer. */
const pageItems = 200;
/** Until a server whose stream of events has ended is asked again. */
const againMs = 150;
/** What whoever opens the page later is told of the past. */
const rememberedMax = 2_000;
const saidMax = 50;
/** What is on its way has so long to arrive, in the end: without a quorum it never does. */
const drainWithinMs = 4_000;
/** Three servers that are no cluster by then will not be one. */
const beginWithinMs = 120_000;
/** Answers so far back count for the slowest one. */
const slowestWithinMs = 10_000;

/** Something to show, as JSON. What is remembered is told again to whoever comes later. */
export interface Told {
  readonly type: "told" | "status" | "process" | "links" | "act" | "count" | "said" | "person";
  readonly [field: string]: unknown;
}

/** What the page is told of the books. */
interface Counted extends LedgerCount {
  /** The slowest answer that a person got of late, or is still waiting for, in milliseconds. */
  readonly slowestMs: number | null;
  /** Up to where how many servers have reckoned the same digest; null: they were not asked yet. */
  readonly verified: { readonly upto: number; readonly servers: number } | null;
  /** Servers, and whether two of them reckon another digest for the same messages. */
  readonly differ: number;
}

/**
 * The demonstration as it runs: three servers, two people who talk, the books that are kept of it, and everything that
 * happens as one stream of what to show.
 */
export class Play implements PersonListener {
  readonly stage: Stage;
  readonly #ledger = new MessageLedger({ servers: names.length, readers: people });
  readonly #people: Person[] = [];
  readonly #states = new Map<string, string>();
  readonly #remembered: Told[] = [];
  readonly #said: Told[] = [];
  readonly #latest = new Map<string, Told>();
  readonly #listeners = new Set<(told: Told) => void>();
  readonly #ends = new AbortController();
  readonly #tasks: Promise<void>[] = [];
  #verified: Counted["verified"] = null;
  #differ = 0;

  private constructor(stage: Stage) {
    this.stage = stage;
  }

  /**
   * Begins, in a folder that is empty. Settles once the servers are a cluster and clients can connect to all of them; with
   * null when `signal` came before: then nothing of it is left.
   */
  static async begin(folder: string, signal: AbortSignal): Promise<Play | null> {
    let play: Play | null = null;
    const stage = await Stage.in(folder, (server) => play?.processChanged(server));
    play = new Play(stage);
    const { servers } = stage;
    const ends = play.#ends;
    if (signal.aborted) ends.abort();
    else signal.addEventListener("abort", () => ends.abort(), { once: true });
    stage.start();
    for (const server of servers) {
      play.processChanged(server);
      play.#tasks.push(play.#watch(server));
    }
    try {
      // Everybody knows who leads, and counts: else the first one to be killed could be one that the others can't do without.
      await play.#stands("all listen", async () => servers.every(({ state }) => state === "running"));
      await play.#stands("all know who leads", async () => {
        const all = await Promise.all(servers.map(({ ports }) => askJson(`http://127.0.0.1:${ports.port}/readyz`)));
        return all.every((answer) => at(answer, "ok") === true);
      });
      await play.#stands("all vote", async () => {
        const all = await Promise.all(servers.map(({ adminUrl }) => askJson(`${adminUrl}/admin/v1/cluster`)));
        return all.every((answer) => votersIn(answer) === servers.length);
      });
    } catch (cause) {
      await play.end(false);
      throw cause;
    }
    if (signal.aborted) {
      await play.end(false);
      return null;
    }
    play.#raise();
    return play;
  }

  /** Calls `listener` with what was remembered, then with whatever happens. Answers what ends that. */
  listen(listener: (told: Told) => void): () => void {
    for (const told of this.#latest.values()) listener(told);
    for (const told of this.#remembered) listener(told);
    for (const told of this.#said) listener(told);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Does something to the servers. False: it can't be done. */
  async act(act: Act): Promise<boolean> {
    // Before it is done: what follows from it comes behind it.
    const told: Told = { type: "act", at: Date.now(), ...act };
    if (act.do !== "heal" && !this.stage.servers.some(({ name }) => name === act.server)) return false;
    this.#tell(told);
    const isDone = await this.stage.act(act);
    this.#tellLinks();
    return isDone;
  }

  /** Where each server has this message. */
  async trace(cid: string): Promise<readonly object[]> {
    const path = `/admin/v1/trace/${encodeURIComponent(cid)}`;
    const ask = async ({ name, adminUrl }: ServerChild): Promise<object> => {
      const answer = await askJson(`${adminUrl}${path}`);
      return answer === null ? { node: name, messages: null } : (answer as object);
    };
    return Promise.all(this.stage.servers.map(ask));
  }

  get count(): Counted {
    return this.#counted(this.#ledger.mark());
  }

  /**
   * Ends the people, then the servers. `isGentle`: waits a few seconds for what is on its way, and answers, for people,
   * what could not be confirmed by then; nothing, when all was.
   */
  async end(isGentle: boolean): Promise<readonly string[]> {
    this.#ends.abort();
    // Nobody else asks servers any more: each of them is to show each message once.
    await Promise.all(this.#tasks);
    const overAt = Date.now() + drainWithinMs;
    if (isGentle) await this.#settled(overAt);
    const leftMs = isGentle ? Math.max(0, overAt - Date.now()) : 0;
    await Promise.all(this.#people.map((person) => person.leave(leftMs)));
    const silent = isGentle ? await this.#ask() : [];
    const unconfirmed = isGentle ? this.#unconfirmed(silent) : [];
    await this.stage.end(isGentle);
    return unconfirmed;
  }

  processChanged(server: ServerChild): void {
    const { name, state, pid, slowMs } = server;
    const hasMoved = this.#states.get(name) !== state;
    this.#states.set(name, state);
    this.#tell({ type: "process", at: Date.now(), server: name, state, pid, slowMs, hasMoved });
  }

  heard(person: string, message: RoomMessage): void {
    // Once for the page; that both were given it, the books know.
    if (person !== people[0]) return;
    const { seq, from, cid, body, ts } = message;
    this.#tell({ type: "said", at: ts, seq, from, cid, body });
  }

  moved(person: string, server: string | null): void {
    this.#tell({ type: "person", at: Date.now(), person, server });
  }

  /** Waits a little for what is on its way, which there always is something of. */
  async #settled(overAt: number): Promise<void> {
    for (; Date.now() < overAt; await pause(20)) {
      await this.#ask();
      const { onTheirWay, acknowledged, stored, delivered } = this.count;
      if (onTheirWay === 0 && acknowledged === stored && stored === delivered) return;
    }
  }

  /** `silent`: servers that show nothing. */
  #unconfirmed(silent: readonly string[]): readonly string[] {
    const { onTheirWay, acknowledged, stored, delivered } = this.count;
    const lines = [
      [onTheirWay, "had no answer, and may be stored or not"],
      [acknowledged - stored, "were acknowledged, and no two servers were there to show them"],
      [acknowledged - delivered, "were acknowledged, and not delivered to everybody yet"],
    ] as const;
    const told = lines.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
    if (told.length > 0 && silent.length > 0) told.push(`${silent.join(", ")} did not answer`);
    return told;
  }

  // The people begin once there is somebody to talk to.
  #raise(): void {
    const urls = this.stage.servers.map(({ ports }) => `tcp://127.0.0.1:${ports.tcpPort}`);
    for (const name of people) {
      this.#people.push(new Person({ name, urls, room, ledger: this.#ledger, listener: this }));
    }
    this.#tellLinks();
    this.#tasks.push(this.#talk(), this.#look());
  }

  /** Waits until the servers stand as they must, or it is over; throws when they can't any more. */
  async #stands(awaited: string, holds: () => Promise<boolean>): Promise<void> {
    const { servers } = this.stage;
    const giveUpAt = performance.now() + beginWithinMs;
    while (!(await holds())) {
      const ended = servers.find(({ state }) => state === "stopped");
      const words = (server: ServerChild): string => `${server.name} said last:\n${server.lastWords()}`;
      if (ended !== undefined) throw new CommandFailed(exitCodes.failed, `a server ended by itself; ${words(ended)}`);
      if (performance.now() > giveUpAt) {
        const told = servers.map(words).join("\n");
        throw new CommandFailed(exitCodes.failed, `waited ${beginWithinMs / 1_000} s until ${awaited}; ${told}`);
      }
      if (!(await this.#rests(50))) return;
    }
  }

  async #talk(): Promise<void> {
    for (let turn = 0; await this.#rests(breathMs); turn++) {
      const [who, line] = talk[turn % talk.length]!;
      this.#people.find(({ name }) => name === who)!.say(line);
    }
  }

  /** Servers tell what happens to them on the stream that operators watch; this passes it on, and remembers it. */
  async #watch(server: ServerChild): Promise<void> {
    let last = 0;
    let began = 0;
    do {
      try {
        const port = { url: server.adminUrl, data: null, tokenFile: null };
        const path = `/admin/v1/cluster/watch?after=${last}&began=${began}`;
        for await (const { name, data } of operatorEvents(port, path, this.#ends.signal)) {
          if (name === "status") {
            began = Number(at(data, "began"));
            this.#tell({ type: "status", server: server.name, status: data });
          } else {
            last = Number(at(data, "number"));
            this.#tell({ type: "told", server: server.name, event: data });
          }
        }
      } catch (cause) {
        // It does not run, or was ended just now.
        if (!(cause instanceof CommandFailed)) throw cause;
      }
    } while (await this.#rests(againMs));
  }

  async #look(): Promise<void> {
    for (let turn = 0; await this.#rests(lookEveryMs); turn++) {
      const mark = this.#ledger.mark();
      await this.#ask();
      if (turn % 8 === 0) await this.#verify();
      this.#tell({ type: "count", at: Date.now(), ...this.#counted(mark) });
    }
  }

  #counted(mark: number): Counted {
    const slowest = this.#people.map((person) => person.slowestMs(slowestWithinMs));
    const known = slowest.filter((ms) => ms !== null);
    return {
      ...this.#ledger.count(mark),
      slowestMs: known.length === 0 ? null : Math.round(Math.max(...known)),
      verified: this.#verified,
      differ: this.#differ,
    };
  }

  /** Has every server that answers show what stands behind what it has shown; answers which did not. */
  async #ask(): Promise<readonly string[]> {
    const all = await Promise.all(
      this.stage.servers.map(async (server) => ((await this.#askOne(server)) ? [] : [server.name])),
    );
    return all.flat();
  }

  async #askOne({ name, ports, state }: ServerChild): Promise<boolean> {
    if (state !== "running") return false;
    for (;;) {
      const after = this.#ledger.shownBy(name);
      const path = `/v1/rooms/${room}/messages?after=${after}&limit=${pageItems}`;
      const answer = await askJson(`http://127.0.0.1:${ports.port}${path}`);
      const items = at(answer, "items");
      if (!Array.isArray(items)) return false;
      for (const item of items as { seq: number; from: string; cid: string; body: string }[]) {
        this.#ledger.shows(name, item);
      }
      if (items.length < pageItems) return true;
    }
  }

  /** Has servers reckon the digest of all they hold up to the same place. */
  async #verify(): Promise<void> {
    const running = this.stage.servers.filter(({ state }) => state === "running");
    const upto = Math.min(...running.map(({ name }) => this.#ledger.shownBy(name)));
    if (running.length === 0 || upto === 0) return;
    const answers = await Promise.all(
      running.map(({ ports }) => askJson(`http://127.0.0.1:${ports.port}/v1/rooms/${room}/digest?upto=${upto}`)),
    );
    const digests = answers.map((answer) => at(answer, "digest")).filter((digest) => typeof digest === "string");
    if (new Set(digests).size > 1) this.#differ++;
    else if (digests.length > 0) this.#verified = { upto, servers: digests.length };
  }

  #tellLinks(): void {
    this.#tell({ type: "links", at: Date.now(), cut: this.stage.cut });
  }

  #tell(told: Told): void {
    const { type } = told;
    // How something stands replaces how it stood; what happened is remembered as it came.
    if (type === "status" || type === "links" || type === "count" || type === "person") {
      this.#latest.set(JSON.stringify([type, told["server"], told["person"]]), told);
    } else {
      const [kept, keptMax] = type === "said" ? [this.#said, saidMax] : [this.#remembered, rememberedMax];
      kept.push(told);
      if (kept.length > keptMax) kept.shift();
    }
    for (const listener of this.#listeners) listener(told);
  }

  /** Waits; false once it has ended. */
  async #rests(ms: number): Promise<boolean> {
    try {
      await pause(ms, undefined, { signal: this.#ends.signal });
      return true;
    } catch (cause) {
      if (this.#ends.signal.aborted) return false;
      throw cause;
    }
  }
}

/** How many servers vote, as one of them sees it. */
function votersIn(status: unknown): number {
  const servers = at(status, "servers");
  return Array.isArray(servers) ? servers.filter((server) => at(server, "role") === "voter").length : 0;
}

/** What a server of this machine answers; null when it does not, or not in time, or refuses. */
async function askJson(url: string): Promise<unknown> {
  try {
    const headers = { "synod-user": "auditor" };
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(answerWithinMs) });
    return await response.json();
  } catch (cause) {
    // It was killed, or is frozen: that is what this is about.
    const isLate = cause instanceof DOMException && cause.name === "TimeoutError";
    if (isLate || cause instanceof TypeError || cause instanceof SyntaxError) return null;
    throw cause;
  }
}
