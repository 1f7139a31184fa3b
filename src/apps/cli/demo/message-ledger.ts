/** What a server or a person was given of the room. */
export interface SeenMessage {
  readonly seq: number;
  readonly from: string;
  readonly cid: string;
  readonly body: string;
}

/** What must be equal, and what must be nothing. */
export interface LedgerCount {
  /** Messages that were said. */
  readonly said: number;
  /** Said, and without an answer yet. */
  readonly onTheirWay: number;
  /** Of the messages that had been acknowledged when the count began: all, those that a quorum of servers has shown since, those that everybody was given. */
  readonly acknowledged: number;
  readonly stored: number;
  readonly delivered: number;
  /** Acknowledged, and a server that has come beyond its place does not have it there. */
  readonly lost: number;
  /** The same id at a second place. */
  readonly twice: number;
  /** Given to somebody, or shown by a server, out of the order of its numbers, or other than what was said or shown elsewhere. */
  readonly disordered: number;
}

interface Entry {
  /** Null: whoever said it is none of the demonstration's people, and what it says is not looked at. */
  readonly body: string | null;
  seq: number | null;
  /** The how manieth that was acknowledged; 0: none yet. */
  acknowledged: number;
  isStored: boolean;
  readonly servers: Set<string>;
  readonly readers: Set<string>;
}

/**
 * The books of the demonstration: what people said, what they were told was stored, what servers show when they are asked,
 * and what people were given. Nothing is believed twice: each side is noted from where it comes, and compared.
 */
export class MessageLedger {
  readonly #servers: number;
  readonly #readers: readonly string[];
  /** By sender and id: all that is not settled. */
  readonly #open = new Map<string, Entry>();
  /** Which message stands where, as the first server or person that had it there has shown. */
  readonly #places = new Map<number, string>();
  /** The last number that each server has shown, and each person was given. */
  readonly #seen = new Map<string, number>();
  #said = 0;
  #refused = 0;
  #acknowledged = 0;
  /** Acknowledged, stored by all and delivered to all: forgotten but for this number. */
  #settled = 0;
  #settledThrough = 0;
  #lost = 0;
  #twice = 0;
  #disordered = 0;

  constructor(options: { readonly servers: number; readonly readers: readonly string[] }) {
    this.#servers = options.servers;
    this.#readers = options.readers;
  }

  /** Somebody says something. */
  says(from: string, cid: string, body: string): void {
    this.#said++;
    this.#open.set(keyOf(from, cid), opened(body));
  }

  /** It is certain that it is not stored and will not be. */
  refused(from: string, cid: string): void {
    if (this.#open.delete(keyOf(from, cid))) this.#refused++;
  }

  /** Its sender was told that it is stored, at this place. */
  acknowledges(from: string, cid: string, seq: number): void {
    const entry = this.#open.get(keyOf(from, cid));
    if (entry === undefined) return;
    if (entry.seq !== null && entry.seq !== seq) this.#disordered++;
    entry.seq = seq;
    entry.acknowledged = ++this.#acknowledged;
    const there = this.#places.get(seq);
    if (there === undefined) this.#places.set(seq, keyOf(from, cid));
    else if (there !== keyOf(from, cid)) this.#lost++;
  }

  /** A person was given this. */
  gives(reader: string, message: SeenMessage): void {
    this.#note(`reader ${reader}`, message)?.readers.add(reader);
    this.#settle();
  }

  /** A server shows this, when it is asked for what stands behind what it has shown before. */
  shows(server: string, message: SeenMessage): void {
    const entry = this.#note(`server ${server}`, message);
    entry?.servers.add(server);
    if (entry !== undefined && entry.servers.size * 2 > this.#servers) entry.isStored = true;
    this.#settle();
  }

  /** Behind which number a server is to be asked. */
  shownBy(server: string): number {
    return this.#seen.get(`server ${server}`) ?? 0;
  }

  /** How many were acknowledged so far: to be counted up to there once everybody has been asked. */
  mark(): number {
    return this.#acknowledged;
  }

  /** Of the messages that were acknowledged before `mark`. */
  count(mark: number): LedgerCount {
    let stored = this.#settled;
    let delivered = this.#settled;
    for (const entry of this.#open.values()) {
      if (entry.acknowledged === 0 || entry.acknowledged > mark) continue;
      if (entry.isStored) stored++;
      if (entry.readers.size === this.#readers.length) delivered++;
    }
    return {
      said: this.#said,
      onTheirWay: this.#said - this.#refused - this.#acknowledged,
      acknowledged: mark,
      stored: Math.min(stored, mark),
      delivered: Math.min(delivered, mark),
      lost: this.#lost,
      twice: this.#twice,
      disordered: this.#disordered,
    };
  }

  #note(who: string, { seq, from, cid, body }: SeenMessage): Entry | undefined {
    const last = this.#seen.get(who) ?? 0;
    if (seq !== last + 1) this.#disordered++;
    if (seq > last) this.#seen.set(who, seq);
    const key = keyOf(from, cid);
    const there = this.#places.get(seq);
    if (there === undefined) this.#places.set(seq, key);
    else if (there !== key) {
      if (this.#open.get(there)?.acknowledged === 0) this.#disordered++;
      else this.#lost++;
    }
    let entry = this.#open.get(key);
    if (entry === undefined) {
      if (this.#readers.includes(from)) {
        // Everybody has had it, and it is forgotten: it comes once more.
        this.#twice++;
        return undefined;
      }
      entry = opened(null);
      this.#open.set(key, entry);
    }
    if (entry.seq !== null && entry.seq !== seq) this.#twice++;
    if (entry.body !== null && entry.body !== body) this.#disordered++;
    entry.seq ??= seq;
    return entry;
  }

  /** What all have is not kept, in the order of its places. */
  #settle(): void {
    for (;;) {
      const seq = this.#settledThrough + 1;
      const key = this.#places.get(seq);
      const entry = key === undefined ? undefined : this.#open.get(key);
      if (key === undefined || entry === undefined) return;
      if (entry.acknowledged === 0 && entry.body !== null) return;
      if (entry.servers.size < this.#servers || entry.readers.size < this.#readers.length) return;
      this.#open.delete(key);
      this.#places.delete(seq);
      if (entry.body !== null) this.#settled++;
      this.#settledThrough = seq;
    }
  }
}

const opened = (body: string | null): Entry => ({
  body,
  seq: null,
  acknowledged: 0,
  isStored: false,
  servers: new Set(),
  readers: new Set(),
});

const keyOf = (from: string, cid: string): string => `${from} ${cid}`;
