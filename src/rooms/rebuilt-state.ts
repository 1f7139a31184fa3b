import { assert } from "../base/assert.ts";
import { type Entry, entryTypes } from "../base/entry.ts";
import type { ClusterId, GroupId, LogIndex, Term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import type { ApplySink, Sealed } from "./apply-sink.ts";
import { isOrderedDirectName, userName } from "./aggregates.ts";
import { commandLength, commandRoom, commandType, commandTypes, isCommand, noticeKinds } from "./commands.ts";
import { GroupState } from "./group-state.ts";
import { type LostEntries, LostNumbers, type LostSeqs } from "./lost-numbers.ts";
import {
  copyOfText,
  fromText,
  prevText,
  recordHeaderBytes,
  recordPrevSeq,
  roomText,
  setRecordPrevSeq,
  textLength,
} from "./message-record.ts";
import { tell } from "./notices.ts";
import type { LookupNeeded } from "./posting.ts";
import { isDirectName, isOneOfTwo, type Room } from "./room.ts";
import { chunkFormat, sealReasons } from "./seal.ts";
import { type Bounds, boundNames, initialBounds, noBound } from "./setting.ts";
import { readSnapshot } from "./snapshot.ts";
import { joined } from "./snapshot-bytes.ts";
import { cutStep, StateCut } from "./state-cut.ts";
import { emptyParts, type StateParts } from "./state-parts.ts";

/** What a day chunk says of itself. */
export interface ChunkFound {
  readonly chunk: number;
  readonly generation: number;
  readonly from: number;
  readonly to: number;
  readonly day: Day;
  readonly messages: number;
  readonly bytes: number;
  readonly lastTs: number;
}

/** What a day chunk says of one room. */
export interface RunFound {
  readonly room: Uint8Array;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly bytes: number;
  readonly lastTs: number;
}

/**
 * The state of a group whose state was lost, as far as its messages tell: from the day chunks, oldest first, then from what
 * the journal holds behind them. Messages keep their room, seq, ts and id. Who was in a room, what they might do and had
 * read, whether it was open, what it keeps and what was removed from it is not in messages, and is not guessed:
 *
 * 1. nobody but its two people is in a direct room, and nobody at all in any other
 * 2. a room is open only when whoever has this done says so by its name; else it is private
 * 3. every message of a chunk that was given has the room, seq and id it had; new ones come behind the highest of its room
 * 4. what lies in a chunk that is lacking is a place that can't be read, and never another message's
 * 5. a message that only the journal holds is kept when its id is new, the order of its sender holds, and it changes nobody
 *    else's message; it takes the next seq of its room
 *
 * Of a log that is here from its first entry on (`knownFromHere`), or behind a snapshot (`restored`), the state is known
 * until the first entry is lost:
 *
 * 6. up to there everything is as it was; behind it who is in a room that was known, and what it keeps, is what the log
 *    still says, and so are settings; rooms that were not known are as 1 and 2 say
 * 7. behind lost entries no message gets a seq that any may have had before: which of them it had nobody can tell. What
 *    lies between is a place that can't be read
 * 8. a message behind lost entries is kept though the one its sender sent before it is lost with them
 *
 * In this order: `chunk` with its `run`s and `lacking`, each by number; then `apply`, each entry once, and `lost` where the
 * first of them are lost; then `finish`; then `bytes`.
 */
export class RebuiltState {
  readonly #parts: StateParts;
  /** Numbers of chunks that can't be read, or not all of them, in ascending order. */
  readonly #lacking: number[] = [];
  #lastChunkTs = 0;
  /** A state that was known at the beginning; null: none was. */
  #begun: GroupState | null = null;
  /** The same, as long as nothing of the log is lost. */
  #known: GroupState | null = null;
  /** Rooms that were there when the first entry was lost; null: none was known. */
  #knownRooms: Set<Room> | null = null;
  #knownBounds: Bounds | null = null;
  #lost: LostNumbers | null = null;

  private constructor(parts: StateParts) {
    this.#parts = parts;
  }

  /** Nothing is known. */
  static empty(options: { group: GroupId; cluster: ClusterId; hashSeed: number }): RebuiltState {
    return new RebuiltState(emptyParts(options.group, options.cluster, noBounds, options.hashSeed));
  }

  /** The state that a snapshot at a seal holds is known, and no chunks are given. Throws a Fault for bytes that are none. */
  static restored(snapshot: Uint8Array, options: { hashSeed: number }): RebuiltState {
    const parts = readSnapshot(snapshot, (group, cluster, bounds) =>
      emptyParts(group, cluster, bounds, options.hashSeed),
    );
    assert(parts.chunks.openMessages === 0, "a snapshot is taken at a seal");
    const state = new RebuiltState(parts);
    state.#begin();
    return state;
  }

  /** The log is here from its first entry on: whatever it says counts, until `lost`. Before any entry, and without chunks. */
  knownFromHere(): void {
    const parts = this.#parts;
    parts.all.bounds = initialBounds;
    parts.posting.window.resize(initialBounds.idWindowEntries);
    this.#begin();
  }

  #begin(): void {
    this.#begun = GroupState.over(this.#parts);
    this.#known = this.#begun;
  }

  /** Whether all of the log was known so far, so that it seals its chunks itself. */
  get isKnown(): boolean {
    return this.#known !== null;
  }

  get appliedIndex(): LogIndex {
    return this.#parts.appliedIndex;
  }
  get appliedTerm(): Term {
    return this.#parts.appliedTerm;
  }
  /** The last chunk that was given, or that `apply` has sealed. */
  get lastChunk(): number {
    return this.#parts.chunks.last;
  }
  get openBytes(): number {
    return this.#parts.chunks.openBytes;
  }
  get openMessages(): number {
    return this.#parts.chunks.openMessages;
  }
  /** In no order. To be read only. */
  rooms(): Iterable<Room> {
    return this.#parts.all.rooms;
  }

  /** A chunk that can be read; its number is above those before, and it begins where they end or later. */
  chunk({ chunk, generation, from, to, day, messages, bytes, lastTs }: ChunkFound): void {
    const { chunks } = this.#parts;
    const seal = { from, to, day, format: chunkFormat, reason: sealReasons.full, sealedAt: lastTs as Timestamp };
    chunks.live.set(chunk, { ...seal, chunk, messages, bytes, generation, rooms: 0 });
    chunks.last = chunk;
    chunks.openFrom = to;
    this.#lastChunkTs = lastTs;
    this.#parts.appliedIndex = to as LogIndex;
    if (day > this.#parts.lastDay) this.#parts.lastDay = day;
    if (lastTs > this.#parts.lastTs) this.#parts.lastTs = lastTs as Timestamp;
  }

  /** What the chunk that was given last has of a room. False: the room has these seqs already, and they are left out. */
  run({ room: name, firstSeq, lastSeq, bytes, lastTs }: RunFound): boolean {
    const { all, chunks } = this.#parts;
    const room = all.findRoom(name, 0, name.length) ?? all.addRoom(name);
    if (firstSeq <= room.head) return false;
    const chunk = chunks.last;
    const before = room.runs.length === 0 ? 0 : room.runs.chunk(room.runs.length - 1);
    const lacking = this.#lackingBetween(before, chunk);
    if (lacking !== undefined && firstSeq > room.head + 1) {
      // In a lacking chunk, or removed before: nobody can tell. Of several the first stands for all.
      const place = chunks.live.get(lacking)!;
      const first = room.head + 1;
      room.runs.append(lacking, first, firstSeq - 1, 0, place.sealedAt);
      // Of one that can be read but for its list of rooms it is known how much it holds.
      if (place.from === place.to) place.messages += firstSeq - first;
      place.rooms++;
      if (room.runs.length === 1) room.first = first;
    } else if (firstSeq > room.head + 1) {
      // All chunks are here: what lies between was removed, and messages are removed from the front only.
      for (let i = 0; i < room.runs.length; i++) chunks.live.get(room.runs.chunk(i))!.rooms--;
      room.runs.dropFirst(room.runs.length);
      room.first = firstSeq;
    }
    room.runs.append(chunk, firstSeq, lastSeq, bytes, lastTs);
    chunks.live.get(chunk)!.rooms++;
    room.head = lastSeq;
    // Its ids are looked for in the chunks.
    room.floor = lastSeq;
    if (lastTs > room.lastTs) room.lastTs = lastTs;
    return true;
  }

  /** A chunk that is not there or can't be read, or whose list of rooms can't be. Its place may hold what rooms lack. */
  lacking({ chunk, generation }: { chunk: number; generation: number }): void {
    const { chunks, appliedIndex, lastDay } = this.#parts;
    this.#lacking.push(chunk);
    if (chunks.live.has(chunk)) return;
    const seal = { format: chunkFormat, reason: sealReasons.full, sealedAt: this.#lastChunkTs as Timestamp };
    const unknown = { from: appliedIndex, to: appliedIndex, day: lastDay, messages: 0, bytes: 0, rooms: 0 };
    chunks.live.set(chunk, { ...seal, ...unknown, chunk, generation });
  }

  #lackingBetween(before: number, chunk: number): number | undefined {
    return this.#lacking.find((number) => number > before && number < chunk);
  }

  /** The highest epoch that is known: entries of before have no higher term. */
  atLeastTerm(term: Term): void {
    if (term > this.#parts.appliedTerm) this.#parts.appliedTerm = term;
  }

  /** What must be looked up in the chunks before the record at `o` is applied; null: nothing. */
  lookupNeeded(b: Uint8Array, o: number): LookupNeeded | null {
    return this.#parts.posting.lookupNeeded(b, o);
  }

  /** The chunks with messages of the record's room, newest first. */
  chunksOf(b: Uint8Array, o: number): number[] {
    const room = this.#parts.all.findRoom(b, o + recordHeaderBytes, textLength(b, o, roomText));
    return room === undefined
      ? []
      : Array.from({ length: room.runs.length }, (_, i) => room.runs.chunk(i)).toReversed();
  }

  /** An entry of a later day would be filed with what came before it: what is open is to be sealed first. */
  isOfLaterDay({ day }: Entry): boolean {
    return this.#parts.chunks.openMessages > 0 && day > this.#parts.lastDay;
  }

  /** Entries are lost from here on, for the first time. What is open must be sealed. */
  lost(lost: LostEntries): void {
    const { all, chunks, posting } = this.#parts;
    assert(this.#lost === null && chunks.openMessages === 0, "a hole in a log begins a chunk, and only the first does");
    if (this.#known !== null) {
      this.#knownBounds = all.bounds;
      this.#knownRooms = new Set([...all.rooms].filter(({ exists }) => exists));
      this.#known = null;
      all.bounds = noBounds;
      posting.window.resize(noBound);
    }
    if (this.#parts.lastDay === 0) this.#parts.lastDay = lost.day;
    this.#lost = new LostNumbers(lost, this.#parts);
  }

  /** The seqs of a room that were lost, or may have been; undefined: none. */
  lostSeqs(room: Room): LostSeqs | undefined {
    return this.#lost?.of(room);
  }

  /**
   * Takes the next entry: of a log that is known, all of it; else its messages, and behind lost entries what it says of
   * rooms that were known, and of the group. Whatever else stands in it tells of a state that is lost. `memory` holds its payload in memory
   * the caller keeps, as for `GroupState.apply`. `stored` and `outcome`, of messages alone where the log is not known, are
   * told.
   */
  apply(entry: Entry, memory: Uint8Array, sink: ApplySink): void {
    if (this.#known !== null) return this.#known.apply(entry, memory, sink);
    if (this.#begun !== null && ofGroup.has(entry.type)) return this.#ofGroup(this.#begun, entry, memory, sink);
    const parts = this.#parts;
    if (entry.day > parts.lastDay) parts.lastDay = entry.day;
    if (entry.ts > parts.lastTs) parts.lastTs = entry.ts;
    this.atLeastTerm(entry.term);
    parts.appliedIndex = entry.index;
    if (entry.type !== entryTypes.commands) return;
    let position = 0;
    for (let o = 0; o < memory.length && isCommand(memory, o, memory.length); o += commandLength(memory, o)) {
      const type = commandType(memory, o);
      if (type === commandTypes.post) this.#post(memory, o, entry.term, position, sink);
      else if (ofRooms.has(type)) {
        const name = commandRoom(memory, o);
        const room = parts.all.findRoom(name, 0, name.length);
        if (room?.exists === true && this.#knownRooms?.has(room) === true) {
          parts.membership.apply(type, memory, o, sink);
        }
      }
      position++;
    }
  }

  #ofGroup(state: GroupState, entry: Entry, memory: Uint8Array, sink: ApplySink): void {
    const { all, posting } = this.#parts;
    all.bounds = this.#knownBounds!;
    state.apply(entry, memory, sink);
    this.#knownBounds = all.bounds;
    all.bounds = noBounds;
    posting.window.resize(noBound);
  }

  #post(b: Uint8Array, o: number, epoch: Term, position: number, sink: ApplySink): void {
    const { posting, lastTs } = this.#parts;
    const room = this.#makeRoom(b, o, sink);
    const lost = this.#lost;
    if (lost === null || room === undefined) {
      posting.apply(b, o, lastTs, epoch, position, sink);
      return;
    }
    lost.skip(room);
    lost.reached(b, o);
    const isPrevLost = !this.#isPrevKnown(b, o) && lost.mayHoldPrev(room, b, o);
    if (isPrevLost) setRecordPrevSeq(b, o, room.head);
    // Who was let in may be lost as well.
    const { isPrivate } = room;
    if (!room.isDirect) room.isPrivate = false;
    posting.apply(b, o, lastTs, epoch, position, sink);
    room.isPrivate = isPrivate;
    if (isPrevLost) setRecordPrevSeq(b, o, 0);
  }

  /** Whether it is known where the message stands that this one follows, if it follows any. */
  #isPrevKnown(b: Uint8Array, o: number): boolean {
    if (textLength(b, o, prevText) === 0 || recordPrevSeq(b, o) > 0) return true;
    const [room, from, prev] = [copyOfText(b, o, roomText), copyOfText(b, o, fromText), copyOfText(b, o, prevText)];
    return this.#parts.posting.seqInWindow(room, from, prev) > 0;
  }

  /** Rooms were joined before anybody wrote in them, in a part of the log that is gone. Undefined: one of two that `posting` judges. */
  #makeRoom(b: Uint8Array, o: number, sink: ApplySink): Room | undefined {
    const { all, membership } = this.#parts;
    const start = o + recordHeaderBytes;
    const length = textLength(b, o, roomText);
    const found = all.findRoom(b, start, length);
    if (found?.exists === true) return found;
    const name = b.subarray(start, start + length);
    const isDirect = isDirectName(b, start, length);
    if (isDirect) {
      const from = copyOfText(b, o, fromText);
      const isRight = isOneOfTwo(b, start, length, from, 0, from.length) && isOrderedDirectName(name);
      if (this.#lost === null || !isRight) return undefined;
      return this.#opened(membership.open(name, true, userName(from), sink));
    }
    return this.#opened(membership.open(name, false, null, sink));
  }

  #opened(room: Room): Room {
    this.#knownRooms?.delete(room);
    return room;
  }

  /** Everything was applied, and sealed. */
  finish(): void {
    const { all } = this.#parts;
    const lost = this.#lost;
    if (lost === null) return;
    for (const room of all.rooms) {
      lost.skip(room);
      if (!room.exists || this.#knownRooms?.has(room) === true || !lost.takeBack(room)) continue;
      // A room for messages that were not kept.
      room.exists = false;
      room.isPrivate = false;
      room.outbox.clear();
      all.close(room);
    }
    lost.end();
  }

  /** Whether some room still keeps something of a chunk. */
  hasChunk(chunk: number): boolean {
    return this.#parts.chunks.live.has(chunk);
  }

  /** Seals what is open. Null when nothing is. */
  seal(): Sealed | null {
    const { chunks, appliedIndex, lastDay, lastTs } = this.#parts;
    if (chunks.openMessages === 0) return null;
    let sealed: Sealed | null = null;
    const seal = { chunk: chunks.last + 1, from: chunks.openFrom, to: 0, day: lastDay, format: chunkFormat };
    chunks.seal({ ...seal, reason: sealReasons.full }, appliedIndex, lastDay, lastTs, {
      outcome: () => undefined,
      stored: () => undefined,
      changed: (event) => {
        if (event.type === "sealed") ({ sealed } = event);
      },
    });
    return sealed;
  }

  /**
   * The state in the bytes of a snapshot. `line` is a number never used before: a seq of a message that only the journal
   * held may have been another's. `open` are the names of the rooms that anybody may read. Nothing may be done afterwards.
   */
  bytes(options: { bounds: Bounds; line: number; open: ReadonlySet<string> }): Uint8Array {
    const { all, chunks, posting } = this.#parts;
    for (const [number, { rooms }] of chunks.live) if (rooms === 0) chunks.live.delete(number);
    const silent: ApplySink = { outcome: () => undefined, stored: () => undefined, changed: () => undefined };
    for (const room of all.rooms) {
      if (this.#isAsItWas(room) || room.isClosed) continue;
      if (room.head === 0) {
        // A room for a message that was not kept.
        all.close(room);
        continue;
      }
      all.setMaker(room, "");
      room.outbox.clear();
      room.isPrivate = room.isDirect || !options.open.has(room.name);
      for (const person of room.people) tell(room, person, noticeKinds.direct, silent);
    }
    all.lineNumber = options.line;
    all.bounds = this.#known === null ? (this.#knownBounds ?? options.bounds) : all.bounds;
    posting.window.resize(all.bounds.idWindowEntries);
    const cut = new StateCut(this.#parts, cutStep);
    cut.finish();
    return joined(cut.pages());
  }

  #isAsItWas(room: Room): boolean {
    if (this.#known !== null) return true;
    return this.#knownRooms !== null && (!room.exists || this.#knownRooms.has(room));
  }
}

// None: what was taken once is not refused now. The window holds all that is behind the chunks; what is in them is looked
// for there.
const noBounds = Object.fromEntries(boundNames.map((name) => [name, noBound])) as unknown as Bounds;

/** Entries that say something of the group, and of no room alone. */
const ofGroup: ReadonlySet<number> = new Set([entryTypes.configuration, entryTypes.setting, entryTypes.rewrite]);

/** Commands that say who is in a room, and what it keeps. */
const ofRooms: ReadonlySet<number> = new Set([
  commandTypes.join,
  commandTypes.leave,
  commandTypes.kick,
  commandTypes.role,
  commandTypes.invite,
  commandTypes.readMark,
  commandTypes.retention,
  commandTypes.trim,
  commandTypes.deleteRoom,
]);
