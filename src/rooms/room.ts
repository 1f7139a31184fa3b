import { type Line, lobby, type RoomName, type Slot, type UserName } from "../base/ids.ts";
import type { ByteHash } from "./byte-hash.ts";
import { type NoticeKind, type Role, roles } from "./commands.ts";
import { type KeptDigests, noKeptDigests } from "./kept-digests.ts";
import { NameTable, type Named } from "./name-table.ts";
import { roomNumber, RoomNumbers, roomNumbers } from "./room-numbers.ts";
import { Runs } from "./runs.ts";
import { slotOf } from "../base/slot.ts";

/** A member of a room. */
export interface Member extends Named {
  name: UserName;
  nameBytes: Uint8Array;
  role: Role;
  /** Up to where the member has read. */
  read: number;
  /** Somebody else let the member in, who has not joined since. */
  isInvited: boolean;
}

/** What a room keeps; 0 = no bound of that kind. */
export interface Retention {
  readonly ageMs: number;
  readonly messages: number;
  readonly bytes: number;
}

/** What a room has to tell a user, until the user's aggregate has it. */
export interface Notice {
  readonly number: number;
  readonly kind: NoticeKind;
  readonly user: UserName;
}

/** What all rooms of a group have in common. */
export interface RoomContext {
  readonly line: Line;
  readonly hash: ByteHash;
  readonly numbers: RoomNumbers;
}

export const noRetention: Retention = { ageMs: 0, messages: 0, bytes: 0 };

/**
 * A room as the applied log left it. For everybody but `GroupState` it is to be read only.
 *
 * 1. first <= head + 1: messages first … head are kept; first = head + 1 when none is
 * 2. head, first, floor and lastTs never decrease, also over deletion and re-creation
 * 3. floor <= head: every message above `floor` has its id in the group's window
 * 4. sealed messages from `first` on are in `runs`, the others from `openFirst` on in the open chunk
 */
export class Room implements Named {
  // What every message asks for stands together: among many rooms each line of memory is waited for.
  /** The how-manieth room of its group it is, from 0. */
  readonly place: number;
  /** Its numbers, with those of all others, and where they begin. */
  #numbers: RoomNumbers;
  #at: number;
  /** False once deleted: then only the numbering is left, and a new room of this name goes on behind `head`. */
  exists = true;
  isPrivate = false;
  /** Where its name's comma stands when it is a direct room; else -1. */
  readonly #comma: number;
  readonly name: RoomName;
  readonly nameBytes: Uint8Array;
  readonly nameHash: number;
  /** It was given back: it takes no place among the rooms of its group any more, and waits for a maker behind its head. */
  isClosed = false;
  retention: Retention = noRetention;
  readonly members: NameTable<Member> = new NameTable<Member>();
  /** Read marks of those who read an open room without being members. */
  readonly visitorMarks = new Map<string, number>();
  readonly runs = new Runs();
  /** Digests of what is no longer kept. */
  digests: KeptDigests = noKeptDigests;
  /** Who made it; empty: the cluster, or it was made before that was kept. */
  maker = "";
  /** The number of the last notice. */
  noticeNumber: number;
  /** Not acknowledged notices by user: a later one to the same user takes the place of the former. */
  readonly outbox = new Map<string, Notice>();
  readonly #context: RoomContext;

  #slot: Slot | null = null;

  constructor(
    context: RoomContext,
    name: RoomName,
    nameBytes: Uint8Array,
    nameHash: number,
    place: number,
    noticeNumber: number,
  ) {
    this.#context = context;
    this.place = place;
    this.#numbers = context.numbers;
    this.#numbers.begin(place);
    this.#at = place * roomNumbers;
    this.noticeNumber = noticeNumber;
    this.name = name;
    this.nameBytes = nameBytes;
    this.nameHash = nameHash;
    this.#comma = isDirectName(nameBytes, 0, nameBytes.length) ? nameBytes.indexOf(comma) : -1;
  }

  get head(): number {
    return this.#numbers.rows[this.#at + roomNumber.head]!;
  }
  set head(seq: number) {
    this.#numbers.rows[this.#at + roomNumber.head] = seq;
  }
  get first(): number {
    return this.#numbers.rows[this.#at + roomNumber.first]!;
  }
  set first(seq: number) {
    this.#numbers.rows[this.#at + roomNumber.first] = seq;
  }
  get floor(): number {
    return this.#numbers.rows[this.#at + roomNumber.floor]!;
  }
  set floor(seq: number) {
    this.#numbers.rows[this.#at + roomNumber.floor] = seq;
  }
  get lastTs(): number {
    return this.#numbers.rows[this.#at + roomNumber.lastTs]!;
  }
  set lastTs(ts: number) {
    this.#numbers.rows[this.#at + roomNumber.lastTs] = ts;
  }
  /** First seq of this room in the open chunk; 0 = none. */
  get openFirst(): number {
    return this.#numbers.rows[this.#at + roomNumber.openFirst]!;
  }
  set openFirst(seq: number) {
    this.#numbers.rows[this.#at + roomNumber.openFirst] = seq;
  }
  /** Bytes of this room in the open chunk. */
  get openBytes(): number {
    return this.#numbers.rows[this.#at + roomNumber.openBytes]!;
  }
  set openBytes(bytes: number) {
    this.#numbers.rows[this.#at + roomNumber.openBytes] = bytes;
  }

  /** It was taken out, and its place is another's: whoever still holds it reads what it was, from numbers of its own. */
  leavePlace(): void {
    const before = this.#numbers.rows.subarray(this.#at, this.#at + roomNumbers);
    this.#numbers = new RoomNumbers(1);
    this.#numbers.rows.set(before);
    this.#at = 0;
  }

  /** Which of the 4096 parts of all names it belongs to. */
  get slot(): Slot {
    this.#slot ??= slotOf(this.nameBytes);
    return this.#slot;
  }
  get line(): Line {
    return this.#context.line;
  }
  get isDirect(): boolean {
    return this.#comma >= 0;
  }
  /** The names of a direct room's two people; one name when it is a room with oneself; none for other rooms. */
  get people(): UserName[] {
    if (!this.isDirect) return [];
    const [one, two] = this.name.slice(1).split(",") as [UserName, UserName];
    return one === two ? [one] : [one, two];
  }

  /**
   * Whether it is deleted, or open with nobody and nothing in it: then it can be given back. A private room stays shut to
   * everybody but whom the cluster lets in, a direct one is its two people's, and the lobby is where everybody comes first.
   */
  get isIdle(): boolean {
    if (!this.exists) return true;
    return !this.isPrivate && this.members.size === 0 && this.first > this.head && this.name !== lobby;
  }

  /** The member whose name is `user`. A direct room's people are its members and have no entry here unless they read. */
  member(user: string): Member | undefined {
    const bytes = utf8.encode(user);
    return this.members.find(bytes, 0, bytes.length, this.#context.hash.of(bytes, 0, bytes.length));
  }

  /** Whether `user` may know of this room and read it. */
  mayRead(user: string): boolean {
    const bytes = utf8.encode(user);
    return this.mayReadBytes(bytes, 0, bytes.length);
  }

  /** The same for a name in a record. Costs nothing in open rooms. */
  mayReadBytes(b: Uint8Array, start: number, length: number): boolean {
    if (!this.exists) return false;
    if (this.#comma >= 0) return isOneOfTwo(this.nameBytes, 0, this.nameBytes.length, b, start, length);
    if (!this.isPrivate) return true;
    return this.members.find(b, start, length, this.#context.hash.of(b, start, length)) !== undefined;
  }

  /** Whether `user` may edit others' messages here. */
  mayModerate(user: string): boolean {
    const member = this.member(user);
    return this.exists && member !== undefined && member.role >= roles.moderator;
  }

  /** Up to where `user` has read: 0 when there is no mark. */
  readMark(user: string): number {
    return this.member(user)?.read ?? this.visitorMarks.get(user) ?? 0;
  }
}

const utf8 = new TextEncoder();
const at = 0x40;
const comma = 0x2c;

/** Whether these bytes are the name of a direct room: `@`, a name, `,`, a name. Names hold neither `@` nor `,`. */
export function isDirectName(b: Uint8Array, start: number, length: number): boolean {
  return length >= 4 && b[start] === at && b.subarray(start, start + length).includes(comma);
}

/** Whether a user's name is one of the two in a direct room's name. */
export function isOneOfTwo(
  room: Uint8Array,
  roomStart: number,
  roomLength: number,
  user: Uint8Array,
  userStart: number,
  userLength: number,
): boolean {
  const end = roomStart + roomLength;
  return (
    (room[roomStart + 1 + userLength] === comma && same(room, roomStart + 1, user, userStart, userLength)) ||
    (room[end - userLength - 1] === comma && same(room, end - userLength, user, userStart, userLength))
  );
}

function same(a: Uint8Array, aStart: number, b: Uint8Array, bStart: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false;
  return true;
}
