import { backoffMs } from "./backoff.ts";
import { ChatError } from "./outcome.ts";
import type { Random } from "../base/random.ts";
import { fraction } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import type { ClientFrame, ServerFrame } from "../protocol/schema.ts";

/**
 * Questions, and changes that may be made twice: everything with an id except sends and subscriptions.
 *
 * 1. Every one ends: by `ok`, by an error that does not pass, or by its deadline, whichever comes first; then with what was
 *    said last.
 * 2. What a lost link leaves unanswered is asked again on the next.
 */
export interface PendingRequest {
  readonly frameOf: (id: number) => ClientFrame;
  readonly settle: (answer: ServerFrame | ChatError) => void;
  readonly deadline: Millis;
  /** Id of the attempt that is out, or 0. */
  id: number;
  sentAt: Millis;
  notBefore: number;
  failures: number;
  /** What the last attempt was answered, if that may pass. */
  fault: ChatError | null;
}

const inFlightMax = 32;
const waitingMax = 1_024;
const retryMs = 200;

export class Requests {
  readonly #random: Random;
  readonly #pending = new Set<PendingRequest>();
  readonly #inFlight = new Map<number, PendingRequest>();

  constructor(random: Random) {
    this.#random = random;
  }

  add(
    frameOf: (id: number) => ClientFrame,
    deadline: Millis,
    settle: (answer: ServerFrame | ChatError) => void,
  ): PendingRequest {
    const request: PendingRequest = {
      frameOf,
      settle,
      deadline,
      id: 0,
      sentAt: 0 as Millis,
      notBefore: 0,
      failures: 0,
      fault: null,
    };
    this.#pending.add(request);
    if (this.#pending.size > waitingMax) {
      this.#end(request, new ChatError("overloaded", `more than ${waitingMax} requests wait for an answer`));
    }
    return request;
  }

  take(now: Millis, nextId: () => number, into: ClientFrame[]): void {
    if (this.#pending.size === this.#inFlight.size) return;
    for (const request of this.#pending) {
      if (this.#inFlight.size >= inFlightMax) return;
      if (request.id !== 0 || now < request.notBefore) continue;
      request.id = nextId();
      request.sentAt = now;
      this.#inFlight.set(request.id, request);
      into.push(request.frameOf(request.id));
    }
  }

  answered(id: number, frame: ServerFrame): void {
    const request = this.#inFlight.get(id);
    if (request !== undefined) this.#end(request, frame);
  }

  /** Answers how often this request has failed so far, or null when it has ended or is not known. */
  failed(id: number, fault: ChatError, retryable: boolean, now: Millis): number | null {
    const request = this.#inFlight.get(id);
    if (request === undefined) return null;
    const asked = backoffMs(fault.retryAfterMs, retryMs, request.failures);
    const notBefore = now + asked + (fraction(this.#random) * asked) / 2;
    if (!retryable || notBefore >= request.deadline) {
      this.#end(request, fault);
      return null;
    }
    this.#inFlight.delete(id);
    request.id = 0;
    request.notBefore = notBefore;
    request.failures++;
    request.fault = fault;
    return request.failures;
  }

  /** The link is gone. */
  lost(): void {
    for (const request of this.#inFlight.values()) request.id = 0;
    this.#inFlight.clear();
  }

  /** When the oldest attempt that is out was sent; `Infinity`: none is. */
  oldestSentAt(): number {
    // Attempts are kept in the order in which they went out.
    return this.#inFlight.values().next().value?.sentAt ?? Infinity;
  }

  /** Ends what has reached its deadline. */
  expire(now: Millis): void {
    for (const request of this.#pending) {
      if (now < request.deadline) continue;
      this.#end(request, request.fault ?? new ChatError("unavailable", "no server answered in time", true));
    }
  }

  cancel(request: PendingRequest, fault: ChatError): void {
    if (this.#pending.has(request)) this.#end(request, fault);
  }

  endAll(fault: ChatError): void {
    for (const request of this.#pending) this.#end(request, fault);
  }

  /** When one may be asked again, or has reached its deadline; `Infinity`: there is none. */
  dueAt(now: Millis): number {
    let due = Infinity;
    for (const request of this.#pending) {
      due = Math.min(due, request.deadline);
      if (request.id === 0 && request.notBefore > now) due = Math.min(due, request.notBefore);
    }
    return due;
  }

  #end(request: PendingRequest, answer: ServerFrame | ChatError): void {
    this.#pending.delete(request);
    if (request.id !== 0) this.#inFlight.delete(request.id);
    request.settle(answer);
  }
}
