import type { RoomName, Slot, UserName } from "../base/ids.ts";
import { type NoticeKind, noticeKinds } from "./commands.ts";
import type { Named } from "./name-table.ts";
import { slotOf } from "../base/slot.ts";

/** What a room last told a user. */
export interface UserRoom {
  readonly kind: NoticeKind;
  /** The room's number for that notice: only a higher one changes anything. */
  readonly number: number;
  /** The entry that told. */
  readonly index: number;
}

/** A user as the rooms' notices left it. For everybody but `GroupState` it is to be read only. */
export class User implements Named {
  readonly name: UserName;
  readonly nameBytes: Uint8Array;
  readonly nameHash: number;
  /** The how-manieth user of its group it is, from 0. */
  readonly place: number;
  /** By room: those the user is in, the direct ones, and for a while those left, so that a late notice is known as late. */
  readonly told = new Map<RoomName, UserRoom>();
  /** How many of `told` are memberships that the user asked for, and how many direct rooms. */
  joinedCount = 0;
  directCount = 0;
  /** How many are memberships that somebody else gave and the user has not made own ones by joining. */
  invitedCount = 0;

  #slot: Slot | null = null;

  constructor(name: UserName, nameBytes: Uint8Array, nameHash: number, place: number) {
    this.place = place;
    this.name = name;
    this.nameBytes = nameBytes;
    this.nameHash = nameHash;
  }

  /** Which of the 4096 parts of all names it belongs to. */
  get slot(): Slot {
    this.#slot ??= slotOf(this.nameBytes);
    return this.#slot;
  }

  /** The rooms the user is a member of, in no order. */
  rooms(): RoomName[] {
    return [...this.told]
      .filter(([, told]) => told.kind === noticeKinds.added || told.kind === noticeKinds.invited)
      .map(([room]) => room);
  }

  /** The user's direct rooms, in no order. */
  directRooms(): RoomName[] {
    return [...this.told].filter(([, told]) => told.kind === noticeKinds.direct).map(([room]) => room);
  }
}
