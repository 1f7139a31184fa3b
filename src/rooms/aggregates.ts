import { createHash } from "node:crypto";
import { compareBytes } from "../base/compare-bytes.ts";
import type { ClusterId, Line, RoomName, UserName } from "../base/ids.ts";
import { ByteHash } from "./byte-hash.ts";
import { NameTable } from "./name-table.ts";
import { isDirectName, Room, type RoomContext } from "./room.ts";
import { RoomIndex } from "./room-index.ts";
import type { Bounds } from "./setting.ts";
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
  /** Rooms that exist and rooms that did: a deleted one keeps its numbering. */
  readonly rooms = new RoomIndex();
  readonly users = new NameTable<User>();
  bounds: Bounds;
  line: Line;
  cut: StateCut | null = null;
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

  /** Adds a room that is not there. The name is copied. */
  addRoom(name: Uint8Array): Room {
    const own = name.slice();
    const room = new Room(this, utf8.decode(own) as RoomName, own, this.hash.of(own, 0, own.length), this.rooms.size);
    this.rooms.add(room);
    return room;
  }

  /** Adds a user who is not there. The name is copied. */
  addUser(name: Uint8Array): User {
    const own = name.slice();
    const user = new User(utf8.decode(own) as UserName, own, this.hash.of(own, 0, own.length), this.users.size);
    this.users.add(user);
    return user;
  }

  get isFullOfRooms(): boolean {
    return this.rooms.size >= this.bounds.groupRoomsMax;
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
