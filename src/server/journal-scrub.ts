import type { GroupId, LogIndex } from "../base/ids.ts";
import type { Damage } from "../storage/damage.ts";
import { JournalDamaged } from "../storage/journal/read-entries.ts";
import type { Journal } from "../storage/journal/journal.ts";

/** What is read at once. */
const pieceBytes = 64 * 1024;
/** Steps in which nothing is read between two passes: a small journal is not read over and over. */
const restSteps = 20;

/**
 * Reads the entries of the journal through, from the oldest to the newest and again, and finds those that are not any more
 * what was written. Nothing else would until a start needs them. Changes nothing.
 */
export class JournalScrub {
  readonly #journal: Journal;
  readonly #group: GroupId;
  #next = 0;
  #rests = 0;

  constructor(journal: Journal, group: GroupId) {
    this.#journal = journal;
    this.#group = group;
  }

  /** Reads a piece; answers what is damaged in it. Steps must not overlap. Rejects with the disk's fault; try again later. */
  async step(): Promise<Damage | null> {
    if (this.#rests > 0) {
      this.#rests--;
      return null;
    }
    const first = Math.max(this.#next, this.#journal.baseOf(this.#group) + 1) as LogIndex;
    try {
      const entries = await this.#journal.read(this.#group, first, Number.MAX_SAFE_INTEGER as LogIndex, pieceBytes);
      // At the end, or given back meanwhile: from the beginning again.
      this.#next = entries === null ? 0 : entries.at(-1)!.index + 1;
      if (entries === null) this.#rests = restSteps;
      return null;
    } catch (cause) {
      if (!(cause instanceof JournalDamaged)) throw cause;
      // What follows is looked at all the same.
      this.#next = first + 1;
      return cause.damage;
    }
  }
}
