import type { Entry } from "../../base/entry.ts";
import type { GroupId, LogIndex, Mark } from "../../base/ids.ts";
import type { GroupVote } from "./records.ts";

export interface JournalSettings {
  /** Size of one segment. */
  readonly segmentBytes: number;
  /** Bytes of records after which a batch takes no more; a single larger record gets a batch of its own. */
  readonly batchBytesMax: number;
  /**
   * A batch is written when its oldest record has waited this long, or when `flushAfterBytes` wait, whichever is first.
   * Both 0: as soon as the disk is free. A size alone is not allowed: the last messages of a burst would wait for ever.
   */
  readonly flushAfterMs: number;
  readonly flushAfterBytes: number;
  /** Idle time after which a mark certifies the last batch. */
  readonly markAfterMs: number;
  /** Spare segments kept for reuse; others are removed. */
  readonly spareSegments: number;
}

export interface JournalStats {
  /** Live segments, the one being written included. */
  readonly segments: number;
  readonly spareSegments: number;
  /** Bytes of live segments on disk. */
  readonly bytes: number;
  readonly batches: number;
  readonly bytesWritten: number;
  readonly marks: number;
  readonly rolls: number;
  readonly stagedBytes: number;
  /** The disk is full and the next segment cannot be made: nothing is flushed until there is space. */
  readonly waitsForSpace: boolean;
  /** The last failure of work in the background, such as filling the reserve. */
  readonly backgroundFault: Error | null;
}

/**
 * One append-only log of one server, shared by all its groups. Appends are synchronous and gather in a batch; one batch
 * is one write, and one write is in flight; what arrives meanwhile is the next batch.
 *
 * 1. flushed <= appended; both only grow
 * 2. `onFlushed(mark)` comes after everything up to `mark` would survive power loss, once for each settled batch
 * 3. After `onFailed`, which comes at most once, nothing is reported flushed and nothing is written
 */
export interface Journal {
  /** The highest durable mark. */
  readonly flushed: Mark;
  readonly appended: Mark;
  /** Something appended is on its way to the disk: `onFlushed` will come. */
  readonly busy: boolean;
  readonly stagedBytes: number;
  /**
   * Appends an entry: the one after the group's last, or one that replaces the last ones. The payload is copied. The
   * mark is reported by `onFlushed` when the entry is durable.
   */
  appendEntry(entry: Entry): Mark;
  /** Records who the group's server voted for. Terms never go back; within a term a vote is given once. */
  appendVote(group: GroupId, vote: GroupVote): Mark;
  /** Writes what is staged as soon as the disk is free, whatever the settings. */
  flushNow(): void;
  /**
   * Entries of the group up to and including `through` are durable elsewhere and need not be kept. Above the last entry
   * (a snapshot was installed) the log goes on at `through` + 1.
   */
  release(group: GroupId, through: LogIndex): void;
  /**
   * Released entries may stay readable as long as the journal has no more than so many bytes: for followers that need
   * them still. What is beyond goes at the next release, or now when it is less than before. 0 at first.
   */
  keepReleased(bytesMax: number): void;
  /**
   * Whether going on to the next segment may take what is kept for a full disk: at first, for what a start writes, and when
   * nothing is taken from clients any more, for what makes room. Not for more than half a segment that waits already.
   */
  useReserve(allowed: boolean): void;
  /** The entries of the group behind this index can be read. Grows as segments are given back. */
  baseOf(group: GroupId): LogIndex;
  /**
   * Entries from `first` to `last`, flushed or not, at most `bytesMax` of payload but at least one; those that the log
   * has when the promise settles. Null when `first` is not in the log any more. Rejects with `JournalDamaged` when it
   * is and can't be read, and with a `DiskFault`.
   */
  read(group: GroupId, first: LogIndex, last: LogIndex, bytesMax: number): Promise<readonly Entry[] | null>;
  /** The 8-byte chain of the group's log at an entry that is not released, or at the last released one; null if unknown. */
  chainAt(group: GroupId, index: LogIndex): Uint8Array | null;
  stats(): JournalStats;
  /** Flushes, writes the mark of a clean stop, ends the work in the background. The disk stays open. */
  close(): Promise<void>;
}
