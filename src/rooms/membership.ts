import type { UserName } from "../base/ids.ts";
import { type Aggregates, isOrderedDirectName, userName } from "./aggregates.ts";
import type { ApplySink } from "./apply-sink.ts";
import type { Chunks } from "./chunks.ts";
import {
  commandBy,
  commandDetail,
  commandDigests,
  commandFirst,
  commandRoom,
  commandSecond,
  commandThird,
  commandTypes,
  commandUser,
  type NoticeKind,
  noticeKinds,
  type Role,
  roles,
} from "./commands.ts";
import { withDigestStep } from "./kept-digests.ts";
import { tell } from "./notices.ts";
import { type OutcomeCode, outcomes } from "./outcome.ts";
import { isDirectName, isOneOfTwo, type Member, noRetention, type Room } from "./room.ts";

/**
 * Who is in a room, what they may do, and what the room keeps: the commands that touch a room and are not messages.
 *
 * A private room answers everybody who is not in it as if it were not there. A direct room's two people are its members
 * for ever; nobody enters, leaves or rules it.
 */
export class Membership {
  readonly #all: Aggregates;
  readonly #chunks: Chunks;

  constructor(all: Aggregates, chunks: Chunks) {
    this.#all = all;
    this.#chunks = chunks;
  }

  /** Applies the command at `o`, one that touches a room. */
  apply(type: number, b: Uint8Array, o: number, sink: ApplySink): OutcomeCode {
    const name = commandRoom(b, o);
    const user = commandUser(b, o);
    if (type === commandTypes.join) return this.#join(name, user, commandDetail(b, o) === 1, sink);
    const room = this.#all.findRoom(name, 0, name.length);
    if (room !== undefined && type === commandTypes.closeRoom) return this.#close(room, sink);
    if (room === undefined || !room.exists) return outcomes.notFound;
    this.#all.cut?.roomChanges(room);
    const by = commandBy(b, o);
    switch (type) {
      case commandTypes.leave:
        return this.#leave(room, user, sink);
      case commandTypes.kick:
        return this.#kick(room, user, by, sink);
      case commandTypes.role:
        return this.#giveRole(room, user, by, commandDetail(b, o) as Role, sink);
      case commandTypes.invite:
        return this.#invite(room, user, by, sink);
      case commandTypes.readMark:
        return this.#markRead(room, user, commandFirst(b, o), sink);
      case commandTypes.retention: {
        const code = this.#ruledBy(room, by, roles.owner);
        if (code !== outcomes.done) return code;
        room.retention = { ageMs: commandFirst(b, o), messages: commandSecond(b, o), bytes: commandThird(b, o) };
        sink.changed({ type: "retention", room });
        return outcomes.done;
      }
      case commandTypes.trim:
        return this.#trim(room, commandFirst(b, o), commandSecond(b, o), commandDigests(b, o), sink);
      default:
        return this.#deleteRoom(room, by, sink);
    }
  }

  /** Makes a room of this name, or lets a deleted one begin again behind its head. `name` was checked to be new or deleted. */
  open(name: Uint8Array, isPrivate: boolean, by: UserName | null, sink: ApplySink): Room {
    let room = this.#all.findRoom(name, 0, name.length);
    if (room === undefined) room = this.#all.addRoom(name);
    else this.#all.cut?.roomChanges(room);
    if (room.isClosed) this.#all.closedRooms--;
    room.isClosed = false;
    room.exists = true;
    room.isPrivate = isPrivate;
    this.#all.setMaker(room, by ?? "");
    sink.changed({ type: "created", room, user: by });
    for (const person of room.people) tell(room, person, noticeKinds.direct, sink);
    return room;
  }

  #join(name: Uint8Array, user: Uint8Array, isPrivate: boolean, sink: ApplySink): OutcomeCode {
    const room = this.#all.findRoom(name, 0, name.length);
    if (isDirectName(name, 0, name.length)) {
      if (!isOneOfTwo(name, 0, name.length, user, 0, user.length)) return outcomes.notFound;
      if (!isOrderedDirectName(name)) return outcomes.badRequest;
      if (room?.exists === true) return outcomes.done;
      const code = this.mayMake(room, user, true);
      if (code === outcomes.done) this.open(name, true, userName(user), sink);
      return code;
    }
    if (room?.exists === true) {
      this.#all.cut?.roomChanges(room);
      const member = this.#memberOf(room, user);
      if (member !== undefined) return this.#accept(room, member, sink);
      if (room.isPrivate) return outcomes.notFound;
      return this.#enter(room, user, roles.member, noticeKinds.added, sink);
    }
    const code = this.mayMake(room, user, false);
    if (code !== outcomes.done) return code;
    const made = this.open(name, isPrivate, userName(user), sink);
    return this.#enter(made, user, roles.owner, noticeKinds.added, sink);
  }

  /** Whether there is a place for a room, which does not exist, and its maker may have it. */
  mayMake(room: Room | undefined, maker: Uint8Array, isDirect: boolean): OutcomeCode {
    if (this.#all.isFullFor(room)) return outcomes.groupFull;
    return this.#all.isFullOfRoomsBy(userName(maker), room, isDirect) ? outcomes.makerFull : outcomes.done;
  }

  /** Whoever was let in by somebody else and joins wants to be in: it is a membership of one's own from here on. */
  #accept(room: Room, member: Member, sink: ApplySink): OutcomeCode {
    if (!member.isInvited) return outcomes.done;
    if (room.outbox.size >= this.#all.bounds.roomMembersMax) return outcomes.overloaded;
    member.isInvited = false;
    tell(room, member.name, noticeKinds.added, sink);
    return outcomes.done;
  }

  /**
   * The room is given back when nobody and nothing is in it and it has told everybody everything; else nothing happens:
   * somebody came first. Who proposes it has seen that nobody reads it either.
   */
  #close(room: Room, sink: ApplySink): OutcomeCode {
    if (room.isClosed || !room.isIdle || room.outbox.size > 0) return outcomes.done;
    this.#all.cut?.roomChanges(room);
    if (room.exists) this.#remove(room, sink);
    this.#all.close(room);
    return outcomes.done;
  }

  #enter(room: Room, user: Uint8Array, role: Role, kind: NoticeKind, sink: ApplySink): OutcomeCode {
    if (room.members.size >= this.#all.bounds.roomMembersMax) return outcomes.roomFull;
    // Comers and goers leave notices behind: they wait until those of before are delivered. An owner's first never waits.
    if (room.outbox.size >= this.#all.bounds.roomMembersMax && role !== roles.owner) return outcomes.overloaded;
    const name = userName(user);
    const member = this.newMember(user, role, room.visitorMarks.get(name) ?? 0);
    member.isInvited = kind === noticeKinds.invited;
    room.visitorMarks.delete(name);
    room.members.add(member);
    sink.changed({ type: "joined", room, user: name, role });
    tell(room, name, kind, sink);
    return outcomes.done;
  }

  /** A member with a name of its own. */
  newMember(user: Uint8Array, role: Role, read: number): Member {
    const own = user.slice();
    return {
      name: userName(own),
      nameBytes: own,
      nameHash: this.#all.hash.of(own, 0, own.length),
      role,
      read,
      isInvited: false,
    };
  }

  #leave(room: Room, user: Uint8Array, sink: ApplySink): OutcomeCode {
    if (room.isDirect) return this.#isHidden(room, user) ? outcomes.notFound : outcomes.forbidden;
    const member = this.#memberOf(room, user);
    if (member === undefined) return room.isPrivate ? outcomes.notFound : outcomes.done;
    this.#putOut(room, member, null, sink);
    return outcomes.done;
  }

  #putOut(room: Room, member: Member, by: UserName | null, sink: ApplySink): void {
    room.members.remove(member);
    // Who leaves an open room goes on reading it as a visitor, from the same mark: a mark never goes back.
    const mayKeep = !room.isPrivate && room.visitorMarks.size < this.#all.bounds.visitorMarksMax;
    if (member.read > 0 && mayKeep) room.visitorMarks.set(member.name, member.read);
    sink.changed({ type: "left", room, user: member.name, by });
    tell(room, member.name, noticeKinds.removed, sink);
    if (member.role === roles.owner) this.#passOn(room, sink);
  }

  /**
   * The last owner is gone: of those with the highest role, whoever has been in longest owns the room from here on. The
   * order of members is the order in which they came, in the state and in its snapshots, so every server picks the same.
   */
  #passOn(room: Room, sink: ApplySink): void {
    let heir: Member | undefined;
    for (const member of room.members) if (heir === undefined || member.role > heir.role) heir = member;
    if (heir === undefined || heir.role === roles.owner) return;
    heir.role = roles.owner;
    sink.changed({ type: "role", room, user: heir.name, role: roles.owner });
  }

  #kick(room: Room, user: Uint8Array, by: Uint8Array, sink: ApplySink): OutcomeCode {
    const code = this.#ruledBy(room, by, roles.moderator);
    if (code !== outcomes.done) return code;
    const member = this.#memberOf(room, user);
    if (member === undefined) return outcomes.notFound;
    // A moderator puts out members; an owner anybody.
    const ruler = this.#memberOf(room, by);
    if (ruler !== undefined && ruler.role < roles.owner && member.role >= ruler.role) return outcomes.forbidden;
    this.#putOut(room, member, by.length === 0 ? null : userName(by), sink);
    return outcomes.done;
  }

  #giveRole(room: Room, user: Uint8Array, by: Uint8Array, role: Role, sink: ApplySink): OutcomeCode {
    const code = this.#ruledBy(room, by, roles.owner);
    if (code !== outcomes.done) return code;
    const member = this.#memberOf(room, user);
    if (member === undefined) return outcomes.notFound;
    if (member.role === role) return outcomes.done;
    const wasOwner = member.role === roles.owner;
    member.role = role;
    sink.changed({ type: "role", room, user: member.name, role });
    if (wasOwner) this.#passOn(room, sink);
    return outcomes.done;
  }

  #invite(room: Room, user: Uint8Array, by: Uint8Array, sink: ApplySink): OutcomeCode {
    const code = this.#ruledBy(room, by, roles.moderator);
    if (code !== outcomes.done) return code;
    if (this.#memberOf(room, user) !== undefined) return outcomes.done;
    // Into a private room that everybody has left only the cluster leads: who comes first rules it.
    const role = room.isPrivate && room.members.size === 0 ? roles.owner : roles.member;
    return this.#enter(room, user, role, noticeKinds.invited, sink);
  }

  #markRead(room: Room, user: Uint8Array, seq: number, sink: ApplySink): OutcomeCode {
    if (this.#isHidden(room, user)) return outcomes.notFound;
    const read = Math.min(seq, room.head);
    const name = userName(user);
    const member = this.#memberOf(room, user);
    if (read <= (member?.read ?? room.visitorMarks.get(name) ?? 0)) return outcomes.done;
    if (member !== undefined) member.read = read;
    else if (
      room.isDirect ||
      room.visitorMarks.has(name) ||
      room.visitorMarks.size < this.#all.bounds.visitorMarksMax
    ) {
      room.visitorMarks.set(name, read);
    } else return outcomes.marksFull;
    sink.changed({ type: "read", room, user: name, seq: read });
    return outcomes.done;
  }

  #trim(room: Room, first: number, base: number, digests: Uint8Array, sink: ApplySink): OutcomeCode {
    const from = room.first;
    const raised = Math.min(first, room.head + 1);
    if (raised <= from) return outcomes.done;
    if (digests.length > 0) {
      // Another trim came first, and kept what these do not go on from. Nothing is removed without its digest for that.
      if (base !== room.digests.through || raised !== first) return outcomes.overloaded;
      room.digests = withDigestStep(room.digests, raised - 1, digests);
    }
    room.first = raised;
    sink.changed({ type: "trimmed", room, from, to: raised - 1 });
    this.#chunks.dropRuns(room, sink);
    return outcomes.done;
  }

  #deleteRoom(room: Room, by: Uint8Array, sink: ApplySink): OutcomeCode {
    const code = this.#ruledBy(room, by, roles.owner);
    if (code !== outcomes.done) return code;
    for (const person of room.people) tell(room, person, noticeKinds.removed, sink);
    // In the order of names: notices are numbered as they come.
    for (const member of room.members.sorted()) tell(room, member.name, noticeKinds.removed, sink);
    this.#remove(room, sink);
    return outcomes.done;
  }

  #remove(room: Room, sink: ApplySink): void {
    const from = room.first;
    room.members.clear();
    room.visitorMarks.clear();
    room.retention = noRetention;
    room.isPrivate = false;
    room.exists = false;
    room.first = room.head + 1;
    sink.changed({ type: "deleted", room, from, to: room.head });
    this.#chunks.dropRuns(room, sink);
  }

  /** `done` when `by` has at least this role here, or is the cluster itself. */
  #ruledBy(room: Room, by: Uint8Array, role: Role): OutcomeCode {
    if (by.length === 0) return outcomes.done;
    if (this.#isHidden(room, by)) return outcomes.notFound;
    const member = this.#memberOf(room, by);
    return member !== undefined && member.role >= role ? outcomes.done : outcomes.forbidden;
  }

  #memberOf(room: Room, user: Uint8Array): Member | undefined {
    return room.members.find(user, 0, user.length, this.#all.hash.of(user, 0, user.length));
  }

  #isHidden(room: Room, user: Uint8Array): boolean {
    return !room.mayReadBytes(user, 0, user.length);
  }
}
