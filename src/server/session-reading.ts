import { Fault } from "../base/error-codes.ts";
import { type RoomName, seq } from "../base/ids.ts";
import type { ClientFrameOf } from "../protocol/schema.ts";
import type { Room } from "../rooms/room.ts";
import { refusalOf } from "./caller.ts";
import type { LiveRoom } from "./live-room.ts";
import type { Session } from "./session.ts";
import type { SessionHost } from "./session-host.ts";
import type { Subscription } from "./subscription.ts";

const indexedFrom = 17;

/** The rooms that one connection reads. Made with its first subscription. */
export class SessionReading {
  readonly #session: Session;
  readonly #host: SessionHost;
  /** Most connections read few rooms: a list is a third of a map. From `indexedFrom` on there is a map as well. */
  readonly #subscriptions: Subscription[] = [];
  #byRoom: Map<RoomName, Subscription> | null = null;

  constructor(session: Session, host: SessionHost) {
    this.#session = session;
    this.#host = host;
  }

  rooms(): RoomName[] {
    return this.#subscriptions.map(({ live }) => live.room.name);
  }

  of(room: RoomName): Subscription | undefined {
    if (this.#byRoom !== null) return this.#byRoom.get(room);
    for (const subscription of this.#subscriptions) if (subscription.live.room.name === room) return subscription;
    return undefined;
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
    if (this.#subscriptions.length >= this.#host.limits.subsMax) {
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
    const subscription = this.of(room);
    if (subscription === undefined) return;
    this.#subscriptions.splice(this.#subscriptions.indexOf(subscription), 1);
    this.#byRoom?.delete(room);
    this.#detach(subscription);
  }

  /** The client's side has taken what was queued: whoever was paused goes on. */
  drained(): void {
    // Going on may end one, which takes it out of the list.
    for (const subscription of this.#subscriptions.filter(({ state }) => state === "paused")) {
      subscription.state = "catchingUp";
      this.#host.fanOut.catchUp(subscription);
    }
  }

  /** The connection is gone. */
  end(): void {
    for (const subscription of this.#subscriptions) this.#detach(subscription);
    this.#subscriptions.length = 0;
    this.#byRoom = null;
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
    this.#subscriptions.push(subscription);
    if (this.#subscriptions.length === indexedFrom) {
      this.#byRoom = new Map(this.#subscriptions.map((one) => [one.live.room.name, one]));
    } else this.#byRoom?.set(live.room.name, subscription);
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
