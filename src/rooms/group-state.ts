import { createHash } from "node:crypto";
import { assert, unreachable } from "../base/assert.ts";
import { type Entry, entryTypes } from "../base/entry.ts";
import type { ClusterId, GroupId, Line, LogIndex, Term } from "../base/ids.ts";
import { lobby } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import type { ApplySink } from "./apply-sink.ts";
import type { LiveChunk } from "./chunks.ts";
import { commandLength, commandType, commandTypes, isCommand } from "./commands.ts";
import { acknowledgeNotice, takeNotice } from "./notices.ts";
import { type OutcomeCode, outcomes } from "./outcome.ts";
import type { LookupNeeded, Standing } from "./posting.ts";
import type { Room } from "./room.ts";
import { decodeRewrite, decodeSeal } from "./seal.ts";
import {
  addressesMax,
  type Bounds,
  decodeSettings,
  initialBounds,
  type ServerAddress,
  type Setting,
} from "./setting.ts";
import { readSnapshot } from "./snapshot.ts";
import { joined } from "./snapshot-bytes.ts";
import { type CutStep, cutStep, StateCut } from "./state-cut.ts";
import { emptyParts, type GroupConfiguration, type StateParts } from "./state-parts.ts";
import type { User } from "./user.ts";

/** What is not sealed yet: the messages accepted in entries after `from`. */
export interface OpenChunk {
  readonly from: LogIndex;
  /** The day of its messages. */
  readonly day: Day;
  readonly messages: number;
  /** Bytes its records will take in the chunk, uncompressed. */
  readonly bytes: number;
}

const utf8 = new TextEncoder();

/**
 * What one group's rooms and users are at one point of its log. The same entries give the same state and the same
 * answers on every server, whatever its configuration, its clock and the order in which its memory was filled.
 *
 * 1. an entry is applied once, after the one before it: `appliedIndex` is part of the state and of its snapshot
 * 2. one command touches one room or one user
 * 3. ts and day never go back, whatever an entry says
 * 4. messages' bodies are not kept here
 */
export class GroupState {
  readonly #parts: StateParts;

  private constructor(parts: StateParts) {
    this.#parts = parts;
  }

  /**
   * The state before the first entry.
   *
   * `bounds` are the format's own and are left out; what an operator configures becomes a `bound` setting in the log. To
   * begin with a configuration's would apply an old log otherwise than it was applied before. Only who holds the whole
   * life of a log in hand, a test, may begin with others. `hashSeed` is this server's own and never part of the state:
   * with a random one nobody can choose names that collide.
   */
  static empty(options: { group: GroupId; cluster: ClusterId; bounds?: Bounds; hashSeed: number }): GroupState {
    const { group, cluster, bounds = initialBounds, hashSeed } = options;
    return new GroupState(emptyParts(group, cluster, bounds, hashSeed));
  }

  /** The state that `snapshot()` wrote. Throws a Fault for bytes that are no whole snapshot. */
  static restore(snapshot: Uint8Array, options: { hashSeed: number }): GroupState {
    return new GroupState(
      readSnapshot(snapshot, (group, cluster, bounds) => emptyParts(group, cluster, bounds, options.hashSeed)),
    );
  }

  /** The state that stands in these parts, and goes on changing them. For this folder alone. */
  static over(parts: StateParts): GroupState {
    return new GroupState(parts);
  }

  get group(): GroupId {
    return this.#parts.group;
  }
  get cluster(): ClusterId {
    return this.#parts.all.cluster;
  }
  get bounds(): Bounds {
    return this.#parts.all.bounds;
  }
  get appliedIndex(): LogIndex {
    return this.#parts.appliedIndex;
  }
  get appliedTerm(): Term {
    return this.#parts.appliedTerm;
  }
  get lastTs(): Timestamp {
    return this.#parts.lastTs;
  }
  get lastDay(): Day {
    return this.#parts.lastDay;
  }
  /** The line of all rooms of this group. */
  get line(): Line {
    return this.#parts.all.line;
  }
  /** In which time zone the orderer reckons an entry's day. */
  get timeZone(): string {
    return this.#parts.timeZone;
  }
  /** How many days before `lastDay` are kept; 0 = for ever. */
  get retentionDays(): number {
    return this.#parts.retentionDays;
  }
  /** Who belongs to the group, as the last entry that said so; null: none has, and whoever founded the log is alone in it. */
  get configuration(): GroupConfiguration | null {
    return this.#parts.configuration;
  }
  /** Where servers were said to be reached; null: taken off. */
  get addresses(): ReadonlyMap<string, ServerAddress | null> {
    return this.#parts.addresses;
  }
  /** Where clients reach servers, as these said. */
  get clientAddresses(): ReadonlyMap<string, readonly string[]> {
    return this.#parts.clientAddresses;
  }
  get openChunk(): OpenChunk {
    const { chunks, lastDay } = this.#parts;
    return { from: chunks.openFrom as LogIndex, day: lastDay, messages: chunks.openMessages, bytes: chunks.openBytes };
  }
  /** Bytes in the open chunk; costs nothing, for asking after every entry whether to seal. */
  get openBytes(): number {
    return this.#parts.chunks.openBytes;
  }
  /** Number of the last sealed chunk; 0 before the first. */
  get lastChunk(): number {
    return this.#parts.chunks.last;
  }

  /**
   * Applies the next entry. `memory` holds the entry's payload in memory the caller keeps: seq, ts and epoch of accepted
   * posts are written into it. Asserts that the entry is the next one and that its payload is well-formed; both were
   * checked before it was proposed.
   */
  apply(entry: Entry, memory: Uint8Array, sink: ApplySink): void {
    const parts = this.#parts;
    assert(entry.index === parts.appliedIndex + 1, "an entry is applied out of its order");
    assert(entry.group === parts.group, "an entry of another group");
    const ts = entry.ts > parts.lastTs ? entry.ts : parts.lastTs;
    if (entry.day > parts.lastDay) {
      // The day that ends is the one its messages carry. Whether anybody proposed a seal at midnight changes nothing.
      parts.chunks.sealDay(parts.appliedIndex, parts.lastDay, ts, sink);
      parts.lastDay = entry.day;
    }
    parts.lastTs = ts;
    parts.appliedTerm = entry.term;
    switch (entry.type) {
      case entryTypes.noop:
        break;
      case entryTypes.configuration:
        parts.configuration = { index: entry.index, bytes: memory.slice() };
        break;
      case entryTypes.commands:
        this.#applyCommands(entry, memory, ts, sink);
        break;
      case entryTypes.seal: {
        const seal = decodeSeal(memory);
        assert(seal !== null, "an entry is no seal");
        parts.chunks.seal(seal, parts.appliedIndex, parts.lastDay, ts, sink);
        break;
      }
      case entryTypes.setting: {
        const settings = decodeSettings(memory);
        assert(settings !== null, "an entry is no setting");
        for (const setting of settings) this.#set(setting, sink);
        break;
      }
      case entryTypes.rewrite: {
        const rewrite = decodeRewrite(memory);
        assert(rewrite !== null, "an entry is no rewrite");
        parts.chunks.rewrite(rewrite, parts.all.rooms, sink);
        break;
      }
      default:
        unreachable(entry.type);
    }
    parts.appliedIndex = entry.index;
  }

  #applyCommands(entry: Entry, memory: Uint8Array, ts: Timestamp, sink: ApplySink): void {
    const { all, posting, membership } = this.#parts;
    let position = 0;
    for (let o = 0; o < memory.length; position++) {
      assert(isCommand(memory, o, memory.length), "an entry holds something that is no command");
      const type = commandType(memory, o);
      const length = commandLength(memory, o);
      if (type === commandTypes.post) posting.apply(memory, o, ts, entry.term, position, sink);
      else {
        let code: OutcomeCode = outcomes.done;
        if (type === commandTypes.notice) code = takeNotice(all, memory, o, entry.index, sink);
        else if (type === commandTypes.noticeAcknowledged) code = acknowledgeNotice(all, memory, o);
        else code = membership.apply(type, memory, o, sink);
        sink.outcome(position, code, 0, 0, 0);
      }
      o += length;
    }
  }

  #set(setting: Setting, sink: ApplySink): void {
    const { all, membership, posting } = this.#parts;
    switch (setting.kind) {
      case "founding": {
        const name = utf8.encode(lobby);
        if (all.findRoom(name, 0, name.length) === undefined) membership.open(name, false, null, sink);
        break;
      }
      case "timeZone":
        this.#parts.timeZone = setting.timeZone;
        break;
      case "retentionDays":
        this.#parts.retentionDays = setting.days;
        break;
      case "line":
        all.lineNumber = setting.number;
        break;
      case "bound":
        all.bounds = { ...all.bounds, [setting.bound]: setting.value };
        if (setting.bound === "idWindowEntries") posting.window.resize(setting.value);
        break;
      case "address": {
        const { addresses, clientAddresses } = this.#parts;
        if (addresses.has(setting.node) || addresses.size < addressesMax) addresses.set(setting.node, setting.address);
        // Whoever is taken off has no clients either.
        if (setting.address === null) clientAddresses.delete(setting.node);
        break;
      }
      case "clients": {
        const { clientAddresses } = this.#parts;
        const { node, urls } = setting;
        if (urls.length === 0) clientAddresses.delete(node);
        else if (clientAddresses.has(node) || clientAddresses.size < addressesMax) clientAddresses.set(node, urls);
        break;
      }
      default:
        unreachable(setting);
    }
    sink.changed({ type: "setting", setting });
  }

  /** The room of this name, if it exists. */
  room(name: string | Uint8Array): Room | undefined {
    const bytes = typeof name === "string" ? utf8.encode(name) : name;
    const room = this.#parts.all.findRoom(bytes, 0, bytes.length);
    return room?.exists === true ? room : undefined;
  }

  /** The room whose name stands in `b`, if it exists. Makes nothing. */
  roomAt(b: Uint8Array, start: number, length: number): Room | undefined {
    const room = this.#parts.all.findRoom(b, start, length);
    return room?.exists === true ? room : undefined;
  }

  /** The user of this name: one whom a room has told something. */
  user(name: string | Uint8Array): User | undefined {
    const bytes = typeof name === "string" ? utf8.encode(name) : name;
    return this.#parts.all.findUser(bytes, 0, bytes.length);
  }

  /** All rooms that exist, in no order. */
  *rooms(): IterableIterator<Room> {
    for (const room of this.#parts.all.rooms) if (room.exists) yield room;
  }

  /** All users, in no order. */
  users(): IterableIterator<User> {
    return this.#parts.all.users[Symbol.iterator]();
  }

  /** Rooms, also deleted ones, with notices that are not acknowledged: a new orderer proposes these again. */
  *outboxes(): IterableIterator<Room> {
    for (const room of this.#parts.all.rooms) if (room.outbox.size > 0) yield room;
  }

  /**
   * Rooms that could be given back, deleted ones included, also while they have notices that are not acknowledged: whoever
   * puts commands in order proposes it of those that nobody reads.
   */
  *idleRooms(): IterableIterator<Room> {
    for (const room of this.#parts.all.rooms) if (room.isIdle && !room.isClosed) yield room;
  }

  /** The same for the room of this name; undefined: it is none of those. */
  idleRoom(name: string): Room | undefined {
    const bytes = utf8.encode(name);
    const room = this.#parts.all.findRoom(bytes, 0, bytes.length);
    return room?.isIdle === true && !room.isClosed ? room : undefined;
  }

  /** A sealed chunk that some room still keeps something of. */
  chunk(chunk: number): LiveChunk | undefined {
    return this.#parts.chunks.live.get(chunk);
  }

  /** All of those, oldest first. */
  chunks(): IterableIterator<LiveChunk> {
    return this.#parts.chunks.live.values();
  }

  /**
   * What the orderer must look up beyond the id window before it proposes the record at `o`; null: nothing, which is
   * the usual case. It speaks of what is applied here: what was proposed and is not applied yet is the orderer's to know.
   */
  lookupNeeded(memory: Uint8Array, o: number): LookupNeeded | null {
    return this.#parts.posting.lookupNeeded(memory, o);
  }

  /** Where the message with the id of the record at `o` stands, when that is in the window; null: it is not. */
  standing(memory: Uint8Array, o: number): Standing | null {
    return this.#parts.posting.standing(memory, o);
  }

  /** The seq of the message with this id, when it is in the window; else 0. */
  seqInWindow(room: Uint8Array, from: Uint8Array, cid: Uint8Array): number {
    return this.#parts.posting.seqInWindow(room, from, cid);
  }

  /** Everything, in one canonical form: equal states give equal bytes (snapshot.ts). In one go. */
  snapshot(): Uint8Array {
    const cut = new StateCut(this.#parts, cutStep);
    cut.finish();
    return joined(cut.pages());
  }

  /**
   * The same bytes, of this moment, to be written in small steps while further entries are applied. Until it is finished
   * it costs whatever changes a copy. One at a time: a cut that is not finished yet is finished now.
   */
  cut(step: CutStep = cutStep): StateCut {
    const { all } = this.#parts;
    all.cut?.finish();
    all.cut = new StateCut(this.#parts, step);
    return all.cut;
  }

  /** SHA-256 of `snapshot()`, in hex: what servers compare at the same index. */
  hash(): string {
    return createHash("sha256").update(this.snapshot()).digest("hex");
  }
}
