import { equalBytes } from "../base/compare-bytes.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import { Fault } from "../base/error-codes.ts";
import type { Limits } from "../base/limits.ts";
import type { RequestId } from "../protocol/schema.ts";
import { commandLength, commandType, commandTypes } from "../rooms/commands.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { kindOf, messageKinds } from "../rooms/message-kind.ts";
import {
  bodyStart,
  type RecordParts,
  putRecord,
  recordBodyLength,
  recordBytes,
  recordChecked,
  recordEpoch,
  recordLength,
  recordPrevSeq,
  recordRef,
  recordTexts,
  recordTs,
  copyOfText,
  fromText,
  kindText,
  roomText,
  textIn,
} from "../rooms/message-record.ts";
import { outcomes } from "../rooms/outcome.ts";
import type { Room } from "../rooms/room.ts";
import type { Origin, PostSource } from "./batch.ts";
import type { History, RecordRef } from "./history.ts";
import type { LiveRoom } from "./live-room.ts";
import type { MemoryLog } from "./memory-log.ts";
import type { Proposals } from "./proposals.ts";
import { RecheckChains } from "./recheck-chains.ts";

/** Whether a post was taken: proposed at once, proposed once something was looked up, or not now. */
export type Taken =
  | { type: "proposed" }
  /**
   * It is proposed when `done` settles; whoever cares for the order of sends waits with the next. It settles with the seq
   * up to which the id is known to be absent; null: it was not proposed, the origin has its answer.
   */
  | { type: "lookingUp"; done: Promise<number | null> }
  /** It may not be proposed beside posts of the same origin that are not decided, for its order's sake: give it again when none is waited for. */
  | { type: "alone" }
  /** The room's ring is full of messages that wait for the disk: ask again when `again` is called. */
  | { type: "full"; again: (task: () => void) => void }
  | { type: "refused"; code: ErrorCode; message: string; retryAfterMs: number | null };

const proposed: Taken = { type: "proposed" };
const alone: Taken = { type: "alone" };
const retryMs = 100;
/** By these messages go. They come from operators and from the server itself, and are few. */
const givesBack: ReadonlySet<number> = new Set([commandTypes.trim, commandTypes.retention, commandTypes.deleteRoom]);

/**
 * The way into the log for what clients ask for: checks that there is room for it, looks up what must be known and is
 * not in state, and gathers it into the batch that is proposed next.
 */
export class Orderer {
  readonly #proposals: Proposals;
  readonly #state: GroupState;
  readonly #memory: MemoryLog;
  readonly #history: History;
  readonly #limits: Limits;
  readonly #chains: RecheckChains;
  #closed: { code: ErrorCode; message: string } | null = null;
  #ended: { code: ErrorCode; message: string } | null = null;

  constructor(options: {
    proposals: Proposals;
    state: GroupState;
    memory: MemoryLog;
    history: History;
    limits: Limits;
  }) {
    this.#proposals = options.proposals;
    this.#state = options.state;
    this.#memory = options.memory;
    this.#history = options.history;
    this.#limits = options.limits;
    this.#chains = new RecheckChains((post, checkedMax) => {
      const room = this.#state.room(textIn(post.record, 0, roomText));
      if (room === undefined) throw new Fault("not_found", "the room is gone");
      return this.#lookUpAndPropose(post, 0, room, post.record, post.follows, checkedMax);
    });
  }

  /** Nothing is ever taken again: the server stops, or its journal failed. The first reason is the one that is told. */
  end(why: { code: ErrorCode; message: string }): void {
    this.#ended ??= why;
  }

  /** From now on nothing is taken: the disk is full. `null` opens again. */
  set closed(why: { code: ErrorCode; message: string } | null) {
    this.#closed = why;
  }

  /** Why nothing more is taken right now; null when something is. */
  refusal(): Extract<Taken, { type: "refused" }> | null {
    const unable = this.#unable();
    if (unable !== null) return unable;
    if (this.#closed !== null) return refused(this.#closed.code, this.#closed.message);
    if (this.#proposals.uncommittedBytes > this.#limits.uncommittedBytesMax) {
      return refused("overloaded", "too much waits for the disk");
    }
    if (this.#memory.unsealedBytes > this.#limits.unsealedBytesMax) {
      return refused("overloaded", "too much waits to be written into day chunks");
    }
    return null;
  }

  // Why nothing at all is taken, whatever it is.
  #unable(): Extract<Taken, { type: "refused" }> | null {
    if (this.#ended !== null) return refused(this.#ended.code, this.#ended.message);
    return this.#proposals.canTake ? null : refused("no_quorum", "nobody is elected to order messages yet", true);
  }

  /**
   * Takes a post of `user` in a room. `room` is undefined for a room that the state does not have (yet): a direct room's
   * first message, or one whose creation is on its way. `follows` says that other posts of the same origin are not
   * decided yet, so that `prev` may be among them: then only `apply` can tell whether it is stored. `mayReturn` says that
   * some of these were proposed without a look, so that they may come back when the window passes them. The id is claimed
   * to be absent up to `checkedMax` at most: so far it is known to be of those this one may not pass.
   */
  post(
    origin: Origin,
    request: RequestId,
    roomName: Uint8Array,
    room: Room | undefined,
    user: Uint8Array,
    source: PostSource,
    follows: boolean,
    mayReturn: boolean,
    checkedMax: number,
  ): Taken {
    const why = this.refusal();
    if (why !== null)
      return this.#closed === null || room === undefined
        ? why
        : this.#repeated(why, origin, request, room, user, source);
    // `apply` refuses it too, but can't say which field is missing.
    if (source.ref === 0 && source.kindLength > 0 && needsRef(source)) {
      return { type: "refused", code: "bad_request", message: `"ref" is missing: ${refUse}`, retryAfterMs: null };
    }
    if (source.bodyLength === 0 && source.kindLength > 0 && isReaction(source)) {
      const message = '"body" is empty: it is what a reaction shows, and what is taken back';
      return { type: "refused", code: "bad_request", message, retryAfterMs: null };
    }
    // What it changes may be one of those on their way: whose that is can't be looked up yet, and it would come back.
    if (follows && lacksChanged(source, room)) return alone;
    const batch = this.#proposals.batch;
    const offset = batch.writePost(roomName, user, source);
    if (room === undefined) {
      batch.keep(recordLength(batch.bytes, offset), origin, request, null);
      this.#proposals.gathered();
      return proposed;
    }
    const live = this.#memory.live(room);
    // The usual case costs no hash: the client knew a head above the floor, and `prev` is on its way or not given.
    const isPlain = source.ref === 0 && source.checked >= room.floor && (follows || source.prevLength === 0);
    const needed = isPlain ? null : this.#state.lookupNeeded(batch.bytes, offset);
    // The window is behind what those before may claim: they will come back, and this one would not.
    const isAhead = needed !== null && needed.id !== null && (mayReturn || checkedMax < room.floor);
    if (follows && (isAhead || this.#chains.hold(origin, room))) return alone;
    if (source.ref !== 0 || (needed !== null && (needed.id !== null || !follows))) {
      const record = batch.bytes.slice(offset, offset + recordLength(batch.bytes, offset));
      const done = this.#lookUpAndPropose(origin, request, room, record, follows, checkedMax).then(notBehind);
      return { type: "lookingUp", done };
    }
    if (!live.ring.order()) return fullRing(live);
    batch.keep(recordLength(batch.bytes, offset), origin, request, live);
    this.#proposals.gathered();
    return proposed;
  }

  // Nothing new is taken; what is stored already takes no room, and is told where it stands, as far back as a repeat is
  // looked for at any other time.
  #repeated(
    why: Extract<Taken, { type: "refused" }>,
    origin: Origin,
    request: RequestId,
    room: Room,
    user: Uint8Array,
    source: PostSource,
  ): Taken {
    const { batch } = this.#proposals;
    const offset = batch.writePost(room.nameBytes, user, source);
    const record = batch.bytes.slice(offset, offset + recordLength(batch.bytes, offset));
    const standing = this.#state.standing(record, 0);
    if (standing !== null) {
      const { code, seq, ts, epoch } = standing;
      const done = Promise.resolve().then(() => {
        origin.decided(request, code, seq, ts, epoch, record, 0);
        return null;
      });
      return { type: "lookingUp", done };
    }
    const among = this.#state.lookupNeeded(record, 0)?.id ?? null;
    if (among === null) return why;
    const { from, cid } = partsOf(record);
    const done = this.#history.find(room, from, cid, among.from, among.to).then((found) => {
      if (found === null)
        throw new Fault(why.code, why.message, { definite: true, retryAfterMs: why.retryAfterMs ?? retryMs });
      decideAsStored(origin, request, found, record);
      return null;
    });
    return { type: "lookingUp", done };
  }

  /** Takes any other command; one by which messages go also while the disk is full, for it makes room. Throws the Fault that the asker is to be told when there is no room for it. */
  command(bytes: Uint8Array, origin: Origin | null, request: RequestId): void {
    if (origin !== null) {
      const why = givesBack.has(commandType(bytes, 0)) ? this.#unable() : this.refusal();
      if (why !== null) throw new Fault(why.code, why.message, { retryAfterMs: retryMs });
    }
    const batch = this.#proposals.batch;
    const offset = batch.writeBytes(bytes);
    batch.keep(commandLength(batch.bytes, offset), origin, request, null);
    this.#proposals.gathered();
  }

  /** A post came back undecided: something must be looked up that was not needed when it was proposed. */
  again(origin: Origin, request: RequestId, record: Uint8Array): void {
    const room = this.#state.room(textIn(record, 0, roomText));
    if (room === undefined) origin.undecided(request, "unavailable");
    else this.#chains.add(origin, request, room, record);
  }

  /** Whether the `prev` of a post that was answered `order` is itself to be proposed again: then so is the post. */
  holdsPrev(origin: Origin, record: Uint8Array, offset: number): boolean {
    const room = this.#state.room(textIn(record, offset, roomText));
    return room !== undefined && this.#chains.holdsPrev(origin, room, record, offset);
  }

  // Settles with up to where the id is known to be absent, once it is proposed; null: the origin was told; "behind": those
  // before it will come back, so it must wait for them. Whoever is looked up may be stored meanwhile, or leave the window
  // meanwhile: after each look the state is asked again.
  async #lookUpAndPropose(
    origin: Origin,
    request: RequestId,
    room: Room,
    record: Uint8Array,
    follows: boolean,
    checkedMax: number,
  ): Promise<number | null | "behind"> {
    let parts = partsOf(record);
    if (recordRef(record, 0) !== 0) {
      const referred = await this.#history.message(room, recordRef(record, 0));
      if (referred !== null) {
        parts.refFrom = copyOfText(referred.bytes, referred.offset, fromText);
        const kind = textIn(referred.bytes, referred.offset, kindText);
        parts.refKind = kind.length === 0 ? new TextEncoder().encode("text") : kind.slice();
      }
    }
    for (;;) {
      const bytes = new Uint8Array(recordBytes(parts));
      putRecord(bytes, 0, parts);
      const needed = this.#state.lookupNeeded(bytes, 0);
      if (needed === null || (needed.id === null && (needed.prev === null || follows))) {
        const why = this.refusal();
        if (why !== null) throw new Fault(why.code, why.message, { retryAfterMs: retryMs });
        const batch = this.#proposals.batch;
        batch.writeBytes(bytes);
        const live = this.#memory.live(room);
        batch.keep(bytes.length, origin, request, live.ring.order() ? live : null);
        this.#proposals.gathered();
        return parts.checked;
      }
      if (needed.id !== null && checkedMax < needed.id.to) return "behind";
      parts = { ...parts };
      if (needed.id !== null) {
        const { from, to } = needed.id;
        const found = await this.#history.find(room, parts.from, parts.cid, from, to);
        // `apply` can't see it in its window any more, so the orderer answers by itself.
        if (found !== null) {
          decideAsStored(origin, request, found, bytes);
          return null;
        }
      }
      parts.checked = Math.max(parts.checked, Math.min(needed.checked, checkedMax));
      if (needed.prev !== null && !follows) {
        const { from, to } = needed.prev;
        const found = await this.#history.find(room, parts.from, parts.prev, from, to);
        if (found === null) {
          origin.decided(request, outcomes.order, 0, 0, 0, bytes, 0);
          return null;
        }
        parts.prevSeq = found.seq;
      }
    }
  }
}

// By itself: what has a closure allocates for it on every call, also where none is made.
const fullRing = (live: LiveRoom): Taken => ({ type: "full", again: (task) => void (live.waiting ??= []).push(task) });

// It was looked up behind others that will come back, and must not pass them.
function notBehind(proposed: number | null | "behind"): number | null {
  if (proposed !== "behind") return proposed;
  throw new Fault("overloaded", "too much was stored while this was looked up", { retryAfterMs: retryMs });
}

/** Tells who sent a message whose id is stored: where it stands, or that it says something else. */
function decideAsStored(origin: Origin, request: RequestId, found: RecordRef, fresh: Uint8Array): void {
  const { bytes, offset } = found;
  const code = sameMessage(bytes, offset, fresh) ? outcomes.repeat : outcomes.conflict;
  origin.decided(request, code, found.seq, recordTs(bytes, offset), recordEpoch(bytes, offset), fresh, 0);
}

/** Whether a stored message and a new one with the same id say the same: kind, ref and body. */
function sameMessage(stored: Uint8Array, offset: number, fresh: Uint8Array): boolean {
  if (recordRef(stored, offset) !== recordRef(fresh, 0)) return false;
  const kinds = [textIn(stored, offset, kindText), textIn(fresh, 0, kindText)] as const;
  const bodies = [bodyOf(stored, offset), bodyOf(fresh, 0)] as const;
  return equalBytes(...kinds) && equalBytes(...bodies);
}

function bodyOf(record: Uint8Array, offset: number): Uint8Array {
  const start = bodyStart(record, offset);
  return record.subarray(start, start + recordBodyLength(record, offset));
}

/** Whether a post changes a message that is not applied here: an edit or a deletion, of a `ref` above the room's head. */
export const lacksChanged = (source: PostSource, room: Room | undefined): boolean =>
  source.ref > (room?.head ?? 0) && isChange(source);

const needsRef = (source: PostSource): boolean => isChange(source) || isReaction(source);

const isChange = ({ bytes, kindStart, kindLength }: PostSource): boolean =>
  kindOf(bytes, kindStart, kindLength) === messageKinds.change;

const isReaction = ({ bytes, kindStart, kindLength }: PostSource): boolean =>
  kindOf(bytes, kindStart, kindLength) === messageKinds.reaction;

const refUse = "the seq of the message that is edited, deleted or reacted to";

function refused(code: ErrorCode, message: string, soon = false): Extract<Taken, { type: "refused" }> {
  return { type: "refused", code, message, retryAfterMs: soon ? retryMs : retryMs * 5 };
}

function partsOf(record: Uint8Array): RecordParts {
  const texts = Object.fromEntries(recordTexts.map((name, i) => [name, textIn(record, 0, i)]));
  return {
    ...(texts as Pick<RecordParts, (typeof recordTexts)[number]>),
    body: bodyOf(record, 0),
    ref: recordRef(record, 0),
    checked: recordChecked(record, 0),
    prevSeq: recordPrevSeq(record, 0),
    seq: 0,
    ts: 0,
    epoch: 0,
  };
}
