import { Fault } from "../base/error-codes.ts";
import { type RoomName, seq } from "../base/ids.ts";
import type { ClientFrameOf } from "../protocol/schema.ts";
import type { Room } from "../rooms/room.ts";
import { refusalOf } from "./caller.ts";
import type { LiveRoom } from "./live-room.ts";
import type { Session } from "./session.ts";
import type { SessionHost } from "./session-host.ts";
import type { Subscription } from "./subscription.ts";

/** The rooms that one connection reads. Made with its first subscription. */
export class SessionReading {
  readonly #session: Session;
  readonly #host: SessionHost;
  readonly #subscriptions = new Map<RoomName, Subscription>();

  constructor(session: Session, host: SessionHost) {
    this.#session = session;
    this.#host = host;
  }

  rooms(): RoomName[] {
    return [...this.#subscriptions.keys()];
  }

  of(room: RoomName): Subscription | undefined {
    return this.#subscriptions.get(room);
  }

  /** Answers `sub` and begins to give. Throws the Fault to be told. A second `sub` of a room takes the place of the first. */
  subscribe(frame: ClientFrameOf<"sub">): void {
    const room = this.#host.requests.readable(this.#session, frame.room);
    const wanted = frame.atLeast ?? (frame.after === "latest" ? 0 : frame.after);
    const isReset = frame.line !== undefined && frame.line !== room.line;
    if (!isReset && wanted > room.head) {
      this.#later(frame, room, wanted);
      return;
    }
    this.unsubscribe(frame.room);
    if (this.#subscriptions.size >= this.#host.limits.subsMax) {
      throw new Fault("too_large", `a connection reads at most ${this.#host.limits.subsMax} rooms`);
    }
    const live = this.#host.memory.live(room);
    const { line } = room;
    const first = seq(room.first);
    const head = seq(live.announced);
    const { node } = this.#host;
    const epoch = this.#host.state.appliedTerm;
    this.#session.answer({ t: "ok", of: "sub", id: frame.id, room: frame.room, line, first, head, epoch, node });
    let after: number = frame.after === "latest" ? head : frame.after;
    if (isReset) {
      // The client's positions mean other messages than ours: it is told so, and begins anew.
      this.#session.gap(room, 1, Math.max(1, after), "reset");
      after = 0;
    }
    const subscription = this.#add(live, after + 1);
    this.#host.presence.entered(live.room);
    this.#host.fanOut.catchUp(subscription);
  }

  // The client has seen more than this server has: it waits a little, then says so.
  #later(frame: ClientFrameOf<"sub">, room: Room, wanted: number): void {
    this.#host.requests.reached(room, wanted).then(
      () => {
        if (this.#session.state === "open") this.#session.answering(frame.id, () => this.subscribe(frame));
      },
      (cause: unknown) => {
        this.#session.answer(refusalOf(frame.id, cause));
      },
    );
  }

  /** A direct room that comes by itself gets a position of its own, once this connection is too slow to follow. */
  subscribeSilently(live: LiveRoom, next: number): Subscription {
    const subscription = this.#add(live, next);
    subscription.saidCaughtUp = true;
    return subscription;
  }

  unsubscribe(room: RoomName): void {
    const subscription = this.#subscriptions.get(room);
    if (subscription === undefined) return;
    this.#subscriptions.delete(room);
    this.#detach(subscription);
  }

  /** The client's side has taken what was queued: whoever was paused goes on. */
  drained(): void {
    for (const subscription of this.#subscriptions.values()) {
      if (subscription.state !== "paused") continue;
      subscription.state = "catchingUp";
      this.#host.fanOut.catchUp(subscription);
    }
  }

  /** The connection is gone. */
  end(): void {
    for (const subscription of this.#subscriptions.values()) this.#detach(subscription);
    this.#subscriptions.clear();
  }

  #add(live: LiveRoom, next: number): Subscription {
    const session = this.#session;
    const subscription: Subscription = {
      session,
      live,
      next,
      state: "catchingUp",
      reading: false,
      saidCaughtUp: false,
    };
    this.#subscriptions.set(live.room.name, subscription);
    live.subscriptions.push(subscription);
    return subscription;
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
}
