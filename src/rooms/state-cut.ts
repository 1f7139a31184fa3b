import { createHash } from "node:crypto";
import type { LiveChunk } from "./chunks.ts";
import { linkBytes } from "./digest-link.ts";
import type { IdWindow } from "./id-window.ts";
import type { Room } from "./room.ts";
import { boundNames } from "./setting.ts";
import { invitedFlag, snapshotFormat, snapshotMagic } from "./snapshot.ts";
import { SnapshotWriter } from "./snapshot-bytes.ts";
import type { StateParts } from "./state-parts.ts";
import type { User } from "./user.ts";

/** How much one step writes. */
export interface CutStep {
  /** Bytes of rooms or users, unless one alone is larger. */
  readonly bytes: number;
  readonly ids: number;
}

/** Well below a millisecond's work. */
export const cutStep: CutStep = { bytes: 32 * 1024, ids: 512 };
/** What one step of the checksum reads. */
const stepHashBytes = 1024 * 1024;

const utf8 = new TextEncoder();

/** Who changes rooms, users and the window asks this first: what a cut has not written yet must not change under it. */
export interface Cutting {
  /** The cut that is being written; null: none. */
  cut: StateCut | null;
}

/**
 * A group's state as it was at one moment, written in small steps while the state goes on (snapshot.ts has the layout).
 *
 * Rooms and users are written in the order they came. One that is about to change before its turn is written at once and
 * put aside (copy on write), and so is an id that is about to leave the window. What comes after the moment is counted
 * out: rooms, users and ids are only ever added behind.
 *
 * 1. every byte is of the moment the cut was begun: the same as if the state had been written in one go
 * 2. a step is a bounded piece of work
 */
export class StateCut {
  readonly #parts: StateParts;
  readonly #step: CutStep;
  readonly #out = new SnapshotWriter();
  /** The ids, which stand behind all rooms and users. */
  readonly #ids = new SnapshotWriter();
  readonly #rooms: number;
  readonly #users: number;
  readonly #idsEnd: number;
  /** What comes next of each. */
  #room = 0;
  #user = 0;
  #id: number;
  readonly #earlyRooms: EarlyParts;
  readonly #earlyUsers: EarlyParts;
  readonly #hash = createHash("sha256");
  #pages: Uint8Array[] | null = null;
  #hashed = 0;
  #isFinished = false;

  constructor(parts: StateParts, step: CutStep) {
    const window = parts.posting.window;
    this.#parts = parts;
    this.#step = step;
    this.#rooms = parts.all.rooms.places;
    this.#users = parts.all.users.size;
    this.#earlyRooms = new EarlyParts(this.#rooms);
    this.#earlyUsers = new EarlyParts(this.#users);
    this.#id = window.oldest;
    this.#idsEnd = window.next;
    this.#ids.u32(window.size);
    writeHead(this.#out, parts);
    this.#out.u32(this.#rooms);
    if (this.#rooms === 0) this.#out.u32(this.#users);
  }

  /** Does a little of the work; answers whether all of it is done. */
  step(): boolean {
    if (this.#isFinished) return true;
    if (this.#room < this.#rooms) this.#writeRooms();
    else if (this.#user < this.#users) this.#writeUsers();
    else if (this.#id < this.#idsEnd) this.#writeIds(Math.min(this.#idsEnd, this.#id + this.#step.ids));
    else this.#checksum();
    return this.#isFinished;
  }

  /** Does all that is left, in one go. */
  finish(): void {
    while (!this.step());
  }

  /** The bytes of the snapshot, one page behind the other. Only once all is done. */
  pages(): readonly Uint8Array[] {
    return this.#pages!;
  }

  /** This room is about to change. */
  roomChanges(room: Room): void {
    this.#roomChangesAt(room.place);
  }

  #roomChangesAt(place: number): void {
    if (place < this.#room || place >= this.#rooms || this.#earlyRooms.has(place)) return;
    writeRoom(this.#earlyRooms.writer, this.#parts.all.rooms.at(place));
    this.#earlyRooms.put(place);
  }

  /** A room is about to take this free place. */
  placeFills(place: number): void {
    if (place < this.#room || place >= this.#rooms || this.#earlyRooms.has(place)) return;
    writeRoom(this.#earlyRooms.writer, undefined);
    this.#earlyRooms.put(place);
  }

  /** This user is about to change. */
  userChanges(user: User): void {
    const { place } = user;
    if (place < this.#user || place >= this.#users || this.#earlyUsers.has(place)) return;
    writeUser(this.#earlyUsers.writer, user);
    this.#earlyUsers.put(place);
  }

  /** The oldest id is about to leave the window, and to raise its room's floor. */
  idLeaves(id: number, place: number): void {
    this.#roomChangesAt(place);
    if (id === this.#id && id < this.#idsEnd) this.#writeIds(id + 1);
  }

  #writeRooms(): void {
    const { rooms } = this.#parts.all;
    const until = this.#out.length + this.#step.bytes;
    while (this.#room < this.#rooms && this.#out.length < until) {
      const place = this.#room++;
      if (!this.#earlyRooms.move(place, this.#out)) writeRoom(this.#out, rooms.at(place));
    }
    if (this.#room < this.#rooms) return;
    this.#earlyRooms.clear();
    this.#out.u32(this.#users);
  }

  #writeUsers(): void {
    const { users } = this.#parts.all;
    const until = this.#out.length + this.#step.bytes;
    while (this.#user < this.#users && this.#out.length < until) {
      const place = this.#user++;
      if (!this.#earlyUsers.move(place, this.#out)) writeUser(this.#out, users.at(place));
    }
    if (this.#user === this.#users) this.#earlyUsers.clear();
  }

  #writeIds(until: number): void {
    const { window } = this.#parts.posting;
    for (; this.#id < until; this.#id++) writeId(this.#ids, window, this.#id);
  }

  #checksum(): void {
    this.#pages ??= [...this.#out.pages(), ...this.#ids.pages()];
    for (let bytes = 0; this.#hashed < this.#pages.length && bytes < stepHashBytes; this.#hashed++) {
      const page = this.#pages[this.#hashed]!;
      this.#hash.update(page);
      bytes += page.length;
    }
    if (this.#hashed < this.#pages.length) return;
    this.#pages.push(this.#hash.digest());
    this.#isFinished = true;
    // Whoever changes something has nothing to ask any more.
    if (this.#parts.all.cut === this) this.#parts.all.cut = null;
  }
}

/** Bytes of early parts that lie together. */
const earlyPageBytes = 64 * 1024;

/**
 * What had to be written before its turn, by its place. Ten thousand rooms may change before theirs comes, in between
 * messages: they are written behind one another, and nothing is made for each of them.
 */
class EarlyParts {
  /** Where the next one is written, before it is put aside. */
  readonly writer = new SnapshotWriter();
  readonly #places: number;
  /** Three numbers for each place: page + 1 (0: not here), offset in it, length. Made for the first one. */
  #where: Uint32Array = new Uint32Array(0);
  readonly #pages: Uint8Array[] = [];
  #used = 0;

  constructor(places: number) {
    this.#places = places;
  }

  has(place: number): boolean {
    return this.#where.length > 0 && this.#where[place * 3] !== 0;
  }

  /** Puts aside what the writer has. */
  put(place: number): void {
    if (this.#where.length === 0) this.#where = new Uint32Array(this.#places * 3);
    const { length } = this.writer;
    let page = this.#pages.at(-1);
    if (page === undefined || this.#used + length > page.length) {
      page = new Uint8Array(Math.max(earlyPageBytes, length));
      this.#pages.push(page);
      this.#used = 0;
    }
    this.writer.moveInto(page, this.#used);
    this.#where[place * 3] = this.#pages.length;
    this.#where[place * 3 + 1] = this.#used;
    this.#where[place * 3 + 2] = length;
    this.#used += length;
  }

  /** Writes what was put aside; false when nothing was. */
  move(place: number, out: SnapshotWriter): boolean {
    if (!this.has(place)) return false;
    const page = this.#pages[this.#where[place * 3]! - 1]!;
    const offset = this.#where[place * 3 + 1]!;
    out.raw(page.subarray(offset, offset + this.#where[place * 3 + 2]!));
    return true;
  }

  clear(): void {
    this.#pages.length = 0;
    this.#where = new Uint32Array(0);
  }
}

function writeHead(out: SnapshotWriter, parts: StateParts): void {
  const { all, chunks } = parts;
  out.u32(snapshotMagic);
  out.u32(snapshotFormat);
  out.u32(parts.group);
  out.text(utf8.encode(all.cluster));
  out.u8(boundNames.length);
  for (const name of boundNames) out.u48(all.bounds[name]);
  out.u48(parts.appliedIndex);
  out.u48(parts.appliedTerm);
  out.u48(parts.lastTs);
  out.u32(parts.lastDay);
  out.u48(all.lineNumber);
  out.u48(all.forgottenNotices);
  out.text(utf8.encode(parts.timeZone));
  out.u48(parts.retentionDays);
  out.u48(parts.configuration?.index ?? 0);
  out.u32(parts.configuration?.bytes.length ?? 0);
  if (parts.configuration !== null) out.raw(parts.configuration.bytes);
  out.u32(parts.addresses.size);
  for (const [node, address] of parts.addresses) {
    out.text(utf8.encode(node));
    out.text(utf8.encode(address?.host ?? ""));
    out.u48(address?.port ?? 0);
  }
  out.u32(parts.clientAddresses.size);
  for (const [node, urls] of parts.clientAddresses) {
    out.text(utf8.encode(node));
    out.text(utf8.encode(urls.join(" ")));
  }
  out.u48(chunks.last);
  out.u48(chunks.openFrom);
  out.u48(chunks.openMessages);
  out.u48(chunks.openBytes);
  out.u32(chunks.live.size);
  // Chunks are added in the order of their numbers.
  for (const chunk of chunks.live.values()) writeChunk(out, chunk);
}

function writeChunk(out: SnapshotWriter, chunk: LiveChunk): void {
  out.u48(chunk.chunk);
  out.u48(chunk.from);
  out.u48(chunk.to);
  out.u32(chunk.day);
  out.u8(chunk.format);
  out.u8(chunk.reason);
  out.u48(chunk.messages);
  out.u48(chunk.bytes);
  out.u48(chunk.sealedAt);
  out.u48(chunk.generation);
}

const noName = new Uint8Array(0);

function writeRoom(out: SnapshotWriter, room: Room | undefined): void {
  out.text(room?.nameBytes ?? noName);
  if (room === undefined) return;
  out.u8((room.exists ? 1 : 0) | (room.isPrivate ? 2 : 0) | (room.isClosed ? 4 : 0));
  out.text(utf8.encode(room.maker));
  out.u48(room.head);
  out.u48(room.first);
  out.u48(room.floor);
  out.u48(room.lastTs);
  out.u48(room.retention.ageMs);
  out.u48(room.retention.messages);
  out.u48(room.retention.bytes);
  out.u48(room.openFirst);
  out.u48(room.openBytes);
  out.u48(room.noticeNumber);
  const { through, links, saved } = room.digests;
  out.u48(through);
  if (through > 0) {
    out.u32(links.length / linkBytes);
    out.raw(links);
    out.text(saved);
  }
  out.u32(room.members.size);
  for (let i = 0; i < room.members.size; i++) {
    const member = room.members.at(i);
    out.text(member.nameBytes);
    out.u8(member.role | (member.isInvited ? invitedFlag : 0));
    out.u48(member.read);
  }
  out.u32(room.visitorMarks.size);
  for (const [name, seq] of room.visitorMarks) {
    out.text(utf8.encode(name));
    out.u48(seq);
  }
  out.u32(room.runs.length);
  for (let i = 0; i < room.runs.length; i++) {
    out.u48(room.runs.chunk(i));
    out.u48(room.runs.firstSeq(i));
    out.u48(room.runs.lastSeq(i));
    out.u48(room.runs.bytes(i));
    out.u48(room.runs.lastTs(i));
  }
  out.u32(room.outbox.size);
  for (const notice of room.outbox.values()) {
    out.u48(notice.number);
    out.u8(notice.kind);
    out.text(utf8.encode(notice.user));
  }
}

function writeUser(out: SnapshotWriter, user: User): void {
  out.text(user.nameBytes);
  out.u32(user.told.size);
  for (const [room, told] of user.told) {
    out.text(utf8.encode(room));
    out.u8(told.kind);
    out.u48(told.number);
    out.u48(told.index);
  }
}

function writeId(out: SnapshotWriter, window: IdWindow, id: number): void {
  out.u32(window.roomPlace(id));
  window.texts(id, out.textAt);
  out.u48(window.seq(id));
  out.u48(window.ts(id));
  out.u48(window.epoch(id));
  out.u32(window.digestLow(id));
  out.u32(window.digestHigh(id));
}
