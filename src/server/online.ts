import type { RoomName, UserName } from "../base/ids.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { noticeKinds } from "../rooms/commands.ts";
import type { Session } from "./session.ts";

/** Who is connected here, by name. Each device and each tab is a session of its own. */
export class Online {
  readonly #state: GroupState;
  readonly #users = new Map<UserName, Session[]>();

  constructor(state: GroupState) {
    this.#state = state;
  }

  add(session: Session): void {
    // An event stream shows one room; the ids of another would break its resume.
    if (session.format === "event-stream") return;
    const sessions = this.#users.get(session.user);
    if (sessions === undefined) this.#users.set(session.user, [session]);
    else sessions.push(session);
  }

  remove(session: Session): void {
    const sessions = this.#users.get(session.user);
    if (sessions === undefined) return;
    const at = sessions.indexOf(session);
    if (at >= 0) sessions.splice(at, 1);
    if (sessions.length === 0) this.#users.delete(session.user);
  }

  sessionsOf(user: UserName): readonly Session[] {
    return this.#users.get(user) ?? none;
  }

  /** Whether the user has been told of this direct room: only then its messages come by themselves. */
  knowsDirectRoom(user: UserName, room: RoomName): boolean {
    return this.#state.user(user)?.told.get(room)?.kind === noticeKinds.direct;
  }

  *sessions(): IterableIterator<Session> {
    for (const sessions of this.#users.values()) yield* sessions;
  }
}

const none: readonly Session[] = [];
