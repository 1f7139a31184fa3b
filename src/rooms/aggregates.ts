import { createHash } from "node:crypto";
import { compareBytes } from "../base/compare-bytes.ts";
import type { ClusterId, Line, RoomName, UserName } from "../base/ids.ts";
import { ByteHash } from "./byte-hash.ts";
import { NameTable } from "./name-table.ts";
import { isDirectName, Room, type RoomContext } from "./room.ts";
import { RoomIndex } from "./room-index.ts";
import { RoomNumbers } from "./room-numbers.ts";
import { type Bounds, noBound } from "./setting.ts";
import type { Cutting, StateCut } from "./state-cut.ts";
import { User } from "./user.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const comma = 0x2c;

/** The line of the rooms of a group: it changes with the number that a `line` setting commits. */
export function lineOf(cluster: ClusterId, number: number): Line {
  return createHash("sha256").update(`line ${cluster} ${number}`).digest("hex").slice(0, 16) as Line;
}

/** The rooms and users of one group, found by the bytes of their names. */
export class Aggregates implements RoomContext, Cutting {
  readonly cluster: ClusterId;
  readonly hash: ByteHash;
  /** Rooms that exist and rooms that did: a deleted one keeps its numbering, if it has any. */
  readonly rooms = new RoomIndex();
  readonly numbers = new RoomNumbers();
  readonly users = new NameTable<User>();
  bounds: Bounds;
  line: Line;
  cut: StateCut | null = null;
  /** Rooms that were given back and whose numbering is kept. */
  closedRooms = 0;
  /** The highest number of a notice of rooms that were forgotten. */
  forgottenNotices = 0;
  /** How many rooms, and direct rooms, each user has made. */
  readonly #made = new Map<string, number>();
  readonly #madeDirect = new Map<string, number>();
  #lineNumber = 0;

  constructor(cluster: ClusterId, bounds: Bounds, hashSeed: number) {
    this.cluster = cluster;
    this.bounds = bounds;
    this.hash = new ByteHash(hashSeed);
    this.line = lineOf(cluster, 0);
  }

  get lineNumber(): number {
    return this.#lineNumber;
  }
  set lineNumber(number: number) {
    this.#lineNumber = number;
    this.line = lineOf(this.cluster, number);
  }

  /** The room of this name, also when it was deleted. */
  findRoom(b: Uint8Array, start: number, length: number): Room | undefined {
    const last = this.rooms.findLast(b, start, length);
    return last ?? this.rooms.find(b, start, length, this.hash.of(b, start, length));
  }

  findUser(b: Uint8Array, start: number, length: number): User | undefined {
    return this.users.find(b, start, length, this.hash.of(b, start, length));
  }

  /** Adds a room that is not there, at the lowest free place. The name is copied. */
  addRoom(name: Uint8Array): Room {
    const place = this.rooms.freePlace;
    this.cut?.placeFills(place);
    return this.#addRoom(name, place);
  }

  /** Adds a room of a snapshot, behind the one before. */
  restoreRoom(name: Uint8Array): Room {
    return this.#addRoom(name, this.rooms.places);
  }

  #addRoom(name: Uint8Array, place: number): Room {
    const own = name.slice();
    const hash = this.hash.of(own, 0, own.length);
    const room = new Room(this, utf8.decode(own) as RoomName, own, hash, place, this.forgottenNotices);
    this.rooms.add(room);
    return room;
  }

  /** This user made the room, or nobody did (empty). */
  setMaker(room: Room, maker: string): void {
    if (room.maker !== "") this.#count(room, -1);
    room.maker = maker;
    if (maker !== "") this.#count(room, 1);
  }

  /** Whether this user may make no further room of this kind, or this one alone. */
  isFullOfRoomsBy(maker: string, room: Room | undefined, isDirect: boolean): boolean {
    if (room?.maker === maker || this.bounds.madeRoomsMax === noBound) return false;
    const made = (isDirect ? this.#madeDirect : this.#made).get(maker) ?? 0;
    return made >= (isDirect ? this.bounds.directRoomsMax : this.bounds.madeRoomsMax);
  }

  #count(room: Room, more: 1 | -1): void {
    const counts = room.isDirect ? this.#madeDirect : this.#made;
    const count = (counts.get(room.maker) ?? 0) + more;
    if (count === 0) counts.delete(room.maker);
    else counts.set(room.maker, count);
  }

  /**
   * A room that is deleted and has told everybody everything is given back. Where nothing was ever said it is as if it had
   * never been; else its numbering stays, so that one made again under this name goes on behind its head.
   */
  close(room: Room): void {
    // Numbering is kept of as many as there may be rooms. Beyond, a room that is gone keeps its place.
    if (room.head > 0 && this.closedRooms >= this.bounds.groupRoomsMax) return;
    this.setMaker(room, "");
    if (room.head > 0) {
      room.isClosed = true;
      this.closedRooms++;
      return;
    }
    // Its people know the highest number of its notices: one made again under its name must go on above.
    if (room.noticeNumber > this.forgottenNotices) this.forgottenNotices = room.noticeNumber;
    this.rooms.remove(room);
    room.leavePlace();
  }

  /** Adds a user who is not there. The name is copied. */
  addUser(name: Uint8Array): User {
    const own = name.slice();
    const user = new User(utf8.decode(own) as UserName, own, this.hash.of(own, 0, own.length), this.users.size);
    this.users.add(user);
    return user;
  }

  /** Whether there is no place for this room, which is not there or was given back. */
  isFullFor(room: Room | undefined): boolean {
    if (room !== undefined && !room.isClosed) return false;
    return this.rooms.size - this.closedRooms >= this.bounds.groupRoomsMax;
  }
}

/** A name in bytes as a string. */
export const userName = (name: Uint8Array): UserName => utf8.decode(name) as UserName;

/** Whether a direct room's name has its two names in order: the other order would be another room of the same two. */
export function isOrderedDirectName(name: Uint8Array): boolean {
  if (!isDirectName(name, 0, name.length)) return false;
  const middle = name.indexOf(comma);
  return compareBytes(name.subarray(1, middle), name.subarray(middle + 1)) <= 0;
}
