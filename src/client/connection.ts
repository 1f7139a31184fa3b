import { unreachable } from "../base/assert.ts";
import type { Random } from "../base/random.ts";
import { fraction } from "../base/random.ts";
import type { Millis } from "../base/units.ts";

/**
 * Which server is spoken to, and when to try again.
 *
 * 1. At most one link at a time; what an earlier link still reports is void (`attempt` tells them apart).
 * 2. Who does not get through to one server tries others of the round at once, a few. Between such tries, and after a link
 *    was lost, lies a random time below a bound that doubles from 500 ms to 20 s; 10 s online reset it. What is newly asked
 *    for is a reason to try at once, once a second at most.
 * 3. Every change of state has a reason, and `closed` is final.
 * 4. `unauthorized` tries nothing by itself: only `retry`, somebody's word that things are different now, ends it.
 */
export type ConnectionState =
  | { readonly name: "idle" }
  /** The link is opening, or the greeting is not answered yet. */
  | { readonly name: "connecting"; readonly url: string; readonly attempt: number; readonly dueAt: Millis }
  | {
      readonly name: "online";
      readonly url: string;
      readonly attempt: number;
      readonly since: Millis;
      readonly heartbeatMs: number;
    }
  | { readonly name: "offline"; readonly reason: string; readonly retryAt: Millis }
  /** No token that could be had was accepted. */
  | { readonly name: "unauthorized"; readonly reason: string }
  | { readonly name: "closed"; readonly reason: string };

export type ConnectionEvent =
  | { readonly type: "start"; readonly now: Millis }
  /** The greeting was answered. `servers`: the addresses of all, as this one knows them. */
  | {
      readonly type: "welcome";
      readonly now: Millis;
      readonly heartbeatMs: number;
      readonly servers: readonly string[];
    }
  /** The link is gone, or must go. `isRefusal`: not for want of a way to this server, so another one would do the same. */
  | { readonly type: "lost"; readonly now: Millis; readonly reason: string; readonly isRefusal: boolean }
  /** Another server is wanted, this one if it is known by the hint. Ignored when there is no other. */
  | { readonly type: "move"; readonly now: Millis; readonly reason: string; readonly hint: string | null }
  /** The token was refused, and there is no better one. */
  | { readonly type: "refused"; readonly reason: string }
  /** The machine believes that a try is worth while. */
  | { readonly type: "hint"; readonly now: Millis }
  /** Something new is asked for, which waits for a link. */
  | { readonly type: "wanted"; readonly now: Millis }
  /** Somebody wants a try now. */
  | { readonly type: "retry"; readonly now: Millis }
  | { readonly type: "due"; readonly now: Millis }
  | { readonly type: "close"; readonly reason: string };

export type ConnectionEffect =
  /** Give up the link there is, if any: what was not answered on it is lost. */
  | { readonly type: "drop"; readonly reason: string }
  | { readonly type: "dial"; readonly url: string; readonly attempt: number }
  | { readonly type: "ping" };

export interface ConnectionTiming {
  /** First and last bound of the time between two tries. */
  readonly retryMs: number;
  readonly retryMsMax: number;
  /** Time online after which the bound starts over. */
  readonly stableMs: number;
  /** Time online before another server is tried because this one cannot do what is asked. */
  readonly moveMs: number;
  /** How long a link may take to open and be greeted. */
  readonly connectWithinMs: number;
  /** The same while there is another server to try; doubled like `doubtMs`, up to the first. */
  readonly connectElsewhereMs: number;
  /** How long a link may take to answer a ping that is asked for a reason: a hint, or a machine that slept. */
  readonly pongWithinMs: number;
  /**
   * While there is another server to go to and something is not answered: how long silence is taken for work, and how long
   * whoever is then asked may take. Longer where greetings take long, and doubled each time until something is answered.
   */
  readonly doubtMs: number;
  /** A timer that is later than this was held up here: nobody is judged by it. */
  readonly lateMs: number;
}

export const defaultTiming: ConnectionTiming = {
  retryMs: 500,
  retryMsMax: 20_000,
  stableMs: 10_000,
  moveMs: 2_000,
  connectWithinMs: 10_000,
  connectElsewhereMs: 2_000,
  pongWithinMs: 5_000,
  // As long as servers wait for one another before they elect: whoever is asked then has a leader to ask.
  doubtMs: 600,
  lateMs: 100,
};

/** Least time from one try to the next where something new is asked for in between. */
const wantedMs = 1_000;
/** Doubts after which nothing is waited for any longer than before. */
const doublingsMax = 3;
/** Servers that are tried one right after the other when there is no way to the one before. */
const atOnceMax = 3;
/** Servers remembered beyond those given at the start. */
const learntServersMax = 64;
const none: readonly ConnectionEffect[] = [];

export class Connection {
  state: ConnectionState = { name: "idle" };
  readonly #given: readonly string[];
  readonly #random: Random;
  readonly #timing: ConnectionTiming;
  #learnt: readonly string[] = [];
  /** Servers not tried yet in this round, last one first. */
  #round: string[] = [];
  #attempt = 0;
  /** Waits since the last time that a link lasted. */
  #failures = 0;
  /** Tries since the last wait, or since there was a link. */
  #tries = 0;
  /** Servers given up for their silence since anything that was asked was answered. */
  #doubts = 0;
  #last: string | null = null;
  #heardAt = 0;
  #pingedAt = 0;
  /** When a ping that is out has been waited for long enough. */
  #judgeAt = 0;
  /** Since when the oldest of what was asked is not answered; `Infinity`: nothing is out. */
  #awaitedSince = Infinity;
  #dialledAt = 0;
  /** How long the greeting of this link took. */
  #greetedInMs = 0;
  /** There is another server to go to, as far as the greeting told. */
  #isElsewhere = false;

  constructor(servers: readonly string[], random: Random, timing: ConnectionTiming = defaultTiming) {
    this.#given = servers;
    this.#random = random;
    this.#timing = timing;
  }

  /** Anything arrived. Kept apart from `step` because it happens with every frame. */
  heard(now: Millis): void {
    this.#heardAt = now;
  }

  /** Since when the oldest of what was asked on this link is not answered; `Infinity`: nothing is. Told whenever it may have changed. */
  awaits(since: number): void {
    if (since > this.#awaitedSince) this.#doubts = 0;
    this.#awaitedSince = since;
  }

  /** Says whether there is a server other than the present one. */
  hasOther(): boolean {
    return this.#servers().some((url) => url !== this.#last);
  }

  /** When `due` should be stepped; `Infinity`: never. */
  dueAt(): number {
    const state = this.state;
    switch (state.name) {
      case "connecting":
        return state.dueAt;
      case "offline":
        return state.retryAt;
      case "online":
        return this.#askAt(state.heartbeatMs);
      case "idle":
      case "unauthorized":
      case "closed":
        return Infinity;
    }
  }

  step(event: ConnectionEvent): readonly ConnectionEffect[] {
    const state = this.state;
    if (state.name === "closed") return none;
    switch (event.type) {
      case "start":
        return state.name === "idle" ? [this.#dial(event.now)] : none;
      case "welcome": {
        if (state.name !== "connecting") return none;
        this.#learnt = event.servers.slice(0, learntServersMax);
        this.#tries = 0;
        this.#heardAt = event.now;
        this.#pingedAt = event.now;
        this.#awaitedSince = Infinity;
        this.#greetedInMs = event.now - this.#dialledAt;
        this.#isElsewhere = this.hasOther();
        const { url, attempt } = state;
        this.state = {
          name: "online",
          url,
          attempt,
          since: event.now,
          heartbeatMs: Math.max(event.heartbeatMs, 1_000),
        };
        return none;
      }
      case "lost":
        return state.name === "connecting" || state.name === "online"
          ? this.#lose(event.reason, event.now, event.isRefusal)
          : none;
      case "move": {
        // Not again and again: where all servers say the same, moving only adds to it.
        if (state.name !== "online" || !this.hasOther() || event.now - state.since < this.#timing.moveMs) return none;
        const drop: ConnectionEffect = { type: "drop", reason: event.reason };
        // Only a server that is known from elsewhere may be named: a hint is not a way to send clients anywhere.
        const hint = event.hint !== null && event.hint !== this.#last && this.#servers().includes(event.hint);
        this.#settle(state.since, event.now);
        return [drop, this.#dial(event.now, hint ? event.hint : null)];
      }
      case "refused":
        if (state.name !== "connecting" && state.name !== "online") return none;
        this.state = { name: "unauthorized", reason: event.reason };
        return [{ type: "drop", reason: event.reason }];
      case "wanted": {
        if (state.name !== "offline") return none;
        this.state = { ...state, retryAt: Math.min(state.retryAt, this.#dialledAt + wantedMs) as Millis };
        return this.#due(event.now);
      }
      case "hint":
      case "retry":
        // The network may be another one than the link was made on: ask now instead of at the next heartbeat.
        if (state.name === "online") return this.#pingNow(event.now);
        return state.name === "offline" || (state.name === "unauthorized" && event.type === "retry")
          ? [this.#dial(event.now)]
          : none;
      case "due":
        return this.#due(event.now);
      case "close":
        this.state = { name: "closed", reason: event.reason };
        return state.name === "connecting" || state.name === "online" ? [{ type: "drop", reason: event.reason }] : none;
      default:
        return unreachable(event);
    }
  }

  #due(now: Millis): readonly ConnectionEffect[] {
    const state = this.state;
    if (state.name === "offline") return now >= state.retryAt ? [this.#dial(now)] : none;
    if (state.name === "connecting") {
      if (now < state.dueAt) return none;
      this.#doubts++;
      return this.#lose("timeout", now, false);
    }
    if (state.name !== "online") return none;
    const { heartbeatMs } = state;
    const askAt = this.#askAt(heartbeatMs);
    if (now < askAt) return none;
    const patienceMs = this.#patienceMs();
    if (patienceMs < Infinity && this.#isInDoubt(askAt, heartbeatMs)) {
      // What has arrived meanwhile is not handed over yet when a timer is late.
      const isLate = now >= askAt + this.#timing.lateMs;
      if (this.#pinging() && !isLate) return this.#leave(state.since, now);
      this.#judgeAt = now + patienceMs;
      return [this.#ping(now)];
    }
    // So late comes only a machine that slept. It asks first, and does not judge by its own sleep.
    if (now >= askAt + heartbeatMs) return this.#pingNow(now);
    if (this.#pinging()) return this.#lose("silence", now, false);
    this.#judgeAt = this.#isElsewhere
      ? now + Math.min(heartbeatMs, this.#timing.pongWithinMs)
      : Math.max(this.#heardAt + 2 * heartbeatMs, now + heartbeatMs);
    return [this.#ping(now)];
  }

  /** Says whether a ping is out and nothing has come since. */
  #pinging(): boolean {
    return this.#pingedAt > this.#heardAt;
  }

  /**
   * When to ask whether the other side is there or, once asked, when to believe that it is not: with nowhere else to go
   * after two heartbeats of silence, one of them since the question; sooner when there was a reason to ask.
   */
  #askAt(heartbeatMs: number): number {
    return Math.min(this.#quietAt(heartbeatMs), this.#doubtAt());
  }

  #quietAt(heartbeatMs: number): number {
    return this.#pinging() ? this.#judgeAt : this.#pingedAt + heartbeatMs;
  }

  #isInDoubt(askAt: number, heartbeatMs: number): boolean {
    return this.#awaitedSince < Infinity && (askAt < this.#quietAt(heartbeatMs) || this.#pinging());
  }

  /** When silence is no work any more, because an answer is awaited and somebody else could give it. */
  #doubtAt(): number {
    const patienceMs = this.#patienceMs();
    const since = this.#awaitedSince;
    // A ping that was out before anything was awaited had no hurry.
    if (this.#pinging()) return Math.max(since + 2 * patienceMs, this.#pingedAt + patienceMs);
    return Math.max(since, this.#heardAt) + patienceMs;
  }

  /** How long silence is taken for work; `Infinity`: there is nowhere else to go. */
  #patienceMs(): number {
    if (!this.#isElsewhere) return Infinity;
    const { doubtMs, pongWithinMs } = this.#timing;
    const patienceMs = Math.max(doubtMs, 2 * this.#greetedInMs) * 2 ** Math.min(this.#doubts, doublingsMax);
    return Math.min(patienceMs, pongWithinMs);
  }

  /** Asks for a reason: whoever is there answers soon. A question that is out already is not waited for longer. */
  #pingNow(now: Millis): readonly ConnectionEffect[] {
    const judgeAt = now + this.#timing.pongWithinMs;
    const isOut = this.#pinging() && now < this.#judgeAt;
    this.#judgeAt = isOut ? Math.min(this.#judgeAt, judgeAt) : judgeAt;
    return isOut ? none : [this.#ping(now)];
  }

  #ping(now: Millis): ConnectionEffect {
    this.#pingedAt = now;
    return { type: "ping" };
  }

  /** A server is left for its silence. Somebody has waited already, so the next is tried at once. */
  #leave(since: Millis, now: Millis): readonly ConnectionEffect[] {
    this.#doubts++;
    this.#settle(since, now);
    return [{ type: "drop", reason: "silence" }, this.#dial(now)];
  }

  #lose(reason: string, now: Millis, isRefusal: boolean): readonly ConnectionEffect[] {
    const state = this.state;
    this.#awaitedSince = Infinity;
    const drop: ConnectionEffect = { type: "drop", reason };
    if (state.name === "online") {
      this.#settle(state.since, now);
      // What was tried long ago may be there now.
      this.#round = [];
    } else if (!isRefusal && this.#tries < atOnceMax && this.#round.length > 0) return [drop, this.#dial(now)];
    this.#tries = 0;
    // A server that says goodbye is left at once, when there is another one.
    if (reason === "drain" && this.hasOther()) return [drop, this.#dial(now)];
    const bound = Math.min(this.#timing.retryMs * 2 ** Math.min(this.#failures, 16), this.#timing.retryMsMax);
    this.#failures++;
    // Full jitter: clients that were cut off together must not come back together.
    this.state = { name: "offline", reason, retryAt: (now + fraction(this.#random) * bound) as Millis };
    return [drop];
  }

  #settle(since: Millis, now: Millis): void {
    if (now - since >= this.#timing.stableMs) this.#failures = 0;
  }

  #dial(now: Millis, wanted: string | null = null): ConnectionEffect {
    const url = wanted ?? this.#pick();
    this.#last = url;
    this.#attempt++;
    this.#tries++;
    this.#dialledAt = now;
    this.#awaitedSince = Infinity;
    const { connectWithinMs, connectElsewhereMs } = this.#timing;
    const elsewhereMs = connectElsewhereMs * 2 ** Math.min(this.#doubts, doublingsMax);
    const withinMs = this.hasOther() ? Math.min(elsewhereMs, connectWithinMs) : connectWithinMs;
    this.state = { name: "connecting", url, attempt: this.#attempt, dueAt: (now + withinMs) as Millis };
    return { type: "dial", url, attempt: this.#attempt };
  }

  #servers(): readonly string[] {
    return [...new Set([...this.#given, ...this.#learnt])];
  }

  /** Every server once, in random order, then a new round; never the same twice in a row while there is another. */
  #pick(): string {
    const known = this.#servers();
    this.#round = this.#round.filter((url) => known.includes(url) && (url !== this.#last || known.length === 1));
    if (this.#round.length === 0) {
      this.#round = known.filter((url) => url !== this.#last || known.length === 1);
      for (let i = this.#round.length - 1; i > 0; i--) {
        const other = this.#random.whole(i + 1);
        [this.#round[i], this.#round[other]] = [this.#round[other]!, this.#round[i]!];
      }
    }
    return this.#round.pop()!;
  }
}
