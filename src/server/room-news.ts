import { type RoomName, seq, type UserName } from "../base/ids.ts";
import type { ServerFrame } from "../protocol/schema.ts";
import { utf8 } from "../protocol/utf8.ts";
import type { RoomEvent } from "../rooms/apply-sink.ts";
import { type Command, commandTypes, encodeCommand, noticeKinds } from "../rooms/commands.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { Notice, Room } from "../rooms/room.ts";
import { isCrowd } from "./live-room.ts";
import type { Memberships } from "./memberships.ts";
import type { MemoryLog } from "./memory-log.ts";
import type { Online } from "./online.ts";
import type { Orderer } from "./orderer.ts";
import type { Session } from "./session.ts";

/**
 * What is told of a room besides its messages: who belongs to it from now on, and who does not; how far somebody has
 * read; that it is gone. A room's notice becomes part of a user's state by a command of its own, and is proposed until the
 * room knows that it has.
 */
export class RoomNews {
  readonly #state: GroupState;
  readonly #memory: MemoryLog;
  readonly #online: Online;
  readonly #orderer: Orderer;
  readonly #memberships: Memberships;
  readonly #hasOthers: boolean;
  /** Commands that follow from what was applied; proposed at the end of the turn. */
  #following: Command[] = [];

  constructor(options: {
    state: GroupState;
    memory: MemoryLog;
    online: Online;
    orderer: Orderer;
    memberships: Memberships;
    /** There are other servers, whose readers are not known here. */
    hasOthers: boolean;
  }) {
    this.#state = options.state;
    this.#memory = options.memory;
    this.#online = options.online;
    this.#orderer = options.orderer;
    this.#memberships = options.memberships;
    this.#hasOthers = options.hasOthers;
  }

  /**
   * The end of a turn: what follows from what was applied in it is put in order, by who leads. The next leader finds in
   * the state what was not.
   */
  proposeFollowing(leads: boolean): void {
    if (this.#following.length === 0) return;
    const following = this.#following;
    this.#following = [];
    if (!leads) return;
    for (const command of following) this.#orderer.command(encodeCommand(command), null, 0);
  }

  /** What a room has to tell a user is proposed to the user's part of the state, until it is acknowledged. */
  notice(room: Room, notice: Notice): void {
    this.#memberships.noticed(room, notice);
    const { number, kind } = notice;
    this.#following.push({ type: commandTypes.notice, room: room.nameBytes, user: utf8(notice.user), kind, number });
  }

  /** It is part of the user's state: the room may forget it, and the user's devices hear of it. */
  told(event: Extract<RoomEvent, { type: "told" }>): void {
    const { user, number } = event;
    this.#memberships.told(user.name, event.room as RoomName, number);
    const name = utf8(event.room);
    this.#following.push({ type: commandTypes.noticeAcknowledged, room: name, user: user.nameBytes, number });
    if (event.kind === noticeKinds.removed) {
      this.giveBack(this.#state.idleRoom(event.room));
      return;
    }
    const room = this.#state.room(event.room);
    // Who is out again by now is told of nothing.
    if (room === undefined || (!room.isDirect && room.member(user.name) === undefined)) return;
    const { line, first } = room;
    const head = seq(this.#memory.known(room)?.announced ?? room.head);
    for (const session of this.#online.sessionsOf(user.name)) {
      // Anybody may let somebody in and out as often as they like: who does not take it finds it in the list of rooms.
      if (!room.isDirect && session.isSlow()) continue;
      const read = seq(room.readMark(user.name));
      session.answer({ t: "room", room: room.name, line, first: seq(first), head, read });
    }
  }

  readMoved(room: Room, user: UserName, upTo: number): void {
    const frame: ServerFrame = { t: "read", room: room.name, user, seq: seq(upTo) };
    const live = this.#memory.known(room);
    const told = new Set<Session>();
    if (!isCrowd(room, live?.subscriptions.length ?? 0)) {
      for (const { session } of live?.subscriptions ?? []) told.add(session);
      // The two of a direct room read it without having subscribed.
      for (const person of room.people) {
        if (!this.#online.knowsDirectRoom(person, room.name)) continue;
        for (const session of this.#online.sessionsOf(person)) told.add(session);
      }
    }
    for (const session of this.#online.sessionsOf(user)) told.add(session);
    for (const session of told) if (!session.isSlow()) session.answer(frame);
  }

  /** Readers whom the room is not for any more are told so, and read it no longer. */
  mayNotRead(room: Room, reason: "removed" | "deleted"): void {
    const live = this.#memory.known(room);
    if (live === undefined) return;
    // Ending one takes it out of the list.
    for (const subscription of Array.from(live.subscriptions)) {
      if (!room.mayRead(subscription.session.user)) subscription.session.endSubscription(subscription, reason);
    }
  }

  /**
   * Has proposed, at the end of the turn, that a room with nobody and nothing in it is given back, if nobody reads it. Where
   * somebody may on another server, only what was deleted is.
   */
  giveBack(room: Room | undefined): void {
    if (this.#hasOthers && room?.exists === true) return;
    if (room === undefined || (this.#memory.known(room)?.subscriptions.length ?? 0) > 0) return;
    this.#following.push({ type: commandTypes.closeRoom, room: room.nameBytes });
  }

  /** The same, outside of a turn; by who leads. */
  giveBackNow(room: Room): void {
    this.giveBack(room);
    this.proposeFollowing(true);
  }

  /** Has proposed again, at the end of the turn, what was never acknowledged. */
  noticeAgain(): void {
    for (const room of this.#state.outboxes()) for (const notice of room.outbox.values()) this.notice(room, notice);
    for (const room of this.#state.idleRooms()) this.giveBack(room);
  }
}
