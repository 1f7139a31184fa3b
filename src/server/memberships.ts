import { compareBytes } from "../base/compare-bytes.ts";
import { Fault } from "../base/error-codes.ts";
import { type RoomName, seq, type UserName } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { isDirect } from "../protocol/names.ts";
import type { ClientFrameOf, ServerFrame, ServerFrameOf } from "../protocol/schema.ts";
import { utf8 } from "../protocol/utf8.ts";
import { type Command, commandTypes, type NoticeKind, noticeKinds, type Role, roles } from "../rooms/commands.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { Room } from "../rooms/room.ts";
import { AddressRates } from "./address-rates.ts";
import type { Caller } from "./caller.ts";
import type { Decided } from "./decision.ts";

const pageMembersDefault = 100;

type ListedRoom = ServerFrameOf<"okRooms">["rooms"][number];
type ListedMember = ServerFrameOf<"okMembers">["members"][number];

/** What memberships need of the server. */
export interface MembershipHost {
  readonly state: GroupState;
  readonly limits: Limits;
  /** Monotonic milliseconds. */
  now(): number;
  /** Puts a command in order and settles with what became of it. */
  command(command: Command): Promise<Decided>;
  /** Settles once everything that was committed before is applied here; rejects when nobody can tell. */
  current(): Promise<void>;
  /** The room, if this caller may read it; throws `not_found` otherwise. */
  readable(caller: { readonly user: UserName }, name: RoomName): Room;
  /** Whether somebody of this name may be written to. */
  knowsUser(user: UserName): boolean;
  /** Whether this user may bring a direct room into being. */
  mayBegin(user: UserName, room: RoomName): boolean;
}

/**
 * Who is in which room, as clients ask for it and change it. Every change is put in order like a message; the rooms'
 * roles are checked where it is applied.
 *
 * 1. whoever was told `ok` to a join, an invitation, a leave or a removal sees it in the next list of rooms
 * 2. nobody becomes a member of more than `roomsMax` rooms by what was answered `ok`
 */
export class Memberships {
  readonly #host: MembershipHost;
  /** What rooms have to tell their people and have not yet: by user, then by room. Bounded as the rooms' outboxes are. */
  readonly #untold = new Map<UserName, Map<RoomName, { kind: NoticeKind; number: number }>>();
  /** Commands that would let a user into one more room and are not decided. */
  readonly #entering = new Map<UserName, number>();
  /** Of joins and invitations, by who asks for them: the same buckets as those of addresses. */
  readonly #rates: AddressRates;

  constructor(host: MembershipHost) {
    this.#host = host;
    this.#rates = new AddressRates(host.limits.joinsPerSecondMax);
  }

  /** A room has something to tell a user: it holds from now on. */
  noticed(room: Room, notice: { readonly user: UserName; readonly kind: NoticeKind; readonly number: number }): void {
    const { user, kind, number } = notice;
    const rooms = this.#untold.get(user);
    if (rooms === undefined) this.#untold.set(user, new Map([[room.name, { kind, number }]]));
    else rooms.set(room.name, { kind, number });
  }

  /** The user's own state has it. */
  told(user: UserName, room: RoomName, number: number): void {
    const rooms = this.#untold.get(user);
    const notice = rooms?.get(room);
    if (rooms === undefined || notice === undefined || notice.number > number) return;
    rooms.delete(room);
    if (rooms.size === 0) this.#untold.delete(user);
  }

  async join(caller: Caller, frame: ClientFrameOf<"join">): Promise<ServerFrame> {
    const isPrivate = frame.private === true;
    const { userBytes: user } = caller;
    const begins = this.#host.state.room(frame.room)?.exists !== true;
    if (begins && isDirect(frame.room) && !this.#host.mayBegin(caller.user, frame.room)) {
      throw new Fault("not_found", "nobody here has that name");
    }
    const command = { type: commandTypes.join, room: utf8(frame.room), user, private: isPrivate };
    try {
      await this.#enter(caller, caller.user, frame.room, command);
    } catch (cause) {
      if (!(cause instanceof Fault) || cause.code !== "storage_full") throw cause;
      // Whoever is in already asks for nothing that would have to be stored. But one who has left by another server is not.
      await this.#host.current();
      if (!this.#isIn(caller.user, frame.room)) throw cause;
    }
    const room = this.#host.readable(caller, frame.room);
    const epoch = this.#host.state.appliedTerm;
    return { t: "ok", of: "join", id: frame.id, room: frame.room, line: room.line, head: seq(room.head), epoch };
  }

  /** Whether a join would change nothing. */
  #isIn(user: UserName, name: RoomName): boolean {
    const room = this.#host.state.room(name);
    if (room?.exists !== true) return false;
    return room.isDirect ? room.people.includes(user) : room.member(user)?.isInvited === false;
  }

  async leave(caller: Caller, frame: ClientFrameOf<"leave">): Promise<ServerFrame> {
    this.#host.readable(caller, frame.room);
    await this.#host.command({ type: commandTypes.leave, room: utf8(frame.room), user: caller.userBytes });
    return { t: "ok", of: "done", id: frame.id };
  }

  async invite(caller: Caller, frame: ClientFrameOf<"invite">): Promise<ServerFrame> {
    this.#host.readable(caller, frame.room);
    if (!this.#host.knowsUser(frame.user)) throw new Fault("not_found", "nobody here has that name");
    const names = { room: utf8(frame.room), user: utf8(frame.user), by: caller.userBytes };
    await this.#enter(caller, frame.user, frame.room, { type: commandTypes.invite, ...names });
    return { t: "ok", of: "done", id: frame.id };
  }

  async remove(caller: Caller, frame: ClientFrameOf<"remove">): Promise<ServerFrame> {
    this.#host.readable(caller, frame.room);
    const names = { room: utf8(frame.room), user: utf8(frame.user), by: caller.userBytes };
    await this.#host.command({ type: commandTypes.kick, ...names });
    return { t: "ok", of: "done", id: frame.id };
  }

  /** A page of members, in the order of the bytes of their names. */
  async members(caller: Caller, frame: ClientFrameOf<"members">): Promise<ServerFrame> {
    const room = this.#host.readable(caller, frame.room);
    const limit = Math.min(frame.limit ?? pageMembersDefault, this.#host.limits.histItemsMax);
    const after = frame.after === undefined ? null : utf8(frame.after);
    const rest: { nameBytes: Uint8Array; listed: ListedMember }[] = [];
    const add = (user: UserName, nameBytes: Uint8Array, role: Role): void => {
      if (after === null || compareBytes(nameBytes, after) > 0) {
        rest.push({ nameBytes, listed: { user, role: roleNames[role] } });
      }
    };
    if (room.isDirect) for (const person of room.people) add(person, utf8(person), roles.member);
    else for (const { name, nameBytes, role } of room.members) add(name, nameBytes, role);
    rest.sort((one, other) => compareBytes(one.nameBytes, other.nameBytes));
    const members = rest.slice(0, limit).map(({ listed }) => listed);
    const count = room.isDirect ? room.people.length : room.members.size;
    const more = rest.length > limit;
    return { t: "ok", of: "members", id: frame.id, room: frame.room, count, more, members };
  }

  /** The rooms a user belongs to, direct rooms included, by name. */
  roomsOf(user: UserName): ListedRoom[] {
    const rooms: ListedRoom[] = [];
    for (const name of this.#namesOf(user)) {
      const room = this.#host.state.room(name);
      if (room === undefined || !room.mayRead(user)) continue;
      const read = room.readMark(user);
      const unread = Math.max(0, room.head - Math.max(read, room.first - 1));
      const { line, first, head } = room;
      rooms.push({ room: name, line, first: seq(first), head: seq(head), read: seq(read), unread });
    }
    return rooms.sort((a, b) => (a.room < b.room ? -1 : 1));
  }

  #namesOf(user: UserName): Set<RoomName> {
    const names = new Set<RoomName>();
    for (const [room, { kind }] of this.#host.state.user(user)?.told ?? []) {
      if (kind !== noticeKinds.removed) names.add(room);
    }
    for (const [room, { kind }] of this.#untold.get(user) ?? []) {
      if (kind === noticeKinds.removed) names.delete(room);
      else names.add(room);
    }
    return names;
  }

  /** Orders a command that makes `user` a member, unless that would be one room too many, or too many at once for who asks. */
  async #enter(caller: Caller, user: UserName, name: RoomName, command: Command): Promise<void> {
    const room = this.#host.state.room(name);
    const entering = this.#entering.get(user) ?? 0;
    const isInvitation = command.type === commandTypes.invite;
    const member = room?.exists === true ? room.member(user) : undefined;
    // A direct room is no membership, and whoever is in already is not in one more; but who was invited and joins is.
    const isNew = !name.startsWith("@") && (member === undefined || (member.isInvited && !isInvitation));
    const kind = isInvitation ? noticeKinds.invited : noticeKinds.added;
    const bound = isInvitation ? "invitedRoomsMax" : "roomsMax";
    const most = this.#host.state.bounds[bound];
    if (isNew && this.#count(user, kind) + entering >= most) {
      const what = isInvitation ? "is invited to as many rooms as one may be" : "is in as many rooms as one may be";
      throw new Fault("too_large", `${user} ${what} (limits.${bound}, ${most})`);
    }
    if (isNew) {
      const waitMs = this.#rates.take(caller.user, this.#host.now());
      if (waitMs > 0) {
        const message = "more joins and invitations than one user may ask for at once (limits.joinsPerSecondMax)";
        throw new Fault("rate_limited", message, { retryAfterMs: waitMs });
      }
    }
    this.#entering.set(user, entering + 1);
    try {
      await this.#host.command(command);
    } finally {
      const left = this.#entering.get(user)! - 1;
      if (left === 0) this.#entering.delete(user);
      else this.#entering.set(user, left);
    }
  }

  /** How many rooms have told a user this: that one has joined, or was invited. */
  #count(user: UserName, counted: NoticeKind): number {
    const known = this.#host.state.user(user);
    let count = (counted === noticeKinds.invited ? known?.invitedCount : known?.joinedCount) ?? 0;
    for (const [room, { kind }] of this.#untold.get(user) ?? []) {
      const was = known?.told.get(room)?.kind;
      if (kind === counted && was !== kind) count++;
      if (kind !== counted && was === counted) count--;
    }
    return count;
  }
}

const roleNames = { [roles.member]: "member", [roles.moderator]: "moderator", [roles.owner]: "owner" } as const;
