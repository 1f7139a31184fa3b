import { assert } from "../base/assert.ts";
import type { Cid, RoomName } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { fraction } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import type { ServerFrameOf } from "../protocol/schema.ts";
import { backoffMs } from "./backoff.ts";
import { SendRefused, SendUnknown } from "./outcome.ts";
import { goesAlone, newEntry, notStored } from "./outbox-entry.ts";
import type { Lane, OutboxEntry } from "./outbox-entry.ts";
import type { AttemptError, Outcome, Stored } from "./outcome.ts";
import type { SavedSend } from "./ports.ts";
import { SendWindow } from "./send-window.ts";

export interface OutboxLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

/** How often a server may say that the preceding message is not there, before it is believed to be gone for good. */
const ordersMax = 3;
/** What a server answers that takes fewer at once than were sent. */
const hasTooMuch: ReadonlySet<string> = new Set(["overloaded", "rate_limited"]);
const retryMs = 100;
/** Lanes without an entry that are remembered for `prev` alone. */
const idleLanesMax = 1_000;

/** What a lookup found. Nothing but `seq` where the server says no more. */
export type FoundMessage = Pick<ServerFrameOf<"okLookup">, "seq" | "ts" | "epoch" | "kind" | "ref" | "body">;

const unknown = (cid: Cid, why: string): Outcome => ({ state: "unknown", error: new SendUnknown(cid, why) });

const refused = (error: SendRefused): Outcome => ({ state: "refused", error });

/** An id that came from elsewhere may be that of another message. */
const saysTheSame = (send: SavedSend, found: FoundMessage): boolean =>
  found.body === undefined ||
  (found.body === send.body && found.kind === (send.kind ?? "text") && (found.ref ?? null) === send.ref);

/**
 * What was given to `send` and has no outcome yet, one lane for each room.
 *
 * 1. A lane goes out in the order of `send`. After any attempt that must be made again, the lane waits for the answers
 *    that are still out and goes out again from its first entry (go-back-N); no later entry overtakes an earlier one.
 * 2. The cid, the body and `since` of an entry never change.
 * 3. `prev` names the entry before, or, where that was refused for good, the one before that.
 * 4. `refused` is said only when every attempt ended definite, or when the cid belongs to another body. After any other
 *    attempt a lookup can show that it is stored, and never that it will not be.
 * 5. No more is out than the server has shown to take (send-window.ts).
 * 6. entries <= messagesMax, and the bytes of their bodies <= bytesMax.
 */
export class Outbox {
  readonly #random: Random;
  readonly #limits: OutboxLimits;
  readonly #lanes = new Map<RoomName, Lane>();
  /** Lanes with entries. */
  readonly #active = new Set<Lane>();
  /** Attempts by their id, in the order in which they went out. */
  readonly #inFlight = new Map<number, OutboxEntry>();
  /** Id of the newest attempt. */
  #newest = 0;
  readonly #window = new SendWindow();
  #messages = 0;
  #bytes = 0;

  constructor(limits: OutboxLimits, random: Random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Entries without an outcome, and entries that were given up and are still being cleared up. */
  get size(): number {
    return this.#messages;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** All entries, lane by lane, in order. */
  *entries(): IterableIterator<OutboxEntry> {
    for (const lane of this.#active) yield* lane.entries;
  }

  /** The entry with this id that has no outcome yet, or null. */
  pending(room: RoomName, cid: Cid): OutboxEntry | null {
    const lane = this.#lanes.get(room);
    return lane?.entries.find((entry) => entry.send.cid === cid && entry.outcome === null) ?? null;
  }

  hasRoomFor(bytes: number): boolean {
    return this.#messages < this.#limits.messagesMax && this.#bytes + bytes <= this.#limits.bytesMax;
  }

  /** Queues a new message behind the others of its room: what it follows is known here, whatever `prev` says. */
  add(send: SavedSend, bytes: number, saving: boolean): OutboxEntry {
    const lane = this.#laneOf(send.room);
    const entry = this.#enter(lane, send, lane.last, bytes);
    entry.saving = saving;
    lane.entries.push(entry);
    lane.last = send.cid;
    return entry;
  }

  /**
   * Queues a message of an earlier life behind the others of that life and before all new ones. It may have been
   * attempted then. Only before anything was taken.
   */
  restore(send: SavedSend, bytes: number): OutboxEntry {
    const lane = this.#laneOf(send.room);
    assert(lane.next === 0, "restored after the start");
    const entry = this.#enter(lane, send, send.prev, bytes);
    entry.uncertain = true;
    const before = lane.entries[lane.restored - 1]?.send.cid ?? null;
    const follower = lane.entries[lane.restored];
    lane.entries.splice(lane.restored, 0, entry);
    lane.restored++;
    if (follower === undefined) lane.last = send.cid;
    else if (follower.prev === before) follower.prev = send.cid;
    return entry;
  }

  #enter(lane: Lane, send: SavedSend, prev: Cid | null, bytes: number): OutboxEntry {
    const entry = newEntry(send, prev, bytes, lane);
    this.#active.add(lane);
    this.#messages++;
    this.#bytes += bytes;
    return entry;
  }

  #laneOf(room: RoomName): Lane {
    let lane = this.#lanes.get(room);
    if (lane === undefined) {
      lane = {
        room,
        entries: [],
        next: 0,
        inFlight: 0,
        rewinding: false,
        blockedUntil: 0,
        wait: null,
        failures: 0,
        hasFailed: false,
        restored: 0,
        last: null,
      };
      this.#lanes.set(room, lane);
      if (this.#lanes.size > this.#active.size + idleLanesMax) this.#forgetIdleLane();
    }
    return lane;
  }

  #forgetIdleLane(): void {
    for (const [room, lane] of this.#lanes) {
      if (lane.entries.length > 0 || lane.last === null) continue;
      this.#lanes.delete(room);
      return;
    }
  }

  /**
   * Adds to `into` what may go out now, in order, and counts it as out: the caller writes every one of them, with the
   * id it finds in `request`. `budget` is in bytes of bodies; the last one may exceed it.
   */
  take(now: Millis, options: { inFlightMax: number; budget: number; nextId: () => number }, into: OutboxEntry[]): void {
    let budget = options.budget;
    const inFlightMax = this.#window.size(options.inFlightMax);
    for (const lane of this.#active) {
      if (this.#inFlight.size >= inFlightMax || budget <= 0) return;
      if (lane.rewinding || now < lane.blockedUntil) continue;
      while (lane.next < lane.entries.length && this.#inFlight.size < inFlightMax && budget > 0) {
        const entry = lane.entries[lane.next]!;
        if (entry.saving || (lane.next > 0 && (goesAlone(entry) || goesAlone(lane.entries[0]!)))) break;
        this.#newest = entry.request = options.nextId();
        entry.sentAt = now;
        entry.sentPrev = entry.prev;
        this.#inFlight.set(entry.request, entry);
        lane.next++;
        lane.inFlight++;
        budget -= entry.bytes + 256;
        into.push(entry);
      }
    }
  }

  /** The attempt that is out under this id. */
  attempt(request: number): OutboxEntry | null {
    return this.#inFlight.get(request) ?? null;
  }

  /** `ok` to a send. */
  stored(entry: OutboxEntry, stored: Stored): void {
    const lane = this.#answered(entry);
    lane.failures = 0;
    lane.wait = null;
    this.#window.stored();
    this.#end(entry, { state: "stored", stored });
    this.#rewound(lane);
  }

  /**
   * `ok` to a lookup. Finding nothing proves nothing: an attempt may still lie unread in a connection that broke, or wait
   * in the server's log.
   */
  lookedUp(entry: OutboxEntry, found: FoundMessage): void {
    const { room, cid } = entry.send;
    if (found.seq !== null && saysTheSame(entry.send, found)) {
      const { seq, ts = null, epoch = null } = found;
      this.stored(entry, { room, cid, seq, ts, dup: true, epoch, line: null, leader: null, node: null });
      return;
    }
    const lane = this.#answered(entry);
    this.#end(
      entry,
      found.seq === null
        ? unknown(cid, `${entry.refusal?.message ?? "given up"}; an earlier attempt may still be stored`)
        : refused(new SendRefused(cid, "id_conflict", "this cid belongs to another message")),
    );
    this.#rewound(lane);
  }

  /**
   * `err` to a send or a lookup. Afterwards the entry has an outcome, or waits for its next attempt. Answers how often
   * in a row its room had to wait.
   */
  failed(entry: OutboxEntry, error: AttemptError, now: Millis): number {
    if (hasTooMuch.has(error.code)) {
      this.#window.refused(entry.request, this.#newest, this.#inFlight.size);
    }
    const lane = this.#answered(entry);
    const { cid } = entry.send;
    if (entry.step === "lookup") {
      if (error.retryable) this.#wait(lane, error, now);
      else this.#end(entry, unknown(cid, `${error.message}; whether it is stored cannot be asked`));
    } else {
      if (!error.definite) entry.uncertain = true;
      if (error.code === "id_conflict" || (!entry.uncertain && (entry.abandoned || !error.retryable))) {
        this.#end(entry, refused(new SendRefused(cid, error.code, error.message)));
      } else if (entry.abandoned || !error.retryable) {
        entry.step = "lookup";
        if (!error.retryable) entry.refusal = error;
      } else if (error.code !== "order") {
        this.#wait(lane, error, now);
      } else if (lane.entries[0] === entry && entry.sentPrev === entry.prev) {
        // Everything before it is resolved. A server that lags may still be right; where it was lost, or removed by
        // retention, none ever will be. That is no trouble of the server's: it is asked again soon, whatever was before.
        entry.orders++;
        if (entry.orders >= ordersMax) entry.prev = null;
        else this.#block(lane, error, now, backoffMs(error.retryAfterMs, retryMs, entry.orders - 1), true);
      }
    }
    lane.rewinding = true;
    this.#rewound(lane);
    return lane.failures;
  }

  /** The link is gone, and with it the answers to all that was out, which it answers with. */
  lost(): readonly OutboxEntry[] {
    const out = [...this.#inFlight.values()];
    for (const entry of out) {
      if (entry.step === "send") {
        entry.uncertain = true;
        if (entry.abandoned) entry.step = "lookup";
      }
      entry.request = 0;
    }
    this.#inFlight.clear();
    this.#window.forget();
    for (const lane of this.#active) {
      lane.inFlight = 0;
      this.#rewound(lane, true);
    }
    return out;
  }

  /** The cluster is another one: no message of the earlier one is there to follow. */
  forgetPrevious(): void {
    for (const lane of this.#lanes.values()) {
      const first = lane.entries[0];
      if (first === undefined) lane.last = null;
      else first.prev = null;
    }
  }

  /**
   * The caller gives up. The outcome: refused when it was never attempted, or attempted and refused each time, with what
   * was said last; else unknown, and it keeps its place until it is known whether it was stored.
   */
  abandon(entry: OutboxEntry): void {
    assert(entry.outcome === null, "only what is queued can be given up");
    if (entry.request === 0 && !entry.uncertain) {
      this.#end(entry, refused(notStored(entry, "given up")));
      return;
    }
    entry.abandoned = true;
    if (entry.request === 0) entry.step = "lookup";
    entry.outcome = unknown(entry.send.cid, "given up while an attempt may have been stored");
  }

  /** What the client itself will not send: refused, or asked about first where an attempt may have been stored. */
  refuse(entry: OutboxEntry, code: string, message: string): void {
    assert(entry.request === 0, "its attempt is not answered");
    if (entry.uncertain) {
      entry.step = "lookup";
      entry.refusal = { code, message };
    } else this.#end(entry, refused(new SendRefused(entry.send.cid, code, message)));
  }

  /** When the attempt that has waited longest went out; `Infinity`: none is out. */
  oldestSentAt(): number {
    return this.#inFlight.values().next().value?.sentAt ?? Infinity;
  }

  /** When a lane that waits may go on; `Infinity`: none waits. */
  dueAt(now: Millis): number {
    let due = Infinity;
    for (const lane of this.#active) {
      if (!lane.rewinding && lane.blockedUntil > now) due = Math.min(due, lane.blockedUntil);
    }
    return due;
  }

  #answered(entry: OutboxEntry): Lane {
    const { lane } = entry;
    assert(this.#inFlight.delete(entry.request), "an answer to nothing");
    entry.request = 0;
    lane.inFlight--;
    return lane;
  }

  /** It leaves the outbox. */
  #end(entry: OutboxEntry, outcome: Outcome): void {
    const { lane } = entry;
    const { cid } = entry.send;
    const at = lane.entries.indexOf(entry);
    if (at === 0) lane.entries.shift();
    else lane.entries.splice(at, 1);
    if (outcome.state !== "stored") {
      // What follows is linked past it, or it would wait for ever.
      for (const other of lane.entries) if (other.prev === cid) other.prev = entry.prev;
      if (lane.last === cid) lane.last = entry.prev;
    }
    entry.outcome = outcome;
    if (at < lane.next) lane.next--;
    entry.gone = true;
    this.#messages--;
    this.#bytes -= entry.bytes;
    if (lane.entries.length === 0) {
      this.#active.delete(lane);
      lane.blockedUntil = 0;
      lane.wait = null;
      lane.failures = 0;
      lane.hasFailed = false;
      lane.rewinding = false;
    }
  }

  #wait(lane: Lane, error: AttemptError, now: Millis): void {
    // What one burst is told again and again is told once: a leader that dies with a thousand sends is one failure.
    const isFirst = !lane.hasFailed;
    lane.hasFailed = true;
    if (isFirst) lane.failures++;
    this.#block(lane, error, now, backoffMs(error.retryAfterMs, retryMs, Math.max(lane.failures - 1, 0)), isFirst);
  }

  #block(lane: Lane, error: AttemptError, now: Millis, asked: Millis, jitters: boolean): void {
    // Never sooner than the server asks, and not all clients at the same moment.
    const delay = asked + (jitters ? fraction(this.#random) * Math.max(asked / 2, 1) : 0);
    const retryAt = Math.max(lane.blockedUntil, now + delay) as Millis;
    lane.blockedUntil = retryAt;
    const { code, message, hint = null } = error;
    lane.wait = { code, message, hint, since: lane.wait?.code === code ? lane.wait.since : now, retryAt };
  }

  /** Once no answer is out any more, the lane starts again from its first entry. */
  #rewound(lane: Lane, rewind: boolean = lane.rewinding): void {
    if (!rewind || lane.inFlight > 0) return;
    lane.rewinding = false;
    lane.hasFailed = false;
    lane.next = 0;
  }
}
