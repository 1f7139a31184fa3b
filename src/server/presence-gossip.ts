import { getU16, getU32, putU16, putU32 } from "../base/byte-order.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { NodeName, RoomName, UserName } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import { textOf, utf8 } from "../protocol/utf8.ts";

/** Who reads a room on one server: by name, or where that are too many only how many. */
export interface Readers {
  readonly users: readonly UserName[] | null;
  readonly count: number;
}

/**
 * What servers tell each other of what is not logged. Little-endian:
 *
 * ```
 * u8 what, u16 length and room (UTF-8), then
 * 1 typing     u16 length and user: is typing there
 * 2 interest   tell me who reads it on your side, now and with every change, for a while
 * 3 readers    u32 count, u16 names, and as many times u16 length and user; 0 names: they are too many, or none
 * ```
 */
type Said =
  | { readonly what: 1; readonly room: RoomName; readonly user: UserName }
  | { readonly what: 2; readonly room: RoomName }
  | { readonly what: 3; readonly room: RoomName; readonly readers: Readers };

/** What another server has told, and until when it counts. */
interface Told {
  readonly readers: Readers;
  readonly until: number;
}

/** What this needs of presence on its own server. */
export interface LocalPresence {
  /** Somebody on another server is typing. */
  typed(room: RoomName, user: UserName): void;
  /** Who reads this room on another server is known anew. */
  changedElsewhere(room: RoomName): void;
  readersHere(room: RoomName): Readers;
  /** Somebody here wants to know who is in this room. */
  isAsked(room: RoomName): boolean;
}

/** Interest is renewed this often, and stands for three times as long: so old what is told may be at most. */
const renewMs = 10_000;
const standsMs = 30_000;
/** Rooms that one other server may be interested in. */
const roomsMax = 10_000;

/**
 * Who is typing and who is there, between servers: told to those who have said that somebody there wants to know, and
 * forgotten in time. Nothing waits for it and nothing is decided by it.
 *
 * 1. what is known of another server's readers is at most `standsMs` old, and goes with the link to it
 */
export class PresenceGossip {
  readonly #clock: Clock;
  readonly #peers: () => Iterable<NodeName>;
  readonly #send: (to: NodeName, bytes: Uint8Array) => void;
  #local: LocalPresence | null = null;
  /** Rooms of which somebody here wants to know. */
  readonly #wanted = new Set<RoomName>();
  /** By server: in which rooms it is interested, and until when. */
  readonly #interests = new Map<NodeName, Map<RoomName, number>>();
  /** By room and server. */
  readonly #readers = new Map<RoomName, Map<NodeName, Told>>();
  #timer: Timer | null = null;

  constructor(options: {
    clock: Clock;
    /** Servers that there is a link with. */
    peers: () => Iterable<NodeName>;
    /** What can't be sent is lost, and told again in time. */
    send: (to: NodeName, bytes: Uint8Array) => void;
  }) {
    this.#clock = options.clock;
    this.#peers = options.peers;
    this.#send = options.send;
  }

  set local(local: LocalPresence) {
    this.#local = local;
  }

  /** Somebody here is typing. */
  typing(room: RoomName, user: UserName): void {
    this.#tellAll({ what: 1, room, user });
  }

  /** Somebody here wants to know who is in a room, as long as `isAsked` says so. */
  want(room: RoomName): void {
    if (this.#wanted.has(room)) return;
    this.#wanted.add(room);
    this.#tellAll({ what: 2, room });
    this.#renewLater();
  }

  /** Whether another server wants to know who reads this room here. */
  isWantedElsewhere(room: RoomName): boolean {
    const now = this.#clock.now();
    for (const rooms of this.#interests.values()) if ((rooms.get(room) ?? 0) > now) return true;
    return false;
  }

  /** Others read this room here than before: tells those who want to know. */
  changed(room: RoomName): void {
    const now = this.#clock.now();
    const readers = this.#local!.readersHere(room);
    for (const [peer, rooms] of this.#interests) {
      if ((rooms.get(room) ?? 0) > now) this.#send(peer, encode({ what: 3, room, readers }));
    }
  }

  /** Who reads a room on the other servers, each by itself. */
  *readersElsewhere(room: RoomName): IterableIterator<Readers> {
    const now = this.#clock.now();
    for (const { readers, until } of this.#readers.get(room)?.values() ?? []) if (until > now) yield readers;
  }

  /** What another server says. What can't be read is of a later version. */
  take(from: NodeName, bytes: Uint8Array): void {
    const local = this.#local;
    const said = decode(bytes);
    if (said === null || local === null) return;
    const { room } = said;
    switch (said.what) {
      case 1:
        local.typed(room, said.user);
        return;
      case 2:
        this.#interested(from, room);
        this.#send(from, encode({ what: 3, room, readers: local.readersHere(room) }));
        return;
      default: {
        if (!this.#wanted.has(room)) return;
        const known = this.#readers.get(room) ?? new Map<NodeName, Told>();
        this.#readers.set(room, known);
        known.set(from, { readers: said.readers, until: this.#clock.now() + standsMs });
        local.changedElsewhere(room);
      }
    }
  }

  /** There is a link with this server: it is told what is wanted here. */
  linked(peer: NodeName): void {
    for (const room of this.#wanted) this.#send(peer, encode({ what: 2, room }));
  }

  /** What this server said is not known to be so any more. */
  lost(peer: NodeName): void {
    this.#interests.delete(peer);
    for (const [room, known] of this.#readers) if (known.delete(peer)) this.#local?.changedElsewhere(room);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #interested(peer: NodeName, room: RoomName): void {
    const rooms = this.#interests.get(peer) ?? new Map<RoomName, number>();
    this.#interests.set(peer, rooms);
    const now = this.#clock.now();
    if (rooms.size >= roomsMax) for (const [other, until] of rooms) if (until <= now) rooms.delete(other);
    if (rooms.size < roomsMax || rooms.has(room)) rooms.set(room, now + standsMs);
  }

  #renewLater(): void {
    this.#timer ??= this.#clock.after(millis(renewMs), () => {
      this.#timer = null;
      for (const room of this.#wanted) {
        if (this.#local?.isAsked(room) === true) this.#tellAll({ what: 2, room });
        else {
          this.#wanted.delete(room);
          this.#readers.delete(room);
        }
      }
      if (this.#wanted.size > 0) this.#renewLater();
    });
  }

  #tellAll(said: Said): void {
    const bytes = encode(said);
    for (const peer of this.#peers()) this.#send(peer, bytes);
  }
}

function encode(said: Said): Uint8Array {
  const texts: Uint8Array[] = [utf8(said.room)];
  if (said.what === 1) texts.push(utf8(said.user));
  if (said.what === 3) for (const user of said.readers.users ?? []) texts.push(utf8(user));
  const fixed = said.what === 3 ? 7 : 1;
  const bytes = new Uint8Array(texts.reduce((sum, text) => sum + 2 + text.length, fixed));
  bytes[0] = said.what;
  let at = 1;
  for (let text = 0; text < texts.length; text++) {
    putU16(bytes, at, texts[text]!.length);
    bytes.set(texts[text]!, at + 2);
    at += 2 + texts[text]!.length;
    if (text > 0 || said.what !== 3) continue;
    putU32(bytes, at, said.readers.count);
    putU16(bytes, at + 4, said.readers.users?.length ?? 0);
    at += 6;
  }
  return bytes;
}

function decode(bytes: Uint8Array): Said | null {
  let at = 1;
  const text = (): string | null => {
    if (at + 2 > bytes.length) return null;
    const end = at + 2 + getU16(bytes, at);
    if (end > bytes.length) return null;
    const found = textOf(bytes, at + 2, end);
    at = end;
    return found;
  };
  const room = text() as RoomName | null;
  if (room === null) return null;
  switch (bytes[0]) {
    case 1: {
      const user = text() as UserName | null;
      return user === null ? null : { what: 1, room, user };
    }
    case 2:
      return { what: 2, room };
    case 3: {
      if (at + 6 > bytes.length) return null;
      const count = getU32(bytes, at);
      const names = getU16(bytes, at + 4);
      at += 6;
      const users: UserName[] = [];
      while (users.length < names) {
        const user = text() as UserName | null;
        if (user === null) return null;
        users.push(user);
      }
      return { what: 3, room, readers: { users: names === 0 && count > 0 ? null : users, count } };
    }
    default:
      return null;
  }
}
