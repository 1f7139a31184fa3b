import { type Entry, type EntryType, entryTypes } from "../../src/base/entry.ts";
import { type ClusterId, groupId, logIndex, term } from "../../src/base/ids.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { day, timestamp } from "../../src/base/units.ts";
import type { ApplySink, RoomEvent } from "../../src/rooms/apply-sink.ts";
import { type Command, commandTypes, encodeCommand, type NoticeKind, type Role } from "../../src/rooms/commands.ts";
import { GroupState } from "../../src/rooms/group-state.ts";
import { putRecord, recordBytes, type RecordParts } from "../../src/rooms/message-record.ts";
import { type OutcomeCode, outcomes } from "../../src/rooms/outcome.ts";
import type { Room } from "../../src/rooms/room.ts";
import { encodeRewrite, encodeSeal, type Seal, sealReasons } from "../../src/rooms/seal.ts";
import { type Bounds, boundsOf, encodeSettings, type Setting } from "../../src/rooms/setting.ts";

const utf8 = new TextEncoder();
export const bytesOf = (text: string): Uint8Array => utf8.encode(text);

export interface Post {
  room: string;
  from: string;
  cid: string;
  body?: string;
  kind?: string;
  prev?: string;
  prevSeq?: number;
  ref?: number;
  refFrom?: string;
  refKind?: string;
  checked?: number;
}

/** A post as a record. */
export function record(post: Post): Uint8Array {
  const parts: RecordParts = {
    room: bytesOf(post.room),
    from: bytesOf(post.from),
    cid: bytesOf(post.cid),
    kind: bytesOf(post.kind ?? ""),
    prev: bytesOf(post.prev ?? ""),
    refFrom: bytesOf(post.refFrom ?? ""),
    refKind: bytesOf(post.refKind ?? ""),
    body: bytesOf(post.body ?? "hello"),
    ref: post.ref ?? 0,
    checked: post.checked ?? 0,
    prevSeq: post.prevSeq ?? 0,
    seq: 0,
    ts: 0,
    epoch: 0,
  };
  const bytes = new Uint8Array(recordBytes(parts));
  putRecord(bytes, 0, parts);
  return bytes;
}

// The other commands, with names as strings.
export const command = {
  closeRoom: (room: string): Command => ({ type: commandTypes.closeRoom, room: bytesOf(room) }),
  join: (room: string, user: string, isPrivate = false): Command => ({
    type: commandTypes.join,
    room: bytesOf(room),
    user: bytesOf(user),
    private: isPrivate,
  }),
  leave: (room: string, user: string): Command => ({
    type: commandTypes.leave,
    room: bytesOf(room),
    user: bytesOf(user),
  }),
  kick: (room: string, by: string, user: string): Command => ({
    type: commandTypes.kick,
    room: bytesOf(room),
    user: bytesOf(user),
    by: bytesOf(by),
  }),
  role: (room: string, by: string, user: string, role: Role): Command => ({
    type: commandTypes.role,
    room: bytesOf(room),
    user: bytesOf(user),
    by: bytesOf(by),
    role,
  }),
  invite: (room: string, by: string, user: string): Command => ({
    type: commandTypes.invite,
    room: bytesOf(room),
    user: bytesOf(user),
    by: bytesOf(by),
  }),
  read: (room: string, user: string, seq: number): Command => ({
    type: commandTypes.readMark,
    room: bytesOf(room),
    user: bytesOf(user),
    seq,
  }),
  retention: (room: string, by: string, kept: { ageMs?: number; messages?: number; bytes?: number }): Command => ({
    type: commandTypes.retention,
    room: bytesOf(room),
    by: bytesOf(by),
    ageMs: kept.ageMs ?? 0,
    messages: kept.messages ?? 0,
    bytes: kept.bytes ?? 0,
  }),
  trim: (room: string, first: number): Command => ({ type: commandTypes.trim, room: bytesOf(room), first }),
  deleteRoom: (room: string, by: string): Command => ({
    type: commandTypes.deleteRoom,
    room: bytesOf(room),
    by: bytesOf(by),
  }),
  notice: (room: string, user: string, kind: NoticeKind, number: number): Command => ({
    type: commandTypes.notice,
    room: bytesOf(room),
    user: bytesOf(user),
    kind,
    number,
  }),
  acknowledge: (room: string, user: string, number: number): Command => ({
    type: commandTypes.noticeAcknowledged,
    room: bytesOf(room),
    user: bytesOf(user),
    number,
  }),
};

export interface Outcome {
  position: number;
  code: string;
  seq: number;
  ts: number;
  epoch: number;
}

const codeNames = new Map<OutcomeCode, string>();
for (const [name, code] of Object.entries(outcomes)) codeNames.set(code, name);

/** What a sink heard, in words and without anything live. */
export class Listener implements ApplySink {
  readonly outcomes: Outcome[] = [];
  readonly messages: { room: string; seq: number; offset: number }[] = [];
  readonly events: RoomEvent[] = [];
  /** Everything in the order it was heard. */
  readonly heard: string[] = [];

  outcome(position: number, code: OutcomeCode, seq: number, ts: number, epoch: number): void {
    this.outcomes.push({ position, code: codeNames.get(code)!, seq, ts, epoch });
    this.heard.push(`${position} ${codeNames.get(code)!} ${seq} ${ts} ${epoch}`);
  }
  stored(room: Room, seq: number, _memory: Uint8Array, offset: number): void {
    this.messages.push({ room: room.name, seq, offset });
    this.heard.push(`stored ${room.name} ${seq} at ${offset}`);
  }
  changed(event: RoomEvent): void {
    this.events.push(event);
    this.heard.push(describe(event));
  }
}

function describe(event: RoomEvent): string {
  const words: string[] = [];
  for (const [key, value] of Object.entries(event)) {
    if (key === "room" && typeof value === "object") words.push(`room=${(value as Room).name}`);
    else if (key === "user" && typeof value === "object" && value !== null) words.push(`user=${(value as Room).name}`);
    else words.push(`${key}=${JSON.stringify(value)}`);
  }
  return words.join(" ");
}

export const day1 = day(20250308);
export const day2 = day(20250309);

/** A group's log, written here, and the state it leads to. */
export class GroupLog {
  state: GroupState;
  /** Every entry so far. */
  readonly entries: Entry[] = [];
  heard = new Listener();
  ts = timestamp(1_000);
  day = day1;
  term = term(1);

  constructor(bounds: Partial<Bounds> = {}, hashSeed = 1) {
    const cluster = "0123456789abcdef0123456789abcdef" as ClusterId;
    this.state = GroupState.empty({
      group: groupId(0),
      cluster,
      bounds: { ...boundsOf(defaultLimits), ...bounds },
      hashSeed,
    });
  }

  /** Applies one more entry; `heard` is what this one led to. */
  append(type: EntryType, payload: Uint8Array): Listener {
    const entry: Entry = {
      group: groupId(0),
      index: logIndex(this.state.appliedIndex + 1),
      term: this.term,
      type,
      ts: this.ts,
      day: this.day,
      payload,
    };
    this.entries.push(entry);
    return this.apply(entry);
  }

  apply(entry: Entry): Listener {
    this.heard = new Listener();
    // A copy, as the server keeps one: the entry itself stays as it was proposed.
    this.state.apply(entry, entry.payload.slice(), this.heard);
    return this.heard;
  }

  /** One entry of several commands; the codes of their outcomes. */
  batch(...commands: (Command | Post)[]): string[] {
    const parts = commands.map((one) => ("cid" in one ? record(one) : encodeCommand(one)));
    const payload = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let o = 0;
    for (const part of parts) {
      payload.set(part, o);
      o += part.length;
    }
    return this.append(entryTypes.commands, payload).outcomes.map((outcome) => outcome.code);
  }

  do(one: Command): string {
    return this.batch(one)[0]!;
  }
  post(post: Post): Outcome {
    this.batch(post);
    return this.heard.outcomes[0]!;
  }
  /** The code alone. */
  try(post: Post): string {
    return this.post(post).code;
  }
  set(...settings: Setting[]): Listener {
    return this.append(entryTypes.setting, encodeSettings(settings));
  }
  /** Seals what is open, as an orderer would. */
  seal(changes: Partial<Seal> = {}): Listener {
    const { openChunk, lastChunk } = this.state;
    const seal: Seal = {
      chunk: lastChunk + 1,
      from: openChunk.from,
      to: this.state.appliedIndex,
      day: openChunk.day,
      format: 1,
      reason: sealReasons.full,
      ...changes,
    };
    return this.append(entryTypes.seal, encodeSeal(seal));
  }
  rewrite(chunk: number, generation: number): Listener {
    return this.append(entryTypes.rewrite, encodeRewrite({ chunk, generation }));
  }
  /** Takes a snapshot and goes on from it with another hash seed. */
  restart(hashSeed = 77): void {
    this.state = GroupState.restore(this.state.snapshot(), { hashSeed });
  }
  events(type: RoomEvent["type"]): RoomEvent[] {
    return this.heard.events.filter((event) => event.type === type);
  }
}
