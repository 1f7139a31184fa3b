import type { Seq, UserName } from "../../base/ids.ts";
import type { Message } from "../../protocol/schema.ts";

/** What later messages of a room made of an earlier one. A new object whenever something changed. */
export interface Amendment {
  /** The text it has now, or null while it is the first one. */
  readonly body: string | null;
  readonly deletedBy: UserName | null;
  readonly reactions: readonly Reaction[];
}

export interface Reaction {
  readonly symbol: string;
  readonly users: readonly UserName[];
}

interface Record {
  editSeq: number;
  body: string | null;
  deletedBy: UserName | null;
  /** By symbol and user: the newest word on it. */
  readonly reactions: Map<string, { seq: number; symbol: string; user: UserName; on: boolean }>;
  view: Amendment | null;
}

const messagesMax = 5_000;
const reactionsMax = 500;
/** A reaction is a symbol; what is longer is cut for showing. */
const symbolLengthMax = 32;

const amending: ReadonlySet<string> = new Set(["edit", "delete", "react", "unreact"]);

/** Whether this message changes another one instead of standing for itself. */
export const isAmending = (message: { readonly kind: string; readonly ref?: Seq | undefined }): boolean =>
  message.ref !== undefined && amending.has(message.kind);

/**
 * Edits, deletions and reactions of one room. The server has checked who may do what; here they are only put together.
 *
 * 1. Messages may come in any order and any number of times: the one with the highest `seq` counts.
 * 2. At most 5,000 messages have changes. Beyond, those of the oldest are forgotten, and `isComplete` says so.
 */
export class Amendments {
  readonly #records = new Map<number, Record>();
  #forgottenUpTo = 0;

  add(message: Message): void {
    const { ref, seq } = message;
    if (ref === undefined || seq === null || !isAmending(message)) return;
    const record = this.#recordOf(ref);
    record.view = null;
    switch (message.kind) {
      case "edit":
        if (seq <= record.editSeq) return;
        record.editSeq = seq;
        record.body = message.body;
        return;
      case "delete":
        record.deletedBy ??= message.from;
        return;
      default:
        react(record, message, seq);
    }
  }

  of(seq: number): Amendment | null {
    const record = this.#records.get(seq);
    return record === undefined ? null : (record.view ??= viewOf(record));
  }

  /** Whether everything that was ever read about this message is still known. */
  isComplete(seq: number): boolean {
    return seq > this.#forgottenUpTo;
  }

  clear(): void {
    this.#records.clear();
    this.#forgottenUpTo = 0;
  }

  #recordOf(ref: number): Record {
    const known = this.#records.get(ref);
    if (known !== undefined) return known;
    if (this.#records.size >= messagesMax) this.#forgetOldest();
    const record: Record = { editSeq: 0, body: null, deletedBy: null, reactions: new Map(), view: null };
    this.#records.set(ref, record);
    return record;
  }

  // A tenth at once, so that sorting does not come with every message.
  #forgetOldest(): void {
    const oldest = [...this.#records.keys()].sort((a, b) => a - b).slice(0, messagesMax / 10);
    for (const ref of oldest) this.#records.delete(ref);
    this.#forgottenUpTo = Math.max(this.#forgottenUpTo, oldest.at(-1) ?? 0);
  }
}

function react(record: Record, message: Message, seq: number): void {
  const symbol = message.body.slice(0, symbolLengthMax);
  const key = `${symbol}\n${message.from}`;
  const known = record.reactions.get(key);
  if (known === undefined && record.reactions.size >= reactionsMax) return;
  if (known !== undefined && known.seq >= seq) return;
  record.reactions.set(key, { seq, symbol, user: message.from, on: message.kind === "react" });
}

function viewOf(record: Record): Amendment {
  const bySymbol = new Map<string, UserName[]>();
  for (const { symbol, user, on } of record.reactions.values()) {
    if (!on) continue;
    const users = bySymbol.get(symbol);
    if (users === undefined) bySymbol.set(symbol, [user]);
    else users.push(user);
  }
  const reactions = [...bySymbol].map(([symbol, users]) => ({ symbol, users }));
  return { body: record.body, deletedBy: record.deletedBy, reactions };
}
