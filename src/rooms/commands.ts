import { assert } from "../base/assert.ts";
import { getU32, getU48, putU32, putU48 } from "../base/byte-order.ts";
import { type DigestStep, isDigestStep } from "./kept-digests.ts";
import { cidText, fromText, isRecord, postType, recordHeaderBytes, roomText, textLength } from "./message-record.ts";

/**
 * The commands of an entry of type 1, back to back. Each begins with its length and its type, and touches one
 * aggregate: the room it names, or for `notice` the user it names. A post is a message record (message-record.ts);
 * all others share one layout:
 *
 * ```
 *  0 u32 length      the whole command, this field included
 *  4 u8  type
 *  5 u8  detail      join: 1 = private; role: the role; notice: the kind; else 0
 *  6 u8  roomLength, userLength, byLength, 0
 * 10 u48 first       read mark: seq; trim: first; notice, notice acknowledged: number; retention: age in ms
 * 16 u48 second      retention: messages; trim: the message through which digests were kept before
 * 22 u48 third       retention: bytes; trim: bytes of digests
 * 28     room, user, by   (UTF-8 bytes)
 *        trim: whole links, 32 bytes each, then the link half-way (kept-digests.ts); or nothing
 * ```
 * `by` is who asks, checked by `apply` against the room's roles; empty is the cluster itself (retention, an operator),
 * which may do anything. What is not used is 0 or empty.
 */
export const commandTypes = {
  /** A message; message-record.ts. */
  post: postType,
  /** `user` enters `room`, which is created when it is new. A direct room is only made sure of. */
  join: 2,
  leave: 3,
  /** `by` puts `user` out. */
  kick: 4,
  /** `by` gives `user`, a member, the role in `detail`. */
  role: 5,
  /** `by` makes `user` a member. The way into a private room. */
  invite: 6,
  /** `user` has read up to `first`. Merged by maximum. */
  readMark: 7,
  /** What the room keeps: age in ms, messages, bytes; 0 = no bound of that kind. */
  retention: 8,
  /** Messages before `first` are removed, and their digests kept. Raises, never lowers. */
  trim: 9,
  /** The room, its messages and its members are removed. Its numbering stays. */
  deleteRoom: 10,
  /** What `room` tells `user`, under the number the room gave it. */
  notice: 11,
  /** `user` has been told number `first`: `room` may forget it. */
  noticeAcknowledged: 12,
  /** `room` is given back, if there is nobody and nothing in it and it has told everybody everything. */
  closeRoom: 13,
} as const;

/** What a member may do in a room; also a byte of commands and snapshots. Ordered: who is more may do more. */
export const roles = { member: 1, moderator: 2, owner: 3 } as const;
export type Role = (typeof roles)[keyof typeof roles];

/** What a room tells a user; also a byte of commands and snapshots. */
export const noticeKinds = {
  added: 1,
  removed: 2,
  direct: 3,
  /** Somebody else let the user in, who has not asked for it. */
  invited: 4,
} as const;
export type NoticeKind = (typeof noticeKinds)[keyof typeof noticeKinds];

export const commandHeaderBytes = 28;
const noBytes = new Uint8Array(0);

/** All commands but `post`. Names are UTF-8 bytes. */
export type Command =
  | { type: typeof commandTypes.join; room: Uint8Array; user: Uint8Array; private: boolean }
  | { type: typeof commandTypes.leave; room: Uint8Array; user: Uint8Array }
  | { type: typeof commandTypes.kick; room: Uint8Array; user: Uint8Array; by: Uint8Array }
  | { type: typeof commandTypes.role; room: Uint8Array; user: Uint8Array; by: Uint8Array; role: Role }
  | { type: typeof commandTypes.invite; room: Uint8Array; user: Uint8Array; by: Uint8Array }
  | { type: typeof commandTypes.readMark; room: Uint8Array; user: Uint8Array; seq: number }
  | {
      type: typeof commandTypes.retention;
      room: Uint8Array;
      by: Uint8Array;
      ageMs: number;
      messages: number;
      bytes: number;
    }
  /** Without digests when some message can't be read: from there on the room has none. */
  | { type: typeof commandTypes.trim; room: Uint8Array; first: number; digests?: DigestStep | null }
  | { type: typeof commandTypes.deleteRoom; room: Uint8Array; by: Uint8Array }
  | { type: typeof commandTypes.closeRoom; room: Uint8Array }
  | { type: typeof commandTypes.notice; room: Uint8Array; user: Uint8Array; kind: NoticeKind; number: number }
  | { type: typeof commandTypes.noticeAcknowledged; room: Uint8Array; user: Uint8Array; number: number };

const userOf = (command: Command): Uint8Array => ("user" in command ? command.user : noBytes);
const byOf = (command: Command): Uint8Array => ("by" in command ? command.by : noBytes);

function detailOf(command: Command): number {
  switch (command.type) {
    case commandTypes.join:
      return command.private ? 1 : 0;
    case commandTypes.role:
      return command.role;
    case commandTypes.notice:
      return command.kind;
    default:
      return 0;
  }
}

function firstOf(command: Command): number {
  switch (command.type) {
    case commandTypes.readMark:
      return command.seq;
    case commandTypes.trim:
      return command.first;
    case commandTypes.notice:
    case commandTypes.noticeAcknowledged:
      return command.number;
    case commandTypes.retention:
      return command.ageMs;
    default:
      return 0;
  }
}

const digestsOf = (command: Command): DigestStep | null =>
  command.type === commandTypes.trim ? (command.digests ?? null) : null;

/** Bytes that a command takes. */
export function commandBytes(command: Command): number {
  const digests = digestsOf(command);
  const digestBytes = digests === null ? 0 : digests.links.length + digests.saved.length;
  return commandHeaderBytes + command.room.length + userOf(command).length + byOf(command).length + digestBytes;
}

/** Writes a command at `o` and answers the offset behind it. The caller has made room: `commandBytes(command)`. */
export function putCommand(b: Uint8Array, o: number, command: Command): number {
  const user = userOf(command);
  const by = byOf(command);
  assert(command.room.length < 256 && user.length < 256 && by.length < 256, "a name does not fit a command");
  const length = commandBytes(command);
  putU32(b, o, length);
  b[o + 4] = command.type;
  b[o + 5] = detailOf(command);
  b[o + 6] = command.room.length;
  b[o + 7] = user.length;
  b[o + 8] = by.length;
  b[o + 9] = 0;
  putU48(b, o + 10, firstOf(command));
  const digests = digestsOf(command);
  putU48(b, o + 16, command.type === commandTypes.retention ? command.messages : (digests?.base ?? 0));
  putU48(b, o + 22, command.type === commandTypes.retention ? command.bytes : 0);
  if (digests !== null) {
    putU48(b, o + 22, digests.links.length + digests.saved.length);
    b.set(digests.links, o + length - digests.saved.length - digests.links.length);
    b.set(digests.saved, o + length - digests.saved.length);
  }
  b.set(command.room, o + commandHeaderBytes);
  b.set(user, o + commandHeaderBytes + command.room.length);
  b.set(by, o + commandHeaderBytes + command.room.length + user.length);
  return o + length;
}

/** One command in bytes of its own. */
export function encodeCommand(command: Command): Uint8Array {
  const bytes = new Uint8Array(commandBytes(command));
  putCommand(bytes, 0, command);
  return bytes;
}

// What `apply` reads. These trust the bytes: `isCommand` was asked before they were proposed.
export const commandLength = (b: Uint8Array, o: number): number => getU32(b, o);
export const commandType = (b: Uint8Array, o: number): number => b[o + 4]!;
export const commandDetail = (b: Uint8Array, o: number): number => b[o + 5]!;
export const commandFirst = (b: Uint8Array, o: number): number => getU48(b, o + 10);
export const commandSecond = (b: Uint8Array, o: number): number => getU48(b, o + 16);
export const commandThird = (b: Uint8Array, o: number): number => getU48(b, o + 22);
/** The three names stand behind the header; these answer views into `b`, for the cold commands. */
export const commandRoom = (b: Uint8Array, o: number): Uint8Array =>
  b.subarray(o + commandHeaderBytes, o + commandHeaderBytes + b[o + 6]!);
export function commandUser(b: Uint8Array, o: number): Uint8Array {
  const start = o + commandHeaderBytes + b[o + 6]!;
  return b.subarray(start, start + b[o + 7]!);
}
export function commandBy(b: Uint8Array, o: number): Uint8Array {
  const start = o + commandHeaderBytes + b[o + 6]! + b[o + 7]!;
  return b.subarray(start, start + b[o + 8]!);
}

/** The digests of a trim; empty when it has none. */
export function commandDigests(b: Uint8Array, o: number): Uint8Array {
  const end = o + commandLength(b, o);
  return b.subarray(end - commandThird(b, o), end);
}

/** Which of detail, user, by and the three numbers a type uses; what it does not use must be 0 or empty. */
const shapes: Readonly<
  Record<number, { detailMin: number; detailMax: number; user: boolean; by: boolean; numbers: number }>
> = {
  [commandTypes.join]: { detailMin: 0, detailMax: 1, user: true, by: false, numbers: 0 },
  [commandTypes.leave]: { detailMin: 0, detailMax: 0, user: true, by: false, numbers: 0 },
  [commandTypes.kick]: { detailMin: 0, detailMax: 0, user: true, by: true, numbers: 0 },
  [commandTypes.role]: { detailMin: roles.member, detailMax: roles.owner, user: true, by: true, numbers: 0 },
  [commandTypes.invite]: { detailMin: 0, detailMax: 0, user: true, by: true, numbers: 0 },
  [commandTypes.readMark]: { detailMin: 0, detailMax: 0, user: true, by: false, numbers: 1 },
  [commandTypes.retention]: { detailMin: 0, detailMax: 0, user: false, by: true, numbers: 3 },
  [commandTypes.trim]: { detailMin: 0, detailMax: 0, user: false, by: false, numbers: 1 },
  [commandTypes.deleteRoom]: { detailMin: 0, detailMax: 0, user: false, by: true, numbers: 0 },
  [commandTypes.closeRoom]: { detailMin: 0, detailMax: 0, user: false, by: false, numbers: 0 },
  [commandTypes.notice]: {
    detailMin: noticeKinds.added,
    detailMax: noticeKinds.invited,
    user: true,
    by: false,
    numbers: 1,
  },
  [commandTypes.noticeAcknowledged]: { detailMin: 0, detailMax: 0, user: true, by: false, numbers: 1 },
};

/**
 * Says whether a well-formed command stands at `o` and ends by `end`. For bytes from outside (a peer, a file): all
 * other functions here trust what they are given. Says nothing about whether the names are good names: the door does.
 */
export function isCommand(b: Uint8Array, o: number, end: number): boolean {
  if (end - o < commandHeaderBytes) return false;
  if (b[o + 4] === postType) {
    // A room, a sender and an id: without them a post has no place and no key.
    if (end - o < recordHeaderBytes || !isRecord(b, o, end)) return false;
    return textLength(b, o, roomText) > 0 && textLength(b, o, fromText) > 0 && textLength(b, o, cidText) > 0;
  }
  const shape = shapes[b[o + 4]!];
  if (shape === undefined) return false;
  const length = getU32(b, o);
  const digestBytes = b[o + 4] === commandTypes.trim ? commandThird(b, o) : 0;
  if (o + length > end || length !== commandHeaderBytes + b[o + 6]! + b[o + 7]! + b[o + 8]! + digestBytes) return false;
  if (b[o + 5]! < shape.detailMin || b[o + 5]! > shape.detailMax || b[o + 9] !== 0) return false;
  if (b[o + 6] === 0 || b[o + 7]! > 0 !== shape.user || (b[o + 8]! > 0 && !shape.by)) return false;
  if (digestBytes > 0) {
    const through = commandFirst(b, o) - 1;
    return isDigestStep(b, o + length - digestBytes, digestBytes, commandSecond(b, o), through);
  }
  if (shape.numbers < 1 && commandFirst(b, o) !== 0) return false;
  return shape.numbers === 3 || (commandSecond(b, o) === 0 && commandThird(b, o) === 0);
}

/** Says whether `b` from `o` to `end` is nothing but well-formed commands. */
export function areCommands(b: Uint8Array, o: number, end: number): boolean {
  let next = o;
  while (next < end) {
    if (!isCommand(b, next, end)) return false;
    next += getU32(b, next);
  }
  return next === end;
}
