import type { Entry } from "../base/entry.ts";
import { entryTypes } from "../base/entry.ts";
import { type GroupId, type LogIndex, type Term, term } from "../base/ids.ts";
import type { Day } from "../base/units.ts";
import type { ApplySink, Sealed } from "../rooms/apply-sink.ts";
import { commandLength, commandType, commandTypes, isCommand } from "../rooms/commands.ts";
import type { LostSeqs } from "../rooms/lost-numbers.ts";
import {
  cidText,
  copyOfText,
  fromText,
  idOf,
  prevText,
  recordEpoch,
  recordHeaderBytes,
  recordSeq,
  roomText,
  setRecordChecked,
  setRecordPrevSeq,
} from "../rooms/message-record.ts";
import { outcomes } from "../rooms/outcome.ts";
import { RebuiltState } from "../rooms/rebuilt-state.ts";
import { decodeRewrite } from "../rooms/seal.ts";
import { boundsOf } from "../rooms/setting.ts";
import { buildChunk, type ChunkImage, type ChunkInput } from "../storage/chunk/build-chunk.ts";
import { ChunkDamage } from "../storage/chunk/chunk-damage.ts";
import { type ChunkFooter, type ChunkNumber, chunkNumber } from "../storage/chunk/chunk-layout.ts";
import type { ChunkListing, ChunkStore } from "../storage/chunk/chunk-store.ts";
import type { FileName } from "../storage/disk.ts";
import { chainBytes } from "../storage/journal/records.ts";
import { buildSnapshot, publishSnapshot, type Snapshot } from "../storage/snapshot-file.ts";
import type { Ground } from "./ground.ts";
import type { ReadableLog } from "./log-behind.ts";

/** One room as it would be rebuilt. */
export interface RebuiltRoom {
  readonly room: string;
  /** The seqs it would have, first and last; those among them that can't be read, and those that only the journal holds. */
  readonly first: number;
  readonly last: number;
  readonly lacking: number;
  readonly unsealed: number;
  /** Of those that can't be read the ones that nobody has for what is lost of the journal; null: none. */
  readonly lost: LostSeqs | null;
}

/** What going on without a state, or without a part of the log behind it, keeps, and on what it stands. */
export interface Rebuilding {
  readonly rooms: readonly RebuiltRoom[];
  /** Day chunks that were read, or that a snapshot knows, and their messages. */
  readonly chunks: number;
  readonly messages: number;
  /** Files of chunks that can't be read, or whose list of rooms can't be. */
  readonly unreadable: readonly FileName[];
  /** Chunks that are not there between others that are: lost, or removed by retention. */
  readonly absent: readonly { readonly first: number; readonly last: number }[];
  /** Messages that only the journal holds: kept, and not kept: repeats, and what had been refused or can't be told from it. */
  readonly unsealed: number;
  readonly refused: number;
  /** How many messages what is lost of the journal can have held; 0 = nothing of it is lost. */
  readonly lostMax: number;
  /** The log was known up to what is lost of it: who is in the rooms of that time, and all the rest, is kept as it was there. */
  readonly isKnown: boolean;
}

export interface Rebuilt {
  readonly state: RebuiltState;
  readonly told: Rebuilding;
  /** The last chunk that was read, or that a snapshot knows, and the last entry that went into it; 0 = none. */
  readonly sealedThrough: number;
  readonly sealedIndex: number;
  /** Chunks that nothing is kept of any more, as the log behind a snapshot says. */
  readonly emptied: ReadonlySet<number>;
}

/** What is known once the chunks were read, and before the journal behind them is. */
interface FromChunks {
  readonly state: RebuiltState;
  readonly chunks: number;
  readonly messages: number;
  readonly unreadable: FileName[];
  readonly absent: { first: number; last: number }[];
}

/**
 * Builds the state of a group anew from a snapshot, or without one from its day chunks, and from the journal behind them
 * (rooms/rebuilt-state.ts says what that is worth). Nothing is changed: what is to be written is handed to `write`, one chunk at a time, so that memory holds no
 * more than one beside the state. Of the chunks only footers and lists of rooms are read.
 *
 * `logBehind` answers what can be read of the log behind an index. `write` is told as well behind which chunk new ones begin.
 */
export async function rebuild(
  ground: Pick<Ground, "owner" | "random" | "limits">,
  options: {
    readonly group: GroupId;
    readonly snapshot: Snapshot | null;
    readonly chunks: ChunkStore;
    readonly logBehind: (index: LogIndex) => Promise<ReadableLog>;
    readonly write?: (image: ChunkImage, sealedThrough: number) => Promise<void>;
  },
): Promise<Rebuilt> {
  const { chunks, group, snapshot, logBehind, write } = options;
  const { owner, random, limits } = ground;
  const hashSeed = random.whole(0x1_0000_0000);
  const found =
    snapshot === null
      ? await readChunks(RebuiltState.empty({ group, cluster: owner.cluster, hashSeed }), chunks)
      : sealedBefore(RebuiltState.restored(snapshot.state, { hashSeed }), chunks);
  const { state } = found;
  const sealedThrough = state.lastChunk;
  const sealedIndex = state.appliedIndex;
  const sealedHeads = new Map<string, number>();
  for (const room of state.rooms()) sealedHeads.set(room.name, room.head);

  const { entries, lost } = await logBehind(sealedIndex);
  if (snapshot === null && chunks.list().length === 0 && isFromItsBeginning(entries, lost)) state.knownFromHere();
  const { isKnown } = state;

  let records: Records = { memory: [], offsets: [] };
  const built: { sealed: Sealed; records: Records }[] = [];
  /** Which seqs messages have that no chunk of before holds, by their ids: they may have left the window. */
  const placed = new Map<string, number>();
  const emptied = new Set<number>();
  const places: Places = { state, chunks, sealedThrough, placed };
  let unsealed = 0;
  let refused = 0;
  const sink: ApplySink = {
    stored: (_room, seq, memory, offset) => {
      records.memory.push(memory);
      records.offsets.push(offset);
      placed.set(idOf(memory, offset, cidText), seq);
      unsealed++;
    },
    outcome: (_position, code) => {
      // Where the log is known, what it refused was refused.
      if (!state.isKnown && code !== outcomes.stored) refused++;
    },
    changed: (event) => {
      if (event.type === "sealed") take(event.sealed);
      else if (event.type === "chunkEmpty") emptied.add(event.chunk);
    },
  };
  const take = (sealed: Sealed): void => {
    built.push({ sealed, records });
    records = { memory: [], offsets: [] };
  };
  const writeBuilt = async (): Promise<void> => {
    for (const one of built.splice(0)) {
      if (state.hasChunk(one.sealed.chunk)) {
        await write?.(imageOf({ ...one.sealed, cluster: owner.cluster, group }, one.records), sealedThrough);
      }
    }
  };
  const seal = (): Promise<void> => {
    const sealed = state.seal();
    if (sealed !== null) take(sealed);
    return writeBuilt();
  };
  const lose = async (at: number): Promise<void> => {
    await seal();
    const bytes = lost?.bytes ?? 0;
    const messagesMax = (nameBytes: number): number => Math.floor(bytes / (smallestPostBytes + nameBytes));
    state.lost({ day: entries[at]?.day ?? entries[0]?.day ?? (0 as Day), messagesMax, behind: entries.slice(at) });
  };
  let hasLost = lost === null;
  for (const [at, one] of entries.entries()) {
    const entry = isUndone(one, places) ? { ...one, type: entryTypes.noop, payload: new Uint8Array(0) } : one;
    if (!hasLost && entry.index >= lost!.from) {
      hasLost = true;
      await lose(at);
    }
    if (!state.isKnown && state.isOfLaterDay(entry)) await seal();
    const memory = entry.payload.slice();
    if (!state.isKnown && entry.type === entryTypes.commands) await lookUp(places, memory);
    state.apply(entry, memory, sink);
    if (!state.isKnown && state.openBytes >= limits.chunkBytes) await seal();
    await writeBuilt();
  }
  if (!hasLost) await lose(entries.length);
  await seal();
  state.finish();
  const { unreadable, absent } = found;
  const lostMax = messagesIn(lost?.bytes ?? 0);
  const told = {
    chunks: found.chunks,
    messages: found.messages,
    unreadable,
    absent,
    unsealed,
    refused,
    lostMax,
    isKnown,
  };
  return { state, told: { ...told, rooms: roomsOf(state, sealedHeads) }, sealedThrough, sealedIndex, emptied };
}

/** Where messages lie that are applied. */
interface Places {
  readonly state: RebuiltState;
  readonly chunks: ChunkStore;
  /** The last chunk that was there before; those behind it are built anew. */
  readonly sealedThrough: number;
  readonly placed: ReadonlyMap<string, number>;
}

/** Whether this entry calls for a chunk to be written anew that was not: it is called for again. */
function isUndone({ type, payload }: Entry, { chunks, sealedThrough }: Places): boolean {
  if (type !== entryTypes.rewrite) return false;
  const rewrite = decodeRewrite(payload);
  if (rewrite === null || rewrite.chunk > sealedThrough) return true;
  return (chunks.generationOf(rewrite.chunk as ChunkNumber) ?? -1) < rewrite.generation;
}

/** What a snapshot knows of chunks that are there. */
function sealedBefore(state: RebuiltState, chunks: ChunkStore): FromChunks {
  const there = new Set<number>();
  let messages = 0;
  for (const { first, runs } of state.rooms()) {
    for (let i = 0; i < runs.length; i++) {
      if (!chunks.has(runs.chunk(i) as ChunkNumber)) continue;
      there.add(runs.chunk(i));
      messages += runs.lastSeq(i) - Math.max(first, runs.firstSeq(i)) + 1;
    }
  }
  return { state, chunks: there.size, messages, unreadable: [], absent: [] };
}

/** What a message takes at least in a journal, but for the name of its room: a sender and an id of one byte, and no words. */
const smallestPostBytes = recordHeaderBytes + 2;

/** How many messages so many bytes of a journal can hold, of any rooms. */
const messagesIn = (bytes: number): number => Math.floor(bytes / (smallestPostBytes + 1));

/** A chunk that was written anew since has no file here, and the log does not say what of it was left out. */
function isFromItsBeginning(entries: readonly Entry[], lost: ReadableLog["lost"]): boolean {
  const isThere = entries[0]?.index === 1 && lost?.from !== 1;
  return isThere && !entries.some(({ type }) => type === entryTypes.rewrite);
}

function roomsOf(state: RebuiltState, sealedHeads: ReadonlyMap<string, number>): RebuiltRoom[] {
  const rooms: RebuiltRoom[] = [];
  for (const room of state.rooms()) {
    const { name, first, head, runs } = room;
    if (head < first) continue;
    const lost = state.lostSeqs(room) ?? null;
    let lacking = 0;
    for (let i = 0; i < runs.length; i++) {
      // A run without bytes stands for what can't be read.
      if (runs.bytes(i) === 0) lacking += runs.lastSeq(i) - runs.firstSeq(i) + 1;
    }
    const skipped = lost === null ? 0 : lost.last - lost.first + 1;
    const unsealed = head - Math.max(first - 1, sealedHeads.get(name) ?? 0) - skipped;
    rooms.push({ room: name, first, last: head, lacking, unsealed, lost });
  }
  return rooms.sort((a, b) => (a.room < b.room ? -1 : 1));
}

/** Makes the rebuilt state the newest snapshot. From here on a start goes on from it, and from nothing before. */
export async function publishRebuilt(
  { disk, owner, random, limits, openRooms = new Set() }: Ground,
  { state, group }: { readonly state: RebuiltState; readonly group: GroupId },
): Promise<void> {
  const { appliedIndex, appliedTerm, lastChunk } = state;
  const line = random.whole(0x1_0000_0000) + 1;
  const bytes = state.bytes({ bounds: boundsOf(limits), line, open: openRooms });
  // The log behind it is a new one, which no entry of the old journal belongs to.
  const chain = Uint8Array.from({ length: chainBytes }, () => random.whole(256));
  const place = { group, index: appliedIndex, term: appliedTerm, chunk: lastChunk, chain, isTaken: true };
  const steps = buildSnapshot(owner, { ...place, state: [bytes] });
  for (;;) {
    const step = steps.next();
    if (step.done === true) return publishSnapshot(disk, step.value);
  }
}

async function readChunks(state: RebuiltState, chunks: ChunkStore): Promise<FromChunks> {
  const found: FromChunks = { state, chunks: 0, messages: 0, unreadable: [], absent: [] };
  const counts = { chunks: 0, messages: 0 };
  let before = 0;
  let newest: { chunk: ChunkNumber; footer: ChunkFooter } | null = null;
  for (const listing of chunks.list()) {
    const { chunk, generation, file } = listing;
    const footer = await footerOf(chunks, listing);
    if (footer === null) {
      found.unreadable.push(file);
      state.lacking({ chunk, generation });
      continue;
    }
    // It is of another history than those before it, and nobody can tell which of them is the right one: the earlier are
    // kept, and what begins with it goes aside.
    if (footer.meta.from < state.appliedIndex) break;
    if (before > 0 && chunk > before + 1) noteAbsent(state, chunks, found.absent, before + 1, chunk - 1);
    before = chunk;
    const { meta, totals } = footer;
    const bytes = totals.recordBytes;
    state.chunk({ ...meta, messages: totals.messages, bytes, lastTs: totals.lastTs });
    newest = { chunk, footer };
    counts.chunks++;
    counts.messages += totals.messages;
    try {
      for await (const row of chunks.rooms(chunk)) state.run(row);
    } catch (fault) {
      if (!(fault instanceof ChunkDamage)) throw fault;
      found.unreadable.push(file);
      state.lacking({ chunk, generation });
    }
  }
  if (newest !== null) state.atLeastTerm(await newestTerm(chunks, newest.chunk, newest.footer));
  return { ...found, ...counts };
}

/** Null when it can't be read. */
async function footerOf(chunks: ChunkStore, { chunk }: ChunkListing): Promise<ChunkFooter | null> {
  try {
    return await chunks.footer(chunk);
  } catch (fault) {
    if (fault instanceof ChunkDamage) return null;
    throw fault;
  }
}

function noteAbsent(
  state: RebuiltState,
  chunks: ChunkStore,
  absent: FromChunks["absent"],
  first: number,
  last: number,
): void {
  for (let number = first; number <= last; number++) {
    if (chunks.has(chunkNumber(number))) continue;
    state.lacking({ chunk: number, generation: 0 });
    const range = absent.at(-1);
    if (range !== undefined && range.last === number - 1) range.last = number;
    else absent.push({ first: number, last: number });
  }
}

/** The term of the newest message of a chunk; 0 when it can't be read. Reads the last message of each room that may have it. */
async function newestTerm(chunks: ChunkStore, chunk: ChunkNumber, { totals }: ChunkFooter): Promise<Term> {
  let highest = 0;
  try {
    for await (const { room, lastSeq, lastTs } of chunks.rooms(chunk)) {
      if (lastTs < totals.lastTs) continue;
      const range = { from: lastSeq, to: lastSeq, direction: "up", itemsMax: 1, bytesMax: 1 } as const;
      for (const record of (await chunks.read(chunk, room.slice(), range)).records) {
        highest = Math.max(highest, recordEpoch(record, 0));
      }
    }
  } catch (fault) {
    // It numbers leaders and decides nothing where there is one server.
    if (!(fault instanceof ChunkDamage)) throw fault;
  }
  return term(highest);
}

/** What the orderer would have looked up: whether the ids in an entry, and those they follow, are in a chunk. */
async function lookUp(places: Places, memory: Uint8Array): Promise<void> {
  for (let o = 0; o < memory.length && isCommand(memory, o, memory.length); o += commandLength(memory, o)) {
    if (commandType(memory, o) !== commandTypes.post) continue;
    const needed = places.state.lookupNeeded(memory, o);
    if (needed === null) continue;
    // The id of a message that was removed guards nothing any more.
    const isStored = needed.id !== null && (await findSeq(places, memory, o, cidText)) >= needed.id.from;
    // One that is stored stays below the floor, and is not taken a second time.
    if (!isStored) setRecordChecked(memory, o, needed.checked);
    if (isStored || needed.prev === null) continue;
    const prevSeq = await findSeq(places, memory, o, prevText);
    if (prevSeq > 0) setRecordPrevSeq(memory, o, prevSeq);
  }
}

/** The seq of the message that has the room and sender of this record and the id at this place of it; 0: none. */
async function findSeq(
  { state, chunks, sealedThrough, placed }: Places,
  b: Uint8Array,
  o: number,
  which: number,
): Promise<number> {
  const seq = placed.get(idOf(b, o, which));
  if (seq !== undefined) return seq;
  const id = { room: copyOfText(b, o, roomText), from: copyOfText(b, o, fromText), cid: copyOfText(b, o, which) };
  for (const chunk of state.chunksOf(b, o)) {
    if (chunk > sealedThrough || !chunks.has(chunk as ChunkNumber)) continue;
    try {
      const record = await chunks.find(chunk as ChunkNumber, id);
      if (record !== null) return recordSeq(record, 0);
    } catch (fault) {
      // Whether it is there nobody can tell: a message twice is seen, one that is gone is not.
      if (!(fault instanceof ChunkDamage)) throw fault;
    }
  }
  return 0;
}

interface Records {
  readonly memory: Uint8Array[];
  readonly offsets: number[];
}

function imageOf(
  sealed: {
    cluster: Ground["owner"]["cluster"];
    group: GroupId;
    chunk: number;
    from: number;
    to: number;
    day: Day;
    format: number;
  },
  { memory, offsets }: Records,
): ChunkImage {
  const { cluster, group, day, format } = sealed;
  const input: ChunkInput = { count: offsets.length, bytes: (i) => memory[i]!, offset: (i) => offsets[i]! };
  const place = { chunk: chunkNumber(sealed.chunk), from: sealed.from as LogIndex, to: sealed.to as LogIndex };
  const steps = buildChunk({ cluster, group, ...place, day, format, generation: 0 }, input);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
