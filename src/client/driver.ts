import { unreachable } from "../base/assert.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { ClusterId } from "../base/ids.ts";
import type { Millis } from "../base/units.ts";
import type { ClientFrame, ServerFrame, ServerFrameOf } from "../protocol/schema.ts";
import type { Connection, ConnectionEffect, ConnectionEvent } from "./connection.ts";
import type { Emitter } from "./emitter.ts";
import type { ChatEvents, ChatState } from "./events.ts";
import type { Outbox } from "./outbox.ts";
import type { OutboxEntry } from "./outbox-entry.ts";
import { type DispatcherParts, FrameDispatcher } from "./frame-dispatcher.ts";
import { ChatError, chatErrorOf } from "./outcome.ts";
import { GreetingToken } from "./greeting-token.ts";
import { OpenLink } from "./open-link.ts";
import { ProtocolViolation } from "./ports.ts";
import type { Dial, Encoding, Link, WireFormat } from "./ports.ts";
import type { Requests } from "./requests.ts";
import { sendFrame } from "./send-frame.ts";
import { shownState } from "./shown-state.ts";
import { SleepWatch } from "./sleep-watch.ts";
import { Timelines } from "./timelines.ts";

export interface DriverParts extends Omit<DispatcherParts, "timelines" | "violated" | "drained" | "move"> {
  readonly user: string;
  readonly token: (() => Promise<string>) | null;
  readonly dial: Dial;
  readonly encodings: Partial<Readonly<Record<WireFormat, Encoding>>>;
  readonly connection: Connection;
  readonly welcomed: (welcome: ServerFrameOf<"welcome">) => void;
  readonly closed: (reason: string, error: ChatError | null) => void;
}

/** The link of one attempt, and what is spoken on it once it is open. */
interface Attempt {
  readonly number: number;
  readonly link: Link;
  open: OpenLink | null;
}

/** Bytes in the link's buffer beyond which nothing is added. */
const bufferedBytesMax = 256 * 1024;
const bufferedRetryMs = 20;
/** A machine that slept is noticed within this after it woke. */
const lookEveryMs = 10_000;
/** Every request is answered within this, says the protocol; a link that does not is given up. */
const answerWithinMs = 10_000 as Millis;

/**
 * Joins the deciding parts to the outside: one link, one timer, and one write at the end of a turn.
 *
 * 1. What is to be written is gathered during a turn and goes out at its end: subscriptions, then requests, then sends.
 * 2. A link that is given up is silent at once: nothing it still reports is heard.
 * 3. After `close` nothing is left behind: no link, no timer, no listener, no waiting promise.
 */
export class Driver {
  readonly #parts: DriverParts;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #outbox: Outbox;
  readonly #requests: Requests;
  readonly #events: Emitter<ChatEvents>;
  readonly #token: GreetingToken;
  readonly #sleep = new SleepWatch();
  readonly #dispatcher: FrameDispatcher;
  readonly timelines = new Timelines(() => this.wake());
  #attempt: Attempt | null = null;
  #welcome: ServerFrameOf<"welcome"> | null = null;
  #cluster: ClusterId | null = null;
  #nextId = 1;
  #timer: Timer | null = null;
  #timerAt = Infinity;
  #pumpAsked = false;
  #state: ChatState = { name: "idle" };

  constructor(parts: DriverParts) {
    this.#parts = parts;
    this.#clock = parts.clock;
    this.#connection = parts.connection;
    this.#outbox = parts.outbox;
    this.#requests = parts.requests;
    this.#events = parts.events;
    this.#token = new GreetingToken(parts.token);
    this.#dispatcher = new FrameDispatcher({
      ...parts,
      timelines: this.timelines,
      violated: (what) => this.#violated(what),
      drained: () => {
        // With nowhere else to go, what is on its way is still answered here.
        if (this.#connection.hasOther()) this.#loseLink("drain");
      },
      move: (why) => this.step({ type: "move", ...why }),
    });
  }

  get state(): ChatState {
    return this.#state;
  }

  /** What the present or last server said of itself. */
  get welcome(): ServerFrameOf<"welcome"> | null {
    return this.#welcome;
  }

  get cluster(): ClusterId | null {
    return this.#cluster;
  }

  readonly #id = (): number => this.#nextId++;

  step(event: ConnectionEvent): void {
    for (const effect of this.#connection.step(event)) this.#perform(effect);
    this.#showState();
    this.wake();
  }

  /** Says something that needs no answer; lost when there is no link. */
  say(frame: ClientFrame): void {
    if (this.#connection.state.name === "online") this.#write([frame]);
  }

  /** Tries at once, also with a token that was refused: somebody says that things are different now. */
  retry(): void {
    this.#token.forgive();
    this.step({ type: "retry", now: this.#clock.now() });
  }

  /** Something new was asked for: where no link is there or opens, it does not wait for the end of a long back-off. */
  want(): void {
    this.step({ type: "wanted", now: this.#clock.now() });
  }

  /** Something may have to be written: at the end of this turn. */
  wake(): void {
    if (this.#pumpAsked || this.#state.name === "closed") return;
    this.#pumpAsked = true;
    this.#clock.defer(() => {
      this.#pumpAsked = false;
      this.#pump();
    });
  }

  /** Ends everything. Nothing is heard or written afterwards. */
  close(reason: string): void {
    this.step({ type: "close", reason });
    this.#timer?.cancel();
    this.#timer = null;
    this.timelines.clear();
  }

  #perform(effect: ConnectionEffect): void {
    switch (effect.type) {
      case "drop":
        return this.#drop(effect.reason);
      case "ping":
        return this.#write([{ t: "ping", id: this.#id() }]);
      case "dial":
        return this.#dial(effect.url, effect.attempt);
      default:
        return unreachable(effect);
    }
  }

  #drop(reason: string): void {
    this.#attempt?.link.close(1000, reason);
    this.#attempt = null;
    const out = this.#outbox.lost();
    this.#requests.lost();
    this.timelines.lost();
    for (const entry of out) this.#parts.changed(entry);
  }

  #dial(url: string, number: number): void {
    this.#token.ask(
      (token) => {
        if (!this.#isCurrent(number)) return;
        if (this.#token.isRefused(token)) {
          this.#unauthorized("the server refused this token, and there is no other");
        } else this.#connect(url, number, token);
      },
      (reason) => {
        if (this.#isCurrent(number)) this.#loseLink(`token: ${reason}`, true);
      },
    );
  }

  #connect(url: string, number: number, token: string | null): void {
    const { user, dial, encodings } = this.#parts;
    const link = dial.connect(url, {
      opened: () => {
        if (this.#attempt?.number !== number) return;
        const encoding = encodings[link.format];
        if (encoding === undefined) {
          this.#lose(number, `no encoding for ${link.format}`);
          return;
        }
        this.#attempt.open = new OpenLink(link, encoding);
        this.#write([{ t: "hello", v: 1, user, token: token ?? undefined } as ClientFrame]);
      },
      message: (data) => this.#received(number, data),
      closed: (code, reason) => this.#linkClosed(number, code, reason),
    });
    this.#attempt = { number, link, open: null };
  }

  #isCurrent(attempt: number): boolean {
    const { state } = this.#connection;
    return (state.name === "connecting" || state.name === "online") && state.attempt === attempt;
  }

  #lose(attempt: number, reason: string): void {
    if (this.#isCurrent(attempt)) this.#loseLink(reason);
  }

  #linkClosed(attempt: number, code: number | null, reason: string): void {
    if (!this.#isCurrent(attempt)) return;
    // The server does not want this client back: another try would only be refused, or push out a newer one.
    if (code === 4403) this.#refusedFor(new ChatError("forbidden", reason || "the server closed the connection"));
    else if (code === 4401)
      this.#refusedFor(new ChatError("unauthorized", reason || "the token is no longer accepted"));
    else if (code === 4409) this.#parts.closed("replaced", null);
    else this.#lose(attempt, reason || (code === null ? "closed" : `closed with ${code}`));
  }

  /** The greeting was refused. Ends the client, unless the next token or server may be accepted. */
  #refusedFor(error: ChatError): void {
    const isOfToken = error.code === "unauthorized" && !error.retryable;
    if (!error.retryable && !(isOfToken && this.#token.canRenew)) this.#parts.closed(error.code, error);
    else if (isOfToken && !this.#token.refused()) this.#unauthorized(error.message);
    else this.#loseLink(error.code, true);
  }

  /** No token is accepted: nothing is tried any more, and nobody waits for answers. What is to be sent stays. */
  #unauthorized(reason: string): void {
    this.step({ type: "refused", reason });
    this.#requests.endAll(new ChatError("unauthorized", reason));
  }

  #received(number: number, data: string | Uint8Array): void {
    const attempt = this.#attempt;
    if (attempt?.number !== number || attempt.open === null) return;
    this.#connection.heard(this.#clock.now());
    let frames: readonly ServerFrame[];
    try {
      frames = attempt.open.received(data);
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.#violated(error.message);
      return;
    }
    for (const frame of frames) {
      if (this.#attempt !== attempt) return;
      this.#frame(frame);
    }
    // A piece of a frame says only that somebody is there: nothing is due any earlier for it.
    if (frames.length > 0) this.wake();
  }

  /** Of the present link only. */
  #loseLink(reason: string, isRefusal = false): void {
    this.step({ type: "lost", now: this.#clock.now(), reason, isRefusal });
  }

  /** What no server may send: the next link continues from the positions. */
  #violated(what: string): void {
    this.#loseLink(`protocol: ${what}`);
  }

  #frame(frame: ServerFrame): void {
    if (this.#connection.state.name === "connecting") {
      if (frame.t === "welcome") this.#welcomed(frame);
      else if (frame.t === "err") this.#refusedFor(chatErrorOf(frame));
      return;
    }
    this.#dispatcher.dispatch(frame);
  }

  #welcomed(welcome: ServerFrameOf<"welcome">): void {
    if (this.#cluster !== null && this.#cluster !== welcome.cluster) {
      this.#outbox.forgetPrevious();
      this.timelines.reset();
      this.#events.emit("reset", { room: null });
    }
    this.#token.forgive();
    this.#cluster = welcome.cluster;
    this.#welcome = welcome;
    const { heartbeatMs, servers } = welcome;
    this.step({ type: "welcome", now: this.#clock.now(), heartbeatMs, servers });
    this.#parts.welcomed(welcome);
  }

  #pump(): void {
    if (this.#state.name === "closed") return;
    const now = this.#clock.now();
    this.#look(now);
    let recheckAt = Infinity;
    const open = this.#attempt?.open ?? null;
    if (this.#connection.state.name === "online" && open !== null) {
      const buffered = open.bufferedBytes();
      if (buffered < bufferedBytesMax) this.#gather(now, bufferedBytesMax - buffered);
      if (this.#outbox.size > this.#outbox.inFlight && open.bufferedBytes() >= bufferedBytesMax)
        recheckAt = now + bufferedRetryMs;
    }
    this.#arm(Math.min(recheckAt, this.#dueAt(now), this.#requests.dueAt(now)));
  }

  #gather(now: Millis, budget: number): void {
    const frames: ClientFrame[] = [];
    this.timelines.take(now, this.#id, frames);
    this.#requests.take(now, this.#id, frames);
    const entries: OutboxEntry[] = [];
    const inFlightMax = this.#welcome?.limits.sendsInFlightMax ?? 1;
    this.#outbox.take(now, { inFlightMax, budget, nextId: this.#id }, entries);
    for (const entry of entries) frames.push(sendFrame(entry, this.timelines.known(entry.send.room)));
    this.#write(frames);
    for (const entry of entries) this.#parts.changed(entry);
  }

  #write(frames: readonly ClientFrame[]): void {
    this.#attempt?.open?.write(frames, this.#welcome?.limits.frameBytesMax ?? 0, (frame, message) => {
      // As the server would answer it.
      if (!("id" in frame)) this.#loseLink(message);
      else
        this.#dispatcher.failed({
          t: "err",
          id: frame.id,
          code: "bad_request",
          message,
          definite: true,
          retryable: false,
        });
    });
  }

  /** When something on the link is due: a heartbeat, a try, an answer that is late, a wait that is over. */
  #dueAt(now: Millis): number {
    const oldest = this.#oldestAsked();
    this.#connection.awaits(oldest);
    let due = this.#connection.dueAt();
    if (due !== Infinity) due = Math.min(due, now + lookEveryMs);
    if (this.#connection.state.name !== "online") return due;
    return Math.min(due, oldest + answerWithinMs, this.#outbox.dueAt(now), this.timelines.dueAt(now));
  }

  /** When the oldest of what was asked on this link, and is not answered, was asked; `Infinity`: nothing is out. */
  #oldestAsked(): number {
    return Math.min(this.#outbox.oldestSentAt(), this.#requests.oldestSentAt(), this.timelines.oldestAskedAt());
  }

  /** One timer, for whatever is due first. One that fires early only looks again. */
  #arm(at: number): void {
    if (at === Infinity || (this.#timer !== null && this.#timerAt <= at)) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.after(Math.max(at - this.#clock.now(), 0) as Millis, () => {
      this.#timer = null;
      this.#due(this.#clock.now());
    });
  }

  /** Whoever slept has a link that may be gone, and a try that should not wait any longer. */
  #look(now: Millis): void {
    if (this.#sleep.look(now, this.#clock.wall())) this.step({ type: "hint", now });
  }

  #due(now: Millis): void {
    this.#look(now);
    const isLate = now >= this.#oldestAsked() + answerWithinMs;
    this.#requests.expire(now);
    if (isLate && this.#connection.state.name === "online")
      this.step({ type: "lost", now, reason: "timeout", isRefusal: false });
    this.#connection.awaits(this.#oldestAsked());
    this.step({ type: "due", now });
  }

  #showState(): void {
    const { state } = this.#connection;
    const shown = this.#state;
    if (state.name === shown.name && !(shown.name === "connecting" && "url" in state && state.url !== shown.url))
      return;
    this.#state = shownState(state, this.#welcome, this.#clock);
    this.#events.emit("state", this.#state);
  }
}
