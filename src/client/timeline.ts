import { backoffMs } from "./backoff.ts";
import { isDirect } from "../protocol/names.ts";
import type { ChatError } from "./outcome.ts";
import type { Line, RoomName, Seq } from "../base/ids.ts";
import type { Millis } from "../base/units.ts";
import type { ClientFrame, ServerFrameOf } from "../protocol/schema.ts";
import type { Gap, Reader, RoomMessage } from "./reader.ts";

/**
 * One room as this client knows it, and the one subscription that serves all its readers.
 *
 * 1. What is handed on from a subscription is `after + 1`, `after + 2` … or a gap in that place. What comes twice is
 *    dropped; what jumps is a violation, and nothing of it is handed on.
 * 2. Between asking for a subscription and its `ok` nothing of the room is handed on: it may belong to the one before.
 * 3. A subscription begins at the reader that is furthest behind of those that can take something.
 * 4. `seen` never goes back while the line is the same: what this client wrote or was given, on whatever server, it will
 *    find there again.
 */
type Stream =
  | { readonly state: "none" }
  | {
      readonly state: "asked";
      readonly id: number;
      readonly after: Seq | "latest";
      readonly at: Millis;
      /** Who was there when it was asked for: nobody else is told that it was refused. */
      readonly readers: ReadonlySet<Reader>;
    }
  | { readonly state: "live"; position: Seq };

const retryMs = 200;

export class Timeline {
  readonly room: RoomName;
  readonly readers = new Set<Reader>();
  line: Line | null = null;
  /** The newest `seq` known to exist. */
  head = 0 as Seq;
  /** The newest `seq` of what this client wrote or was given. */
  seen = 0 as Seq;
  /** Nobody could take the next message: the subscription should end until somebody can. */
  stalled = false;
  #stream: Stream = { state: "none" };
  /** How the last subscription was ended by the server, until it is known whether the room may be read again. */
  #end: Gap | null = null;
  #retryAt = 0;
  #failures = 0;

  constructor(room: RoomName) {
    this.room = room;
  }

  get idle(): boolean {
    return this.readers.size === 0 && this.#stream.state === "none";
  }

  /** Id of the subscription that is not answered yet, and when it was asked for. */
  get asked(): { readonly id: number; readonly at: Millis } | null {
    return this.#stream.state === "asked" ? this.#stream : null;
  }

  /** When it is worth asking again; `Infinity`: there is no reason to. */
  dueAt(now: Millis): number {
    return this.#stream.state === "none" && this.#retryAt > now && this.readers.size > 0 ? this.#retryAt : Infinity;
  }

  /** The frame that brings the subscription in line with the readers, or null when it is. */
  next(now: Millis, nextId: () => number): ClientFrame | null {
    const stream = this.#stream;
    let after: Seq | null = null;
    let waiting = false;
    for (const reader of this.readers) {
      reader.resume();
      if (reader.paused) continue;
      waiting = true;
      // Joining a stream that runs: what exists already is not new.
      if (reader.position === null && stream.state === "live")
        reader.position = Math.max(stream.position, this.head) as Seq;
      if (reader.position !== null && (after === null || reader.position < after)) after = reader.position;
    }
    if (!waiting) {
      if (stream.state === "none") return null;
      this.#stream = { state: "none" };
      return { t: "unsub", id: nextId(), room: this.room };
    }
    const enough =
      stream.state === "none"
        ? now < this.#retryAt
        : stream.state === "asked"
          ? after === null || (stream.after !== "latest" && stream.after <= after)
          : after === null || after >= stream.position;
    if (enough) return null;
    const id = nextId();
    this.#stream = { state: "asked", id, after: after ?? "latest", at: now, readers: new Set(this.readers) };
    return {
      t: "sub",
      id,
      room: this.room,
      after: after ?? "latest",
      line: after === null ? undefined : (this.line ?? undefined),
      atLeast: this.seen > (after ?? 0) ? this.seen : undefined,
    };
  }

  /** `ok` to a subscription. */
  subscribed(ok: ServerFrameOf<"okSub">): void {
    const stream = this.#stream;
    if (stream.state !== "asked" || stream.id !== ok.id) return;
    this.#failures = 0;
    this.#end = null;
    if (this.line !== null && this.line !== ok.line) {
      this.reset(ok.line);
      return;
    }
    this.learn(ok.line, ok.head);
    const position = stream.after === "latest" ? ok.head : stream.after;
    this.#stream = { state: "live", position };
    // Who wants what comes from now on does not get what another one still has to catch up with.
    for (const reader of this.readers) reader.position ??= Math.max(position, ok.head) as Seq;
  }

  /** `err` to a subscription. Answers how often it failed so far, or null when this is not its id or it is over. */
  failed(id: number, fault: ChatError, retryable: boolean, now: Millis): number | null {
    const stream = this.#stream;
    if (stream.state !== "asked" || stream.id !== id) return null;
    this.#stream = { state: "none" };
    if (!retryable) {
      // Who came since may be allowed by now: for them it is asked once more.
      for (const reader of stream.readers) {
        if (!this.readers.delete(reader)) continue;
        if (this.#end !== null) reader.end(this.room, this.#end);
        reader.fail(fault);
      }
      this.#end = null;
      return null;
    }
    this.#failures++;
    this.#retryAt = now + backoffMs(fault.retryAfterMs, retryMs, this.#failures);
    return this.#failures;
  }

  /** Answers false when the server broke the promise of a subscription. */
  message(message: RoomMessage): boolean {
    const stream = this.#stream;
    if (stream.state !== "live" || message.seq <= stream.position) return true;
    if (message.seq !== stream.position + 1) return false;
    stream.position = message.seq;
    this.saw(message.seq);
    this.stalled = true;
    for (const reader of this.readers) {
      reader.offer(message);
      if (!reader.paused) this.stalled = false;
    }
    return true;
  }

  /** Answers false when the server broke the promise of a subscription. */
  gap(gap: ServerFrameOf<"gap">): boolean {
    const line = gap.line ?? null;
    if (line !== null && this.line !== null && line !== this.line) {
      this.reset(line);
      return true;
    }
    const stream = this.#stream;
    const isEnd = (gap.reason === "removed" || gap.reason === "deleted") && !isDirect(this.room);
    if (gap.reason === "reset" || stream.state !== "live" || gap.to < stream.position + (isEnd ? 0 : 1)) return true;
    if (gap.from > stream.position + 1) return false;
    const { from, to, reason } = gap;
    if (isEnd) {
      // By now the user may have been let in again: asked for anew, it goes on where it was, or is refused.
      this.#stream = { state: "none" };
      this.#end = { from, to, reason, line };
      return true;
    }
    stream.position = to;
    for (const reader of this.readers) reader.offerGap(this.room, { from, to, reason, line });
    return true;
  }

  /** What any answer says about the room. Another line makes all positions void. */
  learn(line: Line, head: Seq): void {
    if (this.line !== null && this.line !== line) this.reset(line);
    this.line = line;
    if (head > this.head) this.head = head;
  }

  /** A message of this client is stored there. */
  wrote(line: Line, seq: Seq): void {
    this.learn(line, seq);
    this.saw(seq);
  }

  /** This client was given the message there. */
  saw(seq: Seq): void {
    if (seq > this.head) this.head = seq;
    if (seq > this.seen) this.seen = seq;
  }

  /** The room has another history: nothing known about it holds. */
  reset(line: Line | null): void {
    this.line = line;
    this.head = 0 as Seq;
    this.seen = 0 as Seq;
    this.#stream = { state: "none" };
    for (const reader of this.readers) reader.reset(this.room, line);
  }

  /** The subscription must be asked for again, from the readers' positions. */
  again(): void {
    this.#stream = { state: "none" };
  }

  /** The link is gone. */
  lost(): void {
    this.#stream = { state: "none" };
    this.#retryAt = 0;
  }
}
