import { createHash } from "node:crypto";
import { Fault } from "../base/error-codes.ts";
import { FieldReader } from "../base/field-bytes.ts";
import type { ClusterId, GroupId, LogIndex, Term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import { userName } from "./aggregates.ts";
import type { NoticeKind, Role } from "./commands.ts";
import type { LiveChunk } from "./chunks.ts";
import { linkBytes } from "./digest-link.ts";
import { setTold, sharedName } from "./notices.ts";
import type { Room } from "./room.ts";
import type { SealReason } from "./seal.ts";
import { type BoundName, type Bounds, boundNames, initialBounds, urlsOf } from "./setting.ts";
import { badSnapshot } from "./snapshot-bytes.ts";
import type { GroupConfiguration, StateParts } from "./state-parts.ts";

/**
 * A group's state in bytes, in one canonical form: rooms, users, members and what is kept of them in the order they came,
 * which the log decides and a restored state keeps. Whole: the ids of the window, the open chunk's rooms and the applied
 * index are part of it, so that no two of them can be from different moments. Written by `StateCut` (state-cut.ts).
 *
 * ```
 * "SYNR", u32 format = 5, u32 group, text cluster, u8 number of bounds, u48 each
 * u48 appliedIndex, appliedTerm, lastTs, u32 lastDay, u48 line number, u48 forgotten notices (format 3), text time zone, u48 retention days
 * u48 index of the last configuration entry, 0 = none, u32 length and its payload (not in format 1, which had none)
 * u32 addresses, each: text server, text host, u48 port; no host and 0 = taken off (from format 4 on)
 * u32 servers that clients reach elsewhere than they came, each: text server, text addresses with spaces between them (from format 5 on)
 * u48 last chunk, open from, open messages, open bytes
 * u32 live chunks, each: u48 chunk, from, to, u32 day, u8 format, reason, u48 messages, bytes, sealedAt, generation
 * u32 rooms, each:       text name (empty: a free place, and no more of it), u8 exists | private << 1 | closed << 2,
 *                        text maker (format 3), u48 head, first, floor, lastTs, ageMs, messages, bytes,
 *                        openFirst, openBytes, noticeNumber, digested; if digested > 0: u32 links, 32 bytes each,
 *                        and the link half-way as a text (kept-digests.ts)
 *                        u32 members: text name, u8 role | invited << 7, u48 read;  u32 marks: text name, u48 seq
 *                        u32 runs: u48 chunk, first, last, bytes, ts;  u32 outbox: u48 number, u8 kind, text user
 * u32 users, each:       text name, u32 told: text room, u8 kind, u48 number, u48 index
 * u32 ids, oldest first: u32 place of the room above, text from, text cid, u48 seq, ts, epoch, u32 digest twice
 * 32 bytes SHA-256 of all the above
 * ```
 * A text is one byte of length and UTF-8 bytes.
 */
export const snapshotMagic = 0x524e_5953;
export const snapshotFormat = 5;
/** Before it was kept where clients reach servers. It is read, and written no more. */
const formatWithoutClients = 4;
/** Before addresses were kept. It is read, and written no more. */
const formatWithoutAddresses = 3;
/** Before rooms were given back, had makers, and invitations were told from joins. It is read, and written no more. */
const formatWithoutMakers = 2;
/** Before configurations were kept. It is read, and written no more. */
const formatWithoutConfiguration = 1;
/** Of a member's role. */
export const invitedFlag = 0x80;
const digestBytes = 32;

/** Reads a state into empty parts made by `make`. Throws a Fault for bytes that are no whole snapshot. */
export function readSnapshot(
  bytes: Uint8Array,
  make: (group: GroupId, cluster: ClusterId, bounds: Bounds) => StateParts,
): StateParts {
  if (bytes.length < digestBytes) throw badSnapshot("it is too short");
  const content = bytes.subarray(0, bytes.length - digestBytes);
  const digest = createHash("sha256").update(content).digest();
  if (!digest.equals(bytes.subarray(bytes.length - digestBytes))) throw badSnapshot("its checksum is wrong");
  const from = new FieldReader(content, () => {
    throw badSnapshot("it ends in the middle");
  });
  if (from.u32() !== snapshotMagic) throw badSnapshot("it begins with something else");
  const itsFormat = from.u32();
  if (itsFormat < formatWithoutConfiguration || itsFormat > snapshotFormat) {
    throw new Fault(
      "unsupported",
      `the state has format ${itsFormat}, this version reads up to ${snapshotFormat}; use the version that wrote it`,
    );
  }
  const group = from.u32() as GroupId;
  const cluster = userName(from.text()) as string as ClusterId;
  const boundCount = from.u8();
  if (boundCount > boundNames.length) throw badSnapshot("it has other bounds than this program knows");
  // A bound that came later is what it is in a log that says nothing of it.
  const bounds: Record<BoundName, number> = { ...initialBounds };
  for (const name of boundNames.slice(0, boundCount)) bounds[name] = from.u48();
  const parts = make(group, cluster, bounds);
  const { all, chunks } = parts;
  parts.appliedIndex = from.u48() as LogIndex;
  parts.appliedTerm = from.u48() as Term;
  parts.lastTs = from.u48() as Timestamp;
  parts.lastDay = from.u32() as Day;
  all.lineNumber = from.u48();
  const isBeforeMakers = itsFormat <= formatWithoutMakers;
  all.forgottenNotices = isBeforeMakers ? 0 : from.u48();
  parts.timeZone = userName(from.text());
  parts.retentionDays = from.u48();
  if (itsFormat !== formatWithoutConfiguration) parts.configuration = readConfiguration(from);
  if (itsFormat > formatWithoutAddresses) {
    for (let count = from.u32(); count > 0; count--) {
      const node = userName(from.text());
      const host = userName(from.text());
      const port = from.u48();
      parts.addresses.set(node, port === 0 ? null : { host, port });
    }
  }
  if (itsFormat > formatWithoutClients) {
    for (let count = from.u32(); count > 0; count--) {
      const node = userName(from.text());
      parts.clientAddresses.set(node, urlsOf(userName(from.text())));
    }
  }
  chunks.last = from.u48();
  chunks.openFrom = from.u48();
  chunks.openMessages = from.u48();
  chunks.openBytes = from.u48();
  for (let count = from.u32(); count > 0; count--) {
    const chunk = readChunk(from);
    chunks.live.set(chunk.chunk, chunk);
  }
  const rooms: (Room | undefined)[] = [];
  for (let count = from.u32(); count > 0; count--) rooms.push(readRoom(from, parts, isBeforeMakers));
  for (let count = from.u32(); count > 0; count--) readUser(from, parts);
  readWindow(from, parts, rooms);
  if (!from.isWhole) throw badSnapshot("something stands behind its end");
  return parts;
}

function readConfiguration(from: FieldReader): GroupConfiguration | null {
  const index = from.u48() as LogIndex;
  const bytes = from.raw(from.u32()).slice();
  return index === 0 ? null : { index, bytes };
}

function readChunk(from: FieldReader): LiveChunk {
  return {
    chunk: from.u48(),
    from: from.u48(),
    to: from.u48(),
    day: from.u32() as Day,
    format: from.u8(),
    reason: from.u8() as SealReason,
    messages: from.u48(),
    bytes: from.u48(),
    sealedAt: from.u48() as Timestamp,
    generation: from.u48(),
    rooms: 0,
  };
}

function readRoom(
  from: FieldReader,
  { all, chunks, membership }: StateParts,
  isBeforeMakers: boolean,
): Room | undefined {
  const name = from.text();
  if (name.length === 0) {
    all.rooms.addFree();
    return undefined;
  }
  const room = all.restoreRoom(name);
  const flags = from.u8();
  room.exists = (flags & 1) !== 0;
  room.isPrivate = (flags & 2) !== 0;
  room.isClosed = (flags & 4) !== 0;
  if (room.isClosed) all.closedRooms++;
  if (!isBeforeMakers) all.setMaker(room, userName(from.text()));
  room.head = from.u48();
  room.first = from.u48();
  room.floor = from.u48();
  room.lastTs = from.u48();
  room.retention = { ageMs: from.u48(), messages: from.u48(), bytes: from.u48() };
  room.openFirst = from.u48();
  room.openBytes = from.u48();
  if (room.openFirst > 0) chunks.touched.push(room);
  room.noticeNumber = from.u48();
  const through = from.u48();
  if (through > 0)
    room.digests = { through, links: from.raw(from.u32() * linkBytes).slice(), saved: from.text().slice() };
  for (let count = from.u32(); count > 0; count--) {
    const user = from.text();
    const role = from.u8();
    const member = membership.newMember(user, (role & ~invitedFlag) as Role, from.u48());
    member.isInvited = (role & invitedFlag) !== 0;
    room.members.add(member);
  }
  for (let count = from.u32(); count > 0; count--) room.visitorMarks.set(userName(from.text()), from.u48());
  for (let count = from.u32(); count > 0; count--) {
    const chunk = from.u48();
    room.runs.append(chunk, from.u48(), from.u48(), from.u48(), from.u48());
    const live = chunks.live.get(chunk);
    if (live === undefined) throw badSnapshot("a room lies in a chunk that is not there");
    live.rooms++;
  }
  for (let count = from.u32(); count > 0; count--) {
    const notice = { number: from.u48(), kind: from.u8() as NoticeKind, user: userName(from.text()) };
    room.outbox.set(notice.user, notice);
  }
  return room;
}

function readUser(from: FieldReader, { all }: StateParts): void {
  const user = all.addUser(from.text());
  for (let count = from.u32(); count > 0; count--) {
    const room = sharedName(all, user, from.text());
    setTold(user, room, { kind: from.u8() as NoticeKind, number: from.u48(), index: from.u48() });
  }
}

function readWindow(from: FieldReader, { posting }: StateParts, rooms: readonly (Room | undefined)[]): void {
  for (let count = from.u32(); count > 0; count--) {
    const room = rooms[from.u32()];
    if (room === undefined) throw badSnapshot("an id names a room that is not there");
    const sender = from.text();
    const cid = from.text();
    posting.restoreId(room, sender, cid, {
      seq: from.u48(),
      ts: from.u48(),
      epoch: from.u48(),
      digestLow: from.u32() | 0,
      digestHigh: from.u32() | 0,
    });
  }
}
