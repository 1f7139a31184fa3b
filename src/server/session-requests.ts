import type { RoomName } from "../base/ids.ts";
import type { ClientFrame, ServerFrame } from "../protocol/schema.ts";
import { answerBytes, mayBeLarge } from "./answer-size.ts";
import { refusal, refusalOf } from "./caller.ts";
import type { Session } from "./session.ts";
import type { SessionHost } from "./session-host.ts";

type Asked = Parameters<SessionHost["requests"]["handle"]>[1];

/**
 * What one connection asks besides sending and subscribing, as much at a time as it may. Made with its first request.
 *
 * 1. commands are put in order at once, and have small answers
 * 2. what is read may have large ones: these are built one at a time, in the order of the requests, each when the client
 *    has taken what it was sent before, and when it is this connection's turn
 * 3. what names a room that can't be read yet, behind the connection's own join of it, waits for the answer to that
 */
export class SessionRequests {
  readonly #session: Session;
  readonly #host: SessionHost;
  #inFlight = 0;
  #pagesInFlight = 0;
  readonly #reads: Asked[] = [];
  #isReading = false;
  /** Rooms with a join that is not answered, each as often as it was asked for. */
  readonly #joining: RoomName[] = [];
  /** A frame waits for the answer to one of them. */
  #isHeld = false;

  constructor(session: Session, host: SessionHost) {
    this.#session = session;
    this.#host = host;
  }

  /** Whether some are not answered yet. */
  get isWaiting(): boolean {
    return this.#inFlight > 0;
  }

  /**
   * Whether a frame must wait for the answer to a join that came before it; then the session takes none until that is there.
   * What is sent need not: it is put in order behind the join.
   */
  holds(frame: ClientFrame): boolean {
    if (this.#joining.length === 0 || !("room" in frame) || frame.t === "join" || frame.t === "send") return false;
    if (!this.#joining.includes(frame.room)) return false;
    if (this.#host.state.room(frame.room)?.mayRead(this.#session.user) === true) return false;
    this.#isHeld = true;
    this.#session.block();
    return true;
  }

  ask(frame: Asked): void {
    const session = this.#session;
    const { limits, requests, jitter } = this.#host;
    if (this.#inFlight >= limits.requestsInFlightMax) {
      const retryAfterMs = jitter.after(200);
      session.answer(refusal(frame.id, "overloaded", "too many requests of this connection wait", { retryAfterMs }));
      return;
    }
    if (frame.t === "hist") {
      if (this.#pagesInFlight >= limits.pagesInFlightMax) {
        const retryAfterMs = jitter.after(200);
        session.answer(refusal(frame.id, "overloaded", "take the pages that were asked for first", { retryAfterMs }));
        return;
      }
      this.#pagesInFlight++;
    }
    this.#inFlight++;
    if (mayBeLarge(frame)) {
      this.#reads.push(frame);
      this.goOn();
      return;
    }
    if (frame.t === "join") this.#joining.push(frame.room);
    const answered = (answer: ServerFrame): void => {
      this.#inFlight--;
      session.answer(answer);
      if (frame.t === "join") this.#joined(frame.room);
    };
    requests.handle(session, frame).then(answered, (cause: unknown) => answered(refusalOf(frame.id, cause)));
  }

  #joined(room: RoomName): void {
    this.#joining.splice(this.#joining.indexOf(room), 1);
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#session.goOn();
  }

  /** The client has taken what it was sent, or may have: the next answer is built. */
  goOn(): void {
    if (this.#isReading || this.#reads.length === 0 || this.#session.hasStepQueued()) return;
    const frame = this.#reads.shift()!;
    this.#isReading = true;
    this.#read(frame).then(
      (answer) => this.#answered(frame, answer),
      (cause: unknown) => this.#answered(frame, refusalOf(frame.id, cause)),
    );
  }

  /** Nobody is there any more: what waits is not answered. */
  end(): void {
    this.#reads.length = 0;
  }

  async #read(frame: Asked): Promise<ServerFrame> {
    const { turns, requests } = this.#host;
    await requests.prepare(this.#session, frame);
    await turns.next();
    let bytes = 0;
    try {
      if (this.#session.state !== "open") return refusal(frame.id, "unavailable", "the connection has ended");
      const answer = await requests.answer(this.#session, frame);
      bytes = answerBytes(answer);
      return answer;
    } finally {
      turns.done(bytes);
    }
  }

  #answered(frame: Asked, answer: ServerFrame): void {
    this.#isReading = false;
    this.#inFlight--;
    if (frame.t === "hist") this.#pagesInFlight--;
    this.#session.answer(answer);
    this.goOn();
  }
}
