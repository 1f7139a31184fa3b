import { unreachable } from "../base/assert.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { ClusterId, RoomName, Seq } from "../base/ids.ts";
import { timestamp } from "../base/units.ts";
import type { Millis } from "../base/units.ts";
import { isDirect } from "../protocol/names.ts";
import type { ClientFrame, ServerFrame, ServerFrameOf } from "../protocol/schema.ts";
import type { Connection, ConnectionEffect, ConnectionEvent } from "./connection.ts";
import type { Emitter } from "./emitter.ts";
import type { ChatEvents, ChatState } from "./events.ts";
import type { Outbox, OutboxEntry } from "./outbox.ts";
import { ChatError } from "./outcome.ts";
import { ProtocolViolation } from "./ports.ts";
import type { Decoder, Dial, Encoding, Link, WireFormat } from "./ports.ts";
import type { Reader, RoomMessage } from "./reader.ts";
import type { Requests } from "./requests.ts";
import { Timeline } from "./timeline.ts";

/**
 * Joins the deciding parts to the outside: one link, one timer, and one write at the end of a turn.
 *
 * 1. What is to be written is gathered during a turn and goes out at its end: subscriptions, then requests, then sends.
 * 2. A link that is given up is silent at once: nothing it still reports is heard.
 * 3. After `close` nothing is left behind: no link, no timer, no listener, no waiting promise.
 */
export interface DriverParts {
  readonly user: string;
  readonly token: (() => Promise<string>) | null;
  readonly clock: Clock;
  readonly dial: Dial;
  readonly encodings: Partial<Readonly<Record<WireFormat, Encoding>>>;
  readonly connection: Connection;
  readonly outbox: Outbox;
  readonly requests: Requests;
  readonly events: Emitter<ChatEvents>;
  /** The state of an entry of the outbox may be another one: it went out, was answered, or lost its link. */
  readonly changed: (entry: OutboxEntry) => void;
  readonly directRoom: (room: ServerFrameOf<"room">) => void;
  /** A message came from a direct room that nobody reads. */
  readonly directMessage: (room: RoomName, seq: Seq) => void;
  readonly welcomed: (welcome: ServerFrameOf<"welcome">) => void;
  readonly closed: (reason: string, error: ChatError | null) => void;
}

/** What is in hand of one link. */
interface Open {
  readonly attempt: number;
  readonly link: Link;
  encoding: Encoding | null;
  decoder: Decoder | null;
}

/** Bytes in the link's buffer beyond which nothing is added. */
const bufferedBytesMax = 256 * 1024;
const bufferedRetryMs = 20;
/** Frames of one write, and their bytes at most; less where the server takes less at once. */
const framesPerWriteMax = 256;
const writeBytesMax = 192 * 1024;
/** What a frame takes besides a body, in any encoding: names, ids and their fields. */
const frameBesidesBytesMax = 512;
/** A UTF-16 unit of a body: three bytes of UTF-8, or six where JSON escapes it. */
const bytesPerUnitMax = 6;
/** Every request is answered within this, says the protocol; a link that does not is given up. */
const answerWithinMs = 10_000 as Millis;
/** Failures in a row after which another server may do better. */
const failuresBeforeMove = 2;
/** Tokens refused in a row, each another one, after which a new one is not believed to be better. */
const tokensRefusedMax = 3;
const timelinesMax = 4_096;

export class Driver {
  readonly #parts: DriverParts;
  readonly #timelines = new Map<RoomName, Timeline>();
  /** Timelines whose subscription may have to change, is not answered, or waits to be asked for again. */
  readonly #unsettled = new Set<Timeline>();
  #open: Open | null = null;
  #welcome: ServerFrameOf<"welcome"> | null = null;
  #cluster: ClusterId | null = null;
  #nextId = 1;
  #timer: Timer | null = null;
  #timerAt = Infinity;
  #pumpAsked = false;
  /** The token of the present link, the last one that was refused, and how many were since the last welcome. */
  #token: string | null = null;
  #refusedToken: string | null = null;
  #tokensRefused = 0;
  #state: ChatState = { name: "idle" };

  constructor(parts: DriverParts) {
    this.#parts = parts;
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

  timeline(room: RoomName): Timeline {
    let timeline = this.#timelines.get(room);
    if (timeline === undefined) {
      if (this.#timelines.size >= timelinesMax) {
        for (const [name, other] of this.#timelines) if (other.idle) this.#timelines.delete(name);
      }
      timeline = new Timeline(room);
      this.#timelines.set(room, timeline);
    }
    return timeline;
  }

  /** What is known of a room, without beginning to know it. */
  known(room: RoomName): Timeline | undefined {
    return this.#timelines.get(room);
  }

  read(room: RoomName, reader: Reader): void {
    const timeline = this.timeline(room);
    timeline.readers.add(reader);
    this.touch(timeline);
  }

  stopReading(room: RoomName, reader: Reader): void {
    const timeline = this.#timelines.get(room);
    if (timeline?.readers.delete(reader) === true) this.touch(timeline);
  }

  /** The readers of this room may want something else now. */
  touch(timeline: Timeline): void {
    this.#unsettled.add(timeline);
    this.wake();
  }

  step(event: ConnectionEvent): void {
    for (const effect of this.#parts.connection.step(event)) this.#perform(effect);
    this.#showState();
    this.wake();
  }

  /** Says something that needs no answer; lost when there is no link. */
  say(frame: ClientFrame): void {
    if (this.#parts.connection.state.name === "online") this.#write([frame]);
  }

  /** Tries at once, also with a token that was refused: somebody says that things are different now. */
  retry(): void {
    this.#forgetRefusals();
    this.step({ type: "retry", now: this.#parts.clock.now() });
  }

  /** Something may have to be written: at the end of this turn. */
  wake(): void {
    if (this.#pumpAsked || this.#state.name === "closed") return;
    this.#pumpAsked = true;
    this.#parts.clock.defer(() => {
      this.#pumpAsked = false;
      this.#pump();
    });
  }

  /** Ends everything. Nothing is heard or written afterwards. */
  close(reason: string): void {
    this.step({ type: "close", reason });
    this.#timer?.cancel();
    this.#timer = null;
    this.#unsettled.clear();
    this.#timelines.clear();
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
    const open = this.#open;
    this.#open = null;
    open?.link.close(1000, reason);
    const out = this.#parts.outbox.lost();
    this.#parts.requests.lost();
    for (const timeline of this.#timelines.values()) {
      timeline.lost();
      if (timeline.readers.size > 0) this.#unsettled.add(timeline);
    }
    for (const entry of out) this.#parts.changed(entry);
  }

  #dial(url: string, attempt: number): void {
    const { token } = this.#parts;
    if (token === null) {
      this.#connect(url, attempt, null);
      return;
    }
    token().then(
      (text) => {
        if (!this.#isCurrent(attempt)) return;
        if (text === this.#refusedToken) this.#unauthorized("the server refused this token, and there is no other");
        else this.#connect(url, attempt, text);
      },
      (error: unknown) => this.#lose(attempt, `token: ${error instanceof Error ? error.message : String(error)}`),
    );
  }

  #connect(url: string, attempt: number, token: string | null): void {
    this.#token = token;
    const link = this.#parts.dial.connect(url, {
      opened: () => {
        const open = this.#open;
        if (open?.attempt !== attempt) return;
        const encoding = this.#parts.encodings[link.format];
        if (encoding === undefined) {
          this.#lose(attempt, `no encoding for ${link.format}`);
          return;
        }
        open.encoding = encoding;
        open.decoder = encoding.decoder();
        if (encoding.opening !== null) link.send(encoding.opening);
        this.#write([{ t: "hello", v: 1, user: this.#parts.user, token: token ?? undefined } as ClientFrame]);
      },
      message: (data) => this.#received(attempt, data),
      closed: (code, reason) => this.#linkClosed(attempt, code, reason),
    });
    this.#open = { attempt, link, encoding: null, decoder: null };
  }

  #isCurrent(attempt: number): boolean {
    const { state } = this.#parts.connection;
    return (state.name === "connecting" || state.name === "online") && state.attempt === attempt;
  }

  #lose(attempt: number, reason: string): void {
    if (this.#isCurrent(attempt)) this.step({ type: "lost", now: this.#parts.clock.now(), reason });
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
    const again = error.retryable;
    if (!again && (error.code !== "unauthorized" || this.#parts.token === null)) {
      this.#parts.closed(error.code, error);
      return;
    }
    if (!again) {
      this.#refusedToken = this.#token;
      this.#tokensRefused++;
    }
    if (this.#tokensRefused >= tokensRefusedMax) this.#unauthorized(error.message);
    else this.step({ type: "lost", now: this.#parts.clock.now(), reason: error.code });
  }

  /** No token is accepted: nothing is tried any more, and nobody waits for answers. What is to be sent stays. */
  #unauthorized(reason: string): void {
    this.step({ type: "refused", reason });
    this.#parts.requests.endAll(new ChatError("unauthorized", reason));
  }

  #forgetRefusals(): void {
    this.#refusedToken = null;
    this.#tokensRefused = 0;
  }

  #received(attempt: number, data: string | Uint8Array): void {
    const open = this.#open;
    if (open?.attempt !== attempt || open.decoder === null) return;
    this.#parts.connection.heard(this.#parts.clock.now());
    let frames: readonly ServerFrame[];
    try {
      frames = open.decoder.push(data);
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.#lose(attempt, `protocol: ${error.message}`);
      return;
    }
    for (const frame of frames) {
      if (this.#open !== open) return;
      this.#frame(frame, open);
    }
    this.wake();
  }

  #frame(frame: ServerFrame, open: Open): void {
    const { connection, requests, events } = this.#parts;
    if (connection.state.name === "connecting") {
      if (frame.t === "welcome") this.#welcomed(frame);
      else if (frame.t === "err") this.#refusedFor(errorOf(frame));
      return;
    }
    switch (frame.t) {
      case "msg":
        if (frame.seq !== null) this.#message(frame as RoomMessage, open);
        return;
      case "ok":
        this.#ok(frame);
        return;
      case "err":
        this.#err(frame);
        return;
      case "gap":
        if (this.#timelines.get(frame.room)?.gap(frame) === false)
          this.#lose(open.attempt, "protocol: a gap out of place");
        if (frame.reason === "reset") {
          events.emit("reset", { room: frame.room });
          this.#touchRoom(frame.room);
        }
        return;
      case "room":
        this.#timelines.get(frame.room)?.learn(frame.line, frame.head);
        this.#parts.directRoom(frame);
        events.emit("room", frame);
        return;
      case "read":
      case "typing":
      case "presence":
        events.emit(frame.t, frame);
        return;
      case "drain":
        // With nowhere else to go, what is on its way is still answered here.
        if (connection.hasOther()) this.#lose(open.attempt, "drain");
        return;
      case "settled":
        // What a mesh showed as provisional has its place now: read on from the last settled one.
        this.#timelines.get(frame.room)?.again();
        this.#touchRoom(frame.room);
        return;
      case "pong":
        requests.answered(Number(frame.id), frame);
        return;
      case "welcome":
      case "caught-up":
        return;
      default:
        return unreachable(frame);
    }
  }

  #touchRoom(room: RoomName): void {
    const timeline = this.#timelines.get(room);
    if (timeline !== undefined) this.touch(timeline);
  }

  #welcomed(welcome: ServerFrameOf<"welcome">): void {
    if (this.#cluster !== null && this.#cluster !== welcome.cluster) {
      this.#parts.outbox.forgetPrevious();
      for (const timeline of this.#timelines.values()) timeline.reset(null);
      this.#parts.events.emit("reset", { room: null });
    }
    this.#forgetRefusals();
    this.#cluster = welcome.cluster;
    this.#welcome = welcome;
    const { heartbeatMs, servers } = welcome;
    this.step({ type: "welcome", now: this.#parts.clock.now(), heartbeatMs, servers });
    this.#parts.welcomed(welcome);
  }

  #message(message: RoomMessage, open: Open): void {
    const timeline = this.#timelines.get(message.room);
    if (timeline !== undefined && timeline.readers.size > 0) {
      if (!timeline.message(message)) this.#lose(open.attempt, "protocol: a message out of place");
      else if (timeline.stalled) this.#unsettled.add(timeline);
    } else if (isDirect(message.room)) this.#parts.directMessage(message.room, message.seq);
  }

  #ok(ok: Extract<ServerFrame, { t: "ok" }>): void {
    const { outbox, requests } = this.#parts;
    const id = Number(ok.id);
    if (ok.of === "send") {
      const entry = outbox.attempt(id);
      if (entry === null) return;
      if (ok.seq !== null) this.timeline(entry.send.room).wrote(ok.line, ok.seq);
      outbox.stored(entry, ok);
      this.#parts.changed(entry);
    } else if (ok.of === "sub") {
      const timeline = this.#timelines.get(ok.room);
      timeline?.subscribed(ok);
      if (timeline !== undefined) this.#unsettled.add(timeline);
    } else {
      const entry = ok.of === "lookup" ? outbox.attempt(id) : null;
      if (entry === null || ok.of !== "lookup") {
        requests.answered(id, ok);
        return;
      }
      // Behind that place it would have been stored, and part of what stood there is not kept any more.
      const isPartGone = (ok.first ?? 0) > sinceOf(entry, this.#timelines.get(ok.room)) + 1;
      outbox.lookedUp(entry, ok.seq, isPartGone);
      this.#parts.changed(entry);
    }
  }

  #err(frame: ServerFrameOf<"err">): void {
    const { outbox, requests, events, clock } = this.#parts;
    const error = errorOf(frame);
    if (frame.id === undefined) {
      events.emit("error", { code: error.code, message: error.message });
      return;
    }
    const id = Number(frame.id);
    const now = clock.now();
    const entry = outbox.attempt(id);
    let failures: number | null = null;
    if (entry !== null) {
      failures = outbox.failed(entry, { ...frame, retryAfterMs: frame.retryAfterMs ?? null }, now);
      this.#parts.changed(entry);
    } else {
      failures = requests.failed(id, error, frame.retryable, now);
      for (const timeline of this.#unsettled) {
        if (timeline.asked?.id === id) failures = timeline.failed(id, error, frame.retryable, now);
      }
    }
    if (frame.retryable && failures !== null && failures >= failuresBeforeMove) {
      this.step({ type: "move", now, reason: error.code, hint: frame.hint ?? null });
    }
  }

  #pump(): void {
    const { connection, outbox, requests, clock } = this.#parts;
    if (this.#state.name === "closed") return;
    const now = clock.now();
    let recheckAt = Infinity;
    const open = this.#open;
    if (connection.state.name === "online" && open !== null) {
      const buffered = open.link.bufferedBytes();
      if (buffered < bufferedBytesMax) this.#gather(now, bufferedBytesMax - buffered);
      if (outbox.size > outbox.inFlight && open.link.bufferedBytes() >= bufferedBytesMax)
        recheckAt = now + bufferedRetryMs;
    }
    this.#arm(Math.min(recheckAt, this.#dueAt(now), requests.dueAt(now) ?? Infinity));
  }

  #gather(now: Millis, budget: number): void {
    const { outbox, requests } = this.#parts;
    const frames: ClientFrame[] = [];
    for (const timeline of this.#unsettled) {
      const frame = timeline.next(now, this.#id);
      if (frame !== null) frames.push(frame);
      if (timeline.asked === null && timeline.dueAt(now) === null) this.#unsettled.delete(timeline);
    }
    requests.take(now, this.#id, frames);
    const entries: OutboxEntry[] = [];
    const inFlightMax = this.#welcome?.limits.sendsInFlightMax ?? 1;
    outbox.take(now, { inFlightMax, budget, nextId: this.#id }, entries);
    for (const entry of entries) frames.push(sendFrame(entry, this.#timelines.get(entry.send.room)));
    this.#write(frames);
    for (const entry of entries) this.#parts.changed(entry);
  }

  #write(frames: readonly ClientFrame[]): void {
    const open = this.#open;
    if (open === null || open.encoding === null) return;
    // The server holds a whole write to the bound of one frame, and ends a link that goes beyond it.
    const bytesMax = Math.min(writeBytesMax, this.#welcome?.limits.frameBytesMax ?? 0);
    let start = 0;
    let bytes = 0;
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i]!;
      const size = frameBesidesBytesMax + (frame.t === "send" ? frame.body.length * bytesPerUnitMax : 0);
      if (i > start && (i - start >= framesPerWriteMax || bytes + size > bytesMax)) {
        this.#say(open, open.encoding, frames.slice(start, i));
        start = i;
        bytes = 0;
      }
      bytes += size;
    }
    if (start < frames.length) this.#say(open, open.encoding, frames.slice(start));
  }

  /** Writes frames; one that has no form in this encoding is answered here as the server would, and harms no other. */
  #say(open: Open, encoding: Encoding, frames: readonly ClientFrame[]): void {
    let data: string | Uint8Array;
    try {
      data = encoding.encode(frames);
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "Fault") throw error;
      const [frame] = frames;
      if (frames.length > 1) for (const one of frames) this.#say(open, encoding, [one]);
      else if (frame !== undefined && "id" in frame) {
        const { id } = frame;
        this.#err({ t: "err", id, code: "bad_request", message: error.message, definite: true, retryable: false });
      } else this.#lose(open.attempt, error.message);
      return;
    }
    open.link.send(data);
  }

  /** When something on the link is due: a heartbeat, a try, an answer that is late, a wait that is over. */
  #dueAt(now: Millis): number {
    const { connection, outbox } = this.#parts;
    let due: number = connection.dueAt() ?? Infinity;
    if (connection.state.name !== "online") return due;
    const oldest = outbox.oldestSentAt();
    if (oldest !== null) due = Math.min(due, oldest + answerWithinMs);
    due = Math.min(due, outbox.dueAt(now) ?? Infinity);
    for (const timeline of this.#unsettled) {
      if (timeline.asked !== null) due = Math.min(due, timeline.asked.at + answerWithinMs);
      due = Math.min(due, timeline.dueAt(now) ?? Infinity);
    }
    return due;
  }

  /** One timer, for whatever is due first. One that fires early only looks again. */
  #arm(at: number): void {
    if (at === Infinity || (this.#timer !== null && this.#timerAt <= at)) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    const { clock } = this.#parts;
    this.#timer = clock.after(Math.max(at - clock.now(), 0) as Millis, () => {
      this.#timer = null;
      this.#due(clock.now());
    });
  }

  #due(now: Millis): void {
    const { connection, outbox, requests } = this.#parts;
    let late = requests.expire(now, answerWithinMs);
    const oldest = outbox.oldestSentAt();
    if (oldest !== null && now >= oldest + answerWithinMs) late = true;
    for (const timeline of this.#unsettled) {
      if (timeline.asked !== null && now >= timeline.asked.at + answerWithinMs) late = true;
    }
    if (late && connection.state.name === "online") this.step({ type: "lost", now, reason: "timeout" });
    this.step({ type: "due", now });
  }

  #showState(): void {
    const { connection, clock, events } = this.#parts;
    const { state } = connection;
    const shown = this.#state;
    let next: ChatState;
    switch (state.name) {
      case "idle":
        return;
      case "connecting":
        if (shown.name === "connecting" && shown.url === state.url) return;
        next = { name: "connecting", url: state.url };
        break;
      case "online":
        if (shown.name === "online") return;
        next = {
          name: "online",
          url: state.url,
          node: this.#welcome?.node ?? "",
          session: this.#welcome?.session ?? "",
        };
        break;
      case "offline":
        if (shown.name === "offline") return;
        next = {
          name: "offline",
          reason: state.reason,
          retryAt: timestamp(clock.wall() + Math.max(Math.ceil(state.retryAt - clock.now()), 0)),
        };
        break;
      case "unauthorized":
      case "closed":
        if (shown.name === state.name) return;
        next = { name: state.name, reason: state.reason };
        break;
      default:
        return unreachable(state);
    }
    this.#state = next;
    events.emit("state", next);
  }
}

function sendFrame(entry: OutboxEntry, timeline: Timeline | undefined): ClientFrame {
  const { send } = entry;
  const { cid, room } = send;
  if (entry.step === "lookup") return { t: "lookup", id: entry.request, room, cid };
  const place = send.to === null ? { room } : { to: send.to };
  return {
    t: "send",
    id: entry.request,
    ...place,
    cid,
    kind: send.kind ?? undefined,
    ref: send.ref ?? undefined,
    // A head of another line says nothing about this one: then the server must look through all of it.
    since: sinceOf(entry, timeline),
    prev: entry.prev ?? undefined,
    body: send.body,
  };
}

/** A head of another line says nothing about this one: then the message may stand anywhere. */
const sinceOf = ({ send }: OutboxEntry, timeline: Timeline | undefined): Seq =>
  send.line !== null && timeline?.line === send.line ? send.since : (0 as Seq);

const errorOf = (frame: ServerFrameOf<"err">): ChatError =>
  new ChatError(frame.code, frame.message, frame.retryable, frame.retryAfterMs ?? null);
