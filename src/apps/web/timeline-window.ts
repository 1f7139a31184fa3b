import type { Seq } from "../../base/ids.ts";
import type { Gap } from "../../client/reader.ts";
import type { HistoryPage } from "../../client/room.ts";
import type { Message } from "../../protocol/schema.ts";
import { isAmending } from "./amendments.ts";

/** One line of the open room. `key` stays the same for as long as the line means the same. */
export type Row =
  | { readonly type: "message"; readonly key: string; readonly seq: number; readonly message: Message }
  | { readonly type: "gap"; readonly key: string; readonly from: number; readonly to: number; readonly reason: string };

/** A page of history tells where the room begins now, and not why: retention, an operator, or a room made anew. */
const notKept = "not_kept";

/** Rows in the page at a time. */
export const rowsMax = 400;
/** So many more may gather before the surplus is dropped, so that not every message drops one. */
export const rowsSlack = 40;

/**
 * The part of a room's order that is on the page: everything from `first` to `last`, without a hole.
 *
 * 1. Rows are in the order of `seq`; what cannot be given is a row too, so nothing is left out in silence.
 * 2. `last === head` exactly when the newest is shown; live messages are added only then.
 * 3. At most `rowsMax + rowsSlack` rows; what is dropped at one end can be loaded again.
 */
export class TimelineWindow {
  rows: readonly Row[] = [];
  /** Empty while `last` is below it. */
  first = 1;
  last = 0;
  /** The newest `seq` that this room is known to have. */
  head = 0;

  get isAtHead(): boolean {
    return this.last >= this.head;
  }

  get isAtStart(): boolean {
    return this.first <= 1;
  }

  clear(): void {
    this.rows = [];
    this.first = 1;
    this.last = 0;
    this.head = 0;
  }

  /** Begins anew with the newest page. */
  start(page: HistoryPage): void {
    this.last = page.items.at(-1)?.seq ?? page.head;
    this.first = this.last + 1;
    this.head = Math.max(page.head, this.last);
    this.rows = [];
    this.#prepend(page, this.first);
  }

  /** The page that ends just before `first`; answers whether something to see was added. */
  prepend(page: HistoryPage, before: number): boolean {
    if (before !== this.first) return false;
    const rows = this.rows.length;
    this.#prepend(page, before);
    const grown = this.rows.length > rows;
    if (this.rows.length > rowsMax) this.#dropNewest(rowsMax);
    return grown;
  }

  /** The page that begins just after `last`; answers whether something to see was added. */
  append(page: HistoryPage, after: number): boolean {
    if (after !== this.last) return false;
    const rows: Row[] = [];
    let next = after + 1;
    // Removed since: the page begins later than it was asked to.
    for (const message of page.items) {
      const seq = message.seq!;
      if (seq > next) rows.push(gapRow(next, seq - 1, next < page.first ? notKept : "unavailable"));
      if (!isAmending(message)) rows.push(messageRow(message, seq));
      next = seq + 1;
    }
    if (page.items.length === 0 && page.head > after) {
      rows.push(gapRow(next, page.head, page.first > page.head ? notKept : "unavailable"));
      next = page.head + 1;
    }
    this.last = next - 1;
    this.head = Math.max(this.head, page.head, this.last);
    this.rows = [...this.rows, ...rows];
    if (this.rows.length > rowsMax) this.#dropOldest(rowsMax);
    return rows.length > 0;
  }

  /**
   * A message of the live stream. `follows`: the reader stands at the end, so the oldest rows may go; otherwise the
   * newest are not shown once the window is full. Answers whether it was added to the window.
   */
  live(message: Message, follows: boolean): boolean {
    const seq = message.seq!;
    const attached = this.isAtHead && seq === this.last + 1;
    this.head = Math.max(this.head, seq);
    if (!attached || (!follows && this.rows.length >= rowsMax + rowsSlack)) return false;
    this.last = seq;
    if (isAmending(message)) return true;
    this.rows = [...this.rows, messageRow(message, seq)];
    if (follows && this.rows.length > rowsMax + rowsSlack) this.#dropOldest(rowsMax);
    return true;
  }

  /** A gap of the live stream. */
  liveGap(gap: Gap): void {
    const attached = this.isAtHead && gap.from <= this.last + 1;
    this.head = Math.max(this.head, gap.to);
    if (!attached || gap.to <= this.last) return;
    const from = this.last + 1;
    this.last = gap.to;
    this.rows = [...this.rows, gapRow(from, gap.to, gap.reason)];
  }

  #prepend(page: HistoryPage, before: number): void {
    const rows: Row[] = [];
    let next = before - 1;
    for (let i = page.items.length - 1; i >= 0; i--) {
      const message = page.items[i]!;
      const seq = message.seq!;
      if (seq < next) rows.push(gapRow(seq + 1, next, "unavailable"));
      if (!isAmending(message)) rows.push(messageRow(message, seq));
      next = seq - 1;
    }
    if (!page.more && next > 0) {
      // Below `first` nothing is kept; between there and the page nothing could be given.
      const kept = Math.min(page.first, next + 1);
      if (next >= kept) rows.push(gapRow(kept, next, "unavailable"));
      if (kept > 1) rows.push(gapRow(1, kept - 1, notKept));
      next = 0;
    }
    this.first = next + 1;
    rows.reverse();
    this.rows = [...rows, ...this.rows];
  }

  #dropOldest(keep: number): void {
    this.rows = this.rows.slice(-keep);
    this.first = startOf(this.rows[0]!);
  }

  #dropNewest(keep: number): void {
    this.rows = this.rows.slice(0, keep);
    const newest = this.rows.at(-1)!;
    this.last = newest.type === "message" ? newest.seq : newest.to;
  }
}

const startOf = (row: Row): number => (row.type === "message" ? row.seq : row.from);

const messageRow = (message: Message, seq: Seq | number): Row => ({ type: "message", key: `m${seq}`, seq, message });

const gapRow = (from: number, to: number, reason: string): Row => ({ type: "gap", key: `g${from}`, from, to, reason });
