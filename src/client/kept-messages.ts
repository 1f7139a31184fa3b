import type { Cid, RoomName } from "../base/ids.ts";
import type { OutboxStore, SavedSend } from "./ports.ts";
import type { SentMessage } from "./sent-message.ts";

/** Of refused messages and of unknown ones, each. */
const keptMax = 200;

/**
 * Messages that ended without being stored, as far as anybody knows: refused, or unknown for good. They stay in the store,
 * over reloads, for their sender to look at. None of them is ever sent again.
 *
 * 1. the newest `keptMax` of each sort, in the order in which they ended
 * 2. what is dropped is gone from the store too
 */
export class KeptMessages {
  readonly #store: OutboxStore;
  readonly #note: (done: Promise<void>) => void;
  readonly #kept = { refused: new Set<SentMessage>(), unknown: new Set<SentMessage>() };

  /** `note` is given what the store does, and tells when it fails. */
  constructor(store: OutboxStore, note: (done: Promise<void>) => void) {
    this.#store = store;
    this.#note = note;
  }

  list(state: "refused" | "unknown"): readonly SentMessage[] {
    return [...this.#kept[state]];
  }

  /** It has just ended: saved, in place of what was saved of it before. */
  keep(sent: SentMessage, send: SavedSend): void {
    const { outcome } = sent;
    if (outcome === null || outcome.state === "stored") return;
    const { message } = outcome.error;
    this.#note(
      this.#store.save(
        outcome.state === "refused"
          ? { ...send, refusal: { code: outcome.error.code, message } }
          : { ...send, unknown: { message } },
      ),
    );
    this.restored(sent);
  }

  /** An earlier life left it. */
  restored(sent: SentMessage): void {
    const { outcome } = sent;
    if (outcome === null || outcome.state === "stored") return;
    const kept = this.#kept[outcome.state];
    kept.add(sent);
    const [oldest] = kept;
    if (kept.size > keptMax && oldest !== undefined) this.drop(oldest);
  }

  /** Nobody wants to see it any more. Answers whether it was kept. */
  drop(sent: SentMessage): boolean {
    const wasKept = this.#kept.refused.delete(sent) || this.#kept.unknown.delete(sent);
    // What is not removed comes back with the next life, and can be dropped then.
    if (wasKept) void this.#store.remove({ room: sent.room, cid: sent.cid }).catch(() => undefined);
    return wasKept;
  }

  /** A message is sent under this id: the place in the store is that one's now. */
  replaced(room: RoomName, cid: Cid): void {
    for (const kept of [this.#kept.refused, this.#kept.unknown]) {
      for (const sent of kept) if (sent.cid === cid && sent.room === room) kept.delete(sent);
    }
  }
}
