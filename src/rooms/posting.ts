import type { Aggregates } from "./aggregates.ts";
import { isOrderedDirectName, userName } from "./aggregates.ts";
import type { ApplySink } from "./apply-sink.ts";
import { ByteHash } from "./byte-hash.ts";
import type { Chunks } from "./chunks.ts";
import { roles } from "./commands.ts";
import { IdWindow } from "./id-window.ts";
import type { Membership } from "./membership.ts";
import {
  cidText,
  fromText,
  kindText,
  normalisedLength,
  prevText,
  recordBodyLength,
  recordChecked,
  recordHeaderBytes,
  recordLength,
  recordPrevSeq,
  recordRef,
  refFromText,
  refKindText,
  roomText,
  setRecordPlace,
  textLength,
  textStart,
} from "./message-record.ts";
import { messageKinds, kindOf } from "./message-kind.ts";
import { type OutcomeCode, outcomes } from "./outcome.ts";
import { isDirectName, isOneOfTwo, type Room } from "./room.ts";

/** Where a message stands whose id is known, and whether what was sent now is that message. */
export interface Standing {
  readonly code: OutcomeCode;
  readonly seq: number;
  readonly ts: number;
  readonly epoch: number;
}

/** What must be looked up beyond the id window before a post is proposed. */
export interface LookupNeeded {
  /** Look for the id (room, from, cid) among these seqs; null: it is known to be absent. */
  readonly id: { readonly from: number; readonly to: number } | null;
  /** Look for (room, from, prev) among these seqs, and write the seq it has into `prevSeq`; null: no need. */
  readonly prev: { readonly from: number; readonly to: number } | null;
  /** When the id is absent there as well, it is absent up to here: write this into `checked`. */
  readonly checked: number;
}

/** What the window keeps of an id, besides its key. */
export interface WindowedId {
  readonly seq: number;
  readonly ts: number;
  readonly epoch: number;
  readonly digestLow: number;
  readonly digestHigh: number;
}

/**
 * A message takes its place, or is told why not. This runs once per message on every server: it makes no object and no
 * string, and reads the body only for its digest.
 *
 * The answers are given in this order, because a repeat must hear of its first, whatever became of the room or the
 * sender since:
 * 1. the id is in the window: repeat, or conflict
 * 2. the room is not there: not found
 * 3. whether the id is stored can't be told: recheck
 * 4. the sender may not see the room, or not do this: not found, forbidden, and what `ref` calls for
 * 5. `prev` is not stored: order; or that can't be told: recheck
 */
export class Posting {
  readonly window: IdWindow;
  readonly #all: Aggregates;
  readonly #chunks: Chunks;
  readonly #membership: Membership;
  // Part of the state, so with a seed that is the same everywhere.
  readonly #digest = new ByteHash(0);
  // Messages come in runs of one sender in one room. The names of the last one, room and sender back to back; what they
  // hash to; and its place in the window, if it was stored. None of it decides: it finds what a search would find.
  readonly #runNames = new Uint8Array(512);
  #runRoomLength = 0;
  #runFromLength = 0;
  #runLow = 0;
  #runHigh = 0;
  #runRoom: Room | undefined;
  #runEntry = -1;

  constructor(all: Aggregates, chunks: Chunks, membership: Membership) {
    this.#all = all;
    this.#chunks = chunks;
    this.#membership = membership;
    this.window = new IdWindow(all.bounds.idWindowEntries, all, all.numbers);
  }

  /** Applies the record at `o`; ts and epoch are the entry's. */
  apply(b: Uint8Array, o: number, ts: number, epoch: number, position: number, sink: ApplySink): void {
    const hash = this.#all.hash;
    const window = this.window;
    const start = o + recordHeaderBytes;
    const roomLength = textLength(b, o, roomText);
    const fromLength = textLength(b, o, fromText);
    const cidLength = textLength(b, o, cidText);
    const cidStart = start + roomLength + fromLength;
    // Room and sender are the same in the keys of the id and of `prev`: hashed once, and for a run of messages once.
    if (!this.#isOfRun(b, start, roomLength, fromLength)) this.#beginRun(b, start, roomLength, fromLength);
    const sharedLow = this.#runLow;
    const sharedHigh = this.#runHigh;
    const low = hash.more(sharedLow, sharedHigh, b, cidStart, cidLength);
    const high = hash.high;
    const digestLow = this.#digestOf(b, o, cidStart + cidLength);
    const digestHigh = this.#digest.high;

    const known = window.find(b, start, roomLength, fromLength, cidStart, cidLength, low, high);
    if (known >= 0) {
      const isSame = window.digestLow(known) === digestLow && window.digestHigh(known) === digestHigh;
      const code = isSame ? outcomes.repeat : outcomes.conflict;
      sink.outcome(position, code, window.seq(known), window.ts(known), window.epoch(known));
      return;
    }

    let room = this.#roomOfRun(b, start, roomLength, position, sink);
    const code =
      room === undefined || !room.exists ? this.#mayOpen(room, b, o) : this.#mayPost(room, b, o, sharedLow, sharedHigh);
    if (code !== outcomes.stored) {
      sink.outcome(position, code, 0, 0, 0);
      return;
    }
    if (room === undefined || !room.exists) {
      const from = userName(b.subarray(start + roomLength, cidStart));
      room = this.#membership.open(b.subarray(start, start + roomLength), true, from, sink);
    }

    this.#all.cut?.roomChanges(room);
    const seq = room.head + 1;
    const at = ts > room.lastTs ? ts : room.lastTs;
    room.head = seq;
    room.lastTs = at;
    setRecordPlace(b, o, seq, at, epoch);
    this.#runEntry = window.next;
    this.#all.numbers.noteLast(room.place, window.next, b, start + roomLength, fromLength, cidLength);
    window.add(
      room.place,
      b,
      start,
      roomLength,
      fromLength,
      cidLength,
      low,
      high,
      digestLow,
      digestHigh,
      seq,
      at,
      epoch,
    );
    this.#chunks.count(room, seq, normalisedLength(b, o));
    sink.stored(room, seq, b, o);
    sink.outcome(position, outcomes.stored, seq, at, epoch);
  }

  #isOfRun(b: Uint8Array, start: number, roomLength: number, fromLength: number): boolean {
    if (roomLength !== this.#runRoomLength || fromLength !== this.#runFromLength) return false;
    const names = this.#runNames;
    const length = roomLength + fromLength;
    let same = 0;
    while (same < length && names[same] === b[start + same]) same++;
    return same === length;
  }

  #beginRun(b: Uint8Array, start: number, roomLength: number, fromLength: number): void {
    const { hash } = this.#all;
    const length = roomLength + fromLength;
    for (let i = 0; i < length; i++) this.#runNames[i] = b[start + i]!;
    this.#runRoomLength = roomLength;
    this.#runFromLength = fromLength;
    this.#runLow = hash.of(b, start, length);
    this.#runHigh = hash.high;
    this.#runRoom = undefined;
    this.#runEntry = -1;
  }

  // One that was taken out meanwhile has left its place.
  #roomOfRun(b: Uint8Array, start: number, roomLength: number, position: number, sink: ApplySink): Room | undefined {
    const { rooms } = this.#all;
    const room = this.#runRoom ?? sink.proposedIn?.(position);
    if (room !== undefined && rooms.at(room.place) === room) this.#runRoom = room;
    else this.#runRoom = this.#all.findRoom(b, start, roomLength);
    return this.#runRoom;
  }

  /** What the orderer must look up before it proposes the record at `o`; null: nothing, the usual case. */
  lookupNeeded(b: Uint8Array, o: number): LookupNeeded | null {
    const start = o + recordHeaderBytes;
    const room = this.#all.findRoom(b, start, textLength(b, o, roomText));
    if (room === undefined || room.floor < room.first) return null;
    const checked = recordChecked(b, o);
    const isIdKnown = checked >= room.floor;
    const hasPrev = textLength(b, o, prevText) > 0 && recordPrevSeq(b, o) === 0;
    if (isIdKnown && !hasPrev) return null;
    const sharedLow = this.#all.hash.of(b, start, textLength(b, o, roomText) + textLength(b, o, fromText));
    const sharedHigh = this.#all.hash.high;
    const isPrevKnown = !hasPrev || this.#inWindow(b, o, prevText, sharedLow, sharedHigh);
    if (isIdKnown && isPrevKnown) return null;
    if (this.#inWindow(b, o, cidText, sharedLow, sharedHigh)) return null;
    return {
      id: isIdKnown ? null : { from: Math.max(room.first, checked + 1), to: room.floor },
      prev: isPrevKnown ? null : { from: room.first, to: room.floor },
      checked: room.head,
    };
  }

  /** The seq of the message with this id, when it is in the window; else 0. */
  seqInWindow(room: Uint8Array, from: Uint8Array, cid: Uint8Array): number {
    const key = joined(room, from, cid);
    const shared = room.length + from.length;
    const low = this.#hashOfKey(key, shared);
    const known = this.window.find(key, 0, room.length, from.length, shared, cid.length, low, this.#all.hash.high);
    return known < 0 ? 0 : this.window.seq(known);
  }

  /** What `apply` would answer the record at `o` when its id is in the window: where the first one stands; null: it is not. */
  standing(b: Uint8Array, o: number): Standing | null {
    const { hash } = this.#all;
    const start = o + recordHeaderBytes;
    const roomLength = textLength(b, o, roomText);
    const fromLength = textLength(b, o, fromText);
    const cidStart = start + roomLength + fromLength;
    const cidLength = textLength(b, o, cidText);
    const sharedLow = hash.of(b, start, roomLength + fromLength);
    const low = hash.more(sharedLow, hash.high, b, cidStart, cidLength);
    const { window } = this;
    const known = window.find(b, start, roomLength, fromLength, cidStart, cidLength, low, hash.high);
    if (known < 0) return null;
    const digestLow = this.#digestOf(b, o, cidStart + cidLength);
    const isSame = window.digestLow(known) === digestLow && window.digestHigh(known) === this.#digest.high;
    const code = isSame ? outcomes.repeat : outcomes.conflict;
    return { code, seq: window.seq(known), ts: window.ts(known), epoch: window.epoch(known) };
  }

  /** Puts an id of a snapshot back, in the order of the snapshot. */
  restoreId(room: Room, from: Uint8Array, cid: Uint8Array, id: WindowedId): void {
    const name = room.nameBytes;
    const key = joined(name, from, cid);
    const low = this.#hashOfKey(key, name.length + from.length);
    const high = this.#all.hash.high;
    const { digestLow, digestHigh, seq, ts, epoch } = id;
    this.window.add(
      room.place,
      key,
      0,
      name.length,
      from.length,
      cid.length,
      low,
      high,
      digestLow,
      digestHigh,
      seq,
      ts,
      epoch,
    );
  }

  /** The hash of a key whose room and sender take `shared` bytes, exactly as `apply` finds it. */
  #hashOfKey(key: Uint8Array, shared: number): number {
    const hash = this.#all.hash;
    const low = hash.of(key, 0, shared);
    return hash.more(low, hash.high, key, shared, key.length - shared);
  }

  /** Whether a post to a room that is not there makes a direct room. */
  #mayOpen(room: Room | undefined, b: Uint8Array, o: number): OutcomeCode {
    const start = o + recordHeaderBytes;
    const length = textLength(b, o, roomText);
    const fromLength = textLength(b, o, fromText);
    if (!isDirectName(b, start, length)) return outcomes.notFound;
    if (!isOneOfTwo(b, start, length, b, start + length, fromLength)) return outcomes.notFound;
    if (!isOrderedDirectName(b.subarray(start, start + length))) return outcomes.badRequest;
    const mayMake = this.#membership.mayMake(room, b.subarray(start + length, start + length + fromLength), true);
    if (mayMake !== outcomes.done) return mayMake;
    if (room !== undefined) {
      const hash = this.#all.hash;
      const sharedLow = hash.of(b, start, length + fromLength);
      return this.#mayPost(room, b, o, sharedLow, hash.high);
    }
    const kind = kindOf(b, textStart(b, o, kindText), textLength(b, o, kindText));
    if (kind === messageKinds.system) return outcomes.forbidden;
    if (kind !== messageKinds.plain && recordRef(b, o) === 0) return outcomes.refNeeded;
    if (recordRef(b, o) !== 0) return outcomes.notFound;
    return textLength(b, o, prevText) > 0 ? outcomes.order : outcomes.stored;
  }

  #mayPost(room: Room, b: Uint8Array, o: number, sharedLow: number, sharedHigh: number): OutcomeCode {
    // What the window no longer holds lies at or below the floor; what is below `first` is not kept and guards nothing.
    const isWindowWhole = room.floor < room.first;
    if (!isWindowWhole && recordChecked(b, o) < room.floor) return outcomes.recheck;
    const fromStart = o + recordHeaderBytes + textLength(b, o, roomText);
    const fromLength = textLength(b, o, fromText);
    if (room.exists && room.isPrivate && !room.mayReadBytes(b, fromStart, fromLength)) return outcomes.notFound;
    const kindLength = textLength(b, o, kindText);
    if (kindLength > 0 || recordRef(b, o) !== 0) {
      const code = this.#mayRefer(room, b, o, fromStart, fromLength);
      if (code !== outcomes.stored) return code;
    }
    if (textLength(b, o, prevText) === 0) return outcomes.stored;
    const prevSeq = recordPrevSeq(b, o);
    if (prevSeq > 0) return prevSeq <= room.head ? outcomes.stored : outcomes.order;
    // As a rule a message names the one before it in its run.
    if (
      this.#runEntry >= 0 &&
      this.window.hasCid(this.#runEntry, b, textStart(b, o, prevText), textLength(b, o, prevText))
    )
      return outcomes.stored;
    if (this.#isLast(room, b, o, fromStart, fromLength)) return outcomes.stored;
    if (this.#inWindow(b, o, prevText, sharedLow, sharedHigh)) return outcomes.stored;
    return isWindowWhole ? outcomes.order : outcomes.recheck;
  }

  /** Whether `prev` names the room's newest message, and the window holds that: as a rule, where messages come in no runs. */
  #isLast(room: Room, b: Uint8Array, o: number, fromStart: number, fromLength: number): boolean {
    const start = textStart(b, o, prevText);
    const length = textLength(b, o, prevText);
    const entry = this.#all.numbers.lastEntry(room.place, b, fromStart, fromLength, start, length);
    return entry >= this.window.oldest && entry >= 0;
  }

  /** What kind and `ref` call for. */
  #mayRefer(room: Room, b: Uint8Array, o: number, fromStart: number, fromLength: number): OutcomeCode {
    const kind = kindOf(b, textStart(b, o, kindText), textLength(b, o, kindText));
    if (kind === messageKinds.system) return outcomes.forbidden;
    const ref = recordRef(b, o);
    if (ref > room.head) return outcomes.notFound;
    if (kind === messageKinds.plain) return outcomes.stored;
    if (ref === 0) return outcomes.refNeeded;
    if (ref < room.first) return outcomes.gone;
    if (kind === messageKinds.reaction) return outcomes.stored;
    const refFromLength = textLength(b, o, refFromText);
    // The orderer writes whose message it is. It had not yet been applied there, or was proposed by one that did not look.
    if (refFromLength === 0) return outcomes.recheck;
    const refKind = kindOf(b, textStart(b, o, refKindText), textLength(b, o, refKindText));
    if (refKind !== messageKinds.plain) return outcomes.notAMessage;
    const refFromStart = textStart(b, o, refFromText);
    let isAuthor = refFromLength === fromLength;
    for (let i = 0; isAuthor && i < fromLength; i++) isAuthor = b[refFromStart + i] === b[fromStart + i];
    if (isAuthor) return outcomes.stored;
    const member = room.members.find(b, fromStart, fromLength, this.#all.hash.of(b, fromStart, fromLength));
    return member !== undefined && member.role >= roles.moderator ? outcomes.stored : outcomes.forbidden;
  }

  /** Whether (room, from, and the text at this place of the record) is an id in the window. */
  #inWindow(b: Uint8Array, o: number, which: number, sharedLow: number, sharedHigh: number): boolean {
    const start = textStart(b, o, which);
    const length = textLength(b, o, which);
    const low = this.#all.hash.more(sharedLow, sharedHigh, b, start, length);
    const high = this.#all.hash.high;
    const at = o + recordHeaderBytes;
    return (
      this.window.find(b, at, textLength(b, o, roomText), textLength(b, o, fromText), start, length, low, high) >= 0
    );
  }

  /** 64 bits of what a repeat must have in common with its first: kind, ref and body. The second lane is in `#digest.high`. */
  #digestOf(b: Uint8Array, o: number, kindStart: number): number {
    const digest = this.#digest;
    const ref = recordRef(b, o);
    const low = digest.of(b, kindStart, textLength(b, o, kindText)) ^ ref;
    const high = digest.high ^ Math.floor(ref / 0x1_0000_0000);
    const bodyLength = recordBodyLength(b, o);
    // The body is the last of a record.
    return digest.more(low, high, b, o + recordLength(b, o) - bodyLength, bodyLength);
  }
}

function joined(room: Uint8Array, from: Uint8Array, cid: Uint8Array): Uint8Array {
  const key = new Uint8Array(room.length + from.length + cid.length);
  key.set(room);
  key.set(from, room.length);
  key.set(cid, room.length + from.length);
  return key;
}
