import type { Millis } from "../base/units.ts";

/** Entries whose times are kept, the newest; a power of two. An hour of a quiet chat, seconds of a full load. */
const entriesKept = 4_096;
const mask = entriesKept - 1;

/** Over how long rates and latencies are told. */
const windowMs = 5_000;

/** What this server knows of one entry's way. Monotonic milliseconds; null: it did not happen here, or not yet. */
export interface EntryTimes {
  readonly index: number;
  /** The first command of its batch came from a client of this server. */
  readonly sent: Millis | null;
  /** It was put into this server's log. */
  readonly appended: Millis;
  /** This server's disk has it. */
  readonly flushed: Millis | null;
  /** A quorum's disks have it, as this server learnt, and it is applied here. */
  readonly committed: Millis | null;
  /** It was handed to this server's readers. */
  readonly delivered: Millis | null;
  readonly messages: number;
}

/** How fast a server is of late. Rates are per second. */
export interface Pace {
  readonly messagesPerSecond: number;
  readonly entriesPerSecond: number;
  readonly deliveriesPerSecond: number;
  /** From putting entries into this server's log to having them on its disk; null: nothing was written of late. */
  readonly flushMs: { readonly p50: number; readonly p99: number; readonly max: number } | null;
}

/**
 * When the newest entries went which step of their way here. A ring of numbers: an entry, which holds a batch of messages,
 * costs a few writes, a message costs nothing, and nothing is allocated.
 *
 * 1. what is told of an entry is of the entry that has its place in the log now
 * 2. what was overwritten is answered as unknown, never as another entry's
 */
export class RecentEntries {
  readonly #index = new Float64Array(entriesKept);
  readonly #sent = new Float64Array(entriesKept);
  readonly #appended = new Float64Array(entriesKept);
  readonly #flushed = new Float64Array(entriesKept);
  readonly #committed = new Float64Array(entriesKept);
  readonly #delivered = new Float64Array(entriesKept);
  /** Where its messages stand in memory: in the part behind this entry, from this number on. */
  readonly #partFrom = new Float64Array(entriesKept);
  readonly #first = new Uint32Array(entriesKept);
  readonly #messages = new Uint32Array(entriesKept);
  /** What had been handed to readers, all together, when it was. */
  readonly #handed = new Float64Array(entriesKept);
  #last = 0;
  #lastFlushed = 0;
  #lastDelivered = 0;
  readonly #startedAt: number;
  /** Messages that were applied since the start. */
  stored = 0;

  constructor(now: Millis) {
    this.#startedAt = now;
  }

  /** An entry was put into the log: whatever stood there or behind is gone. */
  appended(index: number, now: Millis): void {
    const at = index & mask;
    this.#index[at] = index;
    this.#sent[at] = 0;
    this.#appended[at] = now;
    this.#flushed[at] = 0;
    this.#committed[at] = 0;
    this.#delivered[at] = 0;
    this.#messages[at] = 0;
    this.#last = index;
    if (this.#lastFlushed >= index) this.#lastFlushed = index - 1;
  }

  /** The disk has everything up to this one. */
  flushed(through: number, now: Millis): void {
    const to = Math.min(through, this.#last);
    for (let index = Math.max(this.#lastFlushed + 1, to - mask); index <= to; index++) {
      if (this.#index[index & mask] === index) this.#flushed[index & mask] = now;
    }
    if (to > this.#lastFlushed) this.#lastFlushed = to;
  }

  /**
   * It was applied: it has brought so many messages, the first of them number `first` of the part of the tail behind
   * `partFrom`. `sent`: when the first command of its batch came to this server; 0: it came to another one.
   */
  applied(index: number, partFrom: number, first: number, messages: number, sent: number): void {
    this.stored += messages;
    const at = index & mask;
    if (this.#index[at] !== index) return;
    this.#partFrom[at] = partFrom;
    this.#first[at] = first;
    this.#messages[at] = messages;
    this.#sent[at] = sent;
  }

  /** Entries in (after, through] were committed. */
  committed(after: number, through: number, now: Millis): void {
    for (let index = Math.max(after + 1, through - mask); index <= through; index++) {
      if (this.#index[index & mask] === index) this.#committed[index & mask] = now;
    }
  }

  /** Everything up to this one was handed to whoever reads here; `handed`: messages handed to readers so far. */
  delivered(through: number, handed: number, now: Millis): void {
    for (let index = Math.max(this.#lastDelivered + 1, through - mask); index <= through; index++) {
      const at = index & mask;
      if (this.#index[at] !== index) continue;
      this.#delivered[at] = now;
      this.#handed[at] = handed;
    }
    if (through > this.#lastDelivered) this.#lastDelivered = through;
  }

  /** The entry whose messages hold the one of this number in this part of the tail; null: it is not known any more. */
  holding(partFrom: number, number: number): EntryTimes | null {
    for (let index = this.#last; index > this.#last - entriesKept && index > 0; index--) {
      const at = index & mask;
      if (this.#index[at] !== index || this.#messages[at] === 0 || this.#partFrom[at] !== partFrom) continue;
      if (this.#first[at]! <= number && number < this.#first[at]! + this.#messages[at]!) return this.#timesAt(at);
    }
    return null;
  }

  /** The entry at this place of the log; null: it is not known any more. */
  of(index: number): EntryTimes | null {
    return this.#index[index & mask] === index ? this.#timesAt(index & mask) : null;
  }

  #timesAt(at: number): EntryTimes {
    const time = (value: number): Millis | null => (value === 0 ? null : (value as Millis));
    return {
      index: this.#index[at]!,
      sent: time(this.#sent[at]!),
      appended: this.#appended[at]! as Millis,
      flushed: time(this.#flushed[at]!),
      committed: time(this.#committed[at]!),
      delivered: time(this.#delivered[at]!),
      messages: this.#messages[at]!,
    };
  }

  /** How fast this server is, over the last five seconds, or as far back as entries are kept. */
  pace(now: Millis): Pace {
    const since = Math.max(this.#startedAt, now - windowMs);
    const flushes: number[] = [];
    let messages = 0;
    let entries = 0;
    let handedFirst: number | null = null;
    let handedLast = 0;
    let from = since;
    for (let index = this.#last; index > 0; index--) {
      const at = index & mask;
      // Overwritten: there were more than are kept, and rates are those of the time that is left.
      if (this.#index[at] !== index) {
        from = Math.max(from, this.#appended[(index + 1) & mask]!);
        break;
      }
      if (this.#appended[at]! < since) break;
      if (this.#flushed[at] !== 0) flushes.push(this.#flushed[at]! - this.#appended[at]!);
      if (this.#committed[at] !== 0) {
        entries++;
        messages += this.#messages[at]!;
      }
      if (this.#delivered[at] !== 0) {
        handedLast = Math.max(handedLast, this.#handed[at]!);
        handedFirst = this.#handed[at]!;
      }
    }
    const seconds = Math.max(0.001, (now - from) / 1_000);
    const perSecond = (count: number): number => Math.round((count / seconds) * 10) / 10;
    flushes.sort((one, other) => one - other);
    const quantile = (share: number): number => rounded(flushes[Math.floor((flushes.length - 1) * share)]!);
    return {
      messagesPerSecond: perSecond(messages),
      entriesPerSecond: perSecond(entries),
      deliveriesPerSecond: perSecond(handedFirst === null ? 0 : handedLast - handedFirst),
      flushMs: flushes.length === 0 ? null : { p50: quantile(0.5), p99: quantile(0.99), max: rounded(flushes.at(-1)!) },
    };
  }
}

const rounded = (ms: number): number => Math.round(ms * 100) / 100;
