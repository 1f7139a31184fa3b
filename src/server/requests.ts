import { unreachable } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import { type Cid, type NodeName, type RoomName, type Seq, seq, type UserName } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import { millis } from "../base/units.ts";
import type { ClientFrameOf, Message, ServerFrame } from "../protocol/schema.ts";
import { textOf, utf8 } from "../protocol/utf8.ts";
import { type Command, encodeCommand } from "../rooms/commands.ts";
import type { GroupState } from "../rooms/group-state.ts";
import {
  bodyStart,
  cidText,
  fromText,
  kindText,
  recordBodyLength,
  recordEpoch,
  recordRef,
  recordSeq,
  recordTs,
  textLength,
  textStart,
} from "../rooms/message-record.ts";
import type { Room } from "../rooms/room.ts";
import { Arrivals } from "./arrivals.ts";
import type { Caller } from "./caller.ts";
import { type Decided, Decision, RefusedInLog } from "./decision.ts";
import type { GroupDriver } from "./group-driver.ts";
import type { History, PageWanted, RecordRef } from "./history.ts";
import { HistoryDamaged } from "./history-damaged.ts";
import { Memberships } from "./memberships.ts";
import type { Orderer } from "./orderer.ts";
import type { ReadMarks } from "./read-marks.ts";

const pageItemsDefault = 50;

type Asked =
  | ClientFrameOf<"join">
  | ClientFrameOf<"leave">
  | ClientFrameOf<"invite">
  | ClientFrameOf<"remove">
  | ClientFrameOf<"members">
  | ClientFrameOf<"hist">
  | ClientFrameOf<"lookup">
  | ClientFrameOf<"read">
  | ClientFrameOf<"rooms">;

/** Answers what clients ask besides sending and subscribing, whichever door they came by. Rejects with a Fault. */
export class Requests {
  readonly #driver: GroupDriver;
  readonly #orderer: Orderer;
  readonly #history: History;
  readonly #readMarks: ReadMarks;
  readonly #arrivals: Arrivals;
  readonly #limits: Limits;
  readonly #node: NodeName;
  readonly #hasOthers: boolean;
  readonly #ageMs: () => number;
  readonly memberships: Memberships;

  constructor(options: {
    driver: GroupDriver;
    orderer: Orderer;
    history: History;
    readMarks: ReadMarks;
    clock: Clock;
    limits: Limits;
    node: NodeName;
    /** There are other servers, which may know more than this one. */
    hasOthers: boolean;
    /** How old what is read here may be at least. */
    ageMs: () => number;
    knowsUser: (user: UserName) => boolean;
    mayBegin: (user: UserName, room: RoomName) => boolean;
  }) {
    this.#driver = options.driver;
    this.#orderer = options.orderer;
    this.#history = options.history;
    this.#readMarks = options.readMarks;
    this.#arrivals = new Arrivals(options.clock);
    this.#limits = options.limits;
    this.#node = options.node;
    this.#hasOthers = options.hasOthers;
    this.#ageMs = options.ageMs;
    this.memberships = new Memberships({
      state: options.driver.applier.state,
      limits: options.limits,
      now: () => options.clock.now(),
      command: (command) => this.command(command),
      current: () => options.driver.read(),
      readable: (caller, name) => this.readable(caller, name),
      knowsUser: options.knowsUser,
      mayBegin: options.mayBegin,
    });
  }

  get #state(): GroupState {
    return this.#driver.applier.state;
  }

  /** Begins in this turn wherever nothing has to be awaited before: what the same client sends next comes after it. */
  handle(caller: Caller, frame: Asked): Promise<ServerFrame> {
    const prepared = this.prepare(caller, frame);
    return prepared === null ? this.answer(caller, frame) : prepared.then(() => this.answer(caller, frame));
  }

  /**
   * What must be so before this is answered, and may take seconds: everything that was committed before, or what the client
   * has seen elsewhere, is here; null when nothing has to be. To be awaited before a turn of which others wait for the end.
   */
  prepare(caller: Caller, frame: Asked): Promise<void> | null {
    switch (frame.t) {
      // "Not stored" is only true of everything that was committed before the question.
      case "lookup":
        return this.#driver.read();
      case "hist":
        return frame.level === "linearizable" || frame.atLeast !== undefined ? this.#prepareHist(caller, frame) : null;
      case "rooms":
        if (frame.atLeast === undefined || frame.atLeast <= this.#state.appliedIndex) return null;
        return this.#reachedPosition(caller.user, frame.atLeast);
      default:
        return null;
    }
  }

  async #prepareHist(caller: Caller, { room: name, level, atLeast }: ClientFrameOf<"hist">): Promise<void> {
    if (level === "linearizable") await this.#driver.read();
    if (atLeast === undefined) return;
    const room = await this.certain(() => this.readable(caller, name));
    if (atLeast > room.head) await this.reached(room, atLeast);
  }

  /** The answer to what `prepare` was awaited for. */
  async answer(caller: Caller, frame: Asked): Promise<ServerFrame> {
    const answer = await (this.#hasOthers
      ? this.certain(() => this.#handle(caller, frame))
      : this.#handle(caller, frame));
    if (answer.t !== "ok" || (answer.of !== "done" && answer.of !== "join" && answer.of !== "rooms")) return answer;
    return { ...answer, position: this.#state.appliedIndex };
  }

  /**
   * Does something, and believes that a room is not there, or not for somebody, only when nothing was committed that this
   * server has not applied. Rejects with `no_quorum` when nobody can tell.
   */
  async certain<T>(act: () => T | Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (cause) {
      if (!this.mayBeStale(cause)) throw cause;
    }
    await this.#driver.read();
    return act();
  }

  /** Whether this refusal rests on what is applied here, and others may know better. */
  mayBeStale(cause: unknown): boolean {
    if (!this.#hasOthers || !(cause instanceof Fault) || cause instanceof RefusedInLog) return false;
    return cause.code === "not_found" || cause.code === "forbidden";
  }

  #handle(caller: Caller, frame: Asked): Promise<ServerFrame> {
    switch (frame.t) {
      case "join":
        return this.memberships.join(caller, frame);
      case "leave":
        return this.memberships.leave(caller, frame);
      case "invite":
        return this.memberships.invite(caller, frame);
      case "remove":
        return this.memberships.remove(caller, frame);
      case "members":
        return this.memberships.members(caller, frame);
      case "hist":
        return this.#hist(caller, frame);
      case "lookup":
        return this.#lookUp(caller, frame);
      case "read":
        return this.#read(caller, frame);
      case "rooms":
        return this.#rooms(caller, frame);
      default:
        return unreachable(frame);
    }
  }

  /** The room, if this caller may read it. A room that is not for the caller is not there. */
  readable(caller: { readonly user: UserName }, name: RoomName): Room {
    const room = this.#state.room(name);
    if (room === undefined || !room.mayRead(caller.user)) throw new Fault("not_found", "there is no such room");
    return room;
  }

  /** Puts a command in order and settles with what became of it. */
  command(command: Command): Promise<Decided> {
    const decision = new Decision();
    this.#orderer.command(encodeCommand(command), decision, 0);
    return decision.done;
  }

  /** Settles once the room has reached `wanted` here; rejects with `behind` when it takes too long. */
  reached(room: Room, wanted: number): Promise<void> {
    return this.#arrivals.until(
      () => room.head >= wanted,
      () => `this server has the room only up to ${room.head}`,
    );
  }

  /** The same for a position of the log, or for a seq of any room of this user. */
  #reachedPosition(user: UserName, wanted: number): Promise<void> {
    let isSeq = false;
    this.#driver.read().then(
      () => {
        // Nothing that was committed is missing here, so a seq that is not beyond all rooms was reached.
        isSeq = this.memberships.roomsOf(user).some(({ head }) => head >= wanted);
      },
      () => {
        // Nobody can tell now: the position alone decides.
        isSeq = false;
      },
    );
    return this.#arrivals.until(
      () => isSeq || this.#state.appliedIndex >= wanted,
      () => `this server has the log only up to ${this.#state.appliedIndex}`,
    );
  }

  async #hist(caller: Caller, frame: ClientFrameOf<"hist">): Promise<ServerFrame> {
    const room = this.readable(caller, frame.room);
    // The head that the page was read under: one of later would call messages missing that came meanwhile.
    const head = room.head;
    const page = await this.historyPage(room, frame);
    const ageMs = this.#ageMs();
    return {
      t: "ok",
      of: "hist",
      id: frame.id,
      room: frame.room,
      line: room.line,
      first: seq(room.first),
      head: seq(Math.max(head, page.records.at(-1)?.seq ?? 0)),
      node: this.#node,
      more: page.more,
      ...(ageMs === 0 ? {} : { ageMs: millis(ageMs) }),
      items: page.records.map(messageOf),
    };
  }

  /** A page of history, in the order of seq, and whether there is more in the direction asked for. */
  async historyPage(
    room: Room,
    wanted: { before?: Seq | undefined; after?: Seq | undefined; around?: Seq | undefined; limit?: number | undefined },
  ): Promise<{ records: RecordRef[]; more: boolean }> {
    const itemsMax = Math.min(wanted.limit ?? pageItemsDefault, this.#limits.histItemsMax);
    const bytesMax = this.#limits.histBytesMax;
    const up = (from: number, items: number): PageWanted => ({
      from,
      to: room.head,
      direction: "up",
      itemsMax: items,
      bytesMax,
    });
    const down = (to: number, items: number): PageWanted => ({
      from: 1,
      to,
      direction: "down",
      itemsMax: items,
      bytesMax,
    });
    if (wanted.after !== undefined) {
      const head = room.head;
      const records = await this.#history.page(room, up(wanted.after + 1, itemsMax));
      return { records, more: (records.at(-1)?.seq ?? head) < head };
    }
    if (wanted.around !== undefined) {
      const half = Math.floor(itemsMax / 2);
      const [below, damaged] = await this.#history.page(room, down(wanted.around - 1, half)).then(
        (records) => [records, null] as const,
        (cause: unknown) => {
          if (cause instanceof HistoryDamaged) return [[] as RecordRef[], cause] as const;
          throw cause;
        },
      );
      const above = await this.#history.page(room, up(wanted.around, itemsMax - below.length));
      // It ends the page on its side, as it ends any; a page of nothing would say that nothing is there.
      if (damaged !== null && above.length === 0) throw damaged;
      // The room may change while the halves are read: retention takes what lies below, or messages come between a head
      // that was below the place and the place. Halves that do not join any more are no page; the upper one alone is.
      const [newestBelow, oldestAbove] = [below[0]?.seq, above[0]?.seq];
      const join = newestBelow === undefined || oldestAbove === undefined || newestBelow + 1 === oldestAbove;
      const records = join ? [...below.reverse(), ...above] : above;
      const isAll = (records[0]?.seq ?? 0) <= room.first && (records.at(-1)?.seq ?? 0) >= room.head;
      return { records, more: records.length > 0 && !isAll };
    }
    const records = await this.#history.page(room, down((wanted.before ?? room.head + 1) - 1, itemsMax));
    records.reverse();
    return { records, more: (records[0]?.seq ?? room.first) > room.first };
  }

  async #lookUp(caller: Caller, frame: ClientFrameOf<"lookup">): Promise<ServerFrame> {
    const room = this.readable(caller, frame.room);
    const head = room.head;
    const from = frame.from ?? caller.user;
    const place = { t: "ok", of: "lookup", id: frame.id, room: frame.room, cid: frame.cid } as const;
    // Stored once and removed since: a repeat is told the same seq, so whoever asks must not hear that it was never there.
    const removed = this.#state.seqInWindow(room.nameBytes, utf8(from), utf8(frame.cid));
    if (removed > 0 && removed < room.first) {
      return { ...place, seq: seq(removed), head: seq(head), first: seq(room.first) };
    }
    const found = await this.#find(room, from, frame.cid);
    // As it is after the search: what retention took meanwhile was not found either.
    const first = seq(room.first);
    if (found === null) return { ...place, seq: null, head: seq(head), first };
    const { ts, epoch, kind, ref, body } = messageOf(found);
    const said = { ts, epoch, kind, ...(ref === undefined ? {} : { ref }), body };
    return { ...place, seq: seq(found.seq), head: seq(Math.max(head, found.seq)), first, ...said };
  }

  /** A message by its id, or null when it is not stored. */
  async #find(room: Room, from: UserName, cid: Cid): Promise<RecordRef | null> {
    const fromBytes = utf8(from);
    const cidBytes = utf8(cid);
    const inWindow = this.#state.seqInWindow(room.nameBytes, fromBytes, cidBytes);
    if (inWindow >= room.first) return this.#history.message(room, inWindow);
    return this.#history.find(room, fromBytes, cidBytes, room.first, room.head);
  }

  async #read(caller: Caller, frame: ClientFrameOf<"read">): Promise<ServerFrame> {
    const room = this.readable(caller, frame.room);
    // Another server may have shown this user more than is applied here: a mark is cut only to what is committed.
    if (frame.seq > room.head && this.#hasOthers) await this.#driver.read();
    await this.#readMarks.mark(room, caller.user, caller.userBytes, Math.min(frame.seq, room.head));
    return { t: "ok", of: "done", id: frame.id };
  }

  async #rooms(caller: Caller, frame: ClientFrameOf<"rooms">): Promise<ServerFrame> {
    return { t: "ok", of: "rooms", id: frame.id, rooms: this.memberships.roomsOf(caller.user) };
  }
}

/** The message that a record holds, as clients see it. */
export function messageOf({ bytes, offset }: RecordRef): Message {
  const text = (which: number): string => {
    const start = textStart(bytes, offset, which);
    return textOf(bytes, start, start + textLength(bytes, offset, which));
  };
  const ref = recordRef(bytes, offset);
  const start = bodyStart(bytes, offset);
  const kind = text(kindText);
  return {
    seq: recordSeq(bytes, offset) as Seq,
    from: text(fromText) as UserName,
    cid: text(cidText) as Cid,
    ts: recordTs(bytes, offset) as Message["ts"],
    epoch: recordEpoch(bytes, offset) as Message["epoch"],
    kind: kind === "" ? "text" : kind,
    ...(ref === 0 ? {} : { ref: ref as Seq }),
    body: textOf(bytes, start, start + recordBodyLength(bytes, offset)),
  };
}
