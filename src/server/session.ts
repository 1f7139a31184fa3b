import { unreachable } from "../base/assert.ts";
import { getU32 } from "../base/byte-order.ts";
import { type ErrorCode, errorCodes, Fault } from "../base/error-codes.ts";
import { type RoomName, seq, type UserName } from "../base/ids.ts";
import { decodeBinary } from "../protocol/binary-codec.ts";
import type { Refused } from "../protocol/check-frame.ts";
import { decodeJson } from "../protocol/json-codec.ts";
import { directRoomOf } from "../protocol/names.ts";
import type { ClientFrame, ClientFrameOf, RequestId, ServerFrame } from "../protocol/schema.ts";
import {
  isSend,
  sendBodyLength,
  sendBodyStart,
  sendCidLength,
  sendCidStart,
  sendCode,
  sendKindLength,
  sendKindStart,
  sendPrevLength,
  sendPrevStart,
  sendRef,
  sendRequestId,
  sendRoomLength,
  sendRoomStart,
  sendSince,
  sendToLength,
  sendToStart,
} from "../protocol/send-bytes.ts";
import { textOf, utf8 } from "../protocol/utf8.ts";
import { type OutcomeCode, outcomeErrors, outcomes } from "../rooms/outcome.ts";
import { recordHeaderBytes, textLength } from "../rooms/message-record.ts";
import type { Room } from "../rooms/room.ts";
import type { ChunkDamage } from "../storage/chunk/chunk-damage.ts";
import { fillSource, type Origin } from "./batch.ts";
import { type Caller, refusal, refusalOf } from "./caller.ts";
import type { ClientLink, ClientSession, WireFormat } from "./client-link.ts";
import type { LiveRoom } from "./live-room.ts";
import type { Identity, SessionHost } from "./session-host.ts";
import type { SendRate } from "./send-rates.ts";
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
 * One client's connection, behind its door. Takes frames in their order, answers requests, and holds the client's
 * subscriptions. It is told what became of its sends in the order of the log.
 *
 * 1. frames are taken in order; while one must wait (a lookup, a full ring) those behind it wait, and the door stops
 *    reading: back-pressure reaches the sender's socket
 * 2. everything that is queued in a turn is written at its end, at once
 */
export class Session implements ClientSession, Caller, Origin {
  readonly id: string;
  readonly link: ClientLink;
  readonly #host: SessionHost;
  #standing: Standing;
  #user = "" as UserName;
  #userBytes: Uint8Array = noBytes;
  #subscriptions: Map<RoomName, Subscription> | null = null;
  #sendsInFlight = 0;
  #requestsInFlight = 0;
  #pagesInFlight = 0;
  heardAt: number;
  #rate: SendRate | null = null;

  // Input that waits for its turn: whole frames as bytes, or decoded ones.
  #blocked = false;
  #held: (Uint8Array | ClientFrame | Refused)[] = [];

  // Output of this turn: pieces that are shared with others, and a region of the writer's slab that still grows.
  #pieces: Uint8Array[] = [];
  #slab: Uint8Array = noBytes;
  #start = 0;
  #end = 0;
  #closing: { code: number; reason: string } | null = null;
  /** When the queue was last seen to move, while it is not empty. */
  #movedAt = 0;
  #queuedBefore = 0;

  constructor(host: SessionHost, link: ClientLink, id: string) {
    this.#host = host;
    this.link = link;
    this.id = id;
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
    return this.#subscriptions === null ? [] : [...this.#subscriptions.keys()];
  }

  subscription(room: RoomName): Subscription | undefined {
    return this.#subscriptions?.get(room);
  }

  // Input

  received(bytes: Uint8Array): void {
    this.heardAt = this.#host.clock.now();
    if (this.#blocked) this.#held.push(bytes);
    else this.#take(bytes);
  }

  #take(bytes: Uint8Array): void {
    if (this.format === "binary-stream" || this.format === "binary-websocket") this.#takeBinary(bytes);
    else this.#takeJson(bytes);
  }

  #takeBinary(bytes: Uint8Array): void {
    let o = 0;
    while (o < bytes.length && this.#standing.state !== "ended") {
      const end = o + 4 + getU32(bytes, o);
      if (bytes[o + 4] === sendCode && this.#standing.state === "open" && isSend(bytes, o, end, this.#host.limits)) {
        if (!this.#sendBinary(bytes, o, end)) {
          this.#held.unshift(bytes.subarray(o));
          return;
        }
      } else if (!this.#frame(decodeBinary("client", bytes, o, end, this.#host.limits))) {
        this.#held.unshift(bytes.subarray(o));
        return;
      }
      o = end;
      if (this.#blocked && o < bytes.length) {
        this.#held.unshift(bytes.subarray(o));
        return;
      }
    }
  }

  #takeJson(bytes: Uint8Array): void {
    if (this.#standing.state === "greeting" && bytes.length > this.#host.limits.helloBytesMax) {
      this.#refuse(refusal(undefined, "too_large", "the first frame is too long"), 4413);
      return;
    }
    const frames: (ClientFrame | Refused)[] = [];
    decodeJson("client", bytes, this.#host.limits, frames);
    this.#takeFrames(frames);
  }

  #takeFrames(frames: readonly (ClientFrame | Refused)[]): void {
    for (let i = 0; i < frames.length; i++) {
      if (this.#blocked || !this.#frame(frames[i]!)) {
        this.#held.unshift(...frames.slice(i));
        return;
      }
    }
  }

  #block(): void {
    if (this.#blocked) return;
    this.#blocked = true;
    this.link.pause();
  }

  #goOn(): void {
    if (!this.#blocked || this.#standing.state === "ended") return;
    this.#blocked = false;
    while (!this.#blocked) {
      const next = this.#held.shift();
      if (next === undefined) break;
      if (next instanceof Uint8Array) this.#take(next);
      else if (!this.#frame(next)) this.#held.unshift(next);
    }
    if (!this.#blocked) this.link.resume();
  }

  // Answers false when the frame must wait: it is not taken, and nothing behind it may be.
  #frame(frame: ClientFrame | Refused): boolean {
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
        if (frame.t === "send") return this.#sendFrame(frame);
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
    this.#block();
    this.#host.authenticate({ user: frame.user, token: frame.token ?? null, link: this.link }).then(
      (identity) => this.#welcome(identity),
      (cause: unknown) => {
        if (this.#standing.state === "ended") return;
        this.#refuse(refusalOf(undefined, cause), 4401);
      },
    );
  }

  #welcome(identity: Identity): void {
    if (this.#standing.state !== "greeting") return;
    this.#user = identity.user;
    this.#userBytes = utf8(identity.user);
    this.#standing = { state: "open", identity };
    this.answer(this.#host.welcome(this));
    this.#host.opened(this);
    this.#host.fanOut.touched(this);
    this.#goOn();
  }

  // Frames of an open session

  #openFrame(frame: Exclude<ClientFrame, { t: "send" }>): void {
    switch (frame.t) {
      case "hello":
        this.answer(refusal(undefined, "bad_request", "hello was said already"));
        return;
      case "sub":
        this.#answering(frame.id, () => this.#subscribe(frame));
        return;
      case "unsub":
        this.#unsubscribe(frame.room);
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
        this.#answering(frame.id, () => this.#host.presence.asked(this, frame));
        return;
      case "join":
      case "leave":
      case "hist":
      case "lookup":
      case "read":
      case "rooms":
        this.#request(frame);
        return;
      default:
        unreachable(frame);
    }
  }

  #answering(id: RequestId, handle: () => void): void {
    try {
      handle();
    } catch (cause) {
      this.answer(refusalOf(id, cause));
    }
  }

  #request(frame: Parameters<SessionHost["requests"]["handle"]>[1]): void {
    if (this.#requestsInFlight >= this.#host.limits.requestsInFlightMax) {
      this.answer(refusal(frame.id, "overloaded", "too many requests of this connection wait", { retryAfterMs: 200 }));
      return;
    }
    const isPage = frame.t === "hist";
    if (isPage && (this.#pagesInFlight >= this.#host.limits.pagesInFlightMax || this.isSlow())) {
      this.answer(refusal(frame.id, "overloaded", "take the pages that were asked for first", { retryAfterMs: 200 }));
      return;
    }
    if (isPage) this.#pagesInFlight++;
    this.#requestsInFlight++;
    this.#host.requests.handle(this, frame).then(
      (answer) => {
        this.#requestsInFlight--;
        if (isPage) this.#pagesInFlight--;
        this.answer(answer);
      },
      (cause: unknown) => {
        this.#requestsInFlight--;
        if (isPage) this.#pagesInFlight--;
        this.answer(refusalOf(frame.id, cause));
      },
    );
  }

  #refresh(frame: ClientFrameOf<"refresh">): void {
    this.#host.authenticate({ user: this.#user, token: frame.token, link: this.link }).then(
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

  // Sends

  // Answers false when the send must wait: it is taken again from the same bytes.
  #sendBinary(b: Uint8Array, o: number, end: number): boolean {
    const id = sendRequestId(b, o, end);
    const { state } = this.#host;
    let room: Room | undefined;
    let name: Uint8Array;
    const roomLength = sendRoomLength(b, o);
    if (roomLength > 0) {
      const start = sendRoomStart(b, o);
      room = state.roomAt(b, start, roomLength);
      name = room?.nameBytes ?? b.subarray(start, start + roomLength);
    } else {
      const start = sendToStart(b, o);
      const to = textOf(b, start, start + sendToLength(b, o)) as UserName;
      if (!this.#mayWriteTo(id, to)) return true;
      name = utf8(directRoomOf(this.#user, to));
      room = state.room(name);
    }
    const source = this.#host.source;
    source.bytes = b;
    source.cidStart = sendCidStart(b, o);
    source.cidLength = sendCidLength(b, o);
    source.kindStart = sendKindStart(b, o);
    source.kindLength = isText(b, source.kindStart, sendKindLength(b, o)) ? 0 : sendKindLength(b, o);
    source.prevStart = sendPrevStart(b, o);
    source.prevLength = sendPrevLength(b, o);
    source.bodyStart = sendBodyStart(b, o);
    source.bodyLength = sendBodyLength(b, o);
    source.ref = sendRef(b, o);
    source.checked = sendSince(b, o);
    return this.#post(id, name, room);
  }

  #sendFrame(frame: ClientFrameOf<"send">): boolean {
    const { to } = frame;
    if (to !== undefined && !this.#mayWriteTo(frame.id, to)) return true;
    const name = utf8(to === undefined ? frame.room! : directRoomOf(this.#user, to));
    fillSource(this.#host.source, this.#host.scratch, frame);
    return this.#post(frame.id, name, this.#host.state.room(name));
  }

  #mayWriteTo(id: RequestId, to: UserName): boolean {
    if (this.#host.knowsUser(to)) return true;
    this.answer(refusal(id, "not_found", "nobody here has that name"));
    return false;
  }

  #post(id: RequestId, name: Uint8Array, room: Room | undefined): boolean {
    if (this.#sendsInFlight >= this.#host.limits.sendsInFlightMax) {
      this.answer(refusal(id, "overloaded", "too many sends of this connection wait", { retryAfterMs: 50 }));
      return true;
    }
    if (!this.#mayPost(id, room, name)) return true;
    const { rates, source } = this.#host;
    const rate = (this.#rate ??= rates.of(this.#user, this.heardAt));
    const waitMs = rates.take(rate, source.bodyLength, this.heardAt);
    if (waitMs > 0) {
      this.answer(refusal(id, "rate_limited", "this user sends faster than allowed", { retryAfterMs: waitMs }));
      return true;
    }
    const existing = room?.exists === true ? room : undefined;
    const taken = this.#host.orderer.post(
      this,
      id,
      name,
      existing,
      this.#userBytes,
      this.#host.source,
      this.#sendsInFlight > 0,
    );
    switch (taken.type) {
      case "proposed":
        this.#sendsInFlight++;
        return true;
      case "lookingUp":
        this.#sendsInFlight++;
        this.#block();
        taken.done.then(
          () => this.#lookedUp(),
          (cause: unknown) => {
            this.#sendsInFlight--;
            this.answer(refusalOf(id, cause));
            this.#lookedUp();
          },
        );
        return true;
      case "full":
        this.#block();
        taken.again(() => this.#goOn());
        // It is taken again from the start.
        rate.messages += 1;
        rate.bytes += source.bodyLength;
        return false;
      case "refused":
        this.answer(refusal(id, taken.code, taken.message, { definite: true, retryAfterMs: taken.retryAfterMs }));
        return true;
      default:
        return unreachable(taken);
    }
  }

  // What `apply` would refuse anyway is told at once, so that it costs no flush. A room that is being made by this
  // connection's own join is left to `apply`.
  #mayPost(id: RequestId, room: Room | undefined, name: Uint8Array): boolean {
    const isDirect = name[0] === 0x40;
    if (room === undefined || !room.exists) {
      if (isDirect || this.#requestsInFlight > 0) return true;
    } else if (room.mayReadBytes(this.#userBytes, 0, this.#userBytes.length)) {
      return true;
    }
    this.answer(refusal(id, "not_found", "there is no such room"));
    return false;
  }

  #lookedUp(): void {
    this.#goOn();
  }

  decided(
    request: RequestId,
    code: OutcomeCode,
    seq: number,
    ts: number,
    epoch: number,
    memory: Uint8Array,
    offset: number,
  ): void {
    this.#sendsInFlight--;
    if (this.#standing.state !== "open") return;
    if (code === outcomes.stored || code === outcomes.repeat) {
      const ok = this.#host.ok;
      ok.id = request;
      ok.source = memory;
      ok.roomStart = offset + recordHeaderBytes;
      ok.roomLength = textLength(memory, offset, 0);
      ok.cidStart = ok.roomStart + ok.roomLength + textLength(memory, offset, 1);
      ok.cidLength = textLength(memory, offset, 2);
      ok.seq = seq;
      ok.ts = ts;
      ok.epoch = epoch;
      ok.dup = code === outcomes.repeat;
      this.#beforeFrame();
      this.#host.writer.okSend(this.format, ok);
      this.#afterFrame();
      return;
    }
    const error: ErrorCode = outcomeErrors[code] ?? "unavailable";
    this.answer(refusal(request, error, errorCodes[error].meaning));
  }

  undecided(request: RequestId): void {
    this.#sendsInFlight--;
    this.answer(refusal(request, "unavailable", "the server stopped before this was decided", { definite: false }));
  }

  // Subscriptions

  #subscribe(frame: ClientFrameOf<"sub">): void {
    const room = this.#host.requests.readable(this, frame.room);
    const wanted = frame.atLeast ?? (frame.after === "latest" ? 0 : frame.after);
    const isReset = frame.line !== undefined && frame.line !== room.line;
    if (!isReset && wanted > room.head) {
      this.#subscribeLater(frame, room, wanted);
      return;
    }
    this.#unsubscribe(frame.room);
    if ((this.#subscriptions?.size ?? 0) >= this.#host.limits.subsMax) {
      throw new Fault("too_large", `a connection reads at most ${this.#host.limits.subsMax} rooms`);
    }
    const live = this.#host.memory.live(room);
    const epoch = this.#host.state.appliedTerm;
    const { node } = this.#host;
    const head = seq(live.announced);
    this.answer({
      t: "ok",
      of: "sub",
      id: frame.id,
      room: frame.room,
      line: room.line,
      first: seq(room.first),
      head,
      epoch,
      node,
    });
    let after: number = frame.after === "latest" ? head : frame.after;
    if (isReset) {
      // The client's positions mean other messages than ours: it is told so, and begins anew.
      this.gap(room, 1, Math.max(1, after), "reset");
      after = 0;
    }
    const subscription = this.#add(live, after + 1);
    this.#host.presence.entered(live.room);
    this.#host.fanOut.catchUp(subscription);
  }

  // The client has seen more than this server has: it waits a little, then says so.
  #subscribeLater(frame: ClientFrameOf<"sub">, room: Room, wanted: number): void {
    this.#host.requests.reached(room, wanted).then(
      () => {
        if (this.#standing.state === "open") this.#answering(frame.id, () => this.#subscribe(frame));
      },
      (cause: unknown) => {
        this.answer(refusalOf(frame.id, cause));
      },
    );
  }

  /** A direct room that comes by itself gets a position of its own, once this connection is too slow to follow. */
  subscribeSilently(live: LiveRoom, next: number): Subscription {
    const subscription = this.#add(live, next);
    subscription.saidCaughtUp = true;
    return subscription;
  }

  #add(live: LiveRoom, next: number): Subscription {
    const subscription: Subscription = {
      session: this,
      live,
      next,
      state: "catchingUp",
      reading: false,
      saidCaughtUp: false,
    };
    this.#subscriptions ??= new Map();
    this.#subscriptions.set(live.room.name, subscription);
    live.subscriptions.push(subscription);
    return subscription;
  }

  #unsubscribe(room: RoomName): void {
    const subscription = this.#subscriptions?.get(room);
    if (subscription === undefined) return;
    this.#subscriptions!.delete(room);
    this.#detach(subscription);
  }

  #detach(subscription: Subscription): void {
    subscription.state = "ended";
    const { subscriptions } = subscription.live;
    const at = subscriptions.indexOf(subscription);
    if (at >= 0) {
      // The order of readers does not matter: the last takes the place.
      const last = subscriptions.pop()!;
      if (at < subscriptions.length) subscriptions[at] = last;
    }
    this.#host.presence.left(subscription.live.room);
  }

  /** The room is gone, or this user may not read it any more. */
  endSubscription(subscription: Subscription, reason: string): void {
    const { room } = subscription.live;
    this.gap(room, subscription.next, Math.max(subscription.next, room.head), reason);
    this.#unsubscribe(room.name);
  }

  /** A part of a room's history is damaged on this disk. */
  damaged(room: Room, from: number, to: number, cause: ChunkDamage): void {
    this.#host.log.error("history.damaged", { room: room.name, from, to, cause });
    this.#host.damageCounts.detected++;
    this.gap(room, from, to, "damaged");
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
    this.#beforeFrame();
    this.#host.writer.frame(this.format, frame);
    this.#afterFrame();
  }

  /** Queues frames that are wrapped for this link's format; the bytes may be shared. */
  push(pieces: readonly Uint8Array[]): void {
    if (this.#standing.state === "ended") return;
    this.#cut();
    for (const piece of pieces) this.#pieces.push(piece);
  }

  /** Whether the client's side takes less than it is sent. */
  isSlow(): boolean {
    return this.link.queuedBytes() > this.#host.limits.socketQueueBytesMax;
  }

  #beforeFrame(): void {
    const { writer } = this.#host;
    if (this.#slab === writer.slab && this.#end === writer.at) return;
    this.#cut();
    this.#slab = writer.slab;
    this.#start = writer.at;
    this.#end = writer.at;
  }

  #afterFrame(): void {
    const { writer } = this.#host;
    if (this.#slab !== writer.slab) {
      this.#cut();
      this.#slab = writer.slab;
      this.#start = 0;
    }
    this.#end = writer.at;
    this.#host.fanOut.touched(this);
  }

  #cut(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#slab.subarray(this.#start, this.#end));
    this.#slab = noBytes;
    this.#start = 0;
    this.#end = 0;
  }

  /** Writes what is queued, as one write. */
  flush(): void {
    this.#cut();
    if (this.#pieces.length > 0) {
      const pieces = this.#pieces;
      this.#pieces = [];
      this.link.write(pieces);
    }
    if (this.#closing !== null) {
      const { code, reason } = this.#closing;
      this.#closing = null;
      this.#leave();
      this.link.close(code, reason);
    }
  }

  drained(): void {
    this.#queuedBefore = 0;
    if (this.#subscriptions === null) return;
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.state === "paused") {
        subscription.state = "catchingUp";
        this.#host.fanOut.catchUp(subscription);
      }
    }
  }

  /** Looked at every few seconds: a client that is silent, does not greet, or does not read is let go. */
  checkAlive(now: number): void {
    const { limits } = this.#host;
    if (this.#standing.state === "greeting") {
      if (now - this.#standing.openedAt > limits.helloWithinMs) this.end(4401, "no hello in time");
      return;
    }
    if (this.#standing.state !== "open") return;
    const { expiresAt } = this.#standing.identity;
    if (expiresAt !== null && this.#host.clock.wall() >= expiresAt) this.end(4401, "the token has expired");
    else if (now - this.heardAt > limits.heartbeatMs * 2) this.end(1001, "nothing heard");
    const queued = this.link.queuedBytes();
    if (queued === 0 || queued < this.#queuedBefore || this.#queuedBefore === 0) this.#movedAt = now;
    this.#queuedBefore = queued;
    if (queued > 0 && now - this.#movedAt > limits.socketStalledMsMax) {
      this.#host.slowDropped();
      this.end(4429, "nothing was read for too long");
    }
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
    this.#held = [];
    this.#pieces = [];
    if (this.#subscriptions !== null)
      for (const subscription of this.#subscriptions.values()) this.#detach(subscription);
    this.#subscriptions = null;
    this.#host.ended(this, wasOpen);
  }
}

const noBytes = new Uint8Array(0);

/** Whether a kind is the word `text`, for which a record has no bytes: the same content must have one form. */
const isText = (b: Uint8Array, start: number, length: number): boolean =>
  length === 4 && b[start] === 0x74 && b[start + 1] === 0x65 && b[start + 2] === 0x78 && b[start + 3] === 0x74;
