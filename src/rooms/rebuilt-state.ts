import { type Entry, entryTypes } from "../base/entry.ts";
import type { ClusterId, GroupId, LogIndex, Term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import type { ApplySink, Sealed } from "./apply-sink.ts";
import { commandLength, commandType, commandTypes, isCommand, noticeKinds } from "./commands.ts";
import { recordHeaderBytes, textLength } from "./message-record.ts";
import { tell } from "./notices.ts";
import type { LookupNeeded } from "./posting.ts";
import { isDirectName, type Room } from "./room.ts";
import { chunkFormat, sealReasons } from "./seal.ts";
import { type Bounds, boundNames, noBound } from "./setting.ts";
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
 * In this order: `chunk` with its `run`s and `lacking`, each by number; then `apply`, each entry once; then `bytes`.
 */
export class RebuiltState {
  readonly #parts: StateParts;
  /** Numbers of chunks that can't be read, or not all of them, in ascending order. */
  readonly #lacking: number[] = [];
  #lastChunkTs = 0;

  constructor(options: { group: GroupId; cluster: ClusterId; hashSeed: number }) {
    // None: what was taken once is not refused now. The window holds all that is behind the chunks; what is in them is
    // looked for there.
    const none = Object.fromEntries(boundNames.map((name) => [name, noBound])) as unknown as Bounds;
    this.#parts = emptyParts(options.group, options.cluster, none, options.hashSeed);
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
    const room = this.#parts.all.findRoom(b, o + recordHeaderBytes, textLength(b, o, 0));
    return room === undefined
      ? []
      : Array.from({ length: room.runs.length }, (_, i) => room.runs.chunk(i)).toReversed();
  }

  /** An entry of a later day would be filed with what came before it: what is open is to be sealed first. */
  isOfLaterDay({ day }: Entry): boolean {
    return this.#parts.chunks.openMessages > 0 && day > this.#parts.lastDay;
  }

  /**
   * Takes the messages of the next entry; whatever else stands in it tells of a state that is lost. `memory` holds its
   * payload in memory the caller keeps, as for `GroupState.apply`. `stored` and `outcome` are told.
   */
  apply(entry: Entry, memory: Uint8Array, sink: ApplySink): void {
    const parts = this.#parts;
    if (entry.day > parts.lastDay) parts.lastDay = entry.day;
    if (entry.ts > parts.lastTs) parts.lastTs = entry.ts;
    this.atLeastTerm(entry.term);
    parts.appliedIndex = entry.index;
    if (entry.type !== entryTypes.commands) return;
    let position = 0;
    for (let o = 0; o < memory.length && isCommand(memory, o, memory.length); o += commandLength(memory, o)) {
      if (commandType(memory, o) === commandTypes.post) {
        this.#makeRoom(memory, o, sink);
        parts.posting.apply(memory, o, parts.lastTs, entry.term, position, sink);
      }
      position++;
    }
  }

  /** Rooms were joined before anybody wrote in them, in a part of the log that is gone. Direct ones `posting` makes. */
  #makeRoom(b: Uint8Array, o: number, sink: ApplySink): void {
    const { all, membership } = this.#parts;
    const start = o + recordHeaderBytes;
    const length = textLength(b, o, 0);
    if (isDirectName(b, start, length) || all.findRoom(b, start, length) !== undefined) return;
    membership.open(b.subarray(start, start + length), false, null, sink);
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
    all.bounds = options.bounds;
    posting.window.resize(options.bounds.idWindowEntries);
    const cut = new StateCut(this.#parts, cutStep);
    cut.finish();
    return joined(cut.pages());
  }
}
