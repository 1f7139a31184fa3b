import { broken } from "../base/assert.ts";
import type { AnomalyList } from "./anomaly.ts";
import type { RoomHistory, SeenMessage } from "./room-history.ts";

export type SubscriptionId = number;

export interface Subscription {
  readonly name: string;
  /** Whose; null: who it is makes no difference. */
  readonly user: string | null;
  readonly history: RoomHistory;
  readonly begunAfter: number | null;
  /** The last place given or excused by a gap; null until a subscription to the latest is answered. */
  position: number | null;
  /** When the server was last asked for it. */
  askedAt: number;
}

/**
 * What readers are given: from where each began, every place in its order, or a gap that somebody had allowed. What a
 * jump hid shows only when all is known, so it is handed to the room's history.
 */
export class Subscriptions {
  readonly #found: AnomalyList;
  readonly #open = new Map<SubscriptionId, Subscription>();

  constructor(found: AnomalyList) {
    this.#found = found;
  }

  of(id: SubscriptionId): Subscription {
    const subscription = this.#open.get(id);
    if (subscription === undefined) broken(`subscription ${id} is over or never began`);
    return subscription;
  }

  begin(id: SubscriptionId, subscription: Omit<Subscription, "position" | "askedAt">): void {
    this.#open.set(id, { ...subscription, position: subscription.begunAfter, askedAt: id });
  }

  answered(id: SubscriptionId, answer: { readonly first: number; readonly head: number }): void {
    const subscription = this.of(id);
    const { history, name, begunAfter } = subscription;
    history.begins(answer.first, name);
    history.head(answer.head, name);
    if (subscription.position === null) subscription.position = answer.head;
    else if (begunAfter !== null && answer.head < begunAfter) {
      this.#found.add(
        "broken atLeast",
        history.room,
        `${name} began after ${begunAfter} and was answered head ${answer.head}`,
      );
    }
  }

  resumed(id: SubscriptionId, after: number): void {
    const subscription = this.of(id);
    const { history, name } = subscription;
    const position = subscription.position ?? after;
    if (after > position) history.jumped({ reader: name, from: position, to: after + 1 });
    else if (after < position) {
      this.#found.add("nonmonotonic poll", history.room, `${name} stood at ${position} and resumed after ${after}`);
    }
    subscription.position = after;
  }

  observed(id: SubscriptionId, message: SeenMessage): void {
    const subscription = this.of(id);
    const { history, position, name } = subscription;
    if (message.room !== history.room) {
      this.#found.add("altered", history.room, `${name} was given a message of ${message.room}`);
      return;
    }
    if (position !== null && message.seq <= position) {
      this.#found.add("nonmonotonic poll", history.room, `${name} stands at ${position} and was given ${message.seq}`);
    } else if (position !== null && message.seq > position + 1) {
      history.jumped({ reader: name, from: position, to: message.seq });
    }
    history.see(message, name);
    if (position === null || message.seq > position) subscription.position = message.seq;
  }

  gap(id: SubscriptionId, gap: { readonly from: number; readonly to: number; readonly reason: string }): void {
    const subscription = this.of(id);
    const { history, position, name } = subscription;
    const words = `${name} was told of a gap ${gap.from}–${gap.to} (${gap.reason})`;
    if (gap.to < gap.from || gap.to >= history.removableBelow) {
      this.#found.add("false gap", history.room, `${words}; what lies below ${history.removableBelow} may be missing`);
    }
    if (position !== null && gap.from > position + 1) history.jumped({ reader: name, from: position, to: gap.from });
    if (position !== null && gap.from <= position) {
      this.#found.add("nonmonotonic poll", history.room, `${words} while standing at ${position}`);
    }
    subscription.position = Math.max(position ?? 0, gap.to);
  }

  caughtUp(id: SubscriptionId, seq: number): void {
    const { history, position, name } = this.of(id);
    history.head(seq, name);
    if (position !== null && position < seq) history.jumped({ reader: name, from: position, to: seq + 1 });
  }

  finished(id: SubscriptionId): void {
    const { history, begunAfter, position, name } = this.of(id);
    this.#open.delete(id);
    // Who began at the latest is owed what came after; what that was is known from its position only.
    history.readerFinished({ name, after: begunAfter ?? position ?? 0, position: position ?? 0 });
  }

  end(id: SubscriptionId): void {
    this.of(id);
    this.#open.delete(id);
  }
}
