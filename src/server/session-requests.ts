import type { ServerFrame } from "../protocol/schema.ts";
import { refusal, refusalOf } from "./caller.ts";
import type { Session } from "./session.ts";
import type { SessionHost } from "./session-host.ts";

/** What one connection asks besides sending and subscribing, as much at a time as it may. Made with its first request. */
export class SessionRequests {
  readonly #session: Session;
  readonly #host: SessionHost;
  #inFlight = 0;
  #pagesInFlight = 0;

  constructor(session: Session, host: SessionHost) {
    this.#session = session;
    this.#host = host;
  }

  /** Whether some are not answered yet. */
  get isWaiting(): boolean {
    return this.#inFlight > 0;
  }

  ask(frame: Parameters<SessionHost["requests"]["handle"]>[1]): void {
    const session = this.#session;
    const { limits, requests } = this.#host;
    if (this.#inFlight >= limits.requestsInFlightMax) {
      session.answer(
        refusal(frame.id, "overloaded", "too many requests of this connection wait", { retryAfterMs: 200 }),
      );
      return;
    }
    const isPage = frame.t === "hist";
    if (isPage && (this.#pagesInFlight >= limits.pagesInFlightMax || session.isSlow())) {
      session.answer(
        refusal(frame.id, "overloaded", "take the pages that were asked for first", { retryAfterMs: 200 }),
      );
      return;
    }
    if (isPage) this.#pagesInFlight++;
    this.#inFlight++;
    const answered = (answer: ServerFrame): void => {
      this.#inFlight--;
      if (isPage) this.#pagesInFlight--;
      session.answer(answer);
    };
    requests.handle(session, frame).then(answered, (cause: unknown) => answered(refusalOf(frame.id, cause)));
  }
}
