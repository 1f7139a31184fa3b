import { unreachable } from "../base/assert.ts";
import { errorCodes } from "../base/error-codes.ts";
import type { RoomName, UserName } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import { directRoomOf } from "../protocol/names.ts";
import type { ClientFrameOf, RequestId } from "../protocol/schema.ts";
import {
  sendBodyLength,
  sendCidLength,
  sendKindLength,
  sendPrevLength,
  sendRef,
  sendRequestId,
  sendRoomLength,
  sendRoomStart,
  sendSeenLength,
  sendSince,
  sendToLength,
  sendToStart,
} from "../protocol/send-bytes.ts";
import { textOf, utf8 } from "../protocol/utf8.ts";
import { cidText, fromText, recordHeaderBytes, roomText, textLength } from "../rooms/message-record.ts";
import { type OutcomeCode, outcomeFault, outcomes } from "../rooms/outcome.ts";
import type { Room } from "../rooms/room.ts";
import { fillSource, type Origin, type UndecidedCode, undecidedMessages } from "./batch.ts";
import { refusal, refusalOf } from "./caller.ts";
import { KnownAbsent } from "./known-absent.ts";
import { lacksChanged } from "./orderer.ts";
import { type SendRate, sentTooFast } from "./send-rates.ts";
import type { Session } from "./session.ts";
import type { SessionHost } from "./session-host.ts";

/**
 * The sends of one connection, from the frame to the answer. Made with its first send.
 *
 * 1. sends are proposed in the order of their frames: one that must wait (a lookup, a full ring) holds back the others
 * 2. none is stored before an earlier one of the same room that came back undecided and is looked up, whatever heads the
 *    two name; where the second names the first as `prev`, `apply` sees to it
 * 3. each is answered once, in the order of the log
 */
export class SessionSends implements Origin {
  readonly #session: Session;
  readonly #host: SessionHost;
  #inFlight = 0;
  /** Whether some of them were proposed without a look: these may come back undecided. */
  #mayReturn = false;
  readonly #knownAbsent = new KnownAbsent();
  /** Whether a send waits for all of them. */
  #isHeld = false;
  #rate: SendRate | null = null;
  /** The send that is given next was refused by what is applied here, and then this server caught up; or why it could not. */
  #caughtUp: true | { readonly cause: unknown } | null = null;

  constructor(session: Session, host: SessionHost) {
    this.#session = session;
    this.#host = host;
  }

  /** Whether some are not answered yet. */
  get isWaiting(): boolean {
    return this.#inFlight > 0;
  }

  /** Takes the send that stands at `o`. False when it must wait: it is to be given again, and nothing behind it before. */
  binary(b: Uint8Array, o: number, end: number): boolean {
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
      name = utf8(directRoomOf(this.#session.user, to));
      room = state.room(name);
    }
    this.#fillSource(b, o, roomLength);
    return this.#post(id, name, room);
  }

  // Each start follows from the one before: asked for one by one they would be added up again and again.
  #fillSource(b: Uint8Array, o: number, roomLength: number): void {
    const { source } = this.#host;
    const cidStart = sendRoomStart(b, o) + roomLength + sendToLength(b, o);
    const cidLength = sendCidLength(b, o);
    const kindStart = cidStart + cidLength;
    const kindLength = sendKindLength(b, o);
    const prevStart = kindStart + kindLength;
    const prevLength = sendPrevLength(b, o);
    source.bytes = b;
    source.roomStart = roomLength > 0 ? sendRoomStart(b, o) : 0;
    source.roomLength = roomLength;
    source.cidStart = cidStart;
    source.cidLength = cidLength;
    source.kindStart = kindStart;
    source.kindLength = isText(b, kindStart, kindLength) ? 0 : kindLength;
    source.prevStart = prevStart;
    source.prevLength = prevLength;
    source.bodyStart = prevStart + prevLength + sendSeenLength(b, o);
    source.bodyLength = sendBodyLength(b, o);
    source.ref = sendRef(b, o);
    source.checked = sendSince(b, o);
  }

  /** The same for a decoded one. */
  frame(frame: ClientFrameOf<"send">): boolean {
    const { to } = frame;
    const name = utf8(to === undefined ? frame.room! : directRoomOf(this.#session.user, to));
    fillSource(this.#host.source, this.#host.scratch, frame);
    return this.#post(frame.id, name, this.#host.state.room(name));
  }

  #post(id: RequestId, name: Uint8Array, room: Room | undefined): boolean {
    if (this.#inFlight >= this.#host.limits.sendsInFlightMax) {
      this.#session.answer(
        refusal(id, "overloaded", "too many sends of this connection wait", {
          retryAfterMs: this.#host.jitter.after(50),
        }),
      );
      return true;
    }
    const asked = this.#caughtUp;
    this.#caughtUp = null;
    const why = this.#refusalByState(room, name);
    if (why !== null) {
      if (this.#host.cluster !== null && asked === null) {
        this.#catchUp();
        return false;
      }
      const told = asked === null || asked === true ? refusal(id, "not_found", why) : refusalOf(id, asked.cause);
      this.#session.answer(told);
      return true;
    }
    const { source } = this.#host;
    // Nor may the message that it changes be lacking here, if others have it: it would come back, behind what is sent after.
    if (this.#host.cluster !== null && asked === null && this.#inFlight === 0 && lacksChanged(source, room)) {
      this.#catchUp();
      return false;
    }
    const existing = room?.exists === true ? room : undefined;
    const retryAfterMs = this.#takeFromRates(existing, source.bodyLength);
    if (retryAfterMs > 0) return this.#refuseByRate(id, retryAfterMs);
    const checkedMax = source.prevLength === 0 ? this.#knownAbsent.of(room) : Number.MAX_SAFE_INTEGER;
    if (source.checked > checkedMax) source.checked = checkedMax;
    const taken = this.#host.orderer.post(
      this,
      id,
      name,
      existing,
      this.#session.userBytes,
      source,
      this.#inFlight > 0,
      this.#mayReturn,
      checkedMax,
    );
    // One that names its `prev` may also come back because that has left the window.
    const hasPrev = source.prevLength > 0;
    switch (taken.type) {
      case "proposed":
        this.#inFlight++;
        this.#mayReturn = true;
        this.#knownAbsent.add(room, hasPrev ? 0 : source.checked);
        return true;
      case "alone":
        this.#isHeld = true;
        this.#session.block();
        this.#giveBackToRates(existing, source.bodyLength);
        return false;
      case "lookingUp":
        this.#inFlight++;
        this.#session.block();
        this.#goOnWhenKnown(taken.done, id, room, hasPrev);
        return true;
      case "full":
        this.#session.block();
        this.#goOnWhenFreed(taken.again);
        this.#giveBackToRates(existing, source.bodyLength);
        return false;
      case "refused":
        this.#session.answer(
          refusal(id, taken.code, taken.message, {
            definite: true,
            retryAfterMs: taken.retryAfterMs === null ? null : this.#host.jitter.after(taken.retryAfterMs),
          }),
        );
        return true;
      default:
        return unreachable(taken);
    }
  }

  // These two by themselves: what has a closure allocates for it on every call, also where none is made.
  #goOnWhenKnown(done: Promise<number | null>, id: RequestId, room: Room | undefined, hasPrev: boolean): void {
    done.then(
      (checked) => {
        if (checked !== null) this.#knownAbsent.add(room, hasPrev ? 0 : checked);
        this.#session.goOn();
      },
      (cause: unknown) => {
        this.#ended();
        this.#session.answer(refusalOf(id, cause));
        this.#session.goOn();
      },
    );
  }

  #goOnWhenFreed(again: (task: () => void) => void): void {
    again(() => this.#session.goOn());
  }

  // One message of so many bytes, from what the user and the room may still have. Answers 0, or in how many milliseconds
  // there will be room for it, and then nothing was taken.
  #takeFromRates(room: Room | undefined, bytes: number): number {
    const { rates, roomRates, clock } = this.#host;
    const { heardAt } = this.#session;
    const rate = (this.#rate ??= rates.of(this.#session.user, heardAt));
    // It may have waited since it was heard.
    const waitMs = rates.take(rate, bytes, heardAt) && rates.take(rate, bytes, clock.now());
    if (waitMs > 0 || room === undefined) return waitMs;
    const roomWaitMs = roomRates.waitMs(room, heardAt) && roomRates.waitMs(room, clock.now());
    if (roomWaitMs > 0) rates.giveBack(rate, bytes);
    else roomRates.take(room);
    return roomWaitMs;
  }

  #giveBackToRates(room: Room | undefined, bytes: number): void {
    const { rates, roomRates } = this.#host;
    rates.giveBack(this.#rate!, bytes);
    if (room !== undefined) roomRates.giveBack(room);
  }

  #refuseByRate(id: RequestId, retryAfterMs: number): boolean {
    const { rates, clock, jitter } = this.#host;
    const refuseAfterMs = rates.refuse(this.#rate!, clock.now());
    if (refuseAfterMs > 0) {
      this.#session.block();
      clock.after(millis(refuseAfterMs), () => this.#session.goOn());
      return false;
    }
    this.#session.answer(refusal(id, "rate_limited", sentTooFast, { retryAfterMs: jitter.after(retryAfterMs) }));
    return true;
  }

  // One is decided, or will not be proposed.
  #ended(): void {
    this.#inFlight--;
    if (this.#inFlight > 0) return;
    this.#mayReturn = false;
    this.#knownAbsent.clear();
    if (!this.#isHeld) return;
    this.#isHeld = false;
    // Not in the middle of an entry that is applied.
    this.#host.clock.defer(() => this.#session.goOn());
  }

  // What `apply` would refuse anyway is told at once, so that it costs no flush. A room that is being made by this
  // connection's own join is left to `apply`.
  #refusalByState(room: Room | undefined, name: Uint8Array): string | null {
    const isDirect = name[0] === 0x40;
    if (room === undefined || !room.exists) {
      const mayBegin = isDirect && this.#host.mayBegin(this.#session.user, textOf(name, 0, name.length) as RoomName);
      if (isDirect) return mayBegin ? null : "nobody here has that name";
      return this.#session.hasRequests ? null : "there is no such room";
    }
    const { userBytes } = this.#session;
    return room.mayReadBytes(userBytes, 0, userBytes.length) ? null : "there is no such room";
  }

  // What is not here may have been made on another server a moment ago: the send is taken again when this one knows.
  #catchUp(): void {
    this.#session.block();
    this.#host.caughtUp().then(
      () => {
        this.#caughtUp = true;
        this.#session.goOn();
      },
      (cause: unknown) => {
        this.#caughtUp = { cause };
        this.#session.goOn();
      },
    );
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
    this.#ended();
    if (this.#session.state !== "open") return;
    if (code === outcomes.stored || code === outcomes.repeat) {
      const ok = this.#host.ok;
      ok.id = request;
      ok.source = memory;
      ok.roomStart = offset + recordHeaderBytes;
      ok.roomLength = textLength(memory, offset, roomText);
      ok.cidStart = ok.roomStart + ok.roomLength + textLength(memory, offset, fromText);
      ok.cidLength = textLength(memory, offset, cidText);
      ok.seq = seq;
      ok.ts = ts;
      ok.epoch = epoch;
      ok.dup = code === outcomes.repeat;
      this.#session.answerSend(ok);
      return;
    }
    const { code: error, message } = outcomeFault(code) ?? {
      code: "unavailable",
      message: errorCodes.unavailable.meaning,
    };
    this.#session.answer(refusal(request, error, message));
  }

  undecided(request: RequestId, code: UndecidedCode): void {
    this.#ended();
    this.#session.answer(refusal(request, code, undecidedMessages[code]));
  }
}

/** A send that must wait is taken again from the start. */
/** Whether a kind is the word `text`, for which a record has no bytes: the same content must have one form. */
const isText = (b: Uint8Array, start: number, length: number): boolean =>
  length === 4 && b[start] === 0x74 && b[start + 1] === 0x65 && b[start + 2] === 0x78 && b[start + 3] === 0x74;
