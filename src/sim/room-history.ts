import type { AnomalyList } from "./anomaly.ts";

/** What identifies a message and what it says; what a sender decides. */
export interface MessageContent {
  readonly room: string;
  readonly from: string;
  readonly cid: string;
  readonly kind: string;
  /** 0: none. */
  readonly ref: number;
  readonly body: string;
}

/** A message as a reader is given it. */
export interface SeenMessage extends MessageContent {
  readonly seq: number;
  readonly ts: number;
  readonly epoch: number;
}

/** One call of `send`. Several may be of one message: repeats, or another body under the same cid. */
export interface Send {
  readonly client: string;
  readonly value: number;
  /** Place among everything that was recorded. */
  readonly invokedAt: number;
  /** Highest place acknowledged in the room when the call was made. */
  readonly floor: number;
  /** Whether the client promised to keep the order of its sends. */
  readonly ordered: boolean;
  readonly prev: string | null;
  outcome: "open" | "acknowledged" | "refused" | "unknown";
  conflict: boolean;
}

/** Everything known of one message id. */
export interface Known {
  readonly from: string;
  readonly cid: string;
  readonly sends: Send[];
  /** Its place as readers saw it; 0 while nobody has. */
  seenSeq: number;
  acknowledged: { readonly seq: number; readonly ts: number; readonly epoch: number; readonly at: number } | null;
  /** It stood where retention may have removed it, and was stored anew: what was said of the former one holds no longer. */
  wasForgotten: boolean;
}

interface Entry {
  readonly known: Known | null;
  readonly name: string;
  readonly ts: number;
  readonly epoch: number;
  readonly value: number;
  readonly isEmpty: boolean;
}

/** A reader who was given everything that was there at the end. */
export interface FinishedReader {
  readonly name: string;
  /** Where it began: everything above is its due. */
  readonly after: number;
  /** The last place it was given. */
  readonly position: number;
}

/** A reader who was carried from one place to another without the places between. */
interface Jump {
  readonly reader: string;
  readonly from: number;
  readonly to: number;
}

/**
 * What clients know of one room: which messages were sent, which places were acknowledged, what was read where.
 * Memory and time grow with the number of messages, whatever the number of readers.
 */
export class RoomHistory {
  readonly room: string;
  readonly #found: AnomalyList;
  readonly #byId = new Map<string, Known>();
  readonly #byCid = new Map<string, number>();
  readonly #log = new Map<number, Entry>();
  readonly #acknowledged = new Map<number, Known>();
  readonly #erasable = new Set<number>();
  readonly #jumps: Jump[] = [];
  readonly #finished: FinishedReader[] = [];
  #highestHead = 0;
  #highestHeadOf = "";
  /** Places below this one may be missing: retention was allowed to remove them. */
  removableBelow = 1;
  /** The highest place acknowledged so far. */
  floor = 0;

  constructor(room: string, found: AnomalyList) {
    this.room = room;
    this.#found = found;
  }

  known(from: string, cid: string): Known | undefined {
    return this.#byId.get(idOf(from, cid));
  }

  sent(
    content: MessageContent,
    send: Omit<Send, "value" | "floor" | "outcome" | "conflict">,
  ): { known: Known; send: Send } {
    const id = idOf(content.from, content.cid);
    let known = this.#byId.get(id);
    if (known === undefined) {
      known = { from: content.from, cid: content.cid, sends: [], seenSeq: 0, acknowledged: null, wasForgotten: false };
      this.#byId.set(id, known);
      this.#byCid.set(content.cid, (this.#byCid.get(content.cid) ?? 0) + 1);
    }
    const full: Send = { ...send, value: valueOf(content), floor: this.floor, outcome: "open", conflict: false };
    known.sends.push(full);
    return { known, send: full };
  }

  acknowledge(
    known: Known,
    send: Send,
    answer: { seq: number; ts: number; epoch: number; dup: boolean; at: number },
  ): void {
    const { seq, ts, epoch, dup, at } = answer;
    const before = known.acknowledged;
    const name = `${known.from}/${known.cid}`;
    if (!isPlace(seq)) {
      this.#add("not dense", `${name} was acknowledged at ${seq}`);
      return;
    }
    // What retention may have removed guards its id no longer: it may have been stored anew.
    if (before !== null && (before.seq >= this.removableBelow || before.seq === seq)) {
      if (before.seq !== seq || before.ts !== ts) {
        this.#add("repeat disagrees", `${name}: first seq ${before.seq} ts ${before.ts}, then seq ${seq} ts ${ts}`);
      }
      if (!dup && send.invokedAt > before.at) this.#add("repeat not marked", `${name} at ${seq}`);
      return;
    }
    if (before !== null) known.wasForgotten = true;
    known.acknowledged = { seq, ts, epoch, at };
    const other = this.#acknowledged.get(seq);
    if (other !== undefined) {
      this.#add("inconsistent offsets", `${seq} was acknowledged to ${other.from}/${other.cid} and to ${name}`);
    } else {
      this.#acknowledged.set(seq, known);
    }
    this.floor = Math.max(this.floor, seq);
  }

  /** Somebody, `reader`, was given this message. */
  see(message: SeenMessage, reader: string): void {
    const { seq } = message;
    if (!isPlace(seq)) {
      this.#add("not dense", `${reader} was given ${message.from}/${message.cid} at ${seq}`);
      return;
    }
    const value = valueOf(message);
    const entry = this.#log.get(seq);
    const name = `${message.from}/${message.cid}`;
    if (entry !== undefined) {
      const sameBody = entry.value === value || (this.#erasable.has(seq) && (message.body === "" || entry.isEmpty));
      if (entry.name === name && entry.ts === message.ts && entry.epoch === message.epoch && sameBody) return;
      this.#add(
        "inconsistent offsets",
        `${seq} is ${described(entry)}; ${reader} was given ${name} ts ${message.ts} epoch ${message.epoch}${sameBody ? "" : " with another content"}`,
      );
      return;
    }
    const known = this.#byId.get(idOf(message.from, message.cid)) ?? null;
    this.#log.set(seq, { known, name, ts: message.ts, epoch: message.epoch, value, isEmpty: message.body === "" });
    // Servers write messages of their own; only they may use these kinds.
    if (message.kind.startsWith("sys.")) return;
    if (known === null) {
      if (this.#byCid.has(message.cid)) this.#add("altered", `${seq}: ${message.cid} was not sent by ${message.from}`);
      else this.#add("unexpected", `${reader} was given ${name} at ${seq}, which nobody had sent`);
      return;
    }
    if (!known.sends.some((send) => send.value === value) && !(this.#erasable.has(seq) && message.body === "")) {
      this.#add("altered", `${reader} was given ${name} at ${seq} with a content it was not sent with`);
    }
    if (known.seenSeq >= this.removableBelow)
      this.#add("duplicate", `${name} stands at ${known.seenSeq} and at ${seq}`);
    else {
      if (known.seenSeq !== 0) known.wasForgotten = true;
      known.seenSeq = seq;
    }
  }

  jumped(jump: Jump): void {
    this.#jumps.push(jump);
  }

  /** Somebody, `whose`, was told that the room begins at `first`. */
  begins(first: number, whose: string): void {
    if (first > this.removableBelow) {
      this.#add(
        "false gap",
        `${whose} was told that the room begins at ${first}; nothing from ${this.removableBelow} on may be missing`,
      );
    }
  }

  head(head: number, whose: string): void {
    if (head <= this.#highestHead) return;
    this.#highestHead = head;
    this.#highestHeadOf = whose;
  }

  erasable(seq: number): void {
    this.#erasable.add(seq);
  }

  readerFinished(reader: FinishedReader): void {
    this.#finished.push(reader);
  }

  /** The checks that need the whole history. Call once. */
  finish(): void {
    const places = [...new Set([...this.#log.keys(), ...this.#acknowledged.keys()])].sort((one, other) => one - other);
    this.#checkOrderOfTime(places);
    this.#checkJumps();
    for (const known of this.#byId.values()) this.#checkMessage(known);
    this.#checkSenders();
    this.#checkReaders(places);
  }

  #checkOrderOfTime(places: readonly number[]): void {
    let before: { seq: number; ts: number; epoch: number } | null = null;
    for (const seq of places) {
      const acknowledged = this.#acknowledged.get(seq)?.acknowledged;
      // One that was removed and stored anew has the time of its new place; of the former one nothing is known any more.
      const entry = this.#log.get(seq) ?? (acknowledged?.seq === seq ? acknowledged : undefined);
      if (entry === undefined) continue;
      if (before !== null && entry.ts < before.ts) {
        this.#add("decreasing ts", `${before.seq} has ts ${before.ts}, ${seq} has ${entry.ts}`);
      }
      if (before !== null && entry.epoch < before.epoch) {
        this.#add("decreasing epoch", `${before.seq} has epoch ${before.epoch}, ${seq} has ${entry.epoch}`);
      }
      before = { seq, ts: entry.ts, epoch: entry.epoch };
    }
  }

  /** Whether a jump hid messages or the places themselves are missing shows only when all that was read is known. */
  #checkJumps(): void {
    for (const { reader, from, to } of this.#jumps) {
      let hidden = 0;
      // Nobody needs more than one witness, and a broken server may jump by 2^48.
      for (let seq = from + 1; seq < to && seq <= from + 10_000 && hidden === 0; seq++) {
        if (this.#log.has(seq) || this.#acknowledged.has(seq)) hidden = seq;
      }
      const words = `${reader} was carried from ${from} to ${to}`;
      if (hidden > 0) this.#add("poll skip", `${words}; ${hidden} exists`);
      else this.#add("not dense", `${words}; nothing is known to be between`);
    }
  }

  #checkMessage(known: Known): void {
    const name = `${known.from}/${known.cid}`;
    for (const send of known.sends) {
      if (send.conflict && !known.sends.some((other) => other.value !== send.value)) {
        this.#add("false conflict", name);
        break;
      }
    }
    const place = placeOf(known);
    if (place === 0) return;
    const entry = this.#log.get(known.seenSeq);
    const ack = known.acknowledged;
    const places = ack === null || known.seenSeq === 0 ? [place] : [known.seenSeq, ack.seq];
    if (Math.max(...places) !== Math.min(...places) && Math.min(...places) < this.removableBelow) {
      known.wasForgotten = true;
    }
    // Nothing more is said of one that was stored twice: which of its sends is where is not to be told any more.
    if (known.wasForgotten) return;
    if (entry !== undefined && ack !== null) {
      if (ack.seq !== known.seenSeq || ack.ts !== entry.ts || ack.epoch !== entry.epoch) {
        this.#add(
          "acknowledgement disagrees",
          `${name} was acknowledged at ${ack.seq} ts ${ack.ts} epoch ${ack.epoch} and stands at ${known.seenSeq} ts ${entry.ts} epoch ${entry.epoch}`,
        );
      }
    }
    this.#checkContents(known, entry ?? null);
    const eligible = this.#eligible(known);
    if (eligible.length === 0) {
      // A conflict is with whatever has the id now: what had it before may be removed.
      const mayBeAnother = place < this.removableBelow && known.sends.some(({ conflict }) => conflict);
      if (entry !== undefined && !mayBeAnother)
        this.#add("aborted read", `${name} stands at ${place}, and every send of it was refused`);
      return;
    }
    const earliest = eligible[0]!;
    if (place <= earliest.floor) {
      this.#add("real-time order", `${name} stands at ${place}; ${earliest.floor} was acknowledged before it was sent`);
    }
    this.#checkChain(known, eligible);
  }

  /** One id holds one content: who was acknowledged with another was told something false. */
  #checkContents(known: Known, entry: Entry | null): void {
    if (known.sends.length < 2 || (entry !== null && this.#erasable.has(known.seenSeq))) return;
    const acknowledged = known.sends.filter((send) => send.outcome === "acknowledged");
    const stored = entry?.value ?? acknowledged[0]?.value;
    if (acknowledged.some((send) => send.value !== stored)) this.#add("missed conflict", `${known.from}/${known.cid}`);
  }

  #checkChain(known: Known, eligible: readonly Send[]): void {
    const [send] = eligible;
    if (send === undefined || eligible.length > 1 || send.prev === null) return;
    const prev = this.known(known.from, send.prev);
    const prevPlace = prev === undefined ? 0 : placeOf(prev);
    // What was removed may have been read by nobody.
    if (prevPlace === 0 && (this.removableBelow > 1 || this.#finished.length === 0)) return;
    const place = placeOf(known);
    if (prevPlace === 0 || prevPlace > place) {
      this.#add(
        "broken chain",
        `${known.from}/${known.cid} stands at ${place}, its predecessor ${send.prev} ${prevPlace === 0 ? "nowhere" : `at ${prevPlace}`}`,
      );
    }
  }

  /** The sends that may have put this message where it is: not refused, of this content, begun before the first acknowledgement. */
  #eligible(known: Known): Send[] {
    const entry = this.#log.get(known.seenSeq);
    const until = known.acknowledged?.at ?? Infinity;
    // A content that nobody sent, or that was erased, tells nothing about which send it was.
    const value =
      entry !== undefined &&
      !this.#erasable.has(known.seenSeq) &&
      known.sends.some((send) => send.value === entry.value)
        ? entry.value
        : null;
    return known.sends.filter(
      (send) => send.outcome !== "refused" && send.invokedAt < until && (value === null || send.value === value),
    );
  }

  /**
   * The messages of one client in the order of their places must be explained by ever later sends. A message sent
   * several times may take any of its sends that count; the earliest that fits leaves the most room for the rest.
   */
  #checkSenders(): void {
    const stored = [...this.#byId.values()].filter((known) => placeOf(known) !== 0 && !known.wasForgotten);
    stored.sort((one, other) => placeOf(one) - placeOf(other));
    const lastOfClient = new Map<string, { at: number; known: Known }>();
    for (const known of stored) {
      const eligible = this.#eligible(known);
      const [first] = eligible;
      if (first === undefined || eligible.some((send) => send.client !== first.client || !send.ordered)) continue;
      const last = lastOfClient.get(first.client);
      // It may have been stored before, removed by retention, and stored anew where nobody remembered it.
      if (first.floor + 1 < this.removableBelow) continue;
      const chosen = last === undefined ? first : eligible.find((send) => send.invokedAt > last.at);
      if (chosen === undefined) {
        this.#add(
          "nonmonotonic send",
          `${first.client} sent ${known.cid} before ${last!.known.cid}; they stand at ${placeOf(known)} and ${placeOf(last!.known)}`,
        );
        continue;
      }
      lastOfClient.set(first.client, { at: chosen.invokedAt, known });
    }
  }

  #checkReaders(places: readonly number[]): void {
    if (this.#finished.length === 0) return;
    const begun = Math.min(...this.#finished.map(({ after }) => after));
    const reached = Math.max(...this.#finished.map(({ position }) => position));
    let lowestSeen = Infinity;
    let highestSeen = 0;
    for (const seq of this.#log.keys()) {
      lowestSeen = Math.min(lowestSeen, seq);
      highestSeen = Math.max(highestSeen, seq);
    }
    const highest = places.at(-1) ?? 0;
    if (this.#highestHead > Math.max(highest, reached)) {
      this.#add(
        "phantom head",
        `${this.#highestHeadOf} named head ${this.#highestHead}; the room ends at ${Math.max(highest, reached)}`,
      );
    }
    for (const [seq, known] of this.#acknowledged) {
      if (known.seenSeq !== 0 || seq < this.removableBelow || seq <= begun) continue;
      const where = seq < lowestSeen && highestSeen > 0 ? "prefix" : seq > highestSeen ? "postfix" : "middle";
      this.#add(`lost write ${where}`, `${known.from}/${known.cid} was acknowledged at ${seq} and read by nobody`);
    }
    for (const reader of this.#finished) {
      if (reader.position >= highestSeen) continue;
      for (let at = places.length - 1; at >= 0 && places[at]! > reader.position; at--) {
        const entry = this.#log.get(places[at]!);
        if (entry === undefined) continue;
        if (entry.known !== null && entry.known.acknowledged !== null)
          this.#add("unseen", `${entry.name} at ${places[at]} was not given to ${reader.name}`);
        else if (places[at]! > reached)
          this.#add("dirty read", `${entry.name} was read at ${places[at]}; the room ends at ${reached}`);
      }
    }
  }

  #add(...[name, detail]: [Parameters<AnomalyList["add"]>[0], string]): void {
    this.#found.add(name, this.room, detail);
  }
}

function placeOf(known: Known): number {
  return known.seenSeq !== 0 ? known.seenSeq : (known.acknowledged?.seq ?? 0);
}

function idOf(from: string, cid: string): string {
  return `${from}\n${cid}`;
}

function described(entry: Entry): string {
  return `${entry.name} ts ${entry.ts} epoch ${entry.epoch}`;
}

function isPlace(seq: number): boolean {
  return Number.isSafeInteger(seq) && seq >= 1;
}

/** A 53-bit fingerprint of what a message says: two FNV-1a lanes over kind, ref and body. */
function valueOf(content: MessageContent): number {
  let one = 0x811c9dc5;
  let other = 0x01000193 ^ content.ref;
  for (const text of [content.kind, content.body]) {
    one = Math.imul(one ^ text.length, 0x01000193);
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      one = Math.imul(one ^ code, 0x01000193);
      other = Math.imul(other ^ (code + at), 0x85ebca6b);
      other ^= other >>> 13;
    }
  }
  return (one >>> 0) * 0x20_0000 + ((other >>> 0) & 0x1f_ffff);
}
