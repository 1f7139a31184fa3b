import type { UserName } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { TokenBucket } from "./token-bucket.ts";

/** Users remembered at most: those whose bucket is full again are forgotten first. */
const usersMax = 10_000;
/** So many refusals one user is told in a window; what is beyond waits unread for the next. */
const refusalsInWindow = 100;
const windowMs = 10;

/** Why a message was refused by a rate. */
export const sentTooFast = "this user sends faster than allowed, or this room is sent to faster than allowed";

/** What one user may still send right now. */
export interface SendRate {
  readonly messages: TokenBucket;
  readonly bytes: TokenBucket;
  /** When the window began that `refusals` were told in. */
  windowAt: number;
  refusals: number;
}

/**
 * Token buckets, one for each user, all of whose connections share it: so many messages and bytes a second, and one
 * second's worth at once. Who is beyond is refused with `rate_limited` and told when to come again; nothing is dropped.
 * Refusals have a rate of their own: whoever goes on all the same is read no faster than that, or refusing it would cost the
 * others as much as serving it.
 */
export class SendRates {
  readonly #messagesPerSecond: number;
  readonly #bytesPerSecond: number;
  readonly #users = new Map<UserName, SendRate>();

  constructor(limits: Pick<Limits, "sendsPerSecondMax" | "sendBytesPerSecondMax">) {
    this.#messagesPerSecond = limits.sendsPerSecondMax;
    this.#bytesPerSecond = limits.sendBytesPerSecondMax;
  }

  /** The bucket of a user: keep it as long as the user is connected. */
  of(user: UserName, now: number): SendRate {
    let rate = this.#users.get(user);
    if (rate === undefined) {
      if (this.#users.size >= usersMax) this.#forgetFull(now);
      const messages = new TokenBucket(this.#messagesPerSecond, this.#messagesPerSecond, now);
      const bytes = new TokenBucket(this.#bytesPerSecond, this.#bytesPerSecond, now);
      rate = { messages, bytes, windowAt: now, refusals: 0 };
      this.#users.set(user, rate);
    }
    return rate;
  }

  /** Takes one message of so many bytes. Answers 0, or in how many milliseconds there will be room for it. */
  take({ messages, bytes: room }: SendRate, bytes: number, now: number): number {
    const messagesWaitMs = messages.waitMs(now);
    const bytesWaitMs = room.waitMs(now, bytes);
    // One more for what rounding takes: who comes when it was told to is not refused again.
    if (messagesWaitMs > 0 || bytesWaitMs > 0) return Math.max(messagesWaitMs, bytesWaitMs) + 1;
    messages.take();
    room.take(bytes);
    return 0;
  }

  /** A message that was taken comes to nothing, or comes again. */
  giveBack({ messages, bytes: room }: SendRate, bytes: number): void {
    messages.giveBack();
    room.giveBack(bytes);
  }

  /** Counts a refusal. Answers 0, or in how many milliseconds it may be told, and then it was not counted. */
  refuse(rate: SendRate, now: number): number {
    if (now - rate.windowAt >= windowMs) {
      rate.windowAt = now;
      rate.refusals = 0;
    }
    if (rate.refusals >= refusalsInWindow) return Math.max(1, Math.ceil(windowMs - (now - rate.windowAt)));
    rate.refusals++;
    return 0;
  }

  #forgetFull(now: number): void {
    // A second after its last message a bucket is full, and no different from a new one.
    for (const [user, rate] of this.#users) if (now - rate.messages.at >= 1_000) this.#users.delete(user);
  }
}
