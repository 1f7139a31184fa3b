import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import type { RoomName, UserName } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import type { ClientFrameOf, ServerFrame } from "../protocol/schema.ts";
import type { Room } from "../rooms/room.ts";
import { isCrowd, type LiveRoom } from "./live-room.ts";
import type { MemoryLog } from "./memory-log.ts";
import type { LocalPresence, PresenceGossip, Readers } from "./presence-gossip.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { Session } from "./session.ts";

/** Changes are gathered this long. */
const gatherMs = 1_000;
/** A session's typing in one room is passed on at most this often. */
const typingMs = 1_000;

/**
 * Who is there and who is typing. Nothing of this is logged: it is true now and forgotten; of other servers it is as true
 * as `PresenceGossip` knows. Whoever has asked who is in a room hears of changes, gathered over a second; in rooms with
 * more than 100 members or readers only how many, and of typing there hear one's own devices alone.
 */
export class Presence implements LocalPresence {
  readonly #clock: Clock;
  readonly #state: GroupState;
  readonly #memory: MemoryLog;
  readonly #changed = new Set<LiveRoom>();
  readonly #interested = new Map<LiveRoom, Set<Session>>();
  readonly #typedAt = new Map<Session, Map<RoomName, number>>();
  #isGathering = false;
  readonly #gossip: PresenceGossip | null;

  /** `gossip`: null where there are no other servers. */
  constructor(options: { clock: Clock; state: GroupState; memory: MemoryLog; gossip: PresenceGossip | null }) {
    this.#gossip = options.gossip;
    if (this.#gossip !== null) this.#gossip.local = this;
    this.#clock = options.clock;
    this.#state = options.state;
    this.#memory = options.memory;
  }

  /** Answers who is in a room, and from now on tells this session of changes while it reads the room. */
  asked(session: Session, frame: ClientFrameOf<"presence">): void {
    const room = this.#state.room(frame.room);
    if (room === undefined || !room.mayRead(session.user)) throw new Fault("not_found", "there is no such room");
    const live = this.#memory.live(room);
    session.answer({ t: "ok", of: "presence", id: frame.id, ...this.#who(live) });
    // Those elsewhere are told with the first change.
    if (session.subscription(frame.room) === undefined) return;
    let interested = this.#interested.get(live);
    if (interested === undefined) this.#interested.set(live, (interested = new Set()));
    interested.add(session);
    this.#gossip?.want(room.name);
  }

  /** Somebody began or ceased to read a room. */
  entered(room: Room): void {
    this.#note(room);
  }

  left(room: Room): void {
    this.#note(room);
  }

  ended(session: Session): void {
    this.#typedAt.delete(session);
    for (const interested of this.#interested.values()) interested.delete(session);
  }

  typing(session: Session, name: RoomName): void {
    const room = this.#state.room(name);
    if (room === undefined || !room.mayRead(session.user)) return;
    const live = this.#memory.known(room);
    if (this.#gossip === null && live === undefined) return;
    let typed = this.#typedAt.get(session);
    if (typed === undefined) this.#typedAt.set(session, (typed = new Map<RoomName, number>()));
    const now = this.#clock.now();
    if (now - (typed.get(name) ?? -typingMs) < typingMs) return;
    // Only rooms typed in during the last second are remembered.
    for (const [other, at] of typed) if (now - at >= typingMs) typed.delete(other);
    typed.set(name, now);
    if (live !== undefined) this.#tellTyping(live, session.user, session);
    this.#gossip?.typing(name, session.user);
  }

  // Other servers

  typed(name: RoomName, user: UserName): void {
    const room = this.#state.room(name);
    const live = room === undefined ? undefined : this.#memory.known(room);
    if (live !== undefined) this.#tellTyping(live, user, null);
  }

  changedElsewhere(name: RoomName): void {
    const room = this.#state.room(name);
    if (room !== undefined) this.#note(room);
  }

  readersHere(name: RoomName): Readers {
    const room = this.#state.room(name);
    if (room === undefined) return { users: [], count: 0 };
    const users = this.#readersOf(this.#memory.known(room));
    return { users: isCrowd(room, users.size) ? null : [...users], count: users.size };
  }

  isAsked(name: RoomName): boolean {
    const room = this.#state.room(name);
    const live = room === undefined ? undefined : this.#memory.known(room);
    return live !== undefined && this.#interested.has(live);
  }

  #tellTyping(live: LiveRoom, user: UserName, by: Session | null): void {
    const isAlone = isCrowd(live.room, live.subscriptions.length);
    for (const { session } of live.subscriptions) {
      if (session === by || session.isSlow() || (isAlone && session.user !== user)) continue;
      session.answer({ t: "typing", room: live.room.name, user });
    }
  }

  #note(room: Room): void {
    if (this.#interested.size === 0 && this.#gossip === null) return;
    const live = this.#memory.known(room);
    if (live === undefined) return;
    const isWanted = this.#interested.has(live) || this.#gossip?.isWantedElsewhere(room.name) === true;
    if (!isWanted) return;
    this.#changed.add(live);
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#clock.after(millis(gatherMs), () => this.#tell());
  }

  #tell(): void {
    this.#isGathering = false;
    for (const live of this.#changed) {
      this.#gossip?.changed(live.room.name);
      const interested = this.#interested.get(live);
      if (interested === undefined) continue;
      const frame: ServerFrame = { t: "presence", ...this.#who(live) };
      for (const session of interested) {
        if (session.subscription(live.room.name) === undefined) interested.delete(session);
        else if (!session.isSlow()) session.answer(frame);
      }
      if (interested.size === 0) this.#interested.delete(live);
    }
    this.#changed.clear();
  }

  #who(live: LiveRoom): { room: RoomName; users: UserName[] } | { room: RoomName; count: number } {
    const room = live.room.name;
    const users = this.#readersOf(live);
    let unnamed = 0;
    for (const readers of this.#gossip?.readersElsewhere(room) ?? []) {
      if (readers.users === null) unnamed += readers.count;
      else for (const user of readers.users) users.add(user);
    }
    // Who reads on two servers is counted twice where names are not told.
    const count = users.size + unnamed;
    const isCounted = unnamed > 0 || isCrowd(live.room, count);
    return isCounted ? { room, count } : { room, users: [...users].sort() };
  }

  #readersOf(live: LiveRoom | undefined): Set<UserName> {
    const users = new Set<UserName>();
    for (const { session } of live?.subscriptions ?? []) users.add(session.user);
    return users;
  }
}
