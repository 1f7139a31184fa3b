import { AssertionError } from "node:assert";
import type { ServerFrame } from "../../src/protocol/schema.ts";
import type { Answer } from "./server-life.ts";

export interface Sent {
  readonly from: string;
  readonly room: string;
  readonly to?: string | undefined;
  readonly cid: string;
  readonly body: string;
  readonly prev?: string | undefined;
}

interface Item {
  readonly seq: number;
  readonly from: string;
  readonly cid: string;
  readonly ts: number;
  readonly epoch: number;
  readonly body: string;
}

/** What of a message is known for good: an acknowledgement does not tell body and sender, the sender knows them. */
type Known = Pick<Item, "seq" | "from" | "cid" | "ts" | "epoch">;

/**
 * What the clients of a story sent and were told, over all lives of the server. Whatever was acknowledged, pushed or
 * read once is promised: same place, same time, same words.
 */
export class Ledger {
  /** While true, an error as an answer is a failure of the story. */
  strict = true;
  /** What retention may have taken: seqs below the room's first are not asked for. */
  mayTrim = false;
  /** Codes of refusals, counted. */
  readonly refusals = new Map<string, number>();
  /** In the order in which it was first sent. */
  readonly #sent = new Map<string, Sent>();
  readonly #known = new Map<string, Map<number, Known>>();
  /** The seq of each message of which one is known. */
  readonly #seqs = new Map<string, number>();
  /** Messages of which every attempt was refused for certain. */
  readonly #definite = new Set<string>();
  /** Where rooms begin, as last read. */
  readonly #firsts = new Map<string, number>();
  readonly #belongs = new Map<string, Map<string, number>>();

  copy(): Ledger {
    const copy = new Ledger();
    copy.strict = this.strict;
    copy.mayTrim = this.mayTrim;
    for (const [key, sent] of this.#sent) copy.#sent.set(key, sent);
    for (const [key, seq] of this.#seqs) copy.#seqs.set(key, seq);
    for (const [room, known] of this.#known) copy.#known.set(room, new Map(known));
    for (const key of this.#definite) copy.#definite.add(key);
    for (const [room, first] of this.#firsts) copy.#firsts.set(room, first);
    for (const [user, rooms] of this.#belongs) copy.#belongs.set(user, new Map(rooms));
    return copy;
  }

  /** All that a later check depends on. */
  fingerprint(): string {
    const known = [...this.#known].map(([room, messages]) => [room, [...messages.values()]]);
    const belongs = [...this.#belongs].map(([user, rooms]) => [user, [...rooms]]);
    const { strict, mayTrim } = this;
    return JSON.stringify([
      strict,
      mayTrim,
      [...this.#sent.values()],
      known,
      [...this.#definite],
      [...this.#firsts],
      belongs,
    ]);
  }

  sending(from: string, message: { room?: string; to?: string; cid: string; body: string; prev?: string }): Sent {
    const { to, cid, body, prev } = message;
    const room = message.room ?? `@${[from, to!].sort().join(",")}`;
    const key = keyOf({ room, from, cid });
    const before = this.#sent.get(key);
    if (before !== undefined) {
      this.#definite.delete(key);
      return before;
    }
    const sent: Sent = { from, room, to, cid, body, prev };
    this.#sent.set(key, sent);
    return sent;
  }

  answered(sent: Sent, answer: Answer): void {
    if (answer.t === "err") {
      this.refused(answer);
      if (answer["definite"] === true && this.#seqOf(sent) === undefined) this.#definite.add(keyOf(sent));
      return;
    }
    hold(
      answer["of"] === "send" && answer["room"] === sent.room && answer["cid"] === sent.cid,
      () => `the answer to ${sent.cid} is ${JSON.stringify(answer)}`,
    );
    this.#know(sent.room, { ...sent, ...(answer as unknown as Pick<Item, "seq" | "ts" | "epoch">) });
    if (sent.to !== undefined) {
      this.#belong(sent.from, sent.room, 0);
      this.#belong(sent.to, sent.room, 0);
    }
  }

  resent(sent: Sent, answer: Answer): void {
    const before = this.#seqOf(sent);
    this.#definite.delete(keyOf(sent));
    const isRight = answer.t === "ok" && answer["dup"] === (before !== undefined);
    hold(
      isRight && (before === undefined || answer["seq"] === before),
      () =>
        `${sent.from} sends ${sent.cid}, stored as ${before ?? "nothing"}, to ${sent.room} again: ${JSON.stringify(answer)}`,
    );
    this.answered(sent, answer);
  }

  refused(answer: Answer): void {
    const code = answer["code"] as string;
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
    hold(!this.strict && codesOfTrouble.includes(code), () => `refused: ${JSON.stringify(answer)}`);
  }

  joined(user: string, room: string): void {
    this.#belong(user, room, 0);
  }

  /** A mark reaches no further than the room. */
  marked(user: string, room: string, seq: number): void {
    if (this.#belongs.get(user)?.has(room) !== true) return;
    this.#belong(user, room, Math.min(seq, Math.max(0, ...this.knownIn(room))));
  }

  #belong(user: string, room: string, read: number): void {
    const rooms = this.#belongs.get(user) ?? new Map<string, number>();
    this.#belongs.set(user, rooms);
    rooms.set(room, Math.max(rooms.get(room) ?? 0, read));
  }

  /** What was pushed to clients. */
  notice(frames: readonly ServerFrame[]): void {
    for (const frame of frames) {
      if (frame.t !== "msg") continue;
      const sent = this.#sent.get(keyOf(frame));
      hold(sent?.body === frame.body, () => `pushed and never sent: ${JSON.stringify(frame)}`);
      const { seq, from, cid, ts, epoch } = frame;
      if (seq !== null) this.#know(frame.room, { seq, from, cid, ts, epoch });
    }
  }

  #know(room: string, { seq, from, cid, ts, epoch }: Known): void {
    const known = this.#known.get(room) ?? new Map<number, Known>();
    this.#known.set(room, known);
    const before = known.get(seq);
    const now = { seq, from, cid, ts, epoch };
    const key = keyOf({ room, from, cid });
    if (before === undefined) {
      known.set(seq, now);
      if (!this.#seqs.has(key)) this.#seqs.set(key, seq);
    } else hold(isSame(before, now), () => `message ${seq} of ${room} was ${text(before)} and is ${text(now)}`);
    hold(!this.#definite.has(key), () => `${cid} was refused for certain, and is stored`);
  }

  #seqOf(sent: Sent): number | undefined {
    return this.#seqs.get(keyOf(sent));
  }

  /** A room as its reader finds it. */
  checkRoom(room: string, found: { first: number; head: number; items: readonly Item[] }): void {
    const { first, head, items } = found;
    const firstBefore = this.mayTrim ? (this.#firsts.get(room) ?? 1) : 1;
    hold(this.mayTrim ? first >= firstBefore : first === 1, () => `${room} begins at ${first}, after ${firstBefore}`);
    this.#firsts.set(room, first);
    hold(items.length === Math.max(0, head - first + 1), () => `${room} has ${items.length} of ${first} to ${head}`);
    for (const { seq, cid } of this.#known.get(room)?.values() ?? []) {
      hold(head >= seq, () => `message ${seq} of ${room}, ${cid}, was promised, and ${room} ends at ${head}`);
    }
    const left = new Map([...this.#sent].map(([key, sent], order) => [key, { sent, order }]));
    const lastOf = new Map<string, number>();
    let lastTs = 0;
    for (const [i, item] of items.entries()) {
      const { seq, from, cid, ts, body } = item;
      const key = keyOf({ room, from, cid });
      const { sent: origin, order } = left.get(key) ?? {};
      // Dense, in order, what was sent, and each once.
      hold(seq === first + i, () => `${room} has ${seq} in the place of ${first + i}`);
      hold(origin?.body === body, () => `message ${seq} of ${room}, ${cid} of ${from}, was not sent: ${body}`);
      left.delete(key);
      if (origin!.prev !== undefined || this.strict) {
        const last = lastOf.get(from) ?? -1;
        hold(order! > last, () => `${cid} of ${from} is out of its order in ${room}`);
        lastOf.set(from, order!);
      }
      hold(ts >= lastTs, () => `time goes back at message ${seq} of ${room}`);
      lastTs = ts;
      this.#know(room, item);
    }
  }

  /** One message of a room of which everything was read before. */
  checkItem(room: string, item: Item, { seq, isSameLine }: { seq: number; isSameLine: boolean }): void {
    const known = this.#known.get(room)?.get(seq);
    const isRight = !isSameLine || (known !== undefined && isSame(known, item));
    hold(item.seq === seq && isRight, () => `${room} ${seq}: ${text(item)}`);
    const sent = this.#sent.get(keyOf({ ...item, room }));
    hold(sent?.body === item.body, () => `message ${seq} of ${room} has other words: ${item.body}`);
  }

  /** How many messages are promised. */
  get promised(): number {
    let count = 0;
    for (const known of this.#known.values()) count += known.size;
    return count;
  }

  knownIn(room: string): number[] {
    return [...(this.#known.get(room)?.keys() ?? [])];
  }

  roomNames(): string[] {
    return [...new Set([...this.#sent.values()].map(({ room }) => room))];
  }

  users(): string[] {
    return [...this.#belongs.keys()];
  }

  belongsTo(user: string): { room: string; read: number }[] {
    return [...(this.#belongs.get(user) ?? [])].map(([room, read]) => ({ room, read }));
  }

  senders(): string[] {
    return [...new Set([...this.#sent.values()].map(({ from }) => from))];
  }

  /** What may be sent again: an id guards for as long as its message is kept. */
  guardedOf(user: string): Sent[] {
    const isKept = (sent: Sent): boolean => (this.#seqOf(sent) ?? Infinity) >= (this.#firsts.get(sent.room) ?? 1);
    return [...this.#sent.values()].filter((sent) => sent.from === user && isKept(sent));
  }
}

/** What a server in trouble may say. */
const codesOfTrouble: readonly string[] = ["storage_full", "unavailable", "overloaded", "order", "not_found"];

/** Like `expect`, which is far too slow for hundreds of thousands of small checks. */
export function hold(holds: boolean, say: () => string): void {
  if (!holds) throw new AssertionError({ message: say(), stackStartFn: hold });
}

function isSame(a: Known, b: Known): boolean {
  return a.seq === b.seq && a.from === b.from && a.cid === b.cid && a.ts === b.ts && a.epoch === b.epoch;
}

const text = (known: Known): string => JSON.stringify(known);

function keyOf({ room, from, cid }: { room: string; from: string; cid: string }): string {
  return `${room}\n${from}\n${cid}`;
}
