import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import type { RoomName, UserName } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import type { ClientFrameOf, ServerFrame } from "../protocol/schema.ts";
import type { Room } from "../rooms/room.ts";
import { isCrowd, type LiveRoom } from "./live-room.ts";
import type { MemoryLog } from "./memory-log.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { Session } from "./session.ts";

/** Changes are gathered this long. */
const gatherMs = 1_000;
/** A session's typing in one room is passed on at most this often. */
const typingMs = 1_000;

/**
 * Who is there and who is typing. Nothing of this is logged: it is true now, on this server, and forgotten. Whoever has
 * asked who is in a room hears of changes, gathered over a second; in rooms with more than 100 members or readers only how
 * many, and of typing there hear one's own devices alone.
 */
export class Presence {
  readonly #clock: Clock;
  readonly #state: GroupState;
  readonly #memory: MemoryLog;
  readonly #changed = new Set<LiveRoom>();
  readonly #interested = new Map<LiveRoom, Set<Session>>();
  readonly #typedAt = new Map<Session, Map<RoomName, number>>();
  #isGathering = false;

  constructor(options: { clock: Clock; state: GroupState; memory: MemoryLog }) {
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
    if (session.subscription(frame.room) === undefined) return;
    let interested = this.#interested.get(live);
    if (interested === undefined) this.#interested.set(live, (interested = new Set()));
    interested.add(session);
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
    if (live === undefined) return;
    let typed = this.#typedAt.get(session);
    if (typed === undefined) this.#typedAt.set(session, (typed = new Map<RoomName, number>()));
    const now = this.#clock.now();
    if (now - (typed.get(name) ?? -typingMs) < typingMs) return;
    // Only rooms typed in during the last second are remembered.
    for (const [other, at] of typed) if (now - at >= typingMs) typed.delete(other);
    typed.set(name, now);
    const isAlone = isCrowd(room, live.subscriptions.length);
    for (const { session: other } of live.subscriptions) {
      if (other === session || other.isSlow() || (isAlone && other.user !== session.user)) continue;
      other.answer({ t: "typing", room: name, user: session.user });
    }
  }

  #note(room: Room): void {
    if (this.#interested.size === 0) return;
    const live = this.#memory.known(room);
    if (live === undefined || !this.#interested.has(live)) return;
    this.#changed.add(live);
    if (this.#isGathering) return;
    this.#isGathering = true;
    this.#clock.after(millis(gatherMs), () => this.#tell());
  }

  #tell(): void {
    this.#isGathering = false;
    for (const live of this.#changed) {
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
    const users = new Set<UserName>();
    for (const { session } of live.subscriptions) users.add(session.user);
    return isCrowd(live.room, users.size) ? { room, count: users.size } : { room, users: [...users].sort() };
  }
}
