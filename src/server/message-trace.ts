import type { Clock } from "../base/clock.ts";
import type { NodeName, RoomName } from "../base/ids.ts";
import { type Millis, millis } from "../base/units.ts";
import { textOf, utf8 } from "../protocol/utf8.ts";
import { commandLength } from "../rooms/commands.ts";
import { cidText, postType, recordEpoch, recordSeq, recordTs, textLength, textStart } from "../rooms/message-record.ts";
import type { Applier } from "./applier.ts";
import type { EntryTimes, RecentEntries } from "./entry-times.ts";
import type { History } from "./history.ts";
import type { MemoryLog } from "./memory-log.ts";
import type { Proposals } from "./proposals.ts";
import type { TailPart } from "./tail.ts";

/** Messages that are looked at in one turn: a millisecond or two. */
const messagesAtOnce = 10_000;
/** An id is its sender's own: others may have used the same one. */
const foundMax = 10;

/** One step of a message's way through a server, in the order in which they happen. */
export interface TraceStep {
  /**
   * `send`: a client of this server gave the first message of its batch. `append`: it is in this server's log. `flush`: on
   * this server's disk. `commit`: on the disks of a quorum, as this server learnt, and in its room. `deliver`: handed to
   * whoever reads the room here.
   */
  readonly step: "send" | "append" | "flush" | "commit" | "deliver";
  /** By this server's wall clock, in milliseconds with a fraction. */
  readonly at: number;
  /** Since the first step that is told. */
  readonly afterMs: number;
}

/** A message with this id, as far as this server knows where it is. */
export interface TracedMessage {
  readonly room: string;
  readonly from: string;
  /** `gathered`: it waits for somebody who orders; `in-log`: it waits for a quorum; `stored`: it is in its room. */
  readonly state: "gathered" | "in-log" | "stored";
  readonly seq: number | null;
  readonly ts: number | null;
  readonly epoch: number | null;
  /** Its entry in the log, and how many messages that holds; null when this is not known any more. */
  readonly entry: number | null;
  readonly messagesInEntry: number | null;
  /** Empty when the times of its entry are not kept any more. */
  readonly steps: readonly TraceStep[];
}

export interface MessageTrace {
  readonly cid: string;
  readonly node: NodeName;
  /** Newest first. */
  readonly messages: readonly TracedMessage[];
  /**
   * Messages in memory that were looked at. What was stored before, or sealed meanwhile, is found only where room and
   * sender are named.
   */
  readonly searched: number;
}

interface TraceSources {
  readonly node: NodeName;
  readonly clock: Clock;
  readonly memory: MemoryLog;
  readonly applier: Applier;
  readonly proposals: Proposals;
  readonly entries: RecentEntries;
  readonly history: History;
}

/**
 * "Where is my message?": looks for an id among what waits to be put in order, what waits for a quorum, and what memory
 * holds, newest first; and, where room and sender are named, in all that the room keeps. Costs those who ask, and nobody
 * else: nothing is kept per message for it.
 */
export async function traceMessage(
  sources: TraceSources,
  wanted: { readonly cid: string; readonly room: RoomName | null; readonly from: string | null },
): Promise<MessageTrace> {
  const search = new Search(sources, utf8(wanted.cid));
  search.pending();
  await search.memory();
  const { messages, searched } = search;
  if (messages.length === 0 && wanted.room !== null && wanted.from !== null) {
    const room = sources.applier.state.room(wanted.room);
    const record = room && (await sources.history.find(room, utf8(wanted.from), utf8(wanted.cid), 1, room.head));
    if (record) messages.push(search.stored(record.bytes, record.offset, null));
  }
  return { cid: wanted.cid, node: sources.node, messages, searched };
}

class Search {
  readonly messages: TracedMessage[] = [];
  searched = 0;
  readonly #sources: TraceSources;
  readonly #cid: Uint8Array;

  constructor(sources: TraceSources, cid: Uint8Array) {
    this.#sources = sources;
    this.#cid = cid;
  }

  /** What is not in its room yet. */
  pending(): void {
    const { proposals, applier } = this.#sources;
    for (const batch of proposals.unplaced()) {
      this.#commands(batch.bytes, batch.length, (bytes, offset) =>
        this.#message(bytes, offset, "gathered", {
          index: null,
          messages: null,
          times: [["send", millis(batch.since)]],
        }),
      );
    }
    for (const { entry, since } of applier.unapplied()) {
      const times = this.#sources.entries.of(entry.index);
      const { appended = null, flushed = null } = times ?? {};
      this.#commands(entry.payload, entry.payload.length, (bytes, offset) =>
        this.#message(bytes, offset, "in-log", {
          index: entry.index,
          messages: null,
          times: [
            ["send", since],
            ["append", appended],
            ["flush", flushed],
          ],
        }),
      );
    }
  }

  /** What the tail holds, newest first. */
  async memory(): Promise<void> {
    let left = messagesAtOnce;
    for (const part of this.#sources.memory.partsNewestFirst()) {
      // One that was let go while others had their turn has no messages any more: what it had is in a chunk now, and
      // found there when room and sender are named.
      for (
        let number = part.count - 1;
        number >= 0 && number < part.count && this.messages.length < foundMax;
        number--
      ) {
        this.#look(part, number);
        if (--left > 0) continue;
        left = messagesAtOnce;
        await new Promise<void>((resolve) => {
          this.#sources.clock.after(millis(0), resolve);
        });
      }
    }
  }

  stored(bytes: Uint8Array, offset: number, times: EntryTimes | null): TracedMessage {
    return this.#message(bytes, offset, "stored", {
      index: times?.index ?? null,
      messages: times?.messages ?? null,
      times:
        times === null
          ? []
          : [
              ["send", times.sent],
              ["append", times.appended],
              ["flush", times.flushed],
              ["commit", times.committed],
              ["deliver", times.delivered],
            ],
    });
  }

  #look(part: TailPart, number: number): void {
    const address = part.addressOf(number);
    const bytes = part.bytesAt(address);
    const offset = part.offsetOf(address);
    this.searched++;
    if (this.#isWanted(bytes, offset)) {
      this.messages.push(this.stored(bytes, offset, this.#sources.entries.holding(part.from, number)));
    }
  }

  #commands(bytes: Uint8Array, length: number, found: (bytes: Uint8Array, offset: number) => TracedMessage): void {
    for (let offset = 0; offset < length; offset += commandLength(bytes, offset)) {
      if (bytes[offset + 4] !== postType || !this.#isWanted(bytes, offset)) continue;
      this.messages.push(found(bytes, offset));
    }
  }

  #isWanted(bytes: Uint8Array, offset: number): boolean {
    const cid = this.#cid;
    if (textLength(bytes, offset, cidText) !== cid.length) return false;
    const start = textStart(bytes, offset, cidText);
    for (let at = 0; at < cid.length; at++) if (bytes[start + at] !== cid[at]) return false;
    return true;
  }

  #message(
    bytes: Uint8Array,
    offset: number,
    state: TracedMessage["state"],
    entry: {
      readonly index: number | null;
      readonly messages: number | null;
      readonly times: readonly (readonly [TraceStep["step"], Millis | null])[];
    },
  ): TracedMessage {
    const text = (which: number): string => {
      const start = textStart(bytes, offset, which);
      return textOf(bytes, start, start + textLength(bytes, offset, which));
    };
    const isStored = state === "stored";
    return {
      room: text(0),
      from: text(1),
      state,
      seq: isStored ? recordSeq(bytes, offset) : null,
      ts: isStored ? recordTs(bytes, offset) : null,
      epoch: isStored ? recordEpoch(bytes, offset) : null,
      entry: entry.index,
      messagesInEntry: entry.messages,
      steps: this.#steps(entry.times),
    };
  }

  #steps(times: readonly (readonly [TraceStep["step"], Millis | null])[]): TraceStep[] {
    const { clock } = this.#sources;
    const ago = clock.wall() - clock.now();
    const known = times.flatMap(([step, at]) => (at === null ? [] : [{ step, at }]));
    const first = known[0]?.at ?? 0;
    const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;
    return known.map(({ step, at }) => ({ step, at: rounded(at + ago), afterMs: rounded(at - first) }));
  }
}
