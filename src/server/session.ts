import { unreachable } from "../base/assert.ts";
import { Fault } from "../base/error-codes.ts";
import { type RoomName, seq, type UserName } from "../base/ids.ts";
import type { Refused } from "../protocol/check-frame.ts";
import type { OkSendRanges } from "../protocol/message-bytes.ts";
import type { ClientFrame, ClientFrameOf, RequestId, ServerFrame } from "../protocol/schema.ts";
import { utf8 } from "../protocol/utf8.ts";
import type { Room } from "../rooms/room.ts";
import { type Caller, refusal, refusalOf } from "./caller.ts";
import type { ClientLink, ClientSession, WireFormat } from "./client-link.ts";
import type { Holder } from "./held-output.ts";
import type { LiveRoom } from "./live-room.ts";
import type { Identity, SessionHost } from "./session-host.ts";
import { type FrameTaker, SessionInput } from "./session-input.ts";
import { SessionOutput } from "./session-output.ts";
import { SessionReading } from "./session-reading.ts";
import { SessionRequests } from "./session-requests.ts";
import { SessionSends } from "./session-sends.ts";
import type { Subscription } from "./subscription.ts";

/**
 * Where a connection stands.
 *
 * ```
 * greeting --hello accepted--> open --drain, token out, refused--> ended
 *     +-----------refused, too late------------------------------>
 * ```
 */
type Standing =
  | { state: "greeting"; openedAt: number; checking: boolean }
  | { state: "open"; identity: Identity }
  | { state: "ended" };

/**
 * One client's connection, behind its door: greets, takes frames in their order, and sees that the connection ends when
 * it must. What comes waits its turn in session-input.ts; what it sends is in session-sends.ts, what it asks in
 * session-requests.ts, what it reads in session-reading.ts, what it is sent in session-output.ts.
 *
 * 1. frames are taken in order; while one must wait (a lookup, a full ring) those behind it wait, and the door stops
 *    reading: back-pressure reaches the sender's socket
 * 2. everything that is queued in a turn is written at its end, at once
 */
export class Session implements ClientSession, Holder, Caller, FrameTaker {
  readonly id: string;
  readonly link: ClientLink;
  readonly #host: SessionHost;
  #standing: Standing;
  #user = "" as UserName;
  #userBytes: Uint8Array = noBytes;
  readonly #input: SessionInput;
  readonly #output: SessionOutput;
  // Most connections only read, or only wait: these are made when they are needed.
  #sends: SessionSends | null = null;
  #reading: SessionReading | null = null;
  #requests: SessionRequests | null = null;
  heardAt: number;

  #closing: { code: number; reason: string } | null = null;
  /** Something waits until the link has taken a step of history. */
  #waitsToGoOn = false;
  #inputEnded = false;
  /** Whether it was last seen to hold something that its client is to take. */
  #isHolder = false;

  constructor(host: SessionHost, link: ClientLink, id: string) {
    this.#host = host;
    this.link = link;
    this.id = id;
    this.#input = new SessionInput(this, link, host.limits, host.shares);
    this.#output = new SessionOutput(link, host.writer);
    this.heardAt = host.clock.now();
    this.#standing = { state: "greeting", openedAt: this.heardAt, checking: false };
  }

  get user(): UserName {
    return this.#user;
  }

  get userBytes(): Uint8Array {
    return this.#userBytes;
  }

  get format(): WireFormat {
    return this.link.format;
  }

  get state(): Standing["state"] {
    return this.#standing.state;
  }

  /** Rooms this connection reads. */
  rooms(): RoomName[] {
    return this.#reading?.rooms() ?? [];
  }

  subscription(room: RoomName): Subscription | undefined {
    return this.#reading?.of(room);
  }

  // Input

  received(bytes: Uint8Array): void {
    this.heardAt = this.#host.clock.now();
    this.#input.received(bytes);
  }

  /** Takes no more frames until `goOn`. */
  block(): void {
    this.#input.block();
  }

  /** Takes the frames that waited, and then reads on. */
  goOn(): void {
    this.#input.goOn();
  }

  takeSend(b: Uint8Array, o: number, end: number): boolean {
    return this.#sending().binary(b, o, end);
  }

  greetingTooLong(): void {
    this.#refuse(refusal(undefined, "too_large", "the first frame is too long"), 4413);
  }

  takeFrame(frame: ClientFrame | Refused): boolean {
    if (frame.t === "refused") {
      const { fault, id } = frame;
      this.answer(refusal(id ?? undefined, fault.code, fault.message));
      if (this.#standing.state === "greeting") this.end(1008, "the first frame must be hello");
      return true;
    }
    switch (this.#standing.state) {
      case "greeting":
        this.#greeting(frame);
        return true;
      case "open":
        if (frame.t === "send") return this.#sending().frame(frame);
        if (this.#requests?.holds(frame) === true) return false;
        this.#openFrame(frame);
        return true;
      case "ended":
        return true;
      default:
        return unreachable(this.#standing);
    }
  }

  // Greeting

  #greeting(frame: ClientFrame): void {
    if (this.#standing.state !== "greeting" || this.#standing.checking) return;
    if (frame.t !== "hello") {
      this.#refuse(refusal("id" in frame ? frame.id : undefined, "unauthorized", "say hello first"), 4401);
      return;
    }
    if (frame.v !== 1) {
      this.#refuse(refusal(undefined, "unsupported", "this server speaks version 1"), 1008);
      return;
    }
    this.#standing = { ...this.#standing, checking: true };
    this.block();
    this.#host.connections.authenticate({ user: frame.user, token: frame.token ?? null, link: this.link }).then(
      (identity) => this.#welcome(identity),
      (cause: unknown) => {
        if (this.#standing.state === "ended") return;
        const isTooFast = cause instanceof Fault && cause.code === "rate_limited";
        this.#refuse(refusalOf(undefined, cause), isTooFast ? 4429 : 4401);
      },
    );
  }

  #welcome(identity: Identity): void {
    if (this.#standing.state !== "greeting") return;
    this.#user = identity.user;
    this.#userBytes = utf8(identity.user);
    this.#standing = { state: "open", identity };
    this.answer(this.#host.connections.welcome(this));
    this.#host.connections.opened(this);
    this.#host.fanOut.touched(this);
    this.goOn();
  }

  // Frames of an open session

  #openFrame(frame: Exclude<ClientFrame, { t: "send" }>): void {
    switch (frame.t) {
      case "hello":
        this.answer(refusal(undefined, "bad_request", "hello was said already"));
        return;
      case "sub":
        this.#subscribe(frame);
        return;
      case "unsub":
        this.#reading?.unsubscribe(frame.room);
        this.answer({ t: "ok", of: "done", id: frame.id });
        return;
      case "refresh":
        this.#refresh(frame);
        return;
      case "ping":
        this.answer({ t: "pong", id: frame.id });
        return;
      case "typing":
        this.#host.presence.typing(this, frame.room);
        return;
      case "presence":
        this.answering(frame.id, () => this.#host.presence.asked(this, frame));
        return;
      case "join":
      case "leave":
      case "invite":
      case "remove":
      case "members":
      case "hist":
      case "lookup":
      case "read":
      case "rooms":
        (this.#requests ??= new SessionRequests(this, this.#host)).ask(frame);
        return;
      default:
        unreachable(frame);
    }
  }

  /** Does something for a request, and tells the Fault it throws. */
  answering(id: RequestId, handle: () => void): void {
    try {
      handle();
    } catch (cause) {
      this.answer(refusalOf(id, cause));
    }
  }

  // A room that is not there may only not be known here yet.
  #subscribe(frame: ClientFrameOf<"sub">): void {
    const { requests } = this.#host;
    const subscribe = (): void => {
      if (this.#standing.state === "open") this.#readingRooms().subscribe(frame);
    };
    try {
      subscribe();
    } catch (cause) {
      if (!requests.mayBeStale(cause)) {
        this.answer(refusalOf(frame.id, cause));
        return;
      }
      this.#host.caughtUp().then(
        () => this.answering(frame.id, subscribe),
        (why: unknown) => this.answer(refusalOf(frame.id, why)),
      );
    }
  }

  #refresh(frame: ClientFrameOf<"refresh">): void {
    this.#host.connections.authenticate({ user: this.#user, token: frame.token, link: this.link }).then(
      (identity) => {
        if (this.#standing.state !== "open") return;
        this.#standing = { state: "open", identity };
        this.answer({ t: "ok", of: "done", id: frame.id });
      },
      (cause: unknown) => {
        this.answer(refusalOf(frame.id, cause));
      },
    );
  }

  #sending(): SessionSends {
    return (this.#sends ??= new SessionSends(this, this.#host));
  }

  #readingRooms(): SessionReading {
    return (this.#reading ??= new SessionReading(this, this.#host));
  }

  /** Whether other requests of this connection are not answered yet. */
  get hasRequests(): boolean {
    return this.#requests?.isWaiting === true;
  }

  // What its subscriptions have to say

  subscribeSilently(live: LiveRoom, next: number): Subscription {
    return this.#readingRooms().subscribeSilently(live, next);
  }

  /** The room is gone, or this user may not read it any more. */
  endSubscription(subscription: Subscription, reason: string): void {
    const { room } = subscription.live;
    this.gap(room, subscription.next, Math.max(subscription.next - 1, room.head), reason);
    this.#reading?.unsubscribe(room.name);
  }

  /** A page of history could not be read. What is there must not be called missing: the client comes again. */
  readingFailed(subscription: Subscription, cause: unknown): void {
    if (subscription.state === "ended") return;
    this.#host.log.error("history.read.failed", { room: subscription.live.room.name, seq: subscription.next, cause });
    this.end(1013, "history can't be read right now");
  }

  gap(room: Room, from: number, to: number, reason: string): void {
    this.answer({ t: "gap", room: room.name, from: seq(from), to: seq(to), reason, line: room.line });
  }

  caughtUp(room: Room, upTo: number): void {
    this.answer({ t: "caught-up", room: room.name, seq: seq(upTo) });
  }

  // Output

  answer(frame: ServerFrame): void {
    if (this.#standing.state === "ended") return;
    this.#output.frame(frame);
    this.#host.fanOut.touched(this);
  }

  answerSend(ok: OkSendRanges): void {
    this.#output.okSend(ok);
    this.#host.fanOut.touched(this);
  }

  /** Queues frames that are wrapped for this link's format, and that others are given too. */
  push(pieces: readonly Uint8Array[]): void {
    if (this.#standing.state !== "ended") this.#output.push(pieces);
  }

  /** The same for frames that are for this client alone. */
  give(pieces: readonly Uint8Array[]): void {
    if (this.#standing.state !== "ended") this.#output.give(pieces);
  }

  heldBytes(): number {
    return this.#output.heldBytes();
  }

  drop(): void {
    this.#host.slowDropped();
    this.link.destroy();
    this.closed();
  }

  /** Whether the client's side takes less than it is sent. */
  isSlow(): boolean {
    return this.link.queuedBytes() > this.#host.limits.socketQueueBytesMax;
  }

  /**
   * Whether enough of history is on its way for now. A reader that catches up shares its bytes with nobody, so it is
   * held to less than one that is given what all are given.
   */
  hasStepQueued(): boolean {
    const isQueued = this.link.queuedBytes() + this.#output.queuedBytes >= this.#host.limits.catchUpBytesMax;
    if (isQueued) this.#waitsToGoOn = true;
    return isQueued;
  }

  /** Writes what is queued, and ends the connection if that was asked for. */
  flush(): void {
    this.#output.flush();
    this.#lookAtHeld();
    if (this.#waitsToGoOn && this.link.queuedBytes() === 0) {
      // All of it was taken at once, of which a socket need not tell.
      this.#host.clock.defer(() => this.drained());
    }
    if (this.#inputEnded && this.#closing === null && !this.#hasWork()) this.end(1000, "");
    if (this.#closing === null) return;
    const { code, reason } = this.#closing;
    this.#closing = null;
    this.#leave();
    this.link.close(code, reason);
  }

  drained(): void {
    this.#output.drained();
    this.#waitsToGoOn = false;
    this.#lookAtHeld();
    this.#requests?.goOn();
    this.#reading?.drained();
  }

  // As a rule it holds nothing, and did not before.
  #lookAtHeld(): void {
    const holds = this.#output.heldBytes() > 0;
    if (holds || this.#isHolder) this.#host.held.seen(this);
    this.#isHolder = holds;
  }

  inputEnded(): void {
    this.#inputEnded = true;
    this.#host.fanOut.touched(this);
  }

  /** Whether something that the client has asked is not answered yet. */
  #hasWork(): boolean {
    return this.#input.isWaiting || this.hasRequests || this.#sends?.isWaiting === true;
  }

  /** Looked at every second: whether a client that is silent, does not greet, or does not read was let go. */
  checkAlive(now: number): boolean {
    const { limits } = this.#host;
    if (this.#standing.state === "greeting") {
      if (now - this.#standing.openedAt <= limits.helloWithinMs) return false;
      // It may as well be this server that is slow.
      this.#refuse(refusal(undefined, "unauthorized", "no hello in time", { retryable: true }), 4401);
      return true;
    }
    if (this.#standing.state !== "open") return false;
    const { expiresAt } = this.#standing.identity;
    if (expiresAt !== null && this.#host.clock.wall() >= expiresAt) {
      this.#refuse(refusal(undefined, "unauthorized", "the token has expired"), 4401);
    } else if (now - this.heardAt > limits.heartbeatMs * 2) this.end(1001, "nothing heard");
    if (this.#output.stalledMs(now) > limits.socketStalledMsMax) {
      this.#host.slowDropped();
      this.end(4429, "nothing was read for too long");
    }
    return this.state !== "open";
  }

  // The answer goes out before the connection ends.
  #refuse(frame: ServerFrame, code: number): void {
    this.answer(frame);
    this.end(code, frame.t === "err" ? frame.code : "");
  }

  /** Ends the connection, after what is queued was written. */
  end(code: number, reason: string): void {
    if (this.#standing.state === "ended") return;
    this.#closing = { code, reason };
    this.#host.fanOut.touched(this);
  }

  closed(): void {
    if (this.#standing.state !== "ended") this.#leave();
  }

  #leave(): void {
    const wasOpen = this.#standing.state === "open";
    this.#standing = { state: "ended" };
    this.#input.clear();
    this.#output.clear();
    this.#requests?.end();
    this.#reading?.end();
    this.#reading = null;
    this.#lookAtHeld();
    this.#host.connections.ended(this, wasOpen);
  }
}

const noBytes = new Uint8Array(0);
