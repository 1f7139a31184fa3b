import type { RoomName, UserName } from "../base/ids.ts";
import { type Aggregates, userName } from "./aggregates.ts";
import type { ApplySink } from "./apply-sink.ts";
import { commandDetail, commandFirst, commandRoom, commandUser, type NoticeKind, noticeKinds } from "./commands.ts";
import { type OutcomeCode, outcomes } from "./outcome.ts";
import type { Room } from "./room.ts";
import type { User, UserRoom } from "./user.ts";

/**
 * How a room tells a user what the user's own state must know. `apply` touches one aggregate, and the two may be in
 * different groups: so the room puts a notice into its outbox, the orderer proposes it to the user's group, and when
 * that has applied it, proposes to the room that it may forget it. Any of these may happen twice, or late: the user
 * keeps the number of what the room said last, and only a higher number changes anything.
 */

/** Puts a notice into the room's outbox. It takes the place of an earlier one to the same user, which it overrules. */
export function tell(room: Room, user: UserName, kind: NoticeKind, sink: ApplySink): void {
  room.noticeNumber++;
  const notice = { number: room.noticeNumber, kind, user };
  // Taken out first, so that the outbox stays in the order of numbers.
  room.outbox.delete(user);
  room.outbox.set(user, notice);
  sink.changed({ type: "notice", room, notice });
}

/** `notice`: the user takes in what a room said. */
export function takeNotice(all: Aggregates, b: Uint8Array, o: number, index: number, sink: ApplySink): OutcomeCode {
  const name = commandUser(b, o);
  const room = userName(commandRoom(b, o)) as string as RoomName;
  const kind = commandDetail(b, o) as NoticeKind;
  const number = commandFirst(b, o);
  const found = all.findUser(name, 0, name.length);
  if (found === undefined && all.users.size >= all.bounds.groupUsersMax) return outcomes.overloaded;
  const before = found?.told.get(room);
  if (before !== undefined && number <= before.number) return outcomes.done;
  if (kind === noticeKinds.added && before?.kind !== kind && (found?.joinedCount ?? 0) >= all.bounds.roomsMax) {
    return outcomes.tooLarge;
  }
  if (kind === noticeKinds.direct && before?.kind !== kind && (found?.directCount ?? 0) >= all.bounds.directRoomsMax) {
    return outcomes.tooLarge;
  }
  if (
    kind === noticeKinds.invited &&
    before?.kind !== kind &&
    (found?.invitedCount ?? 0) >= all.bounds.invitedRoomsMax
  ) {
    return outcomes.tooLarge;
  }
  if (found !== undefined) all.cut?.userChanges(found);
  const user = found ?? all.addUser(name);
  setTold(user, sharedName(all, user, commandRoom(b, o)), { kind, number, index });
  if (kind === noticeKinds.removed) forgetOldRemovals(user, all.bounds.roomsMax);
  sink.changed({ type: "told", user, room, kind, number });
  return outcomes.done;
}

/**
 * The name of a room as a user's `told` keeps it: the room's own, and the member's there becomes the user's own. They are
 * equal, and kept once instead of once for each membership. Of a room in another group there is nothing to share.
 */
export function sharedName(all: Aggregates, user: User, room: Uint8Array): RoomName {
  const found = all.findRoom(room, 0, room.length);
  if (found === undefined) return userName(room) as string as RoomName;
  const member = found.members.find(user.nameBytes, 0, user.nameBytes.length, user.nameHash);
  if (member !== undefined) {
    member.name = user.name;
    member.nameBytes = user.nameBytes;
  }
  return found.name;
}

/** Keeps what a room told a user, and the counts right. */
export function setTold(user: User, room: RoomName, told: UserRoom): void {
  const before = user.told.get(room)?.kind;
  if (before === noticeKinds.added) user.joinedCount--;
  if (before === noticeKinds.direct) user.directCount--;
  if (before === noticeKinds.invited) user.invitedCount--;
  if (told.kind === noticeKinds.added) user.joinedCount++;
  if (told.kind === noticeKinds.direct) user.directCount++;
  if (told.kind === noticeKinds.invited) user.invitedCount++;
  user.told.set(room, told);
}

/**
 * What is kept of rooms left is bounded as well: beyond, the one told longest ago goes. A notice that is still later
 * than that would have to overtake a thousand others of the same user.
 */
function forgetOldRemovals(user: User, max: number): void {
  if (user.told.size - user.joinedCount - user.directCount - user.invitedCount <= max) return;
  let oldest: RoomName | null = null;
  let index = Infinity;
  for (const [room, told] of user.told) {
    if (told.kind !== noticeKinds.removed || told.index > index) continue;
    if (told.index === index && oldest !== null && oldest < room) continue;
    oldest = room;
    index = told.index;
  }
  if (oldest !== null) user.told.delete(oldest);
}

/** `noticeAcknowledged`: the user's aggregate has it. */
export function acknowledgeNotice(all: Aggregates, b: Uint8Array, o: number): OutcomeCode {
  const name = commandRoom(b, o);
  const room = all.findRoom(name, 0, name.length);
  if (room === undefined) return outcomes.notFound;
  const user = userName(commandUser(b, o));
  const notice = room.outbox.get(user);
  if (notice === undefined || notice.number > commandFirst(b, o)) return outcomes.done;
  all.cut?.roomChanges(room);
  room.outbox.delete(user);
  return outcomes.done;
}
